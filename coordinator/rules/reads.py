"""Which issues are to be read at the forge now, so that bursts are cheap and nothing waits for ever.

An ask is an order (durable, known by its id) for one issue. All that is asked for one issue before
its read is *sent* is answered by that read; what is asked while it is under way needs one more. A
repository that cannot be read backs off alone, and none takes all the room there is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from coordinator.rules.backoff import backoff_s
from coordinator.rules.ids import IssueRef, Login
from coordinator.rules.orders import ReadIssue, ReadWhy

__all__ = ["Read", "ReadQueue"]

# A forge sends what belongs to one action within some ten milliseconds of each other.
WINDOW_S = 0.1
# What a forge on a small machine answers at once without slowing down for its people.
CONCURRENCY = 8
# One slow repository leaves half of the room to the others.
PER_REPOSITORY = 4

# When several asked, the read counts as the one furthest to the front: what a delivery has told of
# was not missed, whoever else noticed.
_RANK: dict[ReadWhy, int] = {
    "delivery": 0, "command": 1, "blocks": 2, "blocker": 3, "first": 4, "sweep": 5,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Read:
    """One read to send now, and the orders it answers, by their ids."""

    ref: IssueRef
    orders: tuple[tuple[int, ReadIssue], ...]

    @property
    def order_ids(self) -> tuple[int, ...]:
        return tuple(order_id for order_id, _ in self.orders)

    @property
    def latest(self) -> ReadIssue:
        """The order asked last: it knows best where the repository is."""
        return self.orders[-1][1]

    @property
    def why(self) -> ReadWhy:
        return min((order.why for _, order in self.orders), key=_RANK.__getitem__)

    @property
    def action(self) -> str:
        """The action of the last delivery among those who asked, or "read"."""
        told = [order.action for _, order in self.orders if order.why == "delivery"]
        return told[-1] if told else "read"

    def by(self, agents: Iterable[Login]) -> Login | None:
        """Who changed the issue: of several, rather a person than one of the agents."""
        told = [order.by for _, order in self.orders if order.why == "delivery"]
        people = [by for by in told if by not in set(agents)]
        return (people or told or [None])[-1]


@dataclass(slots=True)
class _Wish:
    due_s: float
    orders: dict[int, ReadIssue] = field(default_factory=dict)
    failures: int = 0


@dataclass(slots=True)
class _Flight:
    read: Read
    wish: _Wish
    repository_failures: int


@dataclass(slots=True)
class _Repository:
    waiting: dict[IssueRef, _Wish] = field(default_factory=dict)
    flying: dict[IssueRef, _Flight] = field(default_factory=dict)
    failures: int = 0
    until_s: float = 0.0

    @property
    def room(self) -> int:
        """After a failure a single read tries whether the repository answers again."""
        return (1 if self.failures else PER_REPOSITORY) - len(self.flying)

    def ripe(self, now_s: float) -> IssueRef | None:
        if self.room <= 0 or now_s < self.until_s:
            return None
        return next((ref for ref, wish in self._free() if wish.due_s <= now_s), None)

    def wait_again(self, ref: IssueRef, wish: _Wish) -> None:
        """At the end of the line, with what was asked meanwhile."""
        newer = self.waiting.pop(ref, None)
        if newer is not None:
            wish.orders |= newer.orders
        self.waiting[ref] = wish

    def next_s(self) -> float | None:
        """When there may be something to send; None: not before a read has ended."""
        if self.room <= 0:
            return None
        due_s = None
        for _, wish in self._free():
            if wish.due_s <= self.until_s:  # none is earlier; thousands may wait for it
                return self.until_s
            due_s = wish.due_s if due_s is None else min(due_s, wish.due_s)
        return due_s

    def _free(self) -> Iterator[tuple[IssueRef, _Wish]]:
        return (each for each in self.waiting.items() if each[0] not in self.flying)


class ReadQueue:
    """Asks in, reads out. Mutable, owned by one actor; instants are seconds of a monotonic clock."""

    def __init__(self, *, window_s: float = WINDOW_S, concurrency: int = CONCURRENCY) -> None:
        self.window_s = window_s
        self.concurrency = concurrency
        # By canonical name, in the order they are served: who was served goes to the end.
        self._repositories: dict[str, _Repository] = {}
        self._asked: set[int] = set()
        self._flying: dict[IssueRef, _Flight] = {}

    def __len__(self) -> int:
        """How many orders are not answered yet."""
        return len(self._asked)

    @property
    def in_flight(self) -> tuple[IssueRef, ...]:
        return tuple(sorted(self._flying))

    @property
    def failing(self) -> dict[str, int]:
        """The repositories that cannot be read, and how often in a row that was tried."""
        return {name: each.failures for name, each in self._repositories.items() if each.failures}

    def ask(self, order_id: int, order: ReadIssue, now_s: float) -> None:
        """Take an order in; one taken in before changes nothing."""
        if order_id in self._asked:
            return
        self._asked.add(order_id)
        waiting = self._repository(order.ref).waiting
        wish = waiting.setdefault(order.ref, _Wish(now_s + self.window_s))
        wish.orders[order_id] = order

    def awaits(self, ref: IssueRef) -> bool:
        """Whether a read of this issue is asked for and not sent yet: it will show all until then."""
        repository = self._repositories.get(ref.repo)
        return repository is not None and ref in repository.waiting

    def pending(self, canonical: str) -> int:
        """How many issues of a repository are to be read or being read."""
        repository = self._repositories.get(canonical)
        return 0 if repository is None else len(repository.waiting.keys() | repository.flying.keys())

    def due(self, now_s: float) -> list[Read]:
        """The reads to send now; each is under way until `done` or `failed` is told of it."""
        reads: list[Read] = []
        served = True
        while served:
            served = False
            for name, repository in list(self._repositories.items()):
                if len(self._flying) >= self.concurrency:
                    return reads
                ref = repository.ripe(now_s)
                if ref is not None:
                    reads.append(self._send(repository, ref))
                    self._repositories[name] = self._repositories.pop(name)
                    served = True
        return reads

    def next_s(self) -> float | None:
        """When `due` should be asked again; None: not before a read has ended or another is asked."""
        if len(self._flying) >= self.concurrency:
            return None
        moments = [each.next_s() for each in self._repositories.values()]
        return min((moment for moment in moments if moment is not None), default=None)

    def done(self, ref: IssueRef) -> tuple[int, ...]:
        """The read of this issue was answered, also by "there is none"; the orders that are done."""
        repository, flight = self._land(ref)
        repository.failures, repository.until_s = 0, 0.0
        self._asked.difference_update(flight.read.order_ids)
        self._tidy(ref)
        return flight.read.order_ids

    def failed(self, ref: IssueRef, now_s: float, *, alone: bool = False) -> None:
        """The read of this issue failed and must be sent again: its repository backs off.

        With `alone` only this issue does: the repository answered, but nothing we can use. Reads that
        were under way together fail together, and that counts once.
        """
        repository, flight = self._land(ref)
        wish = flight.wish
        wish.failures += 1
        wish.due_s = now_s + backoff_s(wish.failures) if alone else now_s
        repository.wait_again(ref, wish)
        if not alone and flight.repository_failures == repository.failures:
            repository.failures += 1
            repository.until_s = now_s + backoff_s(repository.failures)

    def put_back(self, ref: IssueRef) -> None:
        """The read was never sent: it is due as before, and nobody backs off."""
        repository, flight = self._land(ref)
        repository.wait_again(ref, flight.wish)

    def _send(self, repository: _Repository, ref: IssueRef) -> Read:
        wish = repository.waiting.pop(ref)
        read = Read(ref, tuple(sorted(wish.orders.items())))
        flight = _Flight(read, wish, repository.failures)
        repository.flying[ref] = self._flying[ref] = flight
        return read

    def _land(self, ref: IssueRef) -> tuple[_Repository, _Flight]:
        repository = self._repositories[ref.repo]
        del repository.flying[ref]
        return repository, self._flying.pop(ref)

    def _repository(self, ref: IssueRef) -> _Repository:
        return self._repositories.setdefault(ref.repo, _Repository())

    def _tidy(self, ref: IssueRef) -> None:
        repository = self._repositories[ref.repo]
        if not repository.waiting and not repository.flying:
            del self._repositories[ref.repo]
