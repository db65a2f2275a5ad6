"""A small OTP on Trio: supervisors, actors, and a picture of both at any moment. Knows nobody above it.

The contract is in SEMANTICS.md. Three examples, whole but for imports; they run in a test.

A counter. An actor is a class, what it takes are its messages, and a call's reply has a type:

    @dataclass(frozen=True)
    class Add(Cast):
        amount: int

    @dataclass(frozen=True)
    class Total(Call[int]): ...

    class Counter(Actor):
        async def init(self) -> None:
            self.total = 0

        async def handle(self, message: Add | Total) -> int | None:
            match message:
                case Add(amount):
                    self.total += amount
                case Total():
                    return self.total
            return None

    async with open_tree(supervisor("root", child(Counter, id="counter"))) as tree:
        counter = tree.ref("counter", Counter)
        await counter.cast(Add(7))
        assert await counter.call(Total()) == 7

A pool of workers. They come and go under a dynamic supervisor; one with two jobs waiting makes its
sender wait; one that crashes is started again and tries the job in hand once more:

    @dataclass(frozen=True)
    class Square(Cast):
        number: int

    class Worker(Actor):
        def __init__(self, results: dict[int, int]) -> None:
            self.results = results

        async def handle(self, job: Square) -> None:
            await trio.sleep(0.01)  # the work
            if job.number == 13 and self.context.attempt == 1:
                raise RuntimeError("bad luck")
            self.results[job.number] = job.number**2

    results: dict[int, int] = {}
    async with open_tree(supervisor("root", dynamic("pool", max_children=3))) as tree:
        workers = []
        for n in range(3):
            spec = child(Worker, results, id=f"worker{n}", mailbox=Mailbox(capacity=2))
            workers.append(await tree.start_child("pool", spec))
        for number in range(30):
            await workers[number % 3].cast(Square(number))
        for worker in workers:
            await tree.drain_child("pool", worker)  # what it has accepted is done first
    assert results == {number: number**2 for number in range(30)}

A supervised web server. A task is any async function; when a request crashes this one, it is back on
its port at once:

    ports = [0]  # 0: any that is free

    async def answer(stream: trio.SocketStream) -> None:
        request = await stream.receive_some()
        if request.startswith(b"GET /crash"):
            raise RuntimeError("asked to")
        await stream.send_all(b"HTTP/1.0 200 OK\\r\\n\\r\\nhello")

    async def web(*, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(ports[0], host="127.0.0.1")
        ports[0] = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(answer, listeners)

    async def get(path: str) -> bytes:
        async with await trio.open_tcp_stream("127.0.0.1", ports[0]) as stream:
            await stream.send_all(f"GET {path} HTTP/1.0\\r\\n\\r\\n".encode())
            return b"".join([part async for part in stream])

    back = trio.Event()
    hooks = Hooks(restarted=lambda id, life: back.set())
    async with open_tree(supervisor("root", task(web, id="web")), hooks=hooks):
        assert (await get("/")).endswith(b"hello")
        await get("/crash")
        await back.wait()
        assert (await get("/")).endswith(b"hello")
"""

from .actor import Actor, ActorContext, ActorRef
from .admin import ChildCount, ChildInfo
from .dump import InFlight, Latency, MailboxState, NodeDump, TimerState, TreeDump
from .errors import (
    ActorDown,
    AdminError,
    CallTimeout,
    ChildExists,
    ChildNotStopped,
    DeadLettered,
    HandlerTimeout,
    Ignore,
    Killed,
    MailboxFull,
    ReachedMaxIntensity,
    ReplyError,
    RuntimeFault,
    SpecError,
    StartFailed,
    StashFull,
    TooManyChildren,
    UnknownChild,
    WouldDeadlock,
)
from .mailbox import Counters
from .messages import Call, Cast, Down
from .opening import open_tree
from .reports import (
    BlockedReport,
    CrashReport,
    DeadLetterReport,
    Hooks,
    LastError,
    LastMessage,
    ZombieReport,
)
from .spec import (
    ActorSpec,
    Backoff,
    ChildSpec,
    Mailbox,
    SupervisorSpec,
    TaskSpec,
    child,
    dynamic,
    supervisor,
    task,
)
from .trace import Trace, TraceEvent
from .tree import Tree

__all__ = [
    "Actor",
    "ActorContext",
    "ActorDown",
    "ActorRef",
    "ActorSpec",
    "AdminError",
    "Backoff",
    "BlockedReport",
    "Call",
    "CallTimeout",
    "Cast",
    "ChildCount",
    "ChildExists",
    "ChildInfo",
    "ChildNotStopped",
    "ChildSpec",
    "Counters",
    "CrashReport",
    "DeadLetterReport",
    "DeadLettered",
    "Down",
    "HandlerTimeout",
    "Hooks",
    "Ignore",
    "InFlight",
    "Killed",
    "LastError",
    "LastMessage",
    "Latency",
    "Mailbox",
    "MailboxFull",
    "MailboxState",
    "NodeDump",
    "ReachedMaxIntensity",
    "ReplyError",
    "RuntimeFault",
    "SpecError",
    "StartFailed",
    "StashFull",
    "SupervisorSpec",
    "TaskSpec",
    "TimerState",
    "TooManyChildren",
    "Trace",
    "TraceEvent",
    "Tree",
    "TreeDump",
    "UnknownChild",
    "WouldDeadlock",
    "ZombieReport",
    "child",
    "dynamic",
    "open_tree",
    "supervisor",
    "task",
]
