"""The router and what it works with: deliveries in, reads at the forge, news out."""

from coordinator.actors.router.router import Router

__all__ = ["Router"]
