"""How requests travel: a real pool against a real server that misbehaves."""

import gc
import shutil
import ssl
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from coordinator.edges.forge_breaker import Breaker, BreakerPace
from coordinator.edges.gitea_calls_wire import Call, create_comment_call, delete_comment_call, in_repo
from coordinator.edges.gitea_failures_wire import RetryPace
from coordinator.edges.gitea_http import ForgeHttp
from coordinator.edges.gitea_reply_wire import Reply, read_done
from coordinator.edges.gitea_rest_wire import read_version
from coordinator.errors import (
    ForgeError,
    ForgeNotFound,
    ForgeRateLimited,
    ForgeTooLong,
    ForgeUnavailable,
    SettingsError,
)
from tests.fakes.scripted_http import (
    Scripted,
    answer,
    cut,
    drip,
    endless,
    hang,
    open_scripted,
    raw,
    reset,
)

TOKEN = "0123456789abcdef0123456789abcdef01234567"
VERSION = Call("GET", ("version",))
REPO = "acme/rocket"
OK = answer({"version": "1.27.0"})
DOWN = answer(b"<html>bad gateway</html>", 502, content_type="text/html")
AT_ONCE = RetryPace(attempts=4, min_s=0.0)
NEVER_OPEN = BreakerPace(max_failures=1_000)
TIRED = BreakerPace(max_failures=2, min_pause_s=10.0, max_pause_s=40.0)


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with open_scripted() as running:
        yield running


@asynccontextmanager
async def opened(
    url: str,
    *,
    concurrency: int = 4,
    request_timeout_s: float = 5.0,
    total_timeout_s: float = 10.0,
    pace: RetryPace = AT_ONCE,
    breaker: BreakerPace = NEVER_OPEN,
    trust_env: bool = False,
) -> AsyncIterator[ForgeHttp]:
    http = ForgeHttp(
        url,
        TOKEN,
        concurrency=concurrency,
        request_timeout_s=request_timeout_s,
        total_timeout_s=total_timeout_s,
        trust_env=trust_env,
        pace=pace,
        breaker=Breaker(breaker),
        jitter=lambda: 0.0,
    )
    try:
        yield http
    finally:
        await http.aclose()


async def refused_port() -> int:
    """A port of loopback where nobody listens."""
    with trio.socket.socket() as probe:
        await probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def assert_discreet(error: BaseException) -> None:
    """Neither the token nor a library's error that holds the request."""
    printed = "".join(traceback.format_exception(error)) + repr(error)
    assert TOKEN not in printed
    assert error.__cause__ is None
    assert error.__context__ is None


# what is sent ---------------------------------------------------------------------------------------


async def test_a_request_names_us_and_carries_the_token_in_its_header(server: Scripted) -> None:
    """The token is in `Authorization` and nowhere else; no compression is asked for."""
    server.script(OK)
    async with opened(server.url + "/git/") as http:
        assert await http.ask(VERSION, read_version) == "1.27.0"
    (asked,) = server.asked
    assert asked.target == "/git/api/v1/version"
    assert asked.headers["authorization"] == f"token {TOKEN}"
    assert asked.headers["user-agent"] == "mosaic-coordinator"
    assert asked.headers["accept-encoding"] == "identity"
    assert TOKEN not in asked.target


async def test_no_part_can_leave_its_place_in_the_path(server: Scripted) -> None:
    """Slashes, dots, questions and percent signs arrive quoted in the one segment they belong to."""
    server.script(OK)
    async with opened(server.url) as http:
        await http.ask(in_repo(REPO, "collaborators", "../../x/%2e?a#b"), read_done)
    assert server.asked[0].target == (
        "/api/v1/repos/acme/rocket/collaborators/..%2F..%2Fx%2F%252e%3Fa%23b"
    )


async def test_cookies_are_not_kept(server: Scripted) -> None:
    """A session of the forge would speak beside the token."""
    server.script(answer({"version": "1"}, set_cookie="i_like_gitea=1; Path=/"), OK)
    async with opened(server.url) as http:
        await http.ask(VERSION, read_version)
        await http.ask(VERSION, read_version)
    assert "cookie" not in server.asked[1].headers


async def test_connections_are_used_again(server: Scripted) -> None:
    """Calls one after another share one connection."""
    server.otherwise = OK
    async with opened(server.url) as http:
        for _ in range(5):
            await http.ask(VERSION, read_version)
    assert server.connections == 1


@pytest.mark.parametrize(
    "url",
    [
        "forge.example.org",
        "ftp://forge.example.org",
        "https://user:pass@forge.example.org",
        "https://forge.example.org?x=1",
        "https://forge.example.org#x",
        "https://",
        "http://[::1",
    ],
)
async def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    """The setting is named; the value, which may hold a password, is not."""
    with pytest.raises(SettingsError, match="GITEA_URL") as caught:
        async with opened(url):
            pass
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "/nowhere/authorities.pem"),
        ("HTTPS_PROXY", "gopher://user:hunter2@proxy.example.org"),
        ("ALL_PROXY", "socks5://user:hunter2@proxy.example.org:1080"),
    ],
)
async def test_an_environment_that_is_not_usable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Certificates that are not there and proxies of a strange kind are one line, without the value."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        async with opened("https://forge.example.org", trust_env=True):
            pass
    assert "hunter2" not in str(caught.value)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "gänse"])
def test_a_token_that_fits_no_header_is_refused_at_once(token: str) -> None:
    """The setting is named, the token is not shown."""
    with pytest.raises(SettingsError, match="GITEA_TOKEN") as caught:
        ForgeHttp(
            "http://127.0.0.1",
            token,
            concurrency=1,
            request_timeout_s=1,
            total_timeout_s=1,
            trust_env=False,
            pace=AT_ONCE,
            breaker=Breaker(),
            jitter=lambda: 0.0,
        )
    assert not token or token not in str(caught.value)


# faults and retries ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        DOWN,
        answer({"message": "boom"}, 500),
        answer(b"<html>please log in</html>", 200, content_type="text/html"),
        answer(b'{"version": "1.2', 200),
        answer(b"\xff\xfe", 200),
        answer([], 200),
        answer({"version": 3}, 200),
        cut(),
        reset(),
        raw(b""),
        raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
        answer({"message": "slow down"}, 429, retry_after="0"),
        answer(b"not found", 404, content_type="text/plain"),
    ],
    ids=(
        "502 500 html truncated binary list shape cut reset silent ssh 429 proxy404".split()  # noqa: SIM905
    ),
)
async def test_a_question_is_asked_again(server: Scripted, fault: object) -> None:
    """A fault of a moment costs another attempt, whatever it looks like."""
    server.script(fault, OK)  # type: ignore[arg-type]
    async with opened(server.url) as http:
        assert await http.ask(VERSION, read_version) == "1.27.0"
        assert http.requests == 2


async def test_a_fault_that_stays_is_unavailable(server: Scripted) -> None:
    """After all attempts the last fault is told, with what was asked, and nothing secret."""
    server.otherwise = answer({"message": f"boom {TOKEN}"}, 500)
    async with opened(server.url) as http:
        with pytest.raises(ForgeUnavailable, match=r"GET /version: 500: boom \[token\]") as caught:
            await http.ask(VERSION, read_version)
        assert http.requests == 4
    assert caught.value.status == 500
    assert_discreet(caught.value)


async def test_a_refused_connection_is_unavailable() -> None:
    """Nobody listens: an error with a remedy, not the library's."""
    async with opened(f"http://127.0.0.1:{await refused_port()}") as http:
        with pytest.raises(ForgeUnavailable, match="GITEA_URL") as caught:
            await http.ask(VERSION, read_version)
        assert http.requests == 4
    assert_discreet(caught.value)


async def test_a_creation_is_sent_once(server: Scripted) -> None:
    """Whether it was made is not known, so sending it again is not ours to decide."""
    server.script(cut(), OK)
    async with opened(server.url) as http:
        with pytest.raises(ForgeUnavailable):
            await http.ask(create_comment_call(REPO, 1, "hello"), read_done)
    assert len(server.asked) == 1


async def test_a_deletion_whose_answer_was_lost_has_succeeded(server: Scripted) -> None:
    """The second attempt finds nothing any more, which is what was wanted."""
    server.script(cut(), answer({"message": "gone"}, 404))
    async with opened(server.url) as http:
        await http.ask(delete_comment_call(REPO, 7), read_done)


async def test_a_deletion_of_nothing_is_not_found(server: Scripted) -> None:
    """What was never there cannot have been deleted by us."""
    server.script(answer({"message": "gone"}, 404))
    async with opened(server.url) as http:
        with pytest.raises(ForgeNotFound):
            await http.ask(delete_comment_call(REPO, 7), read_done)


async def test_the_forges_own_wish_is_kept(
    server: Scripted, mock_clock: trio.testing.MockClock
) -> None:
    """Retry-After is waited for in full, and given to the caller where it does not fit the call."""
    server.script(answer({"message": "slow"}, 429, retry_after="7"), OK)
    server.otherwise = answer({"message": "slow"}, 429, retry_after="3600")
    mock_clock.autojump_threshold = 0.05
    async with opened(server.url) as http:
        started = trio.current_time()
        await http.ask(VERSION, read_version)
        assert 7 <= trio.current_time() - started < 8
        with pytest.raises(ForgeRateLimited) as caught:
            await http.ask(VERSION, read_version)
    assert caught.value.retry_after_s == 3600
    assert len(server.asked) == 3


async def test_pauses_grow(server: Scripted, mock_clock: trio.testing.MockClock) -> None:
    """The pauses between attempts double: 1, 2 and 4 s make 7."""
    server.otherwise = DOWN
    mock_clock.autojump_threshold = 0.05
    async with opened(server.url, pace=RetryPace(attempts=4, min_s=1.0)) as http:
        started = trio.current_time()
        with pytest.raises(ForgeUnavailable):
            await http.ask(VERSION, read_version)
        assert 7 <= trio.current_time() - started < 8


# deadlines and size ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [hang(), drip(0.3)], ids=["hang", "drip"])
async def test_an_attempt_has_a_deadline(
    server: Scripted, fault: object, mock_clock: trio.testing.MockClock
) -> None:
    """Silence and a trickle end alike, and the next attempt may succeed."""
    server.script(fault, OK)  # type: ignore[arg-type]
    mock_clock.autojump_threshold = 0.05
    async with opened(server.url, request_timeout_s=2.0) as http:
        assert await http.ask(VERSION, read_version) == "1.27.0"
        assert http.requests == 2


async def test_a_call_has_a_deadline(server: Scripted, mock_clock: trio.testing.MockClock) -> None:
    """All attempts together end in time, and say what was the matter."""
    server.otherwise = hang()
    mock_clock.autojump_threshold = 0.05
    async with opened(server.url, request_timeout_s=4.0, total_timeout_s=10.0) as http:
        started = trio.current_time()
        with pytest.raises(ForgeUnavailable, match="no whole answer within 2 s"):
            await http.ask(VERSION, read_version)
        assert 10 <= trio.current_time() - started < 10.5
        assert http.requests == 3


async def test_waiting_in_line_ends_too(server: Scripted, mock_clock: trio.testing.MockClock) -> None:
    """Behind a request that hangs, a second one fails in time, unsent, and the forge is not blamed."""
    server.otherwise = hang()
    mock_clock.autojump_threshold = 0.05
    async with opened(server.url, concurrency=1, request_timeout_s=9.0, total_timeout_s=9.0) as http:
        errors: list[ForgeUnavailable] = []

        async def ask() -> None:
            with pytest.raises(ForgeUnavailable) as caught:
                await http.ask(VERSION, read_version)
            errors.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
        assert len(server.asked) == 1
        assert sorted("no connection free" in str(error) for error in errors) == [False, True]
        assert http.breaker.failures == 1


async def test_an_endless_answer_is_cut_off(server: Scripted) -> None:
    """Only so much is held in memory; another attempt would be as long. The forge is well, so the
    circuit stays shut."""
    server.otherwise = endless()
    async with opened(server.url) as http:
        with pytest.raises(ForgeTooLong, match="larger than 16 MiB"):
            await http.ask(VERSION, read_version)
        assert (http.requests, http.breaker.failures) == (1, 0)
        gc.collect()  # a generator left behind would warn, and warnings are errors
        server.otherwise = OK
        assert await http.ask(VERSION, read_version) == "1.27.0"


async def test_a_compressed_answer_is_not_unpacked(server: Scripted) -> None:
    """It was not asked for, and a small one may unpack to any size."""
    server.otherwise = answer(b"\x1f\x8b", content_encoding="gzip")
    async with opened(server.url) as http:
        with pytest.raises(ForgeUnavailable, match="compressed"):
            await http.ask(VERSION, read_version)


async def test_only_so_many_requests_run_at_once(server: Scripted) -> None:
    """The rest waits in line and is served in turn."""
    gate, begun = trio.Event(), trio.Semaphore(0)

    async def gated(stream: trio.SocketStream, asked: object) -> bool:
        begun.release()
        await gate.wait()
        return await OK(stream, asked)  # type: ignore[arg-type]

    server.otherwise = gated
    async with opened(server.url, concurrency=3) as http, trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(http.ask, VERSION, read_version)
        for _ in range(3):
            await begun.acquire()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert server.open_now == len(server.asked) == 3
        gate.set()
    assert len(server.asked) == 10
    assert server.connections == 3


async def test_cancelling_leaves_nothing_behind(server: Scripted) -> None:
    """A call cancelled at any of its waits frees its place and its connection."""
    async with opened(server.url, concurrency=1) as http:
        for _ in range(3):
            begun = trio.Event()
            server.script(hang(begun))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(http.ask, VERSION, read_version)
                nursery.start_soon(http.ask, VERSION, read_version)  # waits in line
                await begun.wait()
                nursery.cancel_scope.cancel()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert server.open_now == 0
        server.script(OK)
        assert await http.ask(VERSION, read_version) == "1.27.0"
    gc.collect()  # a connection left open would warn, and warnings are errors


async def test_a_write_cancelled_in_the_middle_leaves_nothing_behind() -> None:
    """A body still being sent when its request is cancelled gives the collector nothing to say."""

    async def deaf(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery, opened(f"http://127.0.0.1:{port}") as http:
        nursery.start_soon(trio.serve_listeners, deaf, listeners)
        with trio.move_on_after(0.2) as patience:
            await http.ask(create_comment_call(REPO, 1, "x" * 20_000_000), read_done)
        nursery.cancel_scope.cancel()
    assert patience.cancelled_caught
    gc.collect()  # a warning is an error here


# redirects ------------------------------------------------------------------------------------------


def moved(status: int = 301, to: str = "/api/v1/repos/acme/shuttle/issues/1/comments") -> object:
    return answer(b"", status, location=to)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_write_follows_no_redirect(server: Scripted, status: int) -> None:
    """Nothing is sent to where a redirect points; the error names the place."""
    server.script(moved(status))  # type: ignore[arg-type]
    async with opened(server.url) as http:
        with pytest.raises(ForgeNotFound) as caught:
            await http.ask(create_comment_call(REPO, 1, "hello"), read_done)
    assert caught.value.moved_to == "/api/v1/repos/acme/shuttle/issues/1/comments"
    assert len(server.asked) == 1


async def test_a_moved_repository_is_asked_for_by_its_id(server: Scripted) -> None:
    """The new name comes from the forge's record, not from the redirect; then the write is sent there,
    once, as it was."""
    found = answer({"id": 7, "full_name": "acme/shuttle"})
    server.script(moved(to="/api/v1/repos/evil/place"), found, answer({}, 201))  # type: ignore[arg-type]
    async with opened(server.url) as http:
        await http.ask(create_comment_call(REPO, 1, "hello"), read_done, repo_id=7)
    assert [asked.target for asked in server.asked] == [
        "/api/v1/repos/acme/rocket/issues/1/comments",
        "/api/v1/repositories/7",
        "/api/v1/repos/acme/shuttle/issues/1/comments",
    ]
    assert (server.asked[2].method, server.asked[2].body) == ("POST", b'{"body": "hello"}')


@pytest.mark.parametrize(
    "record",
    [answer({"message": "gone"}, 404), answer({"id": 7, "full_name": "Acme/Rocket"})],
    ids=["gone", "same name"],
)
async def test_what_is_nowhere_else_is_not_found(server: Scripted, record: object) -> None:
    """The first answer stands when the id leads nowhere new."""
    server.script(answer({"message": "no such issue"}, 404), record)  # type: ignore[arg-type]
    async with opened(server.url) as http:
        with pytest.raises(ForgeNotFound, match="no such issue"):
            await http.ask(in_repo(REPO, "issues", 9), read_done, repo_id=7)


async def test_a_failing_lookup_is_no_verdict(server: Scripted) -> None:
    """While the forge cannot tell where the repository is, it is not called missing."""
    server.script(answer({"message": "no such issue"}, 404))
    async with opened(server.url) as http:
        with pytest.raises(ForgeUnavailable):
            await http.ask(in_repo(REPO, "issues", 9), read_done, repo_id=7)


async def test_a_redirect_of_everything_is_a_wrong_address(server: Scripted) -> None:
    """A forge behind another address, or a login page, is worth waiting for: nothing is deleted."""
    server.script(answer(b"", 301, location="https://user:pw@forge.example.org/api/v1/version?t=x"))
    async with opened(server.url) as http:
        with pytest.raises(ForgeUnavailable) as caught:
            await http.ask(VERSION, read_version)
    assert "redirected to https://forge.example.org/api/v1/version;" in str(caught.value)
    assert "GITEA_URL" in caught.value.remedy
    assert "pw" not in str(caught.value)


# the circuit breaker --------------------------------------------------------------------------------


async def test_a_dead_forge_is_left_alone(server: Scripted, mock_clock: trio.testing.MockClock) -> None:
    """After some failures nothing is sent for a while; then one probe decides for all."""
    server.otherwise = DOWN
    mock_clock.autojump_threshold = 0.05
    once = RetryPace(attempts=1)
    async with opened(server.url, pace=once, breaker=TIRED) as http:
        for _ in range(2):
            with pytest.raises(ForgeUnavailable):
                await http.ask(VERSION, read_version)
        assert http.state() == ("open", 10.0)
        with pytest.raises(ForgeUnavailable, match="not sent") as caught:
            await http.ask(VERSION, read_version)
        assert caught.value.retry_after_s == 10.0
        assert len(server.asked) == 2
        await trio.sleep(10.0)
        assert http.state() == ("half-open", None)
        with pytest.raises(ForgeUnavailable, match="502"):
            await http.ask(VERSION, read_version)
        assert http.state() == ("open", 20.0)
        await trio.sleep(20.0)
        server.otherwise = OK
        assert await http.ask(VERSION, read_version) == "1.27.0"
        assert http.state() == ("closed", None)


async def test_one_probe_at_a_time(server: Scripted, mock_clock: trio.testing.MockClock) -> None:
    """While a probe is on its way others are refused; a cancelled probe leaves room for the next."""
    server.script(DOWN, DOWN)
    async with opened(server.url, pace=RetryPace(attempts=1), breaker=TIRED) as http:
        for _ in range(2):
            with pytest.raises(ForgeUnavailable):
                await http.ask(VERSION, read_version)
        mock_clock.jump(10.0)
        begun = trio.Event()
        server.script(hang(begun), OK)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(http.ask, VERSION, read_version)
            await begun.wait()
            with pytest.raises(ForgeUnavailable, match="not sent"):
                await http.ask(VERSION, read_version)
            nursery.cancel_scope.cancel()
        assert await http.ask(VERSION, read_version) == "1.27.0"


async def test_a_broken_repository_shuts_out_no_other(server: Scripted) -> None:
    """A forge that answers 500 for one repository only is alive: the others are served."""
    server.otherwise = answer({"message": "exec: git: broken"}, 500)
    async with opened(server.url, breaker=BreakerPace(max_failures=2)) as http:
        for _ in range(3):
            with pytest.raises(ForgeUnavailable):
                await http.ask(in_repo("acme/broken"), read_done)
        assert http.state() == ("closed", None)
        assert http.breaker.failures == 1
        server.otherwise = OK
        assert await http.ask(VERSION, read_version) == "1.27.0"


async def test_a_refusal_is_a_sign_of_life(server: Scripted) -> None:
    """A forge that says no has answered: failures before it are forgotten."""
    server.script(DOWN, answer({"message": "no such issue"}, 404))
    async with opened(server.url, pace=RetryPace(attempts=1), breaker=TIRED) as http:
        with pytest.raises(ForgeUnavailable):
            await http.ask(VERSION, read_version)
        with pytest.raises(ForgeError):
            await http.ask(VERSION, read_version)
        assert http.breaker.failures == 0
        assert "502" in http.breaker.last_error


async def test_a_fault_of_ours_ends_the_probe_too(
    server: Scripted, mock_clock: trio.testing.MockClock
) -> None:
    """A reader that crashes is our error; it must not leave the circuit waiting for ever."""
    server.script(DOWN, DOWN, OK, OK)

    def crash(_reply: Reply) -> None:
        raise ZeroDivisionError

    async with opened(server.url, pace=RetryPace(attempts=1), breaker=TIRED) as http:
        for _ in range(2):
            with pytest.raises(ForgeUnavailable):
                await http.ask(VERSION, read_version)
        mock_clock.jump(10.0)
        with pytest.raises(ZeroDivisionError):
            await http.ask(VERSION, crash)
        assert await http.ask(VERSION, read_version) == "1.27.0"


# certificates ---------------------------------------------------------------------------------------


async def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """The handshake fails, nothing is sent, and the remedy names the setting of the authorities."""
    maker = shutil.which("openssl")
    if maker is None:
        pytest.skip("NOT PROVEN: that certificates are checked; needs openssl, to make a bad one")
    pem = tmp_path / "self-signed.pem"
    wish = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    wish += ["-keyout", str(pem), "-out", str(tmp_path / "certificate.pem")]
    await trio.run_process([maker, *wish], capture_stdout=True, capture_stderr=True)
    pem.write_text(pem.read_text() + (tmp_path / "certificate.pem").read_text())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    handshakes: list[bool] = []

    async def shake_hands(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            await stream.do_handshake()
            handshakes.append(await stream.receive_some(1) != b"")
        except trio.BrokenResourceError:
            handshakes.append(False)
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            partial(trio.serve_ssl_over_tcp, shake_hands, 0, context, host="127.0.0.1")
        )
        port = listeners[0].transport_listener.socket.getsockname()[1]
        async with opened(f"https://127.0.0.1:{port}", pace=RetryPace(attempts=1)) as http:
            with pytest.raises(ForgeUnavailable, match="CERTIFICATE_VERIFY_FAILED") as caught:
                await http.ask(VERSION, read_version)
        nursery.cancel_scope.cancel()
    assert "SSL_CERT_FILE" in caught.value.remedy
    assert not any(handshakes), "the token would have left"
