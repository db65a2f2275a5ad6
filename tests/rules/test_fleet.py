"""The fleet as configured: who is asked by which login."""

from coordinator.rules.fleet import AgentSpec, ContextPolicy, Fleet
from coordinator.rules.ids import AgentName, Login

FIRST = AgentSpec(AgentName("sonnet-1"), Login("claude-sonnet"))
SECOND = AgentSpec(AgentName("opus-1"), Login("claude-opus"), difficulty="medium", slots=2)
FLEET = Fleet((FIRST, SECOND), (Login("coder-bot"),))


def test_our_logins_are_the_pools_and_the_agents() -> None:
    """An issue assigned to any of them concerns us."""
    assert FLEET.logins == {"coder-bot", "claude-sonnet", "claude-opus"}


def test_an_agent_is_found_by_its_name() -> None:
    """By name, not by login; nobody is None."""
    assert FLEET.agent(AgentName("opus-1")) is SECOND
    assert FLEET.agent(AgentName("claude-opus")) is None


def test_an_agent_takes_the_default_policy() -> None:
    """80 and 95 % of the usable window, unless configured."""
    assert FIRST.context == ContextPolicy(compact_at=0.80, rotate_at=0.95)
    assert (FIRST.difficulty, FIRST.slots, FIRST.driver) == ("hard", 1, "external")
