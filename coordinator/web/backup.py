"""`POST /api/v1/backup`: the running process copies its own journal, since nobody else may open it."""

from pathlib import Path

import trio
from quart import Blueprint, Response

from coordinator.errors import JournalError
from coordinator.web.asked import BackupAsked
from coordinator.web.context import WebContext
from coordinator.web.envelope import Refused
from coordinator.web.shapes import BackupBody
from coordinator.web.views import read_json, shaped

__all__ = ["backup_blueprint"]

_FOLDER = "backups"


def backup_blueprint(context: WebContext) -> Blueprint:
    blueprint = Blueprint("backup", __name__)
    one_at_a_time = trio.Lock()  # two copies under one name would take each other's unfinished file

    @blueprint.post("/api/v1/backup")
    async def make_backup() -> Response:
        asked = await read_json(BackupAsked)
        # Absolute, because the answer is read by a command that runs in another directory.
        folder = trio.Path(context.data_dir.absolute() / _FOLDER)
        path = folder / (asked.path or f"journal-{context.now():%Y%m%dT%H%M%S%fZ}.sqlite3")
        async with one_at_a_time:
            try:
                await folder.mkdir(mode=0o700, exist_ok=True)
                if await path.exists():
                    raise Refused(409, "conflict", f"{path.name} exists already")
                await context.journal.backup(Path(path))
                size_bytes = (await path.stat()).st_size
            except (JournalError, OSError) as error:
                raise Refused(503, "backup_failed", f"no backup was made: {error}") from error
        return shaped(BackupBody, {"path": str(path), "size_bytes": size_bytes})

    return blueprint
