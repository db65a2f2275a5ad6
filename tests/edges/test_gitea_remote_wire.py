"""The values the client gives: what others rely on beyond their fields."""

from datetime import UTC, datetime

from coordinator.edges.gitea_remote_wire import (
    Blockers,
    IssuePage,
    RemoteComment,
    RemoteHook,
    RemoteLabel,
    RemoteRef,
)
from coordinator.rules.ids import Login

AT = datetime(2026, 1, 2, tzinfo=UTC)


def test_what_is_listed_can_be_told_apart() -> None:
    """Items of lists are hashable and equal by value, so that pages that overlap can be joined."""
    for one, same in (
        (RemoteLabel(1, "a/b", "ffffff", True, ""), RemoteLabel(1, "a/b", "ffffff", True, "")),
        (RemoteRef(1, "o/r", 2, "open"), RemoteRef(1, "o/r", 2, "open", is_pull=False)),
        (RemoteHook(1, "u", True, ("issues",), "json"), RemoteHook(1, "u", True, ("issues",), "json")),
        (RemoteComment(1, Login("a"), "b", AT, AT, ""), RemoteComment(1, Login("a"), "b", AT, AT, "")),
    ):
        assert len({one, same}) == 1


def test_nothing_said_is_nothing_hidden() -> None:
    """A list without more is whole, and a page is not the end unless it says so."""
    assert Blockers(()).hidden == 0
    assert not IssuePage((), None).is_end
