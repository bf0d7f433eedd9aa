"""Frequent queries use an index, read no whole table and sort nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.jobs import JobState, Published, Version
from cutoutd.journal.commands import ReviewDecision
from cutoutd.journal.fix_request import FixAction, FixRequest
from cutoutd.journal.journal import Journal
from cutoutd.journal.listing import JobGroup, Listing, Mark, Selection, Sort
from cutoutd.journal.reader import Reader
from cutoutd.strokes import Stroke, StrokeKind

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from cutoutd.jobs import Job
    from tests.conftest import FakeClock


@pytest.fixture
def journal(clock: FakeClock) -> Iterator[Journal]:
    """A journal in memory."""
    opened = Journal(None, session="r", clock=clock)
    yield opened
    opened.close()


def _finish(journal: Journal) -> None:
    """Run all statements of a job from its acceptance to its publication."""
    journal.sources.accept("f", [Version(path="a.jpg", size=1, mtime_ns=1)])
    job = journal.queue.next_in("f", newest_first=False)
    assert job is not None
    journal.queue.claim(job)
    journal.reservations.reserve("f", job.path, [b"/out/a.png"])
    journal.reservations.earlier("f", job.path)
    journal.reservations.published_sha256("f", job.path)
    journal.begin_publishing(job, sha256="s", claims=[b"/out/a.png"], detail={})
    result = Published(rendition=0, path="a.png", sha256="o", review=False)
    journal.finish_publishing(job, JobState.DONE, sha256="s", published=[result], detail={})
    journal.queue.count_attempt(job.id)
    journal.queue.put_back(job.id)


def _cut_one(journal: Journal) -> Job:
    """Accept a picture; return its job."""
    journal.sources.accept("f", [Version(path="a.jpg", size=1, mtime_ns=1)])
    job = journal.queue.next_in("f", newest_first=False)
    assert job is not None
    return job


def _draw(journal: Journal) -> None:
    """Run all statements of corrections."""
    job = replace(_cut_one(journal), sha256="s")
    stroke = Stroke(kind=StrokeKind.KEEP, points=((1.0, 2.0),), radius=3.0)
    assert journal.correct(job, FixRequest(job=job.id, strokes=(stroke,)), {})
    assert journal.corrections.of(job) is not None
    journal.review_decisions.decide(job.id, ReviewDecision.HOLD)
    assert journal.correct(job, FixRequest(job=job.id, action=FixAction.UNDO), {})


def _leave_out(journal: Journal) -> None:
    """Run all statements of pairs."""
    pair = [Version(path=path, size=1, mtime_ns=1) for path in ("a.jpg", "a.nef")]
    (job,) = journal.sources.accept("f", pair[:1])
    assert journal.sources.leave_out("f", [(pair[1], "a.jpg")]) == pair[1:]
    journal.queue.finish(job, JobState.FAILED, detail={})


KIND = JobGroup(folder="f", state=JobState.DONE, mark=Mark.PLAIN)

HOT: dict[str, Callable[[Journal], Any]] = {
    "a job's whole way": _finish,
    "the newest first": lambda journal: journal.queue.next_in("f", newest_first=True),
    "the untried first": lambda journal: journal.queue.next_in("f", newest_first=False, untried_first=True),
    "the loop's tick": lambda journal: journal.queue.queue_due(),
    "originals to be put away": lambda journal: journal.queue.cleanup_pending("f"),
    "the versions known": lambda journal: journal.sources.is_known(
        "f", Version(path="b", size=1, mtime_ns=1)
    ),
    "one of two recordings of a shot": _leave_out,
    "the rate": lambda journal: Reader(journal.store).done_since("f", 5),
    "the last one": lambda journal: Reader(journal.store).last_done("f"),
    "a page of pictures": lambda journal: Listing(journal.store).page(
        Selection(kinds=(KIND,)), Sort.NEWEST, counts={KIND: 1}, offset=0, limit=5
    ),
    "pictures cut in each minute": lambda journal: Listing(journal.store).minutes("f", 5, failed=False),
    "history": lambda journal: journal.history.trim("f", 5, 500),
    "sources that ended": lambda journal: journal.history.ended("f", 5, after="a", limit=500),
    "sources that are no more": lambda journal: journal.history.forget("f", ["a.jpg"]),
    "where a picture lay before": lambda journal: journal.moves.candidates(_cut_one(journal)),
    "which of them it is": lambda journal: journal.moves.origins(_cut_one(journal), "s"),
    "decisions that wait": lambda journal: journal.review_decisions.pending("f"),
    "what is drawn over a cutout": _draw,
    "whether a picture is a result": lambda journal: journal.reservations.is_result("s"),
    "sources that are missing": lambda journal: journal.history.note_missing("f", ["a.jpg"]),
}


@pytest.mark.parametrize("what", HOT)
def test_each_query_uses_an_index(journal: Journal, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By SQLite's query plan: a search, and no scan."""
    plans: list[str] = []
    real = journal.store._execute  # noqa: SLF001 -- all statements pass there, and their plans are what is asked for

    def spy(sql: str, *values: Any) -> sqlite3.Cursor:  # noqa: ANN401 -- of columns
        plans.extend(
            f"{row['detail']} <- {sql}" for row in real(f"EXPLAIN QUERY PLAN {sql}", *values).fetchall()
        )
        return real(sql, *values)

    monkeypatch.setattr(journal.store, "_execute", spy)
    HOT[what](journal)
    assert plans
    # "SCAN" reads all; a temporary tree sorts them. An index that is read in its order from its end is neither.
    bad = [plan for plan in plans if plan.startswith("SCAN") or "TEMP B-TREE FOR ORDER BY" in plan]
    assert [plan for plan in bad if "job_resting" not in plan and "CONSTANT ROW" not in plan] == []
