"""Small real actors that answer what the faces ask, and the whole app running over them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from hmac import new as hmac_new
from pathlib import Path
from typing import Any

import httpx
import trio

from coordinator.actors.messages import (
    Acked,
    AckOrder,
    DescribeAgent,
    ExplainIssue,
    ListIssues,
    NamedRepository,
    Reconsider,
    Recorded,
    Refresh,
    ReportUsage,
    WatchedRepository,
    WriteAgain,
)
from coordinator.edges.gitea_remote_wire import BreakerState, ForgeHealth
from coordinator.edges.journal_sqlite import SqliteJournal
from coordinator.edges.request_body import send_in_one_piece
from coordinator.errors import JournalUnavailable, PayloadInvalid, SenderError
from coordinator.rules.context import ContextUsage
from coordinator.rules.events import Metadata
from coordinator.rules.ids import AgentName, IssueRef, Login, RunId
from coordinator.rules.views import AgentView, IssuePage, IssueView, RunView
from coordinator.runtime import Actor, Call, Cast, ReplyError, Tree, child, open_tree, supervisor, task
from coordinator.web.app import web_server
from coordinator.web.context import WebContext
from coordinator.web.limits import Limits
from tests.fakes.patient_journal import patient_journal

__all__ = [
    "AGENT",
    "REF",
    "SECRET",
    "TOKEN",
    "Hang",
    "Running",
    "deliver",
    "forge_health",
    "running",
    "sign",
    "utc_now",
]

SECRET = b"a secret between forge and coordinator"
TOKEN = "a-token-of-the-api"
AGENT = "sonnet-1"
REF = IssueRef("acme/widgets", 17)
RUN = RunId(REF, 1)
_AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
_USAGE = ContextUsage(10, 20, 30, 40, 200_000, _AT)


@dataclass(frozen=True)
class Hang(Cast):
    """Never finish handling this one."""


def issue_view(ref: IssueRef) -> IssueView:
    metadata = Metadata(8_000, "easy", None, (), (IssueRef("acme/widgets", 3),), "small", 0.9)
    return IssueView(
        issue=ref,
        title="Parser drops <br>",
        html_url="https://forge.example.org/acme/widgets/issues/17",
        state="running",
        reason="dispatched",
        evidence="given to sonnet-1",
        next_check_at=_AT,
        assignees=(Login("claude-sonnet"),),
        priority=2,
        metadata=metadata,
        parsed_by="rules",
        open_blockers=(),
        unknown_blockers=(),
        cycle=(),
        agent=AgentName(AGENT),
        run=RUN,
        dispatches=1,
        compactions=0,
        rotations=0,
        peak_tokens=60,
        updated_at=_AT,
    )


class Dispatcher(Actor):
    """Knows issues 1 to 20 of one repository."""

    async def handle(self, message: Call[Any] | Cast) -> object:
        match message:
            case ExplainIssue(issue):
                return issue_view(issue) if issue.repo == REF.repo and issue.number <= 20 else None
            case ListIssues(after=after, limit=limit):
                first = 1 if after is None else after.number + 1
                shown = tuple(
                    issue_view(replace(REF, number=n)) for n in range(first, min(first + limit, 21))
                )
                more = bool(shown) and shown[-1].issue.number < 20
                return IssuePage(shown, shown[-1].issue if more else None)
            case Hang():
                await trio.sleep_forever()
        return None

    def inspect(self) -> object:
        return {"known": 20, "api_token": "whatever", "note": f"secret is {SECRET.decode()}"}


class Monitor(Actor):
    """Records readings; answers some run generations with the errors a real monitor has."""

    async def handle(self, message: Call[Any] | Cast) -> object:
        match message:
            case DescribeAgent():
                return _agent_view()
            case ReportUsage(run=RunId(generation=7)):
                raise ReplyError(SenderError("the run is fenced"))
            case ReportUsage(run=RunId(generation=8)):
                raise ReplyError(PayloadInvalid("session", "unknown"))
            case ReportUsage(run=RunId(generation=9)):
                raise ReplyError(JournalUnavailable("disk full"))
            case ReportUsage(usage=usage):
                return Recorded("continue", usage.used_tokens / 200_000)
            case AckOrder(order_id=order_id):
                return Acked(order_id == 1)
            case Hang():
                await trio.sleep_forever()
        return None


class Listener(Actor):
    """Remembers which events it was asked to take up again."""

    async def init(self) -> None:
        self.seen: list[int] = []

    async def handle(self, message: Reconsider) -> None:
        self.seen.append(message.seq)

    def inspect(self) -> object:
        return {"seen": self.seen}


class Sweeper(Actor):
    """Watches three repositories, among them acme/widgets and acme/cogs; that one is called acme/gears
    now but was not swept since."""

    async def init(self) -> None:
        self.asked: list[str | None] = []

    async def handle(self, message: Refresh) -> int:
        self.asked.append(message.repo)
        known = {None: 3, "acme/widgets": 1, "acme/cogs": 1}
        return known.get(message.repo, 0)

    def inspect(self) -> object:
        return {
            "repositories": 3,
            "failing": {"acme/secret": "404: not found"},
            "too_long": {"acme/widgets": 2, "acme/secret": 1},
            "problem": None,
            "last_at": _AT.isoformat(),
            "took_s": 1.5,
            "next_in_s": 58.5,
            "asked": self.asked,
        }


class Router(Actor):
    """Has found two closes that nobody told of."""

    async def handle(self, message: NamedRepository) -> WatchedRepository | None:
        """One repository, known as acme/widgets from the first and under other names since."""
        match message.name.lower():
            case "acme/gadgets" | "acme/gizmos":
                return WatchedRepository(41, "acme/widgets", "acme/widgets", True, True)
            case "acme/cogs":
                return WatchedRepository(42, "acme/cogs", "acme/gears", True, True)
            case _:
                return None

    def inspect(self) -> object:
        return {"missed": {"closed": 2}, "reads_pending": 4}


class Scribe(Actor):
    """Has obeyed once; on two issues the forge has refused what it had to say."""

    def __init__(self) -> None:
        self.is_asked = False

    async def handle(self, message: WriteAgain) -> int:
        self.is_asked = True
        return 2

    def inspect(self) -> object:
        written = {"commands": {"done": 1}, "writes": {"comment": 7}}
        return written | {"given_up_issues": 2, "is_asked": self.is_asked}


def forge_health(state: BreakerState = "closed") -> ForgeHealth:
    """The client's view of a forge that answered."""
    is_up = state == "closed"
    retry_in_s, error = (None, "") if is_up else (2.0, "GET /version: connection refused")
    return ForgeHealth(state, 0 if is_up else 5, error, retry_in_s, 42, "1.27.0", "gitea")


def _agent_view() -> AgentView:
    run = RunView(RUN, AgentName(AGENT), "normal", 1, _USAGE, 0.3, 60, 0, 0, "")
    return AgentView(
        agent=AgentName(AGENT),
        login=Login("claude-sonnet"),
        driver="external",
        model="claude-sonnet-5-5",
        difficulty="medium",
        slots=1,
        status="working",
        detail="",
        window_tokens=200_000,
        usable_tokens=200_000,
        compact_at_tokens=160_000,
        rotate_at_tokens=190_000,
        runs=(run,),
        open_orders=0,
        last_report_at=_AT,
        poll_failures=0,
    )


@dataclass(slots=True)
class Running:
    """The app as it runs: its journal, its tree and a client that has the token."""

    context: WebContext
    journal: SqliteJournal
    tree: Tree
    client: httpx.AsyncClient
    port: int


@asynccontextmanager
async def running(
    tmp_path: Path, *, host: str = "127.0.0.1", limits: Limits | None = None, **overrides: Any
) -> AsyncIterator[Running]:
    """The whole app over a real journal and a small real tree, on a free port."""
    journal = patient_journal(tmp_path / "journal.sqlite3")
    fields: dict[str, Any] = {
        "api_token": TOKEN,
        "limits": limits or Limits(),
        "forge_health": forge_health,
    } | overrides
    context = WebContext(
        journal=journal,
        secrets=(SECRET,),
        version="0.1.0",
        now=utc_now,
        **{"data_dir": tmp_path} | fields,
    )
    server = web_server(context, host=host, port=0)
    spec = supervisor(
        "root",
        task(journal.serve, id="journal"),
        child(Dispatcher, id="dispatcher"),
        child(Listener, id="parser"),
        child(Router, id="router"),
        child(Sweeper, id="sweeper"),
        child(Scribe, id="scribe"),
        child(Monitor, id=f"monitor:{AGENT}", shutdown_s=0.1),
        child(Monitor, id="monitor:other", shutdown_s=0.1),
        task(server.serve, id="web"),
        strategy="rest_for_one",
    )
    async with open_tree(spec) as tree:
        context.tree = tree
        assert server.bound is not None
        headers = {} if context.api_token is None else {"authorization": f"Bearer {TOKEN}"}
        base_url = f"http://127.0.0.1:{server.bound.port}"
        async with httpx.AsyncClient(
            base_url=base_url,
            headers=headers,
            trust_env=False,
            timeout=60,
            event_hooks={"request": [send_in_one_piece]},
        ) as client:
            yield Running(context, journal, tree, client, server.bound.port)


def sign(body: bytes, secret: bytes = SECRET) -> str:
    return hmac_new(secret, body, sha256).hexdigest()


async def deliver(
    client: httpx.AsyncClient, body: bytes, *, leave_out: str = "", **headers: str
) -> httpx.Response:
    """Post a delivery as Gitea does, with some headers changed (`x_gitea_event="push"`) or left out."""
    sent: Mapping[str, str] = {
        "content-type": "application/json",
        "x-gitea-delivery": "1d3e0c6e-6a0b-4a55-9d58-0a4b6c0f2f11",
        "x-gitea-event": "issues",
        "x-gitea-event-type": "issue_assign",
        "x-gitea-signature": sign(body),
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    kept = {name: value for name, value in sent.items() if name != leave_out}
    return await client.post("/webhook/gitea", content=body, headers=kept)


def utc_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  a test is a shell
