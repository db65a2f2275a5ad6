"""The forge's REST interface has every trap of the real ones."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from tests.fakes.forge import (
    BOT,
    GITEA,
    REPO,
    Forge,
    VirtualClock,
    furnish,
    open_forge,
    rest_client,
)

ISSUES = f"/repos/{REPO}/issues"
both = pytest.mark.parametrize("product", ["gitea", "forgejo"])


async def remove(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> httpx.Response:
    return await http.request("DELETE", path, json=body)


# who asks ---------------------------------------------------------------------------------------


@both
async def test_tokens_are_known_and_scoped(forge: Forge, http: httpx.AsyncClient, product: str) -> None:
    """No token or a wrong one is 401; a missing scope is 403 and named."""
    bare = httpx.AsyncClient(base_url=http.base_url, trust_env=False)
    async with bare:
        assert (await bare.get("/user")).status_code == 401
        wrong = await bare.get("/user", headers={"Authorization": "token 00"})
        assert (wrong.status_code, wrong.json()["message"]) == (
            401,
            "invalid username, password or token",
        )
        reader = {"Authorization": f"Bearer {forge.token(BOT, 'read:issue')}"}
        assert (await bare.get(ISSUES, headers=reader)).status_code == 200
        refused = await bare.post(ISSUES, headers=reader, json={"title": "t"})
        assert refused.status_code == 403
        shown = "required=[write:issue]" if product == "gitea" else "scope(s): [write:issue]"
        assert shown in refused.json()["message"]
        assert (await bare.get(f"/repos/{REPO}", headers=reader)).status_code == 403
        some = {"Authorization": f"token {forge.token(BOT, 'read:repository')}"}
        assert (await bare.get("/user/repos", headers=some)).status_code == 403


@both
async def test_a_token_may_be_limited_to_what_is_public(forge: Forge, http: httpx.AsyncClient) -> None:
    """`public-only` hides private repositories from lists, and refuses them by 403, not 404."""
    forge.repository("acme/open", private=False, collaborators={BOT: "write"})
    async with rest_client(forge, forge.token(BOT, "all", "public-only")) as limited:
        told = [await limited.get(f"/repos/{REPO}"), await limited.get(f"{ISSUES}")]
        told.append(await limited.get(f"/repos/{REPO}/hooks"))
        assert [answer.status_code for answer in told] == [403] * 3
        words = [answer.json()["message"].rpartition(" ")[2] for answer in told]
        assert words == ["repos", "issues", "repos"]
        assert told[0].json()["message"].startswith("token scope is limited to public")
        assert (await limited.get("/repos/acme/open")).status_code == 200
        listed = (await limited.get("/user/repos")).json()
        assert [repo["full_name"] for repo in listed] == ["acme/open"]
        assert (await limited.get("/repos/nobody/nothing")).status_code == 404
    assert (await http.get(f"/repos/{REPO}")).status_code == 200


async def test_the_version_is_public_and_the_limits_are_told(http: httpx.AsyncClient) -> None:
    """Anybody may ask what the forge is; /settings/api tells its page sizes."""
    del http.headers["Authorization"]
    assert (await http.get("/version")).json() == {"version": GITEA.version}
    limits = (await http.get("/settings/api")).json()
    assert (limits["max_response_items"], limits["default_paging_num"]) == (50, 30)


@both
async def test_missing_and_forbidden_look_alike(
    forge: Forge, http: httpx.AsyncClient, product: str
) -> None:
    """A stranger to a private repository reads the same 404 as of one that never was."""
    forge.open(REPO, "t")
    async with rest_client(forge, forge.token("stranger")) as stranger:
        hidden = await stranger.get(f"{ISSUES}/1")
        missing = await http.get(f"{ISSUES}/99")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.json() == missing.json()
    assert ("errors" in hidden.json()) == (product == "forgejo")


async def test_permissions_are_told_to_admins_only(forge: Forge, http: httpx.AsyncClient) -> None:
    """A repository's admin may ask what others may do; others may ask about themselves."""
    asked = {
        login: (await http.get(f"/repos/{REPO}/collaborators/{login}/permission")).json()["permission"]
        for login in ("acme", BOT, "maria", "rita", "stranger")
    }
    assert asked == {
        "acme": "owner",
        BOT: "admin",
        "maria": "write",
        "rita": "read",
        "stranger": "none",
    }
    async with rest_client(forge, forge.token("rita")) as rita:
        assert (await rita.get(f"/repos/{REPO}/collaborators/rita/permission")).is_success
        refused = await rita.get(f"/repos/{REPO}/collaborators/maria/permission")
        assert refused.status_code == 403
        people = (await rita.get(f"/repos/{REPO}/assignees")).json()
    assert [person["login"] for person in people] == ["acme", BOT, "maria", "coder-bot"]
    assert (await http.get(f"/repos/{REPO}/collaborators/nobody/permission")).status_code == 404


# issues -----------------------------------------------------------------------------------------


@both
async def test_a_patch_answers_201_and_keeps_what_was_done_before_a_refusal(
    forge: Forge, http: httpx.AsyncClient
) -> None:
    """PATCH is 201; closing over an open blocker is 412, but the title is changed by then."""
    blocked, blocker = forge.open(REPO, "old"), forge.open(REPO, "blocker")
    forge.block(blocked, blocker)
    answer = await http.patch(f"{ISSUES}/1", json={"title": "new", "state": "closed"})
    assert answer.status_code == 412
    assert (blocked.title, blocked.is_open) == ("new", True)
    forge.close(blocker)
    answer = await http.patch(f"{ISSUES}/1", json={"state": "closed"})
    assert (answer.status_code, answer.json()["state"]) == (201, "closed")
    answer = await http.patch(f"{ISSUES}/1", json={"state": "open"})
    assert (answer.status_code, answer.json()["closed_at"]) == (201, None)
    assert (await http.patch(f"{ISSUES}/1", json={"state": "odd"})).status_code == 412


@both
async def test_assignees_are_null_when_there_are_none(http: httpx.AsyncClient) -> None:
    """An issue without assignees says null; PATCH replaces the whole set, [] clears it."""
    made = await http.post(ISSUES, json={"title": "t", "assignees": ["maria"]})
    assert made.status_code == 201
    for wanted in (["coder-bot", "maria"], ["coder-bot"]):
        seen = (await http.patch(f"{ISSUES}/1", json={"assignees": wanted})).json()["assignees"]
        assert sorted(person["login"] for person in seen) == wanted
    seen = (await http.patch(f"{ISSUES}/1", json={"assignees": []})).json()
    assert (seen["assignees"], seen["assignee"]) == (None, None)
    nobody = await http.patch(f"{ISSUES}/1", json={"assignees": ["nobody"]})
    assert nobody.status_code == 422
    unfit = await http.patch(f"{ISSUES}/1", json={"assignees": ["rita"]})
    assert (unfit.status_code, unfit.json()["message"]) == (500, "")
    assert (await http.patch(f"{ISSUES}/1", json={"assignee": "maria"})).json()["assignee"]["login"]


async def test_who_may_not_write_assigns_nobody(forge: Forge, http: httpx.AsyncClient) -> None:
    """The poster of an issue without write permission has assignees ignored, not refused."""
    del http
    async with rest_client(forge, forge.token("rita")) as rita:
        made = await rita.post(ISSUES, json={"title": "t", "assignees": ["maria"]})
        seen = await rita.patch(f"{ISSUES}/1", json={"assignees": ["maria"], "body": "b"})
        assert (made.json()["assignees"], seen.json()["assignees"]) == (None, None)
        assert seen.json()["body"] == "b"
        forge.open(REPO, "not hers")
        assert (await rita.patch(f"{ISSUES}/2", json={"body": "b"})).status_code == 403
        assert (await rita.delete(f"{ISSUES}/1")).status_code == 403


@both
async def test_only_gitea_has_an_assignees_api(http: httpx.AsyncClient, product: str) -> None:
    """Gitea 1.27 adds and removes single assignees; Forgejo knows no such path."""
    await http.post(ISSUES, json={"title": "t"})
    body = {"assignees": ["maria"]}
    added = await http.post(f"{ISSUES}/1/assignees", json=body)
    there = await http.get(f"{ISSUES}/1/assignees/maria")
    removed = await remove(http, f"{ISSUES}/1/assignees", body)
    statuses = (added.status_code, there.status_code, removed.status_code)
    assert statuses == ((201, 204, 200) if product == "gitea" else (404, 404, 404))
    if product == "gitea":
        assert (await http.get(f"{ISSUES}/1/assignees/maria")).status_code == 404
        for unknown in ({"assignees": ["nobody"]},):
            assert (await http.post(f"{ISSUES}/1/assignees", json=unknown)).status_code == 422
            assert (await remove(http, f"{ISSUES}/1/assignees", unknown)).status_code == 422


async def test_an_unknown_label_filters_nothing(forge: Forge, http: httpx.AsyncClient) -> None:
    """A list asked for by a label that does not exist holds everything; known ones are ANDed."""
    forge.open(REPO, "one", labels=["a"])
    forge.open(REPO, "both", labels=["a", "b"])

    async def titles(labels: str) -> list[str]:
        found = await http.get(ISSUES, params={"labels": labels})
        return [issue["title"] for issue in found.json()]

    assert await titles("a,b") == ["both"]
    assert await titles("nothing") == ["both", "one"]
    assert await titles("a,nothing") == ["both", "one"]


async def test_the_search_over_all_repositories_takes_any_of_the_labels(
    forge: Forge, http: httpx.AsyncClient
) -> None:
    """One label is enough there, where a repository's own list wants all of them."""
    for labels in (["a"], ["b"], ["a", "b"], []):
        forge.open(REPO, "t", labels=labels)
    wanted = {"labels": "a,b"}
    listed = (await http.get(ISSUES, params=wanted)).json()
    found = (await http.get("/repos/issues/search", params=wanted)).json()
    assert [issue["number"] for issue in listed] == [3]
    assert sorted(issue["number"] for issue in found) == [1, 2, 3]


async def test_since_is_inclusive_and_in_whole_seconds(
    forge: Forge, http: httpx.AsyncClient, clock: VirtualClock
) -> None:
    """An issue updated in the very second asked for is listed; a + that is not encoded is 422."""
    clock.now = datetime(2026, 7, 14, 12, 0, 0, 900_000, tzinfo=UTC)
    forge.open(REPO, "first")
    clock.advance(10)
    forge.open(REPO, "second")

    async def listed(**params: str) -> list[str]:
        found = await http.get(ISSUES, params=params)
        return [issue["title"] for issue in found.json()]

    assert await listed(since="2026-07-14T12:00:10Z") == ["second"]
    assert await listed(since="2026-07-14T14:00:00+02:00") == ["second", "first"]
    assert await listed(before="2026-07-14T12:00:00Z") == ["first"]
    bad = await http.get(f"{ISSUES}?since=2026-07-14T14:00:00+02:00")
    assert bad.status_code == 422
    assert (await http.get(f"{ISSUES}?since=2026-07-14T14:00:00")).status_code == 422


async def test_the_newest_created_come_first_and_pages_are_clamped(
    forge: Forge, http: httpx.AsyncClient, clock: VirtualClock
) -> None:
    """A page holds 30, at most 50 whatever is asked; the headers count all; past the end is []."""
    for number in range(60):
        forge.open(REPO, str(number + 1))
    clock.advance(60)
    forge.comment(next(iter(forge.data.issues.values())), "news of the oldest")
    assert len((await http.get(ISSUES)).json()) == 30
    page = await http.get(ISSUES, params={"limit": "100", "page": "1"})
    assert [issue["number"] for issue in page.json()] == list(range(60, 10, -1))
    assert page.headers["X-Total-Count"] == "60"
    assert 'rel="next"' in page.headers["Link"]
    last = await http.get(ISSUES, params={"limit": "100", "page": "2"})
    assert (len(last.json()), 'rel="prev"' in last.headers["Link"]) == (10, True)
    assert (await http.get(ISSUES, params={"page": "9"})).json() == []
    assert len((await http.get(ISSUES, params={"page": "0", "limit": "0"})).json()) == 30


@both
async def test_only_forgejo_sorts(http: httpx.AsyncClient, product: str) -> None:
    """`sort=oldest` turns Forgejo's list round and is not looked at by Gitea."""
    for title in ("1", "2"):
        await http.post(ISSUES, json={"title": title})
    found = {
        sort: [i["number"] for i in (await http.get(ISSUES, params={"sort": sort})).json()]
        for sort in ("oldest", "recentupdate", "leastupdate", "latest")
    }
    turned = product == "forgejo"
    assert found["oldest"] == found["leastupdate"] == ([1, 2] if turned else [2, 1])
    assert found["recentupdate"] == found["latest"] == [2, 1]


async def test_pull_requests_share_numbers_and_lists(forge: Forge, http: httpx.AsyncClient) -> None:
    """Pull requests are in the list unless issues alone are asked for."""
    forge.open(REPO, "issue")
    forge.open(REPO, "pull", is_pull=True)
    shown = {
        kind: [i["number"] for i in (await http.get(ISSUES, params={"type": kind})).json()]
        for kind in ("", "issues", "pulls")
    }
    assert shown == {"": [2, 1], "issues": [1], "pulls": [2]}
    assert (await http.get(f"{ISSUES}/2")).json()["pull_request"]["merged"] is False


async def test_lists_know_states_people_and_texts(forge: Forge, http: httpx.AsyncClient) -> None:
    """Open ones unless told otherwise; by poster, by assignee, by words, and over all repositories."""
    forge.close(forge.open(REPO, "done", by="rita"))
    forge.open(REPO, "mine", assignees=["maria"])
    forge.repository("else/where", private=False)
    forge.open("else/where", "elsewhere")

    async def listed(path: str = ISSUES, **params: str) -> list[str]:
        return [issue["title"] for issue in (await http.get(path, params=params)).json()]

    assert await listed() == ["mine"]
    assert await listed(state="closed") == ["done"]
    assert await listed(state="all", created_by="rita") == ["done"]
    assert await listed(state="all", assigned_by="maria") == ["mine"]
    assert await listed(state="all", q="DON") == ["done"]
    assert await listed("/repos/issues/search", state="all") == ["elsewhere", "mine", "done"]
    assert await listed("/repos/issues/search", owner="else") == ["elsewhere"]


async def test_times_have_the_forge_s_own_offset() -> None:
    """A server in another zone writes its offset, never Z; the Date header is its clock."""
    zone = timezone(timedelta(hours=2))
    async with open_forge(clock=VirtualClock(), zone=zone) as forge, rest_client(forge) as http:
        forge.repository(REPO, private=False)
        forge.open(REPO, "t")
        answer = await http.get(f"{ISSUES}/1")
    assert answer.json()["created_at"] == "2026-07-14T12:00:00+02:00"
    assert answer.headers["Date"] == "Tue, 14 Jul 2026 10:00:00 GMT"


async def test_a_body_that_moved_on_is_a_conflict(forge: Forge, http: httpx.AsyncClient) -> None:
    """content_version counts edits of the body alone; another one than now is 409."""
    issue = forge.open(REPO, "t", "one")
    forge.retitle(issue, "new")
    ok = await http.patch(f"{ISSUES}/1", json={"body": "two", "content_version": 0})
    assert (ok.status_code, ok.json()["content_version"]) == (201, 1)
    late = await http.patch(f"{ISSUES}/1", json={"body": "three", "content_version": 0})
    assert late.status_code == 409


async def test_bad_bodies_are_422(http: httpx.AsyncClient) -> None:
    """A missing title, a text that is no JSON, and JSON that is no object are all 422."""
    assert (await http.post(ISSUES, json={})).status_code == 422
    assert (await http.post(ISSUES, content=b"{")).status_code == 422
    assert (await http.post(ISSUES, content=b"[]")).status_code == 422
    assert (await http.post(ISSUES, json={"title": "t", "assignees": "maria"})).status_code == 422
    assert (await http.post(ISSUES, json={"title": "t", "assignees": [1]})).status_code == 422


async def test_an_issue_is_born_with_labels_and_a_milestone(
    forge: Forge, http: httpx.AsyncClient
) -> None:
    """Both by id; a PATCH sets and, with 0, takes off the milestone."""
    forge.set_milestone(forge.open(REPO, "first", labels=["a"]), "v2")
    repo = forge.repository(REPO)
    (label,), (milestone,) = repo.labels, repo.milestones
    body = {"title": "t", "labels": [label, 9], "milestone": milestone}
    made = (await http.post(ISSUES, json=body)).json()
    assert ([each["name"] for each in made["labels"]], made["milestone"]["title"]) == (["a"], "v2")
    bare = await http.patch(f"{ISSUES}/2", json={"milestone": 0})
    assert bare.json()["milestone"] is None


async def test_a_number_is_never_given_twice(forge: Forge, http: httpx.AsyncClient) -> None:
    """A deleted issue is 404 for ever; the next one gets the next number."""
    forge.open(REPO, "t")
    assert (await http.delete(f"{ISSUES}/1")).status_code == 204
    assert (await http.get(f"{ISSUES}/1")).status_code == 404
    made = await http.post(ISSUES, json={"title": "t", "closed": True})
    assert (made.json()["number"], made.json()["state"]) == (2, "closed")


# labels -----------------------------------------------------------------------------------------


@both
async def test_labels_are_put_on_by_ids_or_names_but_not_both(
    forge: Forge, http: httpx.AsyncClient, product: str
) -> None:
    """Unknown names are ignored with 200; ids and names together are 400."""
    made = await http.post(f"/repos/{REPO}/labels", json={"name": "a", "color": "#ff0000"})
    assert (made.status_code, made.json()["color"]) == (201, "ff0000")
    assert (await http.post(f"/repos/{REPO}/labels", json={"name": "b"})).status_code == 422
    forge.open(REPO, "t")
    label, path = made.json()["id"], f"{ISSUES}/1/labels"
    for wanted in ([label], ["a"], ["a", "unknown"], [label, 999]):
        answer = await http.post(path, json={"labels": wanted})
        assert (answer.status_code, [each["name"] for each in answer.json()]) == (200, ["a"])
    assert (await http.post(path, json={"labels": [label, "a"]})).status_code == 400
    assert (await http.post(path, json={"labels": [None]})).status_code == 400
    by_name = await http.delete(f"{path}/a")
    assert by_name.status_code == (204 if product == "forgejo" else 422)
    assert (await http.delete(f"{path}/{label}")).status_code == 204
    assert (await http.get(path)).json() == []


async def test_scoped_labels_drive_each_other_out(forge: Forge, http: httpx.AsyncClient) -> None:
    """Of exclusive labels with one scope an issue has one; others stay."""
    forge.open(REPO, "t", labels=["plain/x"])
    for name in ("state/a", "state/b", "other/a"):
        body = {"name": name, "color": "000000", "exclusive": True}
        await http.post(f"/repos/{REPO}/labels", json=body)
        answer = await http.post(f"{ISSUES}/1/labels", json={"labels": [name]})
    assert [each["name"] for each in answer.json()] == ["other/a", "plain/x", "state/b"]
    put = await http.put(f"{ISSUES}/1/labels", json={"labels": ["state/a"]})
    assert [each["name"] for each in put.json()] == ["state/a"]
    assert (await http.put(f"{ISSUES}/1/labels", json={"labels": []})).json() == []
    assert (await http.delete(f"{ISSUES}/1/labels")).status_code == 204


async def test_a_deleted_label_leaves_every_issue(forge: Forge, http: httpx.AsyncClient) -> None:
    """Labels are read, listed and deleted in the repository, and gone from its issues."""
    issue = forge.open(REPO, "t", labels=["a"])
    (label,) = (await http.get(f"/repos/{REPO}/labels")).json()
    path = f"/repos/{REPO}/labels/{label['id']}"
    assert (await http.get(path)).json()["name"] == "a"
    assert [(await http.delete(path)).status_code for _ in range(2)] == [204, 204]
    assert (await http.get(path)).status_code == 404
    assert issue.label_ids == []


# comments ---------------------------------------------------------------------------------------


async def test_comments_of_an_issue_are_not_paged_but_those_of_a_repository_are(
    forge: Forge, http: httpx.AsyncClient, clock: VirtualClock
) -> None:
    """`limit` is not looked at for one issue; the repository's list pages and knows since."""
    issue = forge.open(REPO, "t")
    for number in range(35):
        forge.comment(issue, f"{number}")
    assert len((await http.get(f"{ISSUES}/1/comments", params={"limit": "5"})).json()) == 35
    page = await http.get(f"{ISSUES}/comments", params={"page": "2"})
    assert (len(page.json()), page.headers["X-Total-Count"]) == (5, "35")
    clock.advance(60)
    since = "2026-07-14T10:01:00Z"
    first = page.json()[0]
    await http.patch(f"{ISSUES}/comments/{first['id']}", json={"body": "edited"})
    found = await http.get(f"{ISSUES}/comments", params={"since": since})
    assert [each["body"] for each in found.json()] == ["edited"]
    assert found.json()[0]["issue_url"].endswith("/issues/1")
    found = await http.get(f"{ISSUES}/1/comments", params={"before": "2026-07-14T10:00:00Z"})
    assert len(found.json()) == 34


async def test_comments_are_written_edited_and_deleted(
    forge: Forge, http: httpx.AsyncClient, clock: VirtualClock
) -> None:
    """201, 200, 204; a new comment moves the issue's updated_at, an edit does not."""
    issue = forge.open(REPO, "t")
    clock.advance(5)
    made = await http.post(f"{ISSUES}/1/comments", json={"body": "one"})
    assert made.status_code == 201
    moved = issue.updated_at
    assert moved > issue.created_at
    clock.advance(5)
    path = f"{ISSUES}/comments/{made.json()['id']}"
    edited = await http.patch(path, json={"body": "two"})
    assert (edited.status_code, edited.json()["body"], issue.updated_at) == (200, "two", moved)
    assert (await http.get(path)).json()["body"] == "two"
    async with rest_client(forge, forge.token("rita")) as rita:
        assert (await rita.patch(path, json={"body": "x"})).status_code == 403
    assert (await http.delete(path)).status_code == 204
    assert (await http.get(path)).status_code == 404
    assert (await http.post(f"{ISSUES}/1/comments", json={"body": ""})).status_code == 422


async def test_reactions(forge: Forge, http: httpx.AsyncClient) -> None:
    """201 the first time, 200 again, 403 for one that is not offered; both kinds of target."""
    forge.comment(forge.open(REPO, "t"), "c")
    (comment,) = forge.data.comments
    for path in (f"{ISSUES}/1/reactions", f"{ISSUES}/comments/{comment}/reactions"):
        given = [(await http.post(path, json={"content": "eyes"})).status_code for _ in range(2)]
        assert given == [201, 200]
        assert (await http.post(path, json={"content": "meh"})).status_code == 403
        assert [each["content"] for each in (await http.get(path)).json()] == ["eyes"]


@both
async def test_a_locked_issue_takes_comments_of_writers_alone(
    forge: Forge, clock: VirtualClock, product: str
) -> None:
    """Locking tells nobody and bumps `updated_at`; who may only read is refused a comment and a
    reaction, and may still edit what he wrote; only Gitea can be asked to lock."""
    furnish(forge)
    issue = forge.open(REPO, "t")
    own = forge.comment(issue, "mine", by="rita")
    clock.advance(5)
    async with (
        rest_client(forge, forge.token("rita")) as reader,
        rest_client(forge, forge.token("maria")) as writer,
    ):
        locked = await writer.put(f"{ISSUES}/1/lock", json={})
        assert locked.status_code == (204 if product == "gitea" else 404)
        forge.lock(issue)
        shown = (await reader.get(f"{ISSUES}/1")).json()
        assert (shown["is_locked"], shown["updated_at"]) == (True, "2026-07-14T10:00:05Z")
        refused = await reader.post(f"{ISSUES}/1/comments", json={"body": "no"})
        assert (refused.status_code, "locked issue" in refused.json()["message"]) == (403, True)
        comment = f"{ISSUES}/comments/{own.id}"
        reacted = await reader.post(f"{comment}/reactions", json={"content": "eyes"})
        assert reacted.status_code == 403
        assert (await reader.patch(comment, json={"body": "more"})).status_code == 200
        assert (await writer.post(f"{ISSUES}/1/comments", json={"body": "b"})).status_code == 201
        forge.unlock(issue)
        assert (await reader.post(f"{ISSUES}/1/comments", json={"body": "c"})).status_code == 201
    assert forge.deliveries == []


@both
# repositories -----------------------------------------------------------------------------------


async def test_a_renamed_repository_answers_301_on_its_old_path(
    forge: Forge, http: httpx.AsyncClient
) -> None:
    """The Location is the same path under the new name; the id stays."""
    forge.open(REPO, "t")
    repo = forge.repository(REPO)
    forge.rename(REPO, "else/gadgets")
    for method in ("GET", "PATCH"):
        moved = await http.request(method, f"{ISSUES}/1?x=1", json={})
        assert moved.status_code == 301
        assert moved.headers["Location"] == "/api/v1/repos/else/gadgets/issues/1?x=1"
    assert (await http.get(f"/repositories/{repo.id}")).json()["full_name"] == "else/gadgets"
    forge.repository(REPO)
    assert (await http.get(f"{ISSUES}/1")).status_code == 404


async def test_a_deleted_repository_is_not_found(forge: Forge, http: httpx.AsyncClient) -> None:
    """Its issues, its id, its hooks and its path are all gone."""
    issue = forge.open(REPO, "t")
    forge.hook(REPO, "http://127.0.0.1:9/", "s")
    repo = forge.repository(REPO)
    forge.delete_repository(REPO)
    for path in (f"/repos/{REPO}", f"{ISSUES}/1", f"/repositories/{repo.id}"):
        assert (await http.get(path)).status_code == 404
    assert (issue.id in forge.data.issues, forge.data.hooks) == (False, {})


async def test_an_archived_repository_refuses_with_423(forge: Forge, http: httpx.AsyncClient) -> None:
    """New issues and comments are locked; it says that it is archived."""
    comment = forge.comment(forge.open(REPO, "t"), "c")
    forge.archive(REPO)
    assert (await http.get(f"/repos/{REPO}")).json()["archived"] is True
    refused = [
        await http.post(ISSUES, json={"title": "t"}),
        await http.post(f"{ISSUES}/1/comments", json={"body": "b"}),
        await http.patch(f"{ISSUES}/comments/{comment.id}", json={"body": "b"}),
    ]
    assert [answer.status_code for answer in refused] == [423, 423, 423]


async def test_issues_can_be_switched_off(forge: Forge, http: httpx.AsyncClient) -> None:
    """Without the unit no issue is listed or found, though the repository is."""
    forge.open(REPO, "t")
    forge.repository(REPO).has_issues = False
    assert (await http.get(f"{ISSUES}/1")).status_code == 404
    assert (await http.get(ISSUES)).json() == []
    assert (await http.get(f"/repos/{REPO}")).json()["has_issues"] is False


async def test_repositories_are_listed(forge: Forge, http: httpx.AsyncClient) -> None:
    """One's own, found ones, and the permissions one has in each."""
    forge.repository("else/where", private=False)
    mine = (await http.get("/user/repos")).json()
    assert [repo["full_name"] for repo in mine] == [REPO]
    assert mine[0]["permissions"] == {"admin": True, "push": True, "pull": True}
    found = (await http.get("/repos/search", params={"q": "where"})).json()
    assert [repo["full_name"] for repo in found["data"]] == ["else/where"]
    assert (await http.get(f"/repos/{REPO}/collaborators/rita")).status_code == 204
    assert (await http.get(f"/repos/{REPO}/collaborators/stranger")).status_code == 404
    assert (await http.get(f"/repos/{REPO}/collaborators/nobody")).status_code == 422
    assert (await http.get("/users/rita")).json()["login"] == "rita"
    assert (await http.get("/users/nobody")).status_code == 404
    assert (await http.get("/user")).json()["login"] == BOT
