"""`/api/v1/issues`: where each issue is and why, in the words of the function that decides dispatch."""

from quart import Blueprint, Response

from coordinator.actors.messages import ExplainIssue, ListIssues
from coordinator.edges.journal import Stored
from coordinator.rules.ids import IssueRef
from coordinator.web.ask import ask
from coordinator.web.asked import IssueQuery
from coordinator.web.context import WebContext
from coordinator.web.envelope import Refused
from coordinator.web.names import repository_called
from coordinator.web.shapes import EventBody, IssueBody, IssuesBody, IssueSummary, plain
from coordinator.web.views import read_query, shaped

__all__ = ["event_body", "issues_blueprint"]

# More events about one issue than a person reads; the journal keeps them all.
_TIMELINE_LIMIT = 500


def issues_blueprint(context: WebContext) -> Blueprint:
    blueprint = Blueprint("issues", __name__)

    @blueprint.get("/api/v1/issues")
    async def list_issues() -> Response:
        query = read_query(IssueQuery)
        after = None if query.after is None else _parse_ref(query.after, status=422, field="after")
        message = ListIssues(after=after, limit=query.limit, state=query.state, every=query.every)
        page = await ask(context, "dispatcher", message)
        next_after = None if page.next_after is None else str(page.next_after)
        issues = [IssueSummary.model_validate(view) for view in page.issues]
        return shaped(IssuesBody, {"issues": issues, "next_after": next_after})

    @blueprint.get("/api/v1/issues/<owner>/<repo>/<number>")
    async def show_issue(owner: str, repo: str, number: str) -> Response:
        ref = _parse_ref(f"{owner}/{repo}#{number}", status=404)
        found = await repository_called(context, ref.repo)
        ref = ref if found is None else IssueRef(found.canonical, ref.number)
        view = await ask(context, "dispatcher", ExplainIssue(ref))
        if view is None:
            raise Refused(404, "not_found", f"{ref} has not been heard of")
        timeline = [
            event_body(stored) for stored in await context.journal.timeline(ref, _TIMELINE_LIMIT)
        ]
        summary = IssueSummary.model_validate(view).model_dump()
        return shaped(IssueBody, summary | {"timeline": timeline})

    return blueprint


def event_body(stored: Stored) -> EventBody:
    return EventBody(
        seq=stored.seq,
        at=stored.at,
        actor=stored.actor,
        delivery=stored.delivery,
        type=type(stored.event).__name__,
        event=_fields(stored.event),
    )


def _fields(event: object) -> dict[str, object]:
    shown = plain(event)
    return shown if isinstance(shown, dict) else {"value": shown}


def _parse_ref(text: str, *, status: int, field: str | None = None) -> IssueRef:
    try:
        return IssueRef.parse(text)
    except ValueError as error:
        code = "not_found" if status == 404 else "invalid_request"
        raise Refused(status, code, str(error), field=field) from None
