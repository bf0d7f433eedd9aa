"""The summary of a run: how many pictures were cut, doubtful or failed, where they are, and how long it took."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.cli.printing import printable, short
from cutoutd.job_detail import cause_in
from cutoutd.jobs import JobState
from cutoutd.publish.naming import FAILED, REVIEW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cutoutd.daemon.tally import Outcome, Tally

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_WHOLE_FROM: Final = 9.95
"""Rates from here on are shown as whole numbers."""


def line(tally: Tally, took_s: float, *, unchanged: bool = False) -> str:
    """Return the counts and the duration.

    Args:
        tally: outcome of the pictures.
        took_s: duration in seconds.
        unchanged: whether to include the number that were cut before.
    """
    counts = [
        f"{tally.done} cut{f' ({tally.doubtful} doubtful)' if tally.doubtful else ''}",
        f"{tally.review} to review",
        f"{tally.failed} failed",
    ]
    if unchanged:
        counts.append(f"{tally.unchanged} unchanged")
    return f"{', '.join(counts)}, in {duration(took_s)}"


def duration(seconds: float) -> str:
    """Return a duration for people: ``3.2 s``, ``4 min``, ``2 h 5 min``."""
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    minutes = round(seconds / _MINUTE_S)
    if seconds < _HOUR_S:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def time_left(seconds: float) -> str:
    """Return an estimate in whole seconds or minutes: ``3 s``, ``4 min``, ``2 h 5 min``."""
    return f"{max(1, round(seconds))} s" if seconds < _MINUTE_S - 0.5 else duration(max(seconds, _MINUTE_S))


def rate(per_minute: float) -> str:
    """Return pictures a minute with the significant digits: ``0.4``, ``9.2``, ``45``, ``1200``."""
    return f"{per_minute:.0f}" if per_minute >= _WHOLE_FROM else f"{per_minute:.2g}"


def remains(outcome: Outcome) -> Iterator[str]:
    """Yield a line for each remaining file, with the reason."""
    for name, jobs in outcome.remaining.items():
        for job in jobs:
            away = outcome.uploads if job.state is JobState.UPLOADING else outcome.cluster.get(name, "")
            why = cause_in(job) or away
            yield f"remains: {name}/{printable(job.path)} ({job.state}{f': {printable(why)}' if why else ''})"
    for name, files in outcome.held_up.items():
        for file in files:
            yield f"remains: {name}/{printable(file.path)} ({printable(file.why)})"
    for name, why in outcome.closed.items():
        yield f"not checked: {name} ({printable(why)})"


def goes_on(outcome: Outcome) -> str:
    """Return what is left for the next start."""
    left = sum(map(len, outcome.remaining.values()))
    if not left:
        return "Nothing is left to do; the next start cuts what arrives until then."
    return (
        f"{left} pictures are left; the next start continues with them."
        if left > 1
        else ("1 picture is left; the next start continues with it.")
    )


def where(tally: Tally, outputs: Sequence[Path]) -> str:
    """Return where the results are: the output, and its sub-folders for doubtful or failed ones; empty if there are none."""
    distinct = list(dict.fromkeys(outputs))
    if not tally.done + tally.review + tally.failed or not distinct:
        return ""
    root = printable(short(distinct[0])) if len(distinct) == 1 else f"{len(distinct)} folders"
    places = [
        os.path.join(root, sub) if len(distinct) == 1 else f"{sub}/ in them"  # noqa: PTH118 -- a text for people
        for sub, count in ((REVIEW, tally.review), (FAILED, tally.failed))
        if count
    ]
    return f"See {', '.join([root, *places] if tally.done else places)}."
