"""Scenarios of looking in from outside: states, traces, reports and what a redaction hides."""

from dataclasses import dataclass

import pytest
import trio

from coordinator.runtime import Actor, Call, CrashReport, Hooks, Mailbox, child, open_tree, supervisor
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.stage import (
    Boom,
    BoomCall,
    BoomError,
    Chronicle,
    Do,
    Echo,
    Hang,
    Player,
    Say,
    Script,
    player,
    settle,
)


class Plain(Actor):
    """Has attributes and no `inspect`."""

    def __init__(self) -> None:
        self.count = 0
        self._secret = "s"

    async def handle(self, message: Say | Hang) -> None:
        self.count += 1
        if isinstance(message, Hang):
            await trio.sleep_forever()


@scenario("looking", small=True)
async def a_stuck_actor_shows_its_state() -> None:
    """Given an actor without inspect that hangs, its public attributes are there to see."""
    story = Chronicle()
    async with given(story, supervisor("root", child(Plain, id="a", shutdown_s=0))) as tree:
        tree.ref("a").cast_nowait(Say("x"))
        tree.ref("a").cast_nowait(Hang())
        await settle()
        assert tree.get_state("a") == {"count": 2}


@scenario("looking", small=True)
async def an_actor_says_what_its_state_is() -> None:
    """Given actors with an inspect, get_state gives its value, or its error in its place."""
    story = Chronicle()
    cast = [
        player(story, "a", Script(state={"n": 1})),
        player(story, "b", Script(state=BoomError("inspect"))),
    ]
    async with given(story, supervisor("root", *cast)) as tree:
        assert tree.get_state("a") == {"n": 1}
        assert "BoomError" in str(tree.get_state("b"))
        await tree.terminate_child("root", "a")
        assert tree.get_state("a") is None
        with pytest.raises(KeyError):
            tree.get_state("nobody")


@scenario("looking", small=True)
async def a_trace_tells_what_happens_to_messages() -> None:
    """Given a trace, a cast, a crash, its second attempt and a dropped cast are told in order."""
    story = Chronicle()
    cast = player(story, "a", mailbox=Mailbox(1, full="drop_newest"))
    async with given(story, supervisor("root", cast)) as tree:
        with tree.trace("a") as trace:
            tree.ref("a").cast_nowait(Boom(once=True))
            tree.ref("a").cast_nowait(Say("dropped"))
            await settle()
        told = [(event.kind, event.attempt) async for event in trace]
        assert told == [
            ("queued", 1),
            ("dropped", 1),
            ("begun", 1),
            ("crashed", 1),
            ("begun", 2),
            ("handled", 2),
        ]


@scenario("looking", small=True)
async def a_trace_tells_of_the_stash() -> None:
    """Given a traced actor that puts a message aside and takes it up, both beginnings are told."""
    story = Chronicle()

    def once(actor: Player) -> None:
        if "aside a" not in story.lines:
            actor.note("aside")
            actor.context.stash()

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        with tree.trace("a") as trace:
            tree.ref("a").cast_nowait(Do(once))
            tree.ref("a").cast_nowait(Do(lambda actor: actor.context.unstash_all()))
            await settle()
        kinds = [event.kind async for event in trace]
        assert kinds == [
            *("queued", "queued", "begun", "stashed"),
            *("begun", "handled", "begun", "handled"),
        ]


@scenario("looking", small=True)
async def a_slow_reader_loses_and_is_told() -> None:
    """Given a trace of four and ten casts, the last four events are there, the others are counted."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        with tree.trace("a", capacity=4) as trace:
            for n in range(10):
                tree.ref("a").cast_nowait(Say(str(n)))
            await settle()
        assert [event.kind async for event in trace] == ["begun", "handled"] * 2
        assert trace.lost == 26
        assert len(story.of("said")) == 10


@scenario("looking", small=True)
async def a_trace_ends_with_its_actor() -> None:
    """Given a reader that waits for events, the final stop of the actor ends its loop."""
    story, kinds = Chronicle(), list[str]()
    async with given(story, supervisor("root", player(story, "a"))) as tree:

        async def read() -> None:
            with tree.trace("a") as trace:
                async for event in trace:
                    kinds.append(event.kind)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await settle()
            tree.ref("a").cast_nowait(Say("x"))
            await settle()
            await tree.terminate_child("root", "a")
        assert kinds == ["queued", "begun", "handled"]


@scenario("looking", small=True)
async def two_traces_of_one_actor_hear_the_same() -> None:
    """Given two traces, each has every event; one that is closed leaves the other at work."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        with tree.trace("a") as outer:
            with tree.trace("a") as inner:
                tree.ref("a").cast_nowait(Say("x"))
                await settle()
            tree.ref("a").cast_nowait(Say("y"))
            await settle()
        assert [event.kind async for event in inner] == ["queued", "begun", "handled"]
        assert [event.kind async for event in outer] == ["queued", "begun", "handled"] * 2


@scenario("looking", small=True)
async def a_crash_report_has_what_one_asks_first() -> None:
    """Given a call that crashes an actor, the report has message, state, past, budget and caller."""
    story = Chronicle()

    async def ask() -> None:
        with pytest.raises(Exception, match="crashed twice"):
            await tree.ref("a").call(BoomCall("bang"))

    cast = player(story, "a", Script(state={"n": 1}))
    async with given(story, supervisor("root", cast)) as tree:
        tree.ref("a").cast_nowait(Say("before"))
        await trio.sleep(2)
        await ask()
        first = story.crashes[0]
        assert first.message is not None
        assert "bang" in first.message
        assert (first.attempt, first.state, first.uptime_s) == (1, {"n": 1}, 2)
        assert ["before" in m.message for m in first.last_messages] == [True]
        assert any("ask" in frame for frame in first.caller_stack)
        assert [c.budget_left for c in story.crashes] == [3, 2]


@dataclass(frozen=True, slots=True)
class Unheard(Call[str]):
    """Has no place in a player's `handle`."""

    word: str


@scenario("looking", small=True)
async def a_redaction_covers_every_picture() -> None:
    """Given a redact hook, no dump, trace, report or error shows a message or state past it."""
    story, crashes = Chronicle(), list[CrashReport]()
    hooks = Hooks(redact=lambda _id, _value: "<hidden>", crashed=crashes.append)
    spec = supervisor("root", player(story, "a", Script(state={"key": "sesame"})), intensity=9)
    async with open_tree(spec, hooks=hooks) as tree:
        with tree.trace("a") as trace:
            tree.ref("a").cast_nowait(Say("sesame"))
            tree.ref("a").cast_nowait(Boom("open", once=True))
            await settle()
        with pytest.raises(Exception, match="hidden"):
            await tree.ref("a").call(Unheard("sesame"))
        await settle()
        shown = [str(tree.dump().as_dict()), str(tree.get_state("a"))]
        shown += [event.message async for event in trace]
        shown += [f"{c.message} {c.state} {c.last_messages}" for c in crashes]
        assert not [text for text in shown if "sesame" in text]
        assert all("hidden" in text for text in shown)


@scenario("looking", small=True)
async def a_broken_redaction_hides_everything() -> None:
    """Given a redact hook that raises, what it was asked about is hidden and nothing breaks."""
    story = Chronicle()

    def broken(_: str, value: object) -> object:
        raise BoomError(str(value))

    spec = supervisor("root", player(story, "a", Script(state={"key": "sesame"})))
    async with open_tree(spec, hooks=Hooks(redact=broken)) as tree:
        tree.ref("a").cast_nowait(Say("sesame"))
        await settle()
        assert "sesame" not in str(tree.dump().as_dict())
        assert story.words() == "sesame"


@scenario("looking", small=True)
async def the_handled_hook_tells_work_wait_and_depth() -> None:
    """Given three casts behind a busy handler, the hook hears how long each took and waited."""
    story, told = Chronicle(), list[tuple[str, float, float, int]]()

    def handled(id: str, _: object, took_s: float, waited_s: float, depth: int) -> None:  # noqa: A002
        told.append((id, took_s, waited_s, depth))

    async with open_tree(supervisor("root", player(story, "a")), hooks=Hooks(handled=handled)) as tree:
        tree.ref("a").cast_nowait(Hang(for_s=2))
        tree.ref("a").cast_nowait(Hang(for_s=3))
        tree.ref("a").cast_nowait(Say("x"))
        await trio.sleep(9)
        assert told == [("a", 2, 0, 2), ("a", 3, 2, 1), ("a", 0, 5, 0)]


@scenario("looking", small=True)
async def an_untraced_actor_has_no_tracer() -> None:
    """Given a trace that was opened and closed, nothing of it is left: a later one begins empty."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        with tree.trace("a"):
            tree.ref("a").cast_nowait(Say("x"))
            await settle()
        tree.ref("a").cast_nowait(Say("y"))
        await crash_once(tree, "a")
        with tree.trace("a") as trace:
            assert await tree.ref("a").call(Echo("z")) == "z"
        assert [event.kind async for event in trace] == ["queued", "begun", "handled"]
