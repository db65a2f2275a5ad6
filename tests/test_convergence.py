"""Whatever is lost, repeated, late or cut down: after one sweep the coordinator knows what the forge
knows, has done nothing twice, and has said so on every issue once.

People act on a real forge over a real wire; its deliveries suffer, its answers suffer, and the
coordinator dies in between. A failure prints the shortest list of operations that hypothesis found;
paste it into `Plan(...)` and call `live_through` to see it again. More of it:
CONVERGENCE_EXAMPLES=500 CONVERGENCE_LENGTH=60.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, Phase, example, given, settings
from trio.testing import MockClock

from coordinator.config import Repositories
from coordinator.demo.forge import Forge, Issue, Product, open_forge
from coordinator.rules.fleet import AgentSpec, Fleet
from coordinator.rules.ids import AgentName, Login
from tests.convergence.agreement import Agreement, missed_of, twice_dispatched
from tests.convergence.life import SECRET, Life, settings_for
from tests.convergence.operations import (
    Assign,
    Away,
    Close,
    Crash,
    Delete,
    Label,
    Misbehave,
    Open,
    Operation,
    Pause,
    Plan,
    Post,
    Reopen,
    Retitle,
    SetMilestone,
    Unassign,
    chaos,
    losses,
)
from tests.convergence.people import REPOSITORIES, ForgeClock, People
from tests.convergence.untold import Untold

EXAMPLES = int(os.environ.get("CONVERGENCE_EXAMPLES", "4"))
LENGTH = int(os.environ.get("CONVERGENCE_LENGTH", "14"))
# Long enough for a breaker that opened, and for backoffs grown by a forge that was away.
WITHIN_S = 150.0
# Past the moment from which on a sweep leaves changes to their deliveries.
SETTLED_S = 15.0
# Loopback and disk answer within that; when nothing happens for so long, time jumps to what is next.
_IDLE_S = 0.02

FLEET = Fleet(
    (AgentSpec(AgentName("agent-a"), Login("agent-a"), slots=50),
     AgentSpec(AgentName("agent-b"), Login("agent-b"), slots=50)),
    (Login("coder-bot"),),
)  # fmt: skip

# The same examples every time; a night with other ones needs only a larger number.
thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
dialects = pytest.mark.parametrize("product", ["gitea", "forgejo"])


@dataclass
class Scene:
    """A forge with its people, and a coordinator that has swept it once."""

    forge: Forge
    clock: ForgeClock
    people: People
    life: Life
    agreement: Agreement

    async def settle(self) -> None:
        """Until every delivery has left, and nobody has anything to do."""
        with trio.fail_after(WITHIN_S):
            await self.forge.wait_quiet()
            await self.life.wait_idle()

    async def rest(self) -> None:
        """Long enough after the last change, and after the last thing we wrote ourselves."""
        posted = -1
        while posted != len(self.forge.deliveries):
            posted = len(self.forge.deliveries)
            await trio.sleep(SETTLED_S)
            await self.settle()

    async def sweep(self) -> None:
        """Ask for one, long enough after the last change."""
        await trio.sleep(SETTLED_S)
        await self.sweep_now()

    async def sweep_now(self) -> None:
        assert await self.life.refresh() in (200, 202)

    async def converge(self) -> None:
        """Until both sides agree, and still do once nothing is under way; fails with what differs."""
        differences = ["nothing was compared"]
        with trio.move_on_after(WITHIN_S):
            while differences:
                await trio.sleep(0.5)
                self.agreement.take(await self.life.read())
                differences = self.agreement.differences()
                if not differences:
                    await self.settle()
                    self.agreement.take(await self.life.read())
                    differences = self.agreement.differences()
        assert not differences, "\n".join(differences)


def in_quick_time(
    play: Callable[[Product, Plan], Awaitable[None]], product: Product, plan: Plan
) -> None:
    """Run it in real time as long as anything happens, and skip the rest."""
    trio.run(play, product, plan, clock=MockClock(rate=1.0, autojump_threshold=_IDLE_S))


@asynccontextmanager
async def scene(product: Product, watched: str) -> AsyncIterator[Scene]:
    """Two repositories with an issue each, told of and swept."""
    clock = ForgeClock()
    with tempfile.TemporaryDirectory(prefix="convergence-") as folder:
        async with open_forge(product, clock=clock) as forge, trio.open_nursery() as nursery:
            people = People(forge)
            token = people.furnish()
            repositories: Repositories = (
                tuple(REPOSITORIES) if watched == "names" else "all" if watched == "all" else "heard"
            )
            life = Life(settings_for(Path(folder), forge.url, token, FLEET, repositories), nursery)
            await life.start()
            forge.hook(None, f"{life.url}/webhook/gitea", SECRET)
            found = Scene(forge, clock, people, life, Agreement(forge, people, FLEET))
            for name in REPOSITORIES:
                forge.open(name, "The first", "of many", assignees=["coder-bot"])
            await found.settle()
            await found.sweep()
            await found.converge()
            try:
                yield found
            finally:
                await life.crash()
                nursery.cancel_scope.cancel()


# anything at any moment --------------------------------------------------------------------------


@dialects
@thorough
@given(plan=chaos(LENGTH))
def test_the_coordinator_converges_with_the_forge(product: Product, plan: Plan) -> None:
    """After any operations, faults and crashes, one sweep makes the coordinator's world equal the
    forge's; nothing was dispatched twice, every issue has one true comment and true labels, and every
    command was answered once."""
    in_quick_time(live_through, product, plan)


async def live_through(product: Product, plan: Plan) -> None:
    """Play the plan, let the forge be whole again, sweep once, and compare."""
    async with scene(product, plan.watched) as found:
        forge, life = found.forge, found.life
        forge.postman.faults.delay_s = (0.01, 0.15)
        away = down = 0
        for operation in plan.operations:
            match operation:
                case Post(fault, count):
                    forge.postman.faults.next(fault, count)
                case Misbehave(mishap, times, after, status):
                    forge.misbehave(mishap, times=times, after=after, status=status, delay_s=0.2)
                case Away(operations) if not away:
                    forge.go_away()
                    away = operations + 1
                case Crash(operations) if not down:
                    await life.crash()
                    down = operations + 1
                case Pause(ms, seconds):
                    found.clock.advance(seconds)
                    await trio.sleep(ms / 1000)
                case Away() | Crash():
                    pass
                case _:
                    found.people.act(operation)
                    await trio.lowlevel.checkpoint()
            if away == 1:
                await forge.come_back()
            if down == 1:
                await life.start()
            away, down = max(away - 1, 0), max(down - 1, 0)
        if away:
            await forge.come_back()
        forge.server.faults.clear()
        forge.postman.faults.clear()
        if down:
            await life.start()
        await forge.wait_quiet()
        await found.sweep()
        await found.converge()
        assert not twice_dispatched(life.events)


# counting ----------------------------------------------------------------------------------------


# The delivery of our first comment on the new issue shows the unassignment that was lost before it.
TOLD_BY_OUR_OWN = Plan(
    "names",
    (
        Delete(3), Open(0), Post("truncate", 2), SetMilestone(10, ""), Post("lose", 2), Delete(2),
        Reopen(10), Unassign(8, "coder-bot"), Unassign(8, "coder-bot"), Assign(11, "agent-a"),
        Reopen(10),
    ),
)  # fmt: skip


@dialects
@thorough
@example(plan=TOLD_BY_OUR_OWN)
@given(plan=losses(LENGTH))
def test_what_was_missed_is_counted_exactly(product: Product, plan: Plan) -> None:
    """The causes a sweep counts as missed are the deliveries that were lost and that nothing later
    made up for, together with the changes no forge announces."""
    in_quick_time(count_through, product, plan)


async def count_through(product: Product, plan: Plan) -> None:
    """Play the plan, one thing after the other; sweep once, and compare the counts."""
    async with scene(product, plan.watched) as found:
        untold = Untold(found.forge)
        untold.attach()
        for issue in found.people.issues:
            untold.told.add(issue.id)
        before = missed_of(found.life.events)
        for number, operation in enumerate(plan.operations):
            if isinstance(operation, Post):
                found.forge.postman.faults.next(operation.fault, operation.count)
            else:
                await step(found, untold, operation, number)
        found.forge.postman.faults.clear()
        # The deliveries of what we write show the issue as it is, and so may tell what was lost.
        await found.rest()
        expected = untold.expected()
        await found.sweep_now()
        await found.converge()
        counted = missed_of(found.life.events)
        counted.subtract(before)
        assert +counted == expected, f"counted {+counted}, expected {expected}"


async def step(found: Scene, untold: Untold, operation: Operation, number: int) -> None:
    """One thing happens, unless it would hide an earlier one that nobody has heard of; then everybody
    finishes what that causes."""
    forge, people = found.forge, found.people
    issue = None if isinstance(operation, Open) else people.pick(getattr(operation, "issue", 0))
    if not isinstance(operation, Open) and (issue is None or hides(found, untold, issue, operation)):
        return
    match operation:
        case Label():
            operation = Label(operation.issue, (f"kind/{number}",))
        case SetMilestone():
            operation = SetMilestone(operation.issue, f"v{number}")
        case _:
            pass
    posted, edges = len(forge.deliveries), len(forge.data.edges)
    people.act(operation)
    letters = forge.deliveries[posted:]
    untold.took_place(letters)
    if issue is not None and len(forge.data.edges) > edges:
        untold.changed_silently(issue, "dependencies")
    found.clock.advance(1)
    await found.settle()
    if isinstance(operation, Delete) and issue is not None:
        untold.forget(issue, is_told=any(each.outcome == "sent" for each in letters))
    elif any(each.outcome == "sent" for each in letters):
        left = [] if issue is None else untold.causes.get(issue.id, [])
        assert not set(left) - {"dependencies"}, f"{operation} was told, and not read"


def hides(found: Scene, untold: Untold, issue: Issue, operation: Operation) -> bool:
    """Whether the sweep could not tell this from nothing, or from what was missed before."""
    match operation:
        case Retitle():
            return untold.undoes(issue, "edited")
        case Label():
            return untold.undoes(issue, "labels")
        case SetMilestone():
            return untold.undoes(issue, "milestone")
        case Assign():
            return untold.undoes(issue, "assigned")
        case Unassign():
            return untold.undoes(issue, "unassigned")
        case Close():
            return untold.undoes(issue, "closed")
        case Reopen():
            return untold.undoes(issue, "reopened")
        case Delete():
            # Edges vanish with it, and nothing at the forge shows that of the issues it blocked.
            return any(issue.id in edge for edge in found.forge.data.edges)
        case _:
            return untold.undoes(issue, "dependencies")
