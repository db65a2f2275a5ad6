"""Everything that can be asked of a running tree, as deeds to be struck at every await.

Each names the tree, and who takes steps meanwhile besides the caller: the supervisor asked, the child
it is about, and whoever else is moved by it.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import trio

from coordinator.runtime import Ignore, Mailbox, RuntimeFault, StartFailed, SupervisorSpec, supervisor
from coordinator.runtime.restart import Strategy
from coordinator.runtime.spec import AutoShutdown
from tests.runtime.arena import PERIOD_S, Arena, Deed
from tests.runtime.stage import Boom, BoomError, Do, DoAsync, Echo, Hang, Player, Say, SlowEcho, settle

__all__ = ["DEEDS"]

# A call with so much time is answered because the actor is down, or not within the play.
FOR_EVER_S = 10_000.0
DEEDS: list[Deed] = []
Troupe = Callable[[Arena], SupervisorSpec]
Act = Callable[[Arena], Awaitable[None]]


def deed(*victims: str, cast: Troupe = Arena.troupe) -> Callable[[Act], Act]:
    """Enter the function into the list."""

    def enter(act: Act) -> Act:
        DEEDS.append(Deed(act, cast, victims))
        return act

    return enter


def slow(name: str) -> Troupe:
    """The usual tree, in which this one takes half a second for its last words."""
    return lambda arena: arena.troupe(
        *(arena.player(n, terminate_takes_s=0.5 if n == name else 0) for n in "abc")
    )


def grouped(strategy: Strategy) -> Troupe:
    """The children of `mid` fall together, b is slow to come and to go."""
    return lambda arena: arena.troupe(
        arena.player("a"), arena.player("b", init_takes_s=0.5, terminate_takes_s=0.5),
        arena.player("c", restart="transient"), strategy=strategy,
    )  # fmt: skip


def failing(name: str) -> Troupe:
    """The usual tree, in which this one's second and third start fail."""

    def cast(arena: Arena) -> SupervisorSpec:
        fails = [False, True, True]

        async def fail(_: Player) -> None:
            await trio.sleep(0.1)
            if fails and fails.pop(0):
                raise BoomError("init")

        return arena.troupe(arena.player("a"), arena.player(name, on_init=fail))

    return cast


def significant(auto: AutoShutdown) -> Troupe:
    """The ends of a and b are of consequence."""
    return lambda arena: arena.troupe(
        *(arena.player(n, restart="transient", significant=True) for n in "ab"), arena.player("c"),
        auto=auto,
    )  # fmt: skip


def narrow(name: str) -> Troupe:
    """The usual tree, in which this one has room for one message."""
    return lambda arena: arena.troupe(
        *(arena.player(n, mailbox=Mailbox(1 if n == name else 64)) for n in "abc")
    )


async def quietly(ask: Callable[..., Awaitable[object]], *args: object) -> None:
    """Any answer of the runtime will do; none at all would be a deadlock."""
    with suppress(RuntimeFault, KeyError):
        await ask(*args)


async def briefly(ask: Callable[..., Awaitable[object]], *args: object) -> None:
    """A child that is restarted after all is not down, and one would wait for it for ever."""
    with trio.move_on_after(10):
        await ask(*args)


async def shielded(gate: trio.Event) -> None:
    """Ignore every cancellation until the gate opens."""
    with trio.CancelScope(shield=True):
        await gate.wait()


def all_down(arena: Arena) -> bool:
    """Whether nobody is left."""
    return set(arena.tree.healthy().values()) <= {"stopped", "failed"}


def stash_first(actor: Player) -> None:
    """Put this message aside: the first life has to wait for something, the others do not."""
    if actor.context.incarnation == 1:
        actor.context.stash()


def wind(actor: Player) -> None:
    """Be told something in a moment."""
    actor.context.start_timer("k", 0.7, Say("timer"))


def spawn(job: Callable[[], Awaitable[object]], actor: Player) -> None:
    """Do it beside the handlers."""
    actor.context.spawn(job, name="job")


async def follow(arena: Arena) -> None:
    """Read the trace of b to its end."""
    with arena.tree.trace("b", capacity=3) as trace:
        async for _ in trace:
            pass


async def look_on(arena: Arena) -> None:
    """Ask everything that can be asked, again and again until nothing moves."""
    tree = arena.tree
    for _ in range(5):
        with suppress(KeyError):  # all below a supervisor may be gone
            names = [info.id for info in tree.which_children("mid")]
            count = tree.count_children("mid")
            assert count.specs == count.workers == len(names) >= count.active
            assert [tree.get_childspec("mid", name).id for name in names] == names
            assert {node.id for node in tree.dump().nodes()} >= set(names)
            tree.get_state("b")
        assert tree.healthy().keys() >= tree.depths().keys()
        await trio.sleep(0.3)


# start_child ----------------------------------------------------------------------------------------


@deed("root/mid", "root/mid/n")
async def start_child(arena: Arena) -> None:
    """A static child with a slow init."""
    spec = arena.player("n", init_takes_s=1)
    with arena.under_fire():
        await arena.start("mid", spec)


@deed("root/pool", "root/pool/n")
async def start_dynamic_child(arena: Arena) -> None:
    """A child of a dynamic supervisor."""
    spec = arena.player("n", init_takes_s=1)
    with arena.under_fire():
        await arena.start("pool", spec)


@deed("root/pool", "root/pool/s", "root/pool/s/x", "root/pool/s/y")
async def start_subtree(arena: Arena) -> None:
    """A supervisor with two children."""
    below = [arena.player("x"), arena.player("y", init_takes_s=1)]
    spec = supervisor("s", *below, period_s=PERIOD_S)
    with arena.under_fire():
        await arena.start("pool", spec)


@deed("root/mid", "root/mid/n")
async def start_child_that_fails(arena: Arena) -> None:
    """Its init raises, once."""
    spec = arena.player("n", init_takes_s=1, failing_inits=1)
    with arena.under_fire(), suppress(StartFailed):
        await arena.start("mid", spec)


@deed("root/pool", "root/pool/n")
async def start_child_that_declines(arena: Arena) -> None:
    """It declines the first time."""
    moods = [Ignore("not today")]

    async def decline(_: Player) -> None:
        await trio.sleep(1)
        if moods:
            raise moods.pop()

    spec = arena.player("n", on_init=decline)
    with arena.under_fire():
        await arena.start("pool", spec)


@deed("root/mid", "root/mid/a", "root/mid/n", cast=grouped("one_for_all"))
async def start_child_during_restart(arena: Arena) -> None:
    """While its group is being restarted."""
    spec = arena.player("n", init_takes_s=1)
    arena.send("a", Boom(once=True))
    with arena.under_fire():
        await arena.start("mid", spec)


@deed("root", "root/mid", "root/mid/a", "root/mid/n")
async def start_child_in_a_fallen_supervisor(arena: Arena) -> None:
    """While its supervisor goes over its limit and is restarted."""
    spec = arena.player("n", init_takes_s=1)
    arena.send("a", *(Boom(word, once=True) for word in "wxyz"))
    with arena.under_fire():
        await arena.start("mid", spec)


# terminate_child: the ladder ------------------------------------------------------------------------


@deed("root/mid", "root/mid/b", cast=slow("b"))
async def terminate_child(arena: Arena) -> None:
    """A child with a queue and a slow end."""
    arena.send("b", Say("x"), Hang(for_s=0.5), Say("y"))
    with arena.under_fire():
        await arena.lower(arena.tree.terminate_child, "mid", "b")


@deed("root/pool", "root/pool/d")
async def terminate_dynamic_child(arena: Arena) -> None:
    """A child that is gone afterwards."""
    arena.send("d", Say("x"))
    with arena.under_fire():
        await arena.lower(arena.tree.terminate_child, "pool", "d")


@deed("root", "root/mid", "root/mid/b", cast=slow("b"))
async def terminate_supervisor(arena: Arena) -> None:
    """A supervisor with all below."""
    arena.send("b", Say("x"))
    with arena.under_fire():
        await arena.lower(arena.tree.terminate_child, "root", "mid")


@deed("root/mid", "root/mid/b", cast=slow("b"))
async def terminate_child_at_its_deadline(arena: Arena) -> None:
    """A handler that hangs is cancelled, and there are last words."""
    arena.send("b", Hang(), Say("x"))
    with arena.under_fire():
        await arena.lower(arena.tree.terminate_child, "mid", "b")


@deed("root/mid", "root/mid/b")
async def terminate_zombie(arena: Arena) -> None:
    """A handler that ignores its cancellation is given up."""
    arena.send("b", DoAsync(lambda _: shielded(arena.gate)), Say("x"))
    await settle()
    with arena.under_fire():
        await arena.lower(arena.tree.terminate_child, "mid", "b")


@deed("root/mid", "root/mid/n")
async def terminate_a_start(arena: Arena) -> None:
    """A child that is still starting, and was never there before."""
    spec = arena.player("n", init_takes_s=1)
    with arena.under_fire():
        arena.ask(arena.start, "mid", spec)
        await settle()
        await arena.lower(arena.tree.terminate_child, "mid", "n")


@deed("root/mid", "root/mid/b", cast=narrow("b"))
async def terminate_who_is_waited_for(arena: Arena) -> None:
    """Callers and senders that wait for it, also those without room, are told at once."""
    ref = arena.tree.ref("b")
    arena.send("b", Hang(for_s=0.5))
    await settle()
    with arena.under_fire():
        arena.ask(partial(ref.call, timeout_s=FOR_EVER_S), Echo("x"))
        arena.ask(ref.cast, Say("y"))
        arena.ask(partial(ref.call, timeout_s=FOR_EVER_S), Echo("z"))
        await settle()
        await arena.lower(arena.tree.terminate_child, "mid", "b")


# the other verbs of a supervisor --------------------------------------------------------------------


@deed("root/mid", "root/mid/b")
async def restart_child(arena: Arena) -> None:
    """A child that was stopped by hand."""
    await arena.lower(arena.tree.terminate_child, "mid", "b")
    with arena.under_fire():
        await arena.tree.restart_child("mid", "b")
        assert arena.tree.dump().find("b").incarnation > 1
        await arena.tree.ref("b").call(Echo("here"))


@deed("root", "root/mid", "root/mid/b")
async def restart_supervisor(arena: Arena) -> None:
    """A supervisor that was stopped by hand, with all below."""
    await arena.lower(arena.tree.terminate_child, "root", "mid")
    with arena.under_fire():
        await arena.tree.restart_child("root", "mid")


@deed()
async def delete_child(arena: Arena) -> None:
    """A child that was stopped by hand; nobody but the caller moves."""
    await arena.lower(arena.tree.terminate_child, "mid", "b")
    with arena.under_fire():
        await arena.tree.delete_child("mid", "b")
        assert "b" not in arena.tree.healthy()


@deed("root/mid", "root/mid/n")
async def delete_and_start_again(arena: Arena) -> None:
    """The name of a child that came by hand is free at once."""
    spec = arena.player("n")
    await arena.start("mid", spec)
    with arena.under_fire():
        await arena.lower(arena.tree.terminate_child, "mid", "n")
        await arena.tree.delete_child("mid", "n")
        await arena.start("pool", spec)


@deed("root/mid", "root/mid/b", cast=slow("b"))
async def drain_child(arena: Arena) -> None:
    """A queue, a stash and a call, worked off."""
    arena.send("b", Do(stash_first), Hang(for_s=0.2), Say("x"), Say("y"))
    with arena.under_fire():
        arena.ask(arena.tree.ref("b").call, SlowEcho("x", 0.2))
        await settle()
        await arena.lower(arena.tree.drain_child, "mid", "b")


@deed("root/pool", "root/pool/d")
async def drain_at_its_deadline(arena: Arena) -> None:
    """More work than there is time for."""
    arena.send("d", Hang(for_s=0.7), Hang(for_s=0.8), Say("x"))
    with arena.under_fire():
        await arena.lower(arena.tree.drain_child, "pool", "d")


@deed("root/mid/b", "root/mid")
async def suspend_and_resume(arena: Arena) -> None:
    """A pause with a queue, a timer, and a call that runs out."""
    arena.send("b", Do(wind), Hang(for_s=0.5), Say("x"))
    with arena.under_fire():
        arena.tree.suspend("b")
        await quietly(partial(arena.tree.ref("b").call, timeout_s=1), Echo("no"))
        arena.send("b", Say("y"))
        arena.tree.resume("b")
        await arena.tree.ref("b").call(Echo("yes"))


# restarts -------------------------------------------------------------------------------------------


@deed("root/mid", "root/mid/a", "root/mid/b", "root/mid/c", cast=grouped("one_for_all"))
async def restart_one_for_all(arena: Arena) -> None:
    """A crash takes everybody along, the dump and all questions meanwhile have answers."""
    arena.send("a", Hang(for_s=0.1), Boom(once=True), Say("y"))
    with arena.under_fire():
        await look_on(arena)


@deed("root/mid", "root/mid/a", "root/mid/b", "root/mid/c", cast=grouped("rest_for_one"))
async def restart_rest_for_one(arena: Arena) -> None:
    """A crash takes those after it along."""
    arena.send("b", Hang(for_s=0.1), Boom(once=True), Say("y"))
    with arena.under_fire():
        await look_on(arena)


@deed("root/mid", "root/mid/b", cast=failing("b"))
async def restart_that_fails(arena: Arena) -> None:
    """Two starts on the way back fail; a call waits for the third."""
    arena.send("b", Boom(once=True))
    with arena.under_fire():
        await arena.tree.ref("b").call(Echo("here"))


@deed("root", "root/mid", "root/mid/a", "root/mid/c")
async def fall_over_the_limit(arena: Arena) -> None:
    """Four crashes, of which the supervisor may see to three."""
    arena.send("a", *(Boom(word, once=True) for word in "wxyz"))
    with arena.under_fire():
        await look_on(arena)


@deed("root/pool", "root/pool/d")
async def poison_a_dynamic_child(arena: Arena) -> None:
    """A call that crashes twice, with others behind it."""
    arena.send("d", Boom(), Say("x"))
    with arena.under_fire():
        await quietly(arena.tree.ref("d").call, Echo("here"))
        await look_on(arena)


@deed("root", "root/mid", "root/mid/a", "root/mid/b", cast=significant("any_significant"))
async def end_of_the_first_significant(arena: Arena) -> None:
    """It ends its supervisor, which is restarted."""
    arena.send("a", Do(lambda actor: actor.context.stop()))
    with arena.under_fire():
        await look_on(arena)


@deed("root", "root/mid", "root/mid/a", "root/mid/b", cast=significant("all_significant"))
async def end_of_all_significant(arena: Arena) -> None:
    """The last of them ends its supervisor, which is restarted."""
    arena.send("a", Do(lambda actor: actor.context.stop()))
    arena.send("b", Hang(for_s=0.5), Do(lambda actor: actor.context.stop()))
    with arena.under_fire():
        await look_on(arena)


@deed("root/mid", "root/mid/b")
async def kill(arena: Arena) -> None:
    """A child that is killed, twice."""
    arena.send("b", Hang(for_s=0.5), Say("x"))
    with arena.under_fire():
        arena.tree.kill("b")
        await trio.sleep(0.2)
        arena.tree.kill("b")
        await arena.tree.ref("b").call(Echo("here"))


# messages and eyes ----------------------------------------------------------------------------------


@deed("root/mid/b", cast=narrow("b"))
async def cast_and_call_without_room(arena: Arena) -> None:
    """Senders that wait for room, behind a slow handler."""
    ref = arena.tree.ref("b")
    arena.send("b", Hang(for_s=0.5))
    await settle()
    with arena.under_fire():
        arena.send("b", Say("x"))
        await ref.cast(Say("y"))
        await ref.call(SlowEcho("z", 0.1))


@deed("root/mid/b", "root/mid")
async def stash_and_unstash(arena: Arena) -> None:
    """A message put aside is taken up on demand, or by the next life."""
    arena.send("b", Do(stash_first), Hang(for_s=0.2))
    with arena.under_fire():
        await arena.tree.ref("b").call(Echo("stashed"))
        node = arena.tree.dump().find("b")
        assert node.mailbox is not None
        assert node.mailbox.stashed == (node.incarnation == 1)
        arena.send("b", Do(lambda actor: actor.context.unstash_all()), Do(stash_first))
        await arena.tree.ref("b").call(Echo("stashed again"))


@deed("root/mid", "root/mid/c", cast=grouped("one_for_one"))
async def wait_for_a_normal_end(arena: Arena) -> None:
    """A transient child ends by itself, and who waits for that hears of it."""
    arena.send("c", Hang(for_s=0.2), Do(lambda actor: actor.context.stop()), Say("x"))
    with arena.under_fire():
        await briefly(arena.tree.ref("c").down)


@deed("root/mid", "root/mid/b", "b/job")
async def work_in_the_background(arena: Arena) -> None:
    """A task beside the handlers that ends, and one that crashes its actor."""

    async def fail() -> None:
        await trio.sleep(0.2)
        raise BoomError("job")

    arena.send("b", Do(partial(spawn, partial(trio.sleep, 0.1))), Do(partial(spawn, fail)))
    with arena.under_fire():
        await arena.tree.ref("b").call(SlowEcho("x", 0.5))


@deed("root/mid", "root/mid/a", "root/mid/b", cast=slow("b"))
async def watch_and_wait_for_the_end(arena: Arena) -> None:
    """An actor and a task hear of the end of a child."""
    ref = arena.tree.ref("b")
    arena.send("a", Do(lambda actor: actor.context.watch(ref)))
    with arena.under_fire():
        arena.ask(briefly, ref.down)
        await settle()
        await arena.lower(arena.tree.terminate_child, "mid", "b")


@deed("root/mid/b", "root/mid")
async def trace_messages(arena: Arena) -> None:
    """A stream of what happens to messages, until the actor is down for good."""
    arena.send("b", Say("x"), Boom(once=True), Say("y"))
    with arena.under_fire():
        arena.ask(briefly, follow, arena)
        await quietly(arena.tree.ref("b").call, Echo("here"))
        arena.tree.get_state("b")
        await arena.lower(arena.tree.terminate_child, "mid", "b")


# the end of all -------------------------------------------------------------------------------------


@deed("root", "root/mid", "root/mid/b", "root/pool/d", cast=slow("b"))
async def stop(arena: Arena) -> None:
    """Everybody, in order, each with something left to do."""
    arena.send("b", Hang(for_s=0.5), Say("x"))
    arena.send("d", Hang(), Say("x"))
    with arena.under_fire():
        arena.ask(arena.tree.wait)
        await arena.tree.stop()
    assert all_down(arena)


@deed("root", "root/mid", "root/mid/b", "root/pool/d", cast=slow("b"))
async def stop_in_a_hurry(arena: Arena) -> None:
    """The deadlines are skipped half way."""
    arena.send("b", Hang(for_s=0.5), Say("x"))
    arena.send("d", Hang(), Say("x"))
    with arena.under_fire():
        arena.tree.request_stop()
        await trio.sleep(0.2)
        await arena.tree.stop(hurry=True)
    assert all_down(arena)
