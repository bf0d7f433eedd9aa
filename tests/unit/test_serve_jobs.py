"""What a client is told of a job: the reason for its state, and advice."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from cutoutd.errors import PictureError
from cutoutd.failure import failure_of
from cutoutd.job_options import JobOptions
from cutoutd.jobs import HAS_RESULT, Job, JobState
from cutoutd.journal.submissions import Submission
from cutoutd.serve.backend.jobs import of
from cutoutd.serve.web.openapi import DOCUMENT
from cutoutd.submission_refusals import SubmissionRefusal

SUBMISSION = Submission(key="k", folder="shop", spool="s", name="a.jpg", options=JobOptions())
WITHOUT_RESULT = sorted(
    frozenset(JobState) - HAS_RESULT - {JobState.QUEUED, JobState.WORKING, JobState.PUBLISHING}
)


def job_in(state: JobState, **detail: object) -> Job:
    """Return a job in this state."""
    return Job(
        id=1,
        folder="shop",
        path="a.jpg",
        size=1,
        mtime_ns=2,
        state=state,
        forced=False,
        attempts=0,
        interrupted=0,
        tries=0,
        alone=False,
        accepted_us=3,
        not_before_us=0,
        finished_us=4,
        sha256=None,
        detail=dict(detail),
    )


@pytest.mark.parametrize(
    "state", [one for one in WITHOUT_RESULT if one not in (JobState.RETRY, JobState.UPLOADING)]
)
def test_each_end_without_a_result_has_a_reason_and_advice(state: JobState) -> None:
    """Also where the job's row has no details, and for a vanished source."""
    job = of("n", SUBMISSION, job_in(state), [])
    assert job["why"]
    assert job["advice"].endswith(".")


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.RETRY, JobState.UNKNOWN])
def test_a_failure_has_the_same_words_everywhere(state: JobState) -> None:
    """Cause, advice and code are the failure's own."""
    failure = failure_of(PictureError("it is cut short"))
    job = of("n", SUBMISSION, job_in(state, failure=asdict(failure)), [])
    assert (job["why"], job["advice"], job["code"]) == (failure.cause, failure.advice, failure.code.value)


@pytest.mark.parametrize("kind", SubmissionRefusal)
def test_each_refusal_has_a_code_and_advice(kind: SubmissionRefusal) -> None:
    """Whatever the words about it are."""
    refused = replace(SUBMISSION, refused="because", refusal=kind)
    job = of("n", refused, None, [])
    assert (job["state"], job["over"], job["why"]) == ("refused", True, "because")
    assert (job["code"], job["advice"]) == (kind.value, kind.advice)
    assert kind.advice.endswith(".")


def test_all_answers_are_described() -> None:
    """In the OpenAPI document."""
    schema = DOCUMENT["components"]["schemas"]["Job"]
    for said in (of("n", SUBMISSION, None, []), of("n", SUBMISSION, job_in(JobState.GONE), [])):
        assert set(schema["required"]) <= set(said) <= set(schema["properties"])
