"""What the forge says of itself, its repositories, labels and hooks."""

import json
from typing import Any

import pytest

from coordinator.edges import gitea_rest_wire as rest
from coordinator.edges.gitea_remote_wire import (
    Account,
    RemoteHook,
    RemoteLabel,
    RemoteRepository,
)
from coordinator.edges.gitea_reply_wire import Reply, UnexpectedAnswer
from coordinator.rules.ids import Login


def reply(body: object) -> Reply:
    return Reply(200, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("version", "product", "level", "assignees", "by_name", "sort"),
    [
        ("1.27.0", "gitea", (1, 27), True, False, False),
        ("1.27.0+dev-12-g0123abc", "gitea", (1, 27), True, False, False),
        ("1.28.0-rc1", "gitea", (1, 28), True, False, False),
        ("2.0.0", "gitea", (2, 0), True, False, False),
        ("1.26.4", "gitea", (1, 26), False, False, False),
        ("v1.20.0", "gitea", (1, 20), False, False, False),
        ("15.0.0-209-gabc+gitea-1.22.0", "forgejo", (1, 22), False, True, True),
        ("13.0.0+gitea-1.22.0", "forgejo", (1, 22), False, True, True),
        ("12.0.1+gitea-1.22.0", "forgejo", (1, 22), False, False, True),
        ("11.0.3+gitea-1.22.0", "forgejo", (1, 22), False, False, True),
        ("10.0.0+gitea-1.22.0", "forgejo", (1, 22), False, False, False),
        ("30.0.0+gitea-1.40.0", "forgejo", (1, 40), False, True, True),
        ("15.0.0-dev-1+debian-2-gitea-1.22.0", "forgejo", (1, 22), False, True, True),
        ("nightly", "gitea", (0, 0), False, False, False),
        ("26.4.4", "gitea", (26, 4), True, False, False),
    ],
)
def test_features_follow_from_the_version(
    version: str, product: str, level: tuple[int, int], assignees: bool, by_name: bool, sort: bool
) -> None:
    """The suffix tells Forgejo; what cannot be read has no newer feature."""
    info = rest.info_of(version, 30)
    assert (info.product, info.api_level, info.version) == (product, level, version)
    assert (info.has_assignees_api, info.deletes_labels_by_name, info.has_sort) == (
        assignees,
        by_name,
        sort,
    )
    assert info.max_page == 30


def test_the_page_size_is_what_the_forge_allows() -> None:
    """Unknown, it is the products' default; more than a sane number is not asked for."""
    assert rest.info_of("1.27.0", None).max_page == 50
    assert rest.read_max_page(reply({"max_response_items": 20})) == 20
    assert rest.read_max_page(reply({"max_response_items": 10**9})) == 50
    with pytest.raises(UnexpectedAnswer, match="max_response_items"):
        rest.read_max_page(reply({"max_response_items": 0}))


@pytest.mark.parametrize(
    "body", [{}, {"version": ""}, {"version": 1}, {"version": "9" * 999}, [], None]
)
def test_a_version_is_a_short_text(body: object) -> None:
    """Anything else is not what a forge answers."""
    with pytest.raises(UnexpectedAnswer, match="the forge's version"):
        rest.read_version(reply(body))
    assert rest.read_version(reply({"version": "1.27.0"})) == "1.27.0"


def test_an_account_has_a_name() -> None:
    """Folded as everywhere; a nameless one is no account."""
    assert rest.read_account(reply({"id": 3, "login": "Bot"})) == Account(3, Login("bot"))
    with pytest.raises(UnexpectedAnswer, match="login"):
        rest.read_account(reply({"id": 3}))


def test_a_repository_is_read_with_our_rights() -> None:
    """What is not said is not allowed; an external tracker has no dependencies."""
    whole = {
        "id": 7,
        "full_name": "Acme/Rocket",
        "archived": True,
        "has_issues": False,
        "internal_tracker": {"enable_issue_dependencies": True},
        "permissions": {"admin": False, "push": True, "pull": True},
        "private": False,
        "owner": {"login": "Acme", "visibility": "public"},
        "extra": [],
    }
    expected = RemoteRepository(
        id=7,
        full_name="Acme/Rocket",
        archived=True,
        has_issues=False,
        dependencies_enabled=True,
        can_read=True,
        can_write=True,
        can_admin=False,
        is_public=True,
    )
    assert rest.read_repository(reply(whole)) == expected
    assert rest.read_repositories(reply([whole])) == (expected,)
    bare = rest.read_repository(reply({"id": 7, "full_name": "acme/rocket"}))
    assert (bare.can_read, bare.can_write, bare.can_admin) == (False, False, False)
    assert not bare.dependencies_enabled
    assert not bare.archived


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"private": False},
        {"private": False, "owner": None},
        {"private": False, "owner": {}},
        {"private": False, "owner": {"visibility": "limited"}},
        {"private": False, "owner": {"visibility": "private"}},
        {"private": True, "owner": {"visibility": "public"}},
        {"owner": {"visibility": "public"}},
    ],
)
def test_a_repository_is_public_only_if_all_says_so(told: dict[str, Any]) -> None:
    """Its own flag and its owner's visibility must both be told and open; a doubt counts as private."""
    assert not rest.read_repository(reply({"id": 7, "full_name": "acme/rocket"} | told)).is_public


@pytest.mark.parametrize("word", ["none", "read", "write", "admin", "owner"])
def test_permissions_are_a_closed_list(word: str) -> None:
    """A right nobody knows is not guessed at."""
    assert rest.read_permission(reply({"permission": word, "role_name": "x"})) == word
    with pytest.raises(UnexpectedAnswer, match="permission"):
        rest.read_permission(reply({"permission": word.upper()}))


def test_people_are_a_set_of_logins() -> None:
    """Folded, without ghosts."""
    people = rest.read_people(reply([{"login": "Ann"}, {"login": ""}, {"login": "bob"}]))
    assert people == {"ann", "bob"}


@pytest.mark.parametrize("color", ["0E8A16", "#0e8a16"])
def test_a_label_has_one_spelling_of_its_color(color: str) -> None:
    """Six small digits, however the forge shows them."""
    label = RemoteLabel(5, "a/b", "0e8a16", True, "why")
    body = {"id": 5, "name": "a/b", "color": color, "exclusive": True, "description": "why"}
    assert rest.read_label(reply(body)) == label
    assert rest.read_labels(reply([body])) == (label,)


def test_no_labels_may_be_null() -> None:
    """Null is a forge's empty list."""
    assert rest.read_labels(reply(None)) == ()


def test_a_hook_is_read_without_its_secret() -> None:
    """Address, events, whether it is on; what is missing is empty."""
    body = {
        "id": 5,
        "active": True,
        "events": ["issues"],
        "config": {"url": "http://x", "content_type": "json", "secret": "s"},
    }
    assert rest.read_hook(reply(body)) == RemoteHook(5, "http://x", True, ("issues",), "json")
    bare = rest.read_hooks(reply([{"id": 5, "active": False, "events": None, "config": {}}]))
    assert bare == (RemoteHook(5, "", False, (), ""),)
