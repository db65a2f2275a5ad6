"""The same work on coordinator.runtime, and what only it is asked: scale, dump, floods.

Each function builds its own tree, so that no measure inherits the garbage of another.
"""

import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio
import trio.testing

from coordinator.runtime import (
    Actor,
    ActorDown,
    ActorRef,
    ActorSpec,
    Call,
    Cast,
    Tree,
    child,
    dynamic,
    open_tree,
    supervisor,
)

__all__ = [
    "Flood",
    "bare_task_bytes",
    "call",
    "cast",
    "crash_and_restart",
    "dump_ms",
    "fan_out",
    "flood",
    "idle_actor_bytes",
    "lifetime",
    "spawn_bare",
    "spawn_one_by_one",
]

# What one message of the flood costs its handler: the hard case, for it never awaits.
FLOOD_HANDLER_S = 0.0005
_FLOOD_SENDERS = 4


@dataclass(frozen=True)
class Add(Cast):
    amount: int


@dataclass(frozen=True)
class Total(Call[int]):
    pass


@dataclass(frozen=True)
class Break(Cast):
    pass


class Adder(Actor):
    """Adds up, as the receivers of the rivals do."""

    async def init(self) -> None:
        self.total = 0

    async def handle(self, message: Add | Total) -> int | None:
        if isinstance(message, Add):
            self.total += message.amount
            return None
        return self.total


class Counting(Actor):
    """Adds up to its target; the last actor to reach it says so."""

    def __init__(self, target: int, busy: list[None], is_done: trio.Event) -> None:
        self.target = target
        self.busy = busy
        self.is_done = is_done

    async def handle(self, message: Add) -> None:
        self.target -= message.amount
        if not self.target:
            self.busy.pop()
            if not self.busy:
                self.is_done.set()


class Idle(Actor):
    async def handle(self, message: Cast) -> None:
        pass


class Breaking(Actor):
    """Crashes at the first attempt and handles the message at the second; the last one says so."""

    def __init__(self, left: list[None], is_done: trio.Event) -> None:
        self.left = left
        self.is_done = is_done

    async def handle(self, message: Break) -> None:
        if self.context.attempt == 1:
            raise RuntimeError("asked to")
        self.left.pop()
        if not self.left:
            self.is_done.set()


class Slow(Actor):
    async def handle(self, message: Add) -> None:
        until_s = time.perf_counter() + FLOOD_HANDLER_S
        while time.perf_counter() < until_s:
            pass


# messages ---------------------------------------------------------------------------------------


def cast(messages: int) -> float:
    """Seconds per `cast`, from the first one until the last was handled."""

    async def send_all() -> float:
        async with open_tree(supervisor("root", child(Adder, id="adder"))) as tree:
            adder, message = tree.ref("adder"), Add(1)
            began_s = time.perf_counter()
            for _ in range(messages):
                await adder.cast(message)
            assert await adder.call(Total()) == messages
            return (time.perf_counter() - began_s) / messages

    return trio.run(send_all)


def call(questions: int) -> float:
    """Seconds per `call`, one at a time."""

    async def ask_all() -> float:
        async with open_tree(supervisor("root", child(Adder, id="adder"))) as tree:
            adder, message = tree.ref("adder"), Total()
            began_s = time.perf_counter()
            for _ in range(questions):
                await adder.call(message)
            return (time.perf_counter() - began_s) / questions

    return trio.run(ask_all)


def fan_out(messages: int, actors: int) -> float:
    """Seconds per `cast` of one sender that goes round all actors, until all have handled theirs."""

    async def send_all() -> float:
        rounds = max(messages // actors, 1)
        busy, is_done = [None] * actors, trio.Event()
        specs = _many(Counting, actors, rounds, busy, is_done)
        async with open_tree(dynamic("root", initial=specs)) as tree:
            refs, message = _refs(tree, actors), Add(1)
            gc.collect()
            began_s = time.perf_counter()
            for _ in range(rounds):
                for ref in refs:
                    await ref.cast(message)
            await is_done.wait()
            return (time.perf_counter() - began_s) / (rounds * actors)

    return trio.run(send_all)


def _many(kind: type[Actor], count: int, *args: object) -> list[ActorSpec]:
    return [child(kind, *args, id=f"actor-{number}") for number in range(count)]


def _refs(tree: Tree, count: int) -> list[ActorRef]:
    return [tree.ref(f"actor-{number}") for number in range(count)]


# lives ------------------------------------------------------------------------------------------


def spawn_bare(count: int) -> float:
    """Seconds per `nursery.start` of a task that waits on a channel."""

    async def spawn() -> float:
        async with trio.open_nursery() as nursery:
            began_s = time.perf_counter()
            for _ in range(count):
                await nursery.start(_wait_on_channel)
            took_s = time.perf_counter() - began_s
            nursery.cancel_scope.cancel()
        return took_s / count

    return trio.run(spawn)


async def _wait_on_channel(
    task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED,
) -> None:
    send, receive = trio.open_memory_channel[int](64)
    task_status.started()
    with send, receive:
        async for _ in receive:
            pass


def spawn_one_by_one(count: int) -> float:
    """Seconds per `start_child` of an actor, each awaited until it is ready."""

    async def spawn() -> float:
        specs = _many(Idle, count)
        async with open_tree(dynamic("root")) as tree:
            began_s = time.perf_counter()
            for spec in specs:
                await tree.start_child("root", spec)
            return (time.perf_counter() - began_s) / count

    return trio.run(spawn)


def crash_and_restart(count: int) -> float:
    """Seconds from a message that crashes its actor until the next life has handled it."""

    async def crash() -> float:
        left: list[None] = [None] * count
        is_done = trio.Event()
        specs = _many(Breaking, count, left, is_done)
        async with open_tree(dynamic("root", initial=specs, intensity=count)) as tree:
            refs = _refs(tree, count)
            began_s = time.perf_counter()
            for ref in refs:
                ref.cast_nowait(Break())
            await is_done.wait()
            return (time.perf_counter() - began_s) / count

    return trio.run(crash)


def lifetime(count: int, *, is_dynamic: bool) -> float:
    """Seconds per child to describe, start and stop so many under one supervisor."""

    async def live() -> float:
        began_s = time.perf_counter()
        specs = _many(Idle, count)
        root = dynamic("root", initial=specs) if is_dynamic else supervisor("root", *specs)
        async with open_tree(root):
            pass
        return (time.perf_counter() - began_s) / count

    gc.collect()
    return trio.run(live)


# memory and pictures ----------------------------------------------------------------------------


def bare_task_bytes(count: int) -> float:
    """Python memory of one task that waits on a channel of its own."""

    async def measure() -> float:
        async with trio.open_nursery() as nursery:
            before = _traced()
            for _ in range(count):
                nursery.start_soon(_wait_on_channel)
            await trio.testing.wait_all_tasks_blocked()
            took = _traced() - before
            nursery.cancel_scope.cancel()
        return took / count

    return _under_trace(measure)


def idle_actor_bytes(count: int) -> float:
    """Python memory of one actor that has nothing to do, its specification and place included."""

    async def measure() -> float:
        before = _traced()
        async with open_tree(dynamic("root", initial=_many(Idle, count))):
            await trio.testing.wait_all_tasks_blocked()
            return (_traced() - before) / count

    return _under_trace(measure)


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _under_trace(measure: Callable[[], Awaitable[float]]) -> float:
    tracemalloc.start(1)
    try:
        return trio.run(measure)
    finally:
        tracemalloc.stop()


def dump_ms(count: int) -> float:
    """Milliseconds for one picture of so many actors, each with ten messages behind it."""

    async def look() -> float:
        async with open_tree(dynamic("root", initial=_many(Adder, count))) as tree:
            for ref in _refs(tree, count):
                for _ in range(10):
                    ref.cast_nowait(Add(1))
            await trio.testing.wait_all_tasks_blocked()
            gc.collect()
            began_s = time.perf_counter()
            dump = tree.dump()
            took_s = time.perf_counter() - began_s
            assert len(dump.root.children) == count
            return took_s * 1000

    return trio.run(look)


# floods -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Flood:
    """The longest time another task had to wait for its turn, and what a stop took."""

    longest_gap_ms: float = 0.0
    stop_ms: float = 0.0


def flood(seconds: float) -> Flood:
    """An actor with a slow sync handler, senders that keep its mailbox full, and a heartbeat."""
    result = Flood()
    is_over = False

    async def heart() -> None:
        last_s = time.thread_time()  # what other processes take meanwhile is not the actor's fault
        while not is_over:
            await trio.lowlevel.checkpoint()
            now_s = time.thread_time()
            result.longest_gap_ms = max(result.longest_gap_ms, (now_s - last_s) * 1000)
            last_s = now_s

    async def send(ref: ActorRef) -> None:
        try:
            while True:
                await ref.cast(Add(1))
        except ActorDown:
            pass

    async def drown() -> None:
        nonlocal is_over
        root = supervisor("root", child(Slow, id="slow"))
        async with open_tree(root) as tree, trio.open_nursery() as nursery:
            for _ in range(_FLOOD_SENDERS):
                nursery.start_soon(send, tree.ref("slow"))
            nursery.start_soon(heart)
            await trio.sleep(seconds)
            is_over = True
            began_s = time.perf_counter()
            await tree.stop()
            result.stop_ms = (time.perf_counter() - began_s) * 1000

    trio.run(drown)
    return result
