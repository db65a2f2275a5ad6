"""`python -m coordinator` is `mosaic-coordinator`."""

import sys

from coordinator.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
