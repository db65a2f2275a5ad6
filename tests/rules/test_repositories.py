"""Repositories keep their first name for ever; what a name means follows who is called so now."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.events import RepositoryMoved
from coordinator.rules.ids import IssueRef
from coordinator.rules.repositories import Repositories
from tests.rules.builders import at


def test_the_first_name_is_the_canonical_one() -> None:
    """A repository is filed in lower case under the name it was first seen with."""
    known = Repositories()
    assert known.learn(1, "Acme/Widgets", at(0), is_read=True) is None
    assert known.canonical("ACME/widgets") == "acme/widgets"
    found = known.find("acme/widgets")
    assert found is not None
    assert found is known.get(1)
    assert (found.id, found.current) == (1, "Acme/Widgets")
    assert known.named("ACME/Widgets") is found
    assert (known.get(2), known.find("acme/none"), known.named("acme/none")) == (None, None, None)


def test_a_rename_changes_only_what_it_is_called() -> None:
    """Old and new names mean the same repository; the spelling alone is no news."""
    known = Repositories()
    known.learn(1, "acme/widgets", at(0), is_read=True)
    assert known.learn(1, "Acme/Widgets", at(1), is_read=True) is None
    moved = known.learn(1, "Other/Gadgets", at(2), is_read=True)
    assert moved == RepositoryMoved(1, "acme/widgets", "Other/Gadgets", at(2), True)
    assert known.learn(1, "Other/Gadgets", at(3), is_read=True) is None
    assert known.named("Acme/WIDGETS") is known.named("other/gadgets") is known.get(1)
    for name in ("acme/widgets", "other/gadgets"):
        assert known.resolve(IssueRef(name, 7)) == IssueRef("acme/widgets", 7)
    back = known.learn(1, "acme/widgets", at(4), is_read=True)
    assert back == RepositoryMoved(1, "acme/widgets", "acme/widgets", at(4), True)


def test_an_older_view_takes_no_newer_name_back() -> None:
    """A delivery replayed with the former name changes nothing."""
    known = Repositories()
    known.learn(1, "acme/new", at(9), is_read=True)
    assert known.learn(1, "acme/old", at(5), is_read=True) is None
    assert known.canonical("acme/old") == "acme/old"


@pytest.mark.parametrize("ahead_s", [-3_600, 0, 3_600])
def test_what_was_read_beats_what_was_told_whatever_the_clocks_say(ahead_s: int) -> None:
    """A rename that a read saw is never taken back by a payload with the former name, and a payload of
    a forge whose clock runs ahead keeps no read from being believed."""
    known = Repositories()
    assert known.learn(1, "acme/old", at(10_000 + ahead_s), is_read=False) is None
    moved = known.learn(1, "acme/new", at(10_001), is_read=True)
    assert moved == RepositoryMoved(1, "acme/old", "acme/new", at(10_001), True)
    assert known.learn(1, "acme/old", at(10_002 + ahead_s), is_read=False) is None
    assert known.learn(1, "acme/old", at(10_000), is_read=True) is None, "an older read"
    found = known.get(1)
    assert found is not None
    assert found.current == "acme/new"


def test_payloads_are_ordered_by_the_clock_of_the_forge() -> None:
    """Without reads a later payload renames, and one told late does not."""
    known = Repositories()
    known.learn(1, "acme/old", at(5), is_read=False)
    assert known.learn(1, "acme/older", at(4), is_read=False) is None
    moved = known.learn(1, "acme/new", at(6), is_read=False)
    assert moved == RepositoryMoved(1, "acme/old", "acme/new", at(6), False)


def test_what_was_read_is_so_after_a_restart_too() -> None:
    """The event remembers that the name was read; a stale payload changes nothing then either."""
    known = Repositories()
    known.restore(1, "acme/old", "acme/old", at(9_000), is_read=False)
    known.restore(1, "acme/old", "acme/new", at(1), is_read=True)
    assert known.learn(1, "acme/old", at(9_999), is_read=False) is None
    assert Repositories(known.all()).learn(1, "acme/old", at(9_999), is_read=False) is None


def test_who_takes_a_canonical_name_is_filed_under_its_id() -> None:
    """Two repositories never share a canonical name, and the name means the one called so now."""
    known = Repositories()
    known.learn(1, "acme/widgets", at(0), is_read=True)
    known.learn(1, "acme/old", at(1), is_read=True)
    moved = known.learn(2, "acme/widgets", at(2), is_read=True)
    assert moved == RepositoryMoved(2, "acme/widgets~2", "acme/widgets", at(2), True)
    assert known.canonical("acme/widgets") == "acme/widgets~2"
    known.learn(2, "acme/else", at(3), is_read=True)
    assert known.canonical("acme/widgets") == "acme/widgets~2", "it left the name last"


def test_who_takes_a_name_somebody_had_in_between_is_told_of() -> None:
    """The name was an alias of another repository and now is a canonical one."""
    known = Repositories()
    known.learn(1, "acme/widgets", at(0), is_read=True)
    known.learn(1, "acme/passing", at(1), is_read=True)
    known.learn(1, "acme/final", at(2), is_read=True)
    moved = known.learn(2, "acme/passing", at(3), is_read=True)
    assert moved == RepositoryMoved(2, "acme/passing", "acme/passing", at(3), True)
    assert known.canonical("acme/passing") == "acme/passing"
    assert known.canonical("acme/final") == "acme/widgets"


@pytest.mark.parametrize("first", [True, False])
def test_the_past_comes_back_with_its_canonical_names(first: bool) -> None:
    """An event of the past says under which name things were filed; that stands."""
    known = Repositories()
    if not first:
        known.learn(2, "acme/other", at(0), is_read=True)
    known.restore(2, "acme/widgets~2", "acme/widgets", at(1), is_read=True)
    repository = known.get(2)
    assert repository is not None
    assert repository.canonical == ("acme/widgets~2" if first else "acme/other")
    assert repository.current == "acme/widgets"


names = st.sampled_from([f"acme/{name}" for name in "abcd"])


@given(st.lists(st.tuples(st.integers(1, 4), names, st.integers(0, 20)), max_size=20))
def test_canonical_names_are_one_to_one_and_survive_a_snapshot(
    told: list[tuple[int, str, int]],
) -> None:
    """Whatever is renamed into whatever: one id, one canonical name, and who is called so now wins."""
    known = Repositories()
    first: dict[int, str] = {}
    for repo_id, name, when in told:
        known.learn(repo_id, name, at(when), is_read=True)
        repository = known.get(repo_id)
        assert repository is not None
        assert first.setdefault(repo_id, repository.canonical) == repository.canonical
    assert len(set(first.values())) == len(first)
    again = Repositories(known.all())
    assert again.all() == known.all()
    for name in (*map("acme/{}".format, "abcde"), *first.values()):
        assert again.canonical(name) == known.canonical(name)
        called_so = {each.canonical for each in known.all() if each.current == name}
        if called_so:
            assert known.canonical(name) in called_so
