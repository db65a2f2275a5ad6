"""Scribe and sweeper: in the tree by name, idle for want of a client that can talk to the forge.

They are actors already so that the tree, `/state` and `/health` show what is missing and why.
"""

from coordinator.runtime import Actor

__all__ = ["Scribe", "Sweeper"]


class _Idle(Actor):
    """Does nothing and says so."""

    duty: str

    async def handle(self, message: object) -> None:
        return None

    def inspect(self) -> object:
        return {"idle": True, "duty": self.duty, "why": "this version does not write to the forge"}


class Scribe(_Idle):
    """Will keep one comment per issue true."""

    duty = "write back to the issue"


class Sweeper(_Idle):
    """Will find what the webhooks missed."""

    duty = "find missed deliveries"
