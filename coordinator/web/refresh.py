"""`POST /api/v1/refresh`: look for missed deliveries now."""

from contextlib import suppress

from quart import Blueprint, Response, request

from coordinator.actors.messages import Refresh, WriteAgain
from coordinator.web.ask import ask
from coordinator.web.asked import RefreshAsked
from coordinator.web.context import WebContext
from coordinator.web.envelope import Refused
from coordinator.web.names import repository_called
from coordinator.web.shapes import RefreshBody
from coordinator.web.views import read_json, shaped

__all__ = ["refresh_blueprint"]

_NO_TOKEN = "set GITEA_TOKEN: without it nothing can be asked of the forge"  # noqa: S105 - no secret


def refresh_blueprint(context: WebContext) -> Blueprint:
    blueprint = Blueprint("refresh", __name__)

    @blueprint.post("/api/v1/refresh")
    async def refresh() -> Response:
        has_body = bool(await request.get_data(cache=True))
        asked = await read_json(RefreshAsked) if has_body else RefreshAsked()
        if context.forge_health is None:
            raise Refused(503, "no_forge_token", _NO_TOKEN)
        name = asked.repository
        found = None if name is None else await repository_called(context, name)
        wanted = name if found is None else found.current
        count = await ask(context, "sweeper", Refresh(wanted))
        if not count and wanted != name:  # the sweeper may not have heard of the new name yet
            count = await ask(context, "sweeper", Refresh(name))
        if not count and asked.repository is not None:
            raise Refused(404, "not_found", f"{asked.repository[:100]!r} is not being watched")
        with suppress(Refused):  # the sweep is ordered all the same
            await ask(context, "scribe", WriteAgain())
        return shaped(RefreshBody, {"repositories": count}, status=202)

    return blueprint
