"""What a campaign found out: counts, and every violation in words.

It draws no conclusions but one: a campaign with a violation has failed.
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
        promise: what was to hold, in a few words.
        counts: what was done how often, the seed among them, in the order to be shown.
        violations: one line each; none if the promise was kept.
    """

    campaign: str
    promise: str
    counts: dict[str, Any] = field(default_factory=dict)
    violations: tuple[str, ...] = ()


def report(figures: Figures) -> int:
    """Print figures as one line of JSON, and violations for people; returns the exit code."""
    for violation in figures.violations:
        print(f"VIOLATION {figures.campaign}: {violation}", file=sys.stderr)
    print(json.dumps(asdict(figures)), flush=True)
    return 1 if figures.violations else 0


def note(text: str) -> None:
    """Say how far a campaign has come."""
    print(text, file=sys.stderr, flush=True)


def read(line: str) -> Figures | None:
    """What ``report`` printed; None if the line is something else."""
    try:
        fields = json.loads(line)
        return Figures(**(fields | {"violations": tuple(fields["violations"])}))
    except (ValueError, TypeError, KeyError):
        return None


def table(rows: list[Figures]) -> str:
    """As Markdown, for `docs/reliability.md`."""
    lines = ["| campaign | promise | figures | violations |", "| --- | --- | --- | --- |"]
    for row in rows:
        counts = ", ".join(f"{name} {value}" for name, value in row.counts.items())
        lines.append(f"| {row.campaign} | {row.promise} | {counts} | {len(row.violations)} |")
    return "\n".join(lines)
