"""The options of a request stay with a picture that is moved; a picture without options keeps its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.job_options import JobOptions
from cutoutd.jobs import Origin, Version
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.journal.submissions import Submission

if TYPE_CHECKING:
    from tests.conftest import FakeClock


def test_options_follow_a_picture(clock: FakeClock) -> None:
    """In the returned value and in the row."""
    journal = Journal(None, session="s", clock=clock)
    try:
        asked = JobOptions(max_pixels=5)
        submission = Submission(key="k", folder="f", spool="x", name="a.jpg", options=asked)
        journal.submissions.post(submission)
        handed_in = (Version(path="a.jpg", size=1, mtime_ns=2), submission)
        (first,) = journal.sources.accept_submitted("f", [handed_in], {})
        assert first is not None
        assert journal.sources.accept_submitted("f", [handed_in], {}) == [None]
        moved, other = journal.sources.accept(
            "f", [Version(path=name, size=1, mtime_ns=2) for name in ("b.jpg", "c.jpg")]
        )
        reader = Reader(journal.store)
        job, plain = reader.job(moved), reader.job(other)
        assert job is not None
        assert plain is not None
        assert journal.queue.inherit_options(job, Origin(path="a.jpg", generation=0)) == asked.text()
        assert journal.queue.inherit_options(job, Origin(path="c.jpg", generation=0)) == ""
        after = reader.job(moved)
        assert after is not None
        assert after.options == asked.text()
    finally:
        journal.close()
