"""The running tree: asked about, administered, stopped. The only door to the supervisors inside."""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import ParamSpec, TypeVar, overload

import trio

from . import admin
from .actor import ActorRef, Handles
from .admin import ChildCount, ChildInfo
from .bell import Bell
from .bodies import ActorBody, TaskBody
from .child import Child
from .current import running_child
from .dump import TreeDump, dump_tree
from .end import FATAL
from .errors import AdminError, Killed, SpecError, UnknownChild, WouldDeadlock, start_failed
from .outcome import raise_as_it_is
from .registry import Registry
from .reports import Hooks, ZombieReport
from .shown import show, state_of
from .spec import ActorSpec, ChildSpec, SupervisorSpec, TaskSpec, ids_in
from .supervisor import Supervisor
from .trace import CAPACITY, Trace, traced
from .watch import DeadlineWatch

__all__ = ["Tree"]

P = ParamSpec("P")
M = TypeVar("M")
# Reports kept for the dump: the whole of any one incident; a child that hangs daily fills no memory.
ZOMBIES = 100


class Tree:
    """Everything below one root supervisor. Made by `open_tree`.

    It belongs to the thread that runs Trio: others ask by `trio.from_thread`.
    """

    def __init__(self, spec: ChildSpec, hooks: Hooks) -> None:
        if not isinstance(spec, SupervisorSpec):
            raise SpecError(f"the root of a tree is {type(spec).__name__}, must be a supervisor")
        self._token = trio.lowlevel.current_trio_token()
        self.hooks = hooks
        self.hook_failures = 0
        self.watch = DeadlineWatch(self._hook_broke)
        self._registry = Registry()
        self._zombies: deque[ZombieReport] = deque(maxlen=ZOMBIES)
        self._bell = Bell()
        self.user_scope = trio.CancelScope()
        self._over = trio.Event()
        self.is_stopping = False
        self.failure: BaseException | None = None  # what brought the root down
        self.root = self.adopt(spec, self, "", 0)

    # asking -------------------------------------------------------------------------------------

    @overload
    def ref(self, id: str) -> ActorRef: ...
    @overload
    def ref(self, id: str, actor: type[Handles[M]]) -> ActorRef[M]: ...
    def ref(self, id: str, actor: type | None = None) -> ActorRef:  # noqa: A002
        """The actor of that id; UnknownChild, a KeyError, if there is none.

        With its class mypy knows which messages it takes; TypeError if the place holds another one.
        """
        body = self._registry.find(id).body
        if not isinstance(body, ActorBody):
            raise UnknownChild(f"{id!r} is of kind {body.kind} and takes no messages")
        if actor is not None and not issubclass(body.cell.spec.actor, actor):
            raise TypeError(f"{id} is a {body.cell.spec.actor.__name__}, not a {actor.__name__}")
        return ActorRef(body.cell)

    def dump(self) -> TreeDump:
        """The whole tree as it is now. Sync, without a checkpoint, needs no actor's help."""
        self._require_own_loop()
        return dump_tree(self.root, tuple(self._zombies), self.hook_failures)

    def healthy(self) -> dict[str, str]:
        """Id → status of everything in the tree."""
        return {child.id: child.shown for child in self._registry.children()}

    def depths(self) -> dict[str, int]:
        """Id → messages queued, of every actor."""
        return {
            child.id: self.depth_of(child)
            for child in self._registry.children()
            if child.body.kind == "actor"
        }

    def get_state(self, id: str) -> object:  # noqa: A002
        """What the actor says of itself, or its public attributes if it has no `inspect`.

        Plain data, redacted and bounded; None between two lives. Needs no help of the actor, however
        stuck it is. UnknownChild for an unknown id, AdminError for what is no actor.
        """
        body = self._actor(id)
        actor = None if body.incarnation is None else body.incarnation.actor
        return state_of(self.hooks, id, actor, attributes=True)

    def trace(self, id: str, *, capacity: int = CAPACITY) -> AbstractContextManager[Trace]:  # noqa: A002
        """Inside the block, what happens to the actor's messages; `capacity` events wait to be read.

        UnknownChild for an unknown id, AdminError for what takes no messages.
        """
        return traced(self._actor(id).cell, capacity)

    def _actor(self, id: str) -> ActorBody:  # noqa: A002
        body = self._registry.find(id).body
        if not isinstance(body, ActorBody):
            raise AdminError(f"{id!r} is a {body.kind}, not an actor")
        return body

    # stopping -----------------------------------------------------------------------------------

    def request_stop(self, reason: str = "shutdown", *, hurry: bool = False) -> None:
        """Begin the ordered stop and return; actors use this one. Again it does nothing, or hurries.

        The block of `open_tree` is not told: one that should end with the tree waits in `wait`.
        """
        self._require_own_loop()
        self.is_stopping = True
        if self._over.is_set():
            return
        if not self.root.stop_wanted:
            self.root.stop_wanted = True
            self.root.stop_reason = reason
            self.root.become("stopping")
        self.root.body.ask_stop(reason, final=True)
        if hurry:
            self.root.body.kill()

    async def stop(self, reason: str = "shutdown", hurry: bool = False) -> None:
        """Stop everything in reverse and wait; `hurry` skips the deadlines, also in mid-stop."""
        self._require_outside()
        self.request_stop(reason, hurry=hurry)
        await self._over.wait()

    async def wait(self) -> None:
        """Return when the tree is down, or only zombies are left; raises what brought the root down."""
        self._require_outside()
        await self._over.wait()
        if self.failure is not None:
            raise_as_it_is(self.failure)

    def _require_outside(self) -> None:
        asking = running_child()
        if asking is not None and asking.tree is self:
            raise WouldDeadlock(f"{asking.id} would wait for itself to stop: use request_stop()")

    # children of running supervisors ------------------------------------------------------------

    @overload
    async def start_child(self, supervisor_id: str, spec: ActorSpec) -> ActorRef: ...
    @overload
    async def start_child(self, supervisor_id: str, spec: ChildSpec) -> ActorRef | None: ...
    async def start_child(self, supervisor_id: str, spec: ChildSpec) -> ActorRef | None:
        """Start a new child and wait until it is ready; gives the reference of an actor."""
        child = await admin.start_child(self._registry, supervisor_id, spec)
        return ActorRef(child.body.cell) if isinstance(child.body, ActorBody) else None

    async def terminate_child(self, supervisor_id: str, child: str | ActorRef) -> None:
        """Stop a child and wait until it is down."""
        await admin.terminate_child(self._registry, supervisor_id, child)

    async def drain_child(self, supervisor_id: str, child: str | ActorRef) -> None:
        """Stop an actor after what its mailbox holds, within `shutdown_s`: it takes nothing more but
        what it casts to itself.

        What is left then goes to the `returned` hook, like all of it if the actor is not running. A
        crash meanwhile is the end. AdminError for what takes no messages.
        """
        await admin.drain_child(self._registry, supervisor_id, child)

    async def restart_child(self, supervisor_id: str, child: str | ActorRef) -> None:
        """Start a stopped child again and wait until it is ready, or has declined."""
        await admin.restart_child(self._registry, supervisor_id, child)

    async def delete_child(self, supervisor_id: str, child: str | ActorRef) -> None:
        """Forget a stopped child."""
        await admin.delete_child(self._registry, supervisor_id, child)

    def get_childspec(self, supervisor_id: str, child: str | ActorRef) -> ChildSpec:
        """What a child was described as."""
        return admin.get_childspec(self._registry, supervisor_id, child)

    def suspend(self, id: str) -> None:  # noqa: A002
        """Let an actor handle nothing after the message in hand; its mailbox goes on taking.

        It holds over restarts; a stop ends it. UnknownChild for an unknown id, AdminError for what is
        no actor or does not run for much longer.
        """
        self._require_own_loop()
        cell = self._actor(id).cell
        if cell.closed is not None or cell.child.stop_wanted:
            raise AdminError(f"{id!r} is {cell.child.status} and cannot be suspended")
        cell.suspend()

    def resume(self, id: str) -> None:  # noqa: A002
        """Let a suspended actor go on; for any other it does nothing. Errors as for `suspend`."""
        self._require_own_loop()
        self._actor(id).cell.resume()

    def which_children(self, supervisor_id: str) -> tuple[ChildInfo, ...]:
        """The children of a supervisor in order of start."""
        return admin.which_children(self._registry, supervisor_id)

    def count_children(self, supervisor_id: str) -> ChildCount:
        """How many children a supervisor has."""
        return admin.count_children(self._registry, supervisor_id)

    def kill(self, id: str) -> None:  # noqa: A002
        """End an actor or task now, as `exit(Pid, kill)` does: without `terminate`, an abnormal end.

        Its supervisor does what its restart type and budget say; one that does not run has nothing to
        end. For fault drills. UnknownChild for an unknown id, AdminError for a supervisor, whose
        children would be left without one.
        """
        self._require_own_loop()
        child = self._registry.find(id)
        if child.body.kind == "supervisor":
            raise AdminError(f"{id!r} is a supervisor: stop it with terminate_child")
        child.end_with(Killed(f"{id} was killed"))

    # for the floor's own files ------------------------------------------------------------------

    def adopt(self, spec: ChildSpec, owner: "Supervisor | Tree", parent_path: str, order: int) -> Child:
        """A registered child with the body its specification asks for."""
        child = Child(spec, owner, self, parent_path, order)
        self._registry.add(child)
        match spec:
            case ActorSpec():
                child.body = ActorBody(child, spec, self)
            case SupervisorSpec():
                child.body = Supervisor(child, spec, self)
            case TaskSpec():
                child.body = TaskBody(child, spec)
        return child

    def forget(self, child: Child) -> None:
        """Free the name of a child and of everything below it."""
        self._registry.forget(child)
        if isinstance(child.body, Supervisor):
            self._registry.release(child.body)
            for inner in child.body.children.values():
                self.forget(inner)

    def reserve(self, spec: ChildSpec, owner: Supervisor) -> None:
        """Nobody but `owner` may use the names of a specified child that has gone."""
        self._registry.reserve(ids_in(spec), owner)

    def depth_of(self, child: Child) -> int:
        """Messages queued for the child; 0 for what has no mailbox."""
        return child.body.cell.depth if isinstance(child.body, ActorBody) else 0

    def tell(self, hook: Callable[P, None] | None, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a hook, if there is one; one that raises is counted and changes nothing.

        What is no Exception ends the tree, but not whoever tells: others wait for what he does next.
        """
        if hook is None:
            return
        try:
            hook(*args, **kwargs)
        except Exception:  # noqa: BLE001  the observer must not break the observed
            self.hook_failures += 1
        except BaseException as exc:  # noqa: BLE001  it comes out of the tree
            self._hook_broke(exc)

    def show(self, id: str, value: object) -> str:  # noqa: A002
        """An actor's message in at most 200 characters, past the `redact` hook."""
        return show(self.hooks, id, value)

    def report_zombie(self, report: ZombieReport) -> None:
        """Keep the report for the dump and tell of it."""
        self._zombies.append(report)
        self.tell(self.hooks.zombie, report)

    def touched(self, child: Child) -> None:
        """The root is ready, or held by a zombie."""
        if child.is_held:
            self._end(child.cause)
        self._bell.ring()

    def charges(self, _child: Child) -> bool:
        """Nobody restarts the root."""
        return False

    def ended(self, child: Child) -> None:
        """The root's life is over."""
        error = None if child.end is None else child.end.error
        child.become("stopped" if error is None else "failed")
        child.body.close(child.stop_reason)
        self._end(error)

    def _hook_broke(self, error: BaseException) -> None:
        """What gets out of a hook, in whatever thread, ends the tree in order and comes out."""
        self._fail(error)
        if self._is_own_loop():
            self._stop_broken()
            return
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._stop_broken)

    def _stop_broken(self) -> None:
        self.request_stop()
        if self._over.is_set():  # nobody else will tell the block
            self.user_scope.cancel()

    def _end(self, error: BaseException | None) -> None:
        is_plain = isinstance(error, Exception) and not isinstance(error, FATAL)
        if is_plain and self.root.started_at is None:
            error = start_failed(self.root.id, error)
        self._fail(error)
        self._over.set()
        if not self.is_stopping or self.failure is not None:
            self.user_scope.cancel()
        self._bell.ring()

    def _fail(self, error: BaseException | None) -> None:
        """The first error stays, but for one that must end the program."""
        if self.failure is None or (isinstance(error, FATAL) and not isinstance(self.failure, FATAL)):
            self.failure = error

    async def run_root(self, nursery: trio.Nursery) -> None:
        """Start the root; returns when every static child is ready, raises StartFailed."""
        self.root.begin(trio.current_time())
        nursery.start_soon(self.root.live, name=self.root.id)
        while self.root.started_at is None and not self._over.is_set():
            await self._bell.wait()
        if self.root.started_at is None:
            raise_as_it_is(self.failure or start_failed(self.root.id, None))

    async def wind_down(self) -> None:
        """The ordered stop, whatever happens to the task that waits for it: interrupted it hurries."""
        try:
            self.request_stop()
            await self._over.wait()
        except BaseException:
            self.request_stop(hurry=True)
            await self._over.wait()
            raise

    def _require_own_loop(self) -> None:
        """Refuse another thread before anything is changed: waking a task there would fail half-way."""
        if not self._is_own_loop():
            raise RuntimeError("a tree is asked in Trio's thread: use trio.from_thread.run_sync()")

    def _is_own_loop(self) -> bool:
        """Whether this is Trio's thread, and the Trio is the tree's own."""
        is_trio = trio.lowlevel.in_trio_run()
        return is_trio and trio.lowlevel.current_trio_token() is self._token
