"""The log: shape of the lines, and what must never be on them."""

import io
import json
import logging

import pytest
import structlog

from coordinator.log import LineWriter, Redaction, configure_log, wants_json

SECRET = "s3cr3t-value-of-the-hook"


pytestmark = pytest.mark.usefixtures("own_log_setup")


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_an_iso_instant_and_a_level() -> None:
    """Off a terminal, one event is one JSON object with `at`, `level`, `event` and its own fields."""
    stream = io.StringIO()
    configure_log(stream=stream)
    structlog.get_logger().info("delivery", delivery="d-1", ms=3)
    (line,) = lines(stream)
    assert line["event"] == "delivery"
    assert line["level"] == "info"
    assert line["delivery"] == "d-1"
    assert line["ms"] == 3
    assert str(line["at"]).endswith("Z")
    assert "T" in str(line["at"])


def test_lines_below_the_level_are_not_written() -> None:
    """LOG_LEVEL is a floor."""
    stream = io.StringIO()
    configure_log(level="warning", stream=stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_text_format_is_readable_and_not_json() -> None:
    """LOG_FORMAT=text writes aligned words."""
    stream = io.StringIO()
    configure_log(log_format="text", stream=stream)
    structlog.get_logger().info("delivery", issue="acme/widgets#1")
    assert "issue=acme/widgets#1" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_auto_means_text_only_where_a_person_watches() -> None:
    """A terminal gets text, a pipe gets JSON, an explicit format wins over both."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert not wants_json("auto", Terminal())
    assert wants_json("auto", io.StringIO())
    assert wants_json("json", Terminal())
    assert not wants_json("text", io.StringIO())


@pytest.mark.parametrize(
    "key", ["authorization", "Authorization", "x_gitea_signature", "X-Api-Key", "anthropic_api_key",
            "token", "api_token", "body", "raw", "webhook_secret", "password", "cookie"],
)  # fmt: skip
def test_values_under_telling_keys_are_blackened(key: str) -> None:
    """A secret or a body is not printed even when somebody logs it by name, however deep."""
    stream = io.StringIO()
    configure_log(stream=stream)
    structlog.get_logger().info(
        "x", **{key: "private words"}, nested={"headers": [{key: "private words"}]}
    )
    assert "private words" not in stream.getvalue()
    assert "[redacted]" in stream.getvalue()


def test_token_counts_are_no_secrets() -> None:
    """Keys that count tokens stay readable, and so does an absent secret."""
    stream = io.StringIO()
    configure_log(stream=stream)
    structlog.get_logger().info("usage", used_tokens=5, window_tokens=200_000, token=None)
    (line,) = lines(stream)
    assert (line["used_tokens"], line["window_tokens"], line["token"]) == (5, 200_000, None)


def test_known_secrets_are_blackened_wherever_they_stand() -> None:
    """A configured secret is removed from messages, nested values, objects and tracebacks."""
    stream = io.StringIO()
    longer = SECRET + "-longer"
    configure_log(stream=stream, secrets=[SECRET, longer])
    log = structlog.get_logger()
    try:
        raise ValueError(longer)
    except ValueError as problem:
        log.exception(f"failed with {SECRET}", detail=problem, seen={"deep": (f"<{SECRET}>",)})
    text = stream.getvalue()
    assert SECRET not in text
    assert "-longer" not in text
    assert "Traceback" in text


def test_bytes_are_never_printed() -> None:
    """Raw bytes appear as their length."""
    event = Redaction([])(None, "info", {"event": "x", "chunk": b"private"})
    assert event["chunk"] == "[7 bytes]"


def test_very_long_values_are_cut() -> None:
    """A value of a body's length is cut and says how long it was."""
    event = Redaction([])(None, "info", {"event": "x", "detail": "a" * 20_000})
    assert len(event["detail"]) < 9_000
    assert "20000 characters" in event["detail"]


def test_very_deep_values_end() -> None:
    """Nesting is followed to a fixed depth, and what lies below is still searched for secrets."""
    value: object = SECRET
    for _ in range(20):
        value = {"in": value}
    event = Redaction([SECRET])(None, "info", {"event": "x", "deep": value})
    assert SECRET not in repr(event)


def test_short_secrets_do_not_blacken_words() -> None:
    """A value too short to protect anything is not searched for."""
    event = Redaction(["ab"])(None, "info", {"event": "about"})
    assert event["event"] == "about"


@pytest.mark.parametrize("library", ["hypercorn.error", "httpx", "anthropic"])
def test_libraries_speak_from_warning_up(library: str) -> None:
    """A library's warning has the shape of our lines; its info is dropped even at LOG_LEVEL=debug."""
    stream = io.StringIO()
    configure_log(level="debug", stream=stream, secrets=[SECRET])
    logging.getLogger(library).info("POST with body")
    logging.getLogger(library).warning("trouble at %s", SECRET)
    (line,) = lines(stream)
    assert line["event"] == "trouble at [redacted]"
    assert line["logger"] == library
    assert line["level"] == "warning"


def test_setting_up_twice_does_not_repeat_lines() -> None:
    """The second set-up replaces the first."""
    first, second = io.StringIO(), io.StringIO()
    configure_log(stream=first)
    configure_log(stream=second)
    logging.getLogger("httpx").warning("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


def test_a_stream_that_is_gone_loses_lines_and_counts_them() -> None:
    """A closed or broken stdout never raises into the caller."""

    class Broken(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    broken = LineWriter(Broken())
    broken.msg("x")
    closed = io.StringIO()
    closed.close()
    gone = LineWriter(closed)
    gone.info("x")
    assert (broken.lost, gone.lost) == (1, 1)
