"""What a forge refuses is left alone for a while, shown, and tried again."""

from typing import Any

from coordinator.rules.comment import Comment
from coordinator.rules.refusals import MAX_RETRY_S, RETRY_S, Refusals
from coordinator.rules.written import Wish, keys_of
from tests.rules.builders import ref

READY: dict[str, Any] = {"comment": Comment("b", "ready"), "labels": ("coordinator/ready",)}


def wish(**fields: Any) -> Wish:
    return Wish(ref(1), 41, "acme/widgets", **READY | fields)


def refused(wanted: Wish, *parts: Any, now: float = 0.0, known: Refusals | None = None) -> Refusals:
    refusals = known or Refusals()
    refusals.note(ref(1), dict(keys_of(wanted)), dict.fromkeys(parts, "403"), now)
    return refusals


def test_what_was_refused_is_not_tried_again_for_the_same_words() -> None:
    """The other parts are, and so is the part when something else is to be said."""
    refusals = refused(wish(), "labels")
    assert refusals.allowed(wish(), 1.0) == wish(labels=None)
    assert refusals.allowed(wish(labels=()), 1.0) == wish(labels=())
    other = Wish(ref(2), 41, "acme/widgets", **READY)
    assert refusals.allowed(other, 1.0) == other
    assert (len(refusals), list(refusals.shown())) == (1, [(ref(1), {"labels": "403"})])


def test_it_is_tried_again_after_some_minutes_ever_more_seldom() -> None:
    """Rights are given back and archives opened, and nobody tells us."""
    refusals, now = Refusals(), 0.0
    for pause in (RETRY_S, 2 * RETRY_S, 4 * RETRY_S, 8 * RETRY_S, MAX_RETRY_S, MAX_RETRY_S):
        again_at = refusals.note(ref(1), dict(keys_of(wish())), {"comment": "403"}, now)
        assert again_at == now + pause
        assert refusals.allowed(wish(), again_at - 1.0).comment is None
        assert refusals.allowed(wish(), again_at) == wish()
        now = again_at


def test_what_was_taken_is_no_refusal_any_more() -> None:
    """Of what was not tried nothing is known."""
    refusals = refused(wish(), "comment", "labels")
    refused(wish(labels=None), known=refusals)
    assert list(refusals.shown()) == [(ref(1), {"labels": "403"})]
    assert refusals.note(ref(1), dict(keys_of(wish())), {}, 1.0) is None
    assert not len(refusals)


def test_what_crashed_is_shown_without_words() -> None:
    """What it was to say is not known; it is tried with the next news."""
    refusals = Refusals()
    assert refusals.note(ref(1), {}, {"comment": "crashed"}, 0.0) == RETRY_S
    assert refusals.allowed(wish(), 1.0) == wish()


def test_somebody_who_has_mended_it_need_not_wait() -> None:
    """All may be tried at once, and still shows until it was taken."""
    refusals = refused(wish(), "comment")
    assert refusals.lift() == (ref(1),)
    assert refusals.allowed(wish(), 0.0) == wish()
    assert len(refusals) == 1
    assert refusals.note(ref(1), dict(keys_of(wish())), {"comment": "403"}, 0.0) == RETRY_S


def test_what_is_no_longer_wanted_is_not_refused_any_more() -> None:
    """The issue says again what stands there: nothing is given up; what is still wanted is."""
    refusals = refused(wish(), "comment", "labels")
    refusals.settle(wish(comment=None))
    assert list(refusals.shown()) == [(ref(1), {"labels": "403"})]
    refusals.settle(Wish(ref(2), 41, "acme/widgets"))
    assert refusals.allowed(wish(), 1.0) == wish(labels=None)
    refusals.settle(wish(comment=None, labels=None))
    assert not len(refusals)


def test_a_deleted_issue_is_forgotten() -> None:
    """Nothing of it is left to try."""
    refusals = refused(wish(), "comment")
    refusals.forget(ref(1))
    assert (len(refusals), refusals.lift()) == (0, ())
