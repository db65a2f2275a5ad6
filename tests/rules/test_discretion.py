"""Strangers learn nothing of repositories they may not see."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.discretion import (
    discreet,
    elsewhere,
    foreign,
    is_open_to_all,
    presently,
    stated_name,
)
from coordinator.rules.ids import IssueRef
from coordinator.rules.views import IssueView
from tests.rules.builders import metadata, ref, view

API, VAULT = IssueRef("acme/api", 3), IssueRef("vault/plans", 7)


def blocked(*blockers: IssueRef, **fields: Any) -> IssueView:
    return view(open_blockers=blockers, **fields)


def test_foreign_are_all_other_repositories_in_the_way() -> None:
    """Blockers, seen or not, and cycles; never its own repository."""
    given_ = view(
        open_blockers=(ref(2), API), unknown_blockers=(VAULT,), cycle=(IssueRef("a/b", 1), API)
    )
    assert foreign(given_) == {"acme/api", "vault/plans", "a/b"}
    assert foreign(view()) == frozenset()


def test_unknown_is_not_public() -> None:
    """Only its own repository and those known to be public are open to who reads the issue."""
    shown = blocked(API, VAULT, public=frozenset({"acme/api"}))
    assert is_open_to_all(ref(2), shown)
    assert is_open_to_all(API, shown)
    assert not is_open_to_all(VAULT, shown)


def test_a_name_counts_as_stated_in_the_spelling_of_the_text() -> None:
    """By the name it was first known by or has now; another number, or no text read, names nothing."""
    names = (("vault/plans", "Vault/Schemes"),)
    assert stated_name(VAULT, blocked(VAULT, metadata=metadata(blocked_by=(VAULT,)))) == "vault/plans#7"
    renamed = metadata(blocked_by=(IssueRef("vault/schemes", 7),))
    assert stated_name(VAULT, blocked(VAULT, metadata=renamed, names=names)) == "vault/schemes#7"
    other = metadata(blocked_by=(IssueRef("vault/plans", 8),))
    assert stated_name(VAULT, blocked(VAULT, metadata=other)) is None
    assert stated_name(VAULT, blocked(VAULT, metadata=None)) is None


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        (
            "waits for vault/plans#7 to be closed",
            "waits for an issue in another repository to be closed",
        ),
        (
            "nothing is known of acme/widgets#2, vault/plans#7, vault/plans#70; so",
            "nothing is known of acme/widgets#2, 2 issues in other repositories; so",
        ),
        (
            "vault/plans#7 → acme/widgets#1 → vault/plans#7",
            "an issue in another repository → acme/widgets#1 → an issue in another repository",
        ),
        (
            "avault/plans#7 and vault/plans#71 are others",
            "avault/plans#7 and vault/plans#71 are others",
        ),
        ("nothing of the kind", "nothing of the kind"),
    ],
)
def test_evidence_is_told_without_names(evidence: str, told: str) -> None:
    """Neighbours in a list are counted; what only looks alike, and the rest of the words, stay."""
    shown = blocked(VAULT, IssueRef("vault/plans", 70), cycle=(VAULT, ref(1)))
    assert discreet(evidence, shown) == told


def test_evidence_stays_as_it_is_where_all_may_be_named() -> None:
    """Its own repository, public ones, and what the text itself says."""
    evidence = "waits for acme/api#3, acme/widgets#2, vault/plans#7 to be closed"
    stated = metadata(blocked_by=(VAULT,))
    public = frozenset({"acme/api"})
    assert discreet(evidence, blocked(API, ref(2), VAULT, metadata=stated, public=public)) == evidence
    assert discreet(evidence, blocked(ref(2))) == evidence


def test_evidence_names_repositories_as_they_are_called_now() -> None:
    """Only those that were renamed, only the issues it is about, and none by a part of its name."""
    names = {"acme/widgets": "Acme/Widgets", "vault/plans": "Vault/Schemes", "acme/api": "New/API"}
    evidence = "waits for acme/api#3, acme/widgets#2, vault/plans#7, vault/plans#70"
    told = "waits for New/API#3, acme/widgets#2, Vault/Schemes#7, vault/plans#70"
    assert presently(evidence, (API, ref(2), VAULT), names) == told
    assert presently(evidence, (), names) == evidence


def test_present_names_are_no_less_secret() -> None:
    """The evidence may name an issue after what its repository is called now; strangers see neither."""
    shown = blocked(VAULT, names=(("vault/plans", "Vault/Schemes"),))
    told = discreet("waits for Vault/Schemes#7 and vault/plans#7", shown)
    assert told == f"waits for {elsewhere(1)} and {elsewhere(1)}"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 120)), max_size=8, unique=True))
def test_no_name_gets_through(numbers: list[tuple[str, int]]) -> None:
    """However many are in the way, in whatever order they are told."""
    refs = [IssueRef(f"secret/{letter}", number) for letter, number in numbers]
    told = discreet("waits for " + ", ".join(map(str, reversed(refs))), blocked(*refs))
    assert "secret/" not in told
    assert told == f"waits for {elsewhere(len(refs)) if refs else ''}"
