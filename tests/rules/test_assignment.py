"""Who gets an issue, and what is said when nobody does."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.assignment import (
    AssignmentRequest,
    Candidate,
    Choice,
    NoFit,
    Wait,
    choose,
)
from coordinator.rules.events import AgentStatus, Difficulty
from coordinator.rules.fleet import AgentSpec, Fleet
from coordinator.rules.ids import AgentName, IssueRef, Login
from coordinator.rules.prices import expected_cost_usd, most_expensive

POOL = Login("coder-bot")


def ask(
    *assignees: str,
    difficulty: Difficulty = "easy",
    estimate: int = 10_000,
    suggested: str | None = None,
) -> AssignmentRequest:
    logins = tuple(Login(name) for name in assignees or (POOL,))
    return AssignmentRequest(IssueRef("acme/tool", 1), logins, difficulty, estimate, suggested)


def agent(
    name: str,
    *,
    difficulty: Difficulty = "hard",
    model: str = "claude-sonnet-5-5",
    usable: int | None = 200_000,
    running: int = 0,
    queued: int = 0,
    slots: int = 1,
    status: AgentStatus = "idle",
) -> Candidate:
    spec = AgentSpec(
        AgentName(name), Login(f"{name}-login"), model=model, difficulty=difficulty, slots=slots
    )
    return Candidate(spec, usable, running, queued, status)


def pick(request: AssignmentRequest, *candidates: Candidate) -> Choice | NoFit | Wait:
    return choose(request, candidates, Fleet(tuple(c.spec for c in candidates), (POOL,)))


@pytest.mark.parametrize(
    ("request_", "candidates", "chosen"),
    [
        pytest.param(ask(), [agent("a")], "a", id="the only one"),
        pytest.param(
            ask(), [agent("a", model="claude-opus-5-5"), agent("b")], "b", id="the cheaper model"
        ),
        pytest.param(
            ask("coder-bot", "a-login"),
            [agent("a", model="claude-opus-5-5"), agent("b")],
            "a",
            id="named comes before cheap",
        ),
        pytest.param(
            ask("coder-bot", "a-login", difficulty="hard"),
            [agent("a", difficulty="easy"), agent("b")],
            "b",
            id="the pool helps when the named one does not fit",
        ),
        pytest.param(
            ask("coder-bot", "a-login"),
            [agent("a", running=1), agent("b")],
            "b",
            id="the pool helps when the named one is full",
        ),
        pytest.param(ask("A-LOGIN"), [agent("a"), agent("b")], "a", id="logins ignore case"),
        pytest.param(ask("CODER-Bot"), [agent("a")], "a", id="the pool's login ignores case"),
        pytest.param(
            ask("a-login", "stranger"), [agent("a"), agent("b")], "a", id="strangers do not count"
        ),
        pytest.param(
            ask(difficulty="medium"),
            [agent("a", difficulty="easy", model="claude-haiku-5-5"), agent("b", difficulty="medium")],
            "b",
            id="difficulty must cover",
        ),
        pytest.param(
            ask(estimate=100_000),
            [agent("a", usable=199_999, model="claude-haiku-5-5"), agent("b", usable=200_000)],
            "b",
            id="half the usable window exactly fits",
        ),
        pytest.param(
            ask(estimate=5_000_000),
            [agent("a", usable=None)],
            "a",
            id="unknown window: difficulty only",
        ),
        pytest.param(ask(suggested="b"), [agent("a"), agent("b")], "b", id="a hint breaks a tie"),
        pytest.param(
            ask(suggested="b"),
            [agent("a"), agent("b", model="claude-opus-5-5")],
            "a",
            id="a hint is not worth money",
        ),
        pytest.param(
            ask(suggested="b", difficulty="hard"),
            [agent("a"), agent("b", difficulty="easy")],
            "a",
            id="a hint makes nobody fit",
        ),
        pytest.param(
            ask(),
            [agent("a", slots=3, running=2, status="working"), agent("b", slots=3, running=1)],
            "b",
            id="shorter queue",
        ),
        pytest.param(ask(), [agent("a", queued=2), agent("b", queued=1)], "b", id="fewer meant for it"),
        pytest.param(ask(), [agent("b"), agent("a")], "a", id="then the name"),
        pytest.param(
            ask(),
            [agent("a", model="gpt-7"), agent("b", model="claude-fable-5-1")],
            "a",
            id="an unlisted price ties with the dearest",
        ),
        pytest.param(
            ask(), [agent("a", model="gpt-7"), agent("b")], "b", id="a listed price beats none"
        ),
        pytest.param(
            ask(),
            [agent("a", model="claude-haiku-5-5", status="unknown"), agent("b")],
            "b",
            id="not an unknown agent while another is up",
        ),
    ],
)
def test_the_best_fitting_agent_with_a_free_slot_gets_it(
    request_: AssignmentRequest, candidates: list[Candidate], chosen: str
) -> None:
    """Named, then cheapest, then suggested, then least busy, then by name."""
    answer = pick(request_, *candidates)
    assert isinstance(answer, Choice)
    assert answer.agent == chosen


@pytest.mark.parametrize(
    ("request_", "candidates", "reason", "evidence"),
    [
        pytest.param(
            ask("a-login", difficulty="hard"),
            [agent("a", difficulty="easy"), agent("b")],
            "named_agent_too_hard",
            "a takes up to easy, not hard",
            id="a named agent is never replaced silently",
        ),
        pytest.param(
            ask("a-login", estimate=60_000),
            [agent("a", usable=100_000), agent("b")],
            "named_agent_too_large",
            "a: the estimate of 60000 tokens is more than half of its 100000 usable tokens",
            id="nor for size",
        ),
        pytest.param(
            ask(difficulty="hard"),
            [agent("b", difficulty="medium"), agent("a", difficulty="easy")],
            "too_hard",
            "a takes up to easy, not hard; b takes up to medium, not hard",
            id="too hard for the whole pool",
        ),
        pytest.param(
            ask(difficulty="hard", estimate=60_000),
            [agent("a", difficulty="easy"), agent("b", usable=100_000)],
            "no_agent_fits",
            "a takes up to easy, not hard; b: the estimate of 60000 tokens is more than half of"
            " its 100000 usable tokens",
            id="for different reasons",
        ),
        pytest.param(ask(), [], "no_agent_fits", "no agent is configured", id="an empty fleet"),
        pytest.param(
            ask("stranger"),
            [agent("a")],
            "not_ours",
            "assigned to stranger: neither the pool nor an agent",
            id="somebody else's",
        ),
    ],
)
def test_no_fit_names_every_reason(
    request_: AssignmentRequest, candidates: list[Candidate], reason: str, evidence: str
) -> None:
    """Nobody fits: the reason code and, per agent, what is wrong, in order of their names."""
    assert pick(request_, *candidates) == NoFit(reason, evidence)


def test_an_unassigned_issue_is_nobodys() -> None:
    """Without assignees there is nobody to give it to."""
    request = AssignmentRequest(IssueRef("acme/tool", 1), (), "easy", 1)
    assert pick(request, agent("a")) == NoFit(
        "not_ours", "assigned to nobody: neither the pool nor an agent"
    )


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([agent("a", running=1)], Wait("no_free_slot", "a has 1 of 1 slots taken")),
        (
            [agent("b", running=2, slots=2), agent("a", status="unknown")],
            Wait("no_free_slot", "a is unknown; b has 2 of 2 slots taken"),
        ),
        ([agent("a", status="unknown")], Wait("agent_unknown", "a is unknown")),
        (
            [agent("a", status="unknown"), agent("b", status="starting")],
            Wait("agent_starting", "a is unknown; b is starting"),
        ),
    ],
)
def test_who_fits_but_cannot_now_is_waited_for(candidates: list[Candidate], expected: Wait) -> None:
    """Full agents, and agents not known to be up, get no work, and the evidence says which."""
    assert pick(ask(), *candidates) == expected


def test_the_evidence_says_what_was_compared() -> None:
    """Window and price are named when known, and their absence when not."""
    known = pick(ask("a-login"), agent("a"))
    unknown = pick(ask(), agent("a", usable=None, model="gpt-7"))
    assert isinstance(known, Choice)
    assert isinstance(unknown, Choice)
    assert known.evidence == (
        "a, named by its login: takes up to hard, 10000 of 200000 usable tokens, about $0.05"
    )
    assert known.expected_cost_usd == expected_cost_usd(10_000, "claude-sonnet-5-5")
    assert unknown.evidence == (
        "a: takes up to hard, window unknown, so only its difficulty was compared,"
        " gpt-7 has no listed price, taken as $0.23"
    )
    assert unknown.expected_cost_usd == most_expensive(10_000)


candidate_lists = st.lists(
    st.builds(
        agent,
        st.sampled_from(["a", "b", "c", "d", "e"]),
        difficulty=st.sampled_from(["easy", "medium", "hard"]),
        model=st.sampled_from(["claude-haiku-5-5", "claude-opus-5-5", "gpt-7"]),
        usable=st.none() | st.integers(1, 400_000),
        running=st.integers(0, 2),
        queued=st.integers(0, 2),
        slots=st.integers(1, 2),
        status=st.sampled_from(["starting", "idle", "working", "unknown"]),
    ),
    max_size=5,
    unique_by=lambda c: c.spec.name,
)
requests: st.SearchStrategy[AssignmentRequest] = st.builds(
    lambda names, **rest: ask(*names, **rest),
    st.lists(st.sampled_from(["coder-bot", "a-login", "b-login", "stranger"]), min_size=1),
    difficulty=st.sampled_from(["easy", "medium", "hard"]),
    estimate=st.integers(0, 300_000),
    suggested=st.none() | st.sampled_from(["a", "b", "z"]),
)


@given(requests, candidate_lists, st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(
    request_: AssignmentRequest, candidates: list[Candidate], chance: random.Random
) -> None:
    """Any order gives the same answer, word for word, and a chosen agent is up, free and fits."""
    shuffled: list[Any] = list(candidates)
    chance.shuffle(shuffled)
    answer = pick(request_, *candidates)
    assert pick(request_, *shuffled) == answer
    if isinstance(answer, Choice):
        chosen = next(c for c in candidates if c.spec.name == answer.agent)
        assert chosen.status in ("idle", "working")
        assert chosen.running < chosen.spec.slots
        assert chosen.usable_tokens is None or request_.estimate * 2 <= chosen.usable_tokens
        assert POOL in request_.assignees or chosen.spec.login in request_.assignees


def test_an_explanation_names_ten_agents_and_counts_the_rest() -> None:
    """A large fleet does not make a large event of every wait."""
    waits = pick(ask(), *(agent(f"a{n:02}", running=1) for n in range(12)))
    assert isinstance(waits, Wait)
    assert waits.evidence.count("slots taken") == 10
    assert waits.evidence.endswith("; and 2 more")


# pinned -----------------------------------------------------------------------------------------


def pinned(name: str, **fields: Any) -> AssignmentRequest:
    return replace(ask(**fields), pinned_agent=AgentName(name))


def test_a_pinned_agent_gets_it_whoever_is_assigned_and_however_hard() -> None:
    """A person's word beats the price, the assignee and the difficulty, and the evidence says so."""
    cheap, dear = agent("a"), agent("b", difficulty="easy", model="claude-opus-5")
    answer = pick(replace(pinned("b", difficulty="hard"), assignees=(Login("a-login"),)), cheap, dear)
    assert isinstance(answer, Choice)
    assert answer.agent == "b"
    assert answer.evidence.startswith("b, as a person asked: ")


def test_a_pinned_agent_that_cannot_have_it_parks_the_issue() -> None:
    """Its window is no matter of opinion, and one that is configured no more never comes."""
    small = pick(pinned("a", estimate=150_000), agent("a"), agent("b", usable=1_000_000))
    assert isinstance(small, NoFit)
    assert small.reason == "pinned_agent_too_large"
    gone = pick(pinned("z"), agent("a"))
    assert isinstance(gone, NoFit)
    assert (gone.reason, gone.evidence.split(",")[0]) == ("pinned_agent_gone", "z")


def test_a_pinned_agent_that_is_busy_is_waited_for() -> None:
    """Nobody else takes its place."""
    answer = pick(pinned("a"), agent("a", running=1), agent("b"))
    assert isinstance(answer, Wait)
    assert answer.reason == "no_free_slot"
