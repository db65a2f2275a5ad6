"""An acknowledged delivery has been synced: shown by cutting the power, on a disk that forgets."""

import os
import random
import select
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes.powercut import Record, assemble_disk, build_recorder, read_log, recording

LIVES = int(os.environ.get("POWERCUT_LIVES", "4"))
"""Each takes about a second; set more for a long night."""

SEED = 20260101

TASKS = 8
"""So many senders deliver at once."""


@pytest.fixture(scope="session")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = build_recorder(tmp_path_factory.mktemp("powercut"))
    if library is None:
        pytest.skip("NOT PROVEN: the power-cut model needs a C compiler and none is installed")
    return library


def _live_and_lose_power(
    recorder: Path, folder: Path, *, life: str, synchronous: str, survive: float, chance: random.Random
) -> tuple[Path, set[str]]:
    """Run one life from the disk `folder`, kill it under load; the disk left and the ids it acked."""
    work = folder.with_name(f"{folder.name}-work{life}")
    log = folder.with_name(f"{folder.name}-log{life}")
    after = folder.with_name(f"{folder.name}-disk{life}")
    work.mkdir()
    for path in folder.iterdir():
        (work / path.name).write_bytes(path.read_bytes())
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.fakes.powercut_life"),
            *(str(work / "j.db"), synchronous, str(TASKS), life),
        ],
        env=recording(recorder, watch=work, log=log),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(chance.uniform(0.02, 0.4))
    process.kill()
    acked = {line.decode() for line in (first + process.stdout.read()).splitlines(keepends=False)}
    process.stdout.close()
    process.wait()
    assemble_disk(read_log(log), before=folder, after=after, survive=survive, chance=chance)
    return after, acked


def _lost(disk: Path, acked: set[str]) -> set[str]:
    """The acked ids that are not in the journal left on the disk, which must be sound."""
    path = disk / "j.db"
    if not path.exists():
        return acked
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'delivery'").fetchone():
            return acked
        rows = connection.execute("SELECT id FROM delivery JOIN delivery_body USING (seq)")
        return acked - {row[0] for row in rows}
    finally:
        connection.close()


@pytest.mark.parametrize("survive", [0.0, 0.4])
def test_no_acknowledged_delivery_is_lost_in_a_power_cut(
    recorder: Path, tmp_path: Path, survive: float
) -> None:
    """Whatever share of the unsynced bytes survives, every acked delivery of every life is there."""
    chance = random.Random(SEED)
    disk, acked = tmp_path / "d", set[str]()
    disk.mkdir()
    for life in range(LIVES):
        disk, more = _live_and_lose_power(
            recorder, disk, life=str(life), synchronous="FULL", survive=survive, chance=chance
        )
        acked |= more
        assert _lost(disk, acked) == set()
    assert len(acked) > LIVES


def test_the_model_catches_a_journal_that_does_not_sync(recorder: Path, tmp_path: Path) -> None:
    """With synchronous=NORMAL acked deliveries are lost, so the proof above is able to fail."""
    chance = random.Random(SEED)
    lost = 0
    for life in range(3):
        disk = tmp_path / f"d{life}"
        disk.mkdir()
        disk, acked = _live_and_lose_power(
            recorder, disk, life=str(life), synchronous="NORMAL", survive=0.0, chance=chance
        )
        lost += len(_lost(disk, acked))
    assert lost > 0


def test_a_sync_that_fails_acknowledges_nothing(recorder: Path, tmp_path: Path) -> None:
    """While syncing fails nothing is acked; it recovers by itself; then a power cut loses nothing."""
    before, work, fails = tmp_path / "before", tmp_path / "work", tmp_path / "fails"
    before.mkdir()
    work.mkdir()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.fakes.powercut_life",
            str(work / "j.db"),
            "FULL",
            str(TASKS),
            "0",
        ],
        env=recording(recorder, watch=work, log=tmp_path / "log", sync_fails=fails),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout as stream, process.stderr as complaints:
        output = stream.fileno()
        try:
            heard = _heard(output, within_s=30.0)
            assert heard
            fails.touch()
            refused = b""
            while refused.count(b"refused\n") < 3 * TASKS:  # somebody for the third time: syncing fails
                refused += _heard(complaints.fileno(), within_s=30.0) or pytest.fail("no sync failed")
            heard += _heard(output, within_s=0.0)  # what was acked before the first failure
            assert _heard(output, within_s=0.3) == b""
            fails.unlink()
            recovered = _heard(output, within_s=30.0)
            assert recovered
            heard += recovered
        finally:
            process.kill()
        heard += stream.read()
    process.wait()
    assemble_disk(
        read_log(tmp_path / "log"),
        before=before,
        after=tmp_path / "after",
        survive=0.4,
        chance=random.Random(SEED),
    )
    assert _lost(tmp_path / "after", {line.decode() for line in heard.splitlines()}) == set()


def _heard(output: int, *, within_s: float) -> bytes:
    """What the process has said, once it says anything; empty when it stays silent that long."""
    return os.read(output, 1 << 20) if select.select([output], [], [], within_s)[0] else b""


def test_synced_bytes_survive_and_others_by_chance(tmp_path: Path) -> None:
    """The model keeps what was synced, drops the rest at 0 and keeps it at 1."""
    before = tmp_path / "before"
    before.mkdir()
    (before / "kept").write_bytes(b"old")
    records = [
        Record("W", "kept", 0, b"new"),
        Record("S", "kept", 0, b""),
        Record("W", "kept", 3, b"!!"),
        Record("C", "fresh", 0, b""),
        Record("W", "fresh", 0, b"x"),
        Record("S", "fresh", 0, b""),
    ]
    chance = random.Random(SEED)
    none, every = tmp_path / "none", tmp_path / "every"
    assemble_disk(iter(records), before=before, after=none, survive=0.0, chance=chance)
    assemble_disk(iter(records), before=before, after=every, survive=1.0, chance=chance)
    assert {path.name: path.read_bytes() for path in none.iterdir()} == {"kept": b"new"}
    assert {path.name: path.read_bytes() for path in every.iterdir()} == {
        "kept": b"new!!",
        "fresh": b"x",
    }
