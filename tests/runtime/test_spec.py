"""A specification that cannot be run is refused before anything starts, with field and value."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from coordinator.runtime import (
    Backoff,
    ChildSpec,
    Mailbox,
    SpecError,
    child,
    dynamic,
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
    ],
)
def test_a_wrong_value_is_named(build: Callable[[], object], field: str) -> None:
    """The error names the field and the value seen."""
    with pytest.raises(SpecError, match=field):
        build()


@pytest.mark.parametrize("fields", [{"shutdown": 5}, {"handlertimeout_s": 3}])
def test_an_unknown_key_is_refused(fields: dict[str, Any]) -> None:
    """A misspelt option is not silently passed on to an actor that does not take it."""
    with pytest.raises(SpecError, match=f"Player does not take these arguments.*{next(iter(fields))}"):
        child(Player, Chronicle(), id="a", **fields)


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
