"""Prints the free space of directories, any of which may hang: one JSON document per directory, in their order.

A process of its own: ``python -m cutoutd.overview.room DIRECTORY...``.
"""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(directories: Sequence[str]) -> None:
    """Print the free bytes of each directory; null if it cannot be read."""
    for number, directory in enumerate(directories):
        try:
            free: int | None = shutil.disk_usage(directory).free
        except OSError:
            free = None
        print(json.dumps({str(number): free}), flush=True)  # noqa: T201 -- that is what it is for


if __name__ == "__main__":
    main(sys.argv[1:])
