"""The fleet as the operator configured it: agents, the pool, and the policy they work under."""

from dataclasses import dataclass, field

from coordinator.rules.context import COMPACT_THRESHOLD, ROTATE_THRESHOLD, ContextPolicy
from coordinator.rules.events import Difficulty
from coordinator.rules.ids import AgentName, Login, fold_login

__all__ = ["COMPACT_THRESHOLD", "ROTATE_THRESHOLD", "AgentSpec", "ContextPolicy", "Fleet"]


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One configured agent. `difficulty` is the hardest it takes, `slots` how many runs at once."""

    name: AgentName
    login: Login
    driver: str = "external"
    model: str = "claude-sonnet-5-5"
    difficulty: Difficulty = "hard"
    slots: int = 1
    context: ContextPolicy = field(default_factory=ContextPolicy)
    transcript: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "login", fold_login(self.login))


@dataclass(frozen=True, slots=True)
class Fleet:
    """All agents, in the order of the configuration, and the logins that mean "any agent that fits"."""

    agents: tuple[AgentSpec, ...]
    pool_logins: tuple[Login, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "pool_logins", tuple(map(fold_login, self.pool_logins)))

    @property
    def logins(self) -> frozenset[Login]:
        return frozenset(self.pool_logins) | {agent.login for agent in self.agents}

    def agent(self, name: AgentName) -> AgentSpec | None:
        return next((agent for agent in self.agents if agent.name == name), None)
