"""The log: one structured line per delivery and per state change, to stdout, without secrets or bodies.

JSON where a machine reads (containers, pipes), aligned text on a terminal. Libraries that log the
standard way come through the same line shape from WARNING up: below that they describe requests,
and requests carry bodies.
"""

import logging
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

__all__ = ["LineWriter", "Redaction", "configure_log", "wants_json"]

# A line longer than this is somebody's body or traceback in full; log shippers cut at 16 KiB.
_MAX_TEXT_CHARS = 8_000
_MAX_DEPTH = 6
_HIDDEN = "[redacted]"
_SECRET_KEYS = frozenset(
    {"api_key", "authorization", "body", "cookie", "credentials", "password", "payload", "raw"}
    | {"secret", "signature", "text", "token"}
)
_SECRET_ENDINGS = tuple(f"_{key}" for key in sorted(_SECRET_KEYS))
# Shorter values would blacken ordinary words; a secret this short protects nothing anyway.
_MIN_SECRET_CHARS = 6


class LineWriter:
    """Writes whole lines to a stream. A stream that is gone must not crash an actor: the line is
    counted in `lost` instead."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0

    def msg(self, message: str) -> None:
        try:
            self._stream.write(message + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self.lost += 1

    debug = info = warning = error = critical = exception = fatal = log = msg


class Redaction:
    """A processor that blackens known secret values anywhere and whole values under telling keys."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret for secret in secrets if len(secret) >= _MIN_SECRET_CHARS}
        # Longest first: a secret that contains another must not leave its tail behind.
        self._secrets = sorted(known, key=len, reverse=True)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: self._value(key, value, _MAX_DEPTH) for key, value in event.items()}

    def _value(self, key: str, value: object, depth: int) -> object:
        if value is not None and _is_secret_key(key):
            return _HIDDEN
        if type(value) is str:  # nearly all of them; the checks below cost more than the rest
            return self._text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, bytes | bytearray | memoryview):
            return f"[{len(value)} bytes]"
        if isinstance(value, Mapping) and depth:
            return {
                str(name): self._value(str(name), inner, depth - 1) for name, inner in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset) and depth:
            return [self._value("", inner, depth - 1) for inner in value]
        return self._text(str(value))

    def _text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        if len(text) > _MAX_TEXT_CHARS:
            return f"{text[:_MAX_TEXT_CHARS]}… ({len(text)} characters)"
        return text


@lru_cache(maxsize=1024)  # keys are words of the program, a few dozen
def _is_secret_key(key: str) -> bool:
    name = key.lower().replace("-", "_")
    return name in _SECRET_KEYS or name.endswith(_SECRET_ENDINGS)


class _IntoStructlog(logging.Handler):
    """Hands a library's log record to structlog, with the library's name as `logger`."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger().bind(logger=record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)


def wants_json(log_format: Literal["auto", "json", "text"], stream: TextIO) -> bool:
    """Whether lines to this stream are JSON: on request, or in `auto` when no person is watching."""
    return log_format == "json" or (log_format == "auto" and not stream.isatty())


def configure_log(
    *,
    level: Literal["debug", "info", "warning", "error"] = "info",
    log_format: Literal["auto", "json", "text"] = "auto",
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> LineWriter:
    """Set up logging for the whole process; the writer that is returned counts the lines it lost.

    Loggers are not cached, so that loggers made at import time follow a later set-up.
    """
    target = sys.stdout if stream is None else stream
    writer = LineWriter(target)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=_processors(Redaction(secrets), wants_json(log_format, target), target.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_args: writer,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _IntoStructlog)]:
        root.removeHandler(handler)
    root.addHandler(_IntoStructlog())
    root.setLevel(max(threshold, logging.WARNING))
    return writer


def _processors(redaction: Redaction, as_json: bool, colors: bool) -> list[Processor]:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redaction,
    ]
    if as_json:
        return [*shared, structlog.processors.JSONRenderer()]
    text = structlog.dev.ConsoleRenderer(
        colors=colors,
        timestamp_key="at",
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [*shared, text]
