"""Broken files of every format, decoded in sandboxed workers: each gets a verdict with a reason.

python -m torture.fuzz [FILES [SEED [KEEP]]]

Files that kill a worker, or whose verdict makes no sense, are kept in the directory KEEP if it is given.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.integration import fuzzing

from torture.figures import Figures, note, report

FILES = 20_000
SEED = 1
WORKERS = 2
MOST_LOST = 0.002  # a file may kill a worker, but rarely


def main() -> int:
    """Run the campaign."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else SEED
    keep = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cutoutd-fuzz-") as place:
        root = Path(place)
        seeds = fuzzing.seeds(root)
        note(f"fuzz: {count} files from {len(seeds)} kinds")
        outcome = fuzzing.run(root, fuzzing.mutants(seeds, count, seed), workers=WORKERS, keep=keep)
    violations = [f"{name}: no sensible reason: {cause}" for name, cause in outcome.unexplained]
    if sum(outcome.verdicts.values()) != count:
        violations.append(f"{count - sum(outcome.verdicts.values())} files have no verdict")
    if len(outcome.lost) > count * MOST_LOST:
        violations.append(f"{len(outcome.lost)} workers were lost")
    lost = Counter(f"{Path(name).suffix} {why}" for name, why in outcome.lost)
    for name, why in outcome.lost:
        note(f"lost over {name}: {why}")
    slowest_s, slowest = outcome.slowest_s
    return report(
        Figures(
            campaign="fuzz",
            promise="every broken file has a verdict with a reason; what a decoder does costs its worker at most",
            counts={
                "files": outcome.files,
                "kinds": len(seeds),
                "seed": seed,
                "still a picture": outcome.verdicts["decoded"],
                "refused as damaged": outcome.verdicts["Picture"],
                "refused by a limit": outcome.verdicts["Limit"],
                "workers lost": len(outcome.lost),
                "of which": ", ".join(f"{n} {what}" for what, n in lost.items()) or "none",
                "slowest verdict s": round(slowest_s, 1),
                "over": slowest.partition("-")[2],
                "minutes": round((time.monotonic() - started_s) / 60, 1),
            },
            violations=tuple(violations),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
