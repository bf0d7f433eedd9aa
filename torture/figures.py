"""The figures of a campaign: counts, and every violation in words.

It draws one conclusion only: a campaign with a violation has failed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """The result of one campaign.

    Attributes:
        campaign: name of its module.
        promise: what must hold, in a few words.
        counts: numbers of what was done, including the seed, in the order of display.
        violations: one line each; empty if the promise was kept.
    """

    campaign: str
    promise: str
    counts: dict[str, Any] = field(default_factory=dict)
    violations: tuple[str, ...] = ()


def report(figures: Figures) -> int:
    """Print figures as one line of JSON, and violations for people. Returns the exit code."""
    for violation in figures.violations:
        print(f"VIOLATION {figures.campaign}: {violation}", file=sys.stderr)
    print(json.dumps(asdict(figures)), flush=True)
    return 1 if figures.violations else 0


def note(text: str) -> None:
    """Print the progress of a campaign."""
    print(text, file=sys.stderr, flush=True)


def read(line: str) -> Figures | None:
    """Parse the output of ``report``; None if the line is something else."""
    try:
        fields = json.loads(line)
        return Figures(**(fields | {"violations": tuple(fields["violations"])}))
    except (ValueError, TypeError, KeyError):
        return None


def table(rows: list[Figures]) -> str:
    """Return a Markdown table, for `docs/reliability.md`."""
    lines = ["| campaign | promise | figures | violations |", "| --- | --- | --- | --- |"]
    for row in rows:
        counts = ", ".join(f"{name} {value}" for name, value in row.counts.items())
        lines.append(f"| {row.campaign} | {row.promise} | {counts} | {len(row.violations)} |")
    return "\n".join(lines)
