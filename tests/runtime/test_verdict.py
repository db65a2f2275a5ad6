"""What an end means: errors that end the program, starts that are declined, names that come back."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import (
    ActorDown,
    ChildExists,
    ChildInfo,
    ChildSpec,
    Ignore,
    Killed,
    StartFailed,
    Tree,
    child,
    dynamic,
    open_tree,
    supervisor,
    task,
)
from coordinator.runtime.restart import Restart
from coordinator.runtime.spec import AutoShutdown, Strategy
from tests.runtime.stage import (
    AT_ONCE,
    Boom,
    Chronicle,
    Do,
    Echo,
    Hang,
    Player,
    Say,
    Script,
    player,
    settle,
    status,
)

FATAL = [KeyboardInterrupt("x"), SystemExit(3), GeneratorExit("x"), trio.TrioInternalError("x")]


def throw(error: BaseException, *, from_life: int = 1) -> Callable[[Player], None]:
    """An `on_init` that raises in this life and those after it."""

    def raise_it(actor: Player) -> None:
        if actor.context.incarnation >= from_life:
            raise error

    return raise_it


def decline(*, from_life: int = 1) -> Callable[[Player], None]:
    return throw(Ignore("not today"), from_life=from_life)


# what must end the program ------------------------------------------------------------------------


async def in_init(story: Chronicle, error: BaseException) -> None:
    """While the tree comes up."""
    script = Script(on_init=throw(error))
    async with open_tree(supervisor("root", player(story, "z"), player(story, "a", script))):
        pytest.fail("it came up")


async def in_a_restart(story: Chronicle, error: BaseException) -> None:
    """In the init of a second life."""
    script = Script(on_init=throw(error, from_life=2))
    spec = supervisor("root", player(story, "z"), player(story, "a", script))
    async with open_tree(spec) as tree:
        tree.ref("a").cast_nowait(Boom())
        await trio.sleep_forever()


async def in_a_start_by_hand(story: Chronicle, error: BaseException) -> None:
    """In the init of a child that somebody asks for."""
    async with open_tree(supervisor("root", player(story, "z"), dynamic("pool"))) as tree:
        with pytest.raises(StartFailed) as caught:
            await tree.start_child("pool", player(story, "a", Script(on_init=throw(error))))
        assert caught.value.__cause__ is error
        await trio.sleep_forever()


async def in_handle(story: Chronicle, error: BaseException) -> None:
    """In a handler, two levels down."""

    def fall(_: Player) -> None:
        raise error

    spec = supervisor("root", player(story, "z"), supervisor("mid", player(story, "a")))
    async with open_tree(spec) as tree:
        tree.ref("a").cast_nowait(Do(fall))
        await trio.sleep_forever()


class Bitter(Player):
    """Its last words are an error."""

    async def terminate(self, reason: str) -> None:
        assert self.script.state is not None
        assert isinstance(self.script.state, BaseException)
        raise self.script.state

    def inspect(self) -> object:
        return None


async def in_terminate(story: Chronicle, error: BaseException) -> None:
    """In the last words, while the tree stops."""
    bitter = child(Bitter, story, Script(state=error), id="a")
    async with open_tree(supervisor("root", player(story, "z"), bitter)):
        pass


async def in_a_job(story: Chronicle, error: BaseException) -> None:
    """In a background task of an actor."""

    async def fall() -> None:
        raise error

    def early(actor: Player) -> None:
        actor.context.spawn(fall, name="job")

    spec = supervisor("root", player(story, "z"), player(story, "a", Script(on_init=early)))
    async with open_tree(spec):
        await trio.sleep_forever()


async def in_a_task(story: Chronicle, error: BaseException) -> None:
    """In a task that is ready."""

    async def fall(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.lowlevel.checkpoint()
        raise error

    async with open_tree(supervisor("root", player(story, "z"), task(fall, id="a"))):
        await trio.sleep_forever()


async def in_a_task_that_starts(story: Chronicle, error: BaseException) -> None:
    """In a task that is not ready yet."""

    async def fall(*, task_status: trio.TaskStatus[None]) -> None:
        raise error

    async with open_tree(supervisor("root", player(story, "z"), task(fall, id="a"))):
        pytest.fail("it came up")


PHASES = [
    in_init, in_a_restart, in_a_start_by_hand, in_handle, in_terminate, in_a_job, in_a_task,
    in_a_task_that_starts,
]  # fmt: skip


@pytest.mark.parametrize("error", FATAL, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("play", PHASES, ids=lambda p: p.__name__)
async def test_what_ends_the_program_is_never_restarted(
    play: Callable[[Chronicle, BaseException], object], error: BaseException
) -> None:
    """Wherever it is raised, everything is stopped in order and the very error comes out, bare."""
    story = Chronicle()
    with pytest.raises(type(error)) as caught:
        await play(story, error)  # type: ignore[misc]
    assert caught.value is error
    assert story.of("terminate")[-1] == "z"
    assert story.of("init").count("z") == 1


async def test_of_two_fatal_errors_the_first_comes_out() -> None:
    """Neither a second one nor the giving up that comes with it hides the error that came first."""
    story = Chronicle()
    first, second = SystemExit(1), KeyboardInterrupt("2")

    def fall(error: BaseException) -> Callable[[Player], None]:
        def raise_it(_: Player) -> None:
            raise error

        return raise_it

    names = [player(story, name) for name in "abc"]
    with pytest.raises(SystemExit) as caught:  # noqa: PT012  the tree itself raises
        async with open_tree(supervisor("root", *names, intensity=0)) as tree:
            tree.ref("a").cast_nowait(Do(fall(first)))
            await trio.testing.wait_all_tasks_blocked()
            tree.ref("b").cast_nowait(Do(fall(second)))
            tree.ref("c").cast_nowait(Boom())
            await trio.sleep_forever()
    assert caught.value is first


async def test_giving_up_does_not_hide_an_interrupt() -> None:
    """A supervisor that is over its limit when a child is interrupted ends with the interrupt."""
    story = Chronicle()

    def fall(_: Player) -> None:
        raise KeyboardInterrupt

    for order in ("ab", "ba"):
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012  the tree itself raises
            async with open_tree(
                supervisor("root", player(story, "a"), player(story, "b"), intensity=0)
            ) as tree:
                for name in order:
                    tree.ref(name).cast_nowait(Boom() if name == "a" else Do(fall))
                await trio.sleep_forever()


# starts that are declined -------------------------------------------------------------------------


@pytest.mark.parametrize(("restart", "stays"), [("permanent", True), ("temporary", False)])
async def test_a_static_child_that_declines_stays_stopped(restart: Restart, stays: bool) -> None:
    """The start goes on to the next child; no crash, no charge, a temporary child is gone."""
    story = Chronicle()
    script = Script(on_init=decline())
    spec = supervisor("root", player(story, "a", script, restart=restart), player(story, "b"))
    async with open_tree(spec, hooks=story.hooks()) as tree:
        assert story.of("init") == ["b"]
        assert ("a" in tree.healthy()) is stays
        assert (story.crashes, tree.dump().root.budget_left) == ([], 3)
        assert story.stopped == [("a", "ignored")]
        if stays:
            assert status(tree, "a") == "stopped"
            with pytest.raises(ActorDown, match="ignored: not today"):
                await tree.ref("a").cast(Say("x"))
    assert "terminate a" not in " ".join(story.lines)


@pytest.mark.parametrize("restart", ["permanent", "transient"])
async def test_a_declined_start_may_be_tried_again(restart: Restart) -> None:
    """`restart_child` succeeds when the child declines again, and when it does not."""
    story = Chronicle()
    script = Script(on_init=decline())
    async with open_tree(supervisor("root", player(story, "a", script, restart=restart))) as tree:
        await tree.restart_child("root", "a")
        assert (status(tree, "a"), tree.ref("a").alive) == ("stopped", False)
        script.on_init = None
        await tree.restart_child("root", "a")
        assert await tree.ref("a").call(Echo("x")) == "x"


@pytest.mark.parametrize("owner", ["root", "pool"])
async def test_a_declined_start_by_hand_gives_a_reference_that_is_down(owner: str) -> None:
    """The asker is not told of a failure; a static place stays, a dynamic one is free again."""
    story = Chronicle()
    async with open_tree(supervisor("root", dynamic("pool", max_children=1))) as tree:
        ref = await tree.start_child(owner, player(story, "a", Script(on_init=decline())))
        assert not ref.alive
        left = [info for info in tree.which_children(owner) if info.id == "a"]
        assert left == ([ChildInfo("a", "actor", "stopped")] if owner == "root" else [])
        if owner == "pool":
            await tree.start_child("pool", player(story, "a"))


async def test_an_initial_dynamic_child_that_declines_is_gone() -> None:
    """It is not retried, and its supervisor comes up."""
    story = Chronicle()
    initial = [player(story, "a", Script(on_init=decline())), player(story, "b")]
    async with open_tree(supervisor("root", dynamic("pool", initial=initial))) as tree:
        assert list(tree.healthy()) == ["root", "pool", "b"]


async def test_a_task_may_decline() -> None:
    """Before it is ready a task declines like an init."""

    async def shy(*, task_status: trio.TaskStatus[None]) -> None:
        raise Ignore("no")

    async with open_tree(supervisor("root", task(shy, id="t"))) as tree:
        assert status(tree, "t") == "stopped"
        assert tree.dump().find("t").last_error is None


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_a_group_restart_goes_on_past_one_that_declines(strategy: Strategy) -> None:
    """Who declines on the way back stays stopped, the others come up, and one restart is charged."""
    story = Chronicle()
    script = Script(on_init=decline(from_life=2))
    spec = supervisor(
        "root", player(story, "a"), player(story, "b", script), player(story, "c"), strategy=strategy
    )
    async with open_tree(spec) as tree:
        story.clear()
        tree.ref("a").cast_nowait(Boom(once=True))
        await settle()
        assert story.of("init") == ["a", "c"]
        assert tree.healthy() == {"root": "running", "a": "running", "b": "stopped", "c": "running"}
        assert tree.dump().root.budget_left == 2


async def test_a_crashed_child_that_declines_returns_its_message() -> None:
    """Nobody will handle what is left in its mailbox, so it goes where a final stop's messages go."""
    story = Chronicle()
    script = Script(on_init=decline(from_life=2))
    async with open_tree(supervisor("root", player(story, "a", script)), hooks=story.hooks()) as tree:
        tree.ref("a").cast_nowait(Boom())
        tree.ref("a").cast_nowait(Say("later"))
        await settle()
        assert story.returned == [("a", Boom()), ("a", Say("later"))]
        assert len(story.crashes) == 1


@pytest.mark.parametrize("auto", ["any_significant", "all_significant"])
async def test_declining_does_not_end_the_supervisor(auto: AutoShutdown) -> None:
    """Significance is for who has begun; one that declined is not waited for either."""
    story = Chronicle()
    shy = player(story, "a", Script(on_init=decline()), restart="transient", significant=True)
    other = player(story, "b", restart="transient", significant=True)
    inner = supervisor("mid", shy, other, auto_shutdown=auto, restart="transient")
    async with open_tree(supervisor("root", inner)) as tree:
        assert status(tree, "mid") == "running"
        tree.ref("b").cast_nowait(Do(lambda actor: actor.context.stop()))
        await settle()
        assert status(tree, "mid") == "stopped"


async def test_declining_after_the_start_is_a_crash() -> None:
    """In a handler the same exception is an error like any other."""
    story = Chronicle()

    def fall(_: Player) -> None:
        raise Ignore("too late")

    async with open_tree(supervisor("root", player(story, "a")), hooks=story.hooks()) as tree:
        tree.ref("a").cast_nowait(Do(fall))
        await settle()
        assert [report.error.type for report in story.crashes] == ["Ignore", "Ignore"]
        assert status(tree, "a") == "running"


async def test_a_start_past_its_time_cannot_decline_any_more(autojump_clock: MockClock) -> None:
    """The timeout stays the reason, whatever the init raises when it is cancelled."""
    story = Chronicle()

    async def late(_: Player) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Ignore("late")

    spec = player(story, "a", Script(on_init=late), start_timeout_s=2)
    with pytest.raises(StartFailed, match="not ready after 2 s"):
        async with open_tree(supervisor("root", spec)):
            pytest.fail("it came up")


# names that come back -----------------------------------------------------------------------------


def with_guest(story: Chronicle, name: str, spec: ChildSpec) -> ChildSpec:
    """`mid` starts the child, has no budget, and comes back when it gives up."""
    fuse = player(story, "fuse")
    return supervisor(name, spec, fuse, intensity=0, backoff=AT_ONCE)


async def fall(tree: Tree, name: str) -> None:
    tree.ref(name).cast_nowait(Boom(once=True))
    await settle()


async def test_a_name_that_comes_back_is_not_given_away() -> None:
    """The id of a temporary child that has gone is kept for the restart of its supervisor."""
    story = Chronicle()
    mid = with_guest(story, "mid", player(story, "a", restart="temporary"))
    async with open_tree(supervisor("root", mid, dynamic("pool"))) as tree:
        await tree.terminate_child("mid", "a")
        with pytest.raises(ChildExists, match="root/mid starts it when it is restarted"):
            await tree.start_child("pool", player(story, "a"))
        await tree.start_child("mid", player(story, "a"))
        await tree.terminate_child("mid", "a")
        await fall(tree, "fuse")
        assert (status(tree, "mid"), tree.dump().find("mid").incarnation) == ("running", 2)
        assert tree.get_childspec("mid", "a").restart == "temporary"


async def test_a_kept_name_is_free_when_its_supervisor_is_gone() -> None:
    """Who has no next life keeps no name, neither its own nor one of a level below."""
    story = Chronicle()
    mid = with_guest(story, "mid", player(story, "a", restart="temporary"))
    async with open_tree(supervisor("root", dynamic("pool"))) as tree:
        await tree.start_child("root", mid)
        await tree.terminate_child("mid", "a")
        await tree.terminate_child("root", "mid")
        await tree.delete_child("root", "mid")
        await tree.start_child("pool", player(story, "a"))


async def test_a_restart_brings_back_the_specification_and_not_its_namesake() -> None:
    """A child added under the id of a deleted one is a guest: it goes, the specified one returns."""
    story = Chronicle()
    mid = with_guest(story, "mid", player(story, "a", shutdown_s=4))
    async with open_tree(supervisor("root", mid)) as tree:
        await tree.terminate_child("mid", "a")
        await tree.delete_child("mid", "a")
        guest = await tree.start_child("mid", player(story, "a", shutdown_s=3))
        assert tree.get_childspec("mid", guest).shutdown_s == 3
        await fall(tree, "fuse")
        assert tree.get_childspec("mid", "a").shutdown_s == 4
        assert not guest.alive


async def test_a_killed_child_that_ignores_it_is_named(autojump_clock: MockClock) -> None:
    """After the grace a killed actor is a zombie, and it is replaced when it ends."""
    story, free = Chronicle(), trio.Event()
    script = Script(ignores_cancel_until=free)
    async with open_tree(supervisor("root", player(story, "a", script)), hooks=story.hooks()) as tree:
        tree.ref("a").cast_nowait(Hang())
        await settle()
        tree.kill("a")
        await trio.sleep(1.5)
        given_up = status(tree, "a")
        free.set()
        await settle()
        assert (given_up, [z.id for z in story.zombies]) == ("zombie", ["a"])
        assert (status(tree, "a"), story.crashes[0].error.type) == ("running", Killed.__name__)
