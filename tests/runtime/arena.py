"""Where a verb is struck: a small tree, somebody who asks, one fault, and the laws that hold after it.

A deed is one thing asked of a running tree. The fault comes while it is being done; then everything
comes to rest, is judged, has to work as if nothing had been, and goes down.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import trio

from coordinator.runtime import (
    ActorSpec,
    Cast,
    ChildSpec,
    CrashReport,
    Hooks,
    Mailbox,
    RuntimeFault,
    StartFailed,
    SupervisorSpec,
    dynamic,
    open_tree,
    supervisor,
)
from coordinator.runtime.bodies import ActorBody
from coordinator.runtime.child import Child
from coordinator.runtime.restart import Restart, Strategy
from coordinator.runtime.spec import AutoShutdown
from coordinator.runtime.supervisor import Supervisor
from coordinator.runtime.tree import Tree
from tests.runtime.dues import Dues
from tests.runtime.laws import Laws, everybody
from tests.runtime.schedules import aim
from tests.runtime.stage import AT_ONCE, BoomError, Chronicle, Echo, Script, player, settle

__all__ = ["Arena", "Deed", "is_struck"]

Lowering = Callable[[str, str], Awaitable[object]]
# Every ladder, backoff and timeout of a deed is over by then.
REST_S = 100.0
# Longer than any deed, so that nothing a budget has paid is forgotten before it is counted.
PERIOD_S = 1000.0


@dataclass(frozen=True, slots=True)
class Deed:
    """What the caller does, in which tree, and who else takes steps while it is done."""

    act: Callable[["Arena"], Awaitable[None]]
    cast: Callable[["Arena"], SupervisorSpec]
    victims: tuple[str, ...]

    @property
    def name(self) -> str:
        """How a failure calls it."""
        return self.act.__name__


def is_struck(error: BaseException | None) -> bool:
    """Whether the fault is in it: itself, in each part of a group, or as a cause."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_struck, error.exceptions))
    return isinstance(error, BoomError) or (error is not None and is_struck(error.__cause__))


class Arena:
    """One performance of a deed, and everything that was wrong with it."""

    tree: Tree

    def __init__(self, deed: Deed) -> None:
        self.deed = deed
        self.story = Chronicle()
        self.gate = trio.Event()  # holds back who is deaf, until everybody has an answer
        self.wrong: list[str] = []
        self._homes: dict[str, tuple[str, ChildSpec]] = {}
        self._laws: Laws | None = None  # before the tree is up nobody is struck
        self._dues = Dues()
        self._sent: Counter[Cast] = Counter()
        self._fates: Counter[object] = Counter()
        self._ready: set[str] = set()
        self._lowered: set[str] = set()
        self._ended: Counter[str] = Counter()
        self._declined: set[str] = set()
        self._asking = 0
        self._answered = trio.Event()
        self._nursery: trio.Nursery

    # for deeds ----------------------------------------------------------------------------------

    @contextmanager
    def under_fire(self) -> Iterator[None]:
        """The fault comes at a step taken in this block."""
        aim(True)
        try:
            yield
        finally:
            aim(False)

    def send(self, name: str, *messages: Cast) -> None:
        """Queue them, and expect one fate for each."""
        for message in messages:
            if self.tree.ref(name).cast_nowait(message):
                self._sent[message] += 1

    def player(
        self,
        name: str,
        *,
        restart: Restart = "permanent",
        significant: bool = False,
        mailbox: Mailbox = Mailbox(),  # noqa: B008  frozen
        **script: Any,
    ) -> ActorSpec:
        """An actor that has a second for its stop."""
        return player(
            self.story, name, Script(**script), restart=restart, significant=significant,
            mailbox=mailbox, shutdown_s=1.0,
        )  # fmt: skip

    def troupe(
        self, *mid: ChildSpec, strategy: Strategy = "one_for_one", auto: AutoShutdown = "never"
    ) -> SupervisorSpec:
        """The root over `mid`, with the given children or plain a, b and c, and over `pool` with d."""
        children = mid or [self.player(name) for name in "abc"]
        return supervisor(
            "root",
            supervisor("mid", *children, strategy=strategy, period_s=PERIOD_S, backoff=AT_ONCE,
                       auto_shutdown=auto),
            dynamic("pool", initial=[self.player("d")], period_s=PERIOD_S, backoff=AT_ONCE),
            period_s=PERIOD_S,
        )  # fmt: skip

    def ask(self, ask: Callable[..., Awaitable[object]], *args: object) -> None:
        """Another caller, who may be struck like the first."""
        self._asking += 1
        self._nursery.start_soon(self._ask, ask, *args, name="errand")

    async def start(self, home: str, spec: ChildSpec) -> None:
        """Start it by hand: it is ready then, or its name is free at once."""
        self._expect(home, spec)
        try:
            await self.tree.start_child(home, spec)
        except StartFailed:
            assert spec.id not in self.tree.healthy()
            raise
        assert spec.id in self._ready or spec.id in self._declined

    async def lower(self, verb: Lowering, home: str, name: str) -> None:
        """Stop it by hand: its life has ended when the answer comes, or it was given up."""
        self._lowered.add(name)
        lives = self._ended[name]
        was_alive = self._is_alive(name)
        await verb(home, name)
        assert self._ended[name] > lives or not was_alive or self.tree.healthy()[name] == "zombie"

    def _is_alive(self, name: str) -> bool:
        return any(place.is_alive for place in everybody(self.tree.root) if place.id == name)

    def _expect(self, home: str, spec: ChildSpec) -> None:
        """In the end this one, too, can be started there and answers."""
        self._homes[spec.id] = (home, spec)

    # the performance ------------------------------------------------------------------------------

    async def perform(self) -> None:
        """Open the tree, do the deed, rest, judge, and close it."""
        self._task = trio.lowlevel.current_task()
        self._task.name = "program"
        aim(False)
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._own, name="owner")
        self._judge_the_end()
        assert not self.wrong, "\n".join(self.wrong)

    async def _own(self) -> None:
        spec = self.deed.cast(self)
        try:
            with trio.CancelScope():
                await self._open(spec)
        except (Exception, BaseExceptionGroup) as exc:
            if not is_struck(exc):
                raise
        finally:
            aim(False)

    async def _open(self, spec: SupervisorSpec) -> None:
        async with open_tree(spec, hooks=self._hooks()) as self.tree:
            self._laws = Laws(self.tree)
            self.wrong += self._laws.broken(self._task, 0)
            self._learn(spec)
            self.ask(self.deed.act, self)
            with trio.move_on_after(REST_S):
                await self._answered.wait()
            await self._rest()
            if not self.wrong and not self.tree.is_stopping:
                await self._recover()

    def _learn(self, spec: SupervisorSpec) -> None:
        for inner in spec.children:
            self._expect(spec.id, inner)
            if isinstance(inner, SupervisorSpec):
                self._learn(inner)

    async def _ask(self, ask: Callable[..., Awaitable[object]], *args: object) -> None:
        """Any error of the runtime is an answer, and so is the fault itself."""
        try:
            with trio.CancelScope(), suppress(RuntimeFault, KeyError, BoomError):
                await ask(*args)
        finally:
            self._asking -= 1
            if not self._asking:
                self._answered.set()
                self.gate.set()

    async def _rest(self) -> None:
        laws = self._laws
        assert laws is not None
        if not self._answered.is_set():
            self.wrong.append("the caller was never told")
        self.wrong += laws.broken(self._task, 0) + laws.forgotten()
        await trio.sleep(REST_S)
        await settle()
        self.wrong += laws.broken(self._task, 0) + laws.overslept() + laws.unsettled()
        self.wrong += laws.forgotten() + self._dues.wrong(self.tree, trio.current_time())
        self.wrong += [
            f"{place.id} is {place.status}, and nobody wanted that"
            for place in everybody(self.tree.root)
            if self._is_wanted(place) and place.status != "running"
        ]

    def _is_wanted(self, place: Child) -> bool:
        """Whether it should be up: permanent, not stopped by hand, below somebody who is up."""
        is_kept = place.spec.restart == "permanent" and place.id not in self._lowered
        return is_kept and isinstance(place.owner, Supervisor) and place.owner.child.is_alive

    async def _recover(self) -> None:
        """Whoever is down can be started, whoever is gone can come again, and everybody answers."""
        for name, (home, spec) in self._homes.items():
            status = self.tree.healthy().get(name)
            if status is None:
                await self.tree.start_child(home, spec)
            elif status in ("stopped", "failed"):
                await self.tree.restart_child(home, name)
        for place in everybody(self.tree.root):
            if isinstance(place.body, ActorBody):
                self.tree.resume(place.id)
                await self.tree.ref(place.id).call(Echo("here"))

    def _judge_the_end(self) -> None:
        """Nobody is up, every reference is down, and each message that was taken had one fate."""
        self.wrong += [
            f"in the end {place.id} is {place.status}"
            for place in everybody(self.tree.root)
            if place.is_alive or place.status not in ("stopped", "failed")
        ]
        assert self._laws is not None
        for cell in self._laws.cells:
            if cell.closed is None:
                self.wrong.append(f"in the end the reference to {cell.id} is not down")
            if not cell.is_conserved():
                self.wrong.append(f"{cell.id} loses or doubles messages: {cell.queue.counters}")
        self.wrong += [
            f"{message} was taken {times} times and settled {self._fates[message]}"
            for message, times in self._sent.items()
            if self._fates[message] != times
        ]
        if self.tree.hook_failures:
            self.wrong.append("a hook failed")

    # what it hears ----------------------------------------------------------------------------------

    def _hooks(self) -> Hooks:
        story = self.story.hooks()

        def settled(message: object) -> None:
            self._fates[message] += 1

        def crashed(report: CrashReport) -> None:
            self.story.crashes.append(report)
            self._dues.crashed(report)

        return replace(
            story,
            crashed=crashed,
            started=self._started,
            stopped=self._stopped,
            handled=lambda _id, message, *_: settled(message),
            dead_letter=lambda letter: settled(letter.message),
            returned=lambda _id, message: settled(message),
            dropped=lambda _id, message: settled(message),
        )

    def _started(self, name: str, _life: int) -> None:
        if self._laws is None:
            return
        self._ready.add(name)
        body = self.tree._registry.find(name).body
        if isinstance(body, ActorBody):
            self._laws.cells.add(body.cell)

    def _stopped(self, name: str, reason: str) -> None:
        self.story.stopped.append((name, reason))
        self._ended[name] += 1
        if reason == "ignored":
            self._declined.add(name)
        child = self.tree._registry.find(name)
        self._dues.ended(child, reason)
        if isinstance(child.body, Supervisor):
            left = [c.id for c in child.body.children.values() if c.is_alive]
            self.wrong += [f"{name} is dead and {one} is not" for one in left]
