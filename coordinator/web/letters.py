"""`/api/v1/deadletters`: messages that crashed their actor twice, and the way to try one again."""

from quart import Blueprint, Response

from coordinator.actors.messages import Reconsider
from coordinator.edges.journal import StoredDeadLetter
from coordinator.errors import JournalError, JournalUnavailable
from coordinator.web.ask import find
from coordinator.web.asked import LettersQuery
from coordinator.web.context import WebContext
from coordinator.web.envelope import Refused
from coordinator.web.shapes import DeadLetterBody, DeadLettersBody
from coordinator.web.views import read_query, shaped

__all__ = ["letters_blueprint"]

# The router's letters are deliveries; the journal itself puts a copy of those back into the inbox.
_READS_DELIVERIES = "router"


def letters_blueprint(context: WebContext) -> Blueprint:
    blueprint = Blueprint("deadletters", __name__, url_prefix="/api/v1/deadletters")

    @blueprint.get("")
    async def list_letters() -> Response:
        query = read_query(LettersQuery)
        letters = await context.journal.dead_letters(actor=query.actor, limit=query.limit)
        return shaped(DeadLettersBody, {"dead_letters": [_letter_body(letter) for letter in letters]})

    @blueprint.post("/<letter_id>/replay")
    async def replay(letter_id: str) -> Response:
        known = letter_id.isascii() and letter_id.isdigit() and len(letter_id) < 19
        letter = await _replay(context, int(letter_id)) if known else None
        if letter is None:
            raise Refused(404, "not_found", f"there is no dead letter {letter_id[:100]!r}")
        return shaped(DeadLetterBody, _letter_body(letter))

    return blueprint


async def _replay(context: WebContext, letter_id: int) -> StoredDeadLetter | None:
    try:
        replayed = await context.journal.replay_dead_letter(letter_id, context.now())
    except JournalUnavailable as error:
        message = "the journal cannot store this now"
        raise Refused(503, "journal_unavailable", message, headers={"retry-after": "2"}) from error
    except JournalError as error:  # its body is past retention
        raise Refused(409, "conflict", str(error)) from error
    if replayed is not None:
        _tell_actor(context, replayed)
    return replayed


def _tell_actor(context: WebContext, stored: StoredDeadLetter) -> None:
    """Have a follower read its event again. One that is away finds the mark when it starts."""
    letter = stored.letter
    if letter.actor == _READS_DELIVERIES or letter.item is None:
        return
    try:
        find(context, letter.actor).cast_nowait(Reconsider(letter.item), coalesce=True)
    except Refused:
        return


def _letter_body(stored: StoredDeadLetter) -> DeadLetterBody:
    letter = stored.letter
    return DeadLetterBody(
        id=stored.id,
        at=stored.at,
        actor=letter.actor,
        item=letter.item,
        message=letter.message,
        first_error=letter.first_error,
        second_error=letter.second_error,
        replayed_at=stored.replayed_at,
    )
