"""The scribe and what it works with: the sticky comment, labels, assignment, and commands."""

from coordinator.actors.scribe.scribe import Scribe

__all__ = ["Scribe"]
