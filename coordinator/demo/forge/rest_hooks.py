"""REST: webhooks of repositories, organisations and the whole instance."""

from typing import Any

from coordinator.demo.forge.actions import Refused
from coordinator.demo.forge.model import Hook, Level
from coordinator.demo.forge.rest import NOT_FOUND, Answer, Call, Route, Scope, route

__all__ = ["HOOK_ROUTES", "event_types"]

_REPO = "/repos/{owner}/{repo}/hooks"
_ORG = "/orgs/{org}/hooks"
_ALL = "/admin/hooks"

_ISSUES = ("issues", "issue_assign", "issue_label", "issue_milestone", "issue_comment")
_PULLS = (
    "pull_request",
    *(f"pull_request_{part}" for part in ("assign", "label", "milestone", "comment")),
)
# An event's name stands for a family; a name nobody knows stands for nothing.
_FAMILIES: dict[str, tuple[str, ...]] = {
    "issues": _ISSUES,
    "issues_only": ("issues",),
    "pull_request": _PULLS,
    "pull_request_only": ("pull_request",),
    **{name: (name,) for name in (*_ISSUES[1:], *_PULLS[1:], "push")},
    **{name: (name,) for name in ("create", "delete", "fork", "wiki", "repository", "release")},
}


def event_types(events: list[str] | None) -> tuple[str, ...]:
    """The fine events a hook with these names hears; without any, pushes alone."""
    names = events or ["push"]
    return tuple(dict.fromkeys(kind for name in names for kind in _FAMILIES.get(str(name), ())))


# where ------------------------------------------------------------------------------------------


def _place(call: Call) -> tuple[Level, int]:
    """Whose hooks the path means, once it is known that the caller may touch them."""
    if "repo" in call.part:
        return "repository", call.repo("admin").id
    if "org" in call.part:
        return "organization", _organization(call)
    account = call.data.account(call.doer)
    if account is None or not account.is_admin:
        raise Refused(403, "user should be the site admin")
    return "system", 0


def _organization(call: Call) -> int:
    account = call.data.account(call.part["org"])
    if account is None or not account.is_organization:
        raise Refused(404, NOT_FOUND)
    doer = call.data.account(call.doer)
    if call.doer.lower() not in account.owners and not (doer and doer.is_admin):
        raise Refused(403, "Must be an organization owner")
    return account.id


def _find(call: Call) -> Hook:
    level, owner = _place(call)
    hook = call.data.hooks.get(call.number("id"))
    # Hooks of the whole instance come in two kinds that share their paths.
    levels = ("system", "default") if level == "system" else (level,)
    if hook is None or hook.owner_id != owner or hook.level not in levels:
        raise Refused(404, NOT_FOUND)
    return hook


# what -------------------------------------------------------------------------------------------


def _list(call: Call) -> Answer:
    level, owner = _place(call)
    here = [h for h in call.data.hooks.values() if (h.level, h.owner_id) == (level, owner)]
    return call.listed(here, call.shapes.hook)


def _get(call: Call) -> Answer:
    return Answer(200, call.shapes.hook(_find(call)))


def _create(call: Call) -> Answer:
    """Switched off unless told otherwise."""
    level, owner = _place(call)
    form = call.body("type")
    config = _config(form)
    now = call.data.now()
    if level == "system" and str(config.get("is_system_webhook", "")).lower() != "true":
        level = "default"
    hook = Hook(
        id=call.data.next_id("hook"),
        level=level,
        owner_id=owner,
        url=str(config["url"]),
        secret=str(config.get("secret", "")),
        event_types=event_types(form.get("events")),
        active=bool(form.get("active", False)),
        created_at=now,
        updated_at=now,
        kind=str(form["type"]),
        content_type=str(config["content_type"]),
        branch_filter=str(form.get("branch_filter") or ""),
        authorization_header=str(form.get("authorization_header") or ""),
    )
    call.data.hooks[hook.id] = hook
    return Answer(201, call.shapes.hook(hook))


def _config(form: dict[str, Any]) -> dict[str, Any]:
    if form["type"] not in ("gitea", "forgejo", "gogs", "slack", "discord"):
        raise Refused(422, f"Invalid hook type: {form['type']}")
    config = form.get("config") or {}
    for name in ("url", "content_type"):
        if name not in config:
            raise Refused(422, f"Missing config option: {name}")
    if config["content_type"] not in ("json", "form"):
        raise Refused(422, "Invalid content type")
    return dict(config)


def _edit(call: Call) -> Answer:
    """No merge: events and filters that are left out are forgotten, and a secret is not looked at."""
    hook, form = _find(call), call.body()
    config = form.get("config") or {}
    hook.url = str(config.get("url", hook.url))
    hook.content_type = str(config.get("content_type", hook.content_type))
    hook.event_types = event_types(form.get("events"))
    hook.branch_filter = str(form.get("branch_filter") or "")
    hook.authorization_header = str(form.get("authorization_header") or "")
    if form.get("active") is not None:
        hook.active = bool(form["active"])
    hook.updated_at = call.data.now()
    return Answer(200, call.shapes.hook(hook))


def _delete(call: Call) -> Answer:
    del call.data.hooks[_find(call).id]
    return Answer(204)


def _test(call: Call) -> Answer:
    """A push, never an issue; nothing from an empty repository, nor, in some versions, to a hook
    that does not want pushes."""
    hook, repo = _find(call), call.repo("admin")
    wanted = "push" in hook.event_types or not call.dialect.tests_only_push
    if not repo.empty and wanted:
        call.forge.postman.push(hook, repo, call.doer)
    return Answer(204)


def _routes() -> tuple[Route, ...]:
    places: dict[str, Scope] = {_REPO: "repository", _ORG: "organization", _ALL: "admin"}
    return tuple(
        made
        for path, scope in places.items()
        for made in (
            route("GET", path, scope, _list),
            route("POST", path, scope, _create),
            route("GET", path + "/{id}", scope, _get),
            route("PATCH", path + "/{id}", scope, _edit),
            route("DELETE", path + "/{id}", scope, _delete),
        )
    )


HOOK_ROUTES: tuple[Route, ...] = (*_routes(), route("POST", _REPO + "/{id}/tests", "repository", _test))
