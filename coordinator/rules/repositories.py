"""Repositories by their id: what each was first called, what it is called now, and what a name means.

A repository keeps for ever the name it was first known by, its *canonical* name: everything in the
journal is filed under it. Renames and transfers change only its *current* name. A repository that
takes a name that was another's canonical one is known as `owner/name~<id>`; no forge allows a "~" in
a name, so no text can forge one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from coordinator.rules.events import RepositoryMoved
from coordinator.rules.ids import IssueRef

__all__ = ["Repositories", "Repository"]


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository: `canonical` in lower case, `current` as the forge spells it.

    It got that name at `since`, as far as we know, and had it still at `seen_at`. `former` are the
    other names it had, sorted, in lower case. With `is_read` the name was read at the forge, and those
    instants are by our clock; else a payload told it, and they are by the forge's.
    """

    id: int
    canonical: str
    current: str
    since: datetime
    seen_at: datetime
    former: tuple[str, ...] = ()
    is_read: bool = False

    @property
    def names(self) -> frozenset[str]:
        return frozenset((*self.former, self.canonical, self.current.lower()))


class Repositories:
    """All repositories ever seen. Mutable, owned by one actor."""

    def __init__(self, known: Iterable[Repository] = ()) -> None:
        self._by_id: dict[int, Repository] = {}
        self._canonical: dict[str, int] = {}
        self._users: dict[str, set[int]] = {}
        self._named: dict[str, Repository] = {}
        for repository in known:
            self._keep(repository)

    def all(self) -> tuple[Repository, ...]:
        """Every repository, in order of the ids."""
        return tuple(self._by_id[each] for each in sorted(self._by_id))

    def get(self, repo_id: int) -> Repository | None:
        """The repository with this id, if it was ever seen."""
        return self._by_id.get(repo_id)

    def find(self, canonical: str) -> Repository | None:
        """The repository filed under this name."""
        repo_id = self._canonical.get(canonical)
        return None if repo_id is None else self._by_id[repo_id]

    def learn(self, repo_id: int, name: str, at: datetime, *, is_read: bool) -> RepositoryMoved | None:
        """Take in that at `at` the forge called the repository `name`; the event if that is news.

        An older view never takes a newer name back: reads are compared by our clock, payloads by the
        forge's, and never one with the other, since no clock orders both. A read beats any payload. A
        first name that nobody ever had is no news, nor is another spelling of the same name.
        """
        known = self._by_id.get(repo_id)
        if known is None:
            is_free = name.lower() not in self._named
            canonical = self._free_name(repo_id, name.lower())
            self._keep(Repository(repo_id, canonical, name, at, at, is_read=is_read))
            return None if is_free else RepositoryMoved(repo_id, canonical, name, at, is_read)
        if known.is_read > is_read or (known.is_read == is_read and at <= known.seen_at):
            return None
        if known.current.lower() == name.lower():
            # Told with every read of an issue, so the names are not looked at again.
            self._by_id[repo_id] = replace(known, current=name, seen_at=at, is_read=is_read)
            return None
        self._rename(replace(known, is_read=is_read), name, at)
        return RepositoryMoved(repo_id, known.canonical, name, at, is_read)

    def restore(
        self, repo_id: int, canonical: str, current: str, at: datetime, *, is_read: bool
    ) -> None:
        """Take back in what an event of the past says: it tells the canonical name, too."""
        if repo_id in self._by_id:
            self.learn(repo_id, current, at, is_read=is_read)
        else:
            self._keep(Repository(repo_id, canonical, current, at, at, is_read=is_read))

    def named(self, name: str) -> Repository | None:
        """The repository called so now, in any case, or else the one so called last, to which a forge
        redirects."""
        named = self._named.get(name.lower())
        return None if named is None else self._by_id[named.id]

    def canonical(self, name: str) -> str:
        """What a name written in a text stands for: the name itself, in lower case, if unknown."""
        named = self.named(name)
        return name.lower() if named is None else named.canonical

    def resolve(self, ref: IssueRef) -> IssueRef:
        """The issue that a reference in a text means."""
        name = self.canonical(ref.repo)
        return ref if name == ref.repo else IssueRef(name, ref.number)

    def _free_name(self, repo_id: int, name: str) -> str:
        return f"{name}~{repo_id}" if name in self._canonical else name

    def _rename(self, known: Repository, name: str, at: datetime) -> None:
        former = tuple(sorted(known.names - {name.lower()}))
        self._keep(replace(known, current=name, since=at, seen_at=at, former=former))

    def _keep(self, repository: Repository) -> None:
        self._by_id[repository.id] = repository
        self._canonical[repository.canonical] = repository.id
        for name in repository.names:
            users = self._users.setdefault(name, set())
            users.add(repository.id)
            self._named[name] = max((self._by_id[each] for each in users), key=_claim_of(name))


def _claim_of(name: str) -> Callable[[Repository], tuple[bool, datetime, int]]:
    """How good a repository's claim to the name is: called so now, and if not, left it last."""
    return lambda each: (each.current.lower() == name, each.since, each.id)
