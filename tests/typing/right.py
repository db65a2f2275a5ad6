"""What must pass: mypy finds nothing here, and knows each type that is asserted."""

from dataclasses import dataclass
from typing import TypeVar, assert_type

from coordinator.runtime import Actor, ActorRef, Call, Cast, Down, Tree

T = TypeVar("T")


@dataclass(frozen=True)
class Add(Cast):
    amount: int


@dataclass(frozen=True, slots=True)
class Forget(Cast):
    pass


@dataclass(frozen=True, slots=True)
class Total(Call[int]):
    pass


@dataclass(frozen=True)
class Name(Call[str]):
    pass


class Counter(Actor):
    async def handle(self, message: Add | Total | Down) -> int | None:
        return 0 if isinstance(message, Total) else None


class Meek(Counter):
    """Takes what a counter takes."""


class Anything(Actor):
    async def handle(self, message: object) -> None:
        return None


class Unsaid(Actor):
    """Does not say what it takes."""


async def send(ref: ActorRef, message: Cast) -> None:
    """A plain reference takes any Cast …"""
    await ref.cast(message)
    ref.cast_nowait(message, coalesce=True)


async def ask(ref: ActorRef, message: Call[T]) -> T:
    """… and any Call, whose reply type survives."""
    return await ref.call(message, timeout_s=1.0)


async def use(tree: Tree, only_adds: ActorRef[Add]) -> None:
    """Every right way to send."""
    counter = tree.ref("counter", Counter)
    assert_type(counter, ActorRef[Add | Total | Down])
    await counter.cast(Add(1))
    assert_type(counter.cast_nowait(Add(1), coalesce=True), bool)
    assert_type(await counter.call(Total()), int)
    assert_type(await tree.ref("counter").call(Name()), str)
    assert_type(await ask(counter, Total()), int)
    assert_type(await counter.down(), str)
    await send(counter, Forget())
    await tree.ref("meek", Meek).cast(Add(1))
    await tree.ref("any", Anything).cast(Forget())
    await tree.ref("unsaid", Unsaid).cast(Forget())
    only_adds = counter  # who takes more may stand for who takes less
    await only_adds.cast(Add(1))
