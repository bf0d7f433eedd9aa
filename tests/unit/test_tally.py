"""The counts of a run's outcomes."""

from __future__ import annotations

from cutoutd.daemon.tally import MAX_KNOWN, Tally
from cutoutd.jobs import JobState


def test_a_failure_that_was_tried_again_does_not_count() -> None:
    """The outcome of the last try counts."""
    tally = Tally()
    tally.add(1, JobState.FAILED)
    tally.add(2, JobState.FAILED)
    tally.add(1, JobState.DONE)
    assert (tally.failed, tally.done) == (1, 1)


def test_a_picture_counts_once_however_often_it_ends() -> None:
    """It is accepted, taken back, rejected, cut again and published, doubtful: one picture was cut."""
    tally = Tally()
    for state in (JobState.REVIEW, JobState.DONE, JobState.REVIEW, JobState.FAILED, JobState.REVIEW):
        tally.add(1, state)
    tally.add(1, JobState.DONE, doubtful=True)
    assert tally.counts() == {"done": 1, "review": 0, "failed": 0, "unchanged": 0, "doubtful": 1}
    tally.add(1, JobState.DONE)
    assert tally.counts() == {"done": 1, "review": 0, "failed": 0, "unchanged": 0, "doubtful": 0}


def test_a_run_in_which_much_fails_remembers_no_more_than_it_needs() -> None:
    """All failures are counted, and the latest are kept by number."""
    tally = Tally()
    last = 2 * MAX_KNOWN
    for job in range(1, last + 1):
        tally.add(job, JobState.FAILED)
    assert tally.failed == last
    assert len(tally._ends) == MAX_KNOWN  # noqa: SLF001 -- nothing else shows what is remembered
    tally.add(last, JobState.DONE)
    assert (tally.failed, tally.done) == (last - 1, 1)
