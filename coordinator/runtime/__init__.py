"""A small OTP on Trio: supervisors, actors, and a picture of both at any moment. Knows nobody above it.

The contract is in SEMANTICS.md. A counter, whole:

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
        counter = tree.ref("counter")
        await counter.cast(Add(7))
        assert await counter.call(Total()) == 7
"""

from .actor import Actor, ActorContext, ActorRef
from .admin import ChildCount, ChildInfo
from .dump import InFlight, LastMessage, Latency, MailboxState, NodeDump, TimerState, TreeDump
from .errors import (
    ActorDown,
    AdminError,
    CallTimeout,
    ChildExists,
    ChildNotStopped,
    DeadLettered,
    HandlerTimeout,
    Killed,
    MailboxFull,
    ReachedMaxIntensity,
    ReplyError,
    RuntimeFault,
    SpecError,
    StartFailed,
    TooManyChildren,
    UnknownChild,
    WouldDeadlock,
)
from .mailbox import Counters
from .messages import Call, Cast
from .reports import CrashReport, DeadLetterReport, Hooks, LastError, ZombieReport
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
from .tree import Tree, open_tree

__all__ = [
    "Actor",
    "ActorContext",
    "ActorDown",
    "ActorRef",
    "ActorSpec",
    "AdminError",
    "Backoff",
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
    "HandlerTimeout",
    "Hooks",
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
    "SupervisorSpec",
    "TaskSpec",
    "TimerState",
    "TooManyChildren",
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
