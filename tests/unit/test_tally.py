"""The counts of a run's outcomes."""

from __future__ import annotations

from cutoutd.daemon.tally import MAX_FAILED, Tally
from cutoutd.jobs import JobState


def test_a_failure_that_was_tried_again_does_not_count() -> None:
    """The outcome of the last try counts."""
    tally = Tally()
    tally.add(1, JobState.FAILED)
    tally.add(2, JobState.FAILED)
    tally.add(1, JobState.DONE)
    assert (tally.failed, tally.done) == (1, 1)


def test_a_run_in_which_much_fails_remembers_no_more_than_it_needs() -> None:
    """All failures are counted, and the latest are kept by number."""
    tally = Tally()
    last = 2 * MAX_FAILED
    for job in range(1, last + 1):
        tally.add(job, JobState.FAILED)
    assert tally.failed == last
    assert len(tally._failed) == MAX_FAILED  # noqa: SLF001 -- nothing else shows what is remembered
    tally.add(last, JobState.DONE)
    assert (tally.failed, tally.done) == (last - 1, 1)
