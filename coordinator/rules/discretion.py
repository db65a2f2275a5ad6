"""What may be said of other repositories on an issue: its readers need not be theirs.

Another issue is named only if it is in the same repository, or in one that everybody may see, or if the
issue's own text names it: then as the text does, for the name it has now may be a secret.
"""

import re
from collections.abc import Iterable, Mapping

from coordinator.rules.ids import IssueRef
from coordinator.rules.views import IssueView

__all__ = ["discreet", "elsewhere", "foreign", "is_open_to_all", "presently", "stated_name"]


def foreign(view: IssueView) -> frozenset[str]:
    """The other repositories, by canonical names, of issues that it waits for or is in a cycle with."""
    return frozenset(ref.repo for ref in _others(view))


def is_open_to_all(ref: IssueRef, view: IssueView) -> bool:
    """Whether whoever reads the issue of the view may see this one, too."""
    return ref.repo == view.issue.repo or ref.repo in view.public


def stated_name(ref: IssueRef, view: IssueView) -> str | None:
    """What the text of the issue calls this one, in lower case; None if it does not name it."""
    stated = view.metadata.blocked_by if view.metadata is not None else ()
    present = dict(view.names).get(ref.repo, ref.repo).lower()
    names = (IssueRef(name, ref.number) for name in (ref.repo, present))
    return next((str(name) for name in names if name in stated), None)


def elsewhere(count: int) -> str:
    """That many issues without their names."""
    return "an issue in another repository" if count == 1 else f"{count} issues in other repositories"


def presently(evidence: str, refs: Iterable[IssueRef], names: Mapping[str, str]) -> str:
    """The evidence with these issues named after what their repositories are called now; `names` has
    that by canonical names."""
    renamed = {str(ref): _present(ref, names) for ref in refs}
    return _replaced(evidence, {old: new for old, new in renamed.items() if old != new.lower()})


def discreet(evidence: str, view: IssueView) -> str:
    """The evidence of the view in words for strangers."""
    said: dict[str, str] = {}
    for ref in _others(view):
        if not is_open_to_all(ref, view):
            words = stated_name(ref, view) or elsewhere(1)
            said |= {str(ref): words, _present(ref, dict(view.names)): words}
    told = _replaced(evidence, said)
    unnamed = re.escape(elsewhere(1))
    return re.sub(
        rf"{unnamed}(?:, {unnamed})+", lambda found: elsewhere(found[0].count(elsewhere(1))), told
    )


def _others(view: IssueView) -> list[IssueRef]:
    named = {*view.open_blockers, *view.unknown_blockers, *view.cycle}
    return sorted(ref for ref in named if ref.repo != view.issue.repo)


def _present(ref: IssueRef, names: Mapping[str, str]) -> str:
    return f"{names.get(ref.repo, ref.repo)}#{ref.number}"


def _replaced(evidence: str, said: Mapping[str, str]) -> str:
    """The evidence with other words for these names, wherever they stand alone."""
    if not said:
        return evidence
    names = "|".join(map(re.escape, said))
    return re.sub(rf"(?<![\w.~/-])(?:{names})(?!\d)", lambda found: said[found[0]], evidence)
