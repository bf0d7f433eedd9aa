"""Whether a failed job is tried again, and when: one pure function.

It must not sleep, read a clock or touch the journal; the caller passes what it knows and acts on the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.errors import FailureCode
from cutoutd.faults.backoff import pause_s

if TYPE_CHECKING:
    from cutoutd.jobs import Failure

MAX_ATTEMPTS = 2
"""Times a worker may die over one file: once may be bad luck, twice is the file."""

ALONE_AFTER = 3
"""Interruptions by the death of the supervisor itself, after which a job runs while no other does."""

MAX_INTERRUPTED = 6
"""Interrupted as often again while alone, the job is the likeliest culprit."""

FRESH_S = 180.0
"""A decode failure this soon after arrival may be a file that looks finished but is not (SMB, cameras)."""

MAX_DELAY_S = 300.0
"""Passing faults are never given up, but looked at no more rarely than this."""

MAX_OUTPUT_DELAY_S = 60.0
"""The folder itself rests while its output refuses, so that few pictures are tried; none waits long afterwards."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """Try again after ``delay_s`` seconds."""

    delay_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveUp:
    """Keep the reason and leave the file alone until someone asks for it."""


Decision = Again | GiveUp


def after_failure(failure: Failure, *, tries: int, age_s: float, patient: bool) -> Decision:
    """Decide what becomes of a job whose worker reported a failure.

    Args:
        failure: the report.
        tries: earlier failures of this job that were tried again.
        age_s: seconds since the file was last written.
        patient: whether there will be a later in this run (not so under ``run --once`` and ``cut``).
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
