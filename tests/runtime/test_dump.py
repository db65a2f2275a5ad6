"""The dump answers when nobody else does."""

import gc
import json
import math

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import Backoff, Hooks, ZombieReport, dynamic, open_tree, supervisor, task
from tests.runtime.stage import Boom, Chronicle, Do, Echo, Hang, Say, Script, player, settle


async def test_a_dump_while_everything_hangs(autojump_clock: MockClock) -> None:
    """Stuck in a handler, stuck in init, crash-looping: each is described, without a checkpoint."""
    chronicle, script = Chronicle(), Script()
    spec = supervisor(
        "root",
        player(chronicle, "stuck", Script(state={"phase": "waiting"})),
        player(chronicle, "looping", script, backoff=Backoff(min_s=40, max_s=40)),
        dynamic("d", initial=[]),
    )
    async with open_tree(spec) as tree:
        await tree.ref("stuck").cast(Hang())
        for n in range(3):
            await tree.ref("stuck").cast(Say(str(n)))
        script.failing_inits = 99
        await tree.ref("looping").cast(Boom())
        await trio.sleep(2)
        stuck, looping = tree.dump().find("stuck"), tree.dump().find("looping")
        assert (stuck.status, stuck.state) == ("running", {"phase": "waiting"})
        assert stuck.in_flight is not None
        assert (stuck.in_flight.message, stuck.in_flight.age_s) == ("Hang(for_s=inf)", 2.0)
        assert stuck.mailbox is not None
        assert (stuck.mailbox.depth, stuck.mailbox.oldest_age_s) == (3, 2.0)
        assert any(line.startswith("stage.py:hang:") for line in stuck.await_stack)
        assert all("/" not in line for line in stuck.await_stack)
        assert (looping.status, looping.restart_due_in_s) == ("restarting", 38.0)
        assert looping.last_error is not None
        assert looping.last_error.type == "BoomError"
        assert (looping.budget_left, looping.restarts) == (1, 2)
        json.dumps(tree.dump().as_dict(), allow_nan=False)


async def test_latencies_and_last_messages(autojump_clock: MockClock) -> None:
    """Percentiles of the recent past, the last ten messages with their times, the handled count."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        assert tree.dump().find("a").latency is not None
        for n in range(12):
            await tree.ref("a").cast(Hang(for_s=n / 10))
        await trio.sleep(20)
        node = tree.dump().find("a")
        assert node.handled == 12
        assert [round(m.ms) for m in node.last_messages] == [n * 100 for n in range(2, 12)]
        assert node.latency is not None
        assert node.latency.p50_ms == pytest.approx(600, abs=101)
        assert node.latency.p99_ms == pytest.approx(1100)


async def test_a_crash_is_among_the_last_messages() -> None:
    """The message that broke an actor is shown as not ok."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        await tree.ref("a").cast(Boom("x", once=True))
        await settle()
        assert [m.ok for m in tree.dump().find("a").last_messages] == [False, True]


async def test_a_broken_inspect_breaks_only_itself() -> None:
    """Its error stands in place of the state."""
    script = Script(state=ValueError("inspect"))
    spec = supervisor("root", player(Chronicle(), "a", script), player(Chronicle(), "b"))
    async with open_tree(spec) as tree:
        assert tree.dump().find("a").state == {"inspect_error": "ValueError: inspect"}
        assert tree.dump().find("b").state is None


async def test_long_messages_are_cut() -> None:
    """A document in a message does not flood the dump."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        await tree.ref("a").call(Echo("x" * 5000))
        assert len(tree.dump().find("a").last_messages[0].message) == 200


async def test_the_whole_tree_is_there() -> None:
    """Kinds, paths, uptime and timers; a stopped child has no stack; an unknown id is a KeyError."""

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    spec = supervisor("root", supervisor("m", player(Chronicle(), "a")), task(run, id="t"))
    async with open_tree(spec) as tree:
        await tree.ref("a").cast(Do(lambda actor: actor.context.start_timer("k", 5, Say("x"))))
        await settle()
        await tree.terminate_child("root", "t")
        dump = tree.dump()
        assert [(n.path, n.kind) for n in dump.nodes()] == [
            ("root", "supervisor"), ("root/m", "supervisor"), ("root/m/a", "actor"), ("root/t", "task"),
        ]  # fmt: skip
        assert dump.find("t").await_stack == ()
        assert dump.find("a").timers[0].key == "k"
        assert dump.find("a").uptime_s is not None
        with pytest.raises(KeyError, match="ghost"):
            dump.find("ghost")


async def test_a_timer_that_never_fires_is_json_all_the_same() -> None:
    """Infinity in the runtime's own numbers becomes null."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        await tree.ref("a").cast(Do(lambda actor: actor.context.start_timer("k", math.inf, Say("x"))))
        await settle()
        picture = json.dumps(tree.dump().as_dict(), allow_nan=False)
        assert '"due_in_s": null' in picture


async def test_the_redaction_covers_the_dump() -> None:
    """Last messages, the one in hand and the state are shown as the hook says, the words nowhere."""

    def hidden(name: str, value: object) -> object:
        return {"keys": list(value)} if isinstance(value, dict) else type(value).__name__

    script = Script(state={"phase": "secret"})
    hooks = Hooks(redact=hidden)
    async with open_tree(supervisor("root", player(Chronicle(), "a", script)), hooks=hooks) as tree:
        await tree.ref("a").cast(Say("secret"))
        await tree.ref("a").cast(Hang())
        await settle()
        node = tree.dump().find("a")
        assert [m.message for m in node.last_messages] == ["Say"]
        assert node.in_flight is not None
        assert node.in_flight.message == "Hang"
        assert node.state == {"keys": ["phase"]}
        assert "secret" not in json.dumps(tree.dump().as_dict())
        tree.request_stop(hurry=True)


async def test_last_messages_are_a_sequence_put_into_words_late() -> None:
    """They can be counted, indexed, sliced and read again, also after the actor has gone on."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        for word in "xyz":
            await tree.ref("a").cast(Say(word))
        await settle()
        last = tree.dump().find("a").last_messages
        await tree.ref("a").cast(Say("later"))
        await settle()
    assert [m.message for m in last] == [f"Say(word='{word}')" for word in "xyz"]
    assert (len(last), last[-1], last[1:]) == (3, list(last)[2], list(last)[1:])


async def test_a_suspended_actor_and_a_stash_are_seen() -> None:
    """The status says that nothing is handled on purpose; what is put aside is no part of the depth."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        await tree.ref("a").cast(Do(lambda actor: actor.context.stash()))
        await settle()
        tree.suspend("a")
        await tree.ref("a").cast(Say("x"))
        await settle()
        node = tree.dump().find("a")
        assert (node.status, tree.healthy()["a"]) == ("suspended", "suspended")
        assert node.mailbox is not None
        assert (node.mailbox.depth, node.mailbox.stashed) == (1, 1)
        tree.resume("a")
        await settle()
        node = tree.dump().find("a")
        assert node.mailbox is not None
        assert (node.status, node.mailbox.depth, node.mailbox.stashed) == ("running", 0, 1)


async def test_a_dump_leaves_the_garbage_collector_as_it_was() -> None:
    """On stays on, off stays off."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        tree.dump().as_dict()
        assert gc.isenabled()
        gc.disable()
        try:
            tree.dump().as_dict()
            assert not gc.isenabled()
        finally:
            gc.enable()


async def test_an_inspect_error_without_words() -> None:
    """An `inspect` whose error cannot even be printed breaks only itself."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a", Script(state=MuteError())))) as tree:
        state = tree.dump().find("a").state
        assert state == {"inspect_error": "MuteError: <no message: its __str__ raised>"}


async def test_only_the_last_zombies_are_kept() -> None:
    """A child that becomes a zombie for months does not fill the memory with its reports."""
    async with open_tree(supervisor("root", player(Chronicle(), "a"))) as tree:
        for n in range(150):
            tree.report_zombie(ZombieReport("a", "root/a", n, ()))
        kept = [zombie.incarnation for zombie in tree.dump().zombies]
        assert kept == list(range(50, 150))
