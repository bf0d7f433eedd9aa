"""Random trees of directories, links and bind mounts, with random folders in them: which folder takes what, and what would leave.

The real daemon works on each tree three times; its workers copy instead of cutting, and record what they would have passed to
the uploader. ``CASES`` and ``SEED`` in the environment set the number of trees and the seed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Final

from torture.figures import Figures, note, report

CASES: Final = int(os.environ.get("CASES", "500"))
SEED: Final = int(os.environ.get("SEED", "1000"))
BATCH: Final = 50
"""Trees of one process, which has its own mount namespace."""

_PROMISE: Final = "no untagged picture leaves, no own result is taken in, no folder is idle without a reason, none is cut for two folders"


def batch(seed: int, cases: int) -> tuple[dict[str, int], list[str]]:
    """Run some trees. Returns counts and violations."""
    command = [sys.executable, "-m", "tests.integration.place_trees", str(seed), str(cases)]
    unshare = shutil.which("unshare")
    if unshare is None:
        return {}, ["unshare is not installed"]
    done = subprocess.run([unshare, "-m", *command], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    try:
        said = json.loads(lines[-1])
    except (IndexError, ValueError):
        return {}, [f"the batch of seed {seed} ended with code {done.returncode}: {done.stderr[-500:]}"]
    return said["counts"], said["violations"]


def main() -> int:
    """Run all trees."""
    counts: dict[str, int] = {"seed": SEED}
    violations: list[str] = []
    for begin in range(SEED, SEED + CASES, BATCH):
        found, wrong = batch(begin, min(BATCH, SEED + CASES - begin))
        for key, value in found.items():
            counts[key] = counts.get(key, 0) + value
        violations += wrong
        note(f"{counts.get('cases', 0)} trees, {len(violations)} violations")
    return report(
        Figures(campaign="places_tree", promise=_PROMISE, counts=counts, violations=tuple(violations))
    )


if __name__ == "__main__":
    sys.exit(main())
