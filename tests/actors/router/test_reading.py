"""Every kind of answer of a forge about one issue is told from every other."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from coordinator.actors.router.reading import (
    Answer,
    Failed,
    Found,
    Gone,
    NotAsked,
    Unreadable,
    read_issue,
)
from coordinator.edges.forge_breaker import BreakerPace
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_failures_wire import RetryPace
from coordinator.edges.gitea_remote_wire import Blockers
from coordinator.rules.ids import IssueRef
from coordinator.rules.orders import ReadIssue
from tests.fakes.forge import BOT, FORGEJO, GITEA, REPO, Dialect, furnish, open_forge
from tests.fakes.forge import Forge as FakeForge

SENT = datetime(2026, 7, 14, tzinfo=UTC)
ISSUE = "GET /repos/{owner}/{repo}/issues/{index}"


@pytest.fixture(params=[GITEA, FORGEJO], ids=lambda dialect: dialect.product)
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[FakeForge]:
    dialect: Dialect = request.param
    async with open_forge(dialect) as running:
        furnish(running)
        yield running


async def read(
    fake: FakeForge,
    number: int,
    *,
    repo: str = REPO,
    repo_id: int | None = None,
    token: str = "",
    expects_close: bool = False,
    max_answer_bytes: int = 1_000_000,
) -> Answer:
    known = fake.data.repository(repo)
    place = repo_id if repo_id is not None else (known.id if known is not None else 0)
    order = ReadIssue(IssueRef(repo, number), place, repo, "delivery", "1")
    pace = RetryPace(attempts=1)
    async with Forge(
        fake.url,
        token or fake.token(BOT),
        trust_env=False,
        pace=pace,
        max_answer_bytes=max_answer_bytes,
    ) as forge:
        return await read_issue(forge, order, expects_close=expects_close, clock=lambda: SENT)


async def test_an_open_issue_comes_with_its_blockers(fake: FakeForge) -> None:
    """With the instant at which it was asked for; its dependents matter to nobody."""
    issue, blocker = fake.open(REPO, "Rows are lost"), fake.open(REPO, "First")
    fake.block(issue, blocker)
    answer = await read(fake, issue.number, expects_close=True)
    assert isinstance(answer, Found)
    assert (answer.issue.title, answer.read_at, answer.blocked) == ("Rows are lost", SENT, None)
    assert answer.blockers is not None
    assert [end.number for end in answer.blockers.refs] == [blocker.number]


async def test_a_closed_issue_comes_with_its_dependents_where_they_matter(fake: FakeForge) -> None:
    """Only when a close was expected; what it waited for itself is asked for by nobody."""
    issue, blocker = fake.open(REPO, "Rows are lost"), fake.open(REPO, "First")
    fake.block(issue, blocker)
    fake.close(blocker)
    answer = await read(fake, blocker.number, expects_close=True)
    assert isinstance(answer, Found)
    assert answer.blocked is not None
    assert [end.number for end in answer.blocked.refs] == [issue.number]
    assert answer.blockers is None
    plain = await read(fake, blocker.number)
    assert isinstance(plain, Found)
    assert (plain.blocked, plain.blockers) == (None, None)


async def test_a_pull_request_is_read_alone(fake: FakeForge) -> None:
    """Its dependencies are of no use to us."""
    pull = fake.open(REPO, "Mends it", is_pull=True)
    answer = await read(fake, pull.number)
    assert isinstance(answer, Found)
    assert (answer.issue.is_pull, answer.blockers) == (True, None)


async def test_without_dependencies_nothing_blocks(fake: FakeForge) -> None:
    """A repository that has them switched off says 404 to the question, which is an answer."""
    fake.repository(REPO).dependencies_enabled = False
    issue = fake.open(REPO, "Rows are lost")
    answer = await read(fake, issue.number)
    assert isinstance(answer, Found)
    assert answer.blockers == Blockers(())


async def test_a_renamed_repository_is_found_by_its_id(fake: FakeForge) -> None:
    """The order knows the old name only."""
    issue = fake.open(REPO, "Rows are lost")
    fake.rename(REPO, "acme/renamed")
    answer = await read(fake, issue.number, repo_id=fake.repository("acme/renamed").id)
    assert isinstance(answer, Found)
    assert answer.issue.repo_full_name == "acme/renamed"


async def test_a_missing_issue_is_gone_only_where_issues_are_shown(fake: FakeForge) -> None:
    """In a repository that answers it is gone; in one out of sight, deleted, or without issues, nobody
    can tell."""
    assert await read(fake, 99) == Gone()
    assert isinstance(await read(fake, 99, token=fake.token("stranger")), Unreadable)
    assert isinstance(await read(fake, 1, repo="no/such"), Unreadable)
    assert isinstance(await read(fake, 1, repo="../such", repo_id=0), Unreadable)
    fake.repository(REPO).has_issues = False
    assert isinstance(await read(fake, 99), Unreadable)


async def test_a_token_that_is_refused_everywhere_is_a_failure(fake: FakeForge) -> None:
    """Unknown, or without the scope: not this repository's fault, and worth trying again."""
    issue = fake.open(REPO, "Rows are lost")
    for token in ("wrong", fake.token(BOT, "read:user")):
        answer = await read(fake, issue.number, token=token)
        assert isinstance(answer, Failed)
        assert not answer.alone


@pytest.mark.parametrize(
    ("mishap", "status", "alone"),
    [("html", 200, True), ("truncate", 200, True), ("status", 503, False), ("reset", 200, False)],
)
async def test_failures_tell_whether_the_rest_may_answer(
    fake: FakeForge, mishap: str, status: int, alone: bool
) -> None:
    """A success that holds nothing is the issue's own trouble; a forge that fails is everybody's."""
    issue = fake.open(REPO, "Rows are lost")
    fake.misbehave(mishap, route=ISSUE, status=status, times=None)  # type: ignore[arg-type]
    answer = await read(fake, issue.number)
    assert isinstance(answer, Failed)
    assert (answer.alone, bool(answer.why)) == (alone, True)


async def test_a_failure_while_looking_why_is_one(fake: FakeForge) -> None:
    """A token that may not ask for the repository learns nothing of a deletion."""
    answer = await read(fake, 99, token=fake.token(BOT, "read:issue"))
    assert isinstance(answer, Failed)
    assert "read:repository" in answer.why


@pytest.mark.parametrize(("status", "kind"), [(404, Unreadable), (403, Unreadable), (502, Failed)])
async def test_issues_a_role_may_not_see_are_not_gone(
    fake: FakeForge, status: int, kind: type[Answer]
) -> None:
    """A repository that is shown without its list of issues says nothing of any of them."""
    fake.misbehave("slow", route=ISSUE, delay_s=0)
    fake.misbehave("status", route="GET /repos/{owner}/{repo}/issues", status=status, times=None)
    assert isinstance(await read(fake, 99), kind)


async def test_an_open_circuit_is_no_answer(fake: FakeForge) -> None:
    """What failed before shuts the circuit; what is asked then was never sent."""
    fake.open(REPO, "Rows are lost")
    fake.misbehave("status", status=503)
    order = ReadIssue(IssueRef(REPO, 1), fake.repository(REPO).id, REPO, "delivery", "1")
    pace, breaker = RetryPace(attempts=1), BreakerPace(max_failures=1)
    async with Forge(
        fake.url, fake.token(BOT), trust_env=False, pace=pace, breaker_pace=breaker
    ) as forge:
        first = await read_issue(forge, order, expects_close=False, clock=lambda: SENT)
        second = await read_issue(forge, order, expects_close=False, clock=lambda: SENT)
    assert isinstance(first, Failed)
    assert second == NotAsked()


async def test_an_issue_is_looked_for_under_the_present_name_before_it_is_gone(
    fake: FakeForge,
) -> None:
    """Another repository took the name we know: its 404 says nothing of an issue that is elsewhere."""
    repository = fake.repository(REPO)
    issue = fake.open(REPO, "Rows are lost")
    fake.rename(REPO, "acme/renamed")
    people = {BOT: "admin", "maria": "write"}
    fake.repository(REPO, collaborators=people)  # type: ignore[arg-type]
    answer = await read(fake, issue.number, repo_id=repository.id)
    assert isinstance(answer, Found)
    assert answer.issue.repo_full_name == "acme/renamed"
    assert await read(fake, 99, repo_id=repository.id) == Gone()


async def test_an_issue_too_long_to_read_is_not_asked_for_again(fake: FakeForge) -> None:
    """Its text will be as long the next time, so what its deliveries said must do."""
    issue = fake.open(REPO, "Long", "A" * 30_000)
    answer = await read(fake, issue.number, max_answer_bytes=20_000)
    assert isinstance(answer, Unreadable)
    assert answer.is_final


async def test_long_texts_at_the_other_end_hide_no_issue(fake: FakeForge) -> None:
    """Blockers are read one by one, and what cannot be read at all counts as open; a close is a close,
    whatever waits for it."""
    issue, closed = fake.open(REPO, "Rows are lost"), fake.open(REPO, "Closed")
    long = [fake.open(REPO, f"Long {number}", "A" * 12_000) for number in range(2)]
    for each in long:
        fake.block(issue, each)
        fake.block(each, closed)
    fake.close(closed)
    answer = await read(fake, issue.number, max_answer_bytes=20_000)
    assert isinstance(answer, Found)
    assert answer.blockers is not None
    assert {end.number for end in answer.blockers.refs} == {each.number for each in long}
    answer = await read(fake, issue.number, max_answer_bytes=10_000)
    assert isinstance(answer, Found)
    assert answer.blockers == Blockers((), hidden=1)
    answer = await read(fake, closed.number, expects_close=True, max_answer_bytes=10_000)
    assert isinstance(answer, Found)
    assert (answer.issue.state, answer.blocked) == ("closed", None)
