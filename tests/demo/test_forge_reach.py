"""How far the forge's deliveries reach: the hosts it may call, and the redirects it follows."""

import subprocess
import sys

import h11
import pytest
import trio

from coordinator.demo.forge.allow_list import AllowList
from tests.fakes.forge import FORGEJO, GITEA, REPO, Dialect, furnish, open_forge

SECRET = "example-secret-not-real"
NEW = {"key": "security.ALLOWED_HOST_LIST", "reserved_is_external": False}
OLD = {"key": "webhook.ALLOWED_HOST_LIST", "reserved_is_external": True}


@pytest.mark.parametrize(
    ("value", "host", "address", "old", "new"),
    [
        ("external", "8.8.8.8", "8.8.8.8", True, True),
        ("", "box", "127.0.0.1", False, False),
        ("external", "box", "10.0.0.5", False, False),
        ("external", "box", "fe80::1%eth0", False, False),
        ("external", "tail", "100.64.0.1", True, False),
        ("external, loopback", "box", "::1", True, True),
        ("private", "box", "192.168.1.9", True, True),
        ("10.0.0.0/8", "box", "10.0.0.5", True, True),
        ("10.0.0.5", "box", "10.0.0.5", True, True),
        ("10.0.0.5", "box", "10.0.0.6", False, False),
        ("*.example.org", "Box.example.org", "10.0.0.5", True, True),
        ("*", "box", "127.0.0.1", True, True),
    ],
)
def test_what_the_list_lets_in(value: str, host: str, address: str, old: bool, new: bool) -> None:
    """Words, networks, addresses and names; from Gitea 1.26.3 on shared networks are not external."""
    for made, may in ((AllowList(value, **OLD), old), (AllowList(value, **NEW), new)):  # type: ignore[arg-type]
        assert (made.refusal(host, address) == "") is may


@pytest.mark.parametrize(
    ("dialect", "key"),
    [(GITEA, "security.ALLOWED_HOST_LIST"), (FORGEJO, "webhook.ALLOWED_HOST_LIST")],
    ids=["gitea", "forgejo"],
)
async def test_a_denied_host_shows_in_the_history_alone(dialect: Dialect, key: str) -> None:
    """The hook can be made; its delivery fails when it dials, in the product's own words."""
    async with open_forge(dialect, allowed_hosts="external") as forge:
        furnish(forge)
        forge.hook(REPO, "http://localhost:1/in", SECRET)
        forge.open(REPO, "t")
        await forge.wait_quiet()
        (posted,) = forge.deliveries
    assert (posted.outcome, posted.status) == ("failed", None)
    said = f"webhook can only call allowed HTTP servers (check your {key} setting), deny 'localhost("
    assert posted.error.startswith(said)


class Turnpike:
    """A web server that sends everybody on to `/end` of itself with `status`, `times` times."""

    def __init__(self, status: int, times: int = 1) -> None:
        self.status = status
        self.times = times
        self.got: list[tuple[str, str, int]] = []

    async def converse(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER)
        async with stream:
            while True:
                event = http.next_event()
                if event is h11.NEED_DATA:
                    http.receive_data(await stream.receive_some())
                elif isinstance(event, h11.Request):
                    asked = (event.method.decode(), event.target.decode())
                    size = 0
                elif isinstance(event, h11.Data):
                    size += len(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self.got.append((*asked, size))
                    await stream.send_all(self._answer(http))
                    http.start_next_cycle()
                else:
                    return

    def _answer(self, http: h11.Connection) -> bytes:
        is_end = len(self.got) > self.times
        status = (200 if self.got[-1][0] == "POST" else 405) if is_end else self.status
        headers = [("content-length", "0")] + ([] if is_end else [("location", "/end")])
        head = http.send(h11.Response(status_code=status, headers=headers)) or b""
        return head + (http.send(h11.EndOfMessage()) or b"")


async def deliver(turnpike: Turnpike, **options: str) -> tuple[str, int | None, str]:
    """What the forge's history says of one delivery to it."""
    async with open_forge("gitea", **options) as forge, trio.open_nursery() as nursery:  # type: ignore[arg-type]
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, turnpike.converse, listeners)
        furnish(forge)
        forge.hook(REPO, f"http://127.0.0.1:{port}/in", SECRET)
        forge.open(REPO, "t")
        await forge.wait_quiet()
        (posted,) = forge.deliveries
        nursery.cancel_scope.cancel()
    return posted.outcome, posted.status, posted.error


@pytest.mark.parametrize(
    ("status", "method", "outcome"),
    [(301, "GET", "failed"), (302, "GET", "failed"), (303, "GET", "failed"), (307, "POST", "sent"),
     (308, "POST", "sent")],
)  # fmt: skip
async def test_a_redirect_may_turn_a_post_into_a_get(status: int, method: str, outcome: str) -> None:
    """301, 302 and 303 arrive as a GET without a body, which nobody takes; 307 and 308 keep all."""
    turnpike = Turnpike(status)
    found = await deliver(turnpike)
    first, second = turnpike.got
    assert (first[0], second[:2]) == ("POST", (method, "/end"))
    assert second[2] == (first[2] if method == "POST" else 0)
    assert found[0] == outcome


async def test_an_endless_redirect_ends() -> None:
    """After ten it is enough."""
    turnpike = Turnpike(307, times=99)
    assert await deliver(turnpike) == ("failed", None, "stopped after 10 redirects")
    assert len(turnpike.got) == 11


def test_the_list_is_an_option_of_the_command_line() -> None:
    """Whoever tries a coordinator by hand can have the forge refuse it, as a real one would."""
    asked = [sys.executable, "-m", "coordinator.demo.forge", "--help"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
    assert "--allowed-host-list LIST" in told.stdout
