"""Hooks over REST forget, hide and default as in the real forges."""

from typing import Any

import httpx
import pytest

from tests.fakes.forge import REPO, Forge, rest_client

HOOKS = f"/repos/{REPO}/hooks"
ISSUE_FAMILY = ["issues", "issue_assign", "issue_label", "issue_milestone", "issue_comment"]
both = pytest.mark.parametrize("product", ["gitea", "forgejo"])


def wanted(**more: Any) -> dict[str, Any]:
    config = {"url": "http://127.0.0.1:9/", "content_type": "json", "secret": "s3cret"}
    return {"type": "gitea", "config": config, "events": ["issues"], **more}


async def test_a_hook_is_off_unless_told_and_hears_pushes_alone_unless_named(
    http: httpx.AsyncClient,
) -> None:
    """`active` defaults to false, empty events to push; unknown names are ignored, families unfold."""
    made = await http.post(HOOKS, json=wanted())
    assert (made.status_code, made.json()["active"]) == (201, False)
    assert made.json()["events"] == ISSUE_FAMILY
    heard = {
        str(names): (await http.post(HOOKS, json=wanted(events=names, active=True))).json()["events"]
        for names in ([], ["issues_only", "dependencies"], ["issue_comment"])
    }
    assert list(heard.values()) == [["push"], ["issues"], ["issue_comment"]]


@both
async def test_the_secret_is_never_shown(http: httpx.AsyncClient, product: str) -> None:
    """Neither when made nor when read; only Forgejo shows the Authorization header."""
    made = await http.post(HOOKS, json=wanted(authorization_header="Bearer x"))
    for answer in (made, await http.get(f"{HOOKS}/{made.json()['id']}"), await http.get(HOOKS)):
        assert "s3cret" not in answer.text
        assert ("Bearer x" in answer.text) == (product == "forgejo")


async def test_an_edit_is_no_merge(forge: Forge, http: httpx.AsyncClient) -> None:
    """PATCH forgets events and filters that are left out, and does not look at a secret."""
    made = await http.post(HOOKS, json=wanted(active=True, branch_filter="main"))
    path = f"{HOOKS}/{made.json()['id']}"
    config = {"url": "http://127.0.0.1:9/new", "secret": "other", "content_type": "form"}
    edited = await http.patch(path, json={"config": config})
    assert edited.status_code == 200
    assert edited.json()["config"] == {"url": "http://127.0.0.1:9/new", "content_type": "form"}
    assert (edited.json()["events"], edited.json()["branch_filter"]) == (["push"], "")
    (hook,) = forge.data.hooks.values()
    assert (hook.secret, hook.active) == ("s3cret", True)
    assert (await http.patch(path, json={"active": False})).json()["active"] is False
    assert (await http.delete(path)).status_code == 204
    assert (await http.get(path)).status_code == 404


async def test_what_a_hook_must_have(http: httpx.AsyncClient) -> None:
    """A type that is known, a URL and a content type, else 422."""
    for bad in (
        wanted(type="morse"),
        wanted(config={"url": "http://127.0.0.1:9/"}),
        wanted(config={"content_type": "json"}),
        wanted(config={"url": "x", "content_type": "xml"}),
        {},
    ):
        assert (await http.post(HOOKS, json=bad)).status_code == 422


async def test_who_may_touch_hooks(forge: Forge, http: httpx.AsyncClient) -> None:
    """A repository's hooks are its admins', an organisation's its owners', all others the site's."""
    forge.organization("guild", owners=["maria"])
    forge.user("root", is_admin=True)
    places = (HOOKS, "/orgs/guild/hooks", "/admin/hooks")
    seen = {}
    for login in ("rita", "maria", "root"):
        async with rest_client(forge, forge.token(login)) as one:
            seen[login] = [(await one.get(path)).status_code for path in places]
    assert seen == {"rita": [403, 403, 403], "maria": [403, 200, 403], "root": [200, 200, 200]}
    assert (await http.get("/orgs/acme/hooks")).status_code == 404


async def test_hooks_of_the_instance_come_in_two_kinds(forge: Forge) -> None:
    """Only one made as a system webhook is listed and hears everything; the other is a default."""
    forge.user("root", is_admin=True)
    async with rest_client(forge, forge.token("root")) as root:
        default = (await root.post("/admin/hooks", json=wanted())).json()
        body = wanted()
        body["config"]["is_system_webhook"] = "true"
        system = (await root.post("/admin/hooks", json=body)).json()
        assert [each["id"] for each in (await root.get("/admin/hooks")).json()] == [system["id"]]
        for made in (default, system):
            assert (await root.delete(f"/admin/hooks/{made['id']}")).status_code == 204


async def test_a_hook_is_found_where_it_belongs(forge: Forge, http: httpx.AsyncClient) -> None:
    """Another repository's hook is not found here."""
    forge.repository("else/where")
    elsewhere = forge.hook("else/where", "http://127.0.0.1:9/", "s")
    assert (await http.get(f"{HOOKS}/{elsewhere.id}")).status_code == 404


@both
@pytest.mark.parametrize("empty", [False, True])
async def test_a_test_delivery_is_a_push(
    forge: Forge, http: httpx.AsyncClient, product: str, empty: bool
) -> None:
    """204 always; sent is a push, by Gitea 1.27.0 only to hooks that want pushes, never by an
    empty repository."""
    forge.repository(REPO).empty = empty
    for events in (["issues"], ["push"]):
        made = await http.post(HOOKS, json=wanted(events=events, active=True))
        answer = await http.post(f"{HOOKS}/{made.json()['id']}/tests")
        assert answer.status_code == 204
    sent = [posted.letter.event for posted in forge.deliveries]
    assert sent == ([] if empty else ["push"] if product == "gitea" else ["push", "push"])
