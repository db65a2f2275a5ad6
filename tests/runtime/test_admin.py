"""OTP's verbs and their answers in every state of a child."""

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import (
    ActorDown,
    AdminError,
    Backoff,
    ChildCount,
    ChildExists,
    ChildInfo,
    ChildNotStopped,
    StartFailed,
    TooManyChildren,
    Tree,
    UnknownChild,
    WouldDeadlock,
    dynamic,
    open_tree,
    supervisor,
    task,
)
from tests.runtime.stage import (
    Boom,
    BoomError,
    Chronicle,
    DoAsync,
    Echo,
    Hang,
    Player,
    Say,
    Script,
    player,
    settle,
    status,
)


async def test_children_come_and_go() -> None:
    """A child started by hand is last in order, can be stopped, started again and forgotten."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        ref = await tree.start_child("root", player(chronicle, "b"))
        assert await ref.call(Echo("hi")) == "hi"
        assert [c.id for c in tree.which_children("root")] == ["a", "b"]
        await tree.terminate_child("root", "b")
        assert tree.which_children("root")[1] == ChildInfo("b", "actor", "stopped")
        await tree.terminate_child("root", "b")
        await tree.restart_child("root", "b")
        assert await ref.call(Echo("again")) == "again"
        await tree.terminate_child("root", "b")
        await tree.delete_child("root", "b")
        assert "b" not in tree.healthy()


async def test_counts_by_kind() -> None:
    """Places, live ones, supervisors and workers."""
    chronicle = Chronicle()
    spec = supervisor("root", player(chronicle, "a"), dynamic("d"), player(chronicle, "b"))
    async with open_tree(spec) as tree:
        await tree.terminate_child("root", "b")
        assert tree.count_children("root") == ChildCount(specs=3, active=2, supervisors=1, workers=2)


async def test_verbs_that_do_not_fit_are_refused() -> None:
    """A running child is neither restarted nor deleted, an unknown one nothing at all."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        with pytest.raises(ChildNotStopped, match="root/a is running"):
            await tree.restart_child("root", "a")
        with pytest.raises(ChildNotStopped, match="root/a is running"):
            await tree.delete_child("root", "a")
        with pytest.raises(UnknownChild, match="no child 'x'"):
            await tree.terminate_child("root", "x")
        with pytest.raises(AdminError, match="not a supervisor"):
            await tree.start_child("a", player(chronicle, "b"))
        with pytest.raises(KeyError, match="nowhere"):
            tree.which_children("nowhere")


async def test_a_failed_start_by_hand_leaves_nothing() -> None:
    """The asker gets the error with its cause; no retry, no place, no name."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", dynamic("d"))) as tree:
        for owner in ("d", "root"):
            with pytest.raises(StartFailed) as caught:
                await tree.start_child(owner, player(chronicle, "bad", Script(failing_inits=1)))
            assert isinstance(caught.value.__cause__, BoomError)
            assert "bad" not in tree.healthy()
        assert tree.dump().root.budget_left == 3


async def test_max_children() -> None:
    """A full dynamic supervisor refuses; a place that becomes free can be taken."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", dynamic("d", max_children=1))) as tree:
        await tree.start_child("d", player(chronicle, "a"))
        with pytest.raises(TooManyChildren, match="1 of 1"):
            await tree.start_child("d", player(chronicle, "b"))
        await tree.terminate_child("d", "a")
        await tree.start_child("d", player(chronicle, "b"))


async def test_a_terminated_temporary_child_is_gone() -> None:
    """Its place is not kept, under a static supervisor either."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a", restart="temporary"))) as tree:
        await tree.terminate_child("root", "a")
        assert "a" not in tree.healthy()


async def test_a_manual_stop_is_no_restart(autojump_clock: MockClock) -> None:
    """Stopping and starting by hand costs nothing of the budget."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"), intensity=0)) as tree:
        for _ in range(3):
            await tree.terminate_child("root", "a")
            await tree.restart_child("root", "a")
        assert status(tree, "a") == "running"


async def test_a_waiting_restart_can_be_called_off(autojump_clock: MockClock) -> None:
    """A child that waits for its next try is stopped without being started."""
    chronicle, script = Chronicle(), Script()
    slow = Backoff(min_s=50, max_s=50)
    async with open_tree(supervisor("root", dynamic("d"))) as tree:
        await tree.start_child("d", player(chronicle, "a", script, backoff=slow))
        script.failing_inits = 1
        tree.ref("a").cast_nowait(Boom(once=True))
        await settle()
        assert status(tree, "a") == "restarting"
        await tree.terminate_child("d", "a")
        assert "a" not in tree.healthy()


async def test_asking_ones_own_supervisor_from_init_is_an_error() -> None:
    """Static children start one after the other, so the new one would wait for the asker."""
    chronicle, refused = Chronicle(), list[str]()

    async def greedy(actor: Player) -> None:
        with pytest.raises(WouldDeadlock, match="root is starting a"):
            await actor.context.tree.start_child("root", player(chronicle, "b"))
        refused.append("b")

    async with open_tree(supervisor("root", player(chronicle, "a", Script(on_init=greedy)))):
        assert refused == ["b"]


async def test_a_dynamic_sibling_may_be_started_from_init() -> None:
    """Dynamic starts are concurrent, so nobody waits for the asker."""
    chronicle = Chronicle()

    async def generous(actor: Player) -> None:
        await actor.context.tree.start_child("d", player(chronicle, "b"))

    async with open_tree(supervisor("root", dynamic("d"))) as tree:
        await tree.start_child("d", player(chronicle, "a", Script(on_init=generous)))
        assert chronicle.of("init") == ["b", "a"]


async def test_stopping_oneself_by_verb_is_an_error() -> None:
    """An actor cannot wait for its own end, nor for that of a supervisor above it."""
    chronicle = Chronicle()

    async def suicide(actor: Player) -> None:
        with pytest.raises(WouldDeadlock, match="a asks to be stopped"):
            await actor.context.tree.terminate_child("mid", "a")
        with pytest.raises(WouldDeadlock, match="mid asks to be stopped"):
            await actor.context.tree.terminate_child("root", "mid")
        actor.note("refused")

    async with open_tree(supervisor("root", supervisor("mid", player(chronicle, "a")))) as tree:
        await tree.ref("a").cast(DoAsync(suicide))
        await settle()
        assert chronicle.of("refused") == ["a"]


async def test_a_stopped_supervisor_starts_nobody() -> None:
    """A request to a supervisor that does not run is refused and not forgotten in a queue."""
    chronicle = Chronicle()
    async with open_tree(
        supervisor("root", dynamic("d"), supervisor("s", player(chronicle, "x")))
    ) as tree:
        await tree.terminate_child("root", "d")
        await tree.terminate_child("root", "s")
        with pytest.raises(AdminError, match="d is stopped and starts nobody"):
            await tree.start_child("d", player(chronicle, "a"))
        with pytest.raises(AdminError, match="s is stopped and starts nobody"):
            await tree.restart_child("s", "x")
        await tree.restart_child("root", "d")
        await tree.start_child("d", player(chronicle, "a"))


async def test_an_asker_hears_when_the_supervisor_goes_down(autojump_clock: MockClock) -> None:
    """A start that is overtaken by the supervisor's stop fails for who asked for it."""
    chronicle, told = Chronicle(), list[str]()

    async with open_tree(supervisor("root", dynamic("d"))) as tree:

        async def ask() -> None:
            with pytest.raises(StartFailed, match="stopped first"):
                await tree.start_child("d", player(chronicle, "a", Script(init_takes_s=20)))
            told.append("a")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await settle()
            await tree.terminate_child("root", "d")
        assert told == ["a"]


async def test_other_kinds_can_be_started_by_hand() -> None:
    """A task or a supervisor has no reference."""

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    async with open_tree(supervisor("root")) as tree:
        assert await tree.start_child("root", task(run, id="t")) is None
        assert tree.healthy() == {"root": "running", "t": "running"}


async def test_a_failed_manual_restart_leaves_the_child_stopped() -> None:
    """The asker gets the error; the place stays, its references are down, a later try may work."""
    chronicle, script = Chronicle(), Script()
    async with open_tree(supervisor("root", player(chronicle, "a", script))) as tree:
        await tree.terminate_child("root", "a")
        script.failing_inits = 1
        with pytest.raises(StartFailed):
            await tree.restart_child("root", "a")
        assert (status(tree, "a"), tree.ref("a").alive) == ("failed", False)
        await tree.restart_child("root", "a")
        assert await tree.ref("a").call(Echo("x")) == "x"


async def test_a_child_is_named_by_its_reference() -> None:
    """Every verb takes a reference, and refuses one whose place was given to another."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"), dynamic("d"))) as tree:
        ref = tree.ref("a")
        assert tree.get_childspec("root", ref) is tree.get_childspec("root", "a")
        await tree.terminate_child("root", ref)
        await tree.restart_child("root", ref)
        await tree.drain_child("root", ref)
        await tree.delete_child("root", ref)
        await tree.start_child("root", player(chronicle, "a"))
        for verb in (tree.terminate_child, tree.restart_child, tree.delete_child, tree.drain_child):
            with pytest.raises(UnknownChild, match="root has no child <ActorRef a>"):
                await verb("root", ref)
        with pytest.raises(UnknownChild):
            tree.get_childspec("d", tree.ref("a"))
        assert status(tree, "a") == "running"


async def test_a_specification_can_be_read_in_every_state(autojump_clock: MockClock) -> None:
    """Running, waiting for a restart, or stopped: the place knows what it was described as."""
    chronicle = Chronicle()
    spec = player(chronicle, "a", backoff=Backoff(min_s=50, max_s=50))
    async with open_tree(supervisor("root", spec)) as tree:
        assert tree.get_childspec("root", "a") is spec
        await restarting(tree, "a")
        assert tree.get_childspec("root", "a") is spec
        await tree.terminate_child("root", "a")
        assert tree.get_childspec("root", "a") is spec
        with pytest.raises(UnknownChild):
            tree.get_childspec("root", "x")


async def restarting(tree: Tree, name: str) -> None:
    """Crash it until it waits for its next life."""
    while status(tree, name) == "running":
        tree.ref(name).cast_nowait(Boom(once=True))
        await settle()
    assert status(tree, name) == "restarting"


async def test_a_child_that_waits_for_its_restart(autojump_clock: MockClock) -> None:
    """It is neither restarted nor deleted nor started again by hand, and can be stopped."""
    chronicle = Chronicle()
    spec = player(chronicle, "a", backoff=Backoff(min_s=50, max_s=50))
    async with open_tree(supervisor("root", spec)) as tree:
        await restarting(tree, "a")
        with pytest.raises(ChildNotStopped, match="root/a is restarting"):
            await tree.restart_child("root", "a")
        with pytest.raises(ChildNotStopped, match="root/a is restarting"):
            await tree.delete_child("root", "a")
        with pytest.raises(ChildExists, match="already running"):
            await tree.start_child("root", spec)
        lives = tree.dump().find("a").incarnation
        await tree.terminate_child("root", "a")
        await trio.sleep(100)
        assert (status(tree, "a"), tree.dump().find("a").incarnation) == ("stopped", lives)
        with pytest.raises(ChildExists, match="already present"):
            await tree.start_child("root", spec)
        await tree.delete_child("root", "a")
        await tree.start_child("root", spec)


async def test_an_id_in_use_is_named_before_the_limit() -> None:
    """Under a full supervisor a duplicate is still called one."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", dynamic("d", max_children=1))) as tree:
        await tree.start_child("d", player(chronicle, "a"))
        with pytest.raises(ChildExists, match=r"a is taken by root/d/a: already running \(running\)"):
            await tree.start_child("d", player(chronicle, "a"))


async def test_a_suspended_actor_handles_nothing() -> None:
    """It is shown as suspended, keeps what comes, and goes on where it was."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        tree.suspend("a")
        tree.suspend("a")
        tree.ref("a").cast_nowait(Say("x"))
        await settle()
        assert tree.healthy()["a"] == "suspended"
        assert tree.which_children("root") == (ChildInfo("a", "actor", "suspended"),)
        assert chronicle.of("said") == []
        tree.resume("a")
        tree.resume("a")
        await settle()
        assert (status(tree, "a"), chronicle.of("said")) == ("running", ["a"])


async def test_a_suspension_holds_over_restarts_and_ends_with_a_stop() -> None:
    """A killed life comes back suspended; a stop is not held up, and what is started anew runs."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        tree.suspend("a")
        tree.kill("a")
        await settle()
        assert (status(tree, "a"), tree.dump().find("a").incarnation) == ("suspended", 2)
        await tree.terminate_child("root", "a")
        with pytest.raises(AdminError, match="'a' is stopped and cannot be suspended"):
            tree.suspend("a")
        await tree.restart_child("root", "a")
        assert status(tree, "a") == "running"


async def test_only_actors_are_suspended_and_drained() -> None:
    """A task or supervisor has no messages to hold back; an unknown id is a KeyError."""
    chronicle = Chronicle()
    spec = supervisor("root", supervisor("mid", player(chronicle, "a")))
    async with open_tree(spec) as tree:
        for verb in (tree.suspend, tree.resume):
            with pytest.raises(AdminError, match="'mid' is a supervisor"):
                verb("mid")
            with pytest.raises(KeyError, match="nobody"):
                verb("nobody")
        with pytest.raises(AdminError, match="root/mid is of kind supervisor"):
            await tree.drain_child("root", "mid")


async def test_a_drained_actor_handles_what_it_has_accepted(autojump_clock: MockClock) -> None:
    """Nothing more gets in, everything queued is handled, then it is down; its place stays."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        ref = tree.ref("a")
        ref.cast_nowait(Hang(for_s=2))
        for n in range(3):
            ref.cast_nowait(Say(str(n)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.drain_child, "root", "a")
            await settle()
            with pytest.raises(ActorDown, match="draining"):
                ref.cast_nowait(Say("late"))
        assert chronicle.lines[1:] == ["said a 0", "said a 1", "said a 2", "terminate a shutdown"]
        assert (chronicle.returned, status(tree, "a"), ref.alive) == ([], "stopped", False)
        await tree.drain_child("root", "a")
        await tree.restart_child("root", "a")
        assert await ref.call(Echo("x")) == "x"


async def test_a_drain_has_a_deadline(autojump_clock: MockClock) -> None:
    """What is not handled within `shutdown_s` is returned."""
    chronicle, begin = Chronicle(), trio.current_time()
    spec = player(chronicle, "a", shutdown_s=3)
    async with open_tree(supervisor("root", spec), hooks=chronicle.hooks()) as tree:
        tree.ref("a").cast_nowait(Hang())
        tree.ref("a").cast_nowait(Say("never"))
        await tree.drain_child("root", "a")
        assert trio.current_time() == begin + 3
        assert chronicle.returned == [("a", Hang()), ("a", Say("never"))]


async def test_a_stop_overtakes_a_drain(autojump_clock: MockClock) -> None:
    """Whoever stops the child, or its supervisor, does not wait for the mailbox."""
    for stop in ("terminate", "supervisor"):
        chronicle, begin = Chronicle(), trio.current_time()
        mid = supervisor("mid", player(chronicle, "a"))
        async with open_tree(supervisor("root", mid), hooks=chronicle.hooks()) as tree:
            tree.ref("a").cast_nowait(Hang(for_s=2))
            tree.ref("a").cast_nowait(Say("queued"))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tree.drain_child, "mid", "a")
                await trio.sleep(1)
                if stop == "terminate":
                    await tree.terminate_child("mid", "a")
                else:
                    await tree.terminate_child("root", "mid")
            assert trio.current_time() == begin + 2
            assert chronicle.returned == [("a", Say("queued"))]


async def test_a_drain_whose_asker_has_gone_goes_on(autojump_clock: MockClock) -> None:
    """A cancelled asker leaves no actor behind that takes nothing and never ends."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        tree.ref("a").cast_nowait(Hang(for_s=2))
        tree.ref("a").cast_nowait(Say("x"))
        with trio.move_on_after(1):
            await tree.drain_child("root", "a")
        assert status(tree, "a") == "stopping"
        await trio.sleep(2)
        assert (status(tree, "a"), chronicle.of("said")) == ("stopped", ["a"])


async def test_a_drained_dynamic_child_is_gone(autojump_clock: MockClock) -> None:
    """As after `terminate_child`; a waiting restart is called off."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", dynamic("d"))) as tree:
        await tree.start_child("d", player(chronicle, "a", backoff=Backoff(min_s=50, max_s=50)))
        await restarting(tree, "a")
        await tree.drain_child("d", "a")
        assert "a" not in tree.healthy()


async def test_a_request_given_up_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    """Who stops waiting for a child that takes its time to stop is forgotten at once."""
    story = Chronicle()
    slow = Script(terminate_takes_s=3)
    async with open_tree(supervisor("root", player(story, "a", slow))) as tree:
        for _ in range(3):
            with trio.move_on_after(0.5):
                await tree.terminate_child("root", "a")
        assert tree._registry.find("a").watchers == ()
        await tree.terminate_child("root", "a")
        assert status(tree, "a") == "stopped"


async def test_a_start_that_a_failed_start_cuts_short_is_an_error_of_its_own() -> None:
    """What the tree falls with is its cause, and gets no context from who asked."""
    heard = list[StartFailed]()

    async def ask(tree: Tree) -> None:
        try:
            raise OSError("handled")
        except OSError:
            try:
                await tree.start_child("root", player(Chronicle(), "new"))
            except StartFailed as exc:
                heard.append(exc)

    def employ(actor: Player) -> None:
        actor.context.spawn(ask, actor.context.tree, name="ask")

    async def fail(actor: Player) -> None:
        await settle()
        raise BoomError("bad")

    cast = [
        player(Chronicle(), "a", Script(on_init=employ)),
        player(Chronicle(), "bad", Script(on_init=fail)),
    ]
    with pytest.raises(StartFailed, match="bad did not start") as caught:
        async with open_tree(supervisor("root", *cast)):
            pass
    assert [(e.child_id, e.reason, e.__cause__) for e in heard] == [
        ("bad", caught.value.reason, caught.value)
    ]
    assert caught.value.__context__ is None
