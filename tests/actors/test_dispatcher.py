"""The dispatcher dispatches once, durably, and explains with the function that decides."""

import sqlite3
from contextlib import closing
from pathlib import Path

import trio

from coordinator.actors.messages import DescribeAgent, ExplainIssue, ListIssues
from coordinator.rules.events import (
    AgentObserved,
    IssueAssessed,
    IssueDispatched,
    RunEnded,
    WithdrawalRequested,
)
from coordinator.rules.fleet import AgentSpec, Fleet
from coordinator.rules.ids import AgentName, Login
from coordinator.rules.orders import CancelRun, StartRun
from tests.actors.stage import FLEET, Stage, stage
from tests.rules.builders import ended, observed, parsed, ref, unblocked

READY = (observed(1), parsed(1), unblocked(1))


async def ready(on: Stage, delivery: str | None = None) -> IssueDispatched:
    await on.tell("monitor:sonnet-1", on.agent_up())
    await on.tell("router", *READY, delivery=delivery)
    return await on.wait_for(IssueDispatched)


async def dispatches(on: Stage) -> list[IssueDispatched]:
    return [each.event for each in await on.events() if isinstance(each.event, IssueDispatched)]


async def test_dispatch_and_start_order_are_one_commit(tmp_path: Path) -> None:
    """The order for the agent exists as soon as the dispatch does, under the delivery's id."""
    async with stage(tmp_path, ["dispatcher", "monitor:sonnet-1"]) as on:
        event = await ready(on, "d-77")
        [order] = on.journal.open_orders("agent:sonnet-1")
        assert isinstance(order.order, StartRun)
        assert (order.order.run, order.delivery) == (event.run, "d-77")


async def test_a_restart_never_dispatches_again(tmp_path: Path) -> None:
    """The same facts told again after a restart lead to nothing."""
    async with stage(tmp_path, ["dispatcher", "monitor:sonnet-1"]) as on:
        await ready(on)
    async with stage(tmp_path, ["dispatcher", "monitor:sonnet-1"]) as on:
        await on.tell("router", *READY)
        await on.tell("monitor:sonnet-1", ended(1, 1, "sonnet-1"))
        await on.wait_for(IssueAssessed, lambda each: each.reason == "completed")
        assert len(await dispatches(on)) == 1


async def test_a_restart_without_its_snapshot_folds_the_same_world(tmp_path: Path) -> None:
    """The snapshot is only a short cut: without it the events alone give the same answers."""
    async with stage(tmp_path, ["dispatcher", "monitor:sonnet-1"]) as on:
        await ready(on)
        await on.wait_for(IssueAssessed, lambda each: each.reason == "dispatched")
        before = await on.tree.ref("dispatcher").call(ExplainIssue(ref(1)))
    async with stage(tmp_path, ["dispatcher", "monitor:sonnet-1"]) as on:
        assert await on.journal.snapshot("dispatcher") is not None
    with closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as file:
        file.execute("DELETE FROM snapshot")
        file.commit()
    async with stage(tmp_path, ["dispatcher"]) as on:
        assert await on.journal.snapshot("dispatcher") is None
        after = await on.tree.ref("dispatcher").call(ExplainIssue(ref(1)))
        assert before is not None
        assert after is not None
        assert (after.state, after.run, after.evidence) == (before.state, before.run, before.evidence)
        assert len(await dispatches(on)) == 1


async def test_a_close_withdraws_the_run(tmp_path: Path) -> None:
    """Closing a dispatched issue opens CancelRun for its agent."""
    async with stage(tmp_path, ["dispatcher", "monitor:sonnet-1"]) as on:
        await ready(on)
        await on.tell("router", observed(1, state="closed", updated=5))
        await on.wait_for(WithdrawalRequested)
        await on.wait_for(RunEnded, lambda each: each.outcome == "withdrawn")
        assert on.journal.open_orders("agent:sonnet-1") == ()


async def test_a_withdrawal_of_running_work_reaches_the_agent(tmp_path: Path) -> None:
    """Without a monitor to end it at once, the CancelRun order stays open for the agent."""
    async with stage(tmp_path, ["dispatcher"], fleet=FLEET) as on:
        await on.tell("monitor:sonnet-1", on.agent_up())
        await on.tell("router", observed(1, assignees=()))
        await on.wait_for(type(on.agent_up()))
        page = await on.tree.ref("dispatcher").call(ListIssues(every=True))
        assert [view.reason for view in page.issues] == ["not_ours"]
        assert not any(isinstance(o.order, CancelRun) for o in on.journal.open_orders("agent:sonnet-1"))


async def test_an_agent_configured_again_does_not_take_up_a_run_that_was_ended(tmp_path: Path) -> None:
    """The end of an orphaned run closes its orders, and its agent's monitor forgets it."""
    names = ["dispatcher", "monitor:sonnet-1"]
    async with stage(tmp_path, names) as on:
        await ready(on)
        await order_of(on, StartRun)
    without = Fleet((AgentSpec(AgentName("opus-1"), Login("claude-opus")),), FLEET.pool_logins)
    async with stage(tmp_path, ["dispatcher"], fleet=without) as on:
        assert (await on.wait_for(RunEnded)).outcome == "withdrawn"
        await on.tree.ref("dispatcher").call(ListIssues())
        assert on.journal.open_orders("agent:sonnet-1") == ()
    async with stage(tmp_path, names) as on:
        view = await on.tree.ref("monitor:sonnet-1").call(DescribeAgent())
        assert view.runs == ()
        await on.tell("router", observed(2), parsed(2), unblocked(2))
        await on.wait_for(IssueDispatched, lambda each: each.run.issue == ref(2))


async def order_of(on: Stage, kind: type[StartRun]) -> None:
    """Return once the agent's monitor has taken its order up."""
    with trio.fail_after(60):
        while not (await on.tree.ref("monitor:sonnet-1").call(DescribeAgent())).runs:  # noqa: ASYNC110
            await trio.sleep(0.01)
    assert any(isinstance(each.order, kind) for each in on.journal.open_orders("agent:sonnet-1"))


async def test_questions_are_answered_from_the_deciding_world(tmp_path: Path) -> None:
    """Explain and list say what decided; an issue never heard of is None."""
    async with stage(tmp_path, ["dispatcher"]) as on:
        await on.tell("router", observed(1), observed(2, assignees=()))
        await on.wait_for(IssueAssessed)
        dispatcher = on.tree.ref("dispatcher")
        view = await dispatcher.call(ExplainIssue(ref(1)))
        assert view is not None
        assert (view.state, view.reason) == ("waiting", "parsing")
        assert await dispatcher.call(ExplainIssue(ref(99))) is None
        ours = await dispatcher.call(ListIssues())
        assert [each.issue.number for each in ours.issues] == [1]


async def test_runs_of_agents_configured_no_more_end_at_the_next_start(tmp_path: Path) -> None:
    """A fleet without the agent ends its run and gives the issue to another."""
    async with stage(tmp_path, ["dispatcher", "monitor:sonnet-1"]) as on:
        await ready(on)
    other = Fleet((AgentSpec(AgentName("opus-1"), Login("claude-opus")),), FLEET.pool_logins)
    async with stage(tmp_path, ["dispatcher"], fleet=other) as on:
        lost = await on.wait_for(RunEnded)
        assert (lost.agent, lost.outcome) == ("sonnet-1", "withdrawn")


async def test_an_issue_that_crashes_its_assessment_is_buried_once(tmp_path: Path) -> None:
    """Two crashes and one letter, however often the issue is touched; the others are dispatched."""
    async with stage(tmp_path, ["dispatcher", "monitor:sonnet-1"]) as on:
        await on.wait_for(AgentObserved)
        absurd = parsed(2, estimated_context_tokens=10**400)
        first = observed(2, labels=("priority/1",))
        await on.tell("router", first, absurd, unblocked(2), *READY)
        await on.wait_for(IssueDispatched, lambda each: each.run.issue == ref(1))
        await on.tell("router", observed(2, updated=1, labels=("priority/2",)), observed(3))
        await on.wait_for(IssueAssessed, lambda each: each.ref == ref(3))
        [letter] = await on.journal.dead_letters(actor="dispatcher")
        assert letter.letter.message == f"assess {ref(2)}"
