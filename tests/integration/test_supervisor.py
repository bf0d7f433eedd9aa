"""The daemon's loop: every picture ends, whatever workers, threads, people and disks do."""

from __future__ import annotations

import gc
import json
import sqlite3
import threading
import time
import weakref
from dataclasses import replace
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
from cutoutd.folder_trouble import FolderTrouble
from cutoutd.job_options import JobOptions
from cutoutd.jobs import Cut, Exported, Failure, JobState, NeedsRoom, Quality, SourceFacts, Unchanged
from cutoutd.journal.commands import Verb
from cutoutd.journal.journal import Journal
from cutoutd.journal.queue import Queue
from cutoutd.journal.store import FILE_NAME, JournalDamagedError, Store
from cutoutd.journal.submissions import Submission
from cutoutd.protocols import Lost, Withdrawn
from tests.integration.parts import JPEG, NAME, digest
from tests.integration.supervisor_run import SupervisorRun, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cutoutd.jobs import Job, Report, Task
    from tests.conftest import FakeClock


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


def test_a_picture_that_killed_a_worker_waits_until_another_worker_has_proved_sound(
    supervisor_run: SupervisorRun,
) -> None:
    """Otherwise a broken library would use up the attempts of every picture."""
    (job,) = supervisor_run.accept("a.jpg")
    deaths: list[Lost] = []

    def die_once(task: Task) -> Report | Lost:
        if deaths:
            return supervisor_run.cut(task)
        deaths.append(lost(task))
        supervisor_run.workers.is_sound = False
        return deaths[0]

    def recover() -> None:
        assert len(supervisor_run.workers.given) == 1, "it was tried by a worker that may be as broken"
        assert supervisor_run.job(job).state is JobState.WORKING
        supervisor_run.workers.is_sound = True

    supervisor_run.workers.answer = die_once
    supervisor_run.workers.before_poll = after(20, recover)
    supervisor_run.supervisor.run()
    assert len(supervisor_run.workers.given) == 2
    assert (supervisor_run.job(job).state, supervisor_run.job(job).attempts) == (JobState.DONE, 1)


def test_a_picture_that_has_all_the_room_there_is_cannot_ask_for_more(supervisor_run: SupervisorRun) -> None:
    """Otherwise a hostile worker could block all other jobs for ever."""
    (job,) = supervisor_run.accept("a.jpg")
    supervisor_run.workers.answer = lambda _: NeedsRoom(pixels=10**9)
    supervisor_run.supervisor.run()
    assert supervisor_run.job(job).state is JobState.FAILED
    assert [task.alone for task in supervisor_run.workers.given] == [False, True]


def test_a_picture_that_killed_a_worker_is_queued_again_when_the_daemon_stops(
    supervisor_run: SupervisorRun,
) -> None:
    """The picture does not wait for workers that will not be started any more."""
    (job,) = supervisor_run.accept("a.jpg")
    supervisor_run.workers.answer = lost
    supervisor_run.workers.is_sound = False
    supervisor = supervisor_run.supervise(once=False)
    supervisor_run.workers.before_poll = after(5, supervisor.stop)
    supervisor.run()
    assert supervisor_run.job(job).state is JobState.QUEUED
    assert len(supervisor_run.workers.given) == 1


def test_pictures_are_dispatched_published_and_counted(supervisor_run: SupervisorRun) -> None:
    """Then it ends, since nothing is left to do."""
    jobs = supervisor_run.accept("a.jpg", "b.jpg", "c.jpg")
    supervisor_run.workers.answer = supervisor_run.cut
    supervisor_run.supervisor.run()
    assert [task.job for task in supervisor_run.workers.given] == jobs
    assert sorted(path.name for path in supervisor_run.folder.output.glob("*.png")) == [
        "a.png",
        "b.png",
        "c.png",
    ]
    assert supervisor_run.supervisor.tally.done == 3
    assert sorted(supervisor_run.ends()) == [(job, JobState.DONE) for job in jobs]


def test_a_worker_gets_all_it_must_know(supervisor_run: SupervisorRun) -> None:
    """The path of the picture, its version, the staging directory, and the recipe."""
    (job,) = supervisor_run.accept("sub/a.jpg")
    supervisor_run.workers.answer = supervisor_run.cut
    supervisor_run.supervisor.run()
    (task,) = supervisor_run.workers.given
    known = supervisor_run.job(job)
    assert task.source == str(supervisor_run.folder.input / "sub/a.jpg")
    assert (task.size, task.mtime_ns) == (known.size, known.mtime_ns)
    assert Path(task.staging).parent == supervisor_run.staging
    assert task.recipe == supervisor_run.folder.recipe()
    assert (task.published_sha256, task.alone) == (None, False)


@pytest.mark.parametrize("outcome", ["a cutout", "known", "a failure", "its end"])
def test_nothing_is_left_of_a_jobs_directory_whatever_becomes_of_the_job(
    supervisor_run: SupervisorRun, outcome: str
) -> None:
    """While the run goes on, since a worker may have filled it."""
    supervisor_run.accept("a.jpg")
    seen: list[Path] = []

    def answer(task: Task) -> Report | Lost | None:
        report = supervisor_run.cut(task)
        seen.append(Path(task.staging))
        assert list(seen[-1].iterdir())
        if outcome == "a cutout":
            return report
        if outcome == "known":
            return Unchanged(sha256="0" * 64)
        if outcome == "its end":
            return Lost(job=task.job, why="killed", timed_out=False, stuck=False)
        return failure_of(StorageError("the system says: no"))

    supervisor_run.workers.answer = answer
    supervisor = supervisor_run.supervise(once=False)

    def before_poll() -> None:
        if seen and not any(one.exists() for one in seen):
            supervisor.stop()

    supervisor_run.workers.before_poll = before_poll
    supervisor.run()
    assert seen
    assert supervisor_run.staging.is_dir()


def test_the_same_bytes_are_not_published_again(supervisor_run: SupervisorRun) -> None:
    """The worker knows the published hash, and reports that it is the same."""
    supervisor_run.accept("a.jpg")
    supervisor_run.workers.answer = supervisor_run.cut
    supervisor_run.supervisor.run()
    (job,) = supervisor_run.accept("a.jpg", age_s=5e5)
    supervisor_run.workers.answer = lambda _: Unchanged(sha256=digest(JPEG))
    supervisor_run.supervise(once=True).run()
    assert supervisor_run.workers.given[-1].published_sha256 == digest(JPEG)
    assert (supervisor_run.job(job).state, supervisor_run.job(job).sha256) == (
        JobState.UNCHANGED,
        digest(JPEG),
    )
    assert supervisor_run.ends()[-1] == (job, JobState.UNCHANGED)
    assert (supervisor_run.supervisor.tally.unchanged, supervisor_run.supervisor.tally.done) == (1, 0)


def test_workers_are_replaced_once_when_an_output_begins_to_refuse(supervisor_run: SupervisorRun) -> None:
    """One of them may have filled the disk with files that it keeps open, so that there would never be room again."""
    supervisor_run.accept("a.jpg", "b.jpg")
    full = Failure(
        code=FailureCode.OUTPUT,
        title="",
        cause="full",
        advice="",
        permanent=False,
        trouble=FolderTrouble.DISK_FULL,
    )

    def answer(_: Task) -> Report:
        supervisor_run.clock.advance(2.0)  # longer than between two looks at the folders
        return full

    supervisor_run.workers.answer = answer
    supervisor_run.supervisor.run()
    assert supervisor_run.workers.recycled == 1
    status = supervisor_run.hot.effective_status
    assert (status.watching, status.trouble) == (FolderState.PAUSED, FolderTrouble.DISK_FULL)


def test_a_huge_picture_is_dispatched_again_while_no_other_is_in_work(supervisor_run: SupervisorRun) -> None:
    """The pictures before it are finished first."""
    huge, *others = supervisor_run.accept("huge.jpg", "b.jpg", "c.jpg")
    supervisor_run.workers.answer = lambda task: (
        NeedsRoom(pixels=60_000_000) if task.job == huge and not task.alone else supervisor_run.cut(task)
    )
    supervisor_run.supervisor.run()
    assert [(task.job, task.alone) for task in supervisor_run.workers.given] == [
        (huge, False),
        *((job, False) for job in others),
        (huge, True),
    ]
    assert supervisor_run.workers.beside[-1] == set()
    assert supervisor_run.supervisor.tally.done == 3


def test_nothing_is_begun_beside_a_picture_that_must_run_alone(supervisor_run: SupervisorRun) -> None:
    """The huge picture has the memory of all workers; other pictures wait."""
    (huge,) = supervisor_run.accept("huge.jpg")
    polls = iter(range(8))

    def answer(task: Task) -> Report | None:
        if task.job != huge:
            return supervisor_run.cut(task)
        if not task.alone:
            return NeedsRoom(pixels=60_000_000)
        return None if next(polls, None) is not None else supervisor_run.cut(task)

    def accept_another() -> None:
        supervisor_run.accept("b.jpg")

    supervisor_run.workers.answer = answer
    supervisor_run.workers.before_poll = after(4, accept_another)
    supervisor_run.supervisor.run()
    assert supervisor_run.supervisor.tally.done == 2
    assert all(huge not in beside for beside in supervisor_run.workers.beside)


def test_a_picture_that_cannot_be_cut_is_given_up_with_its_reason(supervisor_run: SupervisorRun) -> None:
    """At once, in a run that ends by itself."""
    (job,) = supervisor_run.accept("a.jpg", age_s=1.0)
    supervisor_run.workers.answer = lambda _: failure_of(PictureError("it is cut short"))
    supervisor_run.supervisor.run()
    assert supervisor_run.job(job).state is JobState.FAILED
    assert (supervisor_run.folder.output / "failed/a.jpg.error.json").exists()
    assert supervisor_run.supervisor.tally.failed == 1
    assert len(supervisor_run.workers.given) == 1


def test_a_fresh_picture_that_looks_damaged_is_tried_again_by_a_daemon(supervisor_run: SupervisorRun) -> None:
    """The file may only be incomplete, and is cut as soon as possible."""
    (job,) = supervisor_run.accept("a.jpg", age_s=1.0)
    reports: Iterator[Report] = iter([failure_of(PictureError("it is cut short"))] * 2)
    supervisor_run.workers.answer = lambda task: next(reports, None) or supervisor_run.cut(task)
    supervisor = supervisor_run.supervise(once=False)
    supervisor_run.workers.before_poll = lambda: supervisor.stop() if supervisor.tally.done else None
    supervisor.run()
    assert supervisor_run.ends() == [(job, JobState.RETRY), (job, JobState.RETRY), (job, JobState.DONE)]
    assert supervisor_run.job(job).tries == 2
    assert "may not be complete yet, so this one is tried again" in supervisor_run.heard.results[0].advice
    assert supervisor_run.heard.results[2].advice == ""


def test_a_picture_refused_by_its_header_is_not_tried_again(supervisor_run: SupervisorRun) -> None:
    """However new the file is."""
    supervisor_run.accept("a.jpg", age_s=1.0)
    supervisor_run.workers.answer = lambda _: failure_of(LimitError("it is too large"))
    supervisor = supervisor_run.supervise(once=False)
    supervisor_run.workers.before_poll = lambda: supervisor.stop() if supervisor.tally.failed else None
    supervisor.run()
    assert len(supervisor_run.workers.given) == 1


def test_a_passing_fault_is_left_for_later(supervisor_run: SupervisorRun) -> None:
    """A run with --once ends without it; nothing is lost."""
    (job,) = supervisor_run.accept("a.jpg")
    supervisor_run.workers.answer = lambda _: failure_of(StorageError("the system says: no"))
    supervisor_run.supervisor.run()
    assert supervisor_run.job(job).state is JobState.RETRY
    assert supervisor_run.job(job).detail["failure"]["cause"] == "the system says: no"
    assert supervisor_run.ends() == [(job, JobState.RETRY)]
    assert supervisor_run.supervisor.tally.failed == 0
    assert supervisor_run.monitor.checks == 1


def test_a_source_that_is_gone_is_checked_once_more(supervisor_run: SupervisorRun) -> None:
    """A newer version may be there; this one is forgotten."""
    (job,) = supervisor_run.accept("a.jpg")
    version = supervisor_run.job(job).version
    supervisor_run.workers.answer = lambda _: failure_of(SourceGoneError("it was replaced"))
    supervisor_run.supervisor.run()
    assert supervisor_run.job(job).state is JobState.GONE
    assert supervisor_run.monitor.looked_at == ["a.jpg"]
    assert not supervisor_run.journal.sources.is_known(NAME, version)


def test_a_source_that_was_missing_before_its_folder_was_away_is_checked_again(
    supervisor_run: SupervisorRun,
) -> None:
    """Its folder's place was taken by another directory twice; before, the second time counted as the proof of the first."""
    (job,) = supervisor_run.accept("a.jpg")
    missing = iter([1, 2, 3])

    def answer(task: Task) -> Report:
        if (time := next(missing, None)) is None:
            return supervisor_run.cut(task)
        supervisor_run.monitor.now(recoveries=time)
        return failure_of(SourceGoneError("another directory is there"))

    supervisor_run.workers.answer = answer
    supervisor_run.supervisor.run()
    assert supervisor_run.job(job).state is JobState.DONE


def test_a_sidecar_that_another_machine_kept_from_being_told_is_told_once_the_folder_is_back(
    supervisor_run: SupervisorRun,
) -> None:
    """That a person accepted the cutout; before, only a restart told it."""
    (job,) = supervisor_run.accept("a.jpg")
    unsure = Quality(score=0.5, reasons=("a part may be missing",))

    def cut(task: Task) -> Report:
        done = supervisor_run.cut(task)
        assert isinstance(done, Cut)
        return replace(done, quality=unsure)

    supervisor_run.workers.answer = cut
    supervisor_run.supervisor.run()
    sidecar = supervisor_run.folder.output / "a.png.json"
    assert json.loads(sidecar.read_bytes())["quality"]["doubtful"]
    decisions = supervisor_run.journal.review_decisions
    assert decisions.confirm(job)
    supervisor_run.monitor.now(recoveries=1)
    supervisor_run.supervise(once=True).run()
    assert not json.loads(sidecar.read_bytes())["quality"]["doubtful"]
    assert decisions.sidecars_behind(NAME) == []


def test_a_worker_may_die_over_a_picture_once(supervisor_run: SupervisorRun) -> None:
    """The first death may be accidental."""
    (job,) = supervisor_run.accept("a.jpg")
    deaths = iter([1])
    supervisor_run.workers.answer = lambda task: (
        lost(task) if next(deaths, None) else supervisor_run.cut(task)
    )
    supervisor_run.supervisor.run()
    assert (supervisor_run.job(job).state, supervisor_run.job(job).attempts) == (JobState.DONE, 1)


@pytest.mark.parametrize(("timed_out", "why"), [(False, "SIGSEGV"), (True, "job_timeout_s")])
def test_a_picture_that_two_workers_died_over_is_given_up(
    supervisor_run: SupervisorRun, why: str, *, timed_out: bool
) -> None:
    """With the reasons of their ends."""
    bad, good = supervisor_run.accept("bad.jpg", "good.jpg")
    supervisor_run.workers.answer = lambda task: (
        lost(task, timed_out=timed_out) if task.job == bad else supervisor_run.cut(task)
    )
    supervisor_run.supervisor.run()
    assert [task.job for task in supervisor_run.workers.given].count(bad) == 2
    failure = supervisor_run.job(bad).detail["failure"]
    assert (supervisor_run.job(bad).state, failure["code"]) == (JobState.FAILED, "Lost")
    assert why in failure["cause"]
    assert "2 times" in failure["cause"]
    assert supervisor_run.job(good).state is JobState.DONE


def test_a_worker_that_is_stuck_closes_the_folder_and_blames_no_picture(
    supervisor_run: SupervisorRun,
) -> None:
    """Its share hangs; its jobs wait until the folder was checked again."""
    stuck, waits = supervisor_run.accept("a.jpg", "b.jpg")
    supervisor_run.workers = _one_at_a_time(supervisor_run)
    deaths = iter(range(5))
    supervisor_run.monitor.is_well = False
    supervisor_run.workers.answer = lambda task: (
        lost(task, stuck=True, timed_out=True) if next(deaths, None) is not None else None
    )
    supervisor_run.supervise(once=True, timeout_s=30.0).run()
    assert supervisor_run.hot.status.watching is FolderState.STANDING_BY
    assert "does not answer" in supervisor_run.hot.status.why
    assert supervisor_run.monitor.checks == 1
    assert (supervisor_run.job(stuck).tries, supervisor_run.job(stuck).attempts) == (1, 0)
    assert supervisor_run.job(waits).state is JobState.QUEUED
    assert len(supervisor_run.workers.given) == 1
    supervisor_run.monitor.now(checks=supervisor_run.monitor.checks)
    supervisor_run.workers.answer = supervisor_run.cut
    supervisor_run.supervise(once=True).run()
    assert supervisor_run.supervisor.tally.done == 2


def test_a_folder_that_a_worker_got_stuck_in_is_closed_at_once(supervisor_run: SupervisorRun) -> None:
    """The next job would cost another worker."""
    assert supervisor_run.hot.may_work(2)
    supervisor_run.monitor.is_well = False
    (job,) = supervisor_run.accept("a.jpg")
    task = supervisor_run.hot.task(supervisor_run.job(job))
    supervisor_run.hot.note_stuck(supervisor_run.job(job), lost(task, stuck=True))
    assert not supervisor_run.hot.may_work(2)


def test_a_folder_whose_scan_does_not_end_is_closed_until_it_does(supervisor_run: SupervisorRun) -> None:
    """This is the only sign of a share that hangs."""
    supervisor_run.accept("a.jpg")
    supervisor_run.workers.answer = supervisor_run.cut
    supervisor_run.monitor.now(looking_since_s=supervisor_run.clock.monotonic_s() - HANGS_AFTER_S - 1)

    def come_back() -> None:
        assert supervisor_run.workers.given == []
        assert supervisor_run.hot.status.watching is FolderState.STANDING_BY
        supervisor_run.monitor.now(looking_since_s=None)

    supervisor = supervisor_run.supervise(once=False)
    back = after(5, come_back)

    def before_poll() -> None:
        back()
        if supervisor.tally.done:
            supervisor.stop()

    supervisor_run.workers.before_poll = before_poll
    supervisor.run()
    assert supervisor_run.supervisor.tally.done == 1


def _one_at_a_time(supervisor_run: SupervisorRun) -> Workers:
    """Return a pool with one worker."""
    return Workers(supervisor_run.clock, size=1)


def test_nothing_is_begun_in_a_folder_that_stands_by(supervisor_run: SupervisorRun) -> None:
    """A run with --once ends all the same."""
    (job,) = supervisor_run.accept("a.jpg")
    supervisor_run.monitor.stand_by("the share is away")
    supervisor_run.supervisor.run()
    assert supervisor_run.workers.given == []
    assert supervisor_run.job(job).state is JobState.QUEUED


def test_a_run_waits_until_the_folder_has_settled(supervisor_run: SupervisorRun) -> None:
    """Files may not have reached the journal yet."""
    supervisor_run.monitor.now(has_settled=False)
    supervisor_run.workers.answer = supervisor_run.cut

    def settle() -> None:
        supervisor_run.accept("a.jpg")
        supervisor_run.monitor.now(has_settled=True)

    supervisor_run.workers.before_poll = after(5, settle)
    supervisor_run.supervisor.run()
    assert supervisor_run.supervisor.tally.done == 1


def test_pause_holds_new_work_back_and_resume_lets_it_go_on(supervisor_run: SupervisorRun) -> None:
    """Jobs in work are finished; both commands take effect while the daemon runs."""
    supervisor_run.workers = _one_at_a_time(supervisor_run)
    supervisor = supervisor_run.supervise(once=False)
    first, second = supervisor_run.accept("a.jpg", "b.jpg")
    seen: list[list[int]] = []
    polls = iter(range(4))

    def answer(task: Task) -> Report | None:
        if task.job == second:
            return supervisor_run.cut(task)
        return None if next(polls, None) is not None else supervisor_run.cut(task)

    def resume() -> None:
        seen.append([task.job for task in supervisor_run.workers.given])
        assert supervisor_run.journal.commands.is_paused()
        supervisor_run.ask(Verb.RESUME)

    pause = after(1, lambda: supervisor_run.ask(Verb.PAUSE))
    count = after(40, resume)

    def before_poll() -> None:
        pause()
        count()
        if supervisor.tally.done == 2:
            supervisor.stop()

    supervisor_run.workers.answer, supervisor_run.workers.before_poll = answer, before_poll
    supervisor.run()
    assert seen == [[first]]
    assert [task.job for task in supervisor_run.workers.given] == [first, second]
    assert not supervisor_run.journal.commands.is_paused()
    assert supervisor_run.journal.commands.pending() == []


def test_a_pause_outlives_the_daemon(supervisor_run: SupervisorRun) -> None:
    """Until somebody resumes; a run with --once reports what is left and ends."""
    (job,) = supervisor_run.accept("a.jpg")
    supervisor_run.journal.commands.set_paused(paused=True)
    supervisor_run.workers.answer = supervisor_run.cut
    supervisor_run.supervise(once=True).run()
    assert supervisor_run.job(job).state is JobState.QUEUED
    supervisor_run.ask(Verb.RESUME)
    supervisor_run.supervise(once=True).run()
    assert supervisor_run.job(job).state is JobState.DONE


@pytest.mark.parametrize("argument", ["1", "failed"])
def test_retry_cuts_a_picture_again_by_a_persons_wish(supervisor_run: SupervisorRun, argument: str) -> None:
    """Also if its bytes are known; an event reports that more pictures wait."""
    (job,) = supervisor_run.accept("a.jpg")
    supervisor_run.workers.answer = supervisor_run.cut
    supervisor_run.supervisor.run()
    if argument == "failed":
        supervisor_run.journal.queue.finish(job, JobState.FAILED, detail={})
    supervisor_run.ask(Verb.RETRY, argument)
    supervisor_run.supervise(once=True).run()
    assert [task.published_sha256 for task in supervisor_run.workers.given] == [None, None]
    assert supervisor_run.heard.count == 1
    assert [path.name for path in supervisor_run.folder.output.glob("*.png")] == ["a.png"]


def test_a_submission_is_given_to_its_folder_or_waits_for_it(supervisor_run: SupervisorRun) -> None:
    """A removed folder may be back after the next reload, so the submission is kept."""
    submissions = supervisor_run.journal.submissions
    for key, folder in (("here", NAME), ("nowhere", "other")):
        submissions.post(Submission(key=key, folder=folder, spool="x", name="a.jpg", options=JobOptions()))
    supervisor_run.supervise(once=True).run()
    assert [one.key for one in submissions.pending("other")] == ["nowhere"]
    assert [one.key for one in submissions.pending(NAME)] == ["here"]
    assert supervisor_run.monitor.submissions == 1
    assert supervisor_run.journal.commands.pending() == []


def test_submissions_while_the_workers_are_busy_are_accepted_together(supervisor_run: SupervisorRun) -> None:
    """Without a delay once workers are free, and after a moment at the latest."""
    handler = CommandHandler(supervisor_run.journal, supervisor_run.folder_set, supervisor_run.heard)
    submissions = supervisor_run.journal.submissions
    for key in ("a", "b"):
        submissions.post(Submission(key=key, folder=NAME, spool="x", name="a.jpg", options=JobOptions()))
        handler.poll()
        assert handler.take_submissions(is_work_wanted=False)
    assert supervisor_run.monitor.submissions == 0
    assert not handler.take_submissions(is_work_wanted=True)
    assert supervisor_run.monitor.submissions == 1
    handler.poll()
    assert not handler.take_submissions(is_work_wanted=True)
    assert supervisor_run.monitor.submissions == 1  # each is handed on once


def test_no_submission_waits_for_the_workers_for_long(
    supervisor_run: SupervisorRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large pictures may keep them busy for minutes; the client is told of the acceptance."""
    monkeypatch.setattr(commands, "TOGETHER_S", 0.0)
    handler = CommandHandler(supervisor_run.journal, supervisor_run.folder_set, supervisor_run.heard)
    supervisor_run.journal.submissions.post(
        Submission(key="a", folder=NAME, spool="x", name="a.jpg", options=JobOptions())
    )
    handler.poll()
    assert not handler.take_submissions(is_work_wanted=False)
    assert supervisor_run.monitor.submissions == 1


def test_the_commands_of_submissions_are_removed_together(
    supervisor_run: SupervisorRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a second, or at the end of the run; the next run forwards one that a crash left."""
    submissions = supervisor_run.journal.submissions
    for key in ("a", "b"):
        submissions.post(Submission(key=key, folder=NAME, spool="x", name="a.jpg", options=JobOptions()))
    for _ in range(2):
        handler = CommandHandler(supervisor_run.journal, supervisor_run.folder_set, supervisor_run.heard)
        handler.poll()
        assert not handler.take_submissions(is_work_wanted=True)
        assert len(supervisor_run.journal.commands.pending()) == 2
    assert supervisor_run.monitor.submissions == 2
    monkeypatch.setattr(commands, "HANDED_ON_S", 0.0)
    handler.poll()
    assert supervisor_run.journal.commands.pending() == []


def test_an_idle_worker_asks_for_submissions(supervisor_run: SupervisorRun) -> None:
    """Submitted pictures are accepted at once while a worker is idle, and together otherwise."""
    supervisor_run.workers = _one_at_a_time(supervisor_run)
    supervisor = supervisor_run.supervise(once=True)
    supervisor_run.accept("a.jpg", "b.jpg")
    wanted: list[bool] = []

    def answer(task: Task) -> Report:
        wanted.append(supervisor._dispatcher.is_work_wanted)  # noqa: SLF001 -- what it tells
        return supervisor_run.cut(task)

    supervisor_run.workers.answer = answer
    supervisor.run()
    assert wanted == [False, False]
    assert supervisor._dispatcher.is_work_wanted  # noqa: SLF001 -- likewise


def test_a_stop_finishes_what_is_in_work_and_begins_nothing(supervisor_run: SupervisorRun) -> None:
    """Within its time limit."""
    supervisor_run.workers = _one_at_a_time(supervisor_run)
    supervisor = supervisor_run.supervise(once=False)
    first, second = supervisor_run.accept("a.jpg", "b.jpg")
    polls = iter(range(10))

    def answer(task: Task) -> Report | None:
        supervisor.stop()
        return None if next(polls, None) is not None else supervisor_run.cut(task)

    supervisor_run.workers.answer = answer
    started_s = supervisor_run.clock.monotonic_s()
    supervisor.run()
    assert supervisor_run.clock.monotonic_s() - started_s < DRAIN_S
    assert supervisor_run.job(first).state is JobState.DONE
    assert supervisor_run.job(second).state is JobState.QUEUED


def test_a_stop_puts_back_what_takes_too_long(supervisor_run: SupervisorRun) -> None:
    """Nothing is to blame, so no attempt is counted."""
    (job,) = supervisor_run.accept("a.jpg")
    supervisor = supervisor_run.supervise(once=False)
    supervisor_run.workers.before_poll = after(3, supervisor.stop)
    started_s = supervisor_run.clock.monotonic_s()
    supervisor.run()
    assert DRAIN_S <= supervisor_run.clock.monotonic_s() - started_s < DRAIN_S + 5
    put_back = supervisor_run.job(job)
    assert (put_back.state, put_back.attempts, put_back.interrupted) == (JobState.QUEUED, 0, 0)


def test_a_stop_with_nothing_in_work_ends_at_once(supervisor_run: SupervisorRun) -> None:
    """A service manager waits for it."""
    supervisor = supervisor_run.supervise(once=False)
    supervisor_run.workers.before_poll = after(2, supervisor.stop)
    started_s = supervisor_run.clock.monotonic_s()
    supervisor.run()
    assert supervisor_run.clock.monotonic_s() - started_s < 5


def test_one_run_ends_at_its_time_in_any_case(supervisor_run: SupervisorRun) -> None:
    """As if it had been stopped then."""
    supervisor_run.monitor.now(has_settled=False)
    started_s = supervisor_run.clock.monotonic_s()
    supervisor_run.supervise(once=True, timeout_s=10.0).run()
    assert 10.0 <= supervisor_run.clock.monotonic_s() - started_s < 12.0


def test_a_folders_dead_thread_is_restarted_while_the_folder_stands_by(supervisor_run: SupervisorRun) -> None:
    """With doubling pauses; `cutoutd status` says why, and the daemon goes on."""
    supervisor = supervisor_run.supervise(once=False)
    deaths: list[float] = []
    shown: list[FolderStatus] = []

    def die() -> None:
        if supervisor_run.monitor.thread.failure is None and len(deaths) < 3:
            deaths.append(supervisor_run.clock.monotonic_s())
            supervisor_run.monitor.thread.failure = ZeroDivisionError("ours")
        elif supervisor_run.monitor.thread.failure is not None:
            shown.append(supervisor_run.hot.effective_status)
        elif supervisor_run.clock.monotonic_s() > deaths[-1] + 10:
            supervisor_run.monitor.now(looks=supervisor_run.monitor.snapshot.looks + 1)
            supervisor.stop()

    supervisor_run.workers.before_poll = die
    supervisor.run()
    pauses = [later - earlier for earlier, later in pairwise(deaths)]
    assert 1.0 <= pauses[0] < 2.0 <= pauses[1] < 4.0
    assert supervisor_run.monitor.thread.starts == 1 + 3
    assert supervisor_run.monitor.checks == 3  # the next look by schedule may be a minute away
    assert shown[-1].watching is FolderState.STANDING_BY
    assert "its monitor failed with an internal error" in shown[-1].why
    assert "ZeroDivisionError: ours" in shown[-1].why
    assert supervisor_run.hot.effective_status.is_open


def test_damage_that_a_folders_thread_meets_ends_the_daemon(supervisor_run: SupervisorRun) -> None:
    """The damage is in the journal, and no new thread would repair it."""
    supervisor = supervisor_run.supervise(once=False)

    def die() -> None:
        supervisor_run.monitor.thread.failure = JournalDamagedError("torn")

    supervisor_run.workers.before_poll = after(2, die)
    with pytest.raises(JournalDamagedError):
        supervisor.run()


def test_one_run_does_not_wait_for_a_thread_that_dies_time_after_time(supervisor_run: SupervisorRun) -> None:
    """The run ends, and names the folder among those that it could not scan."""

    def die() -> None:
        supervisor_run.monitor.thread.failure = ZeroDivisionError("ours")

    supervisor_run.workers.before_poll = die
    supervisor_run.supervisor.run()
    assert not supervisor_run.hot.effective_status.is_open


def test_a_step_of_the_delivery_that_fails_costs_no_other(supervisor_run: SupervisorRun) -> None:
    """The failure is logged, and the next picture is published."""
    (job,) = supervisor_run.accept("a.jpg")

    def explode() -> None:
        raise ZeroDivisionError

    supervisor_run.hot.delivery._tasks.submit(explode)  # noqa: SLF001 -- an internal error, wherever it is
    supervisor_run.workers.answer = supervisor_run.cut
    supervisor_run.supervisor.run()
    assert supervisor_run.job(job).state is JobState.DONE
    assert supervisor_run.hot.delivery.failure is None


def test_reports_that_the_journals_disk_refuses_are_recorded_later(supervisor_run: SupervisorRun) -> None:
    """Reports of workers are kept meanwhile, in their order, and nothing is cut twice."""
    (huge,) = supervisor_run.accept("huge.jpg")
    supervisor_run.journal.store.rows("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(supervisor_run.root / FILE_NAME, isolation_level=None)

    def answer(task: Task) -> Report:
        if task.alone:
            return supervisor_run.cut(task)
        other.execute("BEGIN IMMEDIATE")
        return NeedsRoom(pixels=60_000_000)

    supervisor_run.workers.answer = answer
    supervisor_run.workers.before_poll = after(6, lambda: other.execute("COMMIT").close())
    supervisor_run.supervisor.run()
    other.close()
    assert [(task.job, task.alone) for task in supervisor_run.workers.given] == [(huge, False), (huge, True)]
    assert supervisor_run.job(huge).state is JobState.DONE


def test_status_shows_the_present_state(supervisor_run: SupervisorRun) -> None:
    """While the daemon runs."""
    supervisor_run.supervise(once=True, status=True).run()
    shown = status_file.read(supervisor_run.root)
    assert (shown["workers"], shown["paused"]) == (2, False)
    assert shown["folders"][NAME]["watching"] == "native"


def test_a_folder_with_many_results_to_publish_gets_no_more_work(supervisor_run: SupervisorRun) -> None:
    """Staged results take disk space; it goes on once they are published."""
    jobs = supervisor_run.accept(*(f"{number}.jpg" for number in range(12)))
    waits = threading.Event()

    def hang() -> None:
        waits.wait(20.0)

    supervisor_run.hot.delivery._tasks.submit(hang)  # noqa: SLF001 -- a share that is slow
    supervisor_run.workers.answer = supervisor_run.cut
    counted: list[int] = []

    def look() -> None:
        counted.append(supervisor_run.hot.delivery.backlog)
        waits.set()

    supervisor_run.workers.before_poll = after(30, look)
    supervisor_run.supervisor.run()
    assert counted[0] <= 2 * supervisor_run.workers.size + supervisor_run.workers.size
    assert supervisor_run.supervisor.tally.done == len(jobs)


def test_a_job_whose_claim_may_have_been_written_is_not_orphaned(
    supervisor_run: SupervisorRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a disk error at the end of a commit it is unknown whether the commit took place."""
    (job,) = supervisor_run.accept("a.jpg")
    supervisor_run.workers.answer = supervisor_run.cut
    claim, faults = (
        supervisor_run.journal.queue.claim,
        [StorageError("the journal cannot be used: disk I/O error")],
    )

    def written_and_refused(claimed: Job) -> None:
        claim(claimed)
        if faults:
            raise faults.pop()

    monkeypatch.setattr(supervisor_run.journal.queue, "claim", written_and_refused)
    supervisor_run.supervisor.run()
    assert supervisor_run.ends() == [(job, JobState.DONE)]


def test_a_source_that_seems_gone_is_doubted_until_its_folder_is_found_healthy(
    supervisor_run: SupervisorRun,
) -> None:
    """A share that goes away looks like deleted files: nothing is given up then."""
    (job,) = supervisor_run.accept("a.jpg")
    supervisor_run.monitor.is_well = False
    reports = iter([failure_of(SourceGoneError("no longer there"))])
    supervisor_run.workers.answer = lambda task: next(reports, None) or supervisor_run.cut(task)

    def come_back() -> None:
        assert (supervisor_run.job(job).state, len(supervisor_run.workers.given)) == (JobState.QUEUED, 1)
        supervisor_run.monitor.now(checks=supervisor_run.monitor.checks)

    supervisor_run.workers.before_poll = after(20, come_back)
    supervisor_run.supervisor.run()
    assert supervisor_run.ends() == [(job, JobState.DONE)]


def test_a_folder_whose_worker_waits_for_its_share_gets_no_second_one(supervisor_run: SupervisorRun) -> None:
    """The folder continues when its first worker does."""
    supervisor = supervisor_run.supervise(once=False)
    (first,) = supervisor_run.accept("a.jpg")
    supervisor_run.workers.at_a_share.add(first)

    def come_too() -> None:
        supervisor_run.accept("b.jpg")

    come = after(5, come_too)

    def let_go() -> None:
        assert [task.job for task in supervisor_run.workers.given] == [first]
        supervisor_run.workers.at_a_share.clear()

    go = after(20, let_go)

    def before_poll() -> None:
        come()
        go()
        if supervisor.tally.done == 2:
            supervisor.stop()

    supervisor_run.workers.before_poll = before_poll
    supervisor_run.workers.answer = lambda task: (
        None if task.job in supervisor_run.workers.at_a_share else supervisor_run.cut(task)
    )
    supervisor.run()
    assert len(supervisor_run.workers.given) == 2


def test_delayed_jobs_are_due_when_their_share_is_back(supervisor_run: SupervisorRun) -> None:
    """However long its delay would have been."""
    (job,) = supervisor_run.accept("a.jpg")
    reports = iter([failure_of(StorageError("the system says: no"))])
    supervisor_run.workers.answer = lambda task: next(reports, None) or supervisor_run.cut(task)
    supervisor_run.workers.is_quick = True
    supervisor = supervisor_run.supervise(once=False)

    def before_poll() -> None:
        if supervisor_run.ends() == [(job, JobState.RETRY)]:
            supervisor_run.monitor.now(recoveries=1)
            supervisor_run.clock.advance(
                0.1
            )  # a busy machine polls often before the delivery's thread has its turn
        if supervisor.tally.done:
            supervisor.stop()

    started_s = supervisor_run.clock.monotonic_s()
    supervisor_run.workers.before_poll = before_poll
    supervisor.run()
    assert supervisor_run.job(job).state is JobState.DONE
    assert supervisor_run.clock.monotonic_s() - started_s < StorageError.delay_s


def test_a_last_scan_that_recreates_the_staging_directory_leaves_none(
    supervisor_run: SupervisorRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan was in progress at the end, and finishes while the delivery waits for it."""
    still_looking = [True]

    def wait(timeout_s: float) -> None:
        assert timeout_s > 0
        if still_looking:
            still_looking.clear()
            time.sleep(0.2)  # by now all that was given is done
            supervisor_run.staging.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(supervisor_run.monitor.thread, "join", wait)
    supervisor_run.hot.stop()
    assert supervisor_run.hot.delivery.join(20.0)
    assert not still_looking
    assert not supervisor_run.staging.parent.exists()


def exported(task: Task) -> Report:
    """Return a report that no honest worker sends for a task that makes a cutout."""
    facts = SourceFacts(bytes=1, sha256="0" * 64, width=1, height=1, format="JPEG", orientation=1)
    assert task.export is None
    return Exported(source=facts, bytes=1, sha256="0" * 64, width=1, height=1)


def test_a_report_of_a_kind_that_was_not_requested_is_not_trusted(supervisor_run: SupervisorRun) -> None:
    """Its picture fails, with a reason, and the others are cut."""
    bad, good = supervisor_run.accept("bad.jpg", "good.jpg")
    supervisor_run.workers.answer = lambda task: (
        exported(task) if task.job == bad else supervisor_run.cut(task)
    )
    supervisor_run.supervisor.run()
    assert supervisor_run.job(bad).state is JobState.FAILED
    assert "report is impossible" in supervisor_run.job(bad).detail["failure"]["cause"]
    assert supervisor_run.job(good).state is JobState.DONE


def test_a_task_that_was_withdrawn_is_queued_again_without_blame(supervisor_run: SupervisorRun) -> None:
    """Other workers serve its folder now; its staged files are removed."""
    (job,) = supervisor_run.accept("a.jpg")
    seen: list[Path] = []

    def withdraw_once(task: Task) -> Report | Withdrawn:
        seen.append(Path(task.staging))
        return supervisor_run.cut(task) if len(seen) > 1 else Withdrawn(job=task.job)

    supervisor_run.workers.answer = withdraw_once
    supervisor_run.supervisor.run()
    assert (supervisor_run.job(job).state, len(seen)) == (JobState.DONE, 2)
    assert not seen[0].exists()


def test_a_report_that_causes_an_internal_error_is_not_trusted(
    supervisor_run: SupervisorRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An internal error affects that picture only, also if the worker died."""
    taken, lost_jobs, good = supervisor_run.accept("taken.jpg", "lost_jobs.jpg", "good.jpg")
    heard = HotFolder.note_report
    lost = Lost(job=lost_jobs, why="gone", timed_out=False, stuck=False)

    def fails(self: HotFolder, report: Report) -> None:
        if isinstance(report, Unchanged):
            raise ZeroDivisionError("ours")
        heard(self, report)

    monkeypatch.setattr(HotFolder, "note_report", fails)
    monkeypatch.setattr(Queue, "count_attempt", lambda *_: 1 // 0)
    answers: dict[int, Report | Lost] = {taken: Unchanged(sha256="0" * 64), lost_jobs: lost}
    supervisor_run.workers.answer = lambda task: answers.get(task.job) or supervisor_run.cut(task)
    supervisor_run.supervisor.run()
    assert [supervisor_run.job(job).state for job in (taken, lost_jobs)] == [JobState.FAILED, JobState.FAILED]
    assert supervisor_run.job(good).state is JobState.DONE


def test_a_job_that_cannot_be_begun_fails_alone(
    supervisor_run: SupervisorRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job gets its record, and is not tried again and again."""
    bad, good = supervisor_run.accept("bad.jpg", "good.jpg")
    task = HotFolder.task

    def fails(self: HotFolder, job: Job) -> Task:
        if job.id == bad:
            raise OverflowError("too large")
        return task(self, job)

    monkeypatch.setattr(HotFolder, "task", fails)
    supervisor_run.workers.answer = supervisor_run.cut
    supervisor_run.supervisor.run()
    assert (supervisor_run.job(bad).state, supervisor_run.job(good).state) == (JobState.FAILED, JobState.DONE)
    assert "OverflowError: too large" in supervisor_run.job(bad).detail["failure"]["cause"]
    assert (supervisor_run.folder.output / "failed" / "bad.jpg.error.json").exists()


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
    supervisor_run: SupervisorRun, verb: str, argument: str, why: str
) -> None:
    """Later commands are carried out."""
    (job,) = supervisor_run.accept("a.jpg")
    store = Store(supervisor_run.root / FILE_NAME)
    with store.transaction():
        store.write("INSERT INTO command (verb, argument, posted_us) VALUES (?, ?, 0)", (verb, argument))
    store.close()
    supervisor_run.ask(Verb.PAUSE)
    supervisor_run.ask(Verb.RESUME)
    supervisor_run.workers.answer = supervisor_run.cut
    supervisor_run.supervisor.run()
    assert supervisor_run.job(job).state is JobState.DONE
    assert supervisor_run.journal.commands.pending() == []
    assert why in (supervisor_run.journal.commands.answer(1) or "")
    assert supervisor_run.journal.commands.answer(3) == ""
    supervisor_run.supervise(once=True).run()  # as at the next start
    assert why in (supervisor_run.journal.commands.answer(1) or "")


def test_a_command_that_causes_an_internal_error_is_answered_too(
    supervisor_run: SupervisorRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the internal error."""
    monkeypatch.setattr(Queue, "retry_asked", lambda *_: 1 // 0)
    supervisor_run.ask(Verb.RETRY, "failed")
    supervisor_run.supervisor.run()
    assert "internal error" in (supervisor_run.journal.commands.answer(1) or "")


def test_a_command_that_a_full_disk_has_delayed_is_carried_out_later(
    supervisor_run: SupervisorRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without waiting for another command."""
    refusals = iter([True, True, False])
    retry = Queue.retry_asked

    def refuses(self: Queue, argument: str) -> int:
        if next(refusals):
            raise JournalError("the disk is full")
        return retry(self, argument)

    monkeypatch.setattr(Queue, "retry_asked", refuses)
    supervisor_run.ask(Verb.RETRY, "failed")
    supervisor_run.supervisor.run()
    assert supervisor_run.journal.commands.answer(1) == ""


def test_jobs_in_work_at_an_unforeseen_end_are_counted(
    supervisor_run: SupervisorRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is not put back as after an orderly end.

    The next start counts the attempt, and in the end gives the picture up.
    """
    (job,) = supervisor_run.accept("a.jpg")
    polls = iter(range(100))

    def fails() -> None:
        if next(polls) > 1:
            raise MemoryError

    monkeypatch.setattr(supervisor_run.workers, "before_poll", fails)
    with pytest.raises(MemoryError):
        supervisor_run.supervisor.run()
    assert supervisor_run.job(job).state is JobState.WORKING
    again = Journal(supervisor_run.root, session="run-2", clock=supervisor_run.clock)
    again.queue.recover()
    assert supervisor_run.job(job).interrupted == 1
    again.close()


class SelfReference:
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
def test_garbage_is_collected_every_minute(supervisor_run: SupervisorRun, clock: FakeClock) -> None:
    """Tested twice, so that it repeats; unneeded objects would look like a leak."""
    for _ in range(2):
        knot = weakref.ref(SelfReference())
        supervisor_run.supervisor._collect_garbage()  # noqa: SLF001 -- a part of each turn
        assert knot() is not None
        clock.advance(COLLECT_EVERY_S)
        supervisor_run.supervisor._collect_garbage()  # noqa: SLF001 -- likewise
        assert knot() is None
