"""The forge's deliveries: what is sent for which change, how it is signed, and what goes wrong."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import h11
import pytest
import trio

from coordinator.demo.forge.model import Hook
from coordinator.edges.gitea_wire import Ignored, IssueDelivery, parse_delivery, verify
from tests.fakes.forge import REPO, Forge, Product, furnish, open_forge

SECRET = "example-secret-not-real"
both = pytest.mark.parametrize("product", ["gitea", "forgejo"])


@dataclass
class Receiver:
    """A web server that takes deliveries and answers `status`, or nothing at all for 0."""

    url: str = ""
    status: int = 200
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def converse(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER)
        headers: dict[str, str] = {}
        body = b""
        async with stream:
            while True:
                event = http.next_event()
                if event is h11.NEED_DATA:
                    http.receive_data(await stream.receive_some())
                elif isinstance(event, h11.Request):
                    headers = {name.decode(): value.decode() for name, value in event.headers}
                    body = b""
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self.got.append((headers, body))
                    if not self.status:
                        await trio.sleep_forever()
                    head = h11.Response(status_code=self.status, headers=[("content-length", "0")])
                    await stream.send_all(
                        (http.send(head) or b"") + (http.send(h11.EndOfMessage()) or b"")
                    )
                    http.start_next_cycle()
                else:
                    return

    def deliveries(self) -> Iterator[IssueDelivery]:
        """What was received, verified and read by the coordinator's own edge."""
        for headers, body in self.got:
            assert verify([SECRET.encode()], body, headers["x-gitea-signature"].encode())
            read = parse_delivery(headers["x-gitea-event"], headers["x-gitea-event-type"], body)
            assert isinstance(read, IssueDelivery)
            yield read

    @property
    def actions(self) -> list[str]:
        return [delivery.action for delivery in self.deliveries()]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    receiver.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/webhook/gitea"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, receiver.converse, [listener])
        yield receiver
        nursery.cancel_scope.cancel()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def forge(product: Product) -> AsyncIterator[Forge]:
    async with open_forge(product, timeout_s=60) as forge:
        furnish(forge)
        yield forge


@pytest.fixture
def hook(forge: Forge, receiver: Receiver) -> Hook:
    return forge.hook(REPO, receiver.url, SECRET)


# what is sent -----------------------------------------------------------------------------------


@both
async def test_who_is_told_first_at_an_issue_s_birth(
    forge: Forge, receiver: Receiver, hook: Hook, product: str
) -> None:
    """Forgejo tells of the assignees one by one before the issue, Gitea 1.27 all of them after it."""
    del hook
    forge.open(REPO, "t", assignees=["maria", "coder-bot"], labels=["a"])
    await forge.wait_quiet()
    told = [(each.action, each.issue.assignees) for each in receiver.deliveries()]
    both_people = ("maria", "coder-bot")
    birth = [("opened", both_people), ("label_updated", both_people)]
    if product == "forgejo":
        assert told == [("assigned", ("maria",)), ("assigned", both_people), *birth]
    else:
        assert told == [*birth, ("assigned", both_people), ("assigned", both_people)]


@both
async def test_every_change_is_told_in_the_product_s_words(
    forge: Forge, receiver: Receiver, hook: Hook, product: str
) -> None:
    """Each change of an issue gives its delivery; a deletion only on Gitea, a dependency nowhere."""
    del hook
    issue, other = forge.open(REPO, "t"), forge.open(REPO, "other")
    forge.block(issue, other)
    forge.unblock(issue, other)
    forge.assign(issue, "maria")
    forge.actions.replace_assignees(issue, ["coder-bot"], by="maria")
    forge.unassign(issue, "coder-bot")
    forge.set_labels(issue, "a")
    forge.set_labels(issue)
    forge.set_milestone(issue, "v2")
    forge.set_milestone(issue, "v2")
    forge.set_milestone(issue, None)
    forge.retitle(issue, "new")
    forge.rewrite(issue, "text")
    comment = forge.comment(issue, "c")
    forge.actions.edit_comment(comment, "d", by="maria")
    forge.actions.delete_comment(comment, by="maria")
    forge.close(issue, commit="3f1c")
    forge.close(issue)
    forge.reopen(issue)
    forge.reopen(issue)
    forge.rename(REPO, "else/gadgets")
    forge.delete(issue)
    await forge.wait_quiet()
    words = "opened opened assigned unassigned assigned unassigned label_updated label_cleared "
    words += "milestoned demilestoned edited edited comment_created comment_edited comment_deleted "
    words += "closed reopened"
    assert receiver.actions == words.split() + (["deleted"] if product == "gitea" else [])
    closed = next(each for each in receiver.deliveries() if each.action == "closed")
    assert closed.commit_id == "3f1c"


async def test_pull_requests_are_told_apart(forge: Forge, receiver: Receiver) -> None:
    """Their events have names of their own; a comment on one says that it is on a pull request."""
    forge.hook(REPO, receiver.url, SECRET, events=["issues", "pull_request"])
    pull = forge.open(REPO, "p", is_pull=True, assignees=["maria"])
    forge.comment(pull, "c")
    await forge.wait_quiet()
    kinds = [(headers["x-gitea-event"], headers["x-gitea-event-type"]) for headers, _ in receiver.got]
    assert kinds == [
        ("pull_request", "pull_request"),
        ("pull_request", "pull_request_assign"),
        ("issue_comment", "pull_request_comment"),
    ]
    headers, body = receiver.got[2]
    assert isinstance(parse_delivery("issue_comment", headers["x-gitea-event-type"], body), Ignored)


async def test_each_hook_is_sent_its_own(forge: Forge, receiver: Receiver) -> None:
    """Hooks of repository, owner and instance each get a delivery with an id of its own; one that is
    off, or subscribed to other things, gets none."""
    forge.organization("guild", owners=["maria"])
    repo = forge.repository("guild/tools")
    for where in (repo, "guild", None, REPO):
        forge.hook(where, receiver.url, SECRET)
    forge.hook(repo, receiver.url, SECRET, events=["push"])
    forge.hook(repo, receiver.url, SECRET, active=False)
    forge.open(repo, "t")
    await forge.wait_quiet()
    levels = [headers["x-gitea-hook-installation-target-type"] for headers, _ in receiver.got]
    assert levels == ["repository", "organization", "system"]
    assert len({headers["x-gitea-delivery"] for headers, _ in receiver.got}) == 3
    assert [posted.outcome for posted in forge.deliveries] == ["sent"] * 3


# once, and how it ends --------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "outcome"), [(204, "sent"), (302, "failed"), (503, "failed")])
async def test_only_2xx_is_success_and_nothing_is_sent_again(
    forge: Forge, receiver: Receiver, hook: Hook, status: int, outcome: str
) -> None:
    """A delivery is posted once, whatever the answer."""
    del hook
    receiver.status = status
    forge.open(REPO, "t")
    await forge.wait_quiet()
    (posted,) = forge.deliveries
    assert (posted.outcome, posted.status, len(receiver.got)) == (outcome, status, 1)


async def test_a_receiver_that_is_slow_or_gone_has_lost_it(
    forge: Forge, receiver: Receiver, hook: Hook
) -> None:
    """No answer in time, a closed port and a URL that is none are all final."""
    receiver.status = 0
    async with open_forge("gitea", timeout_s=0.2) as impatient:
        furnish(impatient)
        impatient.hook(REPO, receiver.url, SECRET)
        impatient.open(REPO, "t")
        await impatient.wait_quiet()
        lost = list(impatient.deliveries)
    for url in ("http://127.0.0.1:1/", "http://:x"):
        hook.url = url
        forge.open(REPO, "t")
        await forge.wait_quiet()
    lost += forge.deliveries
    assert [posted.outcome for posted in lost] == ["failed"] * 3
    errors = [posted.error for posted in lost]
    assert errors == ["no answer in time", "ConnectError", "InvalidURL"]


async def test_the_secret_is_read_when_it_is_sent(forge: Forge, receiver: Receiver, hook: Hook) -> None:
    """The payload is old, the signature new; a deleted hook sends nothing."""
    forge.go_away()
    hook.secret = "not yet"
    issue = forge.open(REPO, "as it was")
    forge.retitle(issue, "as it is")
    hook.secret = SECRET
    await forge.come_back()
    await forge.wait_quiet()
    assert [each.issue.title for each in receiver.deliveries()] == ["as it was", "as it is"]
    forge.close(issue)
    forge.data.hooks.clear()
    await forge.wait_quiet()
    assert forge.deliveries[-1].outcome == "inactive"


async def test_without_a_secret_signatures_are_there_but_empty(
    forge: Forge, receiver: Receiver
) -> None:
    """The headers are sent, blank: a receiver that trusts their presence is fooled."""
    forge.hook(REPO, receiver.url, "")
    forge.open(REPO, "t")
    await forge.wait_quiet()
    ((headers, body),) = receiver.got
    assert (headers["x-gitea-signature"], headers["x-hub-signature-256"]) == ("", "sha256=")
    assert not verify([SECRET.encode()], body, b"")


async def test_a_form_is_signed_over_its_json(forge: Forge, receiver: Receiver, hook: Hook) -> None:
    """content_type form wraps the JSON; the signature does not cover the wrapping."""
    hook.content_type = "form"
    hook.authorization_header = "Bearer x"
    forge.open(REPO, "t & <t>")
    await forge.wait_quiet()
    ((headers, body),) = receiver.got
    inner = parse_qs(body.decode())["payload"][0].encode()
    assert verify([SECRET.encode()], inner, headers["x-gitea-signature"].encode())
    assert headers["authorization"] == "Bearer x"


async def test_replay_is_the_old_payload_under_a_new_id(
    forge: Forge, receiver: Receiver, hook: Hook
) -> None:
    """The button in the forge's history sends what was true then."""
    del hook
    issue = forge.open(REPO, "then")
    forge.retitle(issue, "now")
    forge.postman.replay(forge.deliveries[0])
    await forge.wait_quiet()
    assert [each.issue.title for each in receiver.deliveries()] == ["then", "now", "then"]
    assert receiver.got[0][1] == receiver.got[2][1]
    assert len({headers["x-gitea-delivery"] for headers, _ in receiver.got}) == 3


# faults -----------------------------------------------------------------------------------------


async def test_the_next_deliveries_can_be_lost(forge: Forge, receiver: Receiver, hook: Hook) -> None:
    """As many as told never leave, and the history says so."""
    del hook
    forge.postman.faults.next("lose", 2)
    for title in ("1", "2", "3"):
        forge.open(REPO, title)
    await forge.wait_quiet()
    assert [each.issue.title for each in receiver.deliveries()] == ["3"]
    assert [posted.outcome for posted in forge.deliveries] == ["lost", "lost", "sent"]


async def test_deliveries_can_be_doubled_and_overtaken(
    forge: Forge, receiver: Receiver, hook: Hook
) -> None:
    """A double has the same id and bytes; one held back leaves after the next, or when none comes."""
    del hook
    forge.postman.faults.next("duplicate")
    forge.open(REPO, "1")
    forge.postman.faults.next("reorder")
    forge.open(REPO, "2")
    forge.open(REPO, "3")
    forge.postman.faults.next("reorder")
    forge.open(REPO, "4")
    await forge.wait_quiet()
    assert [each.issue.title for each in receiver.deliveries()] == ["1", "1", "3", "2", "4"]
    assert receiver.got[0] == receiver.got[1]


async def test_deliveries_can_be_late(forge: Forge, receiver: Receiver, hook: Hook) -> None:
    """A delayed one arrives after those that were not, whenever that is."""
    del hook
    forge.postman.faults.delay_s = (0.05, 0.05)
    forge.postman.faults.next("delay")
    forge.open(REPO, "late")
    forge.open(REPO, "prompt")
    await forge.wait_quiet()
    assert [each.issue.title for each in receiver.deliveries()] == ["prompt", "late"]


@pytest.mark.parametrize("kind", ["truncate", "missign"])
async def test_a_spoilt_delivery_does_not_verify(
    forge: Forge, receiver: Receiver, hook: Hook, kind: str
) -> None:
    """Cut short, or signed with another secret: the signature does not hold."""
    del hook
    assert kind in ("truncate", "missign")
    forge.postman.faults.next("truncate" if kind == "truncate" else "missign")
    forge.open(REPO, "t")
    await forge.wait_quiet()
    ((headers, body),) = receiver.got
    assert not verify([SECRET.encode()], body, headers["x-gitea-signature"].encode())


async def test_chance_is_the_same_for_the_same_seed(forge: Forge, hook: Hook) -> None:
    """Equal seeds and actions give equal faults; cleared, none."""
    del hook

    def fates() -> list[tuple[str, ...]]:
        forge.postman.faults.seed(7)
        before = len(forge.deliveries)
        for _ in range(40):
            forge.open(REPO, "t")
        return [posted.faults for posted in forge.deliveries[before:]]

    forge.postman.faults.chances |= {"lose": 0.3, "duplicate": 0.2}
    first = fates()
    assert first == fates()
    assert {("lose",), ("duplicate",), ()} <= set(first)
    forge.postman.faults.clear()
    assert set(fates()) == {()}
    await forge.wait_quiet()
