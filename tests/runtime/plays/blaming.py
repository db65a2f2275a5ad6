"""Scenarios of who is to blame: what breaks while a life ends anyway, and errors of a strange kind."""

import pytest
import trio

from coordinator.runtime import ActorRef, Hooks, Mailbox, Tree, child, open_tree, supervisor
from tests.runtime.scenarios import crash_once, given, scenario
from tests.runtime.schedules import choose
from tests.runtime.stage import (
    Boom,
    BoomError,
    Chronicle,
    Do,
    DoAsync,
    Hang,
    Player,
    Say,
    Script,
    is_conserved,
    player,
    settle,
    status,
)

# But for those called from elsewhere: `redact` hides what it raises for, `blocked` has a thread.
NAMES = (
    *("handled", "started", "restarted", "stopped", "crashed"),
    *("dead_letter", "returned", "dropped", "zombie"),
)


class OddError(BaseException):
    """Neither an Exception nor one that ends the program."""


async def raise_a_kept_cancellation() -> None:
    """A Cancelled of a scope that is long over."""
    kept: trio.Cancelled | None = None
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            kept = cancelled
            raise
    await trio.lowlevel.checkpoint()
    assert kept is not None
    raise kept


@scenario("blaming", small=True)
async def a_deadline_in_a_group_restart_is_nobodys() -> None:
    """Given a handler past its deadline while its group restarts, its message is a first attempt."""
    story, attempts = Chronicle(), list[int]()

    async def hang(actor: Player) -> None:
        attempts.append(actor.context.attempt)
        if actor.context.incarnation == 1:
            await trio.sleep_forever()

    cast = [player(story, "a"), player(story, "b", handler_timeout_s=6, shutdown_s=5)]
    async with given(story, supervisor("root", *cast, strategy="one_for_all", intensity=1)) as tree:
        tree.ref("b").cast_nowait(DoAsync(hang))
        await trio.sleep(4)
        await crash_once(tree, "a")
        await trio.sleep(3)
        assert attempts == [1, 1]
        assert [(c.id, c.error.type, c.charged) for c in story.crashes] == [
            ("a", "BoomError", True),
            ("b", "HandlerTimeout", False),
        ]


@scenario("blaming", small=True)
async def a_deadline_in_the_stop_makes_no_dead_letter() -> None:
    """Given a second attempt past its deadline in the final stop, the message is returned."""
    story = Chronicle()

    async def hang(actor: Player) -> None:
        if actor.context.attempt == 1:
            raise BoomError("first")
        await trio.sleep_forever()

    message = DoAsync(hang)
    async with given(story, supervisor("root", player(story, "a", handler_timeout_s=6))) as tree:
        tree.ref("a").cast_nowait(message)
        await trio.sleep(3)
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin + 3
    assert (story.dead, story.returned) == ([], [("a", message)])


@scenario("blaming", small=True)
async def a_cancellation_of_no_scope_in_a_background_task_is_a_crash() -> None:
    """Given a background task that raises one kept from elsewhere, the life has not ended normally."""
    story = Chronicle()

    def employ(actor: Player) -> None:
        if actor.context.incarnation == 1:
            actor.context.spawn(raise_a_kept_cancellation, name="job", item="x")

    script = Script(on_init=employ)
    async with given(
        story, supervisor("root", player(story, "a", script, restart="transient"))
    ) as tree:
        await settle()
        assert [(c.error.type, c.item, c.charged) for c in story.crashes] == [
            ("RuntimeFault", "x", True)
        ]
        assert (status(tree, "a"), tree.dump().find("a").incarnation) == ("running", 2)


class Rude(Player):
    """Its last words are an error of a strange kind."""

    async def terminate(self, reason: str) -> None:
        self.note("terminate", reason)
        if self.context.incarnation == 1:
            raise OddError(reason)
        await raise_a_kept_cancellation()


@scenario("blaming", small=True)
async def an_odd_error_in_the_last_words_is_reported_only() -> None:
    """Given `terminate` that raises what is no Exception, each end is as normal as it was."""
    story = Chronicle()
    async with given(
        story, supervisor("root", child(Rude, story, id="a", restart="transient"))
    ) as tree:
        tree.ref("a").cast_nowait(Do(lambda actor: actor.context.stop()))
        await settle()
        assert (status(tree, "a"), story.stopped) == ("stopped", [("a", "normal")])
        await tree.restart_child("root", "a")
        await tree.terminate_child("root", "a")
        assert story.stopped[1:] == [("a", "shutdown")]
        assert [(c.phase, c.error.type, c.charged) for c in story.crashes] == [
            ("terminate", "OddError", False),
            ("terminate", "Cancelled", False),
        ]


@scenario("blaming")
async def an_exit_in_any_hook_comes_out() -> None:
    """Given a hook that exits, whichever it is, everybody is stopped and the exit comes out bare."""
    story, free = Chronicle(), trio.Event()
    name = NAMES[choose(len(NAMES))]
    trees = list[Tree]()

    def leave(*_: object) -> None:
        if trees and not free.is_set():
            free.set()
            raise SystemExit(name)

    deaf = Script(ignores_cancel_until=free)
    cast = [
        player(story, "a", mailbox=Mailbox(1, "drop_oldest")),
        player(story, "b", deaf, shutdown_s=1, handler_timeout_s=60),
    ]
    with pytest.raises(SystemExit, match=name):  # noqa: PT012  the tree itself raises
        async with open_tree(supervisor("root", *cast), hooks=Hooks(**{name: leave})) as tree:
            trees.append(tree)
            tree.ref("b").cast_nowait(Hang())
            for message in (Say("x"), Boom(), Hang(), Say("y"), Say("z")):
                tree.ref("a").cast_nowait(message)
                await settle()
            await tree.terminate_child("root", "b")
            await tree.terminate_child("root", "a")
            await trio.sleep_forever()
    assert {status(trees[0], id_) for id_ in ("root", "a", "b")} <= {"stopped", "failed"}
    assert is_conserved(trees[0])


@scenario("blaming", small=True)
async def an_exit_in_the_returned_hook_leaves_nobody_waiting() -> None:
    """Given a hook that exits at the first returned message, the rest follows and waiters are told."""
    story, returned, told = Chronicle(), list[str](), list[str]()

    def leave(_: str, message: object) -> None:
        assert isinstance(message, Say)
        returned.append(message.word)
        raise SystemExit(message.word)

    async def wait(ref: ActorRef) -> None:
        told.append(await ref.down())

    async with trio.open_nursery() as nursery:
        with pytest.raises(SystemExit, match="x"):  # noqa: PT012  the tree itself raises
            hooks = Hooks(returned=leave)
            async with open_tree(supervisor("root", player(story, "a")), hooks=hooks) as tree:
                for message in (Hang(for_s=1), Say("x"), Say("y")):
                    tree.ref("a").cast_nowait(message)
                nursery.start_soon(wait, tree.ref("a"))
                await settle()
        with trio.move_on_after(60):
            await settle()
        nursery.cancel_scope.cancel()
    assert (returned, told) == (["x", "y"], ["shutdown"])


class Followed(Player):
    """Its deaf handler falls over a deaf background task."""

    async def init(self) -> None:
        await super().init()
        self.context.spawn(self.hang, 0.0, name="job")

    async def handle(self, message: object) -> object:
        with trio.CancelScope(shield=True):
            await trio.sleep(3)
        await trio.lowlevel.checkpoint()
        return None


@scenario("blaming", small=True)
async def a_deaf_job_behind_a_deaf_handler_is_told_of() -> None:
    """Given a handler deaf to its deadline and a job deaf to its end, both survivors are told of."""
    story, free = Chronicle(), trio.Event()
    deaf = child(
        Followed, story, Script(ignores_cancel_until=free),
        id="a", shutdown_s=0.1, handler_timeout_s=0.5,
    )  # fmt: skip
    async with given(story, supervisor("root", deaf)) as tree:
        tree.ref("a").cast_nowait(Hang())
        await trio.sleep(2)
        assert [" ".join(z.await_stack).count(":hang:") for z in story.zombies] == [0]
        await trio.sleep(8)
        assert status(tree, "a") == "zombie"
        assert [" ".join(z.await_stack).count(":hang:") for z in story.zombies] == [0, 1]
        free.set()
