"""What the audience sees: a live screen on a terminal, plain lines anywhere else.

Knows nothing of HTTP or of the story's plan; it shows what it is told.
"""

import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from coordinator.web.shapes import AgentBody, HealthBody, IssueSummary, RunBody

__all__ = ["LiveStage", "PlainStage", "Stage", "fill_bar", "summary_table"]

_STYLES = {
    "ignored": "dim", "waiting": "yellow", "blocked": "yellow", "ready": "cyan", "running": "bold blue",
    "parked": "magenta", "done": "green", "closed": "green",
}  # fmt: skip
_BAR_CELLS = 30
_TICKER_LINES = 8
# An issue's row must fit beside the others on an 80-column terminal.
_EVIDENCE_CHARS = 60


class Stage(Protocol):
    """Where the demo is shown; a context manager, so that a terminal is given back whatever happens."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def welcome(self, url: str, forge_url: str) -> None: ...

    def scene(self, caption: str) -> None: ...

    def answered(self, subject: str, status: int, said: str) -> None: ...

    def wrote(self, issue: str, labels: Sequence[str], lines: Sequence[str]) -> None: ...

    def repaired(self, line: str) -> None: ...

    def show(
        self, issues: Sequence[IssueSummary], agents: Sequence[AgentBody], health: HealthBody
    ) -> None: ...

    def say(self, line: str) -> None: ...

    def summary(self, differences: Sequence[str]) -> None: ...


class PlainStage:
    """One line for each thing that happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._issues: list[IssueSummary] = []
        self._states: dict[str, tuple[str, str]] = {}
        self._counts: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def welcome(self, url: str, forge_url: str) -> None:
        self.say(_welcome(url, forge_url))

    def scene(self, caption: str) -> None:
        self._tell(f"— {caption}")

    def answered(self, subject: str, status: int, said: str) -> None:
        self._tell(f"  POST {subject}: {status} {said}")

    def wrote(self, issue: str, labels: Sequence[str], lines: Sequence[str]) -> None:
        self._tell(f"  {_heading(issue, labels)}")
        for line in lines:
            self.say(f"            │ {line}")

    def repaired(self, line: str) -> None:
        self._tell(f"  {line}")

    def show(
        self, issues: Sequence[IssueSummary], agents: Sequence[AgentBody], health: HealthBody
    ) -> None:
        self._issues = list(issues)
        for issue in issues:
            now = (issue.state, issue.reason)
            if self._states.get(issue.issue) != now:
                self._states[issue.issue] = now
                self._tell(f"    {issue.issue} {issue.state} ({issue.reason}): {issue.evidence}")
            self._watch(issue)

    def _watch(self, issue: IssueSummary) -> None:
        """By the issue and not by its agent: a run may be over before anybody looks again."""
        if issue.run is None:
            return
        compactions, rotations = self._counts.get(issue.run, (0, 0))
        self._counts[issue.run] = (issue.compactions, issue.rotations)
        if issue.compactions > compactions:
            self._tell(f"    {issue.agent} compacted the context of {issue.run}")
        if issue.rotations > rotations:
            session = issue.rotations + 1
            self._tell(f"    {issue.agent} handed {issue.run} over to session {session}")

    def say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)

    def summary(self, differences: Sequence[str]) -> None:
        self._console.print()
        self._console.print(summary_table(self._issues))
        self._console.print()
        self.say(_verdict(differences))

    def _tell(self, line: str) -> None:
        self.say(f"{time.monotonic() - self._began:6.1f} s {line}")


class LiveStage:
    """Issues, agents and the newest deliveries on one screen that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._welcome = ""
        self._ticker: deque[Text] = deque(maxlen=_TICKER_LINES)
        self._issues: list[IssueSummary] = []
        self._agents: list[AgentBody] = []
        self._health: HealthBody | None = None
        self._page: tuple[str, list[str]] = ("nothing was written yet", [])

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def welcome(self, url: str, forge_url: str) -> None:
        self._welcome = _welcome(url, forge_url)
        self._draw()

    def scene(self, caption: str) -> None:
        self._ticker.append(Text(caption, style="italic"))
        self._draw()

    def answered(self, subject: str, status: int, said: str) -> None:
        style = "green" if status < 400 else "red"
        self._ticker.append(Text.assemble(f"  POST {subject}  ", (f"{status} {said}", style)))
        self._draw()

    def wrote(self, issue: str, labels: Sequence[str], lines: Sequence[str]) -> None:
        self._page = (_heading(issue, labels), list(lines))
        self._draw()

    def repaired(self, line: str) -> None:
        self._ticker.append(Text(f"  {line}", style="bold cyan"))
        self._draw()

    def show(
        self, issues: Sequence[IssueSummary], agents: Sequence[AgentBody], health: HealthBody
    ) -> None:
        self._issues, self._agents, self._health = list(issues), list(agents), health
        self._draw()

    def say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)

    def summary(self, differences: Sequence[str]) -> None:
        self._live.stop()
        self.say(self._welcome)
        self._console.print()
        self._console.print(summary_table(self._issues))
        self._console.print()
        self.say(_verdict(differences))

    def _draw(self) -> None:
        parts: list[RenderableType] = [
            Text(self._welcome, style="dim"),
            _issue_table(self._issues),
            _agent_panel(self._agents),
            Panel(Group(*self._ticker), title="deliveries", title_align="left"),
            Panel(
                Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in self._page[1])),
                title=Text(self._page[0]),
                title_align="left",
            ),
            Text(_health_line(self._health), style="dim"),
        ]
        self._live.update(Group(*parts), refresh=True)


# parts ------------------------------------------------------------------------------------------


def fill_bar(fill: float | None, *, compact_at: float = 0.8, rotate_at: float = 0.95) -> Text:
    """A bar of the context window with its two thresholds; empty when the fill is unknown."""
    if fill is None:
        return Text("·" * _BAR_CELLS, style="dim")
    style = "red" if fill >= rotate_at else "yellow" if fill >= compact_at else "green"
    filled = min(round(fill * _BAR_CELLS), _BAR_CELLS)
    bar = Text("█" * filled, style=style)
    for cell in range(filled, _BAR_CELLS):
        is_threshold = cell in {round(compact_at * _BAR_CELLS), round(rotate_at * _BAR_CELLS)}
        bar.append("|" if is_threshold else "·", style="dim")
    return bar.append(f" {fill:4.0%}", style=style)


def summary_table(issues: Sequence[IssueSummary]) -> Table:
    """What became of every issue, one row each."""
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    for heading in ("issue", "state", "reason", "agent"):
        table.add_column(heading, no_wrap=True)
    for heading in ("peak\ncontext", "compactions", "rotations"):
        table.add_column(heading, justify="right")
    for issue in issues:
        table.add_row(
            issue.issue,
            Text(issue.state, style=_STYLES.get(issue.state, "")),
            issue.reason,
            issue.agent or "",
            f"{issue.peak_tokens:,}" if issue.peak_tokens else "",
            str(issue.compactions) if issue.dispatches else "",
            str(issue.rotations) if issue.dispatches else "",
        )
    return table


def _issue_table(issues: Sequence[IssueSummary]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1), expand=True)
    for heading in ("issue", "title", "state"):
        table.add_column(heading, no_wrap=True)
    table.add_column("because", no_wrap=True, overflow="ellipsis", ratio=1)
    for issue in issues:
        state = Text(issue.state, style=_STYLES.get(issue.state, ""))
        table.add_row(issue.issue, issue.title, state, issue.evidence[: 2 * _EVIDENCE_CHARS])
    return table


def _agent_panel(agents: Sequence[AgentBody]) -> Panel:
    rows = Table.grid(padding=(0, 2))
    for agent in agents:
        for run in agent.runs:
            done = f"session {run.session}, {run.compactions} compacted, {run.rotations} rotated"
            rows.add_row(agent.agent, _run_bar(agent, run), run.run, run.phase, Text(done, style="dim"))
        if not agent.runs:
            rows.add_row(agent.agent, fill_bar(None), Text(agent.status, style="dim"), "", "")
    return Panel(rows, title="agents and their context", title_align="left")


def _run_bar(agent: AgentBody, run: RunBody) -> Text:
    usable = agent.usable_tokens
    if not usable or agent.compact_at_tokens is None or agent.rotate_at_tokens is None:
        return fill_bar(run.fill)
    return fill_bar(
        run.fill,
        compact_at=agent.compact_at_tokens / usable,
        rotate_at=agent.rotate_at_tokens / usable,
    )


def _health_line(health: HealthBody | None) -> str:
    if health is None:
        return ""
    counts = ", ".join(f"{number} {name}" for name, number in health.deliveries.items() if number)
    refused = f"{health.signature_failures} wrong signatures, {health.rejected} rejected"
    return f"health: {health.status} · {counts} · {refused} · {health.dead_letters} dead letters"


def _heading(issue: str, labels: Sequence[str]) -> str:
    return f"on {issue} the coordinator wrote [{', '.join(labels) or 'no label'}]"


def _welcome(url: str, forge_url: str) -> str:
    faces = "look at /health, /state, /api/v1/issues, /api/v1/agents"
    return f"Mosaic Coordinator at {url} — {faces}\na small forge, made for this, at {forge_url}"


def _verdict(differences: Sequence[str]) -> str:
    if not differences:
        return "every issue stands where the story has it — now with your own forge: see README.md"
    return "\n".join(["the story did not end as it must:", *(f"  {line}" for line in differences)])
