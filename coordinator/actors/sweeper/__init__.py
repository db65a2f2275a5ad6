"""The sweeper and what it works with: it finds what the webhooks missed."""

from coordinator.actors.sweeper.sweeper import Sweeper

__all__ = ["Sweeper"]
