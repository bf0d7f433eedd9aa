"""The daemon's loop: every picture ends, whatever workers, threads, people and disks do."""

from __future__ import annotations

import gc
import sqlite3
import threading
import time
import weakref
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.daemon import commands, status_file
from cutoutd.daemon.commands import CommandHandler
from cutoutd.daemon.supervisor import COLLECT_EVERY_S, DRAIN_S
from cutoutd.errors import FailureCode, JournalError, LimitError, PictureError, SourceGoneError, StorageError
from cutoutd.failure import failure_of
from cutoutd.folder.hot_folder import HANGS_AFTER_S, HotFolder
from cutoutd.folder.status import FolderState, FolderStatus
from cutoutd.job_options import JobOptions
from cutoutd.jobs import Exported, Failure, JobState, NeedsRoom, SourceFacts, Unchanged
from cutoutd.journal.commands import Verb
from cutoutd.journal.journal import Journal
from cutoutd.journal.queue import Queue
from cutoutd.journal.store import FILE_NAME, JournalDamagedError, Store
from cutoutd.journal.submissions import Submission
from cutoutd.protocols import Lost, Withdrawn
from tests.integration.hall import Hall, Workers
from tests.integration.parts import JPEG, NAME, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cutoutd.jobs import Job, Report, Task
    from tests.conftest import FakeClock


@pytest.fixture
def hall(tmp_path: Path, clock: FakeClock) -> Iterator[Hall]:
    """A supervisor for one test."""
    created = Hall(tmp_path, clock)
    yield created
    created.end()


def after(polls: int, deed: Callable[[], object]) -> Callable[[], None]:
    """Return a function that does something at a given call."""
    left = iter(range(polls, -1, -1))

    def count() -> None:
        if next(left, None) == 0:
            deed()

    return count


def lost(task: Task, **how: Any) -> Lost:  # noqa: ANN401 -- of a Lost
    """Return the event of a worker that died."""
    fields = {"why": "the worker was ended by SIGSEGV", "timed_out": False, "stuck": False}
    return Lost(**{"job": task.job, **fields, **how})


def test_a_picture_that_killed_a_worker_waits_until_another_worker_has_proved_sound(hall: Hall) -> None:
    """Otherwise a broken library would use up the attempts of every picture."""
    (job,) = hall.accept("a.jpg")
    deaths: list[Lost] = []

    def die_once(task: Task) -> Report | Lost:
        if deaths:
            return hall.cut(task)
        deaths.append(lost(task))
        hall.workers.is_sound = False
        return deaths[0]

    def recover() -> None:
        assert len(hall.workers.given) == 1, "it was tried by a worker that may be as broken"
        assert hall.job(job).state is JobState.WORKING
        hall.workers.is_sound = True

    hall.workers.answer = die_once
    hall.workers.before_poll = after(20, recover)
    hall.supervisor.run()
    assert len(hall.workers.given) == 2
    assert (hall.job(job).state, hall.job(job).attempts) == (JobState.DONE, 1)


def test_a_picture_that_has_all_the_room_there_is_cannot_ask_for_more(hall: Hall) -> None:
    """Otherwise a hostile worker could block all other jobs for ever."""
    (job,) = hall.accept("a.jpg")
    hall.workers.answer = lambda _: NeedsRoom(pixels=10**9)
    hall.supervisor.run()
    assert hall.job(job).state is JobState.FAILED
    assert [task.alone for task in hall.workers.given] == [False, True]


def test_a_picture_that_killed_a_worker_is_queued_again_when_the_daemon_stops(hall: Hall) -> None:
    """The picture does not wait for workers that will not be started any more."""
    (job,) = hall.accept("a.jpg")
    hall.workers.answer = lost
    hall.workers.is_sound = False
    supervisor = hall.supervise(once=False)
    hall.workers.before_poll = after(5, supervisor.stop)
    supervisor.run()
    assert hall.job(job).state is JobState.QUEUED
    assert len(hall.workers.given) == 1


def test_pictures_are_dispatched_published_and_counted(hall: Hall) -> None:
    """Then it ends, since nothing is left to do."""
    jobs = hall.accept("a.jpg", "b.jpg", "c.jpg")
    hall.workers.answer = hall.cut
    hall.supervisor.run()
    assert [task.job for task in hall.workers.given] == jobs
    assert sorted(path.name for path in hall.folder.output.glob("*.png")) == ["a.png", "b.png", "c.png"]
    assert hall.supervisor.tally.done == 3
    assert sorted(hall.ends()) == [(job, JobState.DONE) for job in jobs]


def test_a_worker_gets_all_it_must_know(hall: Hall) -> None:
    """The path of the picture, its version, the staging directory, and the recipe."""
    (job,) = hall.accept("sub/a.jpg")
    hall.workers.answer = hall.cut
    hall.supervisor.run()
    (task,) = hall.workers.given
    known = hall.job(job)
    assert task.source == str(hall.folder.input / "sub/a.jpg")
    assert (task.size, task.mtime_ns) == (known.size, known.mtime_ns)
    assert Path(task.staging).parent == hall.staging
    assert task.recipe == hall.folder.recipe()
    assert (task.published_sha256, task.alone) == (None, False)


@pytest.mark.parametrize("outcome", ["a cutout", "known", "a failure", "its end"])
def test_nothing_is_left_of_a_jobs_directory_whatever_becomes_of_the_job(hall: Hall, outcome: str) -> None:
    """While the run goes on, since a worker may have filled it."""
    hall.accept("a.jpg")
    seen: list[Path] = []

    def answer(task: Task) -> Report | Lost | None:
        report = hall.cut(task)
        seen.append(Path(task.staging))
        assert list(seen[-1].iterdir())
        if outcome == "a cutout":
            return report
        if outcome == "known":
            return Unchanged(sha256="0" * 64)
        if outcome == "its end":
            return Lost(job=task.job, why="killed", timed_out=False, stuck=False)
        return failure_of(StorageError("the system says: no"))

    hall.workers.answer = answer
    supervisor = hall.supervise(once=False)

    def before_poll() -> None:
        if seen and not any(one.exists() for one in seen):
            supervisor.stop()

    hall.workers.before_poll = before_poll
    supervisor.run()
    assert seen
    assert hall.staging.is_dir()


def test_the_same_bytes_are_not_published_again(hall: Hall) -> None:
    """The worker knows the published hash, and reports that it is the same."""
    hall.accept("a.jpg")
    hall.workers.answer = hall.cut
    hall.supervisor.run()
    (job,) = hall.accept("a.jpg", age_s=5e5)
    hall.workers.answer = lambda _: Unchanged(sha256=digest(JPEG))
    hall.supervise(once=True).run()
    assert hall.workers.given[-1].published_sha256 == digest(JPEG)
    assert (hall.job(job).state, hall.job(job).sha256) == (JobState.UNCHANGED, digest(JPEG))
    assert hall.ends()[-1] == (job, JobState.UNCHANGED)
    assert (hall.supervisor.tally.unchanged, hall.supervisor.tally.done) == (1, 0)


def test_workers_are_replaced_once_when_an_output_begins_to_refuse(hall: Hall) -> None:
    """One of them may have filled the disk with files that it keeps open, so that there would never be room again."""
    hall.accept("a.jpg", "b.jpg")
    full = Failure(code=FailureCode.OUTPUT, title="", cause="full", advice="", permanent=False)

    def answer(_: Task) -> Report:
        hall.clock.advance(2.0)  # longer than between two looks at the folders
        return full

    hall.workers.answer = answer
    hall.supervisor.run()
    assert hall.workers.recycled == 1


def test_a_huge_picture_is_dispatched_again_while_no_other_is_in_work(hall: Hall) -> None:
    """The pictures before it are finished first."""
    huge, *others = hall.accept("huge.jpg", "b.jpg", "c.jpg")
    hall.workers.answer = lambda task: (
        NeedsRoom(pixels=60_000_000) if task.job == huge and not task.alone else hall.cut(task)
    )
    hall.supervisor.run()
    assert [(task.job, task.alone) for task in hall.workers.given] == [
        (huge, False),
        *((job, False) for job in others),
        (huge, True),
    ]
    assert hall.workers.beside[-1] == set()
    assert hall.supervisor.tally.done == 3


def test_nothing_is_begun_beside_a_picture_that_must_run_alone(hall: Hall) -> None:
    """The huge picture has the memory of all workers; other pictures wait."""
    (huge,) = hall.accept("huge.jpg")
    polls = iter(range(8))

    def answer(task: Task) -> Report | None:
        if task.job != huge:
            return hall.cut(task)
        if not task.alone:
            return NeedsRoom(pixels=60_000_000)
        return None if next(polls, None) is not None else hall.cut(task)

    def accept_another() -> None:
        hall.accept("b.jpg")

    hall.workers.answer = answer
    hall.workers.before_poll = after(4, accept_another)
    hall.supervisor.run()
    assert hall.supervisor.tally.done == 2
    assert all(huge not in beside for beside in hall.workers.beside)


def test_a_picture_that_cannot_be_cut_is_given_up_with_its_reason(hall: Hall) -> None:
    """At once, in a run that ends by itself."""
    (job,) = hall.accept("a.jpg", age_s=1.0)
    hall.workers.answer = lambda _: failure_of(PictureError("it is cut short"))
    hall.supervisor.run()
    assert hall.job(job).state is JobState.FAILED
    assert (hall.folder.output / "failed/a.jpg.error.json").exists()
    assert hall.supervisor.tally.failed == 1
    assert len(hall.workers.given) == 1


def test_a_fresh_picture_that_looks_damaged_is_tried_again_by_a_daemon(hall: Hall) -> None:
    """The file may only be incomplete, and is cut as soon as possible."""
    (job,) = hall.accept("a.jpg", age_s=1.0)
    reports: Iterator[Report] = iter([failure_of(PictureError("it is cut short"))] * 2)
    hall.workers.answer = lambda task: next(reports, None) or hall.cut(task)
    supervisor = hall.supervise(once=False)
    hall.workers.before_poll = lambda: supervisor.stop() if supervisor.tally.done else None
    supervisor.run()
    assert hall.ends() == [(job, JobState.RETRY), (job, JobState.RETRY), (job, JobState.DONE)]
    assert hall.job(job).tries == 2
    assert "may not be complete yet, so this one is tried again" in hall.heard.results[0].advice
    assert hall.heard.results[2].advice == ""


def test_a_picture_refused_by_its_header_is_not_tried_again(hall: Hall) -> None:
    """However new the file is."""
    hall.accept("a.jpg", age_s=1.0)
    hall.workers.answer = lambda _: failure_of(LimitError("it is too large"))
    supervisor = hall.supervise(once=False)
    hall.workers.before_poll = lambda: supervisor.stop() if supervisor.tally.failed else None
    supervisor.run()
    assert len(hall.workers.given) == 1


def test_a_passing_fault_is_left_for_later(hall: Hall) -> None:
    """A run with --once ends without it; nothing is lost."""
    (job,) = hall.accept("a.jpg")
    hall.workers.answer = lambda _: failure_of(StorageError("the system says: no"))
    hall.supervisor.run()
    assert hall.job(job).state is JobState.RETRY
    assert hall.job(job).detail["failure"]["cause"] == "the system says: no"
    assert hall.ends() == [(job, JobState.RETRY)]
    assert hall.supervisor.tally.failed == 0
    assert hall.monitor.checks == 1


def test_a_source_that_is_gone_is_checked_once_more(hall: Hall) -> None:
    """A newer version may be there; this one is forgotten."""
    (job,) = hall.accept("a.jpg")
    version = hall.job(job).version
    hall.workers.answer = lambda _: failure_of(SourceGoneError("it was replaced"))
    hall.supervisor.run()
    assert hall.job(job).state is JobState.GONE
    assert hall.monitor.looked_at == ["a.jpg"]
    assert not hall.journal.sources.is_known(NAME, version)


def test_a_source_that_was_missing_before_its_folder_was_away_is_checked_again(hall: Hall) -> None:
    """Its folder's place was taken by another directory twice; before, the second time counted as the proof of the first."""
    (job,) = hall.accept("a.jpg")
    missing = iter([1, 2, 3])

    def answer(task: Task) -> Report:
        if (time := next(missing, None)) is None:
            return hall.cut(task)
        hall.monitor.now(recoveries=time)
        return failure_of(SourceGoneError("another directory is there"))

    hall.workers.answer = answer
    hall.supervisor.run()
    assert hall.job(job).state is JobState.DONE


def test_a_worker_may_die_over_a_picture_once(hall: Hall) -> None:
    """The first death may be accidental."""
    (job,) = hall.accept("a.jpg")
    deaths = iter([1])
    hall.workers.answer = lambda task: lost(task) if next(deaths, None) else hall.cut(task)
    hall.supervisor.run()
    assert (hall.job(job).state, hall.job(job).attempts) == (JobState.DONE, 1)


@pytest.mark.parametrize(("timed_out", "why"), [(False, "SIGSEGV"), (True, "job_timeout_s")])
def test_a_picture_that_two_workers_died_over_is_given_up(hall: Hall, why: str, *, timed_out: bool) -> None:
    """With the reasons of their ends."""
    bad, good = hall.accept("bad.jpg", "good.jpg")
    hall.workers.answer = lambda task: lost(task, timed_out=timed_out) if task.job == bad else hall.cut(task)
    hall.supervisor.run()
    assert [task.job for task in hall.workers.given].count(bad) == 2
    failure = hall.job(bad).detail["failure"]
    assert (hall.job(bad).state, failure["code"]) == (JobState.FAILED, "Lost")
    assert why in failure["cause"]
    assert "2 times" in failure["cause"]
    assert hall.job(good).state is JobState.DONE


def test_a_worker_that_is_stuck_closes_the_folder_and_blames_no_picture(hall: Hall) -> None:
    """Its share hangs; its jobs wait until the folder was checked again."""
    stuck, waits = hall.accept("a.jpg", "b.jpg")
    hall.workers = _one_at_a_time(hall)
    deaths = iter(range(5))
    hall.monitor.is_well = False
    hall.workers.answer = lambda task: (
        lost(task, stuck=True, timed_out=True) if next(deaths, None) is not None else None
    )
    hall.supervise(once=True, timeout_s=30.0).run()
    assert hall.hot.status.watching is FolderState.STANDING_BY
    assert "does not answer" in hall.hot.status.why
    assert hall.monitor.checks == 1
    assert (hall.job(stuck).tries, hall.job(stuck).attempts) == (1, 0)
    assert hall.job(waits).state is JobState.QUEUED
    assert len(hall.workers.given) == 1
    hall.monitor.now(checks=hall.monitor.checks)
    hall.workers.answer = hall.cut
    hall.supervise(once=True).run()
    assert hall.supervisor.tally.done == 2


def test_a_folder_that_a_worker_got_stuck_in_is_closed_at_once(hall: Hall) -> None:
    """The next job would cost another worker."""
    assert hall.hot.may_work(2)
    hall.monitor.is_well = False
    (job,) = hall.accept("a.jpg")
    task = hall.hot.task(hall.job(job))
    hall.hot.note_stuck(hall.job(job), lost(task, stuck=True))
    assert not hall.hot.may_work(2)


def test_a_folder_whose_scan_does_not_end_is_closed_until_it_does(hall: Hall) -> None:
    """This is the only sign of a share that hangs."""
    hall.accept("a.jpg")
    hall.workers.answer = hall.cut
    hall.monitor.now(looking_since_s=hall.clock.monotonic_s() - HANGS_AFTER_S - 1)

    def come_back() -> None:
        assert hall.workers.given == []
        assert hall.hot.status.watching is FolderState.STANDING_BY
        hall.monitor.now(looking_since_s=None)

    supervisor = hall.supervise(once=False)
    back = after(5, come_back)

    def before_poll() -> None:
        back()
        if supervisor.tally.done:
            supervisor.stop()

    hall.workers.before_poll = before_poll
    supervisor.run()
    assert hall.supervisor.tally.done == 1


def _one_at_a_time(hall: Hall) -> Workers:
    """Return a pool with one worker."""
    return Workers(hall.clock, size=1)


def test_nothing_is_begun_in_a_folder_that_stands_by(hall: Hall) -> None:
    """A run with --once ends all the same."""
    (job,) = hall.accept("a.jpg")
    hall.monitor.stand_by("the share is away")
    hall.supervisor.run()
    assert hall.workers.given == []
    assert hall.job(job).state is JobState.QUEUED


def test_a_run_waits_until_the_folder_has_settled(hall: Hall) -> None:
    """Files may not have reached the journal yet."""
    hall.monitor.now(has_settled=False)
    hall.workers.answer = hall.cut

    def settle() -> None:
        hall.accept("a.jpg")
        hall.monitor.now(has_settled=True)

    hall.workers.before_poll = after(5, settle)
    hall.supervisor.run()
    assert hall.supervisor.tally.done == 1


def test_pause_holds_new_work_back_and_resume_lets_it_go_on(hall: Hall) -> None:
    """Jobs in work are finished; both commands take effect while the daemon runs."""
    hall.workers = _one_at_a_time(hall)
    supervisor = hall.supervise(once=False)
    first, second = hall.accept("a.jpg", "b.jpg")
    seen: list[list[int]] = []
    polls = iter(range(4))

    def answer(task: Task) -> Report | None:
        if task.job == second:
            return hall.cut(task)
        return None if next(polls, None) is not None else hall.cut(task)

    def resume() -> None:
        seen.append([task.job for task in hall.workers.given])
        assert hall.journal.commands.is_paused()
        hall.ask(Verb.RESUME)

    pause = after(1, lambda: hall.ask(Verb.PAUSE))
    count = after(40, resume)

    def before_poll() -> None:
        pause()
        count()
        if supervisor.tally.done == 2:
            supervisor.stop()

    hall.workers.answer, hall.workers.before_poll = answer, before_poll
    supervisor.run()
    assert seen == [[first]]
    assert [task.job for task in hall.workers.given] == [first, second]
    assert not hall.journal.commands.is_paused()
    assert hall.journal.commands.pending() == []


def test_a_pause_outlives_the_daemon(hall: Hall) -> None:
    """Until somebody resumes; a run with --once reports what is left and ends."""
    (job,) = hall.accept("a.jpg")
    hall.journal.commands.set_paused(paused=True)
    hall.workers.answer = hall.cut
    hall.supervise(once=True).run()
    assert hall.job(job).state is JobState.QUEUED
    hall.ask(Verb.RESUME)
    hall.supervise(once=True).run()
    assert hall.job(job).state is JobState.DONE


@pytest.mark.parametrize("argument", ["1", "failed"])
def test_retry_cuts_a_picture_again_by_a_persons_wish(hall: Hall, argument: str) -> None:
    """Also if its bytes are known; an event reports that more pictures wait."""
    (job,) = hall.accept("a.jpg")
    hall.workers.answer = hall.cut
    hall.supervisor.run()
    if argument == "failed":
        hall.journal.queue.finish(job, JobState.FAILED, detail={})
    hall.ask(Verb.RETRY, argument)
    hall.supervise(once=True).run()
    assert [task.published_sha256 for task in hall.workers.given] == [None, None]
    assert hall.heard.count == 1
    assert [path.name for path in hall.folder.output.glob("*.png")] == ["a.png"]


def test_a_submission_is_given_to_its_folder_or_waits_for_it(hall: Hall) -> None:
    """A removed folder may be back after the next reload, so the submission is kept."""
    submissions = hall.journal.submissions
    for key, folder in (("here", NAME), ("nowhere", "other")):
        submissions.post(Submission(key=key, folder=folder, spool="x", name="a.jpg", options=JobOptions()))
    hall.supervise(once=True).run()
    assert [one.key for one in submissions.pending("other")] == ["nowhere"]
    assert [one.key for one in submissions.pending(NAME)] == ["here"]
    assert hall.monitor.submissions == 1
    assert hall.journal.commands.pending() == []


def test_submissions_while_the_workers_are_busy_are_accepted_together(hall: Hall) -> None:
    """Without a delay once workers are free, and after a moment at the latest."""
    handler = CommandHandler(hall.journal, hall.folder_set, hall.heard)
    submissions = hall.journal.submissions
    for key in ("a", "b"):
        submissions.post(Submission(key=key, folder=NAME, spool="x", name="a.jpg", options=JobOptions()))
        handler.poll()
        assert handler.take_submissions(is_work_wanted=False)
    assert hall.monitor.submissions == 0
    assert not handler.take_submissions(is_work_wanted=True)
    assert hall.monitor.submissions == 1
    handler.poll()
    assert not handler.take_submissions(is_work_wanted=True)
    assert hall.monitor.submissions == 1  # each is handed on once


def test_no_submission_waits_for_the_workers_for_long(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large pictures may keep them busy for minutes; the client is told of the acceptance."""
    monkeypatch.setattr(commands, "TOGETHER_S", 0.0)
    handler = CommandHandler(hall.journal, hall.folder_set, hall.heard)
    hall.journal.submissions.post(
        Submission(key="a", folder=NAME, spool="x", name="a.jpg", options=JobOptions())
    )
    handler.poll()
    assert not handler.take_submissions(is_work_wanted=False)
    assert hall.monitor.submissions == 1


def test_the_commands_of_submissions_are_removed_together(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a second, or at the end of the run; the next run forwards one that a crash left."""
    submissions = hall.journal.submissions
    for key in ("a", "b"):
        submissions.post(Submission(key=key, folder=NAME, spool="x", name="a.jpg", options=JobOptions()))
    for _ in range(2):
        handler = CommandHandler(hall.journal, hall.folder_set, hall.heard)
        handler.poll()
        assert not handler.take_submissions(is_work_wanted=True)
        assert len(hall.journal.commands.pending()) == 2
    assert hall.monitor.submissions == 2
    monkeypatch.setattr(commands, "HANDED_ON_S", 0.0)
    handler.poll()
    assert hall.journal.commands.pending() == []


def test_an_idle_worker_asks_for_submissions(hall: Hall) -> None:
    """Submitted pictures are accepted at once while a worker is idle, and together otherwise."""
    hall.workers = _one_at_a_time(hall)
    supervisor = hall.supervise(once=True)
    hall.accept("a.jpg", "b.jpg")
    wanted: list[bool] = []

    def answer(task: Task) -> Report:
        wanted.append(supervisor._dispatcher.is_work_wanted)  # noqa: SLF001 -- what it tells
        return hall.cut(task)

    hall.workers.answer = answer
    supervisor.run()
    assert wanted == [False, False]
    assert supervisor._dispatcher.is_work_wanted  # noqa: SLF001 -- likewise


def test_a_stop_finishes_what_is_in_work_and_begins_nothing(hall: Hall) -> None:
    """Within its time limit."""
    hall.workers = _one_at_a_time(hall)
    supervisor = hall.supervise(once=False)
    first, second = hall.accept("a.jpg", "b.jpg")
    polls = iter(range(10))

    def answer(task: Task) -> Report | None:
        supervisor.stop()
        return None if next(polls, None) is not None else hall.cut(task)

    hall.workers.answer = answer
    started_s = hall.clock.monotonic_s()
    supervisor.run()
    assert hall.clock.monotonic_s() - started_s < DRAIN_S
    assert hall.job(first).state is JobState.DONE
    assert hall.job(second).state is JobState.QUEUED


def test_a_stop_puts_back_what_takes_too_long(hall: Hall) -> None:
    """Nothing is to blame, so no attempt is counted."""
    (job,) = hall.accept("a.jpg")
    supervisor = hall.supervise(once=False)
    hall.workers.before_poll = after(3, supervisor.stop)
    started_s = hall.clock.monotonic_s()
    supervisor.run()
    assert DRAIN_S <= hall.clock.monotonic_s() - started_s < DRAIN_S + 5
    put_back = hall.job(job)
    assert (put_back.state, put_back.attempts, put_back.interrupted) == (JobState.QUEUED, 0, 0)


def test_a_stop_with_nothing_in_work_ends_at_once(hall: Hall) -> None:
    """A service manager waits for it."""
    supervisor = hall.supervise(once=False)
    hall.workers.before_poll = after(2, supervisor.stop)
    started_s = hall.clock.monotonic_s()
    supervisor.run()
    assert hall.clock.monotonic_s() - started_s < 5


def test_one_run_ends_at_its_time_in_any_case(hall: Hall) -> None:
    """As if it had been stopped then."""
    hall.monitor.now(has_settled=False)
    started_s = hall.clock.monotonic_s()
    hall.supervise(once=True, timeout_s=10.0).run()
    assert 10.0 <= hall.clock.monotonic_s() - started_s < 12.0


def test_a_folders_dead_thread_is_restarted_while_the_folder_stands_by(hall: Hall) -> None:
    """With doubling pauses; `cutoutd status` says why, and the daemon goes on."""
    supervisor = hall.supervise(once=False)
    deaths: list[float] = []
    shown: list[FolderStatus] = []

    def die() -> None:
        if hall.monitor.thread.failure is None and len(deaths) < 3:
            deaths.append(hall.clock.monotonic_s())
            hall.monitor.thread.failure = ZeroDivisionError("ours")
        elif hall.monitor.thread.failure is not None:
            shown.append(hall.hot.effective_status)
        elif hall.clock.monotonic_s() > deaths[-1] + 10:
            hall.monitor.now(looks=hall.monitor.snapshot.looks + 1)
            supervisor.stop()

    hall.workers.before_poll = die
    supervisor.run()
    pauses = [later - earlier for earlier, later in pairwise(deaths)]
    assert 1.0 <= pauses[0] < 2.0 <= pauses[1] < 4.0
    assert hall.monitor.thread.starts == 1 + 3
    assert shown[-1].watching is FolderState.STANDING_BY
    assert "its monitor failed with an internal error" in shown[-1].why
    assert "ZeroDivisionError: ours" in shown[-1].why
    assert hall.hot.effective_status.is_open


def test_damage_that_a_folders_thread_meets_ends_the_daemon(hall: Hall) -> None:
    """The damage is in the journal, and no new thread would repair it."""
    supervisor = hall.supervise(once=False)

    def die() -> None:
        hall.monitor.thread.failure = JournalDamagedError("torn")

    hall.workers.before_poll = after(2, die)
    with pytest.raises(JournalDamagedError):
        supervisor.run()


def test_one_run_does_not_wait_for_a_thread_that_dies_time_after_time(hall: Hall) -> None:
    """The run ends, and names the folder among those that it could not scan."""

    def die() -> None:
        hall.monitor.thread.failure = ZeroDivisionError("ours")

    hall.workers.before_poll = die
    hall.supervisor.run()
    assert not hall.hot.effective_status.is_open


def test_a_step_of_the_delivery_that_fails_costs_no_other(hall: Hall) -> None:
    """The failure is logged, and the next picture is published."""
    (job,) = hall.accept("a.jpg")

    def explode() -> None:
        raise ZeroDivisionError

    hall.hot.delivery._tasks.submit(explode)  # noqa: SLF001 -- an internal error, wherever it is
    hall.workers.answer = hall.cut
    hall.supervisor.run()
    assert hall.job(job).state is JobState.DONE
    assert hall.hot.delivery.failure is None


def test_reports_that_the_journals_disk_refuses_are_recorded_later(hall: Hall) -> None:
    """Reports of workers are kept meanwhile, in their order, and nothing is cut twice."""
    (huge,) = hall.accept("huge.jpg")
    hall.journal.store.rows("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(hall.root / FILE_NAME, isolation_level=None)

    def answer(task: Task) -> Report:
        if task.alone:
            return hall.cut(task)
        other.execute("BEGIN IMMEDIATE")
        return NeedsRoom(pixels=60_000_000)

    hall.workers.answer = answer
    hall.workers.before_poll = after(6, lambda: other.execute("COMMIT").close())
    hall.supervisor.run()
    other.close()
    assert [(task.job, task.alone) for task in hall.workers.given] == [(huge, False), (huge, True)]
    assert hall.job(huge).state is JobState.DONE


def test_status_shows_the_present_state(hall: Hall) -> None:
    """While the daemon runs."""
    hall.supervise(once=True, status=True).run()
    shown = status_file.read(hall.root)
    assert (shown["workers"], shown["paused"]) == (2, False)
    assert shown["folders"][NAME]["watching"] == "native"


def test_a_folder_with_many_results_to_publish_gets_no_more_work(hall: Hall) -> None:
    """Staged results take disk space; it goes on once they are published."""
    jobs = hall.accept(*(f"{number}.jpg" for number in range(12)))
    waits = threading.Event()

    def hang() -> None:
        waits.wait(20.0)

    hall.hot.delivery._tasks.submit(hang)  # noqa: SLF001 -- a share that is slow
    hall.workers.answer = hall.cut
    counted: list[int] = []

    def look() -> None:
        counted.append(hall.hot.delivery.backlog)
        waits.set()

    hall.workers.before_poll = after(30, look)
    hall.supervisor.run()
    assert counted[0] <= 2 * hall.workers.size + hall.workers.size
    assert hall.supervisor.tally.done == len(jobs)


def test_a_job_whose_claim_may_have_been_written_is_not_orphaned(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a disk error at the end of a commit it is unknown whether the commit took place."""
    (job,) = hall.accept("a.jpg")
    hall.workers.answer = hall.cut
    claim, faults = hall.journal.queue.claim, [StorageError("the journal cannot be used: disk I/O error")]

    def written_and_refused(claimed: Job) -> None:
        claim(claimed)
        if faults:
            raise faults.pop()

    monkeypatch.setattr(hall.journal.queue, "claim", written_and_refused)
    hall.supervisor.run()
    assert hall.ends() == [(job, JobState.DONE)]


def test_a_source_that_seems_gone_is_doubted_until_its_folder_is_found_healthy(hall: Hall) -> None:
    """A share that goes away looks like deleted files: nothing is given up then."""
    (job,) = hall.accept("a.jpg")
    hall.monitor.is_well = False
    reports = iter([failure_of(SourceGoneError("no longer there"))])
    hall.workers.answer = lambda task: next(reports, None) or hall.cut(task)

    def come_back() -> None:
        assert (hall.job(job).state, len(hall.workers.given)) == (JobState.QUEUED, 1)
        hall.monitor.now(checks=hall.monitor.checks)

    hall.workers.before_poll = after(20, come_back)
    hall.supervisor.run()
    assert hall.ends() == [(job, JobState.DONE)]


def test_a_folder_whose_worker_waits_for_its_share_gets_no_second_one(hall: Hall) -> None:
    """The folder continues when its first worker does."""
    supervisor = hall.supervise(once=False)
    (first,) = hall.accept("a.jpg")
    hall.workers.at_a_share.add(first)

    def come_too() -> None:
        hall.accept("b.jpg")

    come = after(5, come_too)

    def let_go() -> None:
        assert [task.job for task in hall.workers.given] == [first]
        hall.workers.at_a_share.clear()

    go = after(20, let_go)

    def before_poll() -> None:
        come()
        go()
        if supervisor.tally.done == 2:
            supervisor.stop()

    hall.workers.before_poll = before_poll
    hall.workers.answer = lambda task: None if task.job in hall.workers.at_a_share else hall.cut(task)
    supervisor.run()
    assert len(hall.workers.given) == 2


def test_delayed_jobs_are_due_when_their_share_is_back(hall: Hall) -> None:
    """However long its delay would have been."""
    (job,) = hall.accept("a.jpg")
    reports = iter([failure_of(StorageError("the system says: no"))])
    hall.workers.answer = lambda task: next(reports, None) or hall.cut(task)
    hall.workers.is_quick = True
    supervisor = hall.supervise(once=False)

    def before_poll() -> None:
        if hall.ends() == [(job, JobState.RETRY)]:
            hall.monitor.now(recoveries=1)
            hall.clock.advance(0.1)  # a busy machine polls often before the delivery's thread has its turn
        if supervisor.tally.done:
            supervisor.stop()

    started_s = hall.clock.monotonic_s()
    hall.workers.before_poll = before_poll
    supervisor.run()
    assert hall.job(job).state is JobState.DONE
    assert hall.clock.monotonic_s() - started_s < StorageError.delay_s


def test_a_last_scan_that_recreates_the_staging_directory_leaves_none(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan was in progress at the end, and finishes while the delivery waits for it."""
    still_looking = [True]

    def wait(timeout_s: float) -> None:
        assert timeout_s > 0
        if still_looking:
            still_looking.clear()
            time.sleep(0.2)  # by now all that was given is done
            hall.staging.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(hall.monitor.thread, "join", wait)
    hall.hot.stop()
    assert hall.hot.delivery.join(20.0)
    assert not still_looking
    assert not hall.staging.parent.exists()


def exported(task: Task) -> Report:
    """Return a report that no honest worker sends for a task that makes a cutout."""
    facts = SourceFacts(bytes=1, sha256="0" * 64, width=1, height=1, format="JPEG", orientation=1)
    assert task.export is None
    return Exported(source=facts, bytes=1, sha256="0" * 64, width=1, height=1)


def test_a_report_of_a_kind_that_was_not_requested_is_not_trusted(hall: Hall) -> None:
    """Its picture fails, with a reason, and the others are cut."""
    bad, good = hall.accept("bad.jpg", "good.jpg")
    hall.workers.answer = lambda task: exported(task) if task.job == bad else hall.cut(task)
    hall.supervisor.run()
    assert hall.job(bad).state is JobState.FAILED
    assert "report is impossible" in hall.job(bad).detail["failure"]["cause"]
    assert hall.job(good).state is JobState.DONE


def test_a_task_that_was_withdrawn_is_queued_again_without_blame(hall: Hall) -> None:
    """Other workers serve its folder now; its staged files are removed."""
    (job,) = hall.accept("a.jpg")
    seen: list[Path] = []

    def withdraw_once(task: Task) -> Report | Withdrawn:
        seen.append(Path(task.staging))
        return hall.cut(task) if len(seen) > 1 else Withdrawn(job=task.job)

    hall.workers.answer = withdraw_once
    hall.supervisor.run()
    assert (hall.job(job).state, len(seen)) == (JobState.DONE, 2)
    assert not seen[0].exists()


def test_a_report_that_causes_an_internal_error_is_not_trusted(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An internal error affects that picture only, also if the worker died."""
    taken, lost_jobs, good = hall.accept("taken.jpg", "lost_jobs.jpg", "good.jpg")
    heard = HotFolder.note_report
    lost = Lost(job=lost_jobs, why="gone", timed_out=False, stuck=False)

    def fails(self: HotFolder, report: Report) -> None:
        if isinstance(report, Unchanged):
            raise ZeroDivisionError("ours")
        heard(self, report)

    monkeypatch.setattr(HotFolder, "note_report", fails)
    monkeypatch.setattr(Queue, "count_attempt", lambda *_: 1 // 0)
    answers: dict[int, Report | Lost] = {taken: Unchanged(sha256="0" * 64), lost_jobs: lost}
    hall.workers.answer = lambda task: answers.get(task.job) or hall.cut(task)
    hall.supervisor.run()
    assert [hall.job(job).state for job in (taken, lost_jobs)] == [JobState.FAILED, JobState.FAILED]
    assert hall.job(good).state is JobState.DONE


def test_a_job_that_cannot_be_begun_fails_alone(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job gets its record, and is not tried again and again."""
    bad, good = hall.accept("bad.jpg", "good.jpg")
    task = HotFolder.task

    def fails(self: HotFolder, job: Job) -> Task:
        if job.id == bad:
            raise OverflowError("too large")
        return task(self, job)

    monkeypatch.setattr(HotFolder, "task", fails)
    hall.workers.answer = hall.cut
    hall.supervisor.run()
    assert (hall.job(bad).state, hall.job(good).state) == (JobState.FAILED, JobState.DONE)
    assert "OverflowError: too large" in hall.job(bad).detail["failure"]["cause"]
    assert (hall.folder.output / "failed" / "bad.jpg.error.json").exists()


@pytest.mark.parametrize(
    ("verb", "argument", "why"),
    [
        ("dance", "", "knows no command"),
        ("retry", "seven", "is not the number of a job"),
        ("retry", "9" * 30, "is not the number of a job"),
        ("retry", "77", "does not exist"),
        ("accept", "", "is not the number of a job"),
        ("accept", "-1", "is not the number of a job"),
        ("reject", "77", "waits for no decision"),
    ],
)
def test_a_command_that_cannot_be_carried_out_is_answered_and_not_tried_again(
    hall: Hall, verb: str, argument: str, why: str
) -> None:
    """Later commands are carried out."""
    (job,) = hall.accept("a.jpg")
    store = Store(hall.root / FILE_NAME)
    with store.transaction():
        store.write("INSERT INTO command (verb, argument, posted_us) VALUES (?, ?, 0)", (verb, argument))
    store.close()
    hall.ask(Verb.PAUSE)
    hall.ask(Verb.RESUME)
    hall.workers.answer = hall.cut
    hall.supervisor.run()
    assert hall.job(job).state is JobState.DONE
    assert hall.journal.commands.pending() == []
    assert why in (hall.journal.commands.answer(1) or "")
    assert hall.journal.commands.answer(3) == ""
    hall.supervise(once=True).run()  # as at the next start
    assert why in (hall.journal.commands.answer(1) or "")


def test_a_command_that_causes_an_internal_error_is_answered_too(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the internal error."""
    monkeypatch.setattr(Queue, "retry_asked", lambda *_: 1 // 0)
    hall.ask(Verb.RETRY, "failed")
    hall.supervisor.run()
    assert "internal error" in (hall.journal.commands.answer(1) or "")


def test_a_command_that_a_full_disk_has_delayed_is_carried_out_later(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without waiting for another command."""
    refusals = iter([True, True, False])
    retry = Queue.retry_asked

    def refuses(self: Queue, argument: str) -> int:
        if next(refusals):
            raise JournalError("the disk is full")
        return retry(self, argument)

    monkeypatch.setattr(Queue, "retry_asked", refuses)
    hall.ask(Verb.RETRY, "failed")
    hall.supervisor.run()
    assert hall.journal.commands.answer(1) == ""


def test_jobs_in_work_at_an_unforeseen_end_are_counted(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is not put back as after an orderly end.

    The next start counts the attempt, and in the end gives the picture up.
    """
    (job,) = hall.accept("a.jpg")
    polls = iter(range(100))

    def fails() -> None:
        if next(polls) > 1:
            raise MemoryError

    monkeypatch.setattr(hall.workers, "before_poll", fails)
    with pytest.raises(MemoryError):
        hall.supervisor.run()
    assert hall.job(job).state is JobState.WORKING
    again = Journal(hall.root, session="run-2", clock=hall.clock)
    again.queue.recover()
    assert hall.job(job).interrupted == 1
    again.close()


class Knot:
    """An object that refers to itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture
def no_other_collection() -> Iterator[None]:
    """Switches automatic garbage collection off."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_other_collection")
def test_garbage_is_collected_every_minute(hall: Hall, clock: FakeClock) -> None:
    """Tested twice, so that it repeats; unneeded objects would look like a leak."""
    for _ in range(2):
        knot = weakref.ref(Knot())
        hall.supervisor._collect_garbage()  # noqa: SLF001 -- a part of each turn
        assert knot() is not None
        clock.advance(COLLECT_EVERY_S)
        hall.supervisor._collect_garbage()  # noqa: SLF001 -- likewise
        assert knot() is None
