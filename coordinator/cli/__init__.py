"""The command line: one file per command, `program` says which there are."""

from coordinator.cli.program import complaint, main

__all__ = ["complaint", "main"]
