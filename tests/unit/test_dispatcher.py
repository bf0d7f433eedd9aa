"""The order in which jobs are dispatched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.daemon.dispatcher import Turns
from cutoutd.faults.retry import ALONE_AFTER
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


def test_a_job_that_needs_this_machines_memory_holds_up_none_of_other_machines(
    tmp_path: Path, clock: FakeClock
) -> None:
    """Nor does it wait for these; before, it waited for each proxy, and each proxy for it."""
    journal = Journal(tmp_path, session="r", clock=clock)
    for folder, count in (("huge", 1), ("other", 2), ("elsewhere", 3)):
        fill(journal, folder, count)
    turns = Turns(journal.queue, {"huge": False, "other": False, "elsewhere": False})
    job = turns.next_job({"huge"}, pool_is_empty=True)
    assert job is not None
    journal.queue.claim(job)
    journal.queue.put_back(job.id, alone=True)
    names = {"huge", "other", "elsewhere"}
    for name in ("other", "elsewhere"):  # so that it is the turn of the large one
        given = turns.next_job({name}, pool_is_empty=True)
        assert given is not None
        journal.queue.claim(given)
    given = turns.next_job(names, pool_is_empty=False, nothing_in_hand=False, elsewhere={"elsewhere"})
    assert given is not None
    assert given.folder == "elsewhere"
    journal.queue.claim(given)
    again = turns.next_job(names, pool_is_empty=True, nothing_in_hand=False, elsewhere={"elsewhere"})
    assert again is not None
    assert again.id == job.id


def test_a_job_that_is_suspected_of_ending_the_daemon_has_nothing_beside_it(
    tmp_path: Path, clock: FakeClock
) -> None:
    """Or other machines' jobs would be suspected as well."""
    journal = Journal(tmp_path, session="r0", clock=clock)
    fill(journal, "huge", 1)
    for number in range(ALONE_AFTER):
        job = journal.queue.next_in("huge", newest_first=False)
        assert job is not None
        journal.queue.claim(job)
        journal.close()
        journal = Journal(tmp_path, session=f"r{number + 1}", clock=clock)
        journal.queue.recover()
    fill(journal, "elsewhere", 1)
    turns = Turns(journal.queue, {"huge": False, "elsewhere": False})
    names = {"huge", "elsewhere"}
    given = turns.next_job(names, pool_is_empty=True, nothing_in_hand=False, elsewhere={"elsewhere"})
    assert given is None
    given = turns.next_job(names, pool_is_empty=True, elsewhere={"elsewhere"})
    assert given is not None
    assert given.folder == "huge"


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
