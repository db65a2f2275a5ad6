"""The doctor's checks at the forge: who we are there, what we may, and what was set up for us."""

import json
from collections.abc import Awaitable, Callable

import httpx
import trio

from coordinator.actors.clocks import utc_now
from coordinator.cli.doctor_patient import Patient
from coordinator.cli.findings import (
    Tell,
    judge_clock,
    judge_forge,
    judge_hooks,
    judge_people,
    judge_repository,
    of_error,
    ok,
    problem,
    skipped,
    warning,
)
from coordinator.cli.hook_plan import HookPlan, is_near, plan_hooks
from coordinator.cli.ping import client_of
from coordinator.config import client_token
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import HookScope, RemoteHook
from coordinator.errors import (
    ForgeForbidden,
    ForgeNotFound,
    ForgeRefused,
    ForgeUnauthorized,
)

__all__ = [
    "check_bots",
    "check_clock",
    "check_commands",
    "check_forge",
    "check_repositories",
    "check_scopes",
    "check_token",
    "check_webhooks",
]

# More than a person reads; each costs some six requests.
_MAX_REPOSITORIES = 20
_MAX_PAGES = 20
_TIMEOUT_S = 5.0
# No comment and no webhook has this id: the answer is "not found" if the scope suffices.
_NOBODY = 0


async def check_forge(patient: Patient, tell: Tell) -> None:
    patient.obstacle = "the forge does not answer"
    try:
        patient.info = await _forge(patient).info()
    except ForgeUnauthorized as refused:  # forges refuse a wrong token to any question
        patient.obstacle = "the token is not accepted"
        tell(of_error("token", refused))
        return
    patient.obstacle = ""
    tell(judge_forge(patient.settings.gitea_url, patient.info))


async def check_clock(patient: Patient, tell: Tell) -> None:
    before = utc_now()
    theirs = await _forge(patient).server_time()
    # Theirs is cut to whole seconds, and was read somewhere between our two looks.
    ours = before + (utc_now() - before) / 2
    ahead_s = None if theirs is None else (ours - theirs).total_seconds() - 0.5
    tell(judge_clock(ahead_s))


async def check_token(patient: Patient, tell: Tell) -> None:
    try:
        patient.account = account = await _forge(patient).whoami()
    except ForgeForbidden as refused:
        if refused.missing_scope != "read:user":
            raise
        what = "accepted, but it lacks the scope read:user: whose it is shows with its first comment"
        tell(warning("token", what, remedy="make a token with it, to spare the forge some reads"))
        return
    tell(ok("token", f"accepted, of the account {account.login}"))
    if account.login in patient.settings.fleet.logins:
        remedy = "give the coordinator an account of its own: its own assignments are no signal to it"
        tell(warning("token", f"{account.login} is also assigned to by people", remedy=remedy))


# repositories -----------------------------------------------------------------------------------


async def check_repositories(patient: Patient, tell: Tell) -> None:
    """Which are watched, and whether each can be read and written."""
    patient.heard = await _heard(patient)
    watched = patient.settings.repositories
    if patient.wishes.repos:
        names = patient.wishes.repos
    elif watched == "all":
        await _take_all(patient, tell)
        names = ()
    else:
        names = tuple(sorted(patient.heard)) if watched == "heard" else watched
        if not names:
            what = "none is watched yet: no webhook was heard, and GITEA_REPOSITORIES is not set"
            remedy = "set GITEA_REPOSITORIES, or name one here: doctor --repo OWNER/REPO"
            tell(warning("repositories", what, remedy=remedy))
    for name in names[:_MAX_REPOSITORIES]:
        try:
            patient.repositories.append(await _forge(patient).repository(name))
        except ForgeRefused as refused:
            tell(of_error("repositories", refused))
    for repo in patient.repositories:
        tell(judge_repository(repo))
    if len(names) > _MAX_REPOSITORIES:
        tell(skipped("repositories", f"{len(names) - _MAX_REPOSITORIES} more; name them with --repo"))


async def _take_all(patient: Patient, tell: Tell) -> None:
    """The first of those where the account may write and issues are on."""
    for page in range(1, _MAX_PAGES + 1):
        found = await _forge(patient).repositories(page)
        fit = [repo for repo in found if repo.can_write and repo.has_issues and not repo.archived]
        patient.repositories += fit
        if not found or len(patient.repositories) > _MAX_REPOSITORIES:
            break
    if not patient.repositories:
        remedy = "give it write access to the repositories to be watched"
        tell(problem("repositories", "the token's account may write to none", remedy=remedy))
    if len(patient.repositories) > _MAX_REPOSITORIES:
        del patient.repositories[_MAX_REPOSITORIES:]
        tell(skipped("repositories", f"those beyond {_MAX_REPOSITORIES}; name them with --repo"))


async def _heard(patient: Patient) -> frozenset[str]:
    """The repositories of the issues the running coordinator knows, as far as it tells us."""
    if patient.local_url is None:
        return frozenset()
    token = client_token(patient.environ)
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    try:
        with trio.fail_after(_TIMEOUT_S):
            async with client_of(patient.local_url) as http:
                answer = await http.get(f"{patient.local_url}/api/v1/issues", headers=headers)
        issues = json.loads(answer.content)["issues"]
        # What they are called now: the issues keep the names their repositories were first known by.
        return frozenset(str(issue["repo_name"]).lower() for issue in issues)
    except (httpx.HTTPError, httpx.InvalidURL, trio.TooSlowError, ValueError, KeyError, TypeError):
        return frozenset()  # the check of the coordinator says what is wrong with it


# what the token may -----------------------------------------------------------------------------


async def check_scopes(patient: Patient, tell: Tell) -> None:
    """Tries each scope with a request that changes nothing, whatever the answer."""
    if not patient.repositories:
        tell(skipped("scopes", "no repository to try them on"))
        return
    forge, repo = _forge(patient), patient.repositories[0].full_name
    tries: tuple[tuple[str, Callable[[], Awaitable[object]]], ...] = (
        ("read:issue", lambda: forge.count_issues(repo)),
        ("write:issue", lambda: forge.delete_comment(repo, _NOBODY)),
        ("write:repository", lambda: forge.delete_hook(("repo", repo), _NOBODY)),
    )
    # The account and the repository were read before.
    held = ["read:repository"] + ([] if patient.account is None else ["read:user"])
    for scope, attempt in tries:
        try:
            await attempt()
        except ForgeForbidden as refused:
            if refused.missing_scope and scope == "write:repository":
                remedy = "make a token with it, or install the webhook by hand"
                what = "the token lacks write:repository, which `hook install` needs"
                tell(warning("scopes", what, remedy=remedy))
                continue
            if refused.missing_scope:
                tell(of_error("scopes", refused))
                continue
        except ForgeRefused:  # not found: it was let through
            pass
        held.append(scope)
    tell(ok("scopes", f"the token has {', '.join(sorted(held))}"))


async def check_bots(patient: Patient, tell: Tell) -> None:
    for repo in patient.repositories:
        try:
            people = await _forge(patient).assignable(repo.full_name)
        except ForgeRefused as refused:
            tell(of_error("bots", refused))
        else:
            tell(judge_people(repo.full_name, patient.logins, people))


async def check_commands(patient: Patient, tell: Tell) -> None:
    """Whether the forge tells what somebody may do, so that commands in comments can be judged."""
    own = patient.account.login if patient.account else ""
    others = [login for login in patient.logins if login != own]
    if not patient.repositories or not others:
        tell(skipped("commands", "no repository, or no account but our own, to ask about"))
        return
    repo = patient.repositories[0].full_name
    try:
        await _forge(patient).permission(repo, others[0])
        tell(ok("commands", f"{repo} tells what people may do there"))
    except ForgeForbidden:
        people = await _forge(patient).assignable(repo)
        told = f"{repo} tells its administrators alone what people may do; its list of {len(people)}"
        tell(ok("commands", f"{told} assignable people is used instead"))


# webhooks ---------------------------------------------------------------------------------------


async def check_webhooks(patient: Patient, tell: Tell) -> None:
    """Each repository's webhook: its own, its organisation's or the whole forge's."""
    if patient.receiver is None:
        tell(skipped("webhooks", "our own address is not known", remedy="set COORDINATOR_PUBLIC_URL"))
        return
    if not patient.repositories:
        tell(skipped("webhooks", "no repository is watched"))
    shelf = _Shelf(_forge(patient))
    for repo in patient.repositories:
        plans: list[tuple[HookScope, HookPlan]] = []
        near: list[RemoteHook] = []
        hidden: list[HookScope] = []
        for scope in _levels(repo.full_name):
            hooks = await shelf.hooks(scope)
            if hooks is None:
                hidden.append(scope)
                continue
            plans.append((scope, plan_hooks(hooks, patient.receiver)))
            near += [hook for hook in hooks if is_near(hook, patient.receiver)]
        right = [(scope, plan.keep) for scope, plan in plans if plan.keep is not None]
        if right:
            scope, hook = right[0]
            patient.hooks[repo.full_name] = hook if scope[0] == "repo" else None
        is_heard = repo.full_name.lower() in patient.heard
        if not right and hidden and is_heard:  # one of a level that we may not see serves it
            patient.hooks[repo.full_name] = None
        tell(judge_hooks(repo.full_name, plans, near, hidden, is_heard=is_heard))


def _levels(repo: str) -> tuple[HookScope, ...]:
    return (("repo", repo), ("org", repo.split("/")[0]), ("all", ""))


class _Shelf:
    """The webhooks of each place, asked for once; None where they may not be read."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self._known: dict[HookScope, tuple[RemoteHook, ...] | None] = {}

    async def hooks(self, scope: HookScope) -> tuple[RemoteHook, ...] | None:
        if scope not in self._known:
            self._known[scope] = await self._ask(scope)
        return self._known[scope]

    async def _ask(self, scope: HookScope) -> tuple[RemoteHook, ...] | None:
        try:
            return await self._forge.hooks(scope)
        except ForgeNotFound:  # the owner is a person, who has no such webhooks
            return () if scope[0] == "org" else None
        except ForgeForbidden:
            return None


def _forge(patient: Patient) -> Forge:
    assert patient.forge is not None  # else there is an obstacle, and no check asks
    return patient.forge
