"""Threads that submit at the same time share transactions, and each gets its own answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import pytest

from cutoutd.errors import JournalError
from cutoutd.job_options import JobOptions
from cutoutd.journal.submissions import Submission, Submissions
from cutoutd.submitting import SubmissionGroup

if TYPE_CHECKING:
    from collections.abc import Sequence


def wanted(key: str) -> Submission:
    """Return a request with this key."""
    return Submission(key=key, folder="f", spool="x", name="a.jpg", options=JobOptions())


class SlowSubmissions:
    """Submissions whose first transaction blocks until a test ends it.

    Attributes:
        transactions: keys of each transaction.
        begun: set when the first transaction has begun.
        may_end: ends the first transaction.
    """

    def __init__(self, failure: Exception | None = None) -> None:
        self.transactions: list[list[str]] = []
        self.begun, self.may_end = threading.Event(), threading.Event()
        self._failure = failure

    def post_all(self, submissions: Sequence[Submission]) -> list[Submission]:
        """Record the keys of one transaction; block in the first one."""
        keys = [one.key for one in submissions]
        self.transactions.append(keys)
        if len(self.transactions) == 1:
            self.begun.set()
            assert self.may_end.wait(20)
        elif self._failure is not None and "bad" in keys:
            raise self._failure
        return [wanted(f"{key} held") for key in keys]


def posted(slow: SlowSubmissions, *keys: str) -> list[Any]:
    """Post one request, and the others while it is being written; return each answer."""
    group, submissions = SubmissionGroup(), cast("Submissions", slow)
    with ThreadPoolExecutor(len(keys) + 1) as pool:
        first = pool.submit(group.post, submissions, wanted("first"))
        assert slow.begun.wait(20)
        others = [pool.submit(group.post, submissions, wanted(key)) for key in keys]
        while group.waiting < len(keys):
            threading.Event().wait(0.001)
        slow.may_end.set()
        return [one.exception(20) or one.result(20).key for one in (first, *others)]


def test_submissions_during_a_write_share_the_next_transaction() -> None:
    """Each gets the answer for its own key."""
    slow = SlowSubmissions()
    assert posted(slow, "a", "b", "c") == ["first held", "a held", "b held", "c held"]
    assert [sorted(one) for one in slow.transactions] == [["first"], ["a", "b", "c"]]


def test_a_journal_that_refuses_is_reported_to_each() -> None:
    """No request is posted or tried alone: each try would block on the journal."""
    error = JournalError("it is locked")
    slow = SlowSubmissions(error)
    assert posted(slow, "a", "bad") == ["first held", error, error]
    assert len(slow.transactions) == 2


def test_an_error_over_one_is_reported_to_that_one_alone() -> None:
    """Such as a name that the database refuses."""
    error = ValueError("surrogates")
    assert posted(SlowSubmissions(error), "a", "bad", "b") == ["first held", "a held", error, "b held"]


def test_a_single_submission_is_posted_at_once() -> None:
    """In its own transaction, and with its own error."""
    slow = SlowSubmissions()
    slow.may_end.set()
    group, submissions = SubmissionGroup(), cast("Submissions", slow)
    assert group.post(submissions, wanted("a")).key == "a held"
    slow._failure = ValueError("surrogates")  # noqa: SLF001 -- ours
    with pytest.raises(ValueError, match="surrogates"):
        group.post(submissions, wanted("bad"))
