"""Every stat field, name, record's field, marker, command and configuration, against the running daemon: it goes on.

python -m torture.oddities [CASES [SEED]]

Cases are drawn by Hypothesis and put before a daemon in batches; see `torture.batches`. A fault that was
contained is a violation too: nothing here should be unforeseen.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from torture import batches, odd_cases
from torture.figures import Figures, note, report

CASES = 10_000
BATCH = 250


def main() -> int:
    """Go through all batches."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CASES
    number = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    memory = Path("/dev/shm")  # noqa: S108 -- a file system that holds every date
    root = Path(tempfile.mkdtemp(prefix="torture-oddities-", dir=memory if memory.is_dir() else None))
    batches.add_small_model(root)
    begun_s = time.monotonic()
    kinds: Counter[str] = Counter()
    wrong: list[str] = []
    for first in range(0, count, BATCH):
        place = root / f"batch-{first // BATCH}"
        cases = odd_cases.drawn(min(BATCH, count - first), number + first)
        outcome = batches.Batch(place, cases, number + first).run()
        kinds.update(outcome.cases)
        found = [*outcome.violations, *(f"a fault: {fault}" for fault in outcome.faults)]
        wrong += [f"{place}: {one}" for one in found]
        if not found:
            shutil.rmtree(place)
        note(
            f"oddities: {sum(kinds.values())} cases in {time.monotonic() - begun_s:.0f} s, {len(wrong)} violations"
        )
    if not wrong:
        shutil.rmtree(root)
    return report(
        Figures(
            campaign="oddities",
            promise="whatever is odd costs itself alone: the daemon goes on, ends in order, and nothing is unforeseen",
            counts={
                "cases": sum(kinds.values()),
                **kinds,
                "seed": number,
                "seconds": round(time.monotonic() - begun_s),
            },
            violations=tuple(wrong),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
