"""Starting, restarting and giving up, as scenarios: what happened, in which order."""

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import (
    Backoff,
    Hooks,
    ReachedMaxIntensity,
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
from coordinator.runtime.supervisor import Supervisor
from tests.runtime.stage import (
    AT_ONCE,
    Boom,
    BoomError,
    Chronicle,
    Do,
    DoAsync,
    Echo,
    Player,
    Say,
    Script,
    is_conserved,
    player,
    settle,
    status,
)


async def crash(tree: Tree, name: str) -> None:
    await tree.ref(name).cast(Boom(once=True))
    await settle()


# start ------------------------------------------------------------------------------------------


async def test_children_start_left_to_right(autojump_clock: MockClock) -> None:
    """A slow first child is ready before the second one begins."""
    chronicle = Chronicle()
    slow = Script(init_takes_s=5)
    async with open_tree(supervisor("root", player(chronicle, "a", slow), player(chronicle, "b"))):
        assert chronicle.of("init") == ["a", "b"]


async def test_a_failed_start_stops_the_started_in_reverse() -> None:
    """The third child fails: second and first are stopped, the culprit named, its error the cause."""
    chronicle = Chronicle()
    spec = supervisor(
        "root",
        player(chronicle, "a"),
        player(chronicle, "b"),
        player(chronicle, "c", Script(failing_inits=1)),
        player(chronicle, "d"),
    )
    with pytest.raises(StartFailed, match="c did not start: BoomError: init") as caught:
        async with open_tree(spec):
            pass
    assert caught.value.child_id == "c"
    assert isinstance(caught.value.__cause__, BoomError)
    assert chronicle.of("terminate") == ["b", "a"]
    assert chronicle.of("init") == ["a", "b"]


async def test_a_nested_failed_start_names_the_innermost() -> None:
    """A failing grandchild fails the whole start under its own name."""
    chronicle = Chronicle()
    spec = supervisor(
        "root",
        player(chronicle, "a"),
        supervisor("mid", player(chronicle, "b"), player(chronicle, "c", Script(failing_inits=1))),
    )
    with pytest.raises(StartFailed) as caught:
        async with open_tree(spec):
            pass
    assert caught.value.child_id == "c"
    assert chronicle.of("terminate") == ["b", "a"]


async def test_a_start_has_a_timeout(autojump_clock: MockClock) -> None:
    """An init that hangs fails the start when its time is over."""
    chronicle, begin = Chronicle(), trio.current_time()
    hung = player(chronicle, "a", Script(init_takes_s=100), start_timeout_s=7)
    with pytest.raises(StartFailed, match="not ready after 7 s"):
        async with open_tree(supervisor("root", hung)):
            pass
    assert trio.current_time() == begin + 7


async def test_a_start_that_ignores_cancellation_fails_as_a_zombie(autojump_clock: MockClock) -> None:
    """An init that cannot be cancelled is reported after the grace and does not hold up the verdict."""
    chronicle, free = Chronicle(), trio.Event()

    async def stubborn(_: object) -> None:
        with trio.CancelScope(shield=True):
            await free.wait()

    async def release() -> None:
        await trio.sleep(60)
        free.set()

    script = Script(on_init=stubborn)
    spec = supervisor("root", player(chronicle, "a", script, start_timeout_s=1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(release)
        with pytest.raises(StartFailed, match="a did not start"):
            async with open_tree(spec, hooks=chronicle.hooks()):
                pass
    assert [z.id for z in chronicle.zombies] == ["a"]


# restart types ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("restart", "expected"),
    [("permanent", ["a", "a"]), ("transient", ["a", "a"]), ("temporary", ["a"])],
)
async def test_a_crash_restarts_by_type(restart: Restart, expected: list[str]) -> None:
    """After a crash permanent and transient children come back, a temporary one is gone."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a", restart=restart))) as tree:
        await crash(tree, "a")
        assert chronicle.of("init") == expected
        assert ("a" in tree.healthy()) == (restart != "temporary")


@pytest.mark.parametrize(
    ("restart", "expected"), [("permanent", ["a", "a"]), ("transient", ["a"]), ("temporary", ["a"])]
)
async def test_a_normal_end_restarts_only_permanent(restart: Restart, expected: list[str]) -> None:
    """A child that ends by itself comes back only if it is permanent."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a", restart=restart))) as tree:
        ref = tree.ref("a")
        await ref.cast(Do(lambda actor: actor.context.stop()))
        await settle()
        assert chronicle.of("init") == expected
        assert chronicle.lines[1] == "terminate a normal"
        assert ref.alive == (restart == "permanent")


async def test_a_task_that_returns_ended_normally(autojump_clock: MockClock) -> None:
    """A transient task runs once; its return is no error."""
    ran = []

    async def once(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        ran.append(1)

    async with open_tree(supervisor("root", task(once, id="t", restart="transient"))) as tree:
        await settle()
        assert status(tree, "t") == "stopped"
        assert tree.dump().find("t").last_error is None
    assert ran == [1]


async def test_a_task_that_never_got_ready_failed() -> None:
    """Returning before started() is a failed start."""

    async def never(*, task_status: trio.TaskStatus[None]) -> None:
        """Returns without a word."""

    with pytest.raises(StartFailed, match="ended before it was ready"):
        async with open_tree(supervisor("root", task(never, id="t"))):
            pass


# strategies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "stopped", "started"),
    [
        ("one_for_one", ["b"], ["b"]),
        ("one_for_all", ["b", "c", "a"], ["a", "b", "c"]),
        ("rest_for_one", ["b", "c"], ["b", "c"]),
    ],
)
async def test_who_goes_down_with_b(strategy: Strategy, stopped: list[str], started: list[str]) -> None:
    """The strategy decides who is stopped, in reverse, and started again, in order."""
    chronicle = Chronicle()
    spec = supervisor("root", *(player(chronicle, n) for n in "abc"), strategy=strategy)
    async with open_tree(spec) as tree:
        chronicle.clear()
        await crash(tree, "b")
        assert chronicle.of("terminate") == stopped
        assert chronicle.of("init") == started


async def test_a_group_restart_counts_once() -> None:
    """With a budget of one, a crash that takes three children along is survived."""
    chronicle = Chronicle()
    spec = supervisor(
        "root", *(player(chronicle, n) for n in "abc"), strategy="one_for_all", intensity=1
    )
    async with open_tree(spec) as tree:
        await crash(tree, "a")
        assert set(tree.healthy().values()) == {"running"}
        assert tree.dump().root.budget_left == 0


async def test_two_crashes_at_once_are_one_group_restart() -> None:
    """Children that fall in the same moment are restarted together, once."""
    chronicle = Chronicle()
    spec = supervisor(
        "root", *(player(chronicle, n) for n in "abc"), strategy="one_for_all", intensity=1
    )
    async with open_tree(spec) as tree:
        chronicle.clear()
        tree.ref("a").cast_nowait(Boom(once=True))
        tree.ref("c").cast_nowait(Boom(once=True))
        await settle()
        assert sorted(chronicle.of("init")) == ["a", "b", "c"]
        assert tree.dump().root.budget_left == 0


async def test_a_temporary_bystander_is_not_restarted() -> None:
    """It goes down with the group and its name is free."""
    chronicle = Chronicle()
    spec = supervisor(
        "root",
        player(chronicle, "a"),
        player(chronicle, "b", restart="temporary"),
        strategy="one_for_all",
    )
    async with open_tree(spec) as tree:
        await crash(tree, "a")
        assert list(tree.healthy()) == ["root", "a"]


@pytest.mark.parametrize(
    ("strategy", "started"),
    [("rest_for_one", ["a", "b", "c"]), ("one_for_all", ["a", "a", "b", "c"])],
)
async def test_a_failing_group_restart(strategy: Strategy, started: list[str]) -> None:
    """When b fails to come back, rest_for_one goes on from b while one_for_all begins again with a."""
    chronicle, script = Chronicle(), Script()
    spec = supervisor(
        "root", player(chronicle, "a"), player(chronicle, "b", script), player(chronicle, "c"),
        strategy=strategy,
    )  # fmt: skip
    async with open_tree(spec) as tree:
        chronicle.clear()
        script.failing_inits = 1
        await crash(tree, "a")
        assert chronicle.of("init") == started
        assert tree.dump().root.budget_left == 1
        assert set(tree.healthy().values()) == {"running"}


# intensity, backoff, escalation -----------------------------------------------------------------


async def test_over_the_limit_the_root_fails_out_of_the_tree() -> None:
    """The fourth crash in the window ends everything with a bare error whose cause is the crash."""
    chronicle = Chronicle()
    with pytest.raises(ReachedMaxIntensity, match="root gave up on a") as caught:  # noqa: PT012  the tree itself raises
        async with open_tree(
            supervisor("root", player(chronicle, "a"), player(chronicle, "b"))
        ) as tree:
            for _ in range(4):
                tree.ref("a").cast_nowait(Boom(once=True))
            await trio.sleep_forever()
    assert isinstance(caught.value.__cause__, BoomError)
    assert caught.value.child_id == "a"
    assert chronicle.of("terminate")[-1] == "b"
    assert (status(tree, "a"), status(tree, "b")) == ("failed", "stopped")


async def test_wait_raises_what_brought_the_root_down() -> None:
    """A block that waits for the tree hears the same error, once and bare."""
    chronicle = Chronicle()
    with pytest.raises(ReachedMaxIntensity):  # noqa: PT012  the tree itself raises
        async with open_tree(supervisor("root", player(chronicle, "a"), intensity=0)) as tree:
            tree.ref("a").cast_nowait(Boom())
            await tree.wait()


async def test_crashes_spread_over_time_are_tolerated(autojump_clock: MockClock) -> None:
    """Each crash leaves the window after its period."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"), intensity=1, period_s=5)) as tree:
        for _ in range(6):
            await crash(tree, "a")
            await trio.sleep(5.1)
        assert status(tree, "a") == "running"


async def test_a_supervisor_over_its_limit_is_restarted_by_its_parent() -> None:
    """Giving up is abnormal: a transient supervisor comes back with fresh children and full budget."""
    chronicle = Chronicle()
    inner = supervisor("mid", player(chronicle, "a"), player(chronicle, "b"), intensity=0,
                       restart="transient", backoff=AT_ONCE)  # fmt: skip
    async with open_tree(supervisor("root", player(chronicle, "x"), inner)) as tree:
        ref = tree.ref("b")
        chronicle.clear()
        await crash(tree, "a")
        assert chronicle.of("init") == ["a", "b"]
        assert tree.dump().find("mid").incarnation == 2
        assert await ref.call(Echo("still here")) == "still here"


async def test_backoff_grows_and_resets(autojump_clock: MockClock) -> None:
    """The first restart is at once, the next ones wait longer; a quiet time ends the row."""
    chronicle = Chronicle()
    backoff = Backoff(min_s=1, max_s=8, jitter=0)
    spec = supervisor("root", player(chronicle, "a", backoff=backoff), intensity=100)
    async with open_tree(spec) as tree:
        waits = []
        for _ in range(6):
            begin = trio.current_time()
            tree.ref("a").cast_nowait(Boom(once=True))
            await tree.ref("a").call(Echo(""), timeout_s=60)
            waits.append(trio.current_time() - begin)
        assert waits == pytest.approx([0, 1, 2, 4, 8, 8])
        await trio.sleep(4.5)
        begin = trio.current_time()
        tree.ref("a").cast_nowait(Boom(once=True))
        await tree.ref("a").call(Echo(""))
        assert trio.current_time() == begin


async def test_a_failed_restart_counts_and_is_retried(autojump_clock: MockClock) -> None:
    """An init that fails twice on the way back costs two more of the budget and then works."""
    chronicle, script = Chronicle(), Script()
    async with open_tree(supervisor("root", player(chronicle, "a", script))) as tree:
        script.failing_inits = 2
        await crash(tree, "a")
        assert chronicle.of("init-failed") == ["a", "a"]
        assert tree.dump().root.budget_left == 0
        assert tree.dump().find("a").incarnation == 4


async def test_requests_get_in_between_restarts(autojump_clock: MockClock) -> None:
    """While a child waits for its next try the supervisor starts another and stops the waiting one."""
    chronicle, script = Chronicle(), Script()
    slow = Backoff(min_s=100, max_s=100)
    async with open_tree(supervisor("root", player(chronicle, "a", script, backoff=slow))) as tree:
        script.failing_inits = 1
        await crash(tree, "a")
        assert status(tree, "a") == "restarting"
        assert tree.dump().find("a").restart_due_in_s == pytest.approx(100)
        await tree.start_child("root", player(chronicle, "b"))
        await tree.terminate_child("root", "a")
        assert (status(tree, "a"), status(tree, "b")) == ("stopped", "running")


async def test_a_slow_restart_blocks_nobody(autojump_clock: MockClock) -> None:
    """While one child's init takes its time, another one's crash is dealt with."""
    chronicle, script = Chronicle(), Script()
    spec = supervisor("root", player(chronicle, "a", script), player(chronicle, "b"))
    async with open_tree(spec) as tree:
        script.init_takes_s = 20
        await crash(tree, "a")
        await crash(tree, "b")
        assert (status(tree, "a"), status(tree, "b")) == ("starting", "running")


# dynamic ----------------------------------------------------------------------------------------


async def test_dynamic_children_start_concurrently(autojump_clock: MockClock) -> None:
    """Ten inits of a second each take a second."""
    chronicle, begin = Chronicle(), trio.current_time()
    initial = [player(chronicle, f"p{n}", Script(init_takes_s=1)) for n in range(10)]
    async with open_tree(supervisor("root", dynamic("d", initial=initial))) as tree:
        assert trio.current_time() == begin + 1
        assert tree.count_children("d").active == 10


async def test_one_failing_initial_child_does_not_fail_the_start(autojump_clock: MockClock) -> None:
    """The supervisor is up without it and tries it again with backoff."""
    chronicle = Chronicle()
    bad = player(chronicle, "bad", Script(failing_inits=2), backoff=Backoff(jitter=0))
    async with open_tree(
        supervisor("root", dynamic("d", initial=[bad, player(chronicle, "ok")]))
    ) as tree:
        assert (status(tree, "ok"), tree.root.status) == ("running", "running")
        await trio.sleep(1)
        assert status(tree, "bad") == "running"


async def test_a_dynamic_budget_is_per_child(autojump_clock: MockClock) -> None:
    """Four children that crash three times each stay within a budget of three."""
    chronicle = Chronicle()
    initial = [player(chronicle, f"p{n}") for n in range(4)]
    async with open_tree(supervisor("root", dynamic("d", initial=initial))) as tree:
        for n in range(4):
            for _ in range(3):
                await crash(tree, f"p{n}")
        assert set(tree.healthy().values()) == {"running"}
        assert tree.dump().find("p0").budget_left == 0
        assert tree.dump().find("d").budget_left == 30 - 12


async def test_a_dynamic_child_over_its_budget_cools_down(autojump_clock: MockClock) -> None:
    """It waits out its longest backoff and comes back with a fresh budget; siblings notice nothing."""
    chronicle = Chronicle()
    initial = [player(chronicle, "p", backoff=Backoff(min_s=0, max_s=9)), player(chronicle, "q")]
    async with open_tree(supervisor("root", dynamic("d", initial=initial, intensity=1))) as tree:
        await crash(tree, "p")
        await crash(tree, "p")
        assert tree.dump().find("p").restart_due_in_s == pytest.approx(9)
        assert status(tree, "q") == "running"
        await trio.sleep(10)
        assert status(tree, "p") == "running"


async def test_a_common_fault_escalates_over_the_global_cap() -> None:
    """Eleven crashes under a budget of one per child are ten times the budget and one more."""
    chronicle = Chronicle()
    initial = [player(chronicle, f"p{n}") for n in range(11)]
    with pytest.raises(ReachedMaxIntensity):  # noqa: PT012  the tree itself raises
        async with open_tree(dynamic("d", initial=initial, intensity=1)) as tree:
            for n in range(11):
                tree.ref(f"p{n}").cast_nowait(Boom(once=True))
            await tree.wait()


async def test_a_restarted_dynamic_supervisor_starts_its_initial_children_again() -> None:
    """Initial children come back with their mailboxes, guests are gone and their references down."""
    chronicle = Chronicle()
    inner = dynamic("d", initial=[player(chronicle, "p")], intensity=0, backoff=AT_ONCE)
    async with open_tree(supervisor("root", inner)) as tree:
        guest = await tree.start_child("d", player(chronicle, "guest"))
        await crash(tree, "p")
        assert tree.dump().find("d").incarnation == 2
        assert not guest.alive
        assert "guest" not in tree.healthy()
        assert await tree.ref("p").call(Echo("hi")) == "hi"


async def test_a_thousand_dynamic_actors(autojump_clock: MockClock) -> None:
    """A thousand actors start, answer and stop, and nothing is left of them."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", dynamic("d"))) as tree:
        tasks_before = trio.lowlevel.current_statistics().tasks_living
        async with trio.open_nursery() as nursery:
            for n in range(1000):
                nursery.start_soon(tree.start_child, "d", player(chronicle, f"p{n}"))
        assert tree.count_children("d").active == 1000
        for n in range(0, 1000, 100):
            await tree.ref(f"p{n}").cast(Say("hi"))
        await settle()
        assert is_conserved(tree)
        async with trio.open_nursery() as nursery:
            for n in range(1000):
                nursery.start_soon(tree.terminate_child, "d", f"p{n}")
        assert len(tree.healthy()) == 2
        await settle()
        assert trio.lowlevel.current_statistics().tasks_living == tasks_before


# auto shutdown ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auto", "after_one", "after_both"),
    [("never", True, True), ("any_significant", False, False), ("all_significant", True, False)],
)
async def test_a_supervisor_may_end_with_its_significant_children(
    auto: AutoShutdown, after_one: bool, after_both: bool
) -> None:
    """Work that is done takes its supervisor along, normally."""
    chronicle = Chronicle()
    inner = supervisor(
        "mid",
        player(chronicle, "a", restart="transient", significant=True),
        player(chronicle, "b", restart="transient", significant=True),
        player(chronicle, "c"),
        auto_shutdown=auto,
        restart="transient",
    )
    async with open_tree(supervisor("root", inner)) as tree:
        c = tree.ref("c")
        tree.ref("a").cast_nowait(Do(lambda actor: actor.context.stop()))
        await settle()
        assert c.alive is after_one
        if after_one:
            tree.ref("b").cast_nowait(Do(lambda actor: actor.context.stop()))
            await settle()
        assert c.alive is after_both
        assert (status(tree, "mid") == "running") is after_both


async def test_hooks_that_raise_change_nothing() -> None:
    """An observer's bug is counted and nothing else."""

    def broken(*_: object) -> None:
        raise ValueError("observer")

    chronicle = Chronicle()
    hooks = Hooks(started=broken, crashed=broken, handled=broken)
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=hooks) as tree:
        await crash(tree, "a")
        assert status(tree, "a") == "running"
        assert tree.hook_failures >= 4
        assert tree.dump().hook_failures == tree.hook_failures


async def test_a_restarted_supervisor_starts_in_the_order_of_its_specification() -> None:
    """A temporary child that had gone comes back in its old place, not behind the others."""
    chronicle = Chronicle()
    spec = supervisor(
        "root",
        supervisor(
            "mid",
            player(chronicle, "a", restart="temporary"),
            player(chronicle, "b"),
            intensity=0,
            backoff=AT_ONCE,
        ),
    )
    async with open_tree(spec) as tree:
        await crash(tree, "a")
        chronicle.clear()
        await crash(tree, "b")
        await settle()
        assert chronicle.of("init") == ["a", "b"]
        assert [info.id for info in tree.which_children("mid")] == ["a", "b"]


async def test_a_child_added_during_the_first_start_fails_alone(autojump_clock: MockClock) -> None:
    """A supervisor still starting its own children survives the failed start of one added by hand."""
    chronicle = Chronicle()
    failures: list[str] = []

    async def add(actor: Player) -> None:
        try:
            bad = player(chronicle, "bad", Script(failing_inits=9))
            await actor.context.tree.start_child("root", bad)
        except StartFailed as failure:
            failures.append(failure.child_id)

    async def early(actor: Player) -> None:
        actor.context.spawn(add, actor, name="add")

    spec = supervisor(
        "root",
        player(
            chronicle, "a", Script(on_init=lambda actor: actor.context.ref.cast_nowait(DoAsync(early)))
        ),
        player(chronicle, "b", Script(init_takes_s=1)),
    )
    async with open_tree(spec) as tree:
        await settle()
        assert failures == ["bad"]
        assert tree.healthy() == {"root": "running", "a": "running", "b": "running"}


async def test_an_added_child_waits_for_those_of_the_first_start(autojump_clock: MockClock) -> None:
    """A child added while its supervisor starts comes after the specified ones."""
    chronicle = Chronicle()

    async def add(actor: Player) -> None:
        await actor.context.tree.start_child("root", player(chronicle, "d"))

    async def early(actor: Player) -> None:
        actor.context.spawn(add, actor, name="add")

    spec = supervisor(
        "root",
        player(
            chronicle, "a", Script(on_init=lambda actor: actor.context.ref.cast_nowait(DoAsync(early)))
        ),
        player(chronicle, "b", Script(init_takes_s=1)),
        player(chronicle, "c", Script(init_takes_s=1)),
    )
    async with open_tree(spec):
        await settle()
        assert chronicle.of("init") == ["a", "b", "c", "d"]


async def test_a_group_restart_in_the_first_start_waits_for_everybody(
    autojump_clock: MockClock,
) -> None:
    """A sibling interrupted in its init by a group restart is ready before the start counts as done."""
    chronicle = Chronicle()

    async def fuse(actor: Player) -> None:
        await trio.sleep(1)
        raise BoomError("fuse")

    def light(actor: Player) -> None:
        if actor.context.incarnation == 1:
            actor.context.spawn(fuse, actor, name="fuse")

    spec = supervisor(
        "root",
        player(chronicle, "a", Script(on_init=light)),
        player(chronicle, "b", Script(init_takes_s=3)),
        strategy="one_for_all",
    )
    async with open_tree(spec) as tree:
        assert status(tree, "b") == "running"


async def test_a_long_static_start_and_stop_looks_only_at_those_whose_turn_it_is() -> None:
    """The work of a step does not grow with the number of children that wait for their turn."""
    chronicle = Chronicle()
    looked_at: list[int] = []

    class Watcher(Player):
        def count(self) -> None:
            root = self.context.tree.root.body
            assert isinstance(root, Supervisor)
            looked_at.append(len(root._agenda))

        async def init(self) -> None:
            self.count()

        async def terminate(self, reason: str) -> None:
            self.count()

    watchers = [child(Watcher, chronicle, id=f"w{n}") for n in range(50)]
    async with open_tree(supervisor("root", *watchers)):
        pass
    assert len(looked_at) == 100
    assert max(looked_at) <= 3


async def test_a_specified_child_that_never_ran_is_an_old_one(autojump_clock: MockClock) -> None:
    """Stopped before its turn came, it stays in its place when `restart_child` fails."""
    chronicle = Chronicle()

    async def interfere(actor: Player) -> None:
        tree = actor.context.tree
        await tree.terminate_child("root", "c")
        with pytest.raises(StartFailed, match="c did not start"):
            await tree.restart_child("root", "c")
        actor.note("interfered")

    def early(actor: Player) -> None:
        actor.context.spawn(interfere, actor, name="interfere")

    spec = supervisor(
        "root",
        player(chronicle, "a", Script(on_init=early)),
        player(chronicle, "b", Script(init_takes_s=1)),
        player(chronicle, "c", Script(failing_inits=1)),
    )
    async with open_tree(spec) as tree:
        await settle()
        assert chronicle.of("interfered") == ["a"]
        assert status(tree, "c") == "failed"
        await tree.restart_child("root", "c")
        assert status(tree, "c") == "running"
