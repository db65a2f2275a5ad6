"""The imagined forge sends what the real ones send."""

import json
from pathlib import Path
from typing import Any

import pytest

from coordinator.demo.payloads import ForgeWorld, Product, SignedDelivery, WorldIssue, sign
from coordinator.edges.gitea_wire import Ignored, IssueDelivery, facts_of_issue, parse_delivery, verify
from coordinator.rules.ids import IssueRef

PAYLOADS = Path(__file__).parent.parent / "payloads"
SECRET = b"example-secret-not-real"
PRODUCTS: list[Product] = ["gitea", "forgejo"]
RECORDED = {"gitea": "gitea126", "forgejo": "forgejo15"}
both = pytest.mark.parametrize("product", PRODUCTS)


def paths(value: Any, at: str = "") -> list[str]:
    """Every field of a payload in order, with the type of its value."""
    if isinstance(value, dict):
        return [
            each
            for key, inner in value.items()
            for each in (f"{at}.{key}", *paths(inner, f"{at}.{key}"))
        ]
    if isinstance(value, list):
        return [each for inner in value for each in paths(inner, f"{at}[]")]
    return [f"{at}:{type(value).__name__}"]


def story(product: Product) -> tuple[ForgeWorld, WorldIssue, dict[str, SignedDelivery]]:
    """One issue through every change there is."""
    world = ForgeWorld(product, SECRET)
    body = "Steps:\n\n1. feed `a<br>b`\n2. look at the output\n"
    title = "Parser drops <br> & trailing blanks"
    issue, opened = world.open("acme/widgets", title, body, labels=["kind/bug"])
    said = {"opened": opened[0], "label_updated": opened[1]}
    said["assigned"] = world.assign(issue, "coder-bot")
    said["commented"] = world.comment(issue, "On it.", by="coder-bot")
    world.advance(60)
    said["closed"] = world.close(issue, by="coder-bot", commit="3f1c9a5d")
    said["reopened"] = world.reopen(issue)
    said["edited"] = world.edit_body(issue, "Blocked by: #2 & <more>")
    said["retitled"] = world.edit_title(issue, "Parser")
    said["milestoned"] = world.set_milestone(issue, "v2")
    said["demilestoned"] = world.set_milestone(issue, None)
    said["label_cleared"] = world.label(issue, [])
    said["unassigned"] = world.unassign(issue, "coder-bot")
    return world, issue, said


def read(delivery: SignedDelivery) -> IssueDelivery:
    assert verify([SECRET], delivery.body, dict(delivery.headers)["X-Gitea-Signature"].encode())
    parsed = parse_delivery(delivery.event, delivery.event_type, delivery.body)
    assert isinstance(parsed, IssueDelivery)
    return parsed


@both
@pytest.mark.parametrize("action", ["assigned", "closed"])
def test_built_deliveries_look_like_recorded_ones(product: Product, action: str) -> None:
    """Fields, their order and types, layout, escaping and headers are those of a recorded delivery."""
    built = story(product)[2][action]
    name = f"{RECORDED[product]}_{action}"
    real = (PAYLOADS / f"{name}.body.json").read_bytes()
    assert paths(json.loads(built.body)) == paths(json.loads(real))
    lines = (PAYLOADS / f"{name}.headers.txt").read_text().splitlines()[1:]
    headers = dict(line.split(": ", 1) for line in lines)
    transport = {"Host", "Content-Length", "Accept-Encoding"}  # the HTTP client's own
    assert [key for key, _ in built.headers] == [key for key in headers if key not in transport]
    assert (built.event, built.event_type) == (headers["X-Gitea-Event"], headers["X-Gitea-Event-Type"])
    title = next(line for line in real.split(b"\n") if b'"title"' in line)
    assert title in built.body.split(b"\n")


@both
def test_recorded_bodies_are_encoded_the_same_way(product: Product) -> None:
    """Encoding a recorded payload again gives its very bytes, so their signature still holds."""
    world = ForgeWorld(product, SECRET)
    for path in PAYLOADS.glob(f"{RECORDED[product]}_*.body.json"):
        real = path.read_bytes()
        assert world.shapes.encode(json.loads(real)) == real
        headers = path.with_name(path.name.replace("body.json", "headers.txt")).read_text()
        assert f"X-Gitea-Signature: {sign(SECRET, real)}" in headers.splitlines()


@both
def test_every_change_is_read_as_it_was_meant(product: Product) -> None:
    """Each delivery verifies and says the state of the issue at its moment."""
    _, _, said = story(product)
    seen = {name: read(delivery) for name, delivery in said.items()}
    assert seen["opened"].issue.assignees == ()
    assert seen["assigned"].issue.assignees == ("coder-bot",)
    assert seen["commented"].has_comment
    assert seen["closed"].issue.state == "closed"
    assert seen["closed"].commit_id == "3f1c9a5d"
    assert seen["closed"].issue.closed_at == seen["closed"].issue.updated_at
    assert (seen["reopened"].issue.state, seen["reopened"].issue.closed_at) == ("open", None)
    assert facts_of_issue(seen["edited"].issue)[0].blocked_by == (IssueRef("acme/widgets", 2),)
    assert seen["retitled"].issue.title == "Parser"
    assert (seen["milestoned"].issue.milestone, seen["demilestoned"].issue.milestone) == ("v2", None)
    assert seen["label_cleared"].issue.labels == ()
    assert seen["unassigned"].issue.assignees == ()
    others = {"commented": "comment_created", "edited": "edited", "retitled": "edited"}
    assert {name: each.action for name, each in seen.items()} == {
        name: others.get(name, name) for name in said
    }


@both
def test_assigned_comes_before_opened(product: Product) -> None:
    """People assigned at the creation of an issue are announced one by one before it is opened."""
    world = ForgeWorld(product, SECRET)
    _, said = world.open("acme/widgets", "t", assignees=["one", "two"])
    seen = [read(delivery) for delivery in said]
    assert [(each.action, each.issue.assignees) for each in seen] == [
        ("assigned", ("one",)),
        ("assigned", ("one", "two")),
        ("opened", ("one", "two")),
    ]


@both
def test_a_deletion_and_the_test_delivery(product: Product) -> None:
    """A deletion is told as one, and the test delivery is a push that is ignored."""
    world, issue, _ = story(product)
    assert world.now_of(issue).title == "Parser"
    assert read(world.delete(issue)).is_deletion
    push = world.push("acme/widgets")
    assert isinstance(parse_delivery(push.event, push.event_type, push.body), Ignored)
    assert verify([SECRET], push.body, dict(push.headers)["X-Gitea-Signature"].encode())


def test_numbers_count_up_in_each_repository() -> None:
    """Issues are numbered from 1 in each repository, unless the story names a number."""
    world = ForgeWorld("gitea", SECRET)
    numbers = [world.open(repo, "t")[0].number for repo in ("a/b", "a/b", "a/c")]
    assert numbers == [1, 2, 1]
    assert world.open("a/b", "t", number=40)[0].number == 40
    assert world.open("a/b", "t")[0].number == 41


def test_a_story_told_twice_gives_equal_bytes() -> None:
    """Nothing in a delivery comes from chance or a clock; another first number gives other ids."""
    one, other = story("forgejo")[2], story("forgejo")[2]
    assert one == other
    assert len({delivery.id for delivery in one.values()}) == len(one)
    elsewhere = ForgeWorld("forgejo", SECRET, first_delivery=1_000)
    assert elsewhere.push("a/b").id not in {delivery.id for delivery in one.values()}
