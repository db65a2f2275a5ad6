"""What bench/runtime.py is measured against: bare Trio, Pykka, Thespian and triotp, each one function.

Every function moves so many messages through one receiver and gives the seconds per message, from
the first send until the last one was handled. Rivals are imported where they are used: one that is
not installed costs its own lines only.
"""

import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import trio
import trio.testing

__all__ = ["RIVALS", "bare_pair", "bare_round_trip", "why_absent"]

# The capacity of our mailbox: both sides may run as far ahead of each other.
_BUFFER = 64
_QUESTION = "?"
# triotp declares it: its modules use the `type` statement.
_TRIOTP_PYTHON = (3, 13)


def bare_pair(messages: int) -> float:
    """One task sends, one receives, both await every message."""

    async def send_all() -> float:
        send, receive = trio.open_memory_channel[int](_BUFFER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_add_up, receive)
            began_s = time.perf_counter()
            async with send:
                for _ in range(messages):
                    await send.send(1)
        return (time.perf_counter() - began_s) / messages

    return trio.run(send_all)


async def _add_up(numbers: "trio.MemoryReceiveChannel[int]") -> int:
    total = 0
    async with numbers:
        async for number in numbers:
            total += number
    return total


def bare_round_trip(questions: int) -> float:
    """One channel there, one back, one question at a time."""

    async def ask_all() -> float:
        ask, asked = trio.open_memory_channel[str](_BUFFER)
        answer, answered = trio.open_memory_channel[int](_BUFFER)

        async def reply() -> None:
            async with asked, answer:
                async for _ in asked:
                    await answer.send(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reply)
            began_s = time.perf_counter()
            async with ask, answered:
                for _ in range(questions):
                    await ask.send(_QUESTION)
                    await answered.receive()
                return (time.perf_counter() - began_s) / questions

    return trio.run(ask_all)


# Pykka: a thread per actor ----------------------------------------------------------------------


def _pykka_adder() -> Any:
    import pykka

    class Adder(pykka.ThreadingActor):
        def __init__(self) -> None:
            super().__init__()
            self.total = 0

        def on_receive(self, message: Any) -> int:
            if message != _QUESTION:
                self.total += message
            return self.total

    return Adder.start()


def _pykka_tell(messages: int) -> float:
    adder = _pykka_adder()
    try:
        began_s = time.perf_counter()
        for _ in range(messages):
            adder.tell(1)
        assert adder.ask(_QUESTION) == messages
        return (time.perf_counter() - began_s) / messages
    finally:
        adder.stop()


def _pykka_ask(questions: int) -> float:
    adder = _pykka_adder()
    try:
        began_s = time.perf_counter()
        for _ in range(questions):
            adder.ask(_QUESTION)
        return (time.perf_counter() - began_s) / questions
    finally:
        adder.stop()


# Thespian: everything in the caller's thread ------------------------------------------------------


def _with_thespian(work: Callable[[Any, Any], float]) -> float:
    from thespian.actors import Actor, ActorSystem

    class Adder(Actor):  # type: ignore[misc]  # untyped
        total = 0

        def receiveMessage(self, message: Any, sender: Any) -> None:
            if message == _QUESTION:
                self.send(sender, self.total)
            elif isinstance(message, int):
                self.total += message

    system = ActorSystem("simpleSystemBase")
    try:
        return work(system, system.createActor(Adder))
    finally:
        system.shutdown()


def _thespian_tell(messages: int) -> float:
    def work(system: Any, adder: Any) -> float:
        began_s = time.perf_counter()
        for _ in range(messages):
            system.tell(adder, 1)
        assert system.ask(adder, _QUESTION, 10) == messages
        return (time.perf_counter() - began_s) / messages

    return _with_thespian(work)


def _thespian_ask(questions: int) -> float:
    def work(system: Any, adder: Any) -> float:
        began_s = time.perf_counter()
        for _ in range(questions):
            system.ask(adder, _QUESTION, 10)
        return (time.perf_counter() - began_s) / questions

    return _with_thespian(work)


# triotp: a generic server on a channel without a buffer ---------------------------------------------


def _with_triotp(work: Callable[[Any], Any]) -> float:
    from triotp import gen_server, mailbox

    async def init(_: Any) -> int:
        return 0

    async def handle_cast(message: int, total: int) -> tuple[Any, int]:
        return gen_server.NoReply(), total + message

    async def handle_call(_message: str, _caller: Any, total: int) -> tuple[Any, int]:
        return gen_server.Reply(total), total

    async def run() -> float:
        mailbox._init()  # what its node.run does, without the applications
        module: Any = SimpleNamespace(
            __name__="adder", init=init, handle_cast=handle_cast, handle_call=handle_call
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gen_server.start, module, None, "adder")
            await trio.testing.wait_all_tasks_blocked()
            took_s: float = await work(gen_server)
            nursery.cancel_scope.cancel()
        return took_s

    return trio.run(run)


def _triotp_cast(messages: int) -> float:
    async def work(gen_server: Any) -> float:
        began_s = time.perf_counter()
        for _ in range(messages):
            await gen_server.cast("adder", 1)
        assert await gen_server.call("adder", _QUESTION) == messages
        return (time.perf_counter() - began_s) / messages

    return _with_triotp(work)


def _triotp_call(questions: int) -> float:
    async def work(gen_server: Any) -> float:
        began_s = time.perf_counter()
        for _ in range(questions):
            await gen_server.call("adder", _QUESTION)
        return (time.perf_counter() - began_s) / questions

    return _with_triotp(work)


# Name → (package, tell, ask).
RIVALS: dict[str, tuple[str, Callable[[int], float], Callable[[int], float]]] = {
    "Pykka": ("pykka", _pykka_tell, _pykka_ask),
    "Thespian": ("thespian", _thespian_tell, _thespian_ask),
    "triotp": ("triotp", _triotp_cast, _triotp_call),
}


def why_absent(name: str) -> str | None:
    """Why a rival cannot take part; None if it can."""
    import importlib

    package = RIVALS[name][0]
    if package == "triotp" and sys.version_info < _TRIOTP_PYTHON:
        return f"needs Python 3.13, this is {sys.version_info[0]}.{sys.version_info[1]}"
    try:
        importlib.import_module(package)
    except ImportError as exc:
        return f"{exc}: pip install -e '.[bench]'"
    return None
