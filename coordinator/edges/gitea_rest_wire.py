"""What the REST interface answers about the forge, its repositories, their labels and webhooks.

Replies in, values or `UnexpectedAnswer` out; lists are in the order of the forge. Issues and comments
are read by `gitea_issues_wire.py`.
"""

import re
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from coordinator.edges.gitea_remote_wire import (
    Account,
    ForgeInfo,
    Permission,
    RemoteHook,
    RemoteLabel,
    RemoteRepository,
)
from coordinator.edges.gitea_reply_wire import Reply, UnexpectedAnswer, read_shape
from coordinator.edges.gitea_shapes_wire import Id, RepositoryShape, Shape, ShortList, UserShape
from coordinator.rules.ids import Login, fold_login

__all__ = [
    "info_of",
    "read_account",
    "read_hook",
    "read_hooks",
    "read_label",
    "read_labels",
    "read_max_page",
    "read_people",
    "read_permission",
    "read_repositories",
    "read_repository",
    "read_version",
]

# What both products send at most where nobody changed MAX_RESPONSE_ITEMS. We never ask for more: a page
# of many long issues would pass the greatest size of an answer, and its repository could not be swept.
_MAX_PAGE = 50


# the forge ----------------------------------------------------------------------------------------


class _Version(Shape):
    version: Annotated[str, Field(min_length=1, max_length=200)]


class _ApiSettings(Shape):
    max_response_items: Annotated[int, Field(ge=1)]


class _Account(UserShape):
    id: Id


_VERSION = TypeAdapter(_Version)
_SETTINGS = TypeAdapter(_ApiSettings)
_ACCOUNT = TypeAdapter(_Account)
_PAIR = re.compile(r"v?(\d{1,4})\.(\d{1,4})")
_GITEA_LEVEL = re.compile(r"\+(?:.*[+-])?gitea-(\d{1,4})\.(\d{1,4})")


def read_version(reply: Reply) -> str:
    return read_shape(_VERSION, reply, "the forge's version").version


def read_max_page(reply: Reply) -> int:
    """The greatest `limit` to ask for: the forge cuts down more silently."""
    return min(read_shape(_SETTINGS, reply, "the API's settings").max_response_items, _MAX_PAGE)


def info_of(version: str, max_page: int | None) -> ForgeInfo:
    """What a version can do; Forgejo writes `15.0.0-…+gitea-1.22.0`, Gitea `1.27.0` or `1.27.0+dev-…`.

    One that cannot be read counts as an old Gitea.
    """
    found, level = _PAIR.match(version), _GITEA_LEVEL.search(version)
    own = (int(found[1]), int(found[2])) if found else (0, 0)
    is_forgejo = level is not None
    return ForgeInfo(
        product="forgejo" if is_forgejo else "gitea",
        version=version,
        api_level=own if level is None else (int(level[1]), int(level[2])),
        has_assignees_api=not is_forgejo and own >= (1, 27),
        deletes_labels_by_name=is_forgejo and own >= (13, 0),
        has_sort=is_forgejo and own >= (11, 0),
        max_page=max_page or _MAX_PAGE,
    )


def read_account(reply: Reply) -> Account:
    account = read_shape(_ACCOUNT, reply, "the token's user")
    if not account.name:
        raise UnexpectedAnswer("the token's user", "but login: it is empty")
    return Account(account.id, fold_login(account.name))


# repositories -------------------------------------------------------------------------------------


class _Permissions(Shape):
    admin: bool = False
    push: bool = False
    pull: bool = False


class _Tracker(Shape):
    enable_issue_dependencies: bool = False


class _Owner(Shape):
    visibility: str = ""


class _Repository(RepositoryShape):
    archived: bool = False
    private: bool = True
    owner: _Owner | None = None
    has_issues: bool = True
    internal_tracker: _Tracker | None = None
    permissions: _Permissions | None = None


class _PermissionAnswer(Shape):
    permission: Literal["none", "read", "write", "admin", "owner"]


_REPOSITORY = TypeAdapter(_Repository)
_REPOSITORIES = TypeAdapter(Annotated[list[_Repository], ShortList])
_PEOPLE = TypeAdapter(Annotated[list[UserShape], ShortList])
_PERMISSION = TypeAdapter(_PermissionAnswer)


def read_repository(reply: Reply) -> RemoteRepository:
    return _repository(read_shape(_REPOSITORY, reply, "a repository"))


def read_repositories(reply: Reply) -> tuple[RemoteRepository, ...]:
    shapes = read_shape(_REPOSITORIES, reply, "a list of repositories")
    return tuple(map(_repository, shapes))


def _repository(shape: _Repository) -> RemoteRepository:
    may = shape.permissions or _Permissions()
    return RemoteRepository(
        id=shape.id,
        full_name=shape.full_name,
        archived=shape.archived,
        has_issues=shape.has_issues,
        # An external tracker has no entry here, and no dependencies.
        dependencies_enabled=bool(
            shape.internal_tracker and shape.internal_tracker.enable_issue_dependencies
        ),
        can_read=may.pull,
        can_write=may.push,
        can_admin=may.admin,
        # A repository that is not private is hidden all the same where its owner is.
        is_public=not shape.private and shape.owner is not None and shape.owner.visibility == "public",
    )


def read_people(reply: Reply) -> frozenset[Login]:
    people = read_shape(_PEOPLE, reply, "a list of users")
    return frozenset(fold_login(person.name) for person in people if person.name)


def read_permission(reply: Reply) -> Permission:
    return read_shape(_PERMISSION, reply, "a permission").permission


# labels and hooks ---------------------------------------------------------------------------------


class _Label(Shape):
    id: Id
    name: str
    color: str = ""
    exclusive: bool = False
    description: str = ""


class _HookConfig(Shape):
    url: str = ""
    content_type: str = ""


class _Hook(Shape):
    id: Id
    active: bool
    events: Annotated[list[str], ShortList] | None = None
    config: _HookConfig = _HookConfig()


_LABEL = TypeAdapter(_Label)
_LABELS = TypeAdapter(Annotated[list[_Label], ShortList] | None)
_HOOK = TypeAdapter(_Hook)
_HOOKS = TypeAdapter(Annotated[list[_Hook], ShortList])


def read_label(reply: Reply) -> RemoteLabel:
    return _label(read_shape(_LABEL, reply, "a label"))


def read_labels(reply: Reply) -> tuple[RemoteLabel, ...]:
    shapes = read_shape(_LABELS, reply, "a list of labels") or ()
    return tuple(map(_label, shapes))


def _label(shape: _Label) -> RemoteLabel:
    color = shape.color.removeprefix("#").lower()
    return RemoteLabel(shape.id, shape.name, color, shape.exclusive, shape.description)


def read_hook(reply: Reply) -> RemoteHook:
    return _hook(read_shape(_HOOK, reply, "a webhook"))


def read_hooks(reply: Reply) -> tuple[RemoteHook, ...]:
    shapes = read_shape(_HOOKS, reply, "a list of webhooks")
    return tuple(map(_hook, shapes))


def _hook(shape: _Hook) -> RemoteHook:
    config = shape.config
    return RemoteHook(
        shape.id, config.url, shape.active, tuple(shape.events or ()), config.content_type
    )
