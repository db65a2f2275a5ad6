"""A sheet gathers what one decision writes, and becomes one commit."""

from coordinator.actors.router.sheet import Sheet
from coordinator.edges.journal import Draft, OrderClosed
from coordinator.rules.events import IssueDeleted, IssueObserved, RepositoryMoved
from coordinator.rules.ids import DeliveryId
from coordinator.rules.routing import Routed
from tests.rules.builders import at, facts, ref


def test_an_empty_sheet_is_nothing_to_write() -> None:
    """Nothing decided is False; anything written on it makes it True."""
    sheet = Sheet()
    assert not sheet
    sheet.close((1,), "unchanged", "")
    assert sheet


def test_everything_goes_into_one_commit() -> None:
    """Events keep their order and their delivery, texts go with observations only."""
    sheet, cause = Sheet(), DeliveryId("d")
    moved = RepositoryMoved(41, "acme/widgets", "acme/gadgets", at(1))
    seen = IssueObserved(facts(1), "edited")
    sheet.add(Routed("observed", "", seen, ref(1), moved), cause, "its text")
    sheet.add(Routed("deleted", "", IssueDeleted(ref(2)), ref(2)), None, "")
    sheet.add(Routed("unchanged", "", None, ref(3)), cause, "unused")
    sheet.close((7, 8), "observed", "ours")
    commit = sheet.commit("router", at(2), cursor=5, expected=4)
    assert commit.events == (Draft(moved, cause), Draft(seen, cause), Draft(IssueDeleted(ref(2))))
    assert commit.texts == {"text-1": "its text"}
    assert commit.closed == (OrderClosed(7, "observed", "ours"), OrderClosed(8, "observed", "ours"))
    assert (commit.actor, commit.at, commit.cursor, commit.expected_cursor) == ("router", at(2), 5, 4)
