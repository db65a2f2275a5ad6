"""What the faces show of the forge and of the sweep: from memory alone, as the actors last left it."""

import re
from collections.abc import Mapping
from datetime import datetime

from coordinator.web.context import WebContext
from coordinator.web.shapes import ForgeBody, SweepBody

__all__ = ["counts", "forge_body", "forge_modes", "number_in", "sweep_body", "told_by"]

# A failed request, as the client words it: what follows may be the forge's own sentence. Where the
# forge gave no answer our words say so.
_FAILURE = re.compile(
    r"(?P<method>[A-Z]{3,6}) (?P<path>/[^\s:]*): "
    r"(?P<what>\d{3}\b|the connection failed|the answer is larger than \d+ MiB|no connection free"
    r"|not sent)"
)
_OWNED = re.compile(r"^/(?:repos/[^/]+/[^/]+|(?:orgs|users)/[^/]+)|(?<=/collaborators/)[^/]+")
# The words of the paths we ask for; anything else in one is a name or a number.
_WORDS = frozenset(
    {"admin", "api", "assignees", "blocks", "collaborators", "comments", "dependencies", "hooks"}
    | {"issues", "labels", "orgs", "permission", "reactions", "repos", "repositories", "search"}
    | {"settings", "tests", "user", "users", "version"}
)
_UNTOLD = "something else failed; the state, shown with a token, says what"


def forge_body(context: WebContext) -> ForgeBody | None:
    """The client's own view; None without a token."""
    if context.forge_health is None:
        return None
    health, router = context.forge_health(), told_by(context, "router")
    failing = router.get("failing_repositories")
    return ForgeBody(
        state=health.state,
        product=health.product,
        version=health.version,
        last_error=_without_names(health.last_error) or None,
        retry_in_s=health.retry_in_s,
        requests=health.requests,
        reads_pending=int(number_in(router, "reads_pending") or 0),
        reads_failing=len(failing) if isinstance(failing, Mapping) else 0,
        writes_refused=int(number_in(told_by(context, "scribe"), "given_up_issues") or 0),
    )


def sweep_body(context: WebContext) -> SweepBody | None:
    """The sweeper's view, and what the router counted as missed; None without a token."""
    if context.forge_health is None:
        return None
    told = told_by(context, "sweeper")
    failing, last_at = told.get("failing"), told.get("last_at")
    return SweepBody(
        last_at=datetime.fromisoformat(last_at) if isinstance(last_at, str) else None,
        took_s=number_in(told, "took_s"),
        next_in_s=number_in(told, "next_in_s"),
        repositories=int(number_in(told, "repositories") or 0),
        failing=len(failing) if isinstance(failing, Mapping) else 0,
        stuck=int(number_in(told, "stuck") or 0),
        too_long=sum(counts(told, "too_long").values()),
        problem=_problem(told),
        missed=counts(told_by(context, "router"), "missed"),
    )


def forge_modes(forge: ForgeBody | None, sweep: SweepBody | None) -> tuple[str, ...]:
    """The degraded modes of this moment; deliveries are accepted all the same."""
    is_away = forge is not None and forge.state != "closed"
    has_problem = sweep is not None and (sweep.problem is not None or sweep.stuck > 0)
    is_hidden = forge is not None and forge.reads_failing > 0
    modes = {
        "forge-unreachable": is_away,
        "reads-failing": is_hidden and not is_away,
        "sweep-failing": has_problem and not is_away,
    }
    return tuple(name for name, on in modes.items() if on)


def told_by(context: WebContext, actor_id: str) -> Mapping[str, object]:
    """What an actor says of itself; nothing if it is not there now."""
    try:
        state = None if context.tree is None else context.tree.get_state(actor_id)
    except KeyError:  # not in this tree
        return {}
    return state if isinstance(state, Mapping) else {}


def number_in(told: Mapping[str, object], key: str) -> float | None:
    """One number of an actor's state."""
    value = told.get(key)
    return value if isinstance(value, int | float) else None


def counts(told: Mapping[str, object], key: str) -> dict[str, int]:
    """Counts by name from an actor's state, sorted."""
    value = told.get(key)
    if not isinstance(value, Mapping):
        return {}
    return {str(name): n for name, n in sorted(value.items()) if isinstance(n, int)}


def _problem(told: Mapping[str, object]) -> str | None:
    problem = told.get("problem")
    return _without_names(problem) if isinstance(problem, str) else None


def _without_names(error: str) -> str:
    """The error as anybody may see it: method, path without names, and status or what else went wrong.

    Repositories are private, and /health needs no token; the forge's own sentences may name them.
    """
    found = _FAILURE.match(error)
    if found is None:
        return error and _UNTOLD
    return f"{found['method']} {_template(found['path'])}: {found['what']}"


def _template(path: str) -> str:
    """`/repos/o/r/issues/17` as `/repos/.../issues/...`: no word of it is anybody's."""
    owned = _OWNED.sub(_hidden, path)
    return "/".join(part if not part or part in _WORDS else "..." for part in owned.split("/"))


def _hidden(found: re.Match[str]) -> str:
    """Names may be words of paths, too, so they go by their place."""
    kind = found[0].split("/")[1] if found[0].startswith("/") else ""
    return f"/{kind}/..." if kind else "..."
