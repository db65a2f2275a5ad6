"""Scenarios of what one life is to the others: timers, jobs, references, hooks."""

import trio

from coordinator.runtime import ActorDown, Hooks, open_tree, supervisor
from tests.runtime.scenarios import crash_once, given, scenario
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


@scenario("timers", small=True)
async def a_timer_does_not_interrupt_a_handler() -> None:
    """Given a handler that outlasts a timer, the timer comes right after it, before the queue."""
    story = Chronicle()

    async def work(actor: Player) -> None:
        actor.context.start_timer("k", 1, Say("timer"))
        await trio.sleep(3)
        actor.note("worked")

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(DoAsync(work))
        tree.ref("a").cast_nowait(Say("queued"))
        await trio.sleep(4)
        assert story.lines[1:] == ["worked a", "said a timer", "said a queued"]


@scenario("timers", small=True)
async def timers_due_together_come_in_order_of_time() -> None:
    """Given a handler that outlasts three timers, they come by their times and not by their setting."""
    story = Chronicle()

    async def work(actor: Player) -> None:
        for key, after_s in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
            actor.context.start_timer(key, after_s, Say(key))
        await trio.sleep(5)

    async with given(story, supervisor("root", player(story, "x"))) as tree:
        tree.ref("x").cast_nowait(DoAsync(work))
        await trio.sleep(6)
        assert story.lines[1:] == ["said x a", "said x b", "said x c"]


@scenario("timers", small=True)
async def a_timer_set_for_now_again_and_again_starves_nobody() -> None:
    """Given a handler that sets its own timer for now, queued messages are handled all the same."""
    story = Chronicle()

    def again(actor: Player) -> None:
        if len(story.of("tick")) < 40:
            actor.note("tick")
            actor.context.start_timer("k", 0, Do(again))

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Do(again))
        for word in "xyz":
            tree.ref("a").cast_nowait(Say(word))
        await settle()
        assert story.lines.index("said a z") < 8
        assert len(story.of("tick")) == 40


@scenario("timers", small=True)
async def a_message_of_a_timer_is_redelivered_like_any_other() -> None:
    """Given a timer whose message crashes, it comes once more in the next life; its timer died."""
    story = Chronicle()

    def wind(actor: Player) -> None:
        actor.context.start_timer("k", 1, Boom(once=True))

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Do(wind))
        await trio.sleep(3)
        assert (story.of("boom"), story.of("survived")) == (["a"], ["a"])


@scenario("timers", small=True)
async def a_full_mailbox_refuses_no_timer() -> None:
    """Given a full mailbox, a timer's message still comes: it was promised a time, not a place."""
    story = Chronicle()

    async def work(actor: Player) -> None:
        actor.context.start_timer("k", 1, Say("timer"))
        await trio.sleep(2)

    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(DoAsync(work))
        await settle()
        for n in range(64):
            tree.ref("a").cast_nowait(Say(str(n)))
        await trio.sleep(3)
        assert (story.lines[1], len(story.of("said"))) == ("said a timer", 65)


@scenario("lifecycle", small=True)
async def a_reference_outlives_every_life() -> None:
    """Given one reference, it works after a crash, a kill, and a stop and start by hand."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        ref = tree.ref("a")
        await crash_once(tree, "a")
        tree.kill("a")
        await settle()
        await tree.terminate_child("root", "a")
        await tree.restart_child("root", "a")
        ref.cast_nowait(Say("here"))
        await settle()
        assert story.of("init") == ["a"] * 4
        assert story.lines[-1] == "said a here"


@scenario("lifecycle", small=True)
async def a_state_dies_with_its_life() -> None:
    """Given state in attributes, the next life begins without it, and knows its number."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        tree.ref("a").cast_nowait(Do(lambda actor: setattr(actor, "mark", 1)))
        await crash_once(tree, "a")
        tree.ref("a").cast_nowait(
            Do(
                lambda a: a.note(
                    "marked" if hasattr(a, "mark") else "blank", str(a.context.incarnation)
                )
            )
        )
        await settle()
        assert story.lines[-1] == "blank a 2"


@scenario("lifecycle", small=True)
async def last_words_follow_every_life_that_began() -> None:
    """Given crashes before and after init, terminate runs for the lives whose init had returned."""
    story, shaky = Chronicle(), Script()
    async with given(story, supervisor("root", player(story, "a", shaky))) as tree:
        shaky.failing_inits = 1
        await crash_once(tree, "a")
    assert story.lines == [
        "init a 1",
        "boom a boom 1",
        "terminate a crash",
        "init-failed a",
        "init a 3",
        "survived a boom",
        "terminate a shutdown",
    ]


@scenario("lifecycle", small=True)
async def a_broken_job_is_its_items_fault() -> None:
    """Given a background task with an item, its second crash is free, and the actor finds both."""
    story = Chronicle()

    async def fail() -> None:
        raise BoomError("job")

    def employ(actor: Player) -> None:
        known = len(actor.context.crashes_of("x"))
        actor.note("known", str(known))
        if known < 2:
            actor.context.spawn(fail, name="job", item="x")

    script = Script(on_init=employ)
    async with given(story, supervisor("root", player(story, "a"), intensity=1)) as tree:
        await tree.start_child("root", player(story, "b", script, restart="transient"))
        await settle()
        assert [line for line in story.lines if "known" in line] == [
            "known b 0",
            "known b 1",
            "known b 2",
        ]
        assert [(c.item, c.charged) for c in story.crashes] == [("x", True), ("x", False)]


@scenario("lifecycle", small=True)
async def hooks_hear_a_life_in_order() -> None:
    """Given all hooks, they hear of each life's end and of the next one, in order."""
    story = Chronicle()
    async with given(story, supervisor("root", player(story, "a"))) as tree:
        await crash_once(tree, "a")
        assert story.restarted == [("a", 2)]
        assert story.stopped == [("a", "crash")]
    assert story.stopped == [("a", "crash"), ("a", "shutdown"), ("root", "shutdown")]


@scenario("lifecycle", small=True)
async def hooks_that_raise_change_nothing() -> None:
    """Given hooks that all raise, crash, dead letter and stop go their way; failures are counted."""
    story = Chronicle()

    def broken(*_: object) -> None:
        raise BoomError("hook")

    hooks = Hooks(
        handled=broken,
        started=broken,
        restarted=broken,
        stopped=broken,
        crashed=broken,
        dead_letter=broken,
    )
    async with open_tree(supervisor("root", player(story, "a")), hooks=hooks) as tree:
        tree.ref("a").cast_nowait(Boom())
        tree.ref("a").cast_nowait(Say("x"))
        await settle()
        assert story.of("said") == ["a"]
        assert tree.dump().hook_failures > 5
        assert is_conserved(tree)


@scenario("lifecycle", small=True)
async def an_exit_in_a_background_task_is_never_restarted() -> None:
    """Given a background task that raises SystemExit, everybody stops and it comes out bare."""
    story = Chronicle()

    async def leave() -> None:
        raise SystemExit(3)

    def spawn(actor: Player) -> None:
        actor.context.spawn(leave, name="leave")

    code: object = None
    try:
        async with given(story, supervisor("root", player(story, "a"), player(story, "b"))) as tree:
            tree.ref("b").cast_nowait(Do(spawn))
            await trio.sleep_forever()
    except SystemExit as exc:
        code = exc.code
    assert (code, story.of("init")) == (3, ["a", "b"])
    assert story.lines[-1] == "terminate a shutdown"


@scenario("lifecycle", small=True)
async def a_message_in_hand_survives_a_group_restart_as_a_first_attempt() -> None:
    """Given a bystander cancelled in mid-message, it handles it again, still as its first attempt."""
    story, attempts = Chronicle(), list[int]()

    async def wait(actor: Player) -> None:
        attempts.append(actor.context.attempt)
        await trio.sleep(3)

    cast = [player(story, "a"), player(story, "b", shutdown_s=1)]
    async with given(story, supervisor("root", *cast, strategy="one_for_all")) as tree:
        tree.ref("b").cast_nowait(DoAsync(wait))
        await settle()
        await crash_once(tree, "a")
        await trio.sleep(9)
        assert attempts == [1, 1]
        assert (tree.dump().find("b").handled, story.dead) == (1, [])


@scenario("lifecycle", small=True)
async def a_crash_while_being_stopped_is_nobodys() -> None:
    """Given a handler that raises because its group restarts, neither message nor budget pays."""
    story, attempts = Chronicle(), list[int]()

    async def break_off(actor: Player) -> None:
        attempts.append(actor.context.attempt)
        if len(attempts) == 1:
            try:
                await trio.sleep_forever()
            finally:
                raise BoomError("on the way out")

    cast = [player(story, "a"), player(story, "b", shutdown_s=1)]
    async with given(story, supervisor("root", *cast, strategy="one_for_all", intensity=1)) as tree:
        tree.ref("b").cast_nowait(DoAsync(break_off))
        await settle()
        await crash_once(tree, "a")
        await trio.sleep(3)
        assert attempts == [1, 1]
        assert [(c.id, c.charged) for c in story.crashes] == [("a", True), ("b", False)]
        assert status(tree, "b") == "running"


@scenario("lifecycle", small=True)
async def a_sender_and_the_end_of_its_actor_meet() -> None:
    """Given a cast in the moment its actor is terminated, it is refused, returned or handled."""
    story, refused = Chronicle(), list[str]()
    async with given(story, supervisor("root", player(story, "a"))) as tree:

        async def send() -> None:
            try:
                await tree.ref("a").cast(Say("x"))
            except ActorDown:
                refused.append("x")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.terminate_child, "root", "a")
            nursery.start_soon(send)
        fates = [*refused, *story.of("said"), *(name for name, _ in story.returned)]
        assert len(fates) == 1


@scenario("lifecycle", small=True)
async def a_hang_ends_with_its_tree() -> None:
    """Given actors that hang in every place of a nested tree, the stop ends all, deepest first."""
    story = Chronicle()
    mid = supervisor("mid", player(story, "b", shutdown_s=1))
    async with given(story, supervisor("root", player(story, "a", shutdown_s=1), mid)) as tree:
        for name in "ab":
            tree.ref(name).cast_nowait(Hang())
        await settle()
        begin = trio.current_time()
        await tree.stop()
        assert trio.current_time() == begin + 2
    assert story.of("terminate") == ["b", "a"]
