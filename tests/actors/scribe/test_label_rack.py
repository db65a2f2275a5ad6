"""Our labels are made once per repository, told apart from other people's, and taken off again."""

from typing import Any

import pytest
import trio

from coordinator.actors.scribe import label_rack
from coordinator.actors.scribe.label_rack import LabelRack, write_labels
from coordinator.demo.forge import Forge as ForgeServer
from coordinator.demo.forge import Issue, open_forge
from coordinator.errors import ForgeRefused
from coordinator.rules.written import Wish
from tests.actors.scribing import forge_client
from tests.fakes.forge import BOT, REPO, furnish
from tests.rules.builders import ref

READY, RUNNING, AGENT = "coordinator/ready", "coordinator/running", "agent/sonnet-1"
PRODUCTS = pytest.mark.parametrize("product", ["gitea", "forgejo"])


def wish(
    forge: ForgeServer, *labels: str, removable: tuple[str, ...] = (AGENT,), number: int = 1
) -> Wish:
    repo_id = forge.repository(REPO).id
    return Wish(ref(number), repo_id, REPO, labels=labels, removable=frozenset(removable))


def on_issue(forge: ForgeServer, issue: Issue) -> list[str]:
    return sorted(label.name for label in forge.data.labels_of(issue))


def made(forge: ForgeServer) -> list[tuple[str, bool]]:
    return sorted((each.name, each.exclusive) for each in forge.repository(REPO).labels.values())


@PRODUCTS
async def test_labels_are_made_when_missing_and_take_the_place_of_their_siblings(product: Any) -> None:
    """Scoped and exclusive, with a colour; other people's labels stay."""
    async with open_forge(product) as forge:
        token = furnish(forge)
        issue = forge.open(REPO, "One")
        forge.set_labels(issue, "bug")
        async with forge_client(forge.url, token) as client:
            rack = LabelRack(client)
            await write_labels(rack, wish(forge, READY), REPO)
            await write_labels(rack, wish(forge, AGENT, RUNNING), REPO)
            assert on_issue(forge, issue) == [AGENT, "bug", RUNNING]
            await write_labels(rack, wish(forge, "coordinator/blocked"), REPO)
            assert on_issue(forge, issue) == ["bug", "coordinator/blocked"]
            await write_labels(rack, wish(forge), REPO)
            assert on_issue(forge, issue) == ["bug"]
    names = [name for name, exclusive in made(forge) if exclusive]
    assert names == [AGENT, "coordinator/blocked", READY, RUNNING]
    assert forge.server.requests["POST /repos/{owner}/{repo}/labels"] == 4


async def test_existing_labels_are_used_even_if_somebody_made_them_otherwise() -> None:
    """Of two of one name the older is used; the siblings of one not exclusive are removed by us."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        issue = forge.open(REPO, "One")
        first = forge.label(REPO, READY)
        forge.label(REPO, READY)
        forge.label(REPO, RUNNING)
        async with forge_client(forge.url, token) as client:
            rack = LabelRack(client)
            await write_labels(rack, wish(forge, READY), REPO)
            assert issue.label_ids == [first.id]
            await write_labels(rack, wish(forge, RUNNING), REPO)
            assert on_issue(forge, issue) == [RUNNING]


async def test_an_id_that_no_longer_counts_is_looked_up_anew() -> None:
    """Somebody deleted the label: the forge takes the add and shows nothing, so it is made again."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        issue = forge.open(REPO, "One")
        async with forge_client(forge.url, token) as client:
            rack = LabelRack(client)
            await write_labels(rack, wish(forge, READY), REPO)
            forge.repository(REPO).labels.clear()
            issue.label_ids.clear()
            await write_labels(rack, wish(forge, READY), REPO)
            assert on_issue(forge, issue) == [READY]


async def test_a_label_that_somebody_renamed_is_theirs() -> None:
    """It is not put on under its new name; ours is made again."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        issue = forge.open(REPO, "One")
        async with forge_client(forge.url, token) as client:
            rack = LabelRack(client)
            await write_labels(rack, wish(forge, READY), REPO)
            await write_labels(rack, wish(forge, RUNNING), REPO)
            for label in forge.repository(REPO).labels.values():
                label.name, label.exclusive = label.name.replace("coordinator/", "stage-"), False
            issue.label_ids.clear()
            await write_labels(rack, wish(forge, READY), REPO)
            assert on_issue(forge, issue) == [READY]
            assert [name for name, _ in made(forge)] == [READY, "stage-ready", "stage-running"]


async def test_labels_like_ours_of_other_people_stay() -> None:
    """`agent/browser` is no agent of ours; what is gone at the forge needs no removal."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        issue = forge.open(REPO, "One")
        forge.set_labels(issue, "agent/browser", AGENT, READY)
        async with forge_client(forge.url, token) as client:
            rack = LabelRack(client)
            forge.misbehave("status", route="DELETE", status=404)
            await write_labels(rack, wish(forge), REPO)
            assert "agent/browser" in on_issue(forge, issue)
            assert len(on_issue(forge, issue)) == 2  # one removal was answered with "not found"
            await write_labels(rack, wish(forge), REPO)
            assert on_issue(forge, issue) == ["agent/browser"]
            before = forge.server.requests.total()
            await write_labels(rack, wish(forge), REPO)
            assert forge.server.requests.total() == before + 1


async def test_a_forge_that_never_shows_the_label_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not shown was not taken, whatever the status; the memory of labels is bounded."""
    monkeypatch.setattr(label_rack, "MAX_REPOSITORIES", 1)
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        forge.open(REPO, "One")
        elsewhere = forge.repository("acme/api", collaborators={BOT: "admin"})
        async with forge_client(forge.url, token) as client:
            rack = LabelRack(client)
            ids = await rack.ids(REPO, forge.repository(REPO).id, [READY])
            await rack.ids("acme/api", elsewhere.id, [READY])
            assert await rack.ids(REPO, forge.repository(REPO).id, [READY]) == ids
            assert len(forge.repository(REPO).labels) == 1
            # The name is that of a repository whose labels are other ones.
            with pytest.raises(ForgeRefused, match="did not take the labels coordinator/ready"):
                await write_labels(_Forgetful(client), wish(forge, READY), REPO)


class _Forgetful(LabelRack):
    """Knows ids that no forge ever gave."""

    async def ids(self, repo: str, repo_id: int, names: Any, *, afresh: bool = False) -> dict[str, int]:
        return dict.fromkeys(names, 999_999)


async def test_a_slow_repository_keeps_no_other_waiting() -> None:
    """While the labels of one are still being asked for, those of another are found and made."""
    async with open_forge("gitea") as forge:
        token = furnish(forge)
        other = forge.repository("acme/gadgets", collaborators={BOT: "admin"})
        forge.misbehave("hang", route="GET /repos/{owner}/{repo}/labels")
        client = forge_client(forge.url, token, request_timeout_s=600.0, total_timeout_s=600.0)
        async with client, trio.open_nursery() as nursery:
            rack = LabelRack(client)
            nursery.start_soon(rack.known, REPO, forge.repository(REPO).id)
            with trio.fail_after(60):
                while not forge.server.requests.total():  # noqa: ASYNC110
                    await trio.sleep(0.01)
                assert (await rack.ids(other.full_name, other.id, [READY])).keys() == {READY}
            nursery.cancel_scope.cancel()
