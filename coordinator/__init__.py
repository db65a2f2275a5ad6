"""Mosaic Coordinator: from a signed forge delivery to a watched agent."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("mosaic-coordinator")
