"""Our labels in each repository: found by name, made when missing, put on issues and taken off.

Forges answer an add of labels they do not know with success and without them, and allow two labels of
one name, so what an answer shows is compared with what was asked for, and nothing is made unlooked.
"""

from collections.abc import Iterable
from contextlib import suppress
from weakref import WeakValueDictionary

import trio

from coordinator.edges.gitea import Forge
from coordinator.errors import ForgeInvalid, ForgeNotFound, ForgeRefused
from coordinator.rules.labels import STATE_SCOPE, is_ours, spec_of
from coordinator.rules.written import Wish

__all__ = ["LabelRack", "write_labels"]

# Repositories whose labels are kept: at a dozen labels of ours each, a few MB at the most.
MAX_REPOSITORIES = 2_000


class LabelRack:
    """The ids of our labels by name, per repository."""

    def __init__(self, forge: Forge) -> None:
        self.forge = forge
        self._ids: dict[int, dict[str, int]] = {}
        # Two issues of one repository must not make the same label twice; and a repository that is slow
        # to answer must keep no other waiting. A lock that nobody holds is gone.
        self._making: WeakValueDictionary[int, trio.Lock] = WeakValueDictionary()

    async def ids(
        self, repo: str, repo_id: int, names: Iterable[str], *, afresh: bool = False
    ) -> dict[str, int]:
        """The ids of these labels, which exist then. `afresh`: what is remembered has proved wrong."""
        wanted = list(names)
        async with self._making.setdefault(repo_id, trio.Lock()):
            known = self._ids.get(repo_id, {})
            if afresh or any(name not in known for name in wanted):
                repo = await self.name(repo, repo_id)  # another may have taken the name we know
                known = await self._load(repo, repo_id)
            for name in wanted:
                if name not in known:
                    spec = spec_of(name)
                    made = await self.forge.create_label(
                        repo, spec.name, spec.color, spec.description, spec.exclusive, repo_id=repo_id
                    )
                    known[name] = made.id
            return {name: known[name] for name in wanted}

    async def known(self, repo: str, repo_id: int) -> dict[str, int]:
        """The ids of all labels of ours that the repository has now."""
        async with self._making.setdefault(repo_id, trio.Lock()):
            return dict(await self._load(repo, repo_id))

    def holds(self, wish: Wish, label_id: int) -> bool:
        """Whether that label was one of those wished for when it was looked up."""
        known = self._ids.get(wish.repo_id, {})
        return any(known.get(name) == label_id for name in wish.labels or ())

    async def name(self, repo: str, repo_id: int) -> str:
        """What the repository is called at this moment."""
        return (await self.forge.repository(repo, repo_id=repo_id)).full_name

    async def _load(self, repo: str, repo_id: int) -> dict[str, int]:
        labels = await self.forge.labels(repo, repo_id=repo_id)
        known: dict[str, int] = {}
        for label in sorted(labels, key=lambda each: each.id):
            if is_ours(label.name):
                known.setdefault(label.name, label.id)
        if len(self._ids) >= MAX_REPOSITORIES:
            self._ids.clear()
        self._ids[repo_id] = known
        return known


async def write_labels(rack: LabelRack, wish: Wish, repo: str) -> None:
    """Exactly the wanted ones of ours on the issue; whatever else is on it stays."""
    wanted = wish.labels or ()
    if not wanted:
        await _clear(rack, wish, repo)
        return
    shown = await _add(rack, wish, repo, afresh=False)
    if not shown.keys() >= set(wanted):
        renamed = [shown[name] for name in shown.keys() - set(wanted) if rack.holds(wish, shown[name])]
        repo = await rack.name(repo, wish.repo_id)
        shown = await _add(rack, wish, repo, afresh=True)
        for label_id in renamed:  # by a person: it is theirs now, and we have just put it on
            await _remove(rack, wish, repo, label_id)
    if missing := sorted(set(wanted) - shown.keys()):
        raise ForgeRefused(f"{repo} did not take the labels {', '.join(missing)}")
    for name, label_id in shown.items():
        if name not in wanted and _may_remove(name, wish):
            await _remove(rack, wish, repo, label_id)


async def _add(rack: LabelRack, wish: Wish, repo: str, *, afresh: bool) -> dict[str, int]:
    """All labels of the issue afterwards. Exclusive ones have taken the place of their siblings."""
    ids = await rack.ids(repo, wish.repo_id, wish.labels or (), afresh=afresh)
    shown = await rack.forge.add_labels(
        repo, wish.ref.number, sorted(ids.values()), repo_id=wish.repo_id
    )
    return {label.name: label.id for label in shown}


async def _clear(rack: LabelRack, wish: Wish, repo: str) -> None:
    issue = await rack.forge.issue(repo, wish.ref.number, repo_id=wish.repo_id)
    repo = issue.repo_full_name
    names = [name for name in issue.labels if _may_remove(name, wish)]
    ids = await rack.known(repo, wish.repo_id) if names else {}
    for name in names:
        if name in ids:  # else it is its organisation's
            await _remove(rack, wish, repo, ids[name])


async def _remove(rack: LabelRack, wish: Wish, repo: str, label_id: int) -> None:
    with suppress(ForgeNotFound, ForgeInvalid):  # the label itself is gone, and so off every issue
        await rack.forge.remove_label(repo, wish.ref.number, label_id, repo_id=wish.repo_id)


def _may_remove(name: str, wish: Wish) -> bool:
    return name.startswith(STATE_SCOPE) or name in wish.removable
