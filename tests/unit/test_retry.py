"""The decision whether a failed job is retried."""

from __future__ import annotations

from cutoutd import errors
from cutoutd.faults import retry
from cutoutd.jobs import Failure


def failure(error: type[errors.CutoutdError]) -> Failure:
    """Return the report of an error."""
    return Failure(
        code=error.code,
        title=error.title,
        cause="it did not work",
        advice=error.advice,
        permanent=issubclass(error, errors.PermanentError),
        delay_s=getattr(error, "delay_s", 0.0),
    )


def test_a_passing_fault_is_tried_again_ever_more_rarely_but_for_ever() -> None:
    """Delays double from the error's own and stop at five minutes."""
    delays = []
    for tries in range(12):
        decision = retry.after_failure(failure(errors.StorageError), tries=tries, age_s=1e6, patient=True)
        assert isinstance(decision, retry.Again)
        delays.append(decision.delay_s)
    assert delays[:3] == [15.0, 30.0, 60.0]
    assert delays == sorted(delays)
    assert delays[-1] == retry.MAX_DELAY_S


def test_a_damaged_picture_that_arrived_just_now_may_only_be_unfinished() -> None:
    """The picture is retried while it is fresh, and fails for good after that."""
    fresh = retry.after_failure(failure(errors.PictureError), tries=0, age_s=5.0, patient=True)
    old = retry.after_failure(failure(errors.PictureError), tries=0, age_s=retry.FRESH_S, patient=True)
    assert fresh == retry.Again(delay_s=2.0)
    assert old == retry.GiveUp()


def test_a_run_that_ends_by_itself_gives_up_a_fresh_damaged_picture_at_once() -> None:
    """`run --once` and `cut` then report its fault."""
    assert (
        retry.after_failure(failure(errors.PictureError), tries=0, age_s=0.0, patient=False) == retry.GiveUp()
    )


def test_a_picture_from_the_future_is_not_fresh_for_ever() -> None:
    """A broken file with a time in the future must not be retried until that time."""
    assert (
        retry.after_failure(failure(errors.PictureError), tries=0, age_s=-3600.0, patient=True)
        == retry.GiveUp()
    )


def test_a_picture_refused_by_its_header_is_never_tried_again() -> None:
    """Its size will not change."""
    assert retry.after_failure(failure(errors.LimitError), tries=0, age_s=0.0, patient=True) == retry.GiveUp()


def test_a_worker_may_die_once_over_a_file_but_not_twice() -> None:
    """The first death may be accidental."""
    assert retry.after_lost(attempts=1) == retry.Again(delay_s=0.0)
    assert retry.after_lost(attempts=2) == retry.GiveUp()
