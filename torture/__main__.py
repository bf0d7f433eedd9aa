"""Runs campaigns one after the other and prints one table: all of them, or the named ones.

    python -m torture                    every module here that has a `main`
    python -m torture kills lostwrites   some of them

Each runs in its own process, so that what it leaves behind cannot affect the next.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from torture.figures import Figures, note, read, table

_STARTS = 'if __name__ == "__main__":'
_PARTS = ("forgetful",)  # used by a campaign, and not one itself
_FIRST = ("killpoints", "kills", "lostwrites")


def campaigns() -> list[str]:
    """Return the modules here that can be run, those about crashes first."""
    here = Path(__file__).parent
    found = [
        path.stem
        for path in sorted(here.glob("*.py"))
        if not path.stem.startswith("_")
        and path.stem not in _PARTS
        and _STARTS in path.read_text(encoding="utf-8")
    ]
    return sorted(found, key=lambda name: (name not in _FIRST, name))


def run(name: str) -> Figures:
    """Run a campaign. Returns its figures, or what went wrong with it."""
    note(f"== torture.{name}")
    done = subprocess.run(
        [sys.executable, "-B", "-m", f"torture.{name}"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    lines = done.stdout.splitlines()
    figures = read(lines[-1]) if lines else None
    if figures is None:
        print(done.stdout)
        why = () if done.returncode == 0 else (f"ended with code {done.returncode}",)
        return Figures(campaign=name, promise="see above", violations=why)
    if done.returncode != 0 and not figures.violations:
        return Figures(campaign=name, promise=figures.promise, violations=(f"code {done.returncode}",))
    return figures


def main(names: list[str]) -> int:
    """Run campaigns, print the table, and return 0 if all promises were kept."""
    there = campaigns()
    unknown = [name for name in names if name not in there]
    if unknown:
        note(f"there is no campaign {', '.join(unknown)}; there are {', '.join(there)}")
        return 2
    rows = [run(name) for name in names or there]
    print(table(rows))
    for row in rows:
        for violation in row.violations:
            print(f"- {row.campaign}: {violation}")
    return 1 if any(row.violations for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
