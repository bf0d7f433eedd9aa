"""The detail column of a job's row is parsed in one place, whatever it contains."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.errors import FailureCode, PictureError
from cutoutd.failure import failure_of
from cutoutd.job_detail import JobResult, cause_in, failure_in
from cutoutd.jobs import Job, JobState

KEYS = [
    *JobResult.__dataclass_fields__,
    "skipped",
    "failure",
    "code",
    "title",
    "cause",
    "permanent",
    "delay_s",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


def job(detail: dict[str, object]) -> Job:
    """Return a job with this detail."""
    return Job(
        id=1, folder="f", path="a.jpg", size=1, mtime_ns=2, state=JobState.DONE, forced=False, attempts=0,
        interrupted=0, tries=0, alone=False, accepted_us=3, not_before_us=0, finished_us=None, sha256=None, detail=detail,
    )  # fmt: skip


def test_a_failure_is_read_back_as_it_was_written() -> None:
    """Through the journal's JSON."""
    failure = failure_of(PictureError("cut short"))
    stored = job({"failure": json.loads(json.dumps(asdict(failure)))})
    assert failure_in(stored) == failure
    assert cause_in(stored) == "cut short"


@pytest.mark.parametrize(
    ("code", "read"),
    [("Picture", FailureCode.PICTURE), ("Later", FailureCode.OTHER), (None, FailureCode.OTHER)],
)
def test_a_code_of_another_version_is_read_as_one_of_no_kind(code: object, read: FailureCode) -> None:
    """The journal is not reported as damaged."""
    found = failure_in(job({"failure": {"code": code, "cause": "so"}}))
    assert found is not None
    assert (found.code, found.cause, found.permanent) == (read, "so", True)


def test_a_result_is_read_with_all_that_it_tells() -> None:
    """As the delivery writes it."""
    detail: dict[str, object] = {
        "outputs": ["/o/a.png"], "warnings": ["w"], "why": "doubtful", "doubtful": True, "score": 0.4, "skipped": True,
        "model": "m", "seconds": 1.5, "decision": "accept", "refused": "no room",
        "reasons": ["subject very small"], "width": 40, "height": 30,
    }  # fmt: skip
    assert JobResult.of(job(detail)) == JobResult(
        why="doubtful", outputs=("/o/a.png",), warnings=("w",), doubtful=True, score=0.4, incomplete=True, model="m",
        seconds=1.5, decision="accept", refused="no room", reasons=("subject very small",), width=40, height=30,
    )  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_whatever_a_person_has_written_in_the_detail_is_read(detail: dict[str, object]) -> None:
    """A value of an unexpected type counts as missing."""
    found = JobResult.of(job(detail))
    assert isinstance(found.why, str)
    assert found.score is None or isinstance(found.score, float)
    assert all(isinstance(one, str) for one in found.outputs)
    assert isinstance(cause_in(job(detail)), str)
