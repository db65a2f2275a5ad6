"""A request that is cancelled while being written leaves nothing to the garbage collector."""

import gc
import socket
import warnings

import httpx
import trio

from coordinator.edges.request_body import send_in_one_piece

HOOKS = {"request": [send_in_one_piece]}
BODY = b"x" * 2**24  # more than the sockets' buffers hold: the write waits for a reader


def test_a_request_given_up_half_way_is_silent() -> None:
    """Neither the library's generator nor a word of it is left when the run ends."""

    async def main(url: str) -> None:
        async with httpx.AsyncClient(event_hooks=HOOKS, trust_env=False) as http:
            with trio.move_on_after(0.2) as patience:
                await http.post(url, content=BODY)
            assert patience.cancelled_caught
        gc.collect()

    with socket.create_server(("127.0.0.1", 0)) as deaf, warnings.catch_warnings():
        warnings.simplefilter("error")
        trio.run(main, f"http://127.0.0.1:{deaf.getsockname()[1]}/")
        gc.collect()


async def test_a_body_is_sent_again_from_its_beginning() -> None:
    """A retry, or an authentication's second round, sends the whole body once more."""
    sent: list[bytes] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        sent.append(b"".join([part async for part in request.stream]))
        return httpx.Response(200)

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, event_hooks=HOOKS) as http:
        request = http.build_request("POST", "http://forge.example/", content=b"whole")
        for _ in range(2):
            await http.send(request)
    assert sent == [b"whole", b"whole"]


async def test_a_body_that_streams_is_left_alone() -> None:
    """Only what is whole anyway is replaced."""

    class Parts(httpx.AsyncByteStream):
        def __init__(self) -> None:
            self.parts = [b"a", b"b"]

        def __aiter__(self) -> "Parts":
            return self

        async def __anext__(self) -> bytes:
            if not self.parts:
                raise StopAsyncIteration
            return self.parts.pop(0)

    request = httpx.Request("POST", "http://forge.example/", content=Parts())
    before = request.stream
    await send_in_one_piece(request)
    assert request.stream is before
