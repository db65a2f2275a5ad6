"""Which child the running task belongs to: how a request that waits for its own asker is recognised."""

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .child import Child

__all__ = ["CURRENT"]

CURRENT: "ContextVar[Child | None]" = ContextVar("CURRENT", default=None)
