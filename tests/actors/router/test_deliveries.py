"""A delivery becomes a read, a command, an echo, or news, each with its word."""

from datetime import UTC, datetime

from coordinator.actors.router.deliveries import Deliveries
from coordinator.actors.router.sheet import Sheet
from coordinator.edges.journal import StoredDelivery
from coordinator.rules.events import IssueObserved, RepositoryMoved
from coordinator.rules.ids import DeliveryId, IssueRef, Login
from coordinator.rules.orders import LookAgain, ReadIssue, RunCommand
from coordinator.rules.routing import KnownIssues
from tests.actors.forge_stage import BOT, REPO, fake_forge
from tests.fakes.forge import Forge as FakeForge

SOME_DAY = datetime(2026, 7, 14, tzinfo=UTC)


def stored(fake: FakeForge, at: int = -1) -> StoredDelivery:
    letter = fake.deliveries[at].letter
    return StoredDelivery(
        5, DeliveryId(letter.id), letter.event, letter.event_type, SOME_DAY, letter.body, None
    )


def new() -> Deliveries:
    return Deliveries(KnownIssues(frozenset({Login("coder-bot")})))


async def test_a_hint_asks_for_a_read() -> None:
    """Nothing is believed: the order says where, who and what, under the number of the delivery."""
    async with fake_forge() as fake:
        issue = fake.open(REPO, "Title", assignees=["coder-bot"])
        mail, sheet = new(), Sheet()
        routed = mail.hint(stored(fake), sheet)
        repo = fake.repository(REPO)
        ref = IssueRef(REPO, issue.number)
        assert (routed.outcome, routed.event, routed.issue) == ("read", None, ref)
        [opened] = sheet.opened
        assert opened.order == ReadIssue(
            ref, repo.id, REPO, "delivery", "5", fake.deliveries[-1].letter.action, Login("maria")
        )
        assert opened.target == "router"
        assert mail.known.facts == {}
        assert mail.known.heard == {repo.id}


async def test_a_command_is_an_order_of_its_own() -> None:
    """A new comment that begins with a command is for the scribe, besides the read; an edit is not."""
    async with fake_forge() as fake:
        issue = fake.open(REPO, "Title")
        comment = fake.comment(issue, "/coordinator park later")
        sheet = Sheet()
        new().hint(stored(fake), sheet)
        [_, command] = sheet.opened
        place = (IssueRef(REPO, issue.number), fake.repository(REPO).id, REPO)
        order = RunCommand(*place, comment.id, Login("maria"))
        assert (command.order, command.target) == (order, "scribe")
        fake.actions.edit_comment(comment, "/coordinator resume", by="maria")
        sheet = Sheet()
        new().hint(stored(fake), sheet)
        assert not any(isinstance(each.order, RunCommand) for each in sheet.opened)


async def test_a_comment_that_somebody_changed_may_be_ours() -> None:
    """Edited or deleted, the scribe is told which it was, each time anew; what we have done ourselves
    is no news."""
    async with fake_forge() as fake:
        issue = fake.open(REPO, "Title")
        comment = fake.comment(issue, "Ready.", by=BOT)
        mail = new()
        mail.own = Login(BOT)
        place = IssueRef(REPO, issue.number), comment.id, Login("maria")
        for change in ("edit", "delete"):
            for by in (BOT, "maria"):
                fake.actions.edit_comment(comment, f"by {by}", by=by)
                if change == "delete":
                    fake.actions.delete_comment(comment, by=by)
                    fake.data.comments[comment.id] = comment
                sheet = Sheet()
                delivery = stored(fake)
                mail.hint(delivery, sheet)
                told = [each.order for each in sheet.opened if each.target == "scribe"]
                assert told == ([] if by == BOT else [LookAgain(*place, str(delivery.seq))])


async def test_an_echo_is_left_alone() -> None:
    """What our own account wrote is not read, once we know its name and the issue."""
    async with fake_forge() as fake:
        issue = fake.open(REPO, "Title")
        mail = new()
        mail.trust(stored(fake), Sheet())
        fake.comment(issue, "Ready.", by=BOT)
        assert mail.hint(stored(fake), Sheet()).outcome == "read"
        mail.own = Login(BOT)
        sheet = Sheet()
        assert mail.hint(stored(fake), sheet).outcome == "own"
        assert not sheet


async def test_a_payload_can_be_believed() -> None:
    """Without anybody to ask, its facts are news, and so is a repository's new name."""
    async with fake_forge() as fake:
        issue = fake.open(REPO, "Title")
        mail, sheet = new(), Sheet()
        assert mail.trust(stored(fake), sheet).outcome == "observed"
        fake.rename(REPO, "acme/renamed")
        fake.data.clock.advance(5)  # type: ignore[attr-defined]
        fake.retitle(issue, "Better")
        mail.trust(stored(fake), sheet)
        kinds = [type(draft.event) for draft in sheet.events]
        assert kinds == [IssueObserved, RepositoryMoved, IssueObserved]
        assert set(sheet.texts.values()) == {"Title\n\n", "Better\n\n"}


def test_what_cannot_be_used_says_why() -> None:
    """Pruned, misshapen and foreign deliveries end here either way."""
    for body, event, word in (
        (None, "issues", "pruned"),
        (b"{}", "issues", "invalid"),
        (b"{}", "push", "ignored"),
    ):
        delivery = StoredDelivery(1, DeliveryId("d"), event, event, SOME_DAY, body, None)
        mail, sheet = new(), Sheet()
        assert mail.hint(delivery, sheet).outcome == mail.trust(delivery, sheet).outcome == word
        assert not sheet
