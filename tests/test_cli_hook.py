"""`mosaic-coordinator hook`: what it decides, and what it does to a forge."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from coordinator.cli import main
from coordinator.cli.durations import lasting
from coordinator.cli.hook_plan import (
    is_near,
    is_ours,
    plan_hooks,
    problems_of,
    receiver_url,
    shown_events,
)
from coordinator.cli.hook_steps import Errand, Patience, Refusal, run_hook
from coordinator.cli.ping import Report, addresses_of, ping, wait_arrival
from coordinator.cli.receiver import allowance, sends_test, version_of
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_failures_wire import RetryPace
from coordinator.edges.gitea_remote_wire import HookScope, RemoteHook
from coordinator.edges.gitea_rest_wire import info_of
from tests.fakes.coordinators import SECRET, open_coordinator
from tests.fakes.forge import FORGEJO, GITEA, REPO, furnish, open_forge
from tests.fakes.forge import Forge as FakeForge

URL = "https://coordinator.example.org/webhook/gitea"
FAMILY = ("issues", "issue_assign", "issue_label", "issue_milestone", "issue_comment")
HASTE = Patience(proof_s=60.0, settle_s=0.0)
AT_ONCE = RetryPace(attempts=1)
NEW = "the-new-secret-of-tests"


def hook(number: int = 1, **changed: Any) -> RemoteHook:
    parts: dict[str, Any] = {"url": URL, "active": True, "events": FAMILY, "content_type": "json"}
    return RemoteHook(number, **(parts | changed))


# the receiver's address -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "address", "section", "entry", "later"),
    [
        ("1.27.0", "127.0.0.1", "security", "loopback", "loopback"),
        ("1.27.0", "::1", "security", "loopback", "loopback"),
        ("1.27.0", "::ffff:10.0.0.5", "security", "10.0.0.5/32", "10.0.0.5/32"),
        ("1.26.0", "10.0.0.5", "webhook", "10.0.0.5/32", "10.0.0.5/32"),
        ("1.26.0", "fd00::5", "webhook", "fd00::5/128", "fd00::5/128"),
        ("1.26.2", "100.64.0.1", "webhook", "", "100.64.0.1/32"),
        ("1.26.3", "100.64.0.1", "webhook", "100.64.0.1/32", "100.64.0.1/32"),
        ("1.27.0+dev-3", "198.18.0.1", "security", "198.18.0.1/32", "198.18.0.1/32"),
        ("15.0.3+gitea-1.22.0", "192.168.1.9", "webhook", "192.168.1.9/32", "192.168.1.9/32"),
        ("15.0.3+gitea-1.22.0", "100.64.0.1", "webhook", "", "100.64.0.1/32"),
        ("1.20.0", "169.254.1.1", "webhook", "169.254.1.1/32", "169.254.1.1/32"),
        ("1.27.0", "8.8.8.8", "security", "", ""),
        ("1.27.0", "2606:4700::1", "security", "", ""),
    ],
)
def test_what_must_be_allowed(version: str, address: str, section: str, entry: str, later: str) -> None:
    """The class of the address and the forge's version say what its list lacks, and where it stands."""
    needs = allowance([address], info_of(version, None))
    assert (needs.section, needs.entry, needs.entry_later) == (section, entry, later)


def test_several_addresses_need_each_its_entry() -> None:
    """A host with two private addresses names both, and says what each is; a literal only once."""
    needs = allowance(["10.0.0.5", "fe80::1%eth0"], None)
    assert needs.ini == ("[security]", "ALLOWED_HOST_LIST = external,10.0.0.5/32,fe80::1/128")
    assert needs.told_of("box") == (
        "box is 10.0.0.5, a private address and fe80::1, an address that is not routed"
    )
    assert allowance(["10.0.0.5"], None).told_of("10.0.0.5") == "10.0.0.5 is a private address"


@pytest.mark.parametrize(
    ("version", "found", "sends"),
    [
        ("1.27.0", (1, 27, 0), False),
        ("1.27.1", (1, 27, 1), True),
        ("v1.26", (1, 26, 0), False),
        ("14.0.1-5-abc+gitea-1.22.0", (14, 0, 1), False),
        ("15.0.3+gitea-1.22.0", (15, 0, 3), True),
        ("main", (0, 0, 0), False),
    ],
)
def test_which_forge_sends_a_test(version: str, found: tuple[int, int, int], sends: bool) -> None:
    """Older forges send a test delivery only to a webhook with pushes."""
    info = info_of(version, None)
    assert version_of(info) == found
    assert sends_test(info, hook()) is sends
    assert sends_test(info, hook(events=("push",)))


# which webhooks are ours ------------------------------------------------------------------------


def test_an_address_may_be_spelled_differently() -> None:
    """Case, the default port and a last slash make no other address; path, port and host do."""
    for same in (URL, URL.replace("coordinator", "COORDINATOR", 1), f"{URL}/"):
        assert is_ours(hook(url=same), URL)
    assert is_ours(hook(url=URL.replace(".org", ".org:443")), URL)
    for other in ("http://[::1", URL.replace("https", "http"), URL.replace(".org", ".org:8000")):
        assert not is_ours(hook(url=other), URL)


def test_near_misses_are_seen() -> None:
    """Our path elsewhere, or another path at our host, is worth a word; anything else is not ours."""
    assert is_near(hook(url="https://old.example.org/webhook/gitea"), URL)
    assert is_near(hook(url="https://coordinator.example.org/hook"), URL)
    assert not is_near(hook(), URL)
    assert not is_near(hook(url="https://chat.example.org/in"), URL)
    assert not is_near(hook(url="http://[::1"), URL)


def test_what_is_wrong_with_a_webhook() -> None:
    """Inactive, a form, missing events: each is named."""
    assert problems_of(hook()) == ()
    wrong = hook(active=False, content_type="form", events=("push",))
    assert problems_of(wrong) == (
        "it is inactive",
        "its content type is form",
        f"it does not send {', '.join(FAMILY)}",
    )
    assert shown_events(wrong) == "1 others"
    assert shown_events(hook(events=())) == "no events"


def test_the_newest_right_one_stays() -> None:
    """Of several right webhooks the one made last is kept; the rest is sorted into wrong and double."""
    hooks = [hook(1), hook(3), hook(2, active=False), hook(4, url="https://chat.example.org/in")]
    plan = plan_hooks(hooks, URL)
    assert plan.keep == hooks[1]
    assert plan.wrong == ((hooks[2], "it is inactive"),)
    assert plan.doubles == (hooks[0],)
    assert [each.id for each in plan.ours] == [3, 1, 2]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://a.example", "https://a.example/webhook/gitea"),
        ("https://a.example/", "https://a.example/webhook/gitea"),
        ("https://a.example/other", "https://a.example/other"),
    ],
)
def test_our_path_is_the_default(given: str, url: str) -> None:
    """An address without a path gets ours; one with a path is taken as it is."""
    assert receiver_url(given) == url


# at a forge -------------------------------------------------------------------------------------


@dataclass
class Desk:
    """A forge, a coordinator and somebody who runs commands between them."""

    fake: FakeForge
    client: Forge
    local_url: str
    lines: list[str] = field(default_factory=list)

    async def do(self, action: str, scope: HookScope = ("repo", REPO), **changed: Any) -> int:
        """One command; what it told is in `text` afterwards."""
        parts: dict[str, Any] = {
            "url": f"{self.local_url}/webhook/gitea",
            "secrets": (SECRET,),
            "local_url": self.local_url,
            "patience": HASTE,
        }
        self.lines.clear()
        errand = Errand(scope=scope, **(parts | changed))
        return await run_hook(action, errand, self.client, self._tell)

    def _tell(self, label: str, text: str) -> None:
        self.lines.append(f"{label}: {text}")

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def hooks(self) -> list[Any]:
        return list(self.fake.data.hooks.values())


@asynccontextmanager
async def open_desk(
    product: Any, path: Path, *scopes: str, allowed_hosts: str = "*", **settings: str
) -> AsyncIterator[Desk]:
    async with (
        open_forge(product, allowed_hosts=allowed_hosts) as fake,
        open_coordinator(path, **settings) as running,
    ):
        furnish(fake)
        token = fake.token("coordinator-bot", *scopes)
        async with Forge(fake.url, token, trust_env=False, pace=AT_ONCE) as client:
            yield Desk(fake, client, running.url)


DIALECTS = pytest.mark.parametrize("product", ["gitea", "forgejo"])
DIALECTS_BY_NAME = {"gitea": GITEA, "forgejo": FORGEJO}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "2 minutes"), (89, "89 s"), (7_199, "2 hours"), (2_592_000, "30 days")],
)
def test_spans_are_said_as_people_say_them(seconds: float, words: str) -> None:
    """The largest unit of which there are two or more."""
    assert lasting(seconds) == words


@DIALECTS
async def test_install_makes_a_whole_webhook_once(product: str, tmp_path: Path) -> None:
    """Active, JSON, issues and comments, our secret; the second time it is left alone."""
    async with open_desk(product, tmp_path) as desk:
        desk.fake.hook(REPO, "https://chat.example.org/in", "theirs")
        assert await desk.do("install") == 0
        made = desk.hooks[-1]
        assert (made.active, made.content_type, made.secret) == (True, "json", SECRET)
        assert set(made.event_types) == set(FAMILY)
        before = [each.id for each in desk.hooks]
        assert await desk.do("install") == 0
        assert f"kept: hook {made.id} is right" in desk.text
        assert [each.id for each in desk.hooks] == before
        assert SECRET not in desk.text


async def test_a_test_delivery_proves_it(tmp_path: Path) -> None:
    """Where the forge sends a test, its arrival is the proof, and nothing needs to be allowed."""
    async with open_desk("forgejo", tmp_path) as desk:
        assert await desk.do("install") == 0
        assert "proof: a test delivery of the forge arrived" in desk.text
        assert "ALLOWED_HOST_LIST" not in desk.text


@DIALECTS
async def test_without_proof_the_address_is_explained(product: str, tmp_path: Path) -> None:
    """Where no test can be seen, the lines for the forge's administrator are printed as they belong
    there."""
    async with open_desk(product, tmp_path) as desk:
        assert await desk.do("install", local_url="http://127.0.0.1:1") == 0
        assert "doctor --prove" in desk.text
        section = "[security]" if product == "gitea" else "[webhook]"
        assert f":     {section}\n:     ALLOWED_HOST_LIST = external,loopback" in desk.text


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://8.8.8.8/webhook/gitea", "forges post there unless forbidden"),
        ("http://100.64.0.1/webhook/gitea", "needs ALLOWED_HOST_LIST = external,100.64.0.1/32"),
        ("http://nowhere.invalid/webhook/gitea", "has no address on this machine"),
    ],
)
async def test_other_addresses_are_explained(url: str, words: str, tmp_path: Path) -> None:
    """Public, shared and unknown addresses get their own word."""
    async with open_desk("forgejo", tmp_path) as desk:
        assert await desk.do("install", url=url, local_url="http://127.0.0.1:1") == 0
        assert words in desk.text


@DIALECTS
async def test_what_is_wrong_is_replaced(product: str, tmp_path: Path) -> None:
    """Inactive, form and eventless webhooks of our address make room for a right one; a double goes
    too; others stay."""
    async with open_desk(product, tmp_path) as desk:
        url = f"{desk.local_url}/webhook/gitea"
        off = desk.fake.hook(REPO, url, SECRET, active=False)
        pushes = desk.fake.hook(REPO, url, SECRET, events=["push"])
        form = desk.fake.hook(REPO, url, SECRET)
        form.content_type = "form"
        other = desk.fake.hook(REPO, "https://chat.example.org/in", "theirs")
        assert await desk.do("install", is_dry=True) == 0
        assert len(desk.hooks) == 4
        assert "would make" in desk.text
        assert f"would drop: hook {off.id}" in desk.text
        assert await desk.do("install") == 0
        assert len(desk.hooks) == 2
        assert desk.hooks[0] == other
        assert f"removed: hook {pushes.id}: it does not send issues" in desk.text
        assert f"removed: hook {form.id}: its content type is form" in desk.text
        double = desk.fake.hook(REPO, url, SECRET)
        assert await desk.do("install") == 0
        assert [each.id for each in desk.hooks] == [other.id, double.id]


async def test_another_secret_is_found_out(tmp_path: Path) -> None:
    """A webhook that looks right but signs with another secret is told by its test delivery."""
    async with open_desk("forgejo", tmp_path) as desk:
        desk.fake.hook(REPO, f"{desk.local_url}/webhook/gitea", "another")
        assert await desk.do("install") == 1
        assert "with another secret than ours: `hook remove --repo acme/widgets`" in desk.text


@DIALECTS
async def test_a_forge_that_may_not_post_here_says_what_to_allow(product: Any, tmp_path: Path) -> None:
    """Where ALLOWED_HOST_LIST was never touched nothing arrives at a private address: the lines for
    app.ini are told, and with them it works."""
    dialect = replace(DIALECTS_BY_NAME[product], tests_only_push=False)
    dialect = replace(dialect, version="1.27.1") if product == "gitea" else dialect
    hint = Patience(proof_s=0.3, settle_s=0)
    async with open_desk(dialect, tmp_path, allowed_hosts="external") as desk:
        assert await desk.do("install", patience=hint) == 1
        assert "proof: no test delivery within 0.3 s" in desk.text
        assert "ALLOWED_HOST_LIST = external,loopback" in desk.text
        (refused,) = desk.fake.deliveries
        assert (refused.outcome, refused.status) == ("failed", None)
        assert "webhook can only call allowed HTTP servers" in refused.error
    async with open_desk(dialect, tmp_path / "b", allowed_hosts="external,loopback") as desk:
        assert await desk.do("install") == 0
        assert "proof: a test delivery of the forge arrived" in desk.text


async def test_a_test_that_does_not_arrive(tmp_path: Path) -> None:
    """Silence ends the wait with the likely reasons and exit code 1."""
    async with open_desk("forgejo", tmp_path) as desk:
        desk.fake.postman.faults.next("lose")
        assert await desk.do("install", patience=Patience(proof_s=0.2, settle_s=0.0)) == 1
        assert "no test delivery within 0.2 s; a repository without commits sends none" in desk.text
        assert "ALLOWED_HOST_LIST = external,loopback" in desk.text


@DIALECTS
async def test_nothing_is_removed_before_the_new_one_is_there(product: str, tmp_path: Path) -> None:
    """A forge that fails to make the webhook leaves the wrong one; the line says what may have
    happened."""
    async with open_desk(product, tmp_path) as desk:
        desk.fake.hook(REPO, f"{desk.local_url}/webhook/gitea", SECRET, active=False)
        desk.fake.misbehave("status", route="POST /repos/{owner}/{repo}/hooks", status=502)
        with pytest.raises(Refusal, match="may have been made all the same"):
            await desk.do("install")
        assert len(desk.hooks) == 1
        desk.fake.misbehave("status", route="POST /repos/{owner}/{repo}/hooks", status=403)
        with pytest.raises(Refusal):
            await desk.do("install")
        assert len(desk.hooks) == 1


@DIALECTS
async def test_a_removal_that_fails_says_what_is_left(product: str, tmp_path: Path) -> None:
    """The new webhook works, the old one is named, and the same command finishes the work."""
    async with open_desk(product, tmp_path) as desk:
        old = desk.fake.hook(REPO, f"{desk.local_url}/webhook/gitea", SECRET, active=False)
        desk.fake.misbehave("status", route="DELETE", status=500, times=1)
        with pytest.raises(Refusal, match=f"hook {old.id} is still there .* the other one works"):
            await desk.do("install")
        assert len(desk.hooks) == 2
        assert await desk.do("install") == 0
        assert len(desk.hooks) == 1


async def test_a_forge_that_ignores_what_it_is_told(tmp_path: Path) -> None:
    """A webhook that is made otherwise than asked for is refused by name, before any is removed."""
    async with open_desk("gitea", tmp_path) as desk:
        keep_off = desk.fake.data.hooks

        class Sleepy(dict[int, Any]):
            def __setitem__(self, key: int, value: Any) -> None:
                value.active = False
                super().__setitem__(key, value)

        desk.fake.data.hooks = Sleepy(keep_off)
        with pytest.raises(Refusal, match="but it is inactive"):
            await desk.do("install")


@DIALECTS
async def test_organisation_and_whole_forge(product: str, tmp_path: Path) -> None:
    """The same at the other levels, where no test can be sent."""
    async with open_desk(product, tmp_path) as desk:
        desk.fake.organization("guild", owners=["coordinator-bot"])
        desk.fake.user("coordinator-bot")
        account = desk.fake.data.account("coordinator-bot")
        assert account is not None
        account.is_admin = True
        places: list[HookScope] = [("org", "guild"), ("all", "")]
        for scope in places:
            assert await desk.do("install", scope) == 0
            assert "sends no test" in desk.text
            assert await desk.do("status", scope) == 0
        assert {each.level for each in desk.hooks} == {"organization", "system"}
        for scope in places:
            assert await desk.do("remove", scope) == 0
        assert desk.hooks == []


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (("repo", REPO), "webhooks of repository acme/widgets take a token with the scope write:repo"),
        (("org", "guild"), "organisation guild .* write:organization, of an account that is an owner"),
        (("all", ""), "the whole forge take a token with the scope write:admin"),
    ],
)
@DIALECTS
async def test_a_missing_right_is_named(
    product: str, scope: HookScope, words: str, tmp_path: Path
) -> None:
    """A token without the scope, or an account without the right, is told what each level takes."""
    async with open_desk(product, tmp_path, "write:issue", "read:user") as desk:
        desk.fake.organization("guild")
        with pytest.raises(Refusal, match=words):
            await desk.do("install", scope)


@DIALECTS
async def test_an_account_without_the_right(product: str, tmp_path: Path) -> None:
    """A token with every scope does not make its account an administrator of the repository."""
    async with open_desk(product, tmp_path) as desk:
        token = desk.fake.token("maria")
        async with Forge(desk.fake.url, token, trust_env=False, pace=AT_ONCE) as desk.client:
            with pytest.raises(Refusal, match=r"403 .* that is an administrator of the repository"):
                await desk.do("install")


async def test_a_forge_that_is_away(tmp_path: Path) -> None:
    """Silence is told as such, without advice about rights."""
    async with open_desk("gitea", tmp_path) as desk:
        desk.fake.go_away()
        with pytest.raises(Refusal, match="is the forge up, and GITEA_URL right"):
            await desk.do("status")


# status -----------------------------------------------------------------------------------------


@DIALECTS
async def test_status_shows_ours_and_near_misses(product: str, tmp_path: Path) -> None:
    """Each of our webhooks with its verdict, near misses without their secrets, the last delivery."""
    async with open_desk(product, tmp_path) as desk:
        assert await desk.do("status", local_url="http://127.0.0.1:1") == 1
        assert "none: no webhook posts here; `hook install --repo acme/widgets`" in desk.text
        assert "last: unknown: http://127.0.0.1:1 does not answer" in desk.text
        url = f"{desk.local_url}/webhook/gitea"
        desk.fake.hook(REPO, url, SECRET, active=False)
        desk.fake.hook(REPO, url, SECRET)
        desk.fake.hook(REPO, "https://u:pw@old.example.org/webhook/gitea?t=1", "theirs")
        assert await desk.do("status") == 0
        assert "inactive, JSON, issues and comments: it is inactive" in desk.text
        assert "active, JSON, issues and comments: right" in desk.text
        assert "double: each event is sent more than once" in desk.text
        assert "posts elsewhere, to https://old.example.org/webhook/gitea" in desk.text
        assert "pw" not in desk.text
        assert "last: no issue delivery yet; 0 with a wrong signature" in desk.text
        await desk.do("install")
        await desk.do("status")
        tests = "1 test delivery" if product == "forgejo" else ""
        assert f"last: no issue delivery yet{tests and f' ({tests})'}; 0 with" in desk.text
        desk.fake.open(REPO, "Rows are lost")
        await desk.fake.wait_quiet()
        await desk.do("status")
        assert "last: a delivery was stored 0 s ago" in desk.text


# rotate -----------------------------------------------------------------------------------------


async def test_rotate_wants_two_secrets(tmp_path: Path) -> None:
    """With one secret there is nothing to rotate to, and nothing is changed."""
    async with open_desk("gitea", tmp_path) as desk:
        with pytest.raises(Refusal, match="holds one secret, expected the new and the old one"):
            await desk.do("rotate")
        assert desk.hooks == []


@DIALECTS
async def test_rotate_wants_a_coordinator_that_takes_the_new_secret(
    product: str, tmp_path: Path
) -> None:
    """A coordinator that still runs with the old secret alone, or does not run, stops the rotation."""
    async with open_desk(product, tmp_path) as desk:
        old = desk.fake.hook(REPO, f"{desk.local_url}/webhook/gitea", SECRET)
        with pytest.raises(Refusal, match="nothing was changed"):
            await desk.do("rotate", secrets=(NEW, SECRET))
        assert "answers 401: it does not have this secret" in desk.text
        away = "http://127.0.0.1:1"
        with pytest.raises(Refusal, match="nothing was changed"):
            await desk.do("rotate", secrets=(NEW, SECRET), url=f"{away}/webhook/gitea", local_url=away)
        assert desk.hooks == [old]


@DIALECTS
async def test_rotate_leaves_no_gap(product: str, tmp_path: Path) -> None:
    """The new webhook is there before the old one goes, every event meanwhile reaches the coordinator,
    and no secret is printed."""
    secrets = f"{NEW},{SECRET}"
    async with open_desk(product, tmp_path, GITEA_WEBHOOK_SECRET=secrets) as desk:
        desk.fake.hook(REPO, f"{desk.local_url}/webhook/gitea", SECRET)
        seen: list[int] = []

        async def watch() -> None:
            while True:
                seen.append(len(desk.hooks))
                desk.fake.open(REPO, f"Issue {len(seen)}")
                await desk.fake.wait_quiet()
                await trio.sleep(0.005)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            patience = Patience(proof_s=60.0, settle_s=0.1)
            assert await desk.do("rotate", secrets=(NEW, SECRET), patience=patience) == 0
            nursery.cancel_scope.cancel()
        assert [each.secret for each in desk.hooks] == [NEW]
        assert 0 not in seen
        assert 2 in seen
        sent = {each.letter.number for each in desk.fake.deliveries if each.outcome == "sent"}
        assert sent >= set(range(1, len(seen)))
        assert NEW not in desk.text
        assert SECRET not in desk.text
        assert "take the old secret out of GITEA_WEBHOOK_SECRET" in desk.text


async def test_a_rotation_can_be_rehearsed(tmp_path: Path) -> None:
    """--dry-run asks the coordinator about the new secret, tells the steps and changes nothing."""
    async with open_desk("gitea", tmp_path, GITEA_WEBHOOK_SECRET=f"{NEW},{SECRET}") as desk:
        old = desk.fake.hook(REPO, f"{desk.local_url}/webhook/gitea", SECRET)
        assert await desk.do("rotate", secrets=(NEW, SECRET), is_dry=True) == 0
        assert desk.hooks == [old]
        assert f"would drop: hook {old.id}: it had the old secret" in desk.text


# remove -----------------------------------------------------------------------------------------


@DIALECTS
async def test_remove_takes_ours_alone(product: str, tmp_path: Path) -> None:
    """Every webhook of our address goes and is named; others stay; then there is nothing to do."""
    async with open_desk(product, tmp_path) as desk:
        url = f"{desk.local_url}/webhook/gitea"
        mine = desk.fake.hook(REPO, url, SECRET)
        other = desk.fake.hook(REPO, "https://old.example.org/webhook/gitea", SECRET)
        assert await desk.do("remove", is_dry=True) == 0
        assert desk.hooks == [mine, other]
        assert await desk.do("remove") == 0
        assert f"removed: hook {mine.id}" in desk.text
        assert desk.hooks == [other]
        assert await desk.do("remove") == 0
        assert "nothing to remove" in desk.text


async def test_somebody_else_was_faster(tmp_path: Path) -> None:
    """A webhook that is gone when it is to be removed is no failure."""
    async with open_desk("gitea", tmp_path) as desk:
        desk.fake.hook(REPO, f"{desk.local_url}/webhook/gitea", SECRET)
        route = "DELETE /repos/{owner}/{repo}/hooks"
        desk.fake.misbehave("status", route=route, status=404, after=True)
        assert await desk.do("remove") == 0
        assert "by somebody else" in desk.text


# a ping -----------------------------------------------------------------------------------------


async def test_a_ping_tells_who_answers(tmp_path: Path) -> None:
    """Ours accepts or refuses; a stranger and nobody are told apart from it."""
    async with open_forge("gitea") as fake, open_coordinator(tmp_path) as running:
        url = f"{running.url}/webhook/gitea"
        assert (await ping(url, SECRET)).is_accepted
        assert (await ping(url, "wrong")).is_refused
        stranger = await ping(f"{fake.url}/webhook/gitea", SECRET)
        assert "404 but not as a coordinator does" in str(stranger)
        nobody = await ping("http://127.0.0.1:1/webhook/gitea", SECRET)
        assert nobody.status is None
        assert "does not answer" in str(nobody)
        fake.misbehave("hang")
        assert "nothing within 0.1 s" in str(await ping(f"{fake.url}/x", SECRET, timeout_s=0.1))
        async with httpx.AsyncClient(trust_env=False) as http:
            report = (await http.get(f"{running.url}/health")).json()
        assert report["deliveries"]["ignored"] == 1
        assert report["deliveries"]["accepted"] == 0


async def test_a_coordinator_that_goes_away_is_waited_for() -> None:
    """While it is being restarted nothing has arrived yet; the wait ends in time."""
    before = Report(status="ok", version="0")
    seen = await wait_arrival("http://127.0.0.1:1", before, timeout_s=0.05)
    assert seen.word == "nothing"


async def test_a_host_without_an_address() -> None:
    """A name nobody resolves has none; a literal is its own."""
    assert await addresses_of("http://nowhere.invalid/x") == ()
    assert await addresses_of("http://127.0.0.1:8000/x") == ("127.0.0.1",)
    assert await addresses_of(f"http://{'a' * 70}.example/x") == ()


# the command line -------------------------------------------------------------------------------


@pytest.fixture(name="shell")
def _shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Sets the environment of the command, and nothing of the machine's own."""
    for name in list(os.environ):
        if name.startswith(("GITEA_", "COORDINATOR_", "ANTHROPIC_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def put(**variables: str) -> None:
        known = {"GITEA_WEBHOOK_SECRET": SECRET, "PARSER": "rules", "GITEA_URL": "http://127.0.0.1:1"}
        for name, value in (known | {"HOST": "127.0.0.1", "PORT": "0"} | variables).items():
            monkeypatch.setenv(name, value)

    return put


@DIALECTS
async def test_the_command_line_installs(
    product: Any, tmp_path: Path, shell: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """`hook install` works from the environment alone; a refusal is one line and exit code 1."""
    async with open_forge(product) as fake, open_coordinator(tmp_path) as running:
        shell(
            GITEA_URL=fake.url,
            GITEA_TOKEN=furnish(fake),
            COORDINATOR_URL=running.url,
            COORDINATOR_PUBLIC_URL=running.url,
        )
        ask = partial(trio.to_thread.run_sync, main)
        capsys.readouterr()
        assert await ask(["hook", "install", "--repo", REPO]) == 0
        shown = capsys.readouterr().out
        assert f"target      {running.url}/webhook/gitea" in shown
        assert "made        hook " in shown
        assert await ask(["hook", "status", "--repo", "acme/none"]) == 1
        refused = capsys.readouterr().err
        assert refused.startswith("mosaic-coordinator: GET /repos/acme/none/hooks: 404 not found")
        assert refused.count("\n") == 1
        assert "not found" in refused
        assert await ask(["hook", "install", "--repo", "a/b/c"]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err == "mosaic-coordinator: 'a/b/c' is not a repository: expected owner/name\n"
        assert await ask(["hook", "install", "--repo", ""]) == 1
        assert "is not a repository" in capsys.readouterr().err
        assert await ask(["hook", "status", "--all", "--url", "http://box"]) == 1
        assert await ask(["hook", "status", "--org", "acme"]) == 1


def test_settings_that_are_missing_are_one_line(
    shell: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a token, without an address, or with one that is none, the exit code is 2."""
    shell(COORDINATOR_PUBLIC_URL="https://coordinator.example.org")
    assert main(["hook", "status", "--org", "guild"]) == 2
    assert "GITEA_TOKEN is not set, expected" in (line := capsys.readouterr().err)
    assert "write:organization" in line
    assert main(["hook", "status", "--all", "--url", "ftp://x"]) == 2
    assert main(["hook", "status", "--all", "--url", "http://[::1"]) == 2
    assert "--url is 'http://[::1', expected http(s)://host" in capsys.readouterr().err
    os.environ.pop("COORDINATOR_PUBLIC_URL")
    shell(GITEA_TOKEN="t" * 40)
    assert main(["hook", "install", "--repo", REPO]) == 2
    assert "COORDINATOR_PUBLIC_URL is not set" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [[], ["install"], ["fly", "--all"], ["install", "--all", "--org", "a"]]
)
def test_a_place_and_an_action_are_needed(words: list[str]) -> None:
    """What is to be done where must be said, once."""
    with pytest.raises(SystemExit) as ended:
        main(["hook", *words])
    assert ended.value.code == 2
