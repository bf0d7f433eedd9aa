"""Publishes once while strace makes system calls fail; each step is repeated until it works.

Prints, as JSON, which steps failed and with which messages.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cutoutd.errors import CutoutdError
from tests.integration.publishing import OutputFolder

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
SOURCE = "a.jpg"
CONTENTS = (b"first", b"second")


def insist(deed: Callable[[], T], name: str, errors: list[tuple[str, str]]) -> T:
    """Repeat a step until it works, at most three times."""
    for _ in range(3):
        try:
            return deed()
        except (CutoutdError, OSError) as error:
            errors.append((name, str(error)))
    sys.exit(f"{name} never worked: {errors}")


def main(root: Path) -> None:
    """Publish, step by step."""
    errors: list[tuple[str, str]] = []
    output_folder = OutputFolder(root)
    publication = insist(partial(output_folder.results, SOURCE, CONTENTS), "stage", errors)
    plan = insist(partial(output_folder.plan, publication), "plan", errors)
    insist(partial(output_folder.publisher.carry_out, plan), "carry out", errors)
    output_folder.publisher.close()
    sys.stdout.write(json.dumps(errors))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
