"""The tree as plain data: what to run, under which rules. Validated before anything starts."""

import inspect
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from .callables import cannot_be_awaited, refusal_of
from .errors import SpecError
from .protocol import takes_of
from .restart import Restart, Strategy

if TYPE_CHECKING:
    from .actor import Actor

__all__ = [
    "ActorSpec",
    "AutoShutdown",
    "Backoff",
    "ChildSpec",
    "Mailbox",
    "Strategy",
    "SupervisorSpec",
    "TaskSpec",
    "child",
    "dynamic",
    "ids_in",
    "supervisor",
    "task",
]

FullPolicy = Literal["wait", "reject", "drop_oldest", "drop_newest"]
AutoShutdown = Literal["never", "any_significant", "all_significant"]

# What a worker may take to finish its message and clean up; OTP's default for workers.
SHUTDOWN_S = 5.0
# An init may open a large file or wait for a port; a start that takes longer has hung.
START_TIMEOUT_S = 30.0
# Longer than any single external call's own deadline, so that it fires only for a hang.
HANDLER_TIMEOUT_S = 30.0
# Elixir's defaults: tolerate a hiccup, escalate a loop.
INTENSITY = 3
PERIOD_S = 5.0
# A dynamic supervisor may restart ten children's worth before it calls the fault a common one.
DYNAMIC_CAP = 10


def _require(holds: bool, owner: str, field_name: str, value: object, wanted: str) -> None:
    if not holds:
        raise SpecError(f"{owner}: {field_name} is {value!r}, must be {wanted}")


def _require_number(owner: str, field_name: str, value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    _require(is_number, owner, field_name, value, "a number")


def _require_count(owner: str, field_name: str, value: object, *, at_least: int) -> None:
    holds = isinstance(value, int) and not isinstance(value, bool) and value >= at_least
    _require(holds, owner, field_name, value, f"an integer of at least {at_least}")


def _require_seconds(owner: str, field_name: str, value: float, *, zero: bool = False) -> None:
    _require_number(owner, field_name, value)
    holds = not math.isnan(value) and (value > 0 or (zero and value == 0))
    _require(holds, owner, field_name, value, "at least 0 s" if zero else "more than 0 s")


def _require_one_of(owner: str, field_name: str, value: str, choices: tuple[str, ...]) -> None:
    _require(value in choices, owner, field_name, value, "one of " + ", ".join(choices))


def _require_a(kind: type, owner: str, field_name: str, value: object) -> None:
    _require(isinstance(value, kind), owner, field_name, value, f"of type {kind.__name__}")


def _require_arguments(owner: str, args: object, kwargs: object) -> None:
    _require_a(tuple, owner, "args", args)
    _require_a(Mapping, owner, "kwargs", kwargs)


# Those of `child`, but for the id, which nobody can leave out.
OPTIONS = (
    "restart", "shutdown_s", "start_timeout_s", "mailbox", "handler_timeout_s", "backoff",
    "significant",
)  # fmt: skip
# One letter too many, too few or wrong in the shortest of them; `timeout_s` may be an actor's own.
ALIKE = 0.85


# A tree has a few dozen classes of actors; a hundred thousand children of one are described as quickly.
@lru_cache(maxsize=256)
def _signature(actor: "type[Actor]") -> inspect.Signature | None:
    """None if only a call can tell."""
    try:
        return inspect.signature(actor)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """How many messages may queue and what a sender meets when they do.

    wait: `cast` waits, `cast_nowait` raises · reject: both raise MailboxFull · drop_oldest: the oldest
    goes · drop_newest: the new one goes. 64 is one batch of the actor loop: more hides a slow actor.
    """

    capacity: int = 64
    full: FullPolicy = "wait"

    def __post_init__(self) -> None:
        _require_count("Mailbox", "capacity", self.capacity, at_least=1)
        _require_one_of("Mailbox", "full", self.full, ("wait", "reject", "drop_oldest", "drop_newest"))


@dataclass(frozen=True, slots=True)
class Backoff:
    """Restart at once, then after min_s·2ⁿ up to max_s, plus a random share of up to `jitter` of it.

    0.1 s lets a flapping peer come back; 30 s keeps a long outage cheap and its end soon noticed; a
    fifth of jitter spreads children that fell together.
    """

    min_s: float = 0.1
    max_s: float = 30.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        _require_seconds("Backoff", "min_s", self.min_s, zero=True)
        _require_number("Backoff", "max_s", self.max_s)
        for name, value in (("min_s", self.min_s), ("max_s", self.max_s)):
            _require(value < math.inf, "Backoff", name, value, "finite")
        _require_number("Backoff", "jitter", self.jitter)
        _require(self.max_s >= self.min_s, "Backoff", "max_s", self.max_s, f"at least {self.min_s}")
        _require(0 <= self.jitter <= 1, "Backoff", "jitter", self.jitter, "between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """What every child has; made by `child`, `task`, `supervisor` or `dynamic`."""

    id: str
    restart: Restart = "permanent"
    shutdown_s: float = SHUTDOWN_S
    start_timeout_s: float = START_TIMEOUT_S
    backoff: Backoff = field(default_factory=Backoff)
    significant: bool = False

    def __post_init__(self) -> None:
        _require(
            isinstance(self.id, str) and bool(self.id), "spec", "id", self.id, "a non-empty string"
        )
        _require_one_of(self.id, "restart", self.restart, ("permanent", "transient", "temporary"))
        _require_seconds(self.id, "shutdown_s", self.shutdown_s, zero=True)
        _require_seconds(self.id, "start_timeout_s", self.start_timeout_s)
        _require_a(Backoff, self.id, "backoff", self.backoff)
        _require_a(bool, self.id, "significant", self.significant)
        clash = self.significant and self.restart == "permanent"
        _require(not clash, self.id, "significant", True, "False for a permanent child, it never ends")


@dataclass(frozen=True, kw_only=True)
class ActorSpec(ChildSpec):
    """An actor: built anew from these arguments for each incarnation."""

    actor: "type[Actor]"
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    mailbox: Mailbox = field(default_factory=Mailbox)
    handler_timeout_s: float = HANDLER_TIMEOUT_S

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_seconds(self.id, "handler_timeout_s", self.handler_timeout_s)
        _require_a(Mailbox, self.id, "mailbox", self.mailbox)
        is_actor = isinstance(self.actor, type) and callable(getattr(self.actor, "handle", None))
        _require(is_actor, self.id, "actor", self.actor, "a class of actors")
        _require_arguments(self.id, self.args, self.kwargs)
        try:
            takes = _signature(self.actor)  # type: ignore[arg-type]  # classes can be hashed
            if takes is not None:
                takes.bind(*self.args, **self.kwargs)
        except TypeError as exc:
            raise SpecError(
                f"{self.id}: {self.actor.__name__} does not take these arguments: {exc}"
            ) from None
        takes_of(self.actor)  # refuses an annotation that cannot be resolved


@dataclass(frozen=True, kw_only=True)
class TaskSpec(ChildSpec):
    """An async function that runs until cancelled; ready when it calls `task_status.started()`."""

    fn: Callable[..., Awaitable[object]]
    args: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        is_async = callable(self.fn) and not cannot_be_awaited(self.fn)
        _require(is_async, self.id, "fn", self.fn, "an async function")
        _require_arguments(self.id, self.args, {})
        refusal = refusal_of(self.fn, self.args, {"task_status": None})
        if refusal is not None:
            raise SpecError(f"{self.id}: fn does not take these args and task_status: {refusal}")


@dataclass(frozen=True, kw_only=True)
class SupervisorSpec(ChildSpec):
    """A supervisor and, for a dynamic one, the children it starts with."""

    children: tuple[ChildSpec, ...] = ()
    strategy: Strategy = "one_for_one"
    intensity: int = INTENSITY
    period_s: float = PERIOD_S
    is_dynamic: bool = False
    max_children: int | None = None
    auto_shutdown: AutoShutdown = "never"
    shutdown_s: float = math.inf  # its children's deadlines bound it; a shorter one would orphan them
    start_timeout_s: float = math.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_one_of(
            self.id, "strategy", self.strategy, ("one_for_one", "one_for_all", "rest_for_one")
        )
        _require_one_of(
            self.id,
            "auto_shutdown",
            self.auto_shutdown,
            ("never", "any_significant", "all_significant"),
        )
        _require_count(self.id, "intensity", self.intensity, at_least=0)
        _require_seconds(self.id, "period_s", self.period_s)
        _require(math.isfinite(self.period_s), self.id, "period_s", self.period_s, "finite")
        _require_a(bool, self.id, "is_dynamic", self.is_dynamic)
        self._require_children()

    def _require_children(self) -> None:
        _require_a(tuple, self.id, "children", self.children)
        for spec in self.children:
            is_spec = isinstance(spec, ActorSpec | TaskSpec | SupervisorSpec)
            _require(is_spec, self.id, "children", spec, "child specifications")
        limit = self.max_children
        if limit is not None:
            _require_count(self.id, "max_children", limit, at_least=0)
            _require(limit >= len(self.children), self.id, "max_children", limit,
                     f"at least the {len(self.children)} it starts with")  # fmt: skip
        seen: set[str] = set()
        for name in ids_in(self):
            _require(name not in seen, self.id, "id", name, "unique in the whole tree")
            seen.add(name)


def ids_in(spec: ChildSpec) -> list[str]:
    """Every id the specification brings into a tree, its own first."""
    below = spec.children if isinstance(spec, SupervisorSpec) else ()
    return [spec.id, *(name for inner in below for name in ids_in(inner))]


def child(
    actor: "type[Actor]",
    *args: Any,
    id: str,  # noqa: A002  the word everybody uses for it
    restart: Restart = "permanent",
    shutdown_s: float = SHUTDOWN_S,
    start_timeout_s: float = START_TIMEOUT_S,
    mailbox: Mailbox = Mailbox(),
    handler_timeout_s: float = HANDLER_TIMEOUT_S,
    backoff: Backoff = Backoff(),
    significant: bool = False,
    **kwargs: Any,
) -> ActorSpec:
    """An actor to be built as `actor(*args, **kwargs)`; arguments it does not take are refused here.

    So is one that looks like a misspelt option, should the actor take any keyword; such an argument is
    given by `ActorSpec`.
    """
    spec = ActorSpec(
        id=id, restart=restart, shutdown_s=shutdown_s, start_timeout_s=start_timeout_s,
        backoff=backoff, significant=significant, actor=actor, args=args, kwargs=kwargs,
        mailbox=mailbox, handler_timeout_s=handler_timeout_s,
    )  # fmt: skip
    _require_no_misspelling(spec)
    return spec


def _require_no_misspelling(spec: ActorSpec) -> None:
    signature = _signature(spec.actor)  # type: ignore[arg-type]  # classes can be hashed
    takes = () if signature is None else signature.parameters.values()
    if not spec.kwargs or not any(each.kind is each.VAR_KEYWORD for each in takes):
        return
    for name in spec.kwargs.keys() - {each.name for each in takes}:
        meant = get_close_matches(name, OPTIONS, n=1, cutoff=ALIKE)
        if meant:
            raise SpecError(f"{spec.id}: {name} is no option, was {meant[0]} meant?")


def task(
    fn: Callable[..., Awaitable[object]],
    *args: Any,
    id: str,  # noqa: A002
    restart: Restart = "permanent",
    shutdown_s: float = SHUTDOWN_S,
    start_timeout_s: float = START_TIMEOUT_S,
    backoff: Backoff = Backoff(),
    significant: bool = False,
) -> TaskSpec:
    """`async def fn(*args, task_status)` as a child; a stop cancels it; `shutdown_s` is for cleanup."""
    return TaskSpec(
        id=id, restart=restart, shutdown_s=shutdown_s, start_timeout_s=start_timeout_s,
        backoff=backoff, significant=significant, fn=fn, args=args,
    )  # fmt: skip


def supervisor(
    id: str,  # noqa: A002
    *children: ChildSpec,
    strategy: Strategy = "one_for_one",
    intensity: int = INTENSITY,
    period_s: float = PERIOD_S,
    restart: Restart = "permanent",
    backoff: Backoff = Backoff(),
    significant: bool = False,
    auto_shutdown: AutoShutdown = "never",
) -> SupervisorSpec:
    """Children started left to right and stopped right to left."""
    return SupervisorSpec(
        id=id, children=children, strategy=strategy, intensity=intensity, period_s=period_s,
        restart=restart, backoff=backoff, significant=significant, auto_shutdown=auto_shutdown,
    )  # fmt: skip


def dynamic(
    id: str,  # noqa: A002
    *,
    initial: Sequence[ChildSpec] = (),
    max_children: int | None = None,
    intensity: int = INTENSITY,
    period_s: float = PERIOD_S,
    restart: Restart = "permanent",
    backoff: Backoff = Backoff(),
    significant: bool = False,
    auto_shutdown: AutoShutdown = "never",
) -> SupervisorSpec:
    """Children that come and go, independent of each other; `intensity` holds for each of them.

    One over its own budget waits out its longest backoff and gets a fresh one; the supervisor gives up
    at ten times `intensity` over all of them. Each start of the supervisor starts `initial` again.
    """
    children = tuple(initial) if isinstance(initial, Iterable) else initial
    return SupervisorSpec(
        id=id, children=children, is_dynamic=True, max_children=max_children, intensity=intensity,
        period_s=period_s, restart=restart, backoff=backoff, significant=significant,
        auto_shutdown=auto_shutdown,
    )  # fmt: skip
