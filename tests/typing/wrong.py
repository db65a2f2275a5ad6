"""What must not pass: each line marked with an error is one that mypy reports, and no other is."""

from coordinator.runtime import Actor, ActorContext, ActorRef, Call, Cast, Tree, child, task
from tests.typing.right import Add, Counter, Forget, Name, Total


class NotAsync(Actor):
    def handle(self, message: Add) -> None:  # error: override
        return None


class NoMessage(Actor):
    async def handle(self) -> None:  # error: override
        return None


class RaisingLate(Actor):
    async def terminate(self) -> None:  # error: override
        return None


class Untyped(Call[int]):
    pass


async def cast_wrongly(tree: Tree, either: Add | Forget) -> None:
    """Messages that the actor does not take, or that are no casts."""
    counter = tree.ref("counter", Counter)
    await counter.cast(Forget())  # error: arg-type
    counter.cast_nowait(Forget())  # error: arg-type
    await counter.cast(either)  # error: arg-type
    await counter.cast(Total())  # error: arg-type
    await counter.cast(Add)  # error: arg-type
    await counter.cast("add")  # error: arg-type
    await counter.cast(Add("one"))  # error: arg-type
    await counter.cast()  # error: call-arg
    await tree.ref("counter").cast(Total())  # error: arg-type
    await tree.ref("counter").cast("add")  # error: arg-type
    counter.cast(Add(1))  # error: unused-coroutine


async def call_wrongly(tree: Tree) -> None:
    """Calls that the actor does not take, or whose reply is taken for something else."""
    counter = tree.ref("counter", Counter)
    await counter.call(Name())  # error: arg-type
    await counter.call(Add(1))  # error: arg-type
    await tree.ref("counter").call(Add(1))  # error: arg-type
    await counter.call(Total(), 5.0)  # error: call-arg
    await counter.call(Total(), timeout_s="5")  # error: arg-type
    (await counter.call(Total())).upper()  # error: attr-defined
    name: str = await counter.call(Total())  # error: arg-type
    await counter.call(Untyped())  # error: arg-type
    counter.call(Total()).bit_length()  # error: attr-defined
    assert name


async def refer_wrongly(tree: Tree, anyone: ActorRef[Cast]) -> None:
    """References taken for others."""
    wide: ActorRef[Add | Forget] = tree.ref("counter", Counter)  # error: arg-type
    tree.ref("counter", int)  # error: arg-type
    tree.ref("counter", Counter())  # error: call-overload
    tree.ref(1)  # error: call-overload
    await anyone.call(Total())  # error: arg-type
    assert wide


def set_up_wrongly(context: ActorContext) -> None:
    """Wrong arguments of what an actor may ask for and of specifications."""
    context.start_timer("key", 1.0, Total())  # error: arg-type
    context.start_timer("key", Add(1))  # error: call-arg
    context.spawn(print, name="job")  # error: arg-type
    context.watch("counter")  # error: arg-type
    child(Counter)  # error: call-arg
    child(int, id="a")  # error: arg-type
    child(Counter, id="a", restart="always")  # error: arg-type
    task(print, id="a")  # error: arg-type
