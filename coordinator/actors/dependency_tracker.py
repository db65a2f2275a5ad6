"""The dependency-tracker: sole owner of the graph of what blocks what."""

import json

from coordinator.actors.clocks import Clock, utc_now
from coordinator.actors.follower import Follower, Output, drafts
from coordinator.edges.journal import Draft, Journal, Stored
from coordinator.rules import tracker
from coordinator.rules.fleet import Fleet

__all__ = ["DependencyTracker"]


class DependencyTracker(Follower):
    """Observations and parses in; `IssueBlocked`, `IssueUnblocked`, `CycleFound`, `CycleBroken` out."""

    name = "dependency-tracker"
    snapshot_version = 2  # an older graph lacks the forge's own dependencies: built anew

    def __init__(self, journal: Journal, fleet: Fleet, clock: Clock = utc_now) -> None:
        super().__init__(journal, clock)
        self.logins = fleet.logins
        self.tracker = tracker.DependencyTracker(self.logins)

    def fold(self, stored: Stored) -> None:
        self.tracker.restore(stored.event)

    async def consider(self, stored: Stored, output: Output) -> None:
        output.events += drafts(self.tracker.step(stored.event), stored)

    async def caught_up(self, output: Output) -> None:
        output.events += [Draft(event) for event in self.tracker.catch_up()]

    def save(self) -> bytes:
        return json.dumps(self.tracker.dump()).encode()

    def load(self, state: bytes) -> None:
        self.tracker = tracker.DependencyTracker.load(json.loads(state), self.logins)

    def inspect(self) -> object:
        followed = super().inspect()
        assert isinstance(followed, dict)
        return followed | {
            "issues": len(self.tracker.graph),
            "concerned": len(self.tracker.concerned()),
            "nodes_visited": self.tracker.graph.visited,
        }
