"""Whether and when a failed job is tried again: pure functions.

They must not sleep, read a clock or touch the journal; the caller passes what it knows and acts on the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.errors import FailureCode
from cutoutd.faults.backoff import pause_s

if TYPE_CHECKING:
    from cutoutd.jobs import Failure

MAX_ATTEMPTS = 2
"""Workers that may die over one file: once may be bad luck, twice is the file."""

ALONE_AFTER = 3
"""Interruptions by the death of the supervisor itself, after which a job runs while no other does."""

MAX_INTERRUPTED = 6
"""Interruptions after which the job is held to be the cause: half of them came while it ran alone."""

FRESH_S = 180.0
"""Age of a file, in seconds, below which a decode failure may mean that it is not complete yet (SMB, cameras)."""

MAX_DELAY_S = 300.0
"""Temporary faults are never given up, but tried again at least this often."""

MAX_OUTPUT_DELAY_S = 60.0
"""The folder itself pauses while its output refuses, so few pictures are tried, and none waits long afterwards."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """Try again after ``delay_s`` seconds."""

    delay_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveUp:
    """Keep the reason and leave the file alone until a person asks for it."""


Decision = Again | GiveUp


def after_failure(failure: Failure, *, tries: int, age_s: float, patient: bool) -> Decision:
    """Decide what becomes of a job whose worker reported a failure.

    Args:
        failure: the report.
        tries: number of earlier failures of this job that were tried again.
        age_s: seconds since the file was last written.
        patient: whether this run can try again later (not under ``run --once`` and ``cut``).
    """
    backoff_s = pause_s(tries, first_s=max(failure.delay_s, 2.0), longest_s=MAX_DELAY_S)
    if failure.code is FailureCode.OUTPUT:
        return Again(delay_s=min(backoff_s, MAX_OUTPUT_DELAY_S))
    if not failure.permanent:
        return Again(delay_s=backoff_s)
    if failure.code is FailureCode.PICTURE and patient and 0 <= age_s < FRESH_S:
        return Again(delay_s=min(backoff_s, 30.0))
    return GiveUp()


def after_lost(*, attempts: int) -> Decision:
    """Decide what becomes of a job whose worker died; ``attempts`` counts this death."""
    return Again(delay_s=0.0) if attempts < MAX_ATTEMPTS else GiveUp()
