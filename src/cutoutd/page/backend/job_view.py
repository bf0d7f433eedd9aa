"""A job as the page shows it: the page's own terms for states, reasons for doubt, and advice.

Only the journal is read; names are passed on unescaped, and the page escapes them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import rfc3339
from cutoutd.failure import to_valid_utf8
from cutoutd.job_detail import JobResult, failure_in
from cutoutd.jobs import HAS_RESULT, JobState, Reason
from cutoutd.journal.commands import Verb
from cutoutd.journal.listing import Listing, Mark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cutoutd.jobs import Failure, Job
    from cutoutd.journal.listing import ListedOutput
    from cutoutd.journal.store import Store

REJECTED: Final = "rejected"
DOUBTFUL: Final = "doubtful"

STATES: Final[Mapping[JobState, str]] = {
    JobState.QUEUED: "waiting",
    JobState.RETRY: "resting",
    JobState.WORKING: "working",
    JobState.PUBLISHING: "working",
    JobState.UPLOADING: "uploading",
    JobState.DONE: "done",
    JobState.UNCHANGED: "done",
    JobState.REVIEW: "review",
    JobState.FAILED: "failed",
    JobState.UNKNOWN: "unknown",
    JobState.GONE: "gone",
    JobState.PARKED: "parked",
    JobState.SKIPPED: "skipped",
}
"""What a job's state is called in the page."""

_MARKS: Final = frozenset(Mark)
_FILTERS: Final[Mapping[str, tuple[frozenset[JobState], frozenset[Mark]]]] = {
    **{
        word: (frozenset(state for state, called in STATES.items() if called == word), _MARKS)
        for word in STATES.values()
    },
    "waiting": (frozenset({JobState.QUEUED, JobState.RETRY}), _MARKS),
    "failed": (frozenset({JobState.FAILED}), _MARKS - {Mark.REJECTED}),
    REJECTED: (frozenset({JobState.FAILED}), frozenset({Mark.REJECTED})),
    DOUBTFUL: (frozenset({JobState.DONE, JobState.UNCHANGED}), frozenset({Mark.DOUBTFUL})),
}

FILTERS: Final = tuple(sorted(_FILTERS))
"""Words that a list may be asked for."""

_CODES: Final = {reason.value: reason.name.lower() for reason in Reason}


def is_meant(word: str, state: JobState, mark: Mark) -> bool:
    """Whether a list of this name has jobs of this kind."""
    states, marks = _FILTERS[word]
    return state in states and mark in marks


def reason_of(code: str) -> Reason | None:
    """Return the reason with this code; None: there is none."""
    return next((reason for reason in Reason if _CODES[reason.value] == code), None)


def described(store: Store, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Describe jobs for the page."""
    listing, numbers = Listing(store), [job.id for job in jobs]
    outputs, asked, decided = (
        listing.outputs(numbers),
        listing.pending_verbs(numbers),
        listing.pending_decisions(numbers),
    )
    return [
        _describe(
            job,
            results := outputs.get(job.id, ()),
            asked.get(job.id, ""),
            decided.get((job.id, _first_sha256(results)), ""),
        )
        for job in jobs
    ]


def _describe(job: Job, outputs: Sequence[ListedOutput], asked: str, decided: str) -> dict[str, Any]:
    result, failure = JobResult.of(job), failure_in(job)
    state = STATES[job.state]
    if failure is not None and failure.code == "Rejected" and job.state is JobState.FAILED:
        state = REJECTED
    return {
        "job": job.id,
        "folder": job.folder,
        "path": job.path,
        "name": job.path.rpartition("/")[2],
        "state": state,
        "doubtful": result.doubtful or job.state is JobState.REVIEW,
        "score": result.score,
        "corrected": result.corrected > 0,
        "reasons": [{"code": _CODES.get(one, "other"), "text": to_valid_utf8(one)} for one in result.reasons],
        "why": to_valid_utf8(_why(result, failure)),
        "advice": to_valid_utf8(failure.advice) if failure is not None else "",
        "at": rfc3339(job.finished_us or job.accepted_us),
        "seconds": result.seconds,
        "seen": _first_sha256(outputs),
        "width": result.width,
        "height": result.height,
        "outputs": [os.fsdecode(one.target) for one in outputs],
        "decision": (decision := _decision(result, asked)),
        "decision_in_force": decision or _decision_in_force(state, decided),
        "refused": to_valid_utf8(result.refused),
        "fixable": (job.state in HAS_RESULT and bool(outputs))
        or (state == REJECTED and job.sha256 is not None),
    }


def _first_sha256(outputs: Sequence[ListedOutput]) -> str:
    return outputs[0].sha256 if outputs else ""


def _why(result: JobResult, failure: Failure | None) -> str:
    return failure.cause if failure is not None else result.why


def _decision(result: JobResult, asked: str) -> str:
    """Return a decision that is not carried out yet: requested of the daemon, or recorded by it."""
    if asked in (Verb.ACCEPT, Verb.REJECT, Verb.RETRY, Verb.HOLD, Verb.FIX):
        return asked
    # That it is published again undoes a decision, and is none.
    return "" if result.decision in (Verb.REPUBLISH, Verb.REPUBLISH_DOUBTFUL) else result.decision


def _decision_in_force(state: str, decided: str) -> str:
    """Return the decision that was carried out and holds; a contrary decision must name it."""
    if state == REJECTED:
        return Verb.REJECT
    return Verb.ACCEPT if state == "done" and decided == Verb.ACCEPT else ""
