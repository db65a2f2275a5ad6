"""An issue as the faces show it, in the words of `assess`."""

from bisect import bisect_right
from itertools import islice

from coordinator.rules.assess import Assessment, assess, priority
from coordinator.rules.discretion import presently
from coordinator.rules.events import IssueBlocked
from coordinator.rules.ids import IssueRef
from coordinator.rules.views import IssuePage, IssueView
from coordinator.rules.world import IssueRecord, RunRecord, World

__all__ = ["page_of", "view_of"]


def view_of(ref: IssueRef, world: World) -> IssueView | None:
    """The issue and why it is where it is; None when no delivery ever told of it."""
    record = world.issues.get(ref)
    if record is None or record.facts is None:
        return None
    return _view(record, assess(ref, world), world)


def page_of(
    world: World, *, after: IssueRef | None, limit: int, state: str | None, every: bool
) -> IssuePage:
    """Issues behind `after` in ref order; without `every` only those that ever concerned us."""
    refs = sorted(
        ref
        for ref, record in world.issues.items()
        if record.facts is not None and (every or record.assessed is not None)
    )
    start = 0 if after is None else bisect_right(refs, after)
    views = (view for ref in refs[start:] if (view := view_of(ref, world)) is not None)
    wanted = (view for view in views if state is None or view.state == state)
    page = tuple(islice(wanted, limit + 1))
    more = len(page) > limit
    return IssuePage(page[:limit], page[limit - 1].issue if more else None)


def _view(record: IssueRecord, found: Assessment, world: World) -> IssueView:
    facts, parsed, run = record.facts, record.parsed, record.run
    assert facts is not None
    blocked = record.verdict if isinstance(record.verdict, IssueBlocked) else None
    assign, estimate = record.told.assign, record.told.estimate
    return IssueView(
        issue=record.ref,
        title=facts.title,
        html_url=facts.html_url,
        state=found.state,
        reason=found.reason,
        evidence=presently(found.evidence, _named(blocked), world.names),
        next_check_at=found.next_check_at,
        assignees=facts.assignees,
        priority=priority(facts),
        metadata=record.metadata,
        parsed_by=parsed.by if parsed is not None else None,
        open_blockers=blocked.open_blockers if blocked is not None else (),
        unknown_blockers=blocked.unknown_blockers if blocked is not None else (),
        cycle=blocked.cycle if blocked is not None else (),
        agent=run.dispatched.agent if run is not None else None,
        run=run.dispatched.run if run is not None else None,
        dispatches=run.dispatched.run.generation if run is not None else 0,
        compactions=run.compactions if run is not None else 0,
        rotations=run.sessions - 1 if run is not None else 0,
        peak_tokens=run.peak_tokens if run is not None else 0,
        updated_at=facts.updated_at,
        hidden_blockers=blocked.hidden_blockers if blocked is not None else 0,
        repo_name=world.names.get(record.ref.repo, record.ref.repo),
        names=tuple(sorted({ref.repo: _called(ref, world) for ref in _named(blocked)}.items())),
        agents=tuple(sorted(world.agents)),
        pinned=assign.agent if assign is not None else None,
        estimated_by=estimate.by if estimate is not None else None,
        run_phase=_phase(run) if run is not None else None,
        session=run.sessions if run is not None else None,
        fill_percent=_fill_percent(run, world) if run is not None else None,
        last_command=record.told.answered,
    )


def _named(blocked: IssueBlocked | None) -> tuple[IssueRef, ...]:
    """The issues that the evidence may name."""
    if blocked is None:
        return ()
    return (*blocked.open_blockers, *blocked.unknown_blockers, *blocked.cycle)


def _called(ref: IssueRef, world: World) -> str:
    return world.names.get(ref.repo, ref.repo)


def _phase(run: RunRecord) -> str:
    return run.doing or run.phase if run.phase == "working" else run.phase


def _fill_percent(run: RunRecord, world: World) -> int | None:
    agent = world.agents.get(run.dispatched.agent)
    if not run.is_open or run.context_tokens is None or agent is None or not agent.usable_tokens:
        return None
    return round(10 * run.context_tokens / agent.usable_tokens) * 10
