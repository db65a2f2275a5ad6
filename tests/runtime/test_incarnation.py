"""The loop of an actor: batches, crashes in hand, deadlines, timers, background tasks."""

import pytest
import trio
from trio.testing import MockClock

from coordinator.runtime import (
    ActorContext,
    Backoff,
    CallTimeout,
    DeadLettered,
    Mailbox,
    ReplyError,
    StartFailed,
    child,
    open_tree,
    supervisor,
)
from tests.runtime.stage import (
    AT_ONCE,
    Boom,
    BoomCall,
    BoomError,
    Chronicle,
    Do,
    DoAsync,
    Echo,
    Hang,
    Player,
    Refuse,
    Say,
    Script,
    is_conserved,
    player,
    settle,
    status,
)


async def test_messages_are_handled_in_order() -> None:
    """One sender's messages are handled in the order sent, however many batches they fill."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        for n in range(200):
            await tree.ref("a").cast(Say(str(n)))
        await settle()
    assert [line.split()[-1] for line in chronicle.lines if line.startswith("said")] == [
        str(n) for n in range(200)
    ]


async def test_a_poison_message_is_handled_twice_then_put_aside() -> None:
    """Both crashes are in the dead letter, the first is charged and the second is not."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        ref = tree.ref("a")
        for message in (Say("before"), Boom("bad"), Say("after")):
            await ref.cast(message)
        await settle()
        assert chronicle.lines == [
            "init a 1", "said a before", "boom a bad 1", "terminate a crash",
            "init a 2", "boom a bad 2", "terminate a crash",
            "init a 3", "said a after",
        ]  # fmt: skip
        assert [c.charged for c in chronicle.crashes] == [True, False]
        assert [(d.id, d.message, len(d.crashes)) for d in chronicle.dead] == [("a", Boom("bad"), 2)]
        assert tree.dump().root.budget_left == 2
        assert is_conserved(tree)


async def test_three_poison_messages_in_a_row_do_not_escalate() -> None:
    """Each costs one restart of the budget, so three of them fit into it."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        for n in range(3):
            await tree.ref("a").cast(Boom(str(n)))
        await tree.ref("a").cast(Say("alive"))
        await settle()
        assert chronicle.of("said") == ["a"]
        assert len(chronicle.dead) == 3
        assert status(tree, "a") == "running"


async def test_a_redelivered_message_may_succeed() -> None:
    """The second attempt comes first in the next life, knows it is one, and settles the message."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        tree.ref("a").cast_nowait(Boom("x", once=True))
        tree.ref("a").cast_nowait(Say("later"))
        await settle()
        assert chronicle.lines[-2:] == ["survived a x", "said a later"]
        assert chronicle.dead == []
        assert is_conserved(tree)


async def test_a_poison_call_is_refused() -> None:
    """Its caller hears of the second crash at once."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        with pytest.raises(DeadLettered, match="crashed twice on BoomCall"):
            await tree.ref("a").call(BoomCall())
        assert await tree.ref("a").call(Echo("fine")) == "fine"


async def test_a_crashed_call_whose_caller_left_is_not_repeated(autojump_clock: MockClock) -> None:
    """Nobody waits for the answer, so the second attempt is spared and the call counts as expired."""
    chronicle, script = Chronicle(), Script()
    async with open_tree(supervisor("root", player(chronicle, "a", script))) as tree:
        script.init_takes_s = 10
        with pytest.raises(CallTimeout):
            await tree.ref("a").call(BoomCall("x"), timeout_s=5)
        await trio.sleep(20)
        assert chronicle.of("boom") == []
        assert tree.dump().find("a").incarnation == 2
        mailbox = tree.dump().find("a").mailbox
        assert mailbox is not None
        assert mailbox.counters["expired"] == 1
        assert is_conserved(tree)


# items ------------------------------------------------------------------------------------------


async def test_a_bad_item_costs_one_restart_and_can_be_skipped() -> None:
    """An item's second crash is free, the message stays, and crashes_of lets the actor go past it."""
    chronicle, done = Chronicle(), list[int]()

    def work(actor: Player) -> None:
        for item in range(len(done), 4):
            actor.context.working_on(item)
            if len(actor.context.crashes_of(item)) < 2 and item == 2:
                raise BoomError(f"item {item}")
            done.append(item)
        actor.context.working_on(None)

    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(Do(work))
        await settle()
        assert done == [0, 1, 2, 3]
        assert [(c.item, c.charged) for c in chronicle.crashes] == [(2, True), (2, False)]
        assert chronicle.dead == []
        assert tree.dump().root.budget_left == 2
        assert is_conserved(tree)


async def test_an_item_that_is_never_skipped_is_no_livelock() -> None:
    """From the third crash on the budget and the message pay, so the loop ends in a dead letter."""
    chronicle = Chronicle()

    def stubborn(actor: Player) -> None:
        actor.context.working_on("seq 7")
        raise BoomError("again")

    async with open_tree(
        supervisor("root", player(chronicle, "a"), intensity=9), hooks=chronicle.hooks()
    ) as tree:
        await tree.ref("a").cast(Do(stubborn))
        await settle()
        assert [c.charged for c in chronicle.crashes] == [True, False, True, True]
        assert len(chronicle.dead) == 1
        assert status(tree, "a") == "running"


async def test_the_mark_ends_with_the_handler() -> None:
    """A crash in a later message is not the earlier message's item's."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(Do(lambda actor: actor.context.working_on("x")))
        await tree.ref("a").cast(Boom())
        await settle()
        assert chronicle.crashes[0].item is None
        assert tree.root.status == "running"


# deadlines --------------------------------------------------------------------------------------


async def test_a_hung_handler_is_a_crash(autojump_clock: MockClock) -> None:
    """After its time it is cancelled, redelivered once, then dead-lettered; the next one is handled."""
    chronicle = Chronicle()
    spec = supervisor("root", player(chronicle, "a", handler_timeout_s=3))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        begin = trio.current_time()
        await tree.ref("a").cast(Hang())
        assert await tree.ref("a").call(Echo("next"), timeout_s=10) == "next"
        assert trio.current_time() == begin + 6
    assert [c.error.type for c in chronicle.crashes] == ["HandlerTimeout"] * 2
    assert [d.message for d in chronicle.dead] == [Hang()]


async def test_a_slow_handler_within_its_time_is_fine(autojump_clock: MockClock) -> None:
    """The deadline is each handler's own, not that of a batch."""
    chronicle = Chronicle()
    spec = supervisor("root", player(chronicle, "a", handler_timeout_s=3))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        for _ in range(20):
            await tree.ref("a").cast(Hang(for_s=2))
        await trio.sleep(60)
        assert chronicle.crashes == []
        assert tree.dump().find("a").handled == 20


async def test_still_working_pushes_the_deadline(autojump_clock: MockClock) -> None:
    """A handler that says it waits for something has its full time again."""
    chronicle = Chronicle()

    async def patient(actor: Player) -> None:
        for _ in range(5):
            await trio.sleep(2)
            actor.context.still_working()
        actor.note("done")

    spec = supervisor("root", player(chronicle, "a", handler_timeout_s=3))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(DoAsync(patient))
        await trio.sleep(60)
        assert chronicle.of("done") == ["a"]
        assert chronicle.crashes == []


async def test_a_handler_that_finishes_in_spite_of_its_cancellation_is_done(
    autojump_clock: MockClock,
) -> None:
    """It swallowed the cancellation and returned: the message is handled, and so is the next one."""
    chronicle = Chronicle()

    async def swallow(actor: Player) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(10)

    spec = supervisor("root", player(chronicle, "a", handler_timeout_s=3))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(DoAsync(swallow))
        await tree.ref("a").cast(DoAsync(lambda actor: actor.hang(1)))
        await trio.sleep(60)
        assert chronicle.crashes == []
        assert tree.dump().find("a").handled == 2


# replies ----------------------------------------------------------------------------------------


async def test_a_refusal_reaches_the_caller_only() -> None:
    """ReplyError carries the caller's exception; the actor goes on in the same life."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        with pytest.raises(ValueError, match="nope"):
            await tree.ref("a").call(Refuse("nope"))
        node = tree.dump().find("a")
        assert (node.incarnation, node.last_messages[-1].ok) == (1, False)
        assert node.last_error is not None
        assert node.last_error.type == "ValueError"
    assert chronicle.crashes == []


async def test_a_refusal_may_come_out_of_a_nursery() -> None:
    """The group a nursery wraps it in changes nothing."""

    async def refuse(actor: Player) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise ReplyError(ValueError("no"))

    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(DoAsync(refuse))
        await settle()
        assert chronicle.crashes == []
        error = tree.dump().find("a").last_error
        assert error is not None
        assert error.type == "ValueError"


async def test_a_refused_cast_is_only_noted() -> None:
    """Nobody hears the refusal of a cast; it is the last error and the message is handled."""
    from coordinator.runtime import ReplyError

    def refuse(_: Player) -> None:
        raise ReplyError(ValueError("to nobody"))

    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(Do(refuse))
        await settle()
        node = tree.dump().find("a")
        assert (node.handled, node.incarnation) == (1, 1)
        assert node.last_error is not None


async def test_an_unknown_message_is_a_crash() -> None:
    """The base class's handler names the actor and the message."""
    from coordinator.runtime import Actor, child
    from tests.runtime.stage import Chronicle as Lines

    chronicle = Lines()
    spec = supervisor("root", child(Actor, id="a", backoff=AT_ONCE))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(Say("x"))
        await settle()
        assert chronicle.crashes[0].error.type == "NotImplementedError"
        assert "has no handle()" in chronicle.crashes[0].error.message


# timers -----------------------------------------------------------------------------------------


async def test_a_timer_wants_a_number_of_seconds() -> None:
    """One that is none would put all timers out of order."""

    def set_wrong(actor: Player) -> None:
        with pytest.raises(ValueError, match="timer 'k': after_s is nan"):
            actor.context.start_timer("k", float("nan"), Say("never"))
        actor.note("refused")

    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(Do(set_wrong))
        await settle()
        assert chronicle.of("refused") == ["a"]


async def test_timers_fire_on_time_and_replace(autojump_clock: MockClock) -> None:
    """Each key fires once, at its last setting; a cancelled one never."""
    chronicle = Chronicle()

    def wind(actor: Player) -> None:
        actor.context.start_timer("a", 5, Say("old"))
        actor.context.start_timer("a", 2, Say("new"))
        actor.context.start_timer("b", 1, Say("b"))
        actor.context.start_timer("c", 1, Say("c"))
        actor.context.cancel_timer("c")

    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(Do(wind))
        await settle()
        assert [(t.key, t.due_in_s) for t in tree.dump().find("a").timers] == [("b", 1.0), ("a", 2.0)]
        await trio.sleep(1)
        await settle()
        assert chronicle.lines[-1] == "said a b"
        await trio.sleep(10)
        assert chronicle.lines[-2:] == ["said a b", "said a new"]
        assert is_conserved(tree)


async def test_timers_die_with_the_incarnation(autojump_clock: MockClock) -> None:
    """What a crashed life had planned does not happen in the next one."""
    chronicle = Chronicle()
    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(Do(lambda actor: actor.context.start_timer("t", 3, Say("old"))))
        await tree.ref("a").cast(Boom(once=True))
        await trio.sleep(10)
        assert chronicle.of("said") == []


async def test_a_timer_from_a_background_task_wakes_the_actor(autojump_clock: MockClock) -> None:
    """An idle actor notices a timer that somebody else of its life sets."""
    chronicle = Chronicle()

    async def wind(actor: Player) -> None:
        await trio.sleep(1)
        actor.context.start_timer("t", 1, Say("tick"))

    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(Do(lambda actor: actor.context.spawn(wind, actor, name="winder")))
        await trio.sleep(2.5)
        assert chronicle.of("said") == ["a"]


async def test_a_timer_set_again_and_again_does_not_starve_the_mailbox() -> None:
    """Between two rounds of such a timer queued messages are handled."""
    chronicle = Chronicle()

    def rewind(actor: Player) -> None:
        if "said a x" not in chronicle.lines:
            actor.context.start_timer("t", 0, Do(rewind))

    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(Do(rewind))
        await tree.ref("a").cast(Say("x"))
        with trio.fail_after(60):
            while "said a x" not in chronicle.lines:
                await trio.lowlevel.checkpoint()


# background tasks -------------------------------------------------------------------------------


async def test_a_background_task_ends_with_its_life(autojump_clock: MockClock) -> None:
    """It is cancelled before terminate runs."""
    chronicle = Chronicle()

    async def pump(actor: Player) -> None:
        try:
            await trio.sleep_forever()
        finally:
            actor.note("pump-over")

    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(Do(lambda actor: actor.context.spawn(pump, actor, name="pump")))
        await settle()
    assert chronicle.lines[-2:] == ["pump-over a", "terminate a shutdown"]


async def test_a_crashing_background_task_crashes_the_actor_not_the_message(
    autojump_clock: MockClock,
) -> None:
    """The message in hand is delivered again and the crash is not its own, so it stays attempt one."""
    chronicle = Chronicle()

    async def bomb() -> None:
        await trio.sleep(1)
        raise BoomError("background")

    def arm(actor: Player) -> None:
        actor.context.spawn(bomb, name="bomb")

    attempts = list[int]()

    async def work(actor: Player) -> None:
        attempts.append(actor.context.attempt)
        await trio.sleep(3)

    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(Do(arm))
        await tree.ref("a").cast(DoAsync(work))
        await trio.sleep(10)
        assert attempts == [1, 1]
        assert [(c.message, c.charged, c.error.message) for c in chronicle.crashes] == [
            (None, True, "background")
        ]
        assert is_conserved(tree)


async def test_spawning_before_init_is_refused() -> None:
    """There is no life to bind a task to while the actor is being built."""
    from coordinator.runtime.incarnation import Incarnation

    chronicle = Chronicle()

    async def leftover(actor: Player) -> None:
        life = Incarnation(actor.context._cell, actor.context._cell.child)
        with pytest.raises(RuntimeError, match="a can spawn from init on"):
            life.spawn(trio.sleep_forever, name="x", item=None)
        life.extend()
        life.cut_last_words()
        actor.note("checked")

    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(DoAsync(leftover))
        await settle()
        assert chronicle.of("checked") == ["a"]


async def test_a_constructor_that_raises_is_a_failed_start() -> None:
    """Nothing was built, so nothing is terminated."""
    from coordinator.runtime import Actor, child

    class Stillborn(Actor):
        def __init__(self) -> None:
            raise BoomError("constructor")

    with pytest.raises(StartFailed, match="constructor"):
        async with open_tree(supervisor("root", child(Stillborn, id="a"))):
            pass


# fairness ---------------------------------------------------------------------------------------


async def test_a_busy_actor_lets_others_run() -> None:
    """An actor that always has messages yields after each batch."""
    chronicle = Chronicle()

    def again(actor: Player) -> None:
        actor.context.ref.cast_nowait(Do(again))

    spec = supervisor(
        "root", player(chronicle, "a", mailbox=Mailbox(capacity=200)), player(chronicle, "b")
    )
    async with open_tree(spec) as tree:
        for _ in range(150):
            tree.ref("a").cast_nowait(Do(again))
        with trio.fail_after(60):
            assert await tree.ref("b").call(Echo("fair")) == "fair"
        handled = tree.dump().find("a").handled
        assert 0 < handled <= 64 * 20


async def test_a_broken_job_is_charged_to_its_item_once() -> None:
    """Of two crashes of one job the second is free, and the actor finds both under the item."""
    chronicle = Chronicle()
    seen: list[int] = []

    async def bomb() -> None:
        raise BoomError("job")

    def look(actor: Player) -> None:
        seen.append(len(actor.context.crashes_of("parcel")))
        if len(seen) <= 2:
            actor.context.spawn(bomb, name="bomb", item="parcel")

    async with open_tree(
        supervisor("root", player(chronicle, "a"), intensity=1), hooks=chronicle.hooks()
    ) as tree:
        for _ in range(3):
            await tree.ref("a").cast(Do(look))
            await settle()
        assert seen == [0, 1, 2]
        assert status(tree, "a") == "running"
        assert is_conserved(tree)
        assert [(crash.item, crash.charged) for crash in chronicle.crashes] == [
            ("parcel", True),
            ("parcel", False),
        ]


# who is to blame ----------------------------------------------------------------------------------


async def test_a_crash_while_being_stopped_is_no_attempt(autojump_clock: MockClock) -> None:
    """A handler that raises because its life is to end costs neither its message nor its item."""
    chronicle = Chronicle()
    seen: list[tuple[int, int]] = []

    async def stubborn(actor: Player) -> None:
        seen.append((actor.context.attempt, len(actor.context.crashes_of("parcel"))))
        actor.context.working_on("parcel")
        while not actor.context.is_stopping:  # noqa: ASYNC110  that is how a handler asks
            await trio.sleep(0.1)
        raise BoomError("the store is away")

    spec = supervisor(
        "root",
        player(chronicle, "a"),
        player(chronicle, "b"),
        strategy="one_for_all",
        intensity=9,
    )
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(DoAsync(stubborn))
        for _ in range(4):
            await trio.sleep(1)
            await tree.ref("b").cast(Boom(once=True))
        await trio.sleep(1)
        assert seen[:5] == [(1, 0)] * 5
        assert chronicle.dead == []
        assert is_conserved(tree)


async def test_a_crash_while_being_killed_is_no_attempt() -> None:
    """A handler whose cleanup fails after `kill` keeps its message for as often as it is killed."""
    chronicle = Chronicle()
    seen: list[int] = []

    async def fragile(actor: Player) -> None:
        seen.append(actor.context.attempt)
        try:
            await trio.sleep_forever()
        finally:
            raise BoomError("cleanup")

    async with open_tree(
        supervisor("root", player(chronicle, "a"), intensity=9), hooks=chronicle.hooks()
    ) as tree:
        await tree.ref("a").cast(DoAsync(fragile))
        for _ in range(3):
            await settle()
            tree.kill("a")
        await settle()
        assert seen == [1, 1, 1, 1]
        assert chronicle.dead == []
        assert is_conserved(tree)


async def test_a_job_that_falls_over_another_names_no_item() -> None:
    """A job that cannot clean up after a broken handler does not make the crash its item's."""
    chronicle = Chronicle()

    async def untidy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise BoomError("cleanup")

    async def poison(actor: Player) -> None:
        actor.context.spawn(untidy, name="untidy", item="parcel")
        await settle()
        raise BoomError("poison")

    async with open_tree(
        supervisor("root", player(chronicle, "a"), intensity=1), hooks=chronicle.hooks()
    ) as tree:
        await tree.ref("a").cast(DoAsync(poison))
        for _ in range(4):  # the handler settles, too, in both its attempts
            await settle()
        assert len(chronicle.dead) == 1
        assert [(crash.item, crash.charged) for crash in chronicle.crashes] == [
            (None, True),
            (None, False),
        ]
        assert status(tree, "a") == "running"


async def test_a_broken_job_without_an_item_hides_behind_no_other() -> None:
    """The first of two jobs to break had no item; the second's failing cleanup lends it none."""
    chronicle = Chronicle()

    async def untidy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise BoomError("cleanup")

    async def bomb() -> None:
        await settle()
        raise BoomError("bomb")

    def start(actor: Player) -> None:
        actor.context.spawn(untidy, name="untidy", item="parcel")
        actor.context.spawn(bomb, name="bomb")

    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(Do(start))
        await settle()
        await settle()
        assert [crash.item for crash in chronicle.crashes] == [None]


async def test_a_timeout_whose_cleanup_fails_in_a_group_is_an_attempt(
    autojump_clock: MockClock,
) -> None:
    """A group of Cancelled and an error out of a handler past its deadline is the message's crash."""
    chronicle = Chronicle()
    attempts: list[int] = []

    async def untidy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise BoomError("cleanup")

    async def slow(actor: Player) -> None:
        attempts.append(actor.context.attempt)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(untidy)
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()

    async with open_tree(
        supervisor("root", player(chronicle, "a", handler_timeout_s=1)), hooks=chronicle.hooks()
    ) as tree:
        await tree.ref("a").cast(DoAsync(slow))
        await trio.sleep(10)
        assert attempts == [1, 2]
        assert len(chronicle.dead) == 1
        assert is_conserved(tree)


async def test_an_exotic_error_is_an_attempt() -> None:
    """A BaseException that is nobody's stop counts as the message's crash like any other."""

    class ExoticError(BaseException):
        pass

    chronicle = Chronicle()

    def exotic(_: Player) -> None:
        raise ExoticError

    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(Do(exotic))
        await settle()
        assert len(chronicle.dead) == 1
        assert status(tree, "a") == "running"


async def test_an_item_that_cannot_be_a_key_is_refused_where_it_is_named() -> None:
    """A tuple with a list inside is refused by the verb; the supervisor never meets it."""
    chronicle = Chronicle()

    def mark(actor: Player) -> None:
        with pytest.raises(TypeError, match="unhashable"):
            actor.context.working_on(("x", []))
        with pytest.raises(TypeError, match="unhashable"):
            actor.context.spawn(trio.sleep_forever, name="x", item=("x", []))
        actor.note("refused")
        raise BoomError("mark")

    async with open_tree(supervisor("root", player(chronicle, "a")), hooks=chronicle.hooks()) as tree:
        await tree.ref("a").cast(Do(mark))
        await settle()
        assert chronicle.of("refused") == ["a", "a"]
        assert status(tree, "a") == "running"


async def test_a_mark_made_in_init_does_not_reach_the_first_message() -> None:
    """A mark belongs to the handler it is made in."""
    chronicle = Chronicle()
    script = Script(on_init=lambda actor: actor.context.working_on("parcel"))
    async with open_tree(
        supervisor("root", player(chronicle, "a", script)), hooks=chronicle.hooks()
    ) as tree:
        await tree.ref("a").cast(Boom())
        await settle()
        assert [crash.item for crash in chronicle.crashes] == [None, None]
        assert len(chronicle.dead) == 1


async def test_a_mark_made_after_the_crash_takes_over_nothing() -> None:
    """`terminate` may mark what it cleans up; the crash stays with what the handler worked on."""

    class Tidy(Player):
        async def terminate(self, reason: str) -> None:
            self.context.working_on("tidied")

    chronicle = Chronicle()

    def work(actor: Player) -> None:
        actor.context.working_on("parcel")
        if not actor.context.crashes_of("parcel"):
            raise BoomError("work")

    async with open_tree(
        supervisor("root", child(Tidy, chronicle, id="a", backoff=AT_ONCE)), hooks=chronicle.hooks()
    ) as tree:
        await tree.ref("a").cast(Do(work))
        await settle()
        assert [crash.item for crash in chronicle.crashes] == ["parcel"]


async def test_a_context_of_an_earlier_life_changes_nothing(autojump_clock: MockClock) -> None:
    """Kept beyond its life it stops, marks, stashes, unstashes, watches and prolongs nothing."""
    kept = list[ActorContext]()
    chronicle = Chronicle()
    script = Script(on_init=lambda actor: kept.append(actor.context))
    spec = supervisor(
        "root",
        player(chronicle, "a", script, handler_timeout_s=10, backoff=Backoff(5.0, 5.0)),
        player(chronicle, "b"),
    )

    def meddle(actor: Player) -> None:
        old = kept[0]
        old.stop()
        old.working_on("parcel")
        old.unstash_all()
        old.still_working()
        old.watch(tree.ref("b"))
        old.unwatch(tree.ref("b"))
        old.start_timer("x", 0.0, Say("never"))
        old.cancel_timer("x")
        with pytest.raises(RuntimeError, match="another life"):
            old.stash()
        with pytest.raises(RuntimeError, match="closed"):
            old.spawn(trio.sleep_forever, name="x")
        assert (old.is_stopping, old.attempt) == (True, 1)
        assert not tree.ref("b")._cell.watchers

    async def hang(actor: Player) -> None:
        await trio.sleep(9)
        meddle(actor)
        await trio.sleep_forever()

    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        ref = tree.ref("a")
        for crash in (Boom(once=True), Boom(once=True)):  # the second restart waits
            await ref.cast(crash)
            await settle()
        kept[-1].stop()
        await trio.sleep(5.5)
        assert (status(tree, "a"), len(kept)) == ("running", 3)

        await ref.cast(Do(lambda actor: actor.context.stash()))
        await ref.cast(Do(meddle))
        await settle()
        mailbox = tree.dump().find("a").mailbox
        assert mailbox is not None
        assert (mailbox.stashed, chronicle.crashes[2:]) == (1, [])
        await ref.cast(DoAsync(hang))
        await trio.sleep(11)
        assert [crash.error.type for crash in chronicle.crashes[2:]] == ["HandlerTimeout"]
        assert [crash.item for crash in chronicle.crashes] == [None] * 3


async def test_a_timer_always_due_leaves_the_mailbox_its_turn(autojump_clock: MockClock) -> None:
    """A timer set again for "now" by a handler slower than a batch does not starve queued messages."""
    chronicle = Chronicle()

    async def tick(actor: Player) -> None:
        actor.context.start_timer("tick", 0, DoAsync(tick))
        await trio.sleep(0.02)

    async with open_tree(supervisor("root", player(chronicle, "a"))) as tree:
        await tree.ref("a").cast(DoAsync(tick))
        await trio.sleep(0.01)
        await tree.ref("a").cast(Say("me, too"))
        await trio.sleep(1)
        assert chronicle.of("said") == ["a"]


async def test_a_cancellation_kept_from_elsewhere_is_a_crash_of_the_handler(
    autojump_clock: MockClock,
) -> None:
    """A Cancelled that no scope around the handler asked for is charged, then dead-lettered."""
    story, kept = Chronicle(), []

    async def keep_and_raise() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.sleep(1)
            except trio.Cancelled as exc:
                kept.append(exc)
        raise kept[0]

    async with open_tree(supervisor("root", player(story, "a")), hooks=story.hooks()) as tree:
        tree.ref("a").cast_nowait(DoAsync(lambda _: keep_and_raise()))
        await settle()
        assert [report.attempt for report in story.crashes] == [1, 2]
        assert len(story.dead) == 1
        assert status(tree, "a") == "running"
