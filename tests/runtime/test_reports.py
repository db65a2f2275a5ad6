"""What hooks are told, and when."""

import functools

import pytest

from coordinator.runtime import Hooks, SpecError, open_tree, supervisor
from tests.runtime.stage import Boom, Chronicle, Say, Script, player, settle


async def test_hooks_hear_a_life_from_start_to_stop() -> None:
    """Started, handled, crashed, stopped, started again, restarted, stopped for good; in that order."""
    told = list[str]()
    hooks = Hooks(
        started=lambda name, life: told.append(f"started {name} {life}"),
        restarted=lambda name, life: told.append(f"restarted {name} {life}"),
        stopped=lambda name, reason: told.append(f"stopped {name} {reason}"),
        handled=lambda name, message, *_: told.append(f"handled {name} {message}"),
        crashed=lambda report: told.append(f"crashed {report.id} {report.message}"),
    )
    async with open_tree(supervisor("root", player(Chronicle(), "a")), hooks=hooks) as tree:
        await tree.ref("a").cast(Say("x"))
        await tree.ref("a").cast(Boom("y", once=True))
        await settle()
    assert told == [
        "started a 1",
        "started root 1",
        "handled a Say(word='x')",
        "crashed a Boom(word='y', once=True)",
        "stopped a crash",
        "started a 2",
        "restarted a 2",
        "handled a Boom(word='y', once=True)",
        "stopped a shutdown",
        "stopped root shutdown",
    ]


async def test_a_crash_report_tells_the_circumstances() -> None:
    """Where, which life, which message and attempt, how deep the mailbox was, and the traceback."""
    chronicle = Chronicle()
    spec = supervisor("root", supervisor("m", player(chronicle, "a", Script())))
    async with open_tree(spec, hooks=chronicle.hooks()) as tree:
        tree.ref("a").cast_nowait(Boom("x", once=True))
        tree.ref("a").cast_nowait(Say("queued"))
        await settle()
    report = chronicle.crashes[0]
    assert (report.path, report.incarnation, report.phase) == ("root/m/a", 1, "run")
    assert (report.message, report.attempt, report.mailbox_depth) == ("Boom(word='x', once=True)", 1, 1)
    assert "BoomError: x" in report.traceback
    assert report.error.at.endswith("+00:00")


async def _never(*_: object) -> None:
    """Would have to be awaited, which nobody does."""


@pytest.mark.parametrize("hook", [_never, functools.partial(_never, 1), "log", 5])
@pytest.mark.parametrize("name", ["started", "redact", "blocked"])
def test_a_hook_that_would_never_run_is_refused(name: str, hook: object) -> None:
    """An async function, or what is no function at all, is named when the hooks are given."""
    with pytest.raises(SpecError, match=f"Hooks: {name} is .*, must be a sync function"):
        Hooks(**{name: hook})  # type: ignore[arg-type]


async def test_a_hook_that_exits_ends_the_program() -> None:
    """Only an Exception of a hook is counted and passed over; the tree stops in order first."""
    chronicle = Chronicle()

    def leave(*_: object) -> None:
        raise SystemExit(3)

    spec = supervisor("root", player(chronicle, "a"), player(chronicle, "b"))
    with pytest.raises(SystemExit):  # noqa: PT012  the tree itself raises
        async with open_tree(spec, hooks=Hooks(handled=leave)) as tree:
            tree.ref("b").cast_nowait(Say("x"))
            await tree.wait()
    assert chronicle.of("terminate") == ["b", "a"]
