"""The demo's forge: its clock, its people, and what is seen on its pages."""

from datetime import timedelta

from coordinator.actors.clocks import utc_now
from coordinator.demo.forge import open_forge
from coordinator.demo.story import POOL, SCENES, Assign, Lost, Open
from coordinator.demo.town import BOT, QuickClock, Town
from coordinator.rules.comment import MARKER


def test_the_clock_runs_fast_and_never_ahead() -> None:
    """It begins a day ago, goes so many times faster, and stops at the present."""
    quick = QuickClock(1_000.0)
    assert utc_now() - quick() > timedelta(hours=23)
    assert QuickClock(1e12)() <= utc_now()


async def test_people_act_and_the_forge_announces_it() -> None:
    """What happened is posted, and what is to be lost is lost."""
    opened = next(scene.act for scene in SCENES if isinstance(scene.act, Open) and scene.act.login)
    async with open_forge("forgejo") as forge:
        town = Town(forge)
        town.furnish()
        await town.install_hooks("http://127.0.0.1:9", "secret")
        assert [each.letter.action for each in town.do(opened)] == ["assigned", "opened"]
        assert town.issue(opened.ref).assignees == [POOL]
        (lost,) = town.do(Lost(Assign(opened.ref, "maria")))
        assert lost.outcome == "lost"


async def test_the_coordinators_own_writing_is_told_from_others() -> None:
    """Only its marked comments and its labels count."""
    opened = next(scene.act for scene in SCENES if isinstance(scene.act, Open))
    async with open_forge("forgejo") as forge:
        town = Town(forge)
        town.furnish()
        town.do(opened)
        issue = town.issue(opened.ref)
        forge.comment(issue, f"{MARKER}\nmine", by=BOT)
        forge.comment(issue, f"{MARKER}\nforged", by="maria")
        forge.comment(issue, "hello", by=BOT)
        forge.set_labels(issue, "kind/bug", "coordinator/ready")
        assert town.stickies(opened.ref) == [f"{MARKER}\nmine"]
        assert town.labels(opened.ref) == ["coordinator/ready"]
