"""What an actor takes is what its handle says; anything else is refused before it is queued."""

import functools
import gc
import typing
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Protocol, TypeAlias, TypeVar

import pytest

from coordinator.runtime import (
    Actor,
    Call,
    Cast,
    Down,
    Hooks,
    SpecError,
    Tree,
    child,
    open_tree,
    supervisor,
)
from coordinator.runtime.protocol import takes_of
from tests.runtime.stage import settle

T = TypeVar("T")


@dataclass(frozen=True)
class Red(Cast):
    pass


@dataclass(frozen=True)
class DarkRed(Red):
    pass


@dataclass(frozen=True)
class Blue(Cast):
    secret: str = ""


@dataclass(frozen=True)
class Shade(Call[str]):
    pass


@dataclass(frozen=True)
class Boxed(Cast, Generic[T]):
    inside: T


Colour: TypeAlias = "Red | Later"
Bound = TypeVar("Bound", bound=Red)
Either = TypeVar("Either", Red, Shade)


class Plain(Actor):
    async def handle(self, message: Red | Shade) -> str | None:
        return "red" if isinstance(message, Shade) else None


class Aliased(Actor):
    async def handle(self, message: Colour) -> None: ...


class Text(Actor):
    async def handle(self, message: "Red | Later") -> None: ...


class OldUnion(Actor):
    async def handle(self, message: typing.Union[Red, "Later"]) -> None: ...


class Unresolvable(Actor):
    async def handle(self, message: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


class NoText(Actor):
    async def handle(self, message: "Red |") -> None: ...  # type: ignore[valid-type]  # noqa: F722


class Hidden(Actor):
    async def handle(self, message: Red) -> "Nowhere | None": ...  # type: ignore[name-defined]  # noqa: F821


def enclosed() -> type[Actor]:
    class Local(Red):
        pass

    class Late(Red):
        pass

    class Matching(Actor):
        async def handle(self, message: "Local | Red") -> None:
            assert not isinstance(message, Local | Late)

    return Matching


Enclosed = enclosed()


class Unannotated(Actor):
    async def handle(self, message):  # type: ignore[no-untyped-def]
        return None


class Anything(Actor):
    async def handle(self, message: object) -> None: ...


class AnyOne(Actor):
    async def handle(self, message: Red | Any) -> None: ...


class Star(Actor):
    async def handle(self, *messages: Red) -> None: ...


class Inherited(Plain):
    pass


class Of(Actor, Generic[Bound]):
    async def handle(self, message: Bound) -> None: ...


class OfEither(Actor, Generic[Either]):
    async def handle(self, message: Either) -> None: ...


class OfNothing(Actor, Generic[T]):
    async def handle(self, message: T) -> None: ...


class Parametrised(Actor):
    async def handle(self, message: Boxed[int]) -> None: ...


class Noted(Actor):
    async def handle(self, message: Annotated[Red, "a note"]) -> None: ...


class Positional(Actor):
    async def handle(self, order: Red, /) -> None: ...


class Shaped(Protocol):
    secret: str


class ByShape(Actor):
    async def handle(self, message: Shaped) -> None: ...


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any) -> Any:
        return await function(*args)

    return call


class Decorated(Actor):
    @traced
    async def handle(self, message: Red) -> None: ...


class Replaced(Actor):
    handle = functools.partial(print)  # type: ignore[assignment]


@dataclass(frozen=True)
class Later(Cast):
    pass


@pytest.mark.parametrize(
    ("actor", "taken", "refused"),
    [
        (Plain, {Red, DarkRed, Shade}, {Blue, Later}),
        (Inherited, {Red, Shade}, {Blue}),
        (Aliased, {Red, Later}, {Blue}),
        (Text, {Red, Later}, {Blue}),
        (OldUnion, {Red, Later}, {Blue}),
        (Of, {Red, DarkRed}, {Blue}),
        (OfEither, {Red, Shade}, {Blue}),
        (Parametrised, {Boxed}, {Red}),
        (Noted, {Red}, {Blue}),
        (Positional, {Red}, {Blue}),
        (Decorated, {Red}, {Blue}),
        (Hidden, {Red}, {Blue}),
        (Enclosed, {Red}, {Blue}),
        (Unannotated, {Red, Blue, Shade}, set()),
        (Anything, {Red, Blue, Shade}, set()),
        (AnyOne, {Red, Blue, Shade}, set()),
        (Star, {Red}, {Blue}),
        (OfNothing, {Red, Blue, Shade}, set()),
        (ByShape, {Red, Blue, Shade}, set()),
        (Replaced, {Red, Blue, Shade}, set()),
        (Actor, {Red, Blue, Shade}, set()),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_annotation_of_handle_is_the_protocol(
    actor: type[Actor], taken: set[type], refused: set[type]
) -> None:
    """Unions, aliases, texts and bounds count by their classes; what cannot be checked is open."""
    takes = takes_of(actor)
    assert {kind for kind in taken | refused if takes.accepts(kind)} == taken


@pytest.mark.parametrize(("actor", "said"), [(Unresolvable, "'Nowhere'"), (NoText, r"'Red \|'")])
def test_an_annotation_that_cannot_be_resolved_is_refused(actor: type[Actor], said: str) -> None:
    """An actor that seems to be checked and is not is no specification; actor and text are named."""
    with pytest.raises(SpecError, match=rf"{actor.__name__}.handle takes {said}, which cannot"):
        child(actor, id="a")


def test_a_message_class_nobody_can_find_is_refused() -> None:
    """One of an enclosing function is found if `handle` uses it; as a mere text it is not."""

    class Local(Cast):
        pass

    class ByName(Actor):
        async def handle(self, message: "Local") -> None: ...

    with pytest.raises(SpecError, match="name 'Local' is not defined"):
        child(ByName, id="a")


def test_a_name_that_is_not_bound_yet_is_passed_over() -> None:
    """Other names of the enclosing function may come later; the message's counts."""

    class Early(Actor):
        async def handle(self, message: "Red") -> None:
            assert not isinstance(message, Unbound)

    assert takes_of(Early).accepts(Red)

    class Unbound(Cast):
        pass


def test_an_actor_of_no_module_is_checked_all_the_same() -> None:
    """One made by `exec`, or whose `handle` is an object, has names to look up."""

    class Called:
        def __call__(self, actor: object, message: "Red") -> Awaitable[None]:
            return Plain().handle(Red())  # type: ignore[return-value]

    class ByObject(Actor):
        handle = Called()  # type: ignore[assignment]

    assert not takes_of(ByObject).accepts(Blue)
    made = type("Made", (Actor,), {"handle": Text.handle, "__module__": "nowhere"})
    assert not takes_of(made).accepts(Blue)


async def test_another_message_is_refused_at_the_sender() -> None:
    """A TypeError names the actor, what it takes and what it was sent, and nothing is queued."""
    async with open_tree(supervisor("root", child(Plain, id="paint"))) as tree:
        ref = tree.ref("paint")
        wanted = r"paint is a Plain and takes Red \| Shade, not Blue\(secret='x'\)"
        with pytest.raises(TypeError, match=wanted):
            ref.cast_nowait(Blue("x"))
        with pytest.raises(TypeError, match=wanted):
            await ref.cast(Blue("x"))
        assert accepted(tree) == 0
        await ref.cast(DarkRed())
        await ref.cast(DarkRed())
        assert await ref.call(Shade()) == "red"
        assert accepted(tree) == 3


async def test_a_call_is_not_cast_and_a_cast_not_called() -> None:
    """Each verb takes its own kind, also when it is the first of its class and when it is not."""
    async with open_tree(supervisor("root", child(Plain, id="paint"))) as tree:
        ref = tree.ref("paint")
        for _ in range(2):
            with pytest.raises(TypeError, match=r"Shade\(\) is not a Cast: use call\(\)"):
                ref.cast_nowait(Shade())  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=r"Red\(\) is not a Call: use cast\(\)"):
                await ref.call(Red())  # type: ignore[arg-type]
            await ref.cast(Red())
            assert await ref.call(Shade()) == "red"


async def test_a_refusal_shows_only_what_may_be_seen() -> None:
    """The message in the TypeError has gone past the redact hook."""
    hooks = Hooks(redact=lambda id, value: "hidden")  # noqa: A006
    async with open_tree(supervisor("root", child(Plain, id="paint")), hooks=hooks) as tree:
        with pytest.raises(TypeError, match=r"not hidden$"):
            await tree.ref("paint").cast(Blue("password"))


async def test_a_timers_message_is_checked_when_it_is_set() -> None:
    """An actor cannot send itself what it does not take."""

    class Setting(Actor):
        async def init(self) -> None:
            with pytest.raises(TypeError, match="takes Red, not Blue"):
                self.context.start_timer("t", 1, Blue())
            self.context.start_timer("t", 1, Red())

        async def handle(self, message: Red) -> None: ...

    async with open_tree(supervisor("root", child(Setting, id="a"))):
        await settle()


async def test_only_one_who_takes_down_may_watch() -> None:
    """Otherwise the notice would crash it."""
    refusals = list[str]()

    class Blind(Actor):
        async def handle(self, message: Red) -> None:
            try:
                self.context.watch(self.context.ref)
            except TypeError as error:
                refusals.append(str(error))

    async with open_tree(supervisor("root", child(Blind, id="a"))) as tree:
        await tree.ref("a").cast(Red())
        await settle()
    assert len(refusals) == 1
    assert "takes Red, not Down" in refusals[0]
    assert not takes_of(Blind).accepts(Down)


def test_a_protocol_is_resolved_once_and_keeps_no_class_alive() -> None:
    """The same class has the same protocol; one made for a test can go."""
    assert takes_of(Plain) is takes_of(Plain)

    def make() -> "weakref.ref[type]":
        class Passing(Actor):
            async def handle(self, message: Red) -> None: ...

        takes_of(Passing)
        return weakref.ref(Passing)

    gone = make()
    gc.collect()
    assert gone() is None


def accepted(tree: Tree) -> int:
    mailbox = tree.dump().find("paint").mailbox
    assert mailbox is not None
    return mailbox.counters["accepted"]


def test_the_keywords_of_a_wrapper_are_no_message() -> None:
    """A decorator that hides the signature says nothing about what is taken."""

    def plain(handle: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapper(*args: object, **options: int) -> object:
            return await handle(*args, **options)

        return wrapper

    class Wrapped(Actor):
        handle = plain(Plain.handle)

    assert takes_of(Wrapped).accepts(Blue)


def test_a_message_class_of_the_actors_own_class_is_found() -> None:
    """As its annotation is read later, where Python itself would have looked."""

    class Nesting(Actor):
        class Tick(Cast): ...

        async def handle(self, message: "Tick") -> None: ...

    class Heir(Nesting):
        Tick = Blue  # type: ignore[assignment]  # says nothing about what was written above

    for actor in (Nesting, Heir):
        takes = takes_of(actor)
        assert takes.accepts(Nesting.Tick)
        assert not takes.accepts(Red)
        assert not takes.accepts(Blue)
