"""What the doctor finds: each finding with its remedy, judged from what was seen. Pure."""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from coordinator.cli.durations import lasting
from coordinator.cli.hook_plan import HookPlan, option_of, place_of
from coordinator.cli.ping import Arrival, Echo
from coordinator.cli.receiver import Allowance, version_of
from coordinator.edges.gitea_remote_wire import ForgeInfo, HookScope, RemoteHook, RemoteRepository
from coordinator.edges.web_address import shown_address
from coordinator.errors import ForgeError, ForgeForbidden
from coordinator.rules.metadata import one_line

__all__ = [
    "Finding",
    "Level",
    "Tell",
    "judge_address",
    "judge_arrival",
    "judge_clock",
    "judge_disk",
    "judge_echo",
    "judge_forge",
    "judge_hooks",
    "judge_people",
    "judge_repository",
    "of_error",
    "ok",
    "problem",
    "shown",
    "skipped",
    "summary",
    "warning",
]

Level = Literal["ok", "warning", "problem", "skipped"]

# NTP keeps machines within milliseconds; a half minute is a clock nobody keeps.
_MAX_SKEW_S = 30.0
# The journal of a busy day is some 100 MB; below that the next day is not safe.
_FREE_PROBLEM_BYTES = 100 * 2**20
_FREE_WARNING_BYTES = 2**30
# The oldest whose webhooks and answers this program was written for.
_OLDEST = {"gitea": (1, 20, 0), "forgejo": (7, 0, 0)}
_CHECK_CHARS = 13
_WIDTH = 100
_MAX_CHARS = 400


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `seen`, `expected` and `remedy` are "" where `what` says it all."""

    check: str
    level: Level
    what: str
    seen: str = ""
    expected: str = ""
    remedy: str = ""


Tell = Callable[[Finding], None]


def ok(check: str, what: str) -> Finding:
    return Finding(check, "ok", what)


def warning(check: str, what: str, *, seen: str = "", expected: str = "", remedy: str = "") -> Finding:
    return Finding(check, "warning", what, seen, expected, remedy)


def problem(check: str, what: str, *, seen: str = "", expected: str = "", remedy: str = "") -> Finding:
    return Finding(check, "problem", what, seen, expected, remedy)


def skipped(check: str, why: str, *, remedy: str = "") -> Finding:
    return Finding(check, "skipped", f"not looked at: {why}", remedy=remedy)


def of_error(check: str, error: Exception) -> Finding:
    """A failure of the forge with its own remedy; any other error by its sentence."""
    remedy = error.remedy if isinstance(error, ForgeError) else ""
    seen = one_line(str(error).removesuffix(f"; {remedy}"), _MAX_CHARS) or type(error).__name__
    if isinstance(error, ForgeForbidden) and error.missing_scope:
        what = f"the token lacks the scope {error.missing_scope}"
        return problem(check, what, seen=seen, expected=error.missing_scope, remedy=remedy)
    return problem(check, seen, remedy=remedy or "try again; if it stays, see the log of who said so")


# this side --------------------------------------------------------------------------------------


def judge_disk(free_bytes: int, total_bytes: int, place: str) -> Finding:
    seen = f"{free_bytes / 2**30:,.1f} of {total_bytes / 2**30:,.1f} GiB free at {place}"
    remedy = "make room, or lower RETENTION_DAYS; when it is full, deliveries are answered 503"
    if free_bytes < _FREE_PROBLEM_BYTES:
        return problem("disk", "the disk is full", seen=seen, expected="100 MiB or more", remedy=remedy)
    if free_bytes < _FREE_WARNING_BYTES:
        return warning(
            "disk", "little room is left", seen=seen, expected="1 GiB or more", remedy=remedy
        )
    return ok("disk", seen)


# the forge --------------------------------------------------------------------------------------


def judge_forge(url: str, info: ForgeInfo) -> Finding:
    name, oldest = info.product.capitalize(), _OLDEST[info.product]
    if version_of(info) >= oldest:
        return ok("forge", f"{url} is {name} {one_line(info.version, 60)}")
    expected = f"{name} {oldest[0]}.{oldest[1]} or newer"
    seen = one_line(info.version, 60)
    return warning(
        "forge", "untested version", seen=seen, expected=expected, remedy="upgrade the forge"
    )


def judge_clock(ahead_s: float | None) -> Finding:
    """`ahead_s`: how far this machine's clock is ahead of the forge's; None when it does not tell."""
    if ahead_s is None:
        remedy = "a proxy before the forge drops the header Date; compare the clocks by hand"
        return warning("clock", "the forge does not tell its time", remedy=remedy)
    where = f"{lasting(abs(ahead_s))} {'ahead of' if ahead_s > 0 else 'behind'} the forge"
    if abs(ahead_s) <= _MAX_SKEW_S:
        return ok("clock", f"within {max(1, round(abs(ahead_s)))} s of the forge's")
    remedy = "synchronise both clocks (NTP): times shown and looks for missed webhooks are off"
    return warning("clock", f"this machine is {where}", expected="at most 30 s", remedy=remedy)


def judge_repository(repo: RemoteRepository) -> Finding:
    check, name = "repositories", repo.full_name
    if repo.archived:
        remedy = "take it out of the archive, or out of GITEA_REPOSITORIES"
        return warning(check, f"{name} is archived: nothing can be written to it", remedy=remedy)
    if not repo.has_issues:
        remedy = "switch issues on in its settings"
        return problem(check, f"{name} has no issues", remedy=remedy)
    if not repo.can_write:
        remedy = "make the token's account a collaborator with write access"
        return problem(check, f"the token's account may not write to {name}", remedy=remedy)
    without = "" if repo.dependencies_enabled else ", without native dependencies (switched off there)"
    return ok(check, f"{name} can be read and written{without}")


def judge_people(name: str, wanted: Sequence[str], assignable: Iterable[str]) -> Finding:
    """Whether the bot accounts can be assigned; some are enough, none is a problem."""
    known = set(assignable)
    found = [login for login in wanted if login in known]
    missing = ", ".join(login for login in wanted if login not in known)
    if not missing:
        return ok("bots", f"{name}: {', '.join(found)} can be assigned")
    remedy = f"make the accounts ({missing}) if there are none, and give them write access to {name}"
    if not found:
        return problem("bots", f"{name}: no bot account can be assigned", seen=missing, remedy=remedy)
    return warning("bots", f"{name}: {missing} cannot be assigned", remedy=remedy)


# webhooks ---------------------------------------------------------------------------------------


def judge_hooks(
    repo: str,
    plans: Sequence[tuple[HookScope, HookPlan]],
    near: Sequence[RemoteHook],
    hidden: Sequence[HookScope],
    *,
    is_heard: bool,
) -> Finding:
    """What serves one repository. `plans` are the levels that could be read, `hidden` those that could
    not; `near` are webhooks that only almost have our address; `is_heard`: it has sent deliveries."""
    check, scope = "webhooks", ("repo", repo)
    install = f"mosaic-coordinator hook install {option_of(('repo', repo))}"
    right = [(each, plan.keep) for each, plan in plans if plan.keep is not None]
    if right:
        where = ", ".join(f"hook {hook.id} of {place_of(each)}" for each, hook in right)
        if len(right) + sum(len(plan.doubles) for _, plan in plans) > 1:
            what = f"{repo}: each event is sent more than once, which costs time but does no harm"
            return warning(check, what, seen=where, expected="one webhook", remedy="remove all but one")
        return ok(check, f"{repo}: {where} is active and sends what is needed")
    for each, plan in plans:
        for hook, why in plan.wrong:
            remedy = f"mosaic-coordinator hook install {option_of(each)}"
            return problem(check, f"{repo}: hook {hook.id}: {why}", remedy=remedy)
    seen = "; ".join(f"hook {hook.id} posts to {shown_address(hook.url)}" for hook in near)
    unread = " and ".join(place_of(each) for each in hidden)
    told = f" (the webhooks of {unread} may not be read with this token)" if unread else ""
    if is_heard and unread:
        what = f"{repo}: no webhook to be seen, but it has sent deliveries{told}"
        remedy = f"nothing to do if another level has it; else `{install}`"
        return warning(check, what, seen=seen, remedy=remedy)
    if scope in hidden:
        remedy = f"give the token write:repository and its account the repository, then {install}"
        return problem(check, f"{repo}: no webhook to be seen{told}", seen=seen, remedy=remedy)
    expected = "a webhook with our URL"
    return problem(check, f"{repo}: no webhook{told}", seen=seen, expected=expected, remedy=install)


def judge_echo(echo: Echo, *, is_public: bool) -> Finding:
    """What a ping with our secret was answered."""
    if echo.is_accepted:
        return ok("secret", f"{echo.url} accepts what is signed with it")
    if echo.is_refused:
        remedy = (
            "restart the coordinator with the present GITEA_WEBHOOK_SECRET, or ask with its settings"
        )
        return problem("secret", str(echo), expected="200 ignored", remedy=remedy)
    if echo.status is None and is_public:
        remedy = (
            "nothing to do if the forge reaches it; else mend COORDINATOR_PUBLIC_URL or the proxy there"
        )
        return warning("secret", f"from here, {echo}", remedy=remedy)
    remedy = "is that the address of a coordinator that runs?"
    if echo.status is not None and 300 <= echo.status < 400:
        remedy = (
            "give COORDINATOR_PUBLIC_URL (or --url) the address that answers without a redirect, then"
            " `mosaic-coordinator hook install`: a forge follows most redirects with an empty GET"
        )
    return problem("secret", str(echo), expected="200 ignored", remedy=remedy)


def judge_arrival(arrival: Arrival, cause: str, repo: str) -> Finding:
    """What became of a delivery the forge was asked for; `cause` says how."""
    if arrival.word == "arrived":
        return ok("delivery", f"{cause}: the delivery arrived after {arrival.after_s:.1f} s")
    if arrival.word == "unsigned":
        option = option_of(("repo", repo))
        remedy = f"mosaic-coordinator hook remove {option}, then hook install {option}"
        what = f"{cause}: a delivery arrived that was signed with another secret"
        return problem("delivery", what, expected="GITEA_WEBHOOK_SECRET", remedy=remedy)
    remedy = (
        "see the webhook's history in the forge for the reason: mostly ALLOWED_HOST_LIST, a proxy, or,"
        " for a test delivery, a repository without commits"
    )
    what = f"{cause}: nothing arrived within {arrival.after_s:.0f} s"
    return problem("delivery", what, remedy=remedy)


def judge_address(host: str, needs: Allowance | None, *, has_arrived: bool) -> Finding:
    """Whether the forge must be told to post to this host; `needs` is None when it has no address."""
    check = "address"
    if needs is None:
        remedy = "nothing to do if the forge knows the name; else mend COORDINATOR_PUBLIC_URL"
        return warning(check, f"{host} has no address on this machine", remedy=remedy)
    if has_arrived:
        return ok(check, f"{needs.told_of(host)}; the forge posts there")
    section, line = needs.ini
    entry = needs.entry or needs.entry_later
    remedy = f"in the forge's app.ini, then restart it:\n    {section}\n    {line}\n"
    remedy += f"where the list is set already, add {entry}"
    if needs.entry:
        expected = "an entry in the forge's ALLOWED_HOST_LIST (no problem if it is there)"
        return warning(check, f"{needs.told_of(host)}", expected=expected, remedy=remedy)
    if needs.entry_later:
        what = f"{needs.told_of(host)}: from Gitea 1.26.3 on, it must be allowed"
        return warning(check, what, remedy=remedy)
    return ok(check, f"{needs.told_of(host)}: forges post there unless forbidden")


# words ------------------------------------------------------------------------------------------


def shown(finding: Finding) -> str:
    """The finding as lines for a terminal; those of a remedy that are to be copied stay whole."""
    lines = _column(f"{finding.level:<8} {finding.check:<{_CHECK_CHARS}}", finding.what)
    for label in ("seen", "expected", "remedy"):
        text = str(asdict(finding)[label])
        for at, line in enumerate(text.splitlines()):
            lines += _column(f"{'':<8} {label if at == 0 else '':<{_CHECK_CHARS}}", line)
    return "\n".join(lines)


def _column(label: str, text: str) -> list[str]:
    if text.startswith(" "):
        return [f"{label} {text}".rstrip()]
    width = _WIDTH - len(label) - 1
    wrapped = textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)
    blank = " " * len(label)
    return [f"{label if at == 0 else blank} {line}".rstrip() for at, line in enumerate(wrapped)]


def summary(findings: Sequence[Finding]) -> dict[Level, int]:
    """How many there are of each level."""
    levels: tuple[Level, ...] = ("ok", "warning", "problem", "skipped")
    return {level: sum(finding.level == level for finding in findings) for level in levels}
