"""Formats a job as text: its line in a list, and its details.

It must not look anything up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.cli.printing import printable, shortest
from cutoutd.cli.selection import score_of
from cutoutd.clock import local
from cutoutd.job_detail import JobResult, cause_in, failure_in
from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.jobs import Job

UNDER_NAMES: Final = 18
"""Columns by which the continuation of a job's line is indented, so that it stands under the name of the picture."""

UNDER_LABELS: Final = 9
"""Columns by which the continuation of a detail is indented."""

_ALONE: Final = "it needs the memory of all workers, and is cut when they have finished what they have"


def line(job: Job) -> str:
    """Return the line of a job: number, state, score, name, and reason."""
    score = score_of(job)
    why = cause_in(job) or JobResult.of(job).why or (_ALONE if _waits_for_all(job) else "")
    shown = "" if score is None else f"{score:.2f}"
    said = f"{job.id:>6}  {job.state:<10}  {shown:>4}  {job.folder}/{printable(job.path)}"
    return f"{said}  ({printable(why)})" if why else said


def _waits_for_all(job: Job) -> bool:
    return job.alone and job.state is JobState.QUEUED


def details(job: Job) -> Iterator[str]:
    """Yield further details: when it came and ended, where its cutout is, and what to do."""
    yield _detail("arrived", f"{local(job.accepted_us):%Y-%m-%d %H:%M:%S}")
    if job.finished_us is not None:
        yield _detail("ended", f"{local(job.finished_us):%Y-%m-%d %H:%M:%S}")
    result = JobResult.of(job)
    for output in result.outputs:
        yield _detail("cutout", printable(shortest(output)))
    if result.corrected:
        yield _detail(
            "drawn", f"a person corrected it; `cutoutd fix {job.id} --undo` restores the previous version"
        )
    for warning in result.warnings:
        yield _detail("note", printable(warning))
    if job.state is JobState.REVIEW:
        yield _detail("to do", f"`cutoutd review accept {job.id}`, or `cutoutd review reject {job.id}`")
    elif (failure := failure_in(job)) is not None and failure.advice:
        yield _detail("to do", printable(failure.advice))


def _detail(label: str, words: str) -> str:
    return f"        {label:<8} {words}"
