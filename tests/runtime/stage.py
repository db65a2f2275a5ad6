"""Actors that do on cue what a scenario needs, and write down what happened to them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio
import trio.testing

from coordinator.runtime import (
    Actor,
    ActorSpec,
    Backoff,
    Call,
    Cast,
    CrashReport,
    DeadLetterReport,
    Down,
    Hooks,
    Mailbox,
    ReplyError,
    Tree,
    ZombieReport,
    child,
)
from coordinator.runtime.restart import Restart

AT_ONCE = Backoff(min_s=0.0, max_s=0.0)


class BoomError(Exception):
    """What a player raises on cue."""


@dataclass(frozen=True, slots=True)
class Say(Cast):
    word: str


@dataclass(frozen=True, slots=True)
class Boom(Cast):
    """Crash, each time it is handled; once only if `once`."""

    word: str = "boom"
    once: bool = False


@dataclass(frozen=True, slots=True)
class Hang(Cast):
    """Never return; with `for_s` return after that long."""

    for_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class Echo(Call[str]):
    word: str


@dataclass(frozen=True, slots=True)
class SlowEcho(Call[str]):
    word: str
    after_s: float


@dataclass(frozen=True, slots=True)
class Refuse(Call[str]):
    word: str


@dataclass(frozen=True, slots=True)
class BoomCall(Call[str]):
    word: str = "boom"


@dataclass(frozen=True, slots=True)
class Do(Cast):
    """Run `deed(actor)` inside the handler."""

    deed: Callable[["Player"], object]


@dataclass(frozen=True, slots=True)
class DoAsync(Cast):
    """Await `deed(actor)` inside the handler."""

    deed: Callable[["Player"], object]


@dataclass
class Script:
    """What the incarnations of one player do besides handling; shared by all of them."""

    failing_inits: int = 0
    init_takes_s: float = 0.0
    terminate_takes_s: float = 0.0
    terminate_raises: bool = False
    ignores_cancel_until: trio.Event | None = None
    state: object = None
    on_init: Callable[["Player"], object] | None = None


@dataclass
class Chronicle:
    """Everything that happened in a scenario, in order."""

    lines: list[str] = field(default_factory=list)
    crashes: list[CrashReport] = field(default_factory=list)
    dead: list[DeadLetterReport] = field(default_factory=list)
    returned: list[tuple[str, object]] = field(default_factory=list)
    dropped: list[tuple[str, object]] = field(default_factory=list)
    zombies: list[ZombieReport] = field(default_factory=list)
    restarted: list[tuple[str, int]] = field(default_factory=list)
    stopped: list[tuple[str, str]] = field(default_factory=list)

    def hooks(self) -> Hooks:
        return Hooks(
            crashed=self.crashes.append,
            dead_letter=self.dead.append,
            returned=lambda name, message: self.returned.append((name, message)),
            dropped=lambda name, message: self.dropped.append((name, message)),
            zombie=self.zombies.append,
            restarted=lambda name, life: self.restarted.append((name, life)),
            stopped=lambda name, reason: self.stopped.append((name, reason)),
        )

    def of(self, verb: str) -> list[str]:
        """Who did `verb`, in order."""
        return [line.split()[1] for line in self.lines if line.split()[0] == verb]

    def words(self, verb: str = "said") -> str:
        """What was done so, by whoever did it, joined in order."""
        return "".join(line.split()[2] for line in self.lines if line.split()[0] == verb)

    def clear(self) -> None:
        self.lines.clear()


class Player(Actor):
    def __init__(self, chronicle: Chronicle, script: Script | None = None) -> None:
        self.chronicle = chronicle
        self.script = script or Script()

    def note(self, verb: str, detail: str = "") -> None:
        self.chronicle.lines.append(f"{verb} {self.context.id} {detail}".strip())

    async def init(self) -> None:
        if self.script.on_init is not None:
            result = self.script.on_init(self)
            if hasattr(result, "__await__"):
                await result
        if self.script.init_takes_s:
            await trio.sleep(self.script.init_takes_s)
        if self.script.failing_inits:
            self.script.failing_inits -= 1
            self.note("init-failed")
            raise BoomError("init")
        self.note("init", str(self.context.incarnation))

    async def handle(self, message: object) -> object:
        match message:
            case Say(word):
                self.note("said", word)
            case Boom(word, once):
                if once and self.context.attempt == 2:
                    self.note("survived", word)
                    return None
                self.note("boom", f"{word} {self.context.attempt}")
                raise BoomError(word)
            case Hang(for_s):
                await self.hang(for_s)
            case Echo(word):
                return word
            case SlowEcho(word, after_s):
                await trio.sleep(after_s)
                self.note("echoed", word)
                return word
            case Refuse(word):
                raise ReplyError(ValueError(word))
            case BoomCall(word):
                raise BoomError(word)
            case Do(deed):
                deed(self)
            case DoAsync(deed):
                result = deed(self)
                assert hasattr(result, "__await__")
                await result
            case Down(other, reason):
                self.note("heard", f"{other} {reason}")
            case _:
                return await super().handle(message)
        return None

    async def hang(self, for_s: float) -> None:
        if self.script.ignores_cancel_until is not None:
            with trio.CancelScope(shield=True):
                await self.script.ignores_cancel_until.wait()
            return
        await trio.sleep(for_s)

    async def terminate(self, reason: str) -> None:
        self.note("terminate", reason)
        if self.script.terminate_takes_s:
            await trio.sleep(self.script.terminate_takes_s)
            self.note("terminated")
        if self.script.terminate_raises:
            raise BoomError("terminate")

    def inspect(self) -> object:
        if isinstance(self.script.state, Exception):
            raise self.script.state
        return self.script.state


def player(
    chronicle: Chronicle,
    name: str,
    script: Script | None = None,
    *,
    restart: Restart = "permanent",
    backoff: Backoff = AT_ONCE,
    mailbox: Mailbox = Mailbox(),  # noqa: B008  frozen
    shutdown_s: float = 5.0,
    start_timeout_s: float = 30.0,
    handler_timeout_s: float = 30.0,
    significant: bool = False,
) -> ActorSpec:
    return child(
        Player,
        chronicle,
        script,
        id=name,
        restart=restart,
        backoff=backoff,
        mailbox=mailbox,
        shutdown_s=shutdown_s,
        start_timeout_s=start_timeout_s,
        handler_timeout_s=handler_timeout_s,
        significant=significant,
    )


async def settle() -> None:
    """Let everything run that can run now."""
    await trio.testing.wait_all_tasks_blocked()


def status(tree: Tree, name: str) -> str:
    return tree.healthy()[name]


def is_conserved(tree: Tree) -> bool:
    """The conservation law for every actor of the tree, read from its dump."""
    for node in tree.dump().nodes():
        if node.mailbox is None:
            continue
        count = node.mailbox.counters
        fates = ("acked", "dead_lettered", "returned", "expired", "dropped")
        held = node.mailbox.depth + node.mailbox.stashed + (node.in_flight is not None)
        if count["accepted"] != sum(count[fate] for fate in fates) + held:
            return False
    return True
