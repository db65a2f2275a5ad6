"""A specification that cannot be run is refused before anything starts, with field and value."""

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest

from coordinator.runtime import (
    Actor,
    ActorSpec,
    Backoff,
    Cast,
    ChildSpec,
    Mailbox,
    SpecError,
    SupervisorSpec,
    TaskSpec,
    TooManyChildren,
    child,
    dynamic,
    open_tree,
    supervisor,
    task,
)
from coordinator.runtime.spec import ids_in
from tests.runtime.stage import Chronicle, Player


def actor(name: str = "a", **fields: object) -> ChildSpec:
    return child(Player, Chronicle(), id=name, **fields)  # type: ignore[arg-type]


async def run(*, task_status: object) -> None:
    """A task's function; never started here."""


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: Mailbox(capacity=0), "capacity is 0"),
        (lambda: Mailbox(full="explode"), "full is 'explode'"),  # type: ignore[arg-type]
        (lambda: Backoff(min_s=-1), "min_s is -1"),
        (lambda: Backoff(min_s=2, max_s=1), "max_s is 1"),
        (lambda: Backoff(jitter=1.5), "jitter is 1.5"),
        (lambda: Backoff(max_s=math.inf), "max_s is inf"),
        (lambda: Backoff(min_s=math.inf, max_s=math.inf), "min_s is inf"),
        (lambda: Backoff(max_s=math.nan), "max_s is nan"),
        (lambda: actor(""), "id is ''"),
        (lambda: actor(restart="sometimes"), "restart is 'sometimes'"),
        (lambda: actor(shutdown_s=-1), "shutdown_s is -1"),
        (lambda: actor(shutdown_s=math.nan), "shutdown_s is nan"),
        (lambda: actor(start_timeout_s=0), "start_timeout_s is 0"),
        (lambda: actor(handler_timeout_s=0), "handler_timeout_s is 0"),
        (lambda: actor(significant=True), "significant is True"),
        (lambda: task(run, id="t", restart="never"), "restart is 'never'"),  # type: ignore[arg-type]
        (lambda: supervisor("s", strategy="one_for_two"), "strategy"),  # type: ignore[arg-type]
        (lambda: supervisor("s", auto_shutdown="maybe"), "auto_shutdown"),  # type: ignore[arg-type]
        (lambda: supervisor("s", intensity=-1), "intensity is -1"),
        (lambda: supervisor("s", period_s=0), "period_s is 0"),
        (lambda: supervisor("s", period_s=math.inf), "period_s is inf"),
        (lambda: supervisor("s", actor(), actor()), "id is 'a'"),
        (lambda: supervisor("s", supervisor("t", actor("s"))), "id is 's'"),
        (lambda: supervisor("s", "not a spec"), "children is 'not a spec'"),  # type: ignore[arg-type]
        (lambda: dynamic("d", initial=[actor("x"), actor("y")], max_children=1), "max_children is 1"),
        (lambda: dynamic("d", max_children=-1), "max_children is -1"),
    ],
)
def test_a_wrong_value_is_named(build: Callable[[], object], field: str) -> None:
    """The error names the field and the value seen."""
    with pytest.raises(SpecError, match=field):
        build()


WRONG_TYPES: list[tuple[str, Callable[[Any], object]]] = [
    ("capacity", lambda value: Mailbox(capacity=value)),
    ("full", lambda value: Mailbox(full=value)),
    ("min_s", lambda value: Backoff(min_s=value)),
    ("max_s", lambda value: Backoff(max_s=value)),
    ("jitter", lambda value: Backoff(jitter=value)),
    ("id", lambda value: actor(value)),
    ("restart", lambda value: actor(restart=value)),
    ("shutdown_s", lambda value: actor(shutdown_s=value)),
    ("start_timeout_s", lambda value: actor(start_timeout_s=value)),
    ("handler_timeout_s", lambda value: actor(handler_timeout_s=value)),
    ("mailbox", lambda value: actor(mailbox=value)),
    ("backoff", lambda value: actor(backoff=value)),
    ("actor", lambda value: child(value, id="a")),
    ("args", lambda value: ActorSpec(id="a", actor=Player, args=value)),
    ("kwargs", lambda value: ActorSpec(id="a", actor=Player, kwargs=value)),
    ("fn", lambda value: task(value, id="t")),
    ("args", lambda value: TaskSpec(id="t", fn=run, args=value)),
    ("strategy", lambda value: supervisor("s", strategy=value)),
    ("auto_shutdown", lambda value: supervisor("s", auto_shutdown=value)),
    ("intensity", lambda value: supervisor("s", intensity=value)),
    ("period_s", lambda value: supervisor("s", period_s=value)),
    ("children", lambda value: SupervisorSpec(id="s", children=value)),
    ("children", lambda value: supervisor("s", value)),
    ("children", lambda value: supervisor("s", ChildSpec(id=f"bare {value!r}"))),
    ("children", lambda value: dynamic("d", initial=[value])),
    ("is_dynamic", lambda value: SupervisorSpec(id="s", is_dynamic=value)),
]


@pytest.mark.parametrize("value", [None, "5", b"5", [64], {"capacity": 64}, 1j, object()], ids=repr)
@pytest.mark.parametrize(("field", "build"), WRONG_TYPES)
def test_a_value_of_a_wrong_type_is_named(
    field: str, build: Callable[[Any], object], value: object
) -> None:
    """Whatever is passed by mistake, the error is the specification's and names the field."""
    if (field, value) == ("id", "5") or (field == "kwargs" and isinstance(value, dict)):
        return  # these are right
    with pytest.raises(SpecError, match=f": {field} is "):
        build(value)


@pytest.mark.parametrize(
    ("field", "build"),
    [pair for pair in WRONG_TYPES if pair[0] not in ("is_dynamic",)],
)
def test_a_truth_is_no_number(field: str, build: Callable[[Any], object]) -> None:
    """A bool passes for an int in Python, and never for one here."""
    with pytest.raises(SpecError, match=f": {field} is "):
        build(True)


@pytest.mark.parametrize("value", [None, "yes", 1])
def test_significance_is_a_truth(value: Any) -> None:
    """What only looks like a bool is refused."""
    with pytest.raises(SpecError, match="significant is "):
        actor(restart="transient", significant=value)


@pytest.mark.parametrize("initial", [None, 5])
def test_initial_children_that_are_no_list(initial: Any) -> None:
    """A value that cannot be gone through is refused with its field."""
    with pytest.raises(SpecError, match="children is "):
        dynamic("d", initial=initial)


def test_the_edges_of_what_is_allowed() -> None:
    """No budget, a tiny period, nobody at all, no deadline, no wait: each is a wish one may have."""
    assert supervisor("s", intensity=0, period_s=1e-9).intensity == 0
    assert dynamic("d", max_children=0).max_children == 0
    assert actor(shutdown_s=0, start_timeout_s=math.inf, handler_timeout_s=math.inf).id == "a"
    assert Backoff(min_s=0, max_s=0, jitter=0).max_s == 0


async def test_a_root_and_a_guest_must_be_specifications() -> None:
    """What is given to the tree itself is looked at, too."""
    with pytest.raises(SpecError, match="root of a tree is str"):
        async with open_tree("root"):  # type: ignore[arg-type]
            pytest.fail("it came up")
    async with open_tree(supervisor("root", dynamic("d", max_children=0))) as tree:
        for wrong in ("a", None, Player, ChildSpec(id="bare")):
            with pytest.raises(SpecError, match="a child is "):
                await tree.start_child("root", wrong)  # type: ignore[arg-type]
        with pytest.raises(TooManyChildren, match="0 of 0"):
            await tree.start_child("d", actor())


@pytest.mark.parametrize("fields", [{"shutdown": 5}, {"handlertimeout_s": 3}])
def test_an_unknown_key_is_refused(fields: dict[str, Any]) -> None:
    """A misspelt option is not silently passed on to an actor that does not take it."""
    with pytest.raises(SpecError, match=f"Player does not take these arguments.*{next(iter(fields))}"):
        child(Player, Chronicle(), id="a", **fields)


class Anything(Actor):
    """Takes whatever it is given."""

    def __init__(self, *, restarts: int = 0, **options: object) -> None:
        self.options = restarts, options


@pytest.mark.parametrize("name", ["shutdwn_s", "shutdown", "handler_timeout", "mail_box", "backof"])
def test_a_keyword_that_looks_like_an_option_is_refused(name: str) -> None:
    """An actor that takes any keyword does not swallow a misspelt option."""
    misspelt: dict[str, Any] = {name: 1}
    with pytest.raises(SpecError, match=f"a: {name} is no option, was .* meant"):
        child(Anything, id="a", **misspelt)


def test_keywords_of_the_actors_own_are_passed_on() -> None:
    """Those it names, those that look like no option, and any that is given explicitly."""
    assert child(Anything, id="a", restarts=1, timeout_s=2, ids=3).kwargs["restarts"] == 1
    assert ActorSpec(id="a", actor=Anything, kwargs={"shutdown": 5}).kwargs == {"shutdown": 5}


async def not_a_task() -> None:
    """Takes no `task_status`."""


def not_async(*, task_status: object) -> None:
    """Gives nothing that could be awaited."""


@pytest.mark.parametrize(
    ("fn", "args", "why"),
    [
        (not_a_task, (), "unexpected keyword argument 'task_status'"),
        (run, (1,), "too many positional arguments"),
        (not_async, (), "is .*not_async.*, must be an async function"),
        (functools.partial(not_async), (), "must be an async function"),
    ],
)
def test_a_task_that_can_only_fail_is_refused(fn: Any, args: tuple[Any, ...], why: str) -> None:
    """A function that is not async, or takes neither its arguments nor `task_status`, is named."""
    with pytest.raises(SpecError, match=f"t: fn .*{why}"):
        task(fn, *args, id="t")


@pytest.mark.parametrize(
    "fn", [functools.partial(run), lambda task_status: run(task_status=task_status)]
)
def test_a_task_in_any_wrapping_is_taken(fn: Any) -> None:
    """Partials and plain functions that give an awaitable are as good as the function itself."""
    assert task(fn, id="t").fn is fn


def test_an_actor_whose_handle_is_not_async_is_refused() -> None:
    """It would crash at each message."""

    class Plain(Actor):
        def handle(self, message: object) -> int:  # type: ignore[override]
            return 1

    with pytest.raises(SpecError, match="handle is not async"):
        child(Plain, id="a")


def test_missing_actor_arguments_are_refused() -> None:
    """An actor that cannot be built is found when the tree is described."""
    with pytest.raises(SpecError, match="Player does not take"):
        child(Player, id="a")


def test_ids_of_a_nested_specification() -> None:
    """All ids come out, a parent before its children."""
    spec = supervisor("root", actor("a"), supervisor("mid", actor("b")), dynamic("d"))
    assert ids_in(spec) == ["root", "a", "mid", "b", "d"]


def test_a_specification_is_plain_data() -> None:
    """Two equal descriptions are equal and cannot be changed."""
    chronicle = Chronicle()
    one = child(Player, chronicle, id="a")
    assert one == child(Player, chronicle, id="a")
    with pytest.raises(AttributeError):
        one.id = "b"  # type: ignore[misc]


def test_a_class_without_a_signature_is_not_tried() -> None:
    """Python knows none of `dict`; an actor that is one, too, is built and found out."""

    class Table(Actor, dict):  # type: ignore[type-arg]
        async def handle(self, message: Cast) -> None: ...

    assert child(Table, 1, id="a", timeout_s=2).kwargs == {"timeout_s": 2}
