"""Of each kind of command the last one given counts, in whatever order they are folded."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.events import CommandGiven, CommandRefused, Verb
from coordinator.rules.ids import AgentName, Login
from coordinator.rules.told import Told
from tests.rules import builders
from tests.rules.builders import metadata, ref


def told(*events: CommandGiven | CommandRefused) -> Told:
    state = Told()
    for event in events:
        state = state.hear(event)
    return state


def test_parking_holds_until_somebody_resumes() -> None:
    """The newest of park and resume decides."""
    parked = told(builders.given(1, 5, "park", reason="wait"))
    assert parked.parked is not None
    assert parked.parked.reason == "wait"
    assert told(builders.given(1, 6, "resume"), builders.given(1, 5, "park")).parked is None
    assert Told().parked is None


def test_an_estimate_stands_in_for_what_was_read() -> None:
    """Tokens and difficulty, as far as they were said, within the usual bounds."""
    read = metadata()
    assert Told().over(read) is read
    said = told(builders.given(1, 5, "estimate", tokens=80_000)).over(read)
    assert (said.estimated_context_tokens, said.difficulty) == (80_000, "medium")
    said = told(builders.given(1, 6, "estimate", tokens=10**12, difficulty="hard")).over(read)
    assert (said.estimated_context_tokens, said.difficulty) == (2_000_000, "hard")
    said = told(builders.given(1, 7, "estimate", difficulty="easy")).over(read)
    assert (said.estimated_context_tokens, said.difficulty) == (20_000, "easy")


def test_the_newest_wish_is_known() -> None:
    """Explaining, estimating and refusing ask for no run."""
    asked = told(
        builders.given(1, 3, "retry"),
        builders.given(1, 4, "assign", agent=AgentName("x")),
        builders.given(1, 8, "explain"),
        builders.given(1, 9, "estimate", tokens=5_000),
        CommandRefused(ref(1), 10, Login("maria"), "no"),
    )
    assert (asked.newest_id, Told().newest_id) == (4, 0)
    assert asked.answered is not None
    assert asked.answered.comment_id == 10


verbs: st.SearchStrategy[Verb] = st.sampled_from(
    ["retry", "assign", "park", "resume", "explain", "estimate"]
)
commands = st.one_of(
    st.builds(lambda number, verb: builders.given(1, number, verb), st.integers(1, 9), verbs),
    st.builds(lambda number: CommandRefused(ref(1), number, Login("maria"), "no"), st.integers(10, 14)),
)


@given(st.lists(commands, unique_by=lambda event: event.comment_id), st.data())
def test_order_and_repetition_do_not_matter(
    events: list[CommandGiven | CommandRefused], data: st.DataObject
) -> None:
    """Any order of the same commands, some of them twice, is the same word."""
    assert told(*events) == told(*data.draw(st.permutations([*events, *events[:3]])))
