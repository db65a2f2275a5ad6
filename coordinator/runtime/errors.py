"""What can go wrong with the runtime itself, sorted by who is at fault.

RuntimeFault
├─ SpecError            the author's: a specification that cannot be run, found before anything starts
├─ StartFailed          a child did not come up; `__cause__` is its own error
├─ ReachedMaxIntensity  a supervisor gave up; `__cause__` is the last crash
├─ Killed               somebody killed the child: an abnormal end, charged like a crash
├─ HandlerTimeout       a handler hung past its deadline; charged like a crash
├─ WouldDeadlock        the caller asked for something that waits for the caller
├─ MailboxFull          the sender's: no room, and the policy or the verb does not wait
├─ StashFull            the actor's own: it has put as much aside as its mailbox may hold
├─ CallTimeout          no reply in time
├─ ActorDown            the actor is stopped for good
│   └─ DeadLettered     the message crashed its actor twice and will not be tried again
└─ AdminError           a verb that does not fit the child's state
    ├─ UnknownChild     nobody of that id, under that supervisor or at all; a KeyError, too
    ├─ ChildExists      the id is taken, anywhere in the tree
    ├─ ChildNotStopped  restart and delete want a stopped child
    └─ TooManyChildren  the dynamic supervisor is at `max_children`
"""

from .messages import brief, brief_text

__all__ = [
    "ActorDown",
    "AdminError",
    "CallTimeout",
    "ChildExists",
    "ChildNotStopped",
    "DeadLettered",
    "HandlerTimeout",
    "Ignore",
    "Killed",
    "MailboxFull",
    "ReachedMaxIntensity",
    "ReplyError",
    "RuntimeFault",
    "SpecError",
    "StartFailed",
    "StashFull",
    "TooManyChildren",
    "UnknownChild",
    "WouldDeadlock",
    "start_failed",
]


class RuntimeFault(Exception):
    """The root of every error the runtime raises on purpose."""


class SpecError(RuntimeFault):
    """A specification cannot be run; the message names the field and the value seen."""


class Killed(RuntimeFault):
    """The child was killed without being asked, by `Tree.kill`."""


class StartFailed(RuntimeFault):
    """The child `child_id` did not come up. Through nested supervisors it is the innermost culprit."""

    def __init__(self, child_id: str, reason: str) -> None:
        super().__init__(f"{child_id} did not start: {reason}")
        self.child_id = child_id
        self.reason = reason


def start_failed(child_id: str, cause: BaseException | None) -> StartFailed:
    """The failed start of a child; a supervisor's is that of the innermost culprit."""
    if isinstance(cause, StartFailed):
        return cause
    reason = "it was stopped first"
    if cause is not None:
        reason = f"{type(cause).__name__}: {brief_text(cause)}"
    failure = StartFailed(child_id, reason)
    failure.__cause__ = cause
    return failure


class ReachedMaxIntensity(RuntimeFault):
    """`supervisor_id` restarted more than `intensity` times in `period_s`, last for `child_id`."""

    def __init__(self, supervisor_id: str, child_id: str, intensity: int, period_s: float) -> None:
        super().__init__(
            f"{supervisor_id} gave up on {child_id}: more than {intensity} restarts in {period_s:g} s"
        )
        self.supervisor_id = supervisor_id
        self.child_id = child_id
        self.intensity = intensity
        self.period_s = period_s


class HandlerTimeout(RuntimeFault):
    """A handler of `actor_id` was still busy with a message after `timeout_s`."""

    def __init__(self, actor_id: str, message: str, timeout_s: float) -> None:
        super().__init__(f"{actor_id} was still handling {message} after {timeout_s:g} s")
        self.actor_id = actor_id
        self.timeout_s = timeout_s


class WouldDeadlock(RuntimeFault):
    """The request waits for the task that made it; nothing was changed."""


class MailboxFull(RuntimeFault):
    """`actor_id` has no room for another message."""

    def __init__(self, actor_id: str, capacity: int) -> None:
        super().__init__(f"the mailbox of {actor_id} holds {capacity} messages and is full")
        self.actor_id = actor_id
        self.capacity = capacity


class StashFull(RuntimeFault):
    """The actor put more aside than its mailbox may hold."""


class CallTimeout(RuntimeFault):
    """`actor_id` did not answer within `timeout_s`; a later answer is dropped."""

    def __init__(self, actor_id: str, message: str, timeout_s: float) -> None:
        super().__init__(f"{actor_id} did not answer {message} within {timeout_s:g} s")
        self.actor_id = actor_id
        self.timeout_s = timeout_s


class ActorDown(RuntimeFault):
    """`actor_id` is stopped for good and takes no messages; `reason` says why."""

    def __init__(self, actor_id: str, reason: str) -> None:
        super().__init__(f"{actor_id} is down: {reason}")
        self.actor_id = actor_id
        self.reason = reason


class DeadLettered(ActorDown):
    """The message crashed `actor_id` twice; the actor itself goes on without it."""


class AdminError(RuntimeFault):
    """A supervisor cannot do what was asked in the child's present state; nothing was changed."""


class UnknownChild(AdminError, KeyError):
    """There is nobody of that id under that supervisor, or in the whole tree; a KeyError, too."""

    __str__ = Exception.__str__  # a KeyError's is the repr of its text


class ChildExists(AdminError):
    """The id is taken; ids are unique in the whole tree."""


class ChildNotStopped(AdminError):
    """The verb wants a stopped child."""


class TooManyChildren(AdminError):
    """The dynamic supervisor already has `max_children`."""


class Ignore(Exception):
    """Raised by `init`, or by a task before it is ready: it declines to run now, and nothing is wrong.

    The start counts as a success and is not tried again by itself. Anywhere else it is a crash.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class ReplyError(Exception):
    """Raised by a handler to answer its caller with `error` without crashing the actor.

    For a Cast nobody hears it: it is kept as the actor's last error and the message counts as handled.
    """

    def __init__(self, error: Exception) -> None:
        if not isinstance(error, Exception):
            raise TypeError(f"ReplyError takes an exception to raise at the caller, not {brief(error)}")
        super().__init__(brief(error))
        self.error = error
