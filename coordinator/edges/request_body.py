"""What a request sends, in one piece that a cancellation can drop.

httpx's own body is an async generator: a request that is cancelled while being written leaves it
half-way, and the garbage collector complains of it, after Trio's end even on the terminal.
"""

from collections.abc import AsyncIterator

import httpx

__all__ = ["send_in_one_piece"]


async def send_in_one_piece(request: httpx.Request) -> None:
    """An event hook for a client's requests: `event_hooks={"request": [send_in_one_piece]}`."""
    if isinstance(request.stream, httpx.ByteStream):
        request.stream = _Body(request.content)


class _Body(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._content)


class _Once:
    def __init__(self, content: bytes) -> None:
        self._left = iter((content,))

    def __aiter__(self) -> "_Once":
        return self

    async def __anext__(self) -> bytes:
        for content in self._left:
            return content
        raise StopAsyncIteration
