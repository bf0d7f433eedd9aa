"""The order in which jobs are dispatched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.daemon.dispatcher import Turns
from cutoutd.jobs import Version
from cutoutd.journal.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FakeClock


def fill(journal: Journal, folder: str, count: int) -> None:
    """Accept this number of files into a folder."""
    journal.sources.accept(folder, [Version(path=f"{n}.jpg", size=1, mtime_ns=n) for n in range(count)])


def test_folders_take_turns(tmp_path: Path, clock: FakeClock) -> None:
    """A folder with one file waits for one job of the other folder, not for all of its hundred."""
    journal = Journal(tmp_path, session="r", clock=clock)
    fill(journal, "big", 100)
    fill(journal, "small", 1)
    turns = Turns(journal.queue, {"big": False, "small": False})
    order = []
    for _ in range(4):
        job = turns.next_job({"big", "small"}, pool_is_empty=True)
        assert job is not None
        journal.queue.claim(job)
        order.append(job.folder)
    assert order == ["big", "small", "big", "big"]


def test_a_folder_that_stands_by_is_passed_over(tmp_path: Path, clock: FakeClock) -> None:
    """Its jobs wait; other folders' jobs do not."""
    journal = Journal(tmp_path, session="r", clock=clock)
    fill(journal, "away", 1)
    fill(journal, "here", 1)
    turns = Turns(journal.queue, {"away": False, "here": False})
    job = turns.next_job({"here"}, pool_is_empty=True)
    assert job is not None
    assert job.folder == "here"


def test_a_job_that_must_run_alone_waits_for_an_empty_pool(tmp_path: Path, clock: FakeClock) -> None:
    """No other job begins until then, or the large job would wait for ever."""
    journal = Journal(tmp_path, session="r", clock=clock)
    fill(journal, "huge", 1)
    fill(journal, "other", 5)
    turns = Turns(journal.queue, {"huge": False, "other": False})
    job = turns.next_job({"huge"}, pool_is_empty=False)
    assert job is not None
    journal.queue.claim(job)
    journal.queue.put_back(job.id, alone=True)
    names = {"huge", "other"}
    assert turns.next_job(names, pool_is_empty=True) is not None  # the other folder's turn
    assert turns.next_job(names, pool_is_empty=False) is None
    again = turns.next_job(names, pool_is_empty=True)
    assert again is not None
    assert again.id == job.id


def test_where_the_output_refuses_what_was_tried_gives_way_to_what_was_not(
    tmp_path: Path, clock: FakeClock
) -> None:
    """Otherwise two refused pictures would be tried in turn, and no other ever."""
    journal = Journal(tmp_path, session="r", clock=clock)
    for number, name in enumerate(("bad-1.jpg", "bad-2.jpg", "good.jpg")):
        journal.sources.accept("f", [Version(path=name, size=1, mtime_ns=number)])
    turns = Turns(journal.queue, {"f": False})
    begun = []
    for _ in range(6):
        job = turns.next_job({"f"}, pool_is_empty=True, refused={"f"})
        assert job is not None
        begun.append(job.path)
        journal.queue.claim(job)
        if job.path == "good.jpg":
            break
        journal.queue.delay(job.id, 0.0, detail={})
        journal.queue.queue_due()
    assert begun == ["bad-1.jpg", "bad-2.jpg", "good.jpg"]
    again = turns.next_job({"f"}, pool_is_empty=True, refused={"f"})
    assert again is not None
    assert again.path == "bad-1.jpg"
    journal.close()
