"""REST: the instance, its users and its repositories."""

from coordinator.demo.forge.actions import Refused
from coordinator.demo.forge.model import RANK, Repository
from coordinator.demo.forge.rest import (
    DEFAULT_ITEMS,
    MAX_ITEMS,
    NOT_FOUND,
    Answer,
    Call,
    Route,
    route,
)

__all__ = ["REPO_ROUTES"]

_REPO = "/repos/{owner}/{repo}"
_WHO_MAY_ASK = (
    "Only admins can query all permissions, repo admins can query all repo permissions, "
    "collaborators can query only their own"
)


# the instance -----------------------------------------------------------------------------------


def _version(call: Call) -> Answer:
    return Answer(200, {"version": call.dialect.version})


def _settings(_call: Call) -> Answer:
    return Answer(
        200,
        {
            "max_response_items": MAX_ITEMS,
            "default_paging_num": DEFAULT_ITEMS,
            "default_git_trees_per_page": 1_000,
            "default_max_blob_size": 10_485_760,
            "default_max_response_size": 104_857_600,
        },
    )


def _me(call: Call) -> Answer:
    return Answer(200, call.shapes.user(call.doer, seen_by=call.doer))


def _user(call: Call) -> Answer:
    account = call.data.account(call.part["name"])
    if account is None:
        raise Refused(404, NOT_FOUND)
    return Answer(200, call.shapes.user(account.login, seen_by=call.login))


# repositories -----------------------------------------------------------------------------------


def _mine(call: Call) -> Answer:
    """Every repository the user owns or was invited to, private and public."""
    by = call.doer
    own = [repo for repo in _readable(call) if _belongs(call, repo, by)]
    return call.listed(own, lambda repo: call.shapes.repository(repo, by))


def _belongs(call: Call, repo: Repository, login: str) -> bool:
    owner = call.data.add_account(repo.owner)
    name = login.lower()
    return name in repo.collaborators or name in {owner.login.lower(), *owner.owners}


def _search(call: Call) -> Answer:
    text = call.query.get("q", "").lower()
    found = [repo for repo in _readable(call) if text in repo.full_name.lower()]
    answer = call.listed(found, lambda repo: call.shapes.repository(repo, call.login))
    answer.body = {"ok": True, "data": answer.body}
    return answer


def _readable(call: Call) -> list[Repository]:
    return [repo for repo in call.data.repos.values() if call.sees(repo)]


def _get(call: Call) -> Answer:
    return Answer(200, call.shapes.repository(call.repo(), call.login))


def _by_id(call: Call) -> Answer:
    repo = call.data.repos.get(call.number("id"))
    if repo is None or not call.data.may(repo, call.login, "read"):
        raise Refused(404, NOT_FOUND)
    return Answer(200, call.shapes.repository(repo, call.login))


# who may what -----------------------------------------------------------------------------------


def _permission(call: Call) -> Answer:
    """What somebody may do here: told to admins, of oneself to everybody."""
    repo, by, name = call.repo(), call.doer, call.part["user"]
    if name.lower() != by.lower() and not call.data.may(repo, by, "admin"):
        raise Refused(403, _WHO_MAY_ASK)
    account = call.data.account(name)
    if account is None:
        raise Refused(404, NOT_FOUND)
    access = call.data.access(repo, name)
    user = call.shapes.user(account.login, seen_by=by)
    return Answer(200, {"permission": access, "role_name": access, "user": user})


def _is_collaborator(call: Call) -> Answer:
    repo = call.repo()
    _ = call.doer
    if call.data.account(call.part["user"]) is None:
        raise Refused(422, "user does not exist")
    if call.part["user"].lower() not in repo.collaborators:
        raise Refused(404, NOT_FOUND)
    return Answer(204)


def _assignable(call: Call) -> Answer:
    """Everybody who may be assigned: who may write here. Not paged."""
    repo = call.repo()
    _ = call.doer
    owner = call.data.add_account(repo.owner)
    named = {*repo.collaborators, *owner.owners}
    named |= set() if owner.is_organization else {owner.login.lower()}
    people = [a for a in call.data.accounts.values() if a.login.lower() in named]
    fit = [a for a in people if RANK[call.data.access(repo, a.login)] >= RANK["write"]]
    return Answer(200, [call.shapes.user(account.login) for account in fit])


REPO_ROUTES: tuple[Route, ...] = (
    route("GET", "/version", "", _version),
    route("GET", "/settings/api", "", _settings),
    route("GET", "/user", "user", _me),
    route("GET", "/user/repos", "user+repository", _mine),
    route("GET", "/users/{name}", "user", _user),
    route("GET", "/repos/search", "repository", _search),
    route("GET", "/repositories/{id}", "repository", _by_id),
    route("GET", _REPO, "repository", _get),
    route("GET", _REPO + "/assignees", "repository", _assignable),
    route("GET", _REPO + "/collaborators/{user}", "repository", _is_collaborator),
    route("GET", _REPO + "/collaborators/{user}/permission", "repository", _permission),
)
