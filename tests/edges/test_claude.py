"""The real client against a real server on loopback, through every way a call can go."""

import gc
import logging
import socket
import traceback
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest
import trio
import trio.testing

from coordinator.edges.claude import ClaudeClient
from coordinator.edges.claude_failures_wire import Pace, ParseRefused, ParseUnavailable
from coordinator.edges.claude_wire import SYSTEM_PROMPT
from coordinator.errors import SettingsError, VendorRefused, VendorUnavailable
from coordinator.rules.ids import IssueRef
from tests.fakes.claude_api import (
    USAGE,
    Behaviour,
    ClaudeApi,
    answer,
    cut,
    empty,
    error,
    hang,
    html,
    ok,
    open_claude_api,
    raw,
    refusal,
    slow,
    trickle,
    truncation,
    wrong_shape,
)

REF = IssueRef("acme/rocket", 7)
MODEL = "claude-sonnet-5-5"
KEY = "sk-ant-very-secret-key"
TEXT = "Pump leaks CONFIDENTIAL-BODY\n\nBlocked by #3"
AT_ONCE = Pace(min_s=0.0)  # for tests that turn the clock by hand
LONG = Pace(retry_after_max_s=3_600.0)
SOON = Pace(attempts=4, min_s=0.001, max_s=0.004, retry_after_max_s=0.01)


@pytest.fixture
async def api() -> AsyncIterator[ClaudeApi]:
    async with open_claude_api() as server:
        yield server


@pytest.fixture
async def client(api: ClaudeApi) -> AsyncIterator[ClaudeClient]:
    async with client_of(api) as opened:
        yield opened


def client_of(api: ClaudeApi, *, pace: Pace = SOON, attempt_timeout_s: float = 5.0) -> ClaudeClient:
    return ClaudeClient(
        KEY, base_url=api.url, pace=pace, attempt_timeout_s=attempt_timeout_s, jitter=lambda: 0.5
    )


def assert_discreet(failure: BaseException) -> None:
    """Neither the key nor the issue, in the error or anything a crash report would print with it."""
    printed = "".join(traceback.format_exception(failure)) + repr(failure)
    for secret in (KEY, "CONFIDENTIAL"):
        assert secret not in printed
    assert failure.__cause__ is None
    assert failure.__context__ is None


# one issue read ---------------------------------------------------------------------------------------


async def test_an_issue_is_read(api: ClaudeApi, client: ClaudeClient) -> None:
    """The answer becomes metadata, with model, tokens, dollars, seconds and attempts."""
    api.script(ok(answer(difficulty="hard", blocked_by=[{"ref": "#3", "quote": "Blocked by #3"}])))
    parsed = await client.parse_issue(TEXT, REF, model=MODEL, agents=("opus-1",))
    assert parsed.model == MODEL
    assert parsed.metadata.difficulty == "hard"
    assert parsed.metadata.blocked_by == (IssueRef("acme/rocket", 3),)
    assert (parsed.cost.input_tokens, parsed.cost.output_tokens, parsed.cost.attempts) == (
        3_000,
        400,
        1,
    )
    assert parsed.cost.cost_usd == pytest.approx(0.01)
    assert 0 < parsed.cost.seconds < 10


async def test_the_request_is_what_the_api_documents(api: ClaudeApi, client: ClaudeClient) -> None:
    """Schema, low effort, room for thinking, our prompts, and nothing the newer models refuse."""
    await client.parse_issue(TEXT, REF, model=MODEL, agents=("opus-1",))
    (request,) = api.asked()
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert set(request.body) == {"max_tokens", "messages", "model", "output_config", "system"}
    assert (request.body["model"], request.body["max_tokens"]) == (MODEL, 8_000)
    assert request.body["system"] == SYSTEM_PROMPT
    assert request.body["output_config"]["effort"] == "low"
    assert request.body["output_config"]["format"]["schema"]["additionalProperties"] is False
    assert TEXT in request.prompt


async def test_every_call_has_its_own_fence(api: ClaudeApi, client: ClaudeClient) -> None:
    """A text that learned one code cannot use it in the next call."""
    for _ in range(2):
        await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    fences = {request.prompt.splitlines()[1] for request in api.asked()}
    assert len(fences) == 2


async def test_an_unpriced_model_costs_tokens_only(api: ClaudeApi, client: ClaudeClient) -> None:
    """Dollars are not guessed; the model is named so that a person can."""
    parsed = await client.parse_issue(TEXT, REF, model="claude-next-9", agents=())
    assert (parsed.cost.cost_usd, parsed.cost.input_tokens, parsed.model) == (
        0.0,
        3_000,
        "claude-next-9",
    )


async def test_a_slow_answer_is_waited_for(api: ClaudeApi, client: ClaudeClient) -> None:
    """Slow is not broken, as long as it fits the attempt's time."""
    api.script(slow(0.05))
    parsed = await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert parsed.cost.attempts == 1


# trouble that passes ----------------------------------------------------------------------------------

PASSING = {
    "408": error(408, "timeout_error"),
    "409": error(409, "conflict_error"),
    "429": error(429, "rate_limit_error", headers={"retry-after": "3600"}),
    "500": error(500, "api_error"),
    "501": error(501, "api_error"),
    "529": error(529, "overloaded_error"),
    "503 html": Behaviour(503, b"<html>CONFIDENTIAL-BODY</html>", "text/html"),
    "html": html(),
    "wrong shape": wrong_shape(),
    "empty": empty(),
    "broken json": raw(b'{"id": "msg'),
    "binary": raw(b"\xff\xfe\x00"),
    "deep": raw(b"[" * 100_000),
    "cut": cut(),
    "unfinished": ok(stop_reason=None),
    "no text": ok(content=[{"type": "thinking", "thinking": "hm"}]),
}


@pytest.mark.parametrize("behaviour", PASSING.values(), ids=PASSING)
async def test_passing_trouble_is_ridden_out(
    api: ClaudeApi, client: ClaudeClient, behaviour: Behaviour
) -> None:
    """One bad reply, then a good one: the caller sees only the good one and the attempts."""
    api.script(behaviour)
    parsed = await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert parsed.cost.attempts == 2


@pytest.mark.parametrize("behaviour", PASSING.values(), ids=PASSING)
async def test_lasting_trouble_is_unavailable(
    api: ClaudeApi, client: ClaudeClient, behaviour: Behaviour
) -> None:
    """After the last attempt the caller hears what happened, and may come back."""
    api.respond = lambda _request: behaviour
    with pytest.raises(ParseUnavailable, match=f"{MODEL} is unavailable: ") as caught:
        await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert len(api.asked()) == caught.value.cost.attempts == 4
    assert_discreet(caught.value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_reply_that_cannot_be_unpacked_is_passing_trouble(
    api: ClaudeApi, client: ClaudeClient
) -> None:
    """Bad gzip is retried and its connection closed.

    httpx2 2.16 leaves its own half-read generator to the collector then, hence the ignored warning.
    """
    api.script(raw(b"not gzip", headers={"content-encoding": "gzip"}))
    parsed = await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert parsed.cost.attempts == 2
    await api.wait_until(lambda server: server.open_connections == 1)
    gc.collect()


async def test_the_vendors_wish_reaches_the_caller_uncapped(
    api: ClaudeApi, client: ClaudeClient
) -> None:
    """We wait at most our own limit per attempt, but pass on how long the vendor asked for."""
    api.respond = lambda _request: error(429, "rate_limit_error", headers={"retry-after": "3600"})
    with pytest.raises(VendorUnavailable, match="429 rate_limit_error") as caught:
        await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert caught.value.retry_after_s == 3600.0


async def test_a_pause_beyond_the_deadline_is_not_begun(api: ClaudeApi) -> None:
    """A slot is given back at once when waiting could not help."""
    api.script(error(429, "rate_limit_error", headers={"retry-after": "2500"}))
    async with client_of(api, pace=LONG) as client:
        with trio.fail_after(30), pytest.raises(VendorUnavailable) as caught:
            await client.parse_issue(TEXT, REF, model=MODEL, agents=(), deadline_s=2_000)
    assert caught.value.retry_after_s == 2_500.0
    assert len(api.asked()) == 1


async def test_nobody_listening_is_unavailable() -> None:
    """A refused connection is a failure of the vendor, not of ours."""
    async with ClaudeClient(KEY, base_url="http://127.0.0.1:9", pace=SOON) as client:
        with pytest.raises(ParseUnavailable, match="the connection failed") as caught:
            await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert caught.value.cost.attempts == 4
    assert_discreet(caught.value)


@pytest.mark.parametrize("behaviour", [hang(), trickle()], ids=["hang", "trickle"])
async def test_an_attempt_has_a_limit(
    mock_clock: trio.testing.MockClock, api: ClaudeApi, behaviour: Behaviour
) -> None:
    """Silence and a trickle of bytes both end after the attempt's time; the next one may succeed."""
    api.script(behaviour)
    async with (
        client_of(api, pace=AT_ONCE, attempt_timeout_s=60) as client,
        trio.open_nursery() as nursery,
    ):

        async def ask() -> None:
            parsed = await client.parse_issue(TEXT, REF, model=MODEL, agents=())
            assert (parsed.cost.attempts, parsed.cost.seconds) == (2, 61.0)

        nursery.start_soon(ask)
        await api.wait_for_requests(1)
        mock_clock.jump(61)


async def test_a_silent_server_is_unavailable(
    mock_clock: trio.testing.MockClock, api: ClaudeApi
) -> None:
    """When every attempt hears nothing, the error comes after all of them."""
    api.respond = lambda _request: hang()

    async def let_time_pass() -> None:
        for attempt in range(1, 5):
            await api.wait_for_requests(attempt)
            mock_clock.jump(10)

    async with (
        client_of(api, pace=AT_ONCE, attempt_timeout_s=9) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(let_time_pass)
        with pytest.raises(ParseUnavailable, match=r"within 9 s|ReadTimeout") as caught:
            await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert (caught.value.cost.attempts, caught.value.cost.seconds) == (4, 40.0)
    assert_discreet(caught.value)


async def test_connecting_has_a_limit_of_its_own() -> None:
    """An address that swallows packets is given up long before an answer would be."""
    with socket.socket() as full, ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # the backlog is full now: the next connection hears nothing
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        async with ClaudeClient(KEY, base_url=url, pace=SOON, connect_timeout_s=0.02) as client:
            with trio.fail_after(30), pytest.raises(ParseUnavailable, match="ConnectTimeout"):
                await client.parse_issue(TEXT, REF, model=MODEL, agents=())


async def test_the_deadline_covers_all_attempts(
    mock_clock: trio.testing.MockClock, api: ClaudeApi
) -> None:
    """The total time is bounded whatever the attempts do, and the last failure is named."""
    api.script(error(529, "overloaded_error"), hang())

    async def let_time_pass() -> None:
        await api.wait_for_requests(2)
        mock_clock.jump(120)

    async with (
        client_of(api, pace=AT_ONCE, attempt_timeout_s=300) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(let_time_pass)
        with pytest.raises(ParseUnavailable, match="within 120 s, last 529 overloaded_error") as caught:
            await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert (caught.value.cost.attempts, caught.value.cost.seconds) == (2, 120.0)
    assert_discreet(caught.value)


# trouble that stays -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
    ],
)
async def test_a_refused_request_is_not_repeated(
    api: ClaudeApi, client: ClaudeClient, status: int, error_type: str
) -> None:
    """One request, then an error with status, type and request id, but not the vendor's prose."""
    api.script(error(status, error_type, message=f"bad {KEY} in CONFIDENTIAL-BODY"))
    with pytest.raises(ParseRefused) as caught:
        await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert str(caught.value) == f"{MODEL} refused: {status} {error_type} (request req_fake)"
    assert caught.value.status == status
    assert len(api.asked()) == 1
    assert_discreet(caught.value)


async def test_a_spent_budget_is_refused_at_once(api: ClaudeApi, client: ClaudeClient) -> None:
    """A spend limit answers 429 too, but will do so until somebody raises it."""
    api.script(error(429, "rate_limit_error", error_code="enforced_spend_limit_reached"))
    with pytest.raises(VendorRefused, match="enforced_spend_limit_reached"):
        await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert len(api.asked()) == 1


async def test_a_redirect_is_refused(api: ClaudeApi, client: ClaudeClient) -> None:
    """The text goes to the configured address and nowhere else."""
    api.script(raw({}, status=307, headers={"location": f"{api.url}/v1/messages?stolen"}))
    with pytest.raises(VendorRefused, match="307"):
        await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (refusal("CONFIDENTIAL-BODY"), "refused: stop reason refusal"),
        (ok("CONFIDENTIAL-BODY", stop_reason="refusal"), "refused: stop reason refusal"),
        (ok(stop_reason="model_context_window_exceeded"), "window_exceeded"),
        (ok(stop_reason="tool_use"), "unexpected: stop reason tool_use"),
    ],
)
async def test_a_refusal_is_final_and_billed(
    api: ClaudeApi, client: ClaudeClient, behaviour: Behaviour, said: str
) -> None:
    """Claude's own no is not argued with; what it cost is kept."""
    api.script(behaviour)
    with pytest.raises(ParseRefused, match=said) as caught:
        await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert len(api.asked()) == 1
    assert caught.value.cost.input_tokens == USAGE["input_tokens"]
    assert_discreet(caught.value)


async def test_a_truncated_answer_gets_more_room_once(api: ClaudeApi, client: ClaudeClient) -> None:
    """The second attempt may be twice as long, and both are on the bill."""
    api.script(truncation())
    parsed = await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert [request.body["max_tokens"] for request in api.asked()] == [8_000, 16_000]
    assert (parsed.cost.input_tokens, parsed.cost.attempts) == (6_000, 2)
    assert parsed.cost.cost_usd == pytest.approx(0.02)


@pytest.mark.parametrize(
    "behaviour", [truncation(), ok("CONFIDENTIAL-BODY")], ids=["truncated", "invalid"]
)
async def test_two_billed_failures_are_a_refusal(
    api: ClaudeApi, client: ClaudeClient, behaviour: Behaviour
) -> None:
    """Money is spent twice at most on answers of no use."""
    api.respond = lambda _request: behaviour
    with pytest.raises(ParseRefused, match="unusable answer") as caught:
        await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert (len(api.asked()), caught.value.cost.input_tokens) == (2, 6_000)
    assert_discreet(caught.value)


# windows and counts -----------------------------------------------------------------------------------


async def test_a_window_is_read_once(api: ClaudeApi, client: ClaudeClient) -> None:
    """A thousand monitors that start together cost one request per model."""
    found: list[int | None] = []

    async def look() -> None:
        found.append(await client.window_of(MODEL))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(look)
    assert found == [1_000_000] * 20
    assert len(api.asked("models")) == 1


async def test_an_unreadable_window_is_looked_up_again_later(
    mock_clock: trio.testing.MockClock, api: ClaudeApi
) -> None:
    """A model that appears, or a server that recovers, is noticed after a minute."""
    api.script(error(404, "not_found_error"), endpoint="models")
    async with client_of(api) as client:
        assert await client.window_of(MODEL) is None
        mock_clock.jump(59)
        assert await client.window_of(MODEL) is None
        mock_clock.jump(2)
        assert await client.window_of(MODEL) == 1_000_000


async def test_a_hanging_record_holds_up_only_its_own_model(
    api: ClaudeApi, client: ClaudeClient
) -> None:
    """Looking up one model does not wait for another."""
    api.script(hang(), endpoint="models")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.window_of, "claude-unknown")
        await api.wait_for_requests(1, "models")
        with trio.fail_after(30):
            assert await client.window_of(MODEL) == 1_000_000
        nursery.cancel_scope.cancel()


async def test_without_an_address_it_is_the_public_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's environment is not consulted: only our own settings say where texts go."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://elsewhere.invalid")
    async with ClaudeClient(KEY) as client:
        assert client.base_url == "https://api.anthropic.com"


@pytest.mark.parametrize(
    "behaviour",
    [
        error(404, "not_found_error"),
        error(529, "overloaded_error"),
        raw({"max_input_tokens": None}),
        html(),
    ],
)
async def test_an_unreadable_window_is_unknown(
    api: ClaudeApi, client: ClaudeClient, behaviour: Behaviour
) -> None:
    """Unknown is said as unknown, and not asked again at every poll."""
    api.script(*[behaviour] * 4, endpoint="models")
    assert await client.window_of(MODEL) is None
    asked = len(api.asked("models"))
    assert await client.window_of(MODEL) is None
    assert len(api.asked("models")) == asked


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (error(401, "authentication_error"), VendorRefused),
        (error(404, "not_found_error"), VendorRefused),
        (error(529, "overloaded_error"), VendorUnavailable),
    ],
)
async def test_a_model_can_be_checked(
    api: ClaudeApi, client: ClaudeClient, behaviour: Behaviour, kind: type[Exception]
) -> None:
    """The check tells a refusal from silence, and asks anew each time."""
    assert await client.check_model(MODEL) == 1_000_000
    api.script(*[behaviour] * 4, endpoint="models")
    with pytest.raises(kind, match=MODEL):
        await client.check_model(MODEL)


async def test_tokens_are_counted(api: ClaudeApi, client: ClaudeClient) -> None:
    """The transcript and the system prompt are what is counted."""
    api.script(raw({"input_tokens": 41}), raw({"input_tokens": 42}), endpoint="count_tokens")
    assert await client.count_tokens(MODEL, [{"role": "user", "content": "hi"}]) == 41
    assert await client.count_tokens(MODEL, [{"role": "user", "content": "hi"}], system="be kind") == 42
    first, second = api.asked("count_tokens")
    assert first.body == {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    assert second.body["system"] == "be kind"


async def test_half_an_emoji_does_not_stop_the_count(api: ClaudeApi, client: ClaudeClient) -> None:
    """Transcripts cut between UTF-16 units hold what UTF-8 cannot carry; it goes out as a mark."""
    await client.count_tokens(MODEL, [{"role": "user", "content": "cut \ud83d"}])
    assert api.asked("count_tokens")[0].prompt == "cut ?"


async def test_counting_rides_out_trouble(api: ClaudeApi, client: ClaudeClient) -> None:
    """Counting retries as reading does."""
    api.script(error(529, "overloaded_error"), wrong_shape(), endpoint="count_tokens")
    assert await client.count_tokens(MODEL, [{"role": "user", "content": "hi"}]) > 0


async def test_counting_fails_with_the_vendors_errors(api: ClaudeApi, client: ClaudeClient) -> None:
    """Passing and lasting trouble are told apart."""
    api.script(
        *[error(529, "overloaded_error", headers={"retry-after": "9"})] * 4, endpoint="count_tokens"
    )
    with pytest.raises(VendorUnavailable, match="529") as unavailable:
        await client.count_tokens(MODEL, [{"role": "user", "content": TEXT}])
    assert unavailable.value.retry_after_s == 9.0
    api.script(error(400, "invalid_request_error"), endpoint="count_tokens")
    with pytest.raises(VendorRefused, match="400 invalid_request_error") as refused:
        await client.count_tokens(MODEL, [{"role": "user", "content": TEXT}])
    assert_discreet(unavailable.value)
    assert_discreet(refused.value)


# leaving nothing behind -------------------------------------------------------------------------------


async def test_a_cancelled_call_lets_go_of_its_connection(api: ClaudeApi, client: ClaudeClient) -> None:
    """The server sees the hang-up at once, and the client goes on working."""
    api.script(hang())
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            await client.parse_issue(TEXT, REF, model=MODEL, agents=())

        nursery.start_soon(ask)
        await api.wait_for_requests(1)
        nursery.cancel_scope.cancel()
    with trio.fail_after(30):
        await api.wait_until(lambda server: server.hang_ups == 1 and server.open_connections == 0)
    assert (await client.parse_issue(TEXT, REF, model=MODEL, agents=())).cost.attempts == 1


async def test_a_cancelled_pause_ends_at_once(api: ClaudeApi) -> None:
    """Stopping does not wait for a retry that was planned."""
    api.script(error(429, "rate_limit_error", headers={"retry-after": "2500"}))
    with trio.fail_after(30):
        async with client_of(api, pace=LONG) as client, trio.open_nursery() as nursery:

            async def ask() -> None:
                await client.parse_issue(TEXT, REF, model=MODEL, agents=(), deadline_s=3_000)

            nursery.start_soon(ask)
            await api.wait_for_requests(1)
            nursery.cancel_scope.cancel()
    assert len(api.asked()) == 1


async def test_closing_leaves_no_connection(api: ClaudeApi) -> None:
    """After the block every socket is closed, even when the block was cancelled."""
    with trio.CancelScope() as scope:
        async with client_of(api) as client:
            await client.parse_issue(TEXT, REF, model=MODEL, agents=())
            assert api.open_connections == 1
            scope.cancel()
    with trio.fail_after(30):
        await api.wait_until(lambda server: server.open_connections == 0)


async def test_many_calls_at_once_share_the_client(api: ClaudeApi, client: ClaudeClient) -> None:
    """Concurrent calls do not mix up their answers or bills."""
    api.respond = lambda request: slow(0.02, ok(answer(summary=request.prompt.splitlines()[2])))
    summaries: dict[int, str] = {}

    async def ask(number: int) -> None:
        parsed = await client.parse_issue(f"issue {number}", REF, model=MODEL, agents=())
        summaries[number] = parsed.metadata.summary
        assert parsed.cost.attempts == 1

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(ask, number)
    assert summaries == {number: f"issue {number}" for number in range(8)}


# discretion -------------------------------------------------------------------------------------------


async def test_neither_key_nor_text_reaches_the_log(
    api: ClaudeApi, caplog: pytest.LogCaptureFixture
) -> None:
    """At level debug, with every library talking, success and failure stay discreet."""
    for name in ("anthropic", "httpx2", "httpcore2", ""):
        caplog.set_level(logging.DEBUG, logger=name)
    api.script(
        error(400, "invalid_request_error", message="CONFIDENTIAL-BODY"), ok("CONFIDENTIAL-BODY")
    )
    async with client_of(api) as client:
        with pytest.raises(VendorRefused):
            await client.parse_issue(TEXT, REF, model=MODEL, agents=())
        await client.parse_issue(TEXT, REF, model=MODEL, agents=())
    assert "httpcore2" in {record.name.partition(".")[0] for record in caplog.records}
    assert KEY not in caplog.text
    assert "CONFIDENTIAL" not in caplog.text


@pytest.mark.parametrize("key", ["", "  ", "sk ant", "sk-ant\n", "sk-änt"])
def test_a_key_that_fits_no_header_is_refused_unseen(key: str) -> None:
    """A pasted newline is a setting to mend; the message does not show the key."""
    with pytest.raises(SettingsError, match="ANTHROPIC_API_KEY") as caught:
        ClaudeClient(key)
    assert not key.strip() or key not in str(caught.value)
