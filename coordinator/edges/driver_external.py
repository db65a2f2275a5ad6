"""Agents that live elsewhere and speak the agent protocol over HTTP.

They fetch their orders and post their readings themselves, so there is little to drive: this driver
only adds what a transcript on this machine can tell. Silence is the monitor's to judge.
"""

from coordinator.edges.drivers import PollFault, Report, UsageReported
from coordinator.edges.journal import StoredOrder
from coordinator.edges.transcript import Transcript
from coordinator.edges.transcript_wire import Reading
from coordinator.errors import VendorError
from coordinator.rules.orders import RotateSession, StartRun

__all__ = ["ExternalDriver"]


class ExternalDriver:
    """`transcript`, if any, is of an agent with one slot: a file cannot say which run it is of.

    `window_tokens` is the model's window as read from its record, None while unknown.
    """

    def __init__(self, transcript: Transcript | None = None, window_tokens: int | None = None) -> None:
        self._transcript = transcript
        self.window_tokens = window_tokens
        self._start: StoredOrder | None = None
        self._rotation: tuple[StoredOrder, RotateSession, str] | None = None
        self._session_id = ""

    async def carry_out(self, order: StoredOrder) -> None:
        """Nothing to hand over: the row in the journal is what the agent fetches.

        The newest start and rotation are remembered, so that what the transcript holds from before
        is not taken for the new run's or the new session's.
        """
        match order.order:
            case StartRun() if self._start is None or order.id > self._start.id:
                self._start, self._rotation = order, None
            case RotateSession() as asked if self._rotation is None or order.id > self._rotation[0].id:
                self._rotation = order, asked, self._session_id
            case _:
                return

    async def poll(self) -> tuple[Report, ...]:
        if self._transcript is None:
            return ()
        try:
            reading = await self._transcript.read(self.window_tokens)
        except VendorError as error:
            return (PollFault(str(error)),)
        if reading is None or self._is_of_an_earlier_run(reading):
            return ()
        session = self._session_of(reading)
        self._session_id = reading.session_id
        return (UsageReported(None, session, reading.usage, reading.at_turn_boundary),)

    def _is_of_an_earlier_run(self, reading: Reading) -> bool:
        """The file is on this machine, so its clock is the one that dated the order."""
        return self._start is not None and reading.usage.sampled_at < self._start.opened_at

    def _session_of(self, reading: Reading) -> int | None:
        """The session by our count, None for the current one (no rotation was seen, or not whose)."""
        if self._rotation is None:
            return None
        _, asked, old_id = self._rotation
        if not old_id or not reading.session_id:
            return None
        return asked.from_session if reading.session_id == old_id else asked.to_session
