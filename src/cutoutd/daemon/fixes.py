"""Whether a cutout can be corrected: only the result that the person saw, of a picture whose original can be read.

It must not change anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.job_detail import is_rejected
from cutoutd.jobs import HAS_RESULT, WAITING, JobState
from cutoutd.journal.reader import Reader

if TYPE_CHECKING:
    from cutoutd.jobs import Job
    from cutoutd.journal.fix_request import FixRequest
    from cutoutd.journal.journal import Journal

_STATES: Final = HAS_RESULT | WAITING


def why_not(journal: Journal, job: Job, request: FixRequest, *, moves_originals: bool = False) -> str:
    """Return why a cutout cannot be corrected; empty: it can.

    Args:
        journal: the journal.
        job: the job that the request names; it must not be in work.
        request: the request.
        moves_originals: whether its folder moves the originals of published pictures to another directory.
    """
    if Reader(journal.store).newest(job) != job.id:
        return f"job {job.id} is about an older version: its picture was replaced meanwhile"
    if job.state is JobState.UPLOADING:
        return f"job {job.id} is being sent to the hosted service"
    shown = {one.sha256 for one in journal.reservations.earlier(job.folder, job.path, job.generation)}
    # A job that failed since, such as for lack of memory, still has its earlier cutout.
    has_cutout = job.state in _STATES or is_rejected(job) or (job.state is JobState.FAILED and bool(shown))
    if job.sha256 is None or not has_cutout:
        return f"job {job.id} is {job.state}, and has no cutout that could be corrected"
    is_missing = journal.sources.missing_us(job.folder, job.path) is not None
    # Else it is read from where it was moved to; the journal does not remember that of a rejected cutout.
    is_put_away = journal.reservations.is_gone(job) or (moves_originals and is_rejected(job))
    if is_missing and not is_put_away:
        return f"the original of job {job.id} is not in its folder any more; put it back there first"
    if request.seen and request.seen not in shown:
        return f"the cutout of job {job.id} was replaced by another one meanwhile; look at it again"
    return ""
