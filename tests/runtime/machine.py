"""A tree under a program of random steps, with a ledger of what became of every message.

A step is plain data, so that Hypothesis can shrink a failing program; numbers pick actors, seconds and
others by remainder, so that every step means something in every state.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

import outcome
import trio
import trio.testing

from coordinator.runtime import (
    Actor,
    ActorRef,
    ActorSpec,
    Backoff,
    Call,
    Cast,
    Down,
    Hooks,
    Mailbox,
    ReplyError,
    RuntimeFault,
    SupervisorSpec,
    Tree,
    child,
    dynamic,
    open_tree,
    supervisor,
    task,
)
from coordinator.runtime.restart import Restart
from coordinator.runtime.supervisor import Supervisor
from tests.runtime.stage import BoomError

__all__ = [
    "ALL_DONE_S",
    "DEEDS",
    "PLACES",
    "VERBS",
    "Ask",
    "Ledger",
    "Order",
    "Step",
    "World",
    "strike",
]

T = TypeVar("T")
QUICK = Backoff(min_s=0.1, max_s=2.0)
PLACES = ("a", "b", "c", "d", "t", "w", "x", "y", "z", "f0", "k0", "k1", "k2")
SUPERVISORS = ("root", "all", "rest", "flat", "pool")
HOMES = dict(zip(PLACES, ("all",) * 2 + ("rest",) * 3 + ("flat",) * 5 + ("pool",) * 3, strict=True))
# Whatever a handler, a call or a backoff waits for is over by then.
ALL_DONE_S = 200.0

DEEDS = (
    "note", "boom", "boom_once", "hang", "hold", "job", "bad_job", "item", "swallow", "refuse", "ask",
    "timer", "cancel_timer", "stop", "stash", "unstash", "watch", "unwatch", "nowait",
)  # fmt: skip
VERBS = (
    "cast", "nowait", "coalesce", "call", "call_briefly", "start", "terminate", "restart", "delete",
    "drain", "suspend", "resume", "kill", "strike", "leave", "advance", "settle", "release",
    "fail_init", "stop", "look", "trace",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """What to do, to whom, with which deed and number, and how many scheduling passes to let by."""

    verb: str
    who: int = 0
    deed: str = "note"
    n: int = 0
    passes: int = 0


@dataclass(frozen=True, slots=True)
class Order(Cast):
    """A deed for the actor that handles it. The number makes each one different from all others."""

    number: int
    deed: str
    n: int
    sender: str


@dataclass(frozen=True, slots=True)
class Ask(Call[int]):
    """The same with an answer: its number."""

    number: int
    deed: str
    n: int


@dataclass(frozen=True, slots=True)
class Tick(Cast):
    """All of them are equal: what coalesces."""


def strike(tree: Tree, supervisor_id: str) -> bool:
    """A supervisor's own code breaks at the await it is in; False if it is in none."""
    body = tree._registry.find(supervisor_id).body
    assert isinstance(body, Supervisor)
    sleeper, body._bell._sleeper = body._bell._sleeper, None
    if sleeper is not None:
        trio.lowlevel.reschedule(sleeper, outcome.Error(BoomError("struck")))
    return sleeper is not None


async def worker(*, task_status: "trio.TaskStatus[None]") -> None:
    """A task child that is ready at once and runs until it is stopped."""
    task_status.started()
    await trio.sleep_forever()


class Subject(Actor):
    """Does what its messages tell it."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.watched: set[str] = set()

    async def init(self) -> None:
        if self.world.failing_inits:
            self.world.failing_inits -= 1
            raise BoomError("init")

    async def handle(self, message: object) -> int:
        if isinstance(message, Down):
            self._told(message.id)
        if not isinstance(message, Order | Ask):
            return 0
        self.world.ledger.begin(message, self.context.id)
        deed: Callable[[int], Awaitable[None] | None] = getattr(self, message.deed)
        waiting = deed(message.n)
        if waiting is not None:
            await waiting
        return message.number

    def _told(self, name: str) -> None:
        if name not in self.watched:
            self.world.ledger.wrong.append(
                f"{self.context.id} hears unasked, or twice, that {name} is down"
            )
        self.watched.discard(name)

    def note(self, n: int) -> None:
        pass

    def boom(self, n: int) -> None:
        raise BoomError("always")

    def boom_once(self, n: int) -> None:
        if self.context.attempt == 1:
            raise BoomError("once")

    async def hang(self, n: int) -> None:
        await trio.sleep(10 * n)

    async def hold(self, n: int) -> None:
        with trio.CancelScope(shield=not self.world.is_calm):
            await self.world.gate.wait()

    async def swallow(self, n: int) -> None:
        with suppress(trio.Cancelled):
            await trio.sleep(5 * n)

    def job(self, n: int) -> None:
        self.context.spawn(trio.sleep, n, name="job")

    def bad_job(self, n: int) -> None:
        self.context.spawn(self._break, n, name="job", item=n if n % 2 else None)

    async def _break(self, n: int) -> None:
        await trio.sleep(n / 2)
        raise BoomError("job")

    def item(self, n: int) -> None:
        if len(self.context.crashes_of(n)) < 2:
            self.context.working_on(n)
            raise BoomError("item")

    def refuse(self, n: int) -> None:
        raise ReplyError(ValueError("refused"))

    async def ask(self, n: int) -> None:
        await self.world.call(PLACES[n % len(PLACES)], "note", 0, timeout_s=1 + n)

    def nowait(self, n: int) -> None:
        self.world.nowait(PLACES[n % len(PLACES)], "note", n)

    def timer(self, n: int) -> None:
        message = self.world.ledger.order("note", n)
        self.context.start_timer(str(n % 2), n / 4, message)

    def cancel_timer(self, n: int) -> None:
        self.context.cancel_timer(str(n % 2))

    def stop(self, n: int) -> None:
        self.context.stop()

    def stash(self, n: int) -> None:
        self.context.stash()

    def unstash(self, n: int) -> None:
        self.context.unstash_all()

    def watch(self, n: int) -> None:
        with suppress(KeyError):
            self.context.watch(self.world.ref(at(PLACES, 2 * n)))
            self.watched.add(at(PLACES, 2 * n))

    def unwatch(self, n: int) -> None:
        with suppress(KeyError):
            self.context.unwatch(self.world.ref(at(PLACES, 2 * n)))
            self.watched.discard(at(PLACES, 2 * n))


class Ledger:
    """Offered, accepted, and the fate of each message, as senders, handlers and hooks see them."""

    def __init__(self) -> None:
        self.numbers = count(1)
        self.offered: Counter[object] = Counter()
        self.accepted: Counter[object] = Counter()
        self.fates: Counter[object] = Counter()
        self.begun: set[object] = set()
        self.latest: dict[str, int] = {}
        self.forsaken: set[object] = set()
        self.wrong: list[str] = []

    def order(self, deed: str, n: int, sender: str = "") -> Order:
        order = Order(next(self.numbers), deed, n, sender)
        self.offered[order] += 1
        return order

    def begin(self, message: "Order | Ask", by: str) -> None:
        self.begun.add(message)
        if isinstance(message, Order) and message.sender == "program" and message.deed != "stash":
            if message.number < self.latest.get(by, 0):
                self.wrong.append(f"{message} is handled after number {self.latest[by]}")
            self.latest[by] = message.number
        if message in self.forsaken:
            self.wrong.append(f"{message} is handled though its caller had given up")
        if self.fates[message]:
            self.wrong.append(f"{message} is handled though it was settled")

    def settle(self, message: object) -> None:
        if not isinstance(message, Order | Ask | Tick):
            return
        self.fates[message] += 1
        if self.fates[message] > self.offered[message]:
            self.wrong.append(f"{message} was settled {self.fates[message]} times")

    def unsettled(self) -> list[str]:
        """What was accepted and has had no fate."""
        return [f"{m} is lost" for m, times in self.accepted.items() if self.fates[m] < times]

    def hooks(self) -> Hooks:
        return Hooks(
            handled=lambda _id, message, *_: self.settle(message),
            dead_letter=lambda letter: self.settle(letter.message),
            returned=lambda _id, message: self.settle(message),
            dropped=lambda _id, message: self.settle(message),
        )


class World:
    """The running tree, what the program has under way, and the verbs."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.ledger = Ledger()
        self.gate = trio.Event()
        self.failing_inits = 0
        self.is_calm = False
        self.up = trio.Event()
        self.over = trio.Event()
        self.outcome: BaseException | None = None
        self.errands: dict[trio.CancelScope, str] = {}
        self.tree: Tree

    def _subject(self, name: str, mailbox: Mailbox, restart: Restart = "permanent") -> ActorSpec:
        return child(
            Subject, self, id=name, restart=restart, mailbox=mailbox, backoff=QUICK, shutdown_s=2.0
        )

    def spec(self) -> SupervisorSpec:
        """Every strategy, every policy, every restart type, each with little room."""
        wait, small = Mailbox(8), Mailbox(2)
        return supervisor(
            "root",
            supervisor("all", self._subject("a", wait), self._subject("b", small, "transient"),
                       strategy="one_for_all", backoff=QUICK),
            supervisor("rest", self._subject("c", wait), self._subject("d", small, "temporary"),
                       task(worker, id="t", backoff=QUICK), strategy="rest_for_one", backoff=QUICK),
            supervisor("flat", self._subject("w", Mailbox(2, "wait")),
                       self._subject("x", Mailbox(2, "reject"), "transient"),
                       self._subject("y", Mailbox(2, "drop_oldest"), "transient"),
                       self._subject("z", Mailbox(2, "drop_newest")), backoff=QUICK),
            dynamic("pool", initial=[self._subject("k0", small)], max_children=3, backoff=QUICK),
            intensity=10,
        )  # fmt: skip

    async def live(self) -> None:
        """Own the tree; how it ended is noted, not raised."""
        try:
            async with open_tree(self.spec(), hooks=self.ledger.hooks()) as self.tree:
                self.up.set()
                await self.over.wait()
        except (RuntimeFault, BoomError, BaseExceptionGroup) as exc:
            self.outcome = exc
            self.up.set()

    async def take(self, step: Step) -> None:
        """One step. What the runtime refuses is an answer like any other."""
        verb: Callable[[Step], Awaitable[None] | None] = getattr(self, f"do_{step.verb}")
        with suppress(RuntimeFault, KeyError):
            waiting = verb(step)
            if waiting is not None:
                await waiting

    def errand(self, fn: Callable[..., Awaitable[object]], *args: object) -> None:
        """Something that waits, as a task of its own that the program can cancel."""
        scope = trio.CancelScope()

        async def run() -> None:
            with scope, suppress(RuntimeFault, KeyError, ValueError):
                await fn(*args)
            del self.errands[scope]

        self.errands[scope] = fn.__name__
        self.nursery.start_soon(run, name="errand")

    # messages -----------------------------------------------------------------------------------

    def ref(self, name: str) -> ActorRef:
        return self.tree.ref(name)

    def nowait(self, name: str, deed: str, n: int, sender: str = "") -> None:
        with suppress(RuntimeFault, KeyError):
            ref, order = self.ref(name), self.ledger.order(deed, n, sender)
            if ref.cast_nowait(order):
                self.ledger.accepted[order] += 1

    async def cast(self, name: str, deed: str, n: int) -> None:
        ref, order = self.ref(name), self.ledger.order(deed, n)
        await ref.cast(order)
        self.ledger.accepted[order] += 1

    async def call(self, name: str, deed: str, n: int, timeout_s: float) -> None:
        ask = Ask(next(self.ledger.numbers), deed, n)
        self.ledger.offered[ask] += 1
        try:
            with suppress(RuntimeFault, KeyError, ValueError):
                answer = await self.ref(name).call(ask, timeout_s=timeout_s)
                if answer != ask.number or not self.ledger.fates[ask]:
                    self.ledger.wrong.append(f"{ask} was answered {answer}")
        finally:
            if ask not in self.ledger.begun:
                self.ledger.forsaken.add(ask)

    def do_cast(self, step: Step) -> None:
        self.errand(self.cast, at(PLACES, step.who), step.deed, step.n)

    def do_nowait(self, step: Step) -> None:
        self.nowait(at(PLACES, step.who), step.deed, step.n, "program")

    def do_coalesce(self, step: Step) -> None:
        ref = self.ref(at(PLACES, step.who))
        self.ledger.offered[Tick()] += 1
        if ref.cast_nowait(Tick(), coalesce=True):
            self.ledger.accepted[Tick()] += 1

    def do_call(self, step: Step) -> None:
        self.errand(self.call, at(PLACES, step.who), step.deed, step.n, 5.0)

    def do_call_briefly(self, step: Step) -> None:
        self.errand(self.call, at(PLACES, step.who), step.deed, step.n, 0.01)

    def do_leave(self, step: Step) -> None:
        if self.errands:
            at(tuple(self.errands), step.who).cancel()

    # administration -----------------------------------------------------------------------------

    def do_start(self, step: Step) -> None:
        owner, names = at((("pool", ("k0", "k1", "k2")), ("flat", ("f0", "w"))), step.n)
        self.errand(self.tree.start_child, owner, self._subject(at(names, step.who), Mailbox(2)))

    def _verb(self, step: Step, verb: Callable[[str, str], Awaitable[object]]) -> None:
        name = at(PLACES, step.who) if step.n else at(SUPERVISORS[1:], step.who)
        self.errand(verb, HOMES.get(name, "root"), name)

    def do_terminate(self, step: Step) -> None:
        self._verb(step, self.tree.terminate_child)

    def do_restart(self, step: Step) -> None:
        self._verb(step, self.tree.restart_child)

    def do_delete(self, step: Step) -> None:
        self._verb(step, self.tree.delete_child)

    def do_kill(self, step: Step) -> None:
        self.tree.kill(at(PLACES, step.who))

    def do_strike(self, step: Step) -> None:
        strike(self.tree, at(SUPERVISORS, step.who))

    def do_drain(self, step: Step) -> None:
        self._verb(step, self.tree.drain_child)

    def do_suspend(self, step: Step) -> None:
        self.tree.suspend(at(PLACES, step.who))

    def do_resume(self, step: Step) -> None:
        self.tree.resume(at(PLACES, step.who))

    def do_trace(self, step: Step) -> None:
        self.errand(self._trace, at(PLACES, step.who), step.n)

    async def _trace(self, name: str, n: int) -> None:
        with self.tree.trace(name, capacity=1 + n) as trace, trio.move_on_after(n):
            async for _ in trace:
                pass

    def do_fail_init(self, step: Step) -> None:
        self.failing_inits = step.n

    def do_stop(self, step: Step) -> None:
        if step.n > 3:  # rarely: it ends most of what a program could still find
            self.errand(self.tree.stop, "shutdown", step.n == 4)

    # time and eyes ------------------------------------------------------------------------------

    async def do_advance(self, step: Step) -> None:
        await trio.sleep((0.05, 0.5, 1.0, 2.5, 6.0, 31.0)[step.n % 6])

    async def do_settle(self, step: Step) -> None:
        await trio.testing.wait_all_tasks_blocked()

    def do_release(self, step: Step) -> None:
        self.gate.set()
        self.gate = trio.Event()

    def calm(self) -> None:
        """Let go of everybody who is held back on purpose, and hold nobody any more."""
        self.is_calm, self.failing_inits = True, 0
        self.gate.set()
        for name in PLACES:
            with suppress(RuntimeFault, KeyError):
                self.tree.resume(name)

    def do_look(self, step: Step) -> None:
        self.tree.dump().as_dict()


def at(options: Sequence[T], number: int) -> T:
    """The option a number stands for."""
    return options[number % len(options)]
