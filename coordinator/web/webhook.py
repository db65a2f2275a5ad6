"""`POST /webhook/gitea`: from raw bytes to a delivery on disk, or to the reason why not.

Header facts: Gitea 1.20-1.27 and Forgejo 7-17 both send the X-Gitea-* set. Neither the delivery id nor
the event is signed, so both are only hints; the journal also knows a delivery by its content.
"""

import hashlib
import math
import re
import time
from dataclasses import dataclass, replace

import structlog
import trio

from coordinator.edges.gitea_wire import Ignored, parse_delivery, verify
from coordinator.edges.journal import Delivery
from coordinator.errors import JournalUnavailable, PayloadInvalid
from coordinator.rules.ids import DeliveryId
from coordinator.web.context import WebContext
from coordinator.web.envelope import Answer, Refused

__all__ = ["WEBHOOK_PATH", "Webhook", "delivery_id", "kept_headers"]

_log = structlog.get_logger(__name__)

WEBHOOK_PATH = "/webhook/gitea"
# The forge gives up after 5 s (DELIVER_TIMEOUT); an answer at 3 s still reaches it.
_ACCEPT_TIMEOUT_S = 3.0
_RETRY_AFTER = {"retry-after": "5"}
_DELIVERY_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_MAX_HEADER_BYTES = 256
_UNSIGNED_LINE_EVERY_S = 1.0
# What diagnosis may need; signatures and credentials are not on the list and so are never stored.
_KEPT_HEADERS = (
    b"content-type",
    b"user-agent",
    b"x-forgejo-delivery",
    b"x-forgejo-event",
    b"x-forgejo-event-type",
    b"x-gitea-delivery",
    b"x-gitea-event",
    b"x-gitea-event-type",
    b"x-gitea-hook-installation-target-type",
)

Headers = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one delivery, for its answer and its log line."""

    word: str
    answer: Answer
    reason: str | None = None


class Webhook:
    """Callable as the front's hot route; refuses by raising."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._next_unsigned_line_at = -math.inf

    async def __call__(self, method: str, headers: Headers, body: bytes) -> Answer:
        began = time.perf_counter()
        self._check_request(method, headers)
        if not verify(self._context.secrets, body, headers.get(b"x-gitea-signature")):
            self._note_unsigned(len(body))
            raise Refused(401, "bad_signature", "X-Gitea-Signature is missing or does not match")
        delivery = self._delivery(headers, body)
        outcome = await self._receive(delivery)
        # One line per delivery: that of an accepted one is the router's, which knows what it meant.
        tell = _log.debug if outcome.word == "accepted" else _log.info
        tell(
            "delivery",
            delivery=delivery.id,
            delivery_event=delivery.event_type or delivery.event,
            outcome=outcome.word,
            reason=outcome.reason,
            ms=round((time.perf_counter() - began) * 1000, 2),
        )
        return outcome.answer

    def _note_unsigned(self, size_bytes: int) -> None:
        """Count it, and log the first of a while: anybody can send them, and a line for each would let
        them fill the disk that holds the log."""
        counters = self._context.counters
        counters.signature_failures += 1
        if trio.current_time() >= self._next_unsigned_line_at:
            self._next_unsigned_line_at = trio.current_time() + _UNSIGNED_LINE_EVERY_S
            failures = counters.signature_failures
            _log.warning("delivery", outcome="unsigned", size_bytes=size_bytes, failures=failures)

    def _check_request(self, method: str, headers: Headers) -> None:
        if method != "POST":
            raise Refused(405, "method_not_allowed", "deliveries are POSTed", headers={"allow": "POST"})
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if media_type != b"application/json":
            raise Refused(
                415, "unsupported_media_type", "set the webhook's content type to application/json"
            )

    def _delivery(self, headers: Headers, body: bytes) -> Delivery:
        return Delivery(
            id=delivery_id(headers, body),
            event=_text(headers.get(b"x-gitea-event", b"")),
            event_type=_text(headers.get(b"x-gitea-event-type", b"")),
            headers=kept_headers(headers),
            body=body,
            received_at=self._context.now(),
        )

    async def _receive(self, delivery: Delivery) -> _Outcome:
        try:
            payload = parse_delivery(delivery.event, delivery.event_type, delivery.body)
        except PayloadInvalid as error:
            return await self._reject(delivery, error)
        if isinstance(payload, Ignored):
            self._context.counters.ignored += 1
            return _outcome(delivery, "ignored", payload.reason)
        return await self._accept(delivery)

    async def _accept(self, delivery: Delivery) -> _Outcome:
        """Shielded, because a commit under way must not be torn by a stop; bounded, because the forge
        waits. A commit that outlives the bound is found again by its id."""
        counters = self._context.counters
        try:
            with trio.fail_after(_ACCEPT_TIMEOUT_S) as limit:
                limit.shield = True
                receipt = await self._context.journal.accept(delivery)
        except (JournalUnavailable, trio.TooSlowError) as error:
            counters.unavailable += 1
            return _unavailable(str(error) or "the journal is too slow")
        if receipt.duplicate_of is not None:
            counters.duplicates += 1
            return _outcome(delivery, "duplicate")
        counters.accepted += 1
        return _outcome(delivery, "accepted")

    async def _reject(self, delivery: Delivery, error: PayloadInvalid) -> _Outcome:
        self._context.counters.rejected += 1
        refused = {"code": "invalid_payload", "message": str(error), "field": error.field}
        outcome = _Outcome("rejected", Answer(422, {"error": refused}), str(error))
        try:
            with trio.fail_after(_ACCEPT_TIMEOUT_S) as limit:
                limit.shield = True
                await self._context.journal.reject(delivery, str(error))
        except (JournalUnavailable, trio.TooSlowError):
            return replace(outcome, word="rejected, not kept")
        return outcome


def delivery_id(headers: Headers, body: bytes) -> DeliveryId:
    """The forge's id; without a usable one, an id that the same content always gets again."""
    given = headers.get(b"x-gitea-delivery", b"")
    if _DELIVERY_ID.fullmatch(given):
        return DeliveryId(given.decode("ascii"))
    return DeliveryId(f"sha256:{hashlib.sha256(body).hexdigest()}")


def kept_headers(headers: Headers) -> tuple[tuple[str, str], ...]:
    """The headers worth keeping with a delivery, in a fixed order, each cut to 256 bytes."""
    return tuple((name.decode(), _text(headers[name])) for name in _KEPT_HEADERS if name in headers)


def _text(value: bytes) -> str:
    return value[:_MAX_HEADER_BYTES].decode("latin-1")


def _outcome(delivery: Delivery, word: str, reason: str | None = None) -> _Outcome:
    body = {"status": word, "delivery": delivery.id}
    return _Outcome(word, Answer(200, body if reason is None else body | {"reason": reason}), reason)


def _unavailable(reason: str) -> _Outcome:
    message = "the journal cannot store the delivery now"
    error = {"error": {"code": "journal_unavailable", "message": message}}
    return _Outcome("unavailable", Answer(503, error, _RETRY_AFTER), reason)
