"""The journal's promises: nothing accepted twice, nothing lost between states, names never shared."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.errors import JournalBusyError, JournalError
from cutoutd.faults.retry import ALONE_AFTER, MAX_INTERRUPTED
from cutoutd.jobs import Job, JobState, Published, Version
from cutoutd.journal.commands import Commands, Verb
from cutoutd.journal.folders import FolderMemory
from cutoutd.journal.journal import Journal
from cutoutd.journal.queue import OVERDUE_S
from cutoutd.journal.reader import Reader
from cutoutd.journal.sources import Sources
from cutoutd.journal.store import FILE_NAME, SQL, JournalDamagedError, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import FakeClock


def version(path: str = "a.jpg", *, size: int = 10, mtime_ns: int = 1, provisional: bool = False) -> Version:
    """Return a version of a source."""
    return Version(path=path, size=size, mtime_ns=mtime_ns, provisional=provisional)


@pytest.fixture
def journal(tmp_path: Path, clock: FakeClock) -> Iterator[Journal]:
    """A new journal."""
    opened = Journal(tmp_path, session="run-1", clock=clock)
    yield opened
    opened.close()


def begin(journal: Journal, folder: str = "f") -> Job:
    """Claim the next job of a folder."""
    job = journal.queue.next_in(folder, newest_first=False)
    assert job is not None
    journal.queue.claim(job)
    return job


def state_of(journal: Journal, job: int) -> JobState:
    """Return the state of a job."""
    found = Reader(journal.store).job(job)
    assert found is not None
    return found.state


def test_a_version_is_known_once_it_is_accepted_and_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    """Path, size and modification time make a version."""
    journal = Journal(tmp_path, session="run-1", clock=clock)
    journal.sources.accept("f", [version()])
    journal.close()
    again = Journal(tmp_path, session="run-2", clock=clock)
    assert again.sources.is_known("f", version())
    assert not again.sources.is_known("f", version(size=11))
    assert not again.sources.is_known("f", version(mtime_ns=2))
    assert not again.sources.is_known("g", version())


def test_a_then_b_then_a_again_are_three_versions(journal: Journal) -> None:
    """Only the newest version of a source counts as known."""
    first, second = version(mtime_ns=1), version(mtime_ns=2)
    for each in (first, second, first):
        assert not journal.sources.is_known("f", each)
        journal.sources.accept("f", [each])
    assert len(list(Reader(journal.store).jobs())) == 3


def test_a_newer_version_replaces_one_that_still_waits(journal: Journal) -> None:
    """The older job is removed; only the newer one is begun."""
    (old,) = journal.sources.accept("f", [version(mtime_ns=1)])
    (new,) = journal.sources.accept("f", [version(mtime_ns=2)])
    assert state_of(journal, old) is JobState.GONE
    assert begin(journal).id == new


def test_a_newer_version_waits_until_the_older_one_in_work_is_over(journal: Journal) -> None:
    """Results of one source never overtake each other."""
    journal.sources.accept("f", [version(mtime_ns=1)])
    old = begin(journal)
    journal.sources.accept("f", [version(mtime_ns=2)])
    assert journal.queue.next_in("f", newest_first=False) is None
    journal.queue.finish(old.id, JobState.FAILED, detail={})
    assert begin(journal).mtime_ns == 2


def test_a_provisional_version_is_accepted_once_more_when_it_can_be_trusted(journal: Journal) -> None:
    """A share that rounds times to seconds could hide a second write in the same second."""
    journal.sources.accept("f", [version(provisional=True)])
    assert journal.sources.is_known("f", version(provisional=True))
    assert not journal.sources.is_known("f", version())


def test_a_source_that_came_back_is_accepted_again(journal: Journal) -> None:
    """The source vanished before its turn, so no cutout exists."""
    journal.sources.accept("f", [version()])
    journal.gone(begin(journal), "removed")
    assert not journal.sources.is_known("f", version())


def test_an_old_version_that_vanished_does_not_make_the_new_one_unknown(journal: Journal) -> None:
    """Otherwise it would be cut twice."""
    journal.sources.accept("f", [version(mtime_ns=1)])
    old = begin(journal)
    journal.sources.accept("f", [version(mtime_ns=2)])
    journal.gone(old, "replaced while it was read")
    assert journal.sources.is_known("f", version(mtime_ns=2))


def test_work_of_a_dead_run_is_queued_again(tmp_path: Path, clock: FakeClock) -> None:
    """Ownership is the run-id, not a timed lease."""
    journal = Journal(tmp_path, session="run-1", clock=clock)
    journal.sources.accept("f", [version()])
    job = begin(journal)
    journal.close()
    again = Journal(tmp_path, session="run-2", clock=clock)
    assert again.queue.recover() == []
    found = again.queue.next_in("f", newest_first=False)
    assert found is not None
    assert (found.id, found.interrupted, found.attempts) == (job.id, 1, 0)


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_job_that_needs_all_memory_takes_its_turn_after_a_minute(
    journal: Journal, clock: FakeClock, *, newest_first: bool
) -> None:
    """In a busy folder there is always another; before and after its turn, the folder's order holds."""
    times = {"first.jpg": 1, "huge.jpg": 2, "last.jpg": 3}
    journal.sources.accept("f", [version(path, mtime_ns=ns) for path, ns in times.items()])
    huge = next(job for job in Reader(journal.store).jobs() if job.path == "huge.jpg")
    journal.queue.put_back(huge.id, alone=True)
    order = ["last.jpg", "huge.jpg", "first.jpg"] if newest_first else ["first.jpg", "huge.jpg", "last.jpg"]

    def upcoming() -> str:
        job = journal.queue.next_in("f", newest_first=newest_first)
        assert job is not None
        return job.path

    assert upcoming() == order[0]
    journal.queue.claim(next(job for job in Reader(journal.store).jobs() if job.path == order[0]))
    assert upcoming() == order[2]
    clock.advance(OVERDUE_S)
    assert upcoming() == "huge.jpg"


def test_a_job_that_is_suspected_of_ending_the_daemon_stays_last(journal: Journal, clock: FakeClock) -> None:
    """However long it waits: others are cut before the daemon may end again."""
    journal.sources.accept("f", [version("suspect.jpg", mtime_ns=1), version("good.jpg", mtime_ns=2)])
    with journal.store.transaction():
        journal.store.write(
            "UPDATE job SET alone = 1, interrupted = :ends WHERE path = :path",
            ends=ALONE_AFTER,
            path=b"suspect.jpg",
        )
    clock.advance(10 * OVERDUE_S)
    job = journal.queue.next_in("f", newest_first=False)
    assert job is not None
    assert job.path == "good.jpg"


def test_a_job_the_daemon_dies_over_runs_alone_and_is_then_quarantined(
    tmp_path: Path, clock: FakeClock
) -> None:
    """After three deaths it runs alone; after six it is quarantined with the reason."""
    for death in range(MAX_INTERRUPTED + 1):
        journal = Journal(tmp_path, session=f"run-{death}", clock=clock)
        if death == 0:
            journal.sources.accept("f", [version()])
        journal.queue.recover()
        job = journal.queue.next_in("f", newest_first=False)
        if death < MAX_INTERRUPTED:
            assert job is not None
            assert job.alone is (death >= ALONE_AFTER)
            journal.queue.claim(job)
        journal.close()
    (failed,) = Reader(Store(tmp_path / FILE_NAME)).jobs(state=JobState.FAILED)
    assert "daemon itself ended" in failed.detail["failure"]["cause"]


def test_a_job_that_is_published_at_every_death_is_quarantined_too(tmp_path: Path, clock: FakeClock) -> None:
    """Its record is still to be written.

    An orderly end is no death, and a second recovery at one start counts nothing.
    """
    journal = Journal(tmp_path, session="run", clock=clock)
    journal.sources.accept("f", [version()])
    journal.begin_publishing(begin(journal), sha256="aa", claims=[], detail={"plan": "x"})
    seen = []
    for number in range(MAX_INTERRUPTED + 1):
        if number == 0:
            journal.queue.end_session()
        journal.close()
        journal = Journal(tmp_path, session=f"run-{number}", clock=clock)
        journal.queue.recover()
        seen.append([job.interrupted for job in journal.queue.recover()])
    assert seen == [[number] for number in range(MAX_INTERRUPTED)] + [[]]
    (failed,) = Reader(journal.store).jobs(state=JobState.FAILED)
    assert "daemon itself ended" in failed.detail["failure"]["cause"]
    assert journal.queue.cleanup_pending("f") == [failed]


def test_a_job_being_published_is_recovered_with_its_plan(tmp_path: Path, clock: FakeClock) -> None:
    """Recovery needs the names that the results were to get."""
    journal = Journal(tmp_path, session="run-1", clock=clock)
    journal.sources.accept("f", [version()])
    job = begin(journal)
    journal.begin_publishing(job, sha256="aa", claims=[b"/out/a.png"], detail={"plan": ["x"]})
    journal.close()
    (found,) = Journal(tmp_path, session="run-2", clock=clock).queue.recover()
    assert (found.id, found.sha256, found.detail) == (job.id, "aa", {"plan": ["x"]})


def test_a_resting_job_is_queued_when_its_time_has_come(journal: Journal, clock: FakeClock) -> None:
    """Not before."""
    journal.sources.accept("f", [version()])
    job = begin(journal)
    journal.queue.delay(job.id, 60.0, detail={})
    clock.advance(59)
    journal.queue.queue_due()
    assert state_of(journal, job.id) is JobState.RETRY
    clock.advance(2)
    journal.queue.queue_due()
    assert state_of(journal, job.id) is JobState.QUEUED


def test_a_clock_set_back_does_not_make_a_job_rest_for_hours(journal: Journal, clock: FakeClock) -> None:
    """A delay longer than the longest possible one is over."""
    journal.sources.accept("f", [version()])
    job = begin(journal)
    journal.queue.delay(job.id, 60.0, detail={})
    clock.wall_us -= 3600 * 1_000_000
    journal.queue.queue_due()
    assert state_of(journal, job.id) is JobState.QUEUED


@pytest.mark.parametrize(("newest_first", "expected"), [(False, [1, 2, 3]), (True, [3, 2, 1])])
def test_order_is_decided_when_a_job_is_begun(
    journal: Journal, expected: list[int], *, newest_first: bool
) -> None:
    """Oldest or newest file first, whatever order they were accepted in."""
    journal.sources.accept("f", [version(f"{n}.jpg", mtime_ns=n) for n in (2, 1, 3)])
    seen = []
    while (job := journal.queue.next_in("f", newest_first=newest_first)) is not None:
        journal.queue.claim(job)
        seen.append(job.mtime_ns)
    assert seen == expected


def test_jobs_of_a_removed_folder_are_parked_and_come_back_with_it(journal: Journal) -> None:
    """Its pictures are kept, and do not block `run --once`."""
    waiting, resting = journal.sources.accept("f", [version(), version("b.jpg")])
    journal.queue.delay(resting, 5.0, detail={})
    journal.queue.park({"g"})
    assert state_of(journal, waiting) is JobState.PARKED
    assert journal.queue.next_in("f", newest_first=False) is None
    assert state_of(journal, resting) is JobState.PARKED
    journal.queue.park({"f"})
    assert state_of(journal, waiting) is JobState.QUEUED


def test_retry_queues_the_newest_version_only(journal: Journal) -> None:
    """A result of an old version must not replace that of the new one."""
    (old,) = journal.sources.accept("f", [version(mtime_ns=1)])
    journal.queue.finish(begin(journal).id, JobState.FAILED, detail={})
    (new,) = journal.sources.accept("f", [version(mtime_ns=2)])
    journal.queue.finish(begin(journal).id, JobState.FAILED, detail={})
    assert journal.queue.retry(old) == 0
    assert journal.queue.retry(None) == 1
    assert begin(journal).id == new


def test_a_name_belongs_to_one_source_over_all_folders(journal: Journal) -> None:
    """From planning on, and permanently once the plan is written."""
    names = journal.reservations
    journal.sources.accept("f", [version()])
    job = begin(journal)
    assert names.reserve("f", "a.jpg", [b"/out/a.png", b"/out/a.png.json"])
    assert not names.reserve("g", "A.jpg", [b"/out/a.png.json"])
    assert names.reserve("f", "a.jpg", [b"/out/a.png"])
    journal.begin_publishing(job, sha256="s", claims=[b"/out/a.png"], detail={})
    assert not names.reserve("g", "A.jpg", [b"/out/a.png"])
    assert names.reserve("g", "A.jpg", [b"/out/a.png.json"])  # reserved, but not in the plan


def test_all_names_are_reserved_or_none(journal: Journal) -> None:
    """A picture without its sidecar's name is no complete result."""
    names = journal.reservations
    assert names.reserve("f", "a.jpg", [b"/out/a.png.json"])
    assert not names.reserve("g", "b.jpg", [b"/out/b.png", b"/out/a.png.json"])
    assert names.reserve("h", "c.jpg", [b"/out/b.png"])


def test_a_finished_publication_is_remembered_whole(journal: Journal) -> None:
    """The source's hash and the outputs' hashes are stored with the state, or none of them."""
    journal.sources.accept("f", [version()])
    job = begin(journal)
    result = Published(rendition=0, path="a.png", sha256="o" * 64, review=False)
    journal.finish_publishing(job, JobState.DONE, sha256="s" * 64, published=[result], detail={})
    assert journal.reservations.published_sha256("f", "a.jpg") == "s" * 64
    assert journal.reservations.earlier("f", "a.jpg") == (result,)
    assert state_of(journal, job.id) is JobState.DONE


def test_an_undone_publication_is_computed_again_and_knows_its_published_parts(journal: Journal) -> None:
    """The part that already has its name is not published twice."""
    journal.sources.accept("f", [version()])
    job = begin(journal)
    result = Published(rendition=0, path="a.png", sha256="o" * 64, review=False)
    journal.undo_publishing(job, published=[result])
    assert state_of(journal, job.id) is JobState.QUEUED
    assert journal.reservations.earlier("f", "a.jpg") == (result,)
    assert journal.reservations.published_sha256("f", "a.jpg") is None


def test_a_path_that_is_not_utf8_survives(journal: Journal) -> None:
    """Paths are stored as bytes."""
    path = b"caf\xe9 \xff.jpg".decode("utf-8", "surrogateescape")
    journal.sources.accept("f", [version(path)])
    assert begin(journal).path == path


def test_commands_wait_for_the_daemon_in_order(journal: Journal) -> None:
    """Commands can be given while the daemon is down."""
    journal.commands.post(Verb.PAUSE)
    journal.commands.post(Verb.RETRY, "failed")
    pending = journal.commands.pending()
    assert [(command.verb, command.argument) for command in pending] == [
        (Verb.PAUSE, ""),
        (Verb.RETRY, "failed"),
    ]
    journal.commands.done(pending[0])
    assert len(journal.commands.pending()) == 1


def test_data_version_shows_that_another_connection_wrote(journal: Journal, tmp_path: Path) -> None:
    """The daemon reads the commands only then."""
    before = journal.store.data_version()
    assert journal.store.data_version() == before
    other = Store(tmp_path / FILE_NAME)
    with other.transaction():
        other.write("INSERT INTO fact VALUES ('x', 'y')")
    assert journal.store.data_version() != before


def test_folders_are_remembered(journal: Journal) -> None:
    """Marker and device tell another volume from an empty folder."""
    assert journal.folders.recall("f") is None
    memory = FolderMemory(input="/in", marker="uuid", device=7, read_only=False)
    journal.folders.remember("f", memory)
    assert journal.folders.recall("f") == memory


def test_a_transaction_within_another_ends_with_that_one(
    journal: Journal, tmp_path: Path, clock: FakeClock
) -> None:
    """Atomic steps are parts of larger ones, which are committed entirely or not at all."""

    def both(*, fails: bool) -> None:
        with journal.store.transaction():
            journal.commands.set_paused(paused=True)
            assert not Commands(other, clock).is_paused()
            if fails:
                raise ZeroDivisionError

    other = Store(tmp_path / FILE_NAME)
    with pytest.raises(ZeroDivisionError):
        both(fails=True)
    assert not journal.commands.is_paused()
    both(fails=False)
    assert Commands(other, clock).is_paused()
    other.close()


def test_a_failed_transaction_leaves_nothing(journal: Journal) -> None:
    """None of its writes is stored."""

    def write_twice() -> None:
        with journal.store.transaction():
            journal.store.write("INSERT INTO fact VALUES ('x', 'y')")
            journal.store.write("INSERT INTO fact VALUES ('x', 'y')")

    with pytest.raises(sqlite3.IntegrityError):
        write_twice()
    assert journal.store.row("SELECT 1 FROM fact") is None


def test_another_file_than_a_journal_is_refused_by_name(tmp_path: Path) -> None:
    """With an error, and nothing is written to the file."""
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 100)
    with pytest.raises(JournalDamagedError, match=FILE_NAME):
        Store(tmp_path / FILE_NAME, create=True)


def test_jobs_are_read_in_pages(journal: Journal) -> None:
    """More than one page is read completely and in order."""
    journal.sources.accept("f", [version(f"{n}.jpg") for n in range(1203)])
    listed = [job.id for job in Reader(journal.store).jobs(folder="f", state=JobState.QUEUED)]
    assert listed == sorted(listed)
    assert len(listed) == 1203


def test_a_folder_that_gets_another_name_disturbs_no_scan_of_others(journal: Journal) -> None:
    """Sources that a running scan has passed already must not count as missing."""
    journal.sources.accept("other", [version()])
    journal.folders.remember("before", FolderMemory(input="/in", marker="m", device=7, read_only=False))
    journal.sources.begin_scan("other")
    assert journal.sources.is_known("other", version())
    journal.folders.relabel("before", "after")
    assert journal.sources.unseen("other") == []


def test_two_folders_of_one_name_and_marker_wait_under_names_of_their_own(journal: Journal) -> None:
    """As with a copy of a folder, marker included, under the first one's name."""
    memory = FolderMemory(input="/in", marker="m" * 36, device=7, read_only=False)
    for _ in range(2):
        journal.folders.remember("f", memory)
        journal.folders.free_name("f")
    assert len(journal.folders.marked("m" * 36)) == 2
    assert journal.folders.recall("f") is None


def test_the_published_part_of_an_abandoned_plan_belongs_to_its_own_source(journal: Journal) -> None:
    """The plan was made for the earlier picture of that name, whose result is known no more."""
    journal.sources.accept("f", [version()])
    first = begin(journal)
    journal.finish_publishing(
        first,
        JobState.DONE,
        sha256="1" * 64,
        published=[Published(rendition=0, path="a.png", sha256="a" * 64, review=False)],
        detail={},
    )
    journal.removed_original(first)
    journal.sources.accept("f", [version(size=11)])
    second = begin(journal)
    assert second.generation == 1
    published_before = Published(rendition=0, path="a-2.png", sha256="b" * 64, review=False)
    journal.keep_published(second, published=[published_before])
    assert [one.path for one in journal.reservations.earlier("f", "a.jpg", 0)] == ["a.png"]
    assert journal.reservations.earlier("f", "a.jpg", 1) == (published_before,)


def test_a_locked_journal_is_told_from_a_disk_that_refuses(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice is about the program that holds it, and says that a command must be given again."""
    monkeypatch.setattr("cutoutd.journal.store._BUSY_TIMEOUT_S", 0.01)
    journal.sources.accept("f", [version()])
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalBusyError, match="database is locked") as raised:
            Store(tmp_path / FILE_NAME)
    assert isinstance(raised.value, JournalError)
    assert "Close what has the file open" in str(raised.value)
    assert "give it again" in str(raised.value)


def test_a_transaction_that_looks_up_a_source_waits_for_no_folder_that_is_read(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a retry that is published while another folder begins: each waited for the other, and the daemon stood still for ever."""
    journal.sources.accept("a", [version()])
    failed = begin(journal, "a")
    journal.queue.finish(failed.id, JobState.FAILED, detail={})
    assert journal.queue.retry(failed.id) == 1
    job = begin(journal, "a")
    assert job.forced
    begun, is_looked_up = threading.Event(), threading.Event()
    rows, missing_us = Store.rows, Sources.missing_us

    def read(store: Store, sql: str, *values: Any, **named: Any) -> list[sqlite3.Row]:  # noqa: ANN401 -- as of Database
        if sql == SQL.page_of_versions and named["folder"] == "b":
            begun.set()
            assert is_looked_up.wait(20)
        return rows(store, sql, *values, **named)

    def look_up(sources: Sources, folder: str, path: str) -> int | None:
        is_looked_up.set()
        return missing_us(sources, folder, path)

    monkeypatch.setattr(Store, "rows", read)
    monkeypatch.setattr(Sources, "missing_us", look_up)
    beginning = threading.Thread(target=journal.sources.is_known, args=("b", version()), daemon=True)
    beginning.start()
    assert begun.wait(20)
    publishing = threading.Thread(
        target=journal.finish_publishing,
        args=(job, JobState.DONE),
        kwargs={"sha256": "s", "published": [], "detail": {}},
        daemon=True,
    )
    publishing.start()
    for thread in (beginning, publishing):
        thread.join(20)
        assert not thread.is_alive()


def test_a_folder_that_is_taken_over_while_it_is_read_is_read_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before would count for the whole run."""
    rows = Store.rows
    relabelled = iter([True])

    def read(store: Store, sql: str, *values: Any, **named: Any) -> list[sqlite3.Row]:  # noqa: ANN401 -- as of Database
        found = rows(store, sql, *values, **named)
        if sql == SQL.page_of_versions and next(relabelled, False):
            journal.folders.relabel("before", "a")
        return found

    journal.sources.accept("before", [version()])
    monkeypatch.setattr(Store, "rows", read)
    assert journal.sources.is_known("a", version())
