"""A crash report tells what the child was at, and keeps nothing of it alive."""

import gc
import json
import weakref

import trio
from trio.testing import MockClock

from coordinator.runtime import (
    Actor,
    CallTimeout,
    Hooks,
    LastMessage,
    child,
    dynamic,
    open_tree,
    supervisor,
    task,
)
from tests.runtime.stage import (
    Boom,
    BoomCall,
    Chronicle,
    Do,
    Hang,
    Player,
    Say,
    Script,
    SlowEcho,
    player,
    settle,
)


async def test_a_report_tells_what_the_actor_was_at(autojump_clock: MockClock) -> None:
    """State, the messages before, how long it lived and the restarts left before this one."""
    chronicle = Chronicle()
    spec = supervisor("root", player(chronicle, "a", Script(state={"n": 1})), intensity=3)
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(Say("x"))
        await tree.ref("a").cast(Hang(for_s=2))
        await tree.ref("a").cast(Boom("y", once=True))
        await trio.sleep(3)
        await tree.ref("a").cast(Boom("z", once=True))
        await settle()
    first, second = chronicle.crashes
    assert first.state == {"n": 1}
    assert first.last_messages == (
        LastMessage("Say(word='x')", 0.0, True),
        LastMessage("Hang(for_s=2)", 2000.0, True),
    )
    assert (first.uptime_s, first.budget_left) == (2.0, 3)
    assert (second.uptime_s, second.budget_left) == (1.0, 2)
    assert not second.last_messages[2].ok
    assert first.caller_stack == ()


async def test_a_crashed_call_tells_who_waits(autojump_clock: MockClock) -> None:
    """The caller's stack is there for a call in hand, and empty once the caller gave up."""
    chronicle = Chronicle()
    spec = supervisor("root", player(chronicle, "a"))

    async def asks_for_trouble() -> None:
        try:
            await tree.ref("a").call(BoomCall(), timeout_s=30)
        except Exception as error:  # noqa: BLE001  which one is not this test's matter
            chronicle.lines.append(type(error).__name__)

    async with open_tree(spec, hooks=chronicle.hooks()) as tree, trio.open_nursery() as nursery:
        nursery.start_soon(asks_for_trouble)
        await trio.sleep(1)
    assert chronicle.lines.count("DeadLettered") == 1
    for report in chronicle.crashes:
        assert any(":asks_for_trouble:" in line for line in report.caller_stack)


async def test_a_caller_that_gave_up_has_no_stack(autojump_clock: MockClock) -> None:
    """Nobody waits any more when the handler times out."""
    chronicle = Chronicle()
    spec = supervisor("root", player(chronicle, "a", handler_timeout_s=5))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        try:
            await tree.ref("a").call(SlowEcho("x", after_s=60), timeout_s=1)
        except CallTimeout:
            chronicle.lines.append("gave up")
        await trio.sleep(10)
    assert "gave up" in chronicle.lines
    assert chronicle.crashes[0].error.type == "HandlerTimeout"
    assert chronicle.crashes[0].caller_stack == ()


async def test_a_broken_job_is_no_matter_of_the_caller(autojump_clock: MockClock) -> None:
    """A call in hand that is not to blame for the crash has no place in the report."""
    chronicle = Chronicle()
    spec = supervisor("root", player(chronicle, "a"))

    async def breaks() -> None:
        await trio.sleep(1)
        raise ValueError("job")

    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(Do(lambda actor: actor.context.spawn(breaks, name="job")))
        assert await tree.ref("a").call(SlowEcho("x", after_s=2)) == "x"
    report = chronicle.crashes[0]
    assert (report.error.type, report.message, report.caller_stack) == ("ValueError", None, ())


class Hoarder(Player):
    """Holds much, and has no account of itself."""

    def __init__(self, chronicle: Chronicle) -> None:
        super().__init__(chronicle)
        self.hoard = ["gold" * 100] * 10_000
        self._private = "mine"

    inspect = Actor.inspect


async def test_a_report_keeps_no_dead_actor_alive() -> None:
    """The state is bounded plain data; the object it is told of is gone."""
    chronicle, lives = Chronicle(), list["weakref.ref[object]"]()

    class Watched(Hoarder):
        async def init(self) -> None:
            lives.append(weakref.ref(self))
            await super().init()

    spec = supervisor("root", child(Watched, chronicle, id="a"))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(Boom(once=True))
        await settle()
        report = chronicle.crashes[0]
        assert isinstance(report.state, dict)
        assert "hoard" in report.state
        assert "_private" not in report.state
        assert 4_000 < len(json.dumps(report.state)) < 12_000
        gc.collect()
        assert [life() is None for life in lives] == [True, False]


async def test_a_report_is_redacted() -> None:
    """The message, the ones before it and the state are shown as the hook says."""
    chronicle = Chronicle()
    told = chronicle.hooks()
    hooks = Hooks(
        crashed=told.crashed,
        redact=lambda name, value: f"{name}: a {type(value).__name__}",
    )
    spec = supervisor("root", player(chronicle, "a", Script(state={"n": "secret"})))
    async with open_tree(spec, hooks=hooks) as tree:
        await tree.ref("a").cast(Say("secret"))
        await tree.ref("a").cast(Boom("secret"))
        await settle()
    report = chronicle.crashes[0]
    assert (report.message, report.state) == ("a: a Boom", "a: a dict")
    assert [m.message for m in report.last_messages] == ["a: a Say"]


async def test_what_is_no_actor_tells_what_it_can() -> None:
    """A task's report has the uptime and the budget: under a dynamic supervisor, its own."""
    chronicle = Chronicle()

    async def fails(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        raise ValueError("no luck")

    spec = supervisor("root", dynamic("d", intensity=7))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.start_child("d", task(fails, id="t", restart="temporary"))
        await settle()
    report = chronicle.crashes[0]
    assert (report.id, report.budget_left, report.state) == ("t", 7, None)
    assert report.uptime_s is not None


class UnspeakableError(Exception):
    """Breaks whoever renders its traceback."""

    def __getattribute__(self, name: str) -> object:
        if name == "__notes__":
            raise RuntimeError("no notes")
        return super().__getattribute__(name)


async def test_an_error_that_cannot_be_rendered_is_reported_all_the_same(
    autojump_clock: MockClock,
) -> None:
    """Its report says so in place of the traceback, and the actor is restarted."""
    story = Chronicle()

    def fail(_: Player) -> None:
        raise UnspeakableError

    async with open_tree(supervisor("root", player(story, "a")), hooks=story.hooks()) as tree:
        tree.ref("a").cast_nowait(Do(fail))
        await settle()
        assert story.crashes[0].traceback == "<no traceback: rendering it raised RuntimeError>"
        assert tree.healthy()["a"] == "running"
