"""The power-cut model: what a disk may hold after the lights went out.

`kill -9` cannot tell a store that syncs from one that does not, because the kernel keeps every
written byte. Here only what was synced is sure to survive; of every other write each sector is kept
or lost by chance (so writes tear and reorder), and a file created or removed since the directory was
last synced may be there or not. Needs a C compiler for the preloaded recorder, powercut.c.
"""

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Record", "assemble_disk", "build_recorder", "read_log", "recording"]

SECTOR_BYTES = 512  # the unit disks promise to write whole

_HEADER = struct.Struct("=c128sqq")
_SOURCE = Path(__file__).with_suffix(".c")


@dataclass(frozen=True, slots=True)
class Record:
    """One thing the process did: W write, T truncate, S sync, C create, U unlink, D sync directory."""

    kind: str
    name: str
    offset: int
    data: bytes


@dataclass(slots=True)
class _File:
    durable: bytearray
    pending: list[Record] = field(default_factory=list)


def build_recorder(folder: Path) -> Path | None:
    """Compile the recorder into `folder`; None when there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = folder / "powercut.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE), "-ldl", "-lpthread"],
        check=True,
    )
    return library


def recording(
    recorder: Path, *, watch: Path, log: Path, sync_fails: Path | None = None
) -> dict[str, str]:
    """The environment of a process whose files directly in `watch` are recorded to `log`.

    While the file `sync_fails` exists, syncing any of them fails with an I/O error.
    """
    return {
        **os.environ,
        "LD_PRELOAD": str(recorder),
        "POWERCUT_WATCH": str(watch),
        "POWERCUT_LOG": str(log),
        "POWERCUT_SYNC_FAILS": str(sync_fails or log.with_name("never")),
    }


def read_log(log: Path) -> Iterator[Record]:
    """The records in order; a last one cut short by the kill is left out."""
    with log.open("rb") as stream:
        while len(header := stream.read(_HEADER.size)) == _HEADER.size:
            kind, name, offset, size = _HEADER.unpack(header)
            data = stream.read(size)
            if len(data) < size:
                return
            yield Record(kind.decode(), name.rstrip(b"\0").decode(), offset, data)


def assemble_disk(
    records: Iterator[Record], *, before: Path, after: Path, survive: float, chance: random.Random
) -> None:
    """Write to the new folder `after` what is left of the files of `before` and the recorded work.

    `survive` is the probability of each unsynced sector, truncation, creation and removal to last.
    """
    files = {path.name: _File(bytearray(path.read_bytes())) for path in before.iterdir()}
    listed = dict(files)  # what the directory durably names
    unsure: list[tuple[str, str, _File | None]] = []
    for record in records:
        match record.kind:
            case "C":
                files[record.name] = _File(bytearray())
                unsure.append(("C", record.name, files[record.name]))
            case "U":
                files.pop(record.name, None)
                unsure.append(("U", record.name, None))
            case "D":
                for change in unsure:
                    _relist(listed, change)
                unsure.clear()
            case "S":
                file = files[record.name]
                for pending in file.pending:
                    _apply(file.durable, pending)
                file.pending.clear()
            case _:
                files[record.name].pending.append(record)
    for change in unsure:
        if chance.random() < survive:
            _relist(listed, change)
    after.mkdir()
    for name, file in listed.items():
        for pending in file.pending:
            _apply_by_chance(file.durable, pending, survive, chance)
        (after / name).write_bytes(file.durable)


def _relist(listed: dict[str, _File], change: tuple[str, str, _File | None]) -> None:
    _, name, file = change
    if file is None:
        listed.pop(name, None)
    else:
        listed[name] = file


def _apply(content: bytearray, record: Record) -> None:
    if record.kind == "T":
        del content[record.offset :]
        content.extend(bytes(record.offset - len(content)))
    else:
        content.extend(bytes(max(record.offset - len(content), 0)))
        content[record.offset : record.offset + len(record.data)] = record.data


def _apply_by_chance(content: bytearray, record: Record, survive: float, chance: random.Random) -> None:
    if record.kind == "T":
        if chance.random() < survive:
            _apply(content, record)
        return
    for start in range(0, len(record.data), SECTOR_BYTES):
        if chance.random() < survive:
            piece = record.data[start : start + SECTOR_BYTES]
            _apply(content, Record("W", record.name, record.offset + start, piece))
