"""Jobs as programs see them: the state of an uploaded picture.

A job is named by the number of its upload, which the journal has within the key of its submission: so it has its name before
the daemon has seen it, and no key can ask about another one's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import rfc3339
from cutoutd.errors import FailureCode
from cutoutd.failure import to_valid_utf8
from cutoutd.job_detail import JobResult, failure_in
from cutoutd.jobs import HAS_RESULT, RESUMED, JobState
from cutoutd.journal.listing import Listing
from cutoutd.journal.reader import Reader
from cutoutd.journal.state import running
from cutoutd.journal.submissions import Submissions
from cutoutd.serve.backend.state import allowed, trouble_in
from cutoutd.submission_refusals import SubmissionRefusal
from cutoutd.webserver.backend import journal
from cutoutd.webserver.backend.method import RefusedError, Reply
from cutoutd.webserver.backend.parameters import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.jobs import Job
    from cutoutd.journal.listing import ListedOutput
    from cutoutd.journal.store import Store
    from cutoutd.journal.submissions import Submission
    from cutoutd.serve.backend.state import Method, ServeBackend
    from cutoutd.serve.keys import ApiKey
    from cutoutd.webserver.backend.method import Parameters

ACCEPTED: Final = "accepted"
"""It lies whole on the disk, and the daemon has not taken it yet."""

REFUSED: Final = "refused"
"""The daemon has looked at it and does not take it."""

_MEDIA_TYPES: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "avif": "image/avif",
}


def submission_key(key: str, number: str) -> str:
    """Return the key of an upload's submission in the journal."""
    return f"serve:{key}:{number}"


def find(backend: ServeBackend, store: Store, key: ApiKey, number: str) -> tuple[Submission, Job | None]:
    """Find a job of a key, and its row once the daemon has taken it.

    Raises:
        RefusedError: 404; there is none.
    """
    submission = Submissions(store, backend.clock).find(submission_key(key.id, number))
    if submission is None:
        raise RefusedError(404, "no_job", "There is no such job. The state of a job is kept for a day.")
    return submission, None if submission.job is None else Reader(store).job(submission.job)


def described(backend: ServeBackend, key: ApiKey, number: str) -> dict[str, Any]:
    """Describe a job for its program.

    Raises:
        RefusedError: 404; there is none. 503; the journal cannot be read.
    """
    with journal.required(backend) as store:
        submission, job = find(backend, store, key, number)
        outputs = [] if job is None else Listing(store).outputs([job.id]).get(job.id, [])
    data = of(number, submission, job, outputs)
    trouble = "" if data["over"] else trouble_in(backend, submission.folder)
    return {**data, "running": running(backend.state_dir) is not None, "trouble": trouble}


def state_of(job: JobState | None, *, is_refused: bool) -> str:
    """Return the state that a program is told.

    Args:
        job: state of the job's row; None: the daemon has not taken it.
        is_refused: the daemon has refused it.
    """
    if job is not None:
        return str(job.value)
    return REFUSED if is_refused else ACCEPTED


def of(number: str, submission: Submission, job: Job | None, outputs: list[ListedOutput]) -> dict[str, Any]:
    """Return a job as a JSON object."""
    common = {
        "id": number,
        "folder": submission.folder,
        "name": to_valid_utf8(submission.name),
        "accepted_at": rfc3339(submission.posted_us),
    }
    is_refused = submission.refused is not None
    state = state_of(None if job is None else job.state, is_refused=is_refused)
    if job is None:
        told = (
            _refusal(submission.refused, submission.refusal) if submission.refused is not None else _NOTHING
        )
        return {**common, "state": state, "over": is_refused, **told, "outputs": []}
    result = JobResult.of(job)
    return {
        **common,
        "path": to_valid_utf8(job.path),
        "state": state,
        "over": job.state not in RESUMED,
        **_cause(job, result),
        "score": result.score,
        "doubtful": result.doubtful or job.state is JobState.REVIEW,
        "reasons": [to_valid_utf8(one) for one in result.reasons],
        "width": result.width,
        "height": result.height,
        "seconds": result.seconds,
        "finished_at": None if job.finished_us is None else rfc3339(job.finished_us),
        "outputs": [_output(number, index, one) for index, one in enumerate(outputs)]
        if job.state in HAS_RESULT or job.state is JobState.REVIEW
        else [],
    }


_NOTHING: Final[Mapping[str, Any]] = {"why": "", "advice": "", "code": None}


def _refusal(why: str, refusal: SubmissionRefusal | None) -> dict[str, Any]:
    """Say why a picture is not taken, and what to do."""
    refusal = refusal or SubmissionRefusal.INTERNAL
    return {"why": to_valid_utf8(why), "advice": refusal.advice, "code": refusal.value}


def _cause(job: Job, result: JobResult) -> dict[str, Any]:
    """Say why a job is where it is, and what to do: as its failure says, or as its state does."""
    failure = failure_in(job)
    if failure is not None:
        return {
            "why": to_valid_utf8(failure.cause),
            "advice": to_valid_utf8(failure.advice),
            "code": str(failure.code.value),
        }
    why, (words, advice, code) = result.why, _BY_STATE.get(job.state, ("", "", None))
    return {"why": to_valid_utf8(why or words), "advice": advice, "code": code}


_BY_STATE: Final[Mapping[JobState, tuple[str, str, str | None]]] = {
    JobState.GONE: (
        "its file was removed before its turn",
        "If it comes back to its path, it is cut as this job; else hand the picture in again.",
        FailureCode.SOURCE_GONE.value,
    ),
    JobState.FAILED: ("it was given up", "See `cutoutd jobs`; `cutoutd retry` has it cut again.", None),
    JobState.PARKED: (
        "its folder is not in the configuration any more",
        "Put the folder back into the configuration, and it is cut.",
        None,
    ),
    JobState.SKIPPED: ("another recording of the same shot is cut", "Ask for that one's cutout.", None),
    JobState.UNKNOWN: (
        "it was sent to a hosted service, and no answer came; it may have been billed",
        "Look there whether it was; `cutoutd retry` sends it again.",
        None,
    ),
    JobState.REVIEW: (
        "",
        "A person decides about it: `cutoutd review`. Its cutout can be fetched as it is.",
        None,
    ),
}
"""What is said of jobs whose rows say nothing themselves: why, what to do, and a code."""


def media_type(name: str) -> str:
    """Return the media type of a result, by its name."""
    return _MEDIA_TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")


def _output(number: str, index: int, output: ListedOutput) -> dict[str, Any]:
    name = to_valid_utf8(os.fsdecode(output.target).rpartition("/")[2])
    return {
        "number": index,
        "url": f"/v1/jobs/{number}/outputs/{index}",
        "name": name,
        "media_type": media_type(name),
        "sha256": output.sha256,
    }


def _job(backend: ServeBackend, params: Parameters) -> Reply:
    """``job`` -> what became of it."""
    key = allowed(backend, params)
    return Reply(data=described(backend, key, text(params, "job", longest=32)))


METHODS: Final[Mapping[str, Method]] = {"job": _job}
