"""What the doctor's checks share: the settings, the forge, and what earlier checks found out."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from coordinator.cli.findings import Tell
from coordinator.config import Settings
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_remote_wire import Account, ForgeInfo, RemoteHook, RemoteRepository

__all__ = ["Check", "Patient", "Wishes"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator asked for. `proof_s`: how long a delivery that was asked for may take."""

    repos: tuple[str, ...] = ()
    url: str | None = None
    prove: bool = False
    proof_s: float = 15.0


@dataclass(slots=True)
class Patient:
    """One examination. `receiver` is the webhook's address as the forge is to know it, `local_url` that
    of the coordinator here. `obstacle` says why the forge cannot be asked further, "" while it can."""

    settings: Settings
    environ: Mapping[str, str]
    wishes: Wishes
    receiver: str | None
    local_url: str | None
    forge: Forge | None = None
    obstacle: str = ""
    info: ForgeInfo | None = None
    account: Account | None = None
    repositories: list[RemoteRepository] = field(default_factory=list)
    # Repositories the running coordinator knows, by their names in lower case.
    heard: frozenset[str] = frozenset()
    # The right webhook of each repository, by its full name; None where a higher level serves it, also
    # one that this token may not see.
    hooks: dict[str, RemoteHook | None] = field(default_factory=dict)
    has_arrived: bool = False

    @property
    def logins(self) -> tuple[str, ...]:
        """The bot accounts: whoever an issue is assigned to so that we work on it."""
        return tuple(sorted(self.settings.fleet.logins))


@dataclass(frozen=True, slots=True)
class Check:
    """One check: tells its findings as it makes them, within `deadline_s`. With `at_forge` it is left
    out when the forge cannot be asked."""

    name: str
    run: Callable[[Patient, Tell], Awaitable[None]]
    deadline_s: float
    at_forge: bool = False
