"""What is to be watched, and what the forge's clock says: the look around before a round of sweeps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
import trio

from coordinator.actors.messages import ReadBlockers, Survey, WatchedRepositories
from coordinator.actors.sweeper.visit import ROUTER_TIMEOUT_S, Sweeping
from coordinator.edges.gitea_remote_wire import RemoteRepository
from coordinator.errors import ForgeError, ForgeForbidden, ForgeUnauthorized, ForgeUnavailable
from coordinator.rules.ids import Login
from coordinator.rules.sweep_plan import Target

if TYPE_CHECKING:
    from coordinator.edges.gitea import Forge

__all__ = ["Surveyor", "Watched"]

# "heard": those that deliveries told of; "all": where the token's user may write; or these names.
Watched = str | tuple[str, ...]

# Repositories come and go by the hour, and a list of a thousand is twenty requests.
RELIST_S = 600.0
# A name that means nothing is somebody's mistake, mended by hand.
LOST_S = 600.0
# Names looked up before what was found so far is swept.
NAMES_AT_ONCE = 50
# 50,000 repositories; a forge that lists more never ends.
MAX_PAGES = 1_000
_MAX_WHY_CHARS = 300  # a line of a table


@dataclass(slots=True)
class Surveyor:
    """Looks around again and again, and remembers what it need not ask each time."""

    watched: Watched
    named: dict[str, int] = field(default_factory=dict)
    own: Login | None = None
    _is_told: bool = False
    _lost: dict[str, tuple[str, float]] = field(default_factory=dict)
    _listed: tuple[Target, ...] = ()
    _listed_at_s: float | None = None

    def forget(self, repo_id: int) -> None:
        """The repository is not to be found any more: its name may mean another one now."""
        self.named = {name: known for name, known in self.named.items() if known != repo_id}

    def relist(self) -> None:
        """Somebody asked: what was listed or lost is asked for anew."""
        self._listed_at_s = None
        self._lost = {}

    async def look(self, tools: Sweeping, names: Mapping[int, str]) -> Survey:
        """Look around; `names` is what watched repositories are called now.

        Raises ForgeError, and what a call to the router raises.
        """
        asked_s = trio.current_time()
        # The answer's second has begun at most a second before; without a date ours must do.
        forge_at = await tools.forge.server_time() or tools.clock()
        await self._learn_own(tools.forge)
        targets, is_partial = await self._targets(tools, names)
        swept = frozenset(target.repo_id for target in targets)
        if not is_partial:
            await tools.router.call(ReadBlockers(swept), timeout_s=ROUTER_TIMEOUT_S)
        return Survey(
            targets=targets,
            forge_at=forge_at,
            asked_s=asked_s,
            named=tuple(sorted(self.named.items())),
            lost=tuple(sorted((name, why) for name, (why, _) in self._lost.items())),
            is_partial=is_partial,
            own=self.own,
        )

    async def _learn_own(self, forge: "Forge") -> None:
        if self.own is None:
            try:
                self.own = (await forge.whoami()).login
            except ForgeForbidden as error:  # a token without read:user: then nobody is left out
                if not self._is_told:
                    log = structlog.get_logger().bind(actor="sweeper")
                    log.warning("own_account_unknown", why=str(error))
                self._is_told = True

    async def _targets(
        self, tools: Sweeping, names: Mapping[int, str]
    ) -> tuple[tuple[Target, ...], bool]:
        match self.watched:
            case "heard":
                known = await tools.router.call(WatchedRepositories(), timeout_s=ROUTER_TIMEOUT_S)
                return tuple(
                    Target(each.repo_id, each.current) for each in known if each.is_heard
                ), False
            case "all":
                return await self._all(tools.forge), False
            case _:
                return await self._configured(tools.forge, names)

    # all ----------------------------------------------------------------------------------------

    async def _all(self, forge: "Forge") -> tuple[Target, ...]:
        now_s = trio.current_time()
        if self._listed_at_s is None or now_s >= self._listed_at_s + RELIST_S:
            self._listed = await _writable(forge)
            self._listed_at_s = now_s
        return self._listed

    # by name ------------------------------------------------------------------------------------

    async def _configured(
        self, forge: "Forge", names: Mapping[int, str]
    ) -> tuple[tuple[Target, ...], bool]:
        now_s = trio.current_time()
        unknown = [name for name in self.watched if self._is_unknown(name, now_s)]
        for name in unknown[:NAMES_AT_ONCE]:
            await self._look_up(forge, name, now_s)
        wanted = {self.named[name.lower()]: name for name in self.watched if name.lower() in self.named}
        targets = (Target(repo_id, names.get(repo_id, name)) for repo_id, name in wanted.items())
        return tuple(targets), len(unknown) > NAMES_AT_ONCE

    def _is_unknown(self, name: str, now_s: float) -> bool:
        until_s = self._lost.get(name.lower(), ("", 0.0))[1]
        return name.lower() not in self.named and now_s >= until_s

    async def _look_up(self, forge: "Forge", name: str, now_s: float) -> None:
        key = name.lower()
        try:
            self.named[key] = (await forge.repository(name)).id
            self._lost.pop(key, None)
        except ForgeError as error:
            is_away = isinstance(error, ForgeUnavailable) and forge.health().state != "closed"
            if is_away or isinstance(error, ForgeUnauthorized):
                raise
            self._lost[key] = (str(error)[:_MAX_WHY_CHARS], now_s + LOST_S)


async def _writable(forge: "Forge") -> tuple[Target, ...]:
    """Where the token's user may be given work: it may write, and there are issues that can change."""
    found: dict[int, RemoteRepository] = {}
    for page in range(1, MAX_PAGES + 1):
        repositories = await forge.repositories(page)
        if all(each.id in found for each in repositories):
            break
        found |= {each.id: each for each in repositories}
    wanted = (each for each in found.values() if each.can_write and each.has_issues)
    return tuple(Target(each.id, each.full_name) for each in wanted if not each.archived)
