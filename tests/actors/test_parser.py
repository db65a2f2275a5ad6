"""The parser reads each text once, survives a Claude that is away, and is paid for durably."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from coordinator.actors.clocks import utc_now
from coordinator.actors.messages import ParseDone
from coordinator.actors.parser import Parser
from coordinator.edges.claude import ClaudeClient
from coordinator.edges.claude_failures_wire import Pace, Parsed
from coordinator.edges.journal import Commit, Draft
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.rules.events import IssueObserved, IssueParsed, IssueUnblocked
from coordinator.rules.fleet import Fleet
from coordinator.rules.ids import IssueRef, Login
from coordinator.runtime import ChildSpec, child
from tests.actors.stage import FLEET, Stage, stage
from tests.fakes.claude_api import ClaudeApi, answer, error, hang, ok, open_claude_api, refusal
from tests.rules.builders import facts, observed, ref
from tests.rules.builders import parsed as parse_of

FAST = Pace(min_s=0.01, max_s=0.02)


@asynccontextmanager
async def claude_stage(path: Path, api: ClaudeApi, *, concurrency: int = 4) -> AsyncIterator[Stage]:
    async with ClaudeClient("key", base_url=api.url, pace=FAST) as claude:

        def parser(journal: SqliteJournal) -> Sequence[ChildSpec]:
            return [
                child(
                    Parser,
                    journal,
                    FLEET,
                    claude,
                    id="parser",
                    model="claude-sonnet-5-5",
                    concurrency=concurrency,
                    deadline_s=5.0,
                )
            ]

        async with stage(path, extra=parser) as on:
            yield on


async def tell_with_text(on: Stage, event: IssueObserved, text: str) -> None:
    """What the router does: the observation and its text in one commit."""
    drafts = (Draft(event),)
    texts = {event.facts.text_key: text}
    await on.journal.commit(Commit(actor="router", at=utc_now(), events=drafts, texts=texts))


async def parses(on: Stage) -> list[IssueParsed]:
    return [each.event for each in await on.events() if isinstance(each.event, IssueParsed)]


async def test_rules_alone_read_explicit_lines(tmp_path: Path) -> None:
    """Without Claude the metadata comes from the text's own lines, at once and without an order."""
    async with stage(tmp_path, ["parser"]) as on:
        await tell_with_text(on, observed(1), "T\n\nBlocked by: #2")
        parsed = await on.wait_for(IssueParsed)
        assert parsed.by == "rules"
        assert [ref.number for ref in parsed.metadata.blocked_by] == [2]
        assert on.journal.open_orders("parser") == ()


async def test_claude_reads_an_issue_of_ours(tmp_path: Path) -> None:
    """The answer becomes IssueParsed with model and cost, and the order is closed."""
    async with open_claude_api() as api:
        api.script(ok(answer(difficulty="hard", estimated_context_tokens=50_000)))
        async with claude_stage(tmp_path, api) as on:
            await tell_with_text(on, observed(1), "T\n\nBody")
            parsed = await on.wait_for(IssueParsed)
            assert (parsed.by, parsed.model, parsed.metadata.difficulty) == (
                "claude",
                "claude-sonnet-5-5",
                "hard",
            )
            assert parsed.cost.input_tokens == 3_000
            assert parsed.cost.cost_usd > 0
            assert on.journal.open_orders("parser") == ()


async def test_only_open_issues_of_ours_are_read(tmp_path: Path) -> None:
    """Neither a closed issue nor somebody else's costs a call."""
    async with open_claude_api() as api, claude_stage(tmp_path, api) as on:
        await tell_with_text(on, observed(1, assignees=()), "T")
        await tell_with_text(on, observed(2, state="closed"), "T")
        await tell_with_text(on, observed(3), "T")
        parsed = await on.wait_for(IssueParsed)
        assert parsed.ref.number == 3
        assert len(api.asked()) == 1


async def test_the_same_text_is_never_paid_for_twice(tmp_path: Path) -> None:
    """A relabelled issue, a reverted edit, a twin with the same text and a restart cost nothing."""
    async with open_claude_api() as api:
        async with claude_stage(tmp_path, api) as on:
            await tell_with_text(on, observed(1), "T")
            await on.wait_for(IssueParsed)
            await tell_with_text(on, observed(1, updated=1, labels=("x",)), "T")
            await tell_with_text(on, observed(1, updated=2, text_key="other"), "U")
            await on.wait_for(IssueParsed, lambda each: each.text_key == "other")
            await tell_with_text(on, observed(1, updated=3), "T")
            twin = IssueObserved(replace(facts(2), text_key="text-1"), "opened")
            await tell_with_text(on, twin, "T")
            reused = await on.wait_for(IssueParsed, lambda each: each.ref.number == 2)
            assert reused.by == "cache"
            assert reused.cost.cost_usd == 0
        async with claude_stage(tmp_path, api) as on:
            await tell_with_text(on, IssueObserved(replace(facts(3), text_key="text-1"), "x"), "T")
            await on.wait_for(IssueParsed, lambda each: each.ref.number == 3)
        assert len(api.asked()) == 2


async def test_rules_stand_in_when_claude_refuses(tmp_path: Path) -> None:
    """A refusal is not asked again: the rules read the text and the event says why."""
    async with open_claude_api() as api:
        api.script(refusal())
        async with claude_stage(tmp_path, api) as on:
            await tell_with_text(on, observed(1), "T\n\nBlocked by: #2")
            parsed = await on.wait_for(IssueParsed)
            assert parsed.by == "rules"
            assert parsed.degraded
            assert len(parsed.metadata.blocked_by) == 1


async def test_a_passing_failure_is_retried(tmp_path: Path) -> None:
    """An overloaded Claude is asked again and its answer counts."""
    async with open_claude_api() as api:
        api.script(error(529, "overloaded_error"), ok(answer()))
        async with claude_stage(tmp_path, api) as on:
            await tell_with_text(on, observed(1), "T")
            assert (await on.wait_for(IssueParsed)).by == "claude"


async def test_a_parse_interrupted_by_a_stop_is_done_by_the_next_life(tmp_path: Path) -> None:
    """The order is durable: a parser stopped while Claude thinks reads the issue after its restart."""
    async with open_claude_api() as api:
        api.script(hang())
        async with claude_stage(tmp_path, api) as on:
            await tell_with_text(on, observed(1), "T")
            await api.wait_for_requests(1)
            assert len(on.journal.open_orders("parser")) == 1
        async with claude_stage(tmp_path, api) as on:
            assert (await on.wait_for(IssueParsed)).by == "claude"
            assert on.journal.open_orders("parser") == ()


async def test_no_more_than_the_allowed_number_run_at_once(tmp_path: Path) -> None:
    """With a concurrency of two, the third text waits until one of the first is read."""
    async with open_claude_api() as api:
        api.script(hang(), hang())
        async with claude_stage(tmp_path, api, concurrency=2) as on:
            for number in range(1, 5):
                await tell_with_text(on, observed(number), f"T{number}")
            await api.wait_for_requests(2)
            await tell_with_text(on, observed(9, assignees=()), "nothing")
            assert len(api.asked()) == 2
            assert len(on.journal.open_orders("parser")) >= 2
            assert await parses(on) == []


async def test_what_becomes_ours_by_configuration_is_read(tmp_path: Path) -> None:
    """An issue of a login that joins the pool is read, though the forge has nothing new to say."""
    mine = observed(1, assignees=(Login("newcomer"),))
    async with stage(tmp_path, ["parser", "dependency-tracker"]) as on:
        await tell_with_text(on, mine, "T\n\nBlocked by: #2")
        await tell_with_text(on, observed(3), "T")
        await on.wait_for(IssueUnblocked, lambda each: each.parsed)
    wider = Fleet(FLEET.agents, (*FLEET.pool_logins, Login("newcomer")))
    async with stage(tmp_path, ["parser", "dependency-tracker"], fleet=wider) as on:
        read = await on.wait_for(IssueParsed, lambda each: each.ref == ref(1))
        assert len(read.metadata.blocked_by) == 1
        assert len(await parses(on)) == 2


async def test_an_unread_verdict_asks_claude_once(tmp_path: Path) -> None:
    """The tracker's word that a text is unread opens no second order beside the open one."""
    async with open_claude_api() as api:
        api.script(hang())
        async with claude_stage(tmp_path, api) as on:
            await tell_with_text(on, observed(1), "T")
            await api.wait_for_requests(1)
            await on.tell("dependency-tracker", IssueUnblocked(ref(1), "text-1", False))
            await on.tell("dependency-tracker", IssueUnblocked(ref(2), "text-1", True))
            await api.wait_for_requests(1)
            assert len(on.journal.open_orders("parser")) == 1


async def test_a_result_told_twice_is_written_once(tmp_path: Path) -> None:
    """A job's result that comes again, or too late, changes nothing."""
    async with stage(tmp_path, ["parser"]) as on:
        parser = on.tree.ref("parser")
        await parser.cast(ParseDone(77, parse_of(1)))
        await tell_with_text(on, observed(2), "T")
        assert (await on.wait_for(IssueParsed)).ref == ref(2)


class Broken(ClaudeClient):
    """A client with a bug: something else than the failures it promises comes out of it."""

    asked = 0

    async def parse_issue(
        self, text: str, ref: IssueRef, *, model: str, agents: Sequence[str], deadline_s: float = 120.0
    ) -> Parsed:
        self.asked += 1
        raise ZeroDivisionError("a bug")


async def test_a_text_that_crashes_its_reader_is_read_by_rules(tmp_path: Path) -> None:
    """Two crashes are the text's own: the rules stand in, and the tree stays up."""
    async with open_claude_api() as api, Broken("key", base_url=api.url) as broken:

        def parser(journal: SqliteJournal) -> Sequence[ChildSpec]:
            return [child(Parser, journal, FLEET, broken, id="parser", model="claude-sonnet-5-5")]

        async with stage(tmp_path, extra=parser) as on:
            await tell_with_text(on, observed(1), "T\n\nBlocked by: #2")
            read = await on.wait_for(IssueParsed)
            assert (read.by, read.degraded) == (
                "rules",
                "reading it crashed twice: ZeroDivisionError",
            )
            assert broken.asked == 2
