"""The forge's server misbehaves on request, counts, goes away and comes back."""

import signal
import subprocess
import sys
from functools import partial

import httpx
import pytest
import trio

from tests.fakes.forge import REPO, Forge

ISSUES = f"/repos/{REPO}/issues"


async def test_requests_are_counted_by_route(http: httpx.AsyncClient, forge: Forge) -> None:
    """Each request counts for the template of its path, wherever it led."""
    forge.open(REPO, "t")
    for path in (f"{ISSUES}/1", f"{ISSUES}/2", "/nowhere"):
        await http.get(path)
    assert forge.server.requests == {
        "GET /repos/{owner}/{repo}/issues/{index}": 2,
        "GET (unknown)": 1,
    }


async def test_a_status_can_be_forced_on_some_routes_some_times(
    http: httpx.AsyncClient, forge: Forge
) -> None:
    """So many times, on that route alone, with headers; then all is well."""
    retry = [("Retry-After", "3")]
    forge.misbehave("status", route="GET /user", times=2, status=429, headers=retry)
    assert (await http.get("/version")).status_code == 200
    answers = [await http.get("/user") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "3"


async def test_a_fault_may_strike_after_the_deed(http: httpx.AsyncClient, forge: Forge) -> None:
    """The comment is written, and its writer told that it was not."""
    issue = forge.open(REPO, "t")
    for after in (False, True):
        forge.misbehave("status", status=502, after=after)
        answer = await http.post(f"{ISSUES}/1/comments", json={"body": "b"})
        assert (answer.status_code, issue.comments) == (502, int(after))


async def test_answers_can_be_garbage(http: httpx.AsyncClient, forge: Forge) -> None:
    """HTML with a 200, JSON that ends in the middle, and a connection that does."""
    forge.misbehave("html")
    assert (await http.get("/version")).headers["content-type"] == "text/html"
    forge.misbehave("truncate")
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        (await http.get("/version")).json()
    forge.misbehave("cut")
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get("/version")


async def test_answers_can_be_slow_or_missing(http: httpx.AsyncClient, forge: Forge) -> None:
    """Late but whole; never; or the connection is reset."""
    forge.misbehave("slow", delay_s=0.01)
    assert (await http.get("/version")).is_success
    forge.misbehave("reset")
    with pytest.raises(httpx.TransportError):
        await http.get("/version")
    forge.misbehave("hang")
    with pytest.raises(httpx.ReadTimeout):
        await http.get("/version", timeout=httpx.Timeout(60, read=0.05))


async def test_faults_can_come_by_chance(http: httpx.AsyncClient, forge: Forge) -> None:
    """With a seed, so that a run can be had again; until they are cleared."""

    async def statuses() -> list[int]:
        forge.server.faults.seed(3)
        return [(await http.get("/version")).status_code for _ in range(12)]

    forge.misbehave("status", chance=0.5, times=None)
    first = await statuses()
    assert set(first) == {200, 503}
    assert await statuses() == first
    forge.server.faults.clear()
    assert set(await statuses()) == {200}


async def test_the_forge_goes_away_and_comes_back(http: httpx.AsyncClient, forge: Forge) -> None:
    """Nobody answers meanwhile; afterwards it is the same port with the same data."""
    forge.open(REPO, "t")
    assert (await http.get(f"{ISSUES}/1")).is_success
    forge.go_away()
    await forge.server.wait_stopped()
    with pytest.raises(httpx.TransportError):
        await http.get(f"{ISSUES}/1")
    await forge.come_back()
    assert (await http.get(f"{ISSUES}/1")).json()["title"] == "t"


async def test_a_client_that_leaves_or_talks_nonsense_harms_nobody(
    http: httpx.AsyncClient, forge: Forge
) -> None:
    """A broken connection ends alone."""
    host, port = forge.url.removeprefix("http://").split(":")
    for words in (b"", b"\0nonsense\r\n\r\n", b"GET /api/v1/version HTTP/1.1\r\n"):
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(words)
    assert (await http.get("/version")).is_success


@pytest.mark.parametrize("hook", [[], ["--hook", "http://127.0.0.1:1/", "--secret", "s"]])
async def test_the_forge_runs_on_its_own(hook: list[str]) -> None:
    """The command prints where the forge is and a token for it, and ends quietly on Ctrl-C."""
    command = [sys.executable, "-m", "coordinator.demo.forge", "--product", "forgejo", "--port", "0"]
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, command + hook, stdout=subprocess.PIPE)
        process: trio.Process = await nursery.start(start)
        assert process.stdout is not None
        said = b""
        while said.count(b"\n") < 2:
            said += await process.stdout.receive_some()
        url, token = said.decode().splitlines()
        headers = {"Authorization": f"token {token.split()[-1]}"}
        async with httpx.AsyncClient(trust_env=False) as http:
            issues = (await http.get(url, headers=headers)).json()
        assert [issue["title"] for issue in issues] == ["Rows are lost"]
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0
