"""The router turns deliveries into what really changed, each with a recorded outcome."""

from pathlib import Path

import trio

from coordinator.actors.clocks import utc_now
from coordinator.edges.journal import Delivery
from coordinator.rules.events import IssueDeleted, IssueObserved
from coordinator.rules.ids import DeliveryId
from tests.actors.stage import Stage, as_delivery, stage


async def outcomes(on: Stage) -> list[str | None]:
    return [each.outcome for each in await on.journal.read_deliveries(0, 1_000)]


async def test_a_new_issue_is_observed_with_its_text(tmp_path: Path) -> None:
    """The first delivery of an issue yields IssueObserved under the delivery's id, and its text."""
    async with stage(tmp_path, ["router"]) as on:
        _, deliveries = on.forge.open(
            "acme/widgets", "Title", "Blocked by: #2", assignees=["coder-bot"]
        )
        [first, last] = await on.deliver(*deliveries)
        await on.wait_routed(last.seq)
        [stored] = await on.events()
        assert isinstance(stored.event, IssueObserved)
        assert stored.delivery == deliveries[0].id
        assert [ref.number for ref in stored.event.facts.blocked_by] == [2]
        assert await on.journal.text(stored.event.facts.text_key) == "Title\n\nBlocked by: #2"
        assert await outcomes(on) == ["observed", "unchanged"]
        assert first.seq < last.seq


async def test_stale_and_foreign_deliveries_end_here_with_a_reason(tmp_path: Path) -> None:
    """A push, a pull request or an older view never becomes an event."""
    async with stage(tmp_path, ["router"]) as on:
        issue, opened = on.forge.open("acme/widgets", "Title", assignees=["coder-bot"])
        on.forge.advance(5)
        edited = on.forge.edit_title(issue, "Better title")
        [_, *_, last] = await on.deliver(edited, *opened, on.forge.push("acme/widgets"))
        await on.wait_routed(last.seq)
        assert await outcomes(on) == ["observed", "stale", "stale", "ignored"]


async def test_a_deletion_is_an_event_and_final(tmp_path: Path) -> None:
    """After the deletion no view of the issue counts any more, also after a restart."""
    async with stage(tmp_path, ["router"]) as on:
        issue, opened = on.forge.open("acme/widgets", "Title", assignees=["coder-bot"])
        gone = on.forge.delete(issue)
        await on.deliver(*opened, gone)
        await on.wait_for(IssueDeleted)
    async with stage(tmp_path, ["router"]) as on:
        late = as_delivery(opened[0])
        again = Delivery(
            DeliveryId("late"), late.event, late.event_type, (), late.body + b" ", utc_now()
        )
        receipt = await on.journal.accept(again)
        await on.wait_routed(receipt.seq)
        assert (await outcomes(on))[-1] == "stale"


async def test_a_restart_goes_on_behind_the_last_commit(tmp_path: Path) -> None:
    """What was routed is not routed again, and what was known is known again."""
    async with stage(tmp_path, ["router"]) as on:
        issue, opened = on.forge.open("acme/widgets", "Title", assignees=["coder-bot"])
        forge = on.forge
        [*_, last] = await on.deliver(*opened)
        await on.wait_routed(last.seq)
    async with stage(tmp_path, ["router"]) as on:
        forge.advance(1)
        [receipt] = await on.deliver(forge.label(issue, ["kind/bug"]))
        await on.wait_routed(receipt.seq)
        assert [type(each.event).__name__ for each in await on.events()] == ["IssueObserved"] * 2
        assert await outcomes(on) == ["observed", "unchanged", "observed"]


async def test_deliveries_that_wait_for_a_router_are_read_in_order(tmp_path: Path) -> None:
    """A router that starts late finds everything accepted before it, in the order of acceptance."""
    async with stage(tmp_path) as on:
        forge = on.forge
        many = [forge.open("acme/widgets", f"T{n}", assignees=["coder-bot"])[1] for n in range(100)]
        await on.deliver(*(delivery for pair in many for delivery in pair))
    async with stage(tmp_path, ["router"]) as on:
        await on.wait_routed(200)
        numbers = [
            each.event.facts.ref.number
            for each in await on.events()
            if isinstance(each.event, IssueObserved)
        ]
        assert numbers == list(range(1, 101))


async def test_the_dump_shows_cursor_and_lag(tmp_path: Path) -> None:
    """What an operator sees of the router: how far it has read and how much it knows."""
    async with stage(tmp_path, ["router"]) as on:
        [*_, last] = await on.deliver(*on.forge.open("acme/widgets", "T", assignees=["coder-bot"])[1])
        await on.wait_routed(last.seq)
        with trio.fail_after(60):
            while (state := find(on.tree.dump().as_dict(), "router"))["cursor"] != 2:  # noqa: ASYNC110
                await trio.sleep(0.005)
        assert state["lag"] == 0
        assert state["known_issues"] == 1


def find(node: object, name: str) -> dict[str, object]:
    """The state of the actor with this id in a dump."""
    pending = [node]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            if each.get("id") == name and isinstance(each.get("state"), dict):
                return dict(each["state"])
            pending += each.values()
        elif isinstance(each, list):
            pending += each
    raise AssertionError(f"{name} is not in the dump")


async def test_a_delivery_that_cannot_be_read_is_noted_and_passed(tmp_path: Path) -> None:
    """What the endpoint would have refused is no poison: it is `invalid` with the field, and the next
    delivery is routed."""
    async with stage(tmp_path, ["router"]) as on:
        odd = Delivery(DeliveryId("odd"), "issues", "issues", (), b'{"action": "opened"}', utc_now())
        await on.journal.accept(odd)
        [*_, last] = await on.deliver(*on.forge.open("acme/widgets", "T", assignees=["coder-bot"])[1])
        await on.wait_routed(last.seq)
        assert (await outcomes(on))[:2] == ["invalid", "observed"]
