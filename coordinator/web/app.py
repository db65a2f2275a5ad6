"""The web application on one screen: the front, the routes behind it, one envelope for all errors."""

import structlog
from quart import Blueprint, Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from coordinator.errors import JournalUnavailable
from coordinator.web.agents import agents_blueprint, is_long_poll
from coordinator.web.auth import check_access
from coordinator.web.backup import backup_blueprint
from coordinator.web.context import WebContext
from coordinator.web.envelope import Answer, Refused, refused_answer
from coordinator.web.front import ASGIApp, Front
from coordinator.web.health import health_blueprint
from coordinator.web.issues import issues_blueprint
from coordinator.web.letters import letters_blueprint
from coordinator.web.metrics import metrics_blueprint
from coordinator.web.openapi import OPERATIONS, document
from coordinator.web.refresh import refresh_blueprint
from coordinator.web.server import WebServer, is_loopback
from coordinator.web.shapes import IndexBody
from coordinator.web.state import state_blueprint
from coordinator.web.views import respond, shaped
from coordinator.web.webhook import WEBHOOK_PATH, Webhook

__all__ = ["create_app", "web_server"]

_log = structlog.get_logger(__name__)

_OPEN_PATHS = frozenset(operation.path for operation in OPERATIONS if operation.is_open)
_SHOWN_IN_INDEX = (
    "/health",
    "/state",
    "/metrics",
    "/openapi.json",
    "/api/v1/issues",
    "/api/v1/agents",
)


def web_server(context: WebContext, *, host: str, port: int) -> WebServer:
    """The server of the whole application; give its `serve` to the tree as a task."""
    context.bind_is_loopback = is_loopback(host)
    return WebServer(
        create_app(context),
        host=host,
        port=port,
        limits=context.limits,
        counters=context.counters,
        on_stop=context.end_polls,
    )


def create_app(context: WebContext) -> ASGIApp:
    """The ASGI application: the webhook in front, Quart behind it for everything else."""
    return Front(
        _quart(context),  # type: ignore[arg-type]  # Quart types its scope more narrowly than ASGI
        hot_path=WEBHOOK_PATH,
        hot_route=Webhook(context),
        watches=lambda scope: is_long_poll(scope["method"], scope["path"]),
        limits=context.limits,
        counters=context.counters,
    )


def _quart(context: WebContext) -> QuartTrio:
    app = QuartTrio("coordinator", static_folder=None)
    # The front bounds bodies in size and time, and has them whole before Quart begins.
    app.config.update(
        MAX_CONTENT_LENGTH=None,
        BODY_TIMEOUT=None,
        RESPONSE_TIMEOUT=None,
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    app.url_map.merge_slashes = False  # it would answer //host/path with a redirect
    app.url_map.redirect_defaults = False
    for blueprint in (
        _index_blueprint(context),
        health_blueprint(context),
        state_blueprint(context),
        metrics_blueprint(context),
        issues_blueprint(context),
        agents_blueprint(context),
        letters_blueprint(context),
        backup_blueprint(context),
        refresh_blueprint(context),
    ):
        app.register_blueprint(blueprint)
    _guard(app, context)
    _envelope(app, context)
    return app


def _index_blueprint(context: WebContext) -> Blueprint:
    blueprint = Blueprint("index", __name__)
    openapi = Answer(200, document(context.version))

    @blueprint.get("/")
    async def show_index() -> Response:
        urls = {path: path for path in _SHOWN_IN_INDEX}
        return shaped(
            IndexBody, {"name": "mosaic-coordinator", "version": context.version, "urls": urls}
        )

    @blueprint.get("/openapi.json")
    async def show_openapi() -> Response:
        return respond(openapi)

    return blueprint


def _guard(app: QuartTrio, context: WebContext) -> None:
    @app.before_request
    async def check() -> None:
        if request.path in _OPEN_PATHS:
            return
        check_access(
            token=context.api_token,
            bind_is_loopback=context.bind_is_loopback,
            authorization=request.headers.get("authorization"),
            host=request.headers.get("host"),
            origin=request.headers.get("origin"),
        )


def _envelope(app: QuartTrio, context: WebContext) -> None:
    @app.errorhandler(Refused)
    async def refused(error: Refused) -> Response:
        return respond(refused_answer(error))

    @app.errorhandler(JournalUnavailable)
    async def unavailable(_error: JournalUnavailable) -> Response:
        message, headers = "the journal does not answer now", {"retry-after": "2"}
        return respond(refused_answer(Refused(503, "journal_unavailable", message, headers=headers)))

    @app.errorhandler(HTTPException)
    async def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        code = (error.name or "error").lower().replace(" ", "_")
        kept = {name: value for name, value in error.get_headers() if name.lower() == "allow"}
        return respond(refused_answer(Refused(status, code, _MESSAGES.get(status, code), headers=kept)))

    @app.errorhandler(Exception)
    async def failed(error: Exception) -> Response:
        context.counters.internal_errors += 1
        _log.error("request failed", path=request.path, exc_info=error)
        answer = Refused(500, "internal_error", "the coordinator failed; its log says how")
        return respond(refused_answer(answer))


_MESSAGES = {
    404: "there is nothing at this path; GET /openapi.json lists what there is",
    405: "this path takes another method; see the Allow header",
}
