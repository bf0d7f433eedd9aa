"""Folders are added and removed while jobs run, with a real journal, real deliveries and a real supervisor."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from cutoutd.daemon.assembly import publisher_of
from cutoutd.daemon.folder_set import FolderSet
from cutoutd.daemon.heartbeat import Heartbeat
from cutoutd.daemon.reload import Reloader
from cutoutd.delivery.delivery import Delivery
from cutoutd.delivery.steps import Deliver
from cutoutd.errors import ConfigurationError, JournalError
from cutoutd.folder.hot_folder import HotFolder
from cutoutd.folder.tasks import TaskFactory
from cutoutd.jobs import JobState, Version
from cutoutd.journal.commands import Verb
from cutoutd.models.catalog import VerifiedModels
from cutoutd.process.sd_notify import ServiceManager
from cutoutd.settings.schema import Folder, PoolSettings, Settings
from tests.integration.parts import JPEG, cut_of, sidecar_factory, until
from tests.integration.supervisor_run import FakeMonitor, FakeThread, SupervisorRun, opener_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cutoutd.delivery.steps import Step
    from cutoutd.jobs import Job, Report, Task
    from tests.conftest import FakeClock


class Parts(SimpleNamespace):
    """A folder made of a test's own parts."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


STEP_S = 0.05
"""How far each poll advances the clock, so that the ten seconds between two changes of a configuration are 200 polls."""


class ReconfiguredRun(SupervisorRun):
    """A supervisor whose folders follow its configuration, which a test changes."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        super().__init__(root, clock)
        self.made: list[HotFolder] = []
        self.next: Settings | ConfigurationError = self.settings("a", "b")
        self.reloader = Reloader(self.settings("a", "b"), self._read, self.workers.wake, VerifiedModels())
        self.folder_set = FolderSet(self.journal, self._make, reloader=self.reloader)
        self.monitors: dict[str, FakeMonitor] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.workers.answer = self.cut

    def settings(self, *names: str, **given: Any) -> Settings:  # noqa: ANN401 -- any key of a folder
        """Return a configuration with these folders."""
        for name in names:
            (self.root / name).mkdir(exist_ok=True)
            (self.root / f"{name}-out").mkdir(exist_ok=True)
        folders = [
            Folder.model_validate(
                {
                    "name": name,
                    "input": str(self.root / name),
                    "output": str(self.root / f"{name}-out"),
                    **given,
                }
            )
            for name in names
        ]
        return Settings(folder=tuple(folders), pool=PoolSettings())

    def _read(self) -> Settings:
        """Return the next configuration, or raise the error that stands for it."""
        if isinstance(self.next, ConfigurationError):
            raise self.next
        return self.next

    def _make(self, folder: Folder) -> HotFolder:
        """Return a folder with a real delivery that waits for the test."""
        publisher = publisher_of(folder, name=folder.name, run="run-1")
        publisher.open()
        supervisor_run = self

        class Slow(Delivery):
            """Waits for the test before each publication."""

            def _take(self, step: Step) -> None:
                if isinstance(step, Deliver):
                    supervisor_run.gate.wait(20)
                super()._take(step)

        delivery = Slow(
            folder,
            journal=self.journal,
            publisher=publisher,
            sidecar_factory=sidecar_factory(self.clock, folder.name),
            clock=self.clock,
            tell=self._results.append,
            wake=self.workers.wake,
        )
        self.monitors[folder.name] = monitor = FakeMonitor()
        created = HotFolder(
            folder,
            monitor=monitor,
            delivery=delivery,
            opener=opener_of(folder, publisher, self.clock, self.workers.wake),
            tasks=TaskFactory(
                folder, staging=publisher.staging.directory, reservations=self.journal.reservations
            ),
        )
        self.made.append(created)
        return created

    def cut(self, task: Task) -> Report:
        """Report a good picture as a worker does."""
        return cut_of(task.job, Path(task.staging), JPEG, task.source.encode())

    def drop(self, folder: str, name: str) -> int:
        """Accept a picture."""
        then_ns = self.clock.now_us() * 1000 - 10**15
        (job,) = self.journal.sources.accept(folder, [Version(path=name, size=1, mtime_ns=then_ns)])
        return job

    def reload(self, to: Settings | ConfigurationError) -> None:
        """Change the configuration, and request a reload."""
        self.next = to
        self.reloader.request()

    def hold_deliveries(self) -> bool:
        """Hold deliveries from now on, once the tasks of every start are done."""
        is_quiet = self.folder_set.is_settled and all(hot.delivery.is_idle for hot in self.made)
        if is_quiet:
            self.gate.clear()
        return is_quiet

    def run(self, *deeds: Callable[[], object]) -> None:
        """Run the supervisor and one action after the other, each as soon as the one before returns True."""
        self.folder_set.change(self.reloader.settings.folder)
        self.folder_set.reconcile(())
        left = list(deeds)
        patience = iter(range(20_000))

        def poll() -> None:
            if next(patience, None) is None:
                pytest.fail(f"waited in vain; {len(left)} deeds are left")
            if left and left[0]() is not False:
                left.pop(0)
            if left:
                self.clock.advance(STEP_S)
            else:
                self.supervisor.stop()

        self.workers.before_poll = poll
        self.workers.is_quick = True
        self.heartbeat = Heartbeat(ServiceManager(), self.clock)
        self.supervisor = self.supervise(once=False)
        self.supervisor.run()

    def end(self) -> None:
        """Close all parts."""
        self.gate.set()
        for hot in self.made:
            hot.delivery.stop()
            hot.delivery.join(20)
        super().end()


@pytest.fixture
def supervisor_run(tmp_path: Path, clock: FakeClock) -> Iterator[ReconfiguredRun]:
    """A supervisor with two folders, a and b."""
    created = ReconfiguredRun(tmp_path, clock)
    yield created
    created.end()


def test_a_removed_folder_finishes_what_is_in_work_and_parks_the_rest(
    supervisor_run: ReconfiguredRun,
) -> None:
    """No new job of it is started, nothing is lost, and the other folder goes on."""
    one, two = supervisor_run.drop("a", "1.jpg"), supervisor_run.drop("a", "2.jpg")
    supervisor_run.workers._size = 1  # noqa: SLF001 -- one worker, so that one of the two waits
    answers = iter([None] * 50)
    supervisor_run.workers.answer = lambda task: (
        next(answers, supervisor_run.cut(task)) if task.job == one else supervisor_run.cut(task)
    )
    later: list[int] = []
    supervisor_run.run(
        lambda: bool(supervisor_run.workers.running),
        lambda: supervisor_run.reload(supervisor_run.settings("b")),
        lambda: supervisor_run.job(one).state is JobState.DONE and supervisor_run.folder_set.is_settled,
        lambda: later.append(supervisor_run.drop("b", "3.jpg")),
        lambda: supervisor_run.job(later[0]).state is JobState.DONE,
    )
    assert supervisor_run.job(two).state is JobState.PARKED
    assert (supervisor_run.root / "a-out" / "1.png").exists()
    assert [task.job for task in supervisor_run.workers.given] == [one, later[0]]
    assert supervisor_run.workers.recycled == 0
    assert not (supervisor_run.root / "a-out" / ".cutoutd-staging").exists()


def test_a_folder_that_comes_back_goes_on_where_it_was(supervisor_run: ReconfiguredRun) -> None:
    """Its parked pictures are cut."""
    job: list[int] = []
    supervisor_run.run(
        lambda: supervisor_run.reload(supervisor_run.settings("b")),
        lambda: "a" not in supervisor_run.folder_set.active and supervisor_run.folder_set.is_settled,
        lambda: job.append(supervisor_run.drop("a", "1.jpg")),
        lambda: supervisor_run.journal.queue.park({"b"}),
        lambda: supervisor_run.reload(supervisor_run.settings("a", "b")),
        lambda: supervisor_run.job(job[0]).state is JobState.DONE,
    )
    assert (supervisor_run.root / "a-out" / "1.png").exists()


def test_a_changed_folder_begins_only_when_the_one_before_has_ended(supervisor_run: ReconfiguredRun) -> None:
    """Jobs in work are published under their former settings; two never work on one folder."""
    one: list[int] = []
    two: list[int] = []
    supervisor_run.run(
        supervisor_run.hold_deliveries,
        lambda: one.append(supervisor_run.drop("a", "1.jpg")),
        lambda: supervisor_run.made[0].delivery.backlog == 1,
        lambda: supervisor_run.reload(changed(supervisor_run)),
        lambda: "a" not in supervisor_run.folder_set.active,
        lambda: two.append(supervisor_run.drop("a", "2.jpg")),
        *[lambda: None] * 50,
        lambda: len(supervisor_run.made) == 2 and supervisor_run.job(two[0]).state is JobState.QUEUED,
        supervisor_run.gate.set,
        lambda: supervisor_run.job(two[0]).state is JobState.DONE,
    )
    assert supervisor_run.job(one[0]).state is JobState.DONE
    assert (supervisor_run.root / "a-out" / "1.png").exists()
    assert (supervisor_run.root / "a-new" / "2.png").exists()
    assert [task.job for task in supervisor_run.workers.given].count(one[0]) == 1


def changed(supervisor_run: ReconfiguredRun) -> Settings:
    """Return folder a with another output."""
    (supervisor_run.root / "a-new").mkdir()
    old = supervisor_run.settings("a", "b")
    first = old.folder[0].model_copy(update={"output": supervisor_run.root / "a-new"})
    return old.model_copy(update={"folder": (first, old.folder[1])})


def test_a_folder_that_shares_its_output_leaves_the_others_staged_results(
    supervisor_run: ReconfiguredRun,
) -> None:
    """Both stage in one directory."""
    shared = {"output": str(supervisor_run.root / "both")}
    (supervisor_run.root / "both").mkdir()
    supervisor_run.reloader.settings = supervisor_run.settings("a", "b", **shared)
    job: list[int] = []
    supervisor_run.run(
        supervisor_run.hold_deliveries,
        lambda: job.append(supervisor_run.drop("b", "1.jpg")),
        lambda: supervisor_run.made[1].delivery.backlog == 1,
        lambda: supervisor_run.reload(supervisor_run.settings("b", **shared)),
        lambda: supervisor_run.folder_set.is_settled and "a" not in supervisor_run.folder_set.active,
        supervisor_run.gate.set,
        lambda: supervisor_run.job(job[0]).state is JobState.DONE,
    )
    assert (supervisor_run.root / "both" / "1.png").exists()
    assert len(supervisor_run.workers.given) == 1


def test_a_wrong_configuration_changes_nothing(supervisor_run: ReconfiguredRun) -> None:
    """The same for one whose model is missing; the next valid one is adopted."""
    jobs: list[int] = []
    supervisor_run.run(
        lambda: supervisor_run.reload(supervisor_run.settings("c", model="none-such")),
        lambda: supervisor_run.reloader._thread is None,  # noqa: SLF001 -- it was read and refused
        lambda: supervisor_run.reload(ConfigurationError("no such key")),
        lambda: supervisor_run.reloader._thread is None,  # noqa: SLF001 -- it was read and refused
        lambda: jobs.append(supervisor_run.drop("a", "1.jpg")),
        lambda: supervisor_run.job(jobs[0]).state is JobState.DONE,
        lambda: supervisor_run.reload(supervisor_run.settings("c")),
        lambda: set(supervisor_run.folder_set.active) == {"c"},
    )
    assert [hot.folder.name for hot in supervisor_run.made] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("pool", "is_taken"),
    [({"max_pixels": 20_000}, True), ({"workers": 1}, False), ({"job_timeout_s": 7.0}, False)],
)
def test_a_change_that_needs_a_restart_is_refused_as_a_whole(
    supervisor_run: ReconfiguredRun,
    pool: dict[str, Any],
    is_taken: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    """Half of a configuration is never in effect."""
    supervisor_run.run(
        lambda: supervisor_run.reload(
            supervisor_run.settings("a", "c").model_copy(update={"pool": PoolSettings(**pool)})
        ),
        *[lambda: None] * 5,
        lambda: supervisor_run.reloader._thread is None,  # noqa: SLF001 -- it was read, and seen to
        lambda: supervisor_run.folder_set.is_settled,
    )
    assert set(supervisor_run.folder_set.active) == ({"a", "c"} if is_taken else {"a", "b"})
    assert (supervisor_run.reloader.settings.pool.max_pixels == 20_000) is is_taken


def test_a_command_asks_for_a_reload_and_is_answered_when_that_is_over(
    supervisor_run: ReconfiguredRun,
) -> None:
    """With the reason if the configuration is refused; an earlier reload does not count as its answer."""
    refused: list[int] = []
    taken: list[int] = []
    answers = supervisor_run.journal.commands.answer

    def change(to: Settings | ConfigurationError, into: list[int]) -> None:
        supervisor_run.next = to
        into.append(supervisor_run.ask(Verb.RELOAD))

    supervisor_run.run(
        lambda: change(ConfigurationError("no such key"), refused),
        lambda: "no such key" in (answers(refused[0]) or ""),
        lambda: "no such key" in supervisor_run.folder_set.refused_configuration,
        lambda: change(supervisor_run.settings("c"), taken),
        lambda: answers(taken[0]) == "",
        lambda: set(supervisor_run.folder_set.active) == {"c"},
    )
    assert supervisor_run.folder_set.refused_configuration == ""


def test_reloads_that_follow_each_other_end_with_the_last(supervisor_run: ReconfiguredRun) -> None:
    """Whatever was in progress."""
    supervisor_run.run(
        lambda: supervisor_run.reload(supervisor_run.settings("c")),
        lambda: supervisor_run.reload(supervisor_run.settings("a")),
        lambda: supervisor_run.reload(supervisor_run.settings("a", "b", "c")),
        lambda: (
            set(supervisor_run.folder_set.active) == {"a", "b", "c"} and supervisor_run.folder_set.is_settled
        ),
    )


def test_jobs_of_an_earlier_run_are_finished_although_the_journal_refuses_once(
    supervisor_run: ReconfiguredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, what had been read until the refusal was forgotten until the next start."""
    jobs = [supervisor_run.job(supervisor_run.drop("a", name)) for name in ("1.jpg", "2.jpg")]
    repaired: list[int] = []
    expired: list[bool] = []
    parts: Any = Parts(
        folder=SimpleNamespace(name="a"),
        delivery=SimpleNamespace(
            repair=lambda job: repaired.append(job.id),
            sweep=lambda _: None,
            expire_displaced=lambda: expired.append(parts.knows_its_pictures),
        ),
        snapshot=SimpleNamespace(is_identified=True, looks=1),
        knows_its_pictures=False,
    )
    hot = cast("HotFolder", parts)
    answers: list[Job | JournalError] = [jobs[0], JournalError("full"), *jobs]

    def publishing(_: int) -> Job:
        if isinstance(answer := answers.pop(0), JournalError):
            raise answer
        return answer

    monkeypatch.setattr(supervisor_run.journal.queue, "publishing", publishing)
    supervisor_run.folder_set._unknown[hot] = jobs  # noqa: SLF001 -- as it is after the folder's first look
    with pytest.raises(JournalError):
        supervisor_run.folder_set.reconcile(())
    supervisor_run.folder_set.reconcile(())
    assert repaired == [job.id for job in jobs]
    # What was displaced waits until the folder was looked through, and a run does not end before.
    assert not expired
    settled = [supervisor_run.folder_set.is_settled]
    parts.knows_its_pictures = True
    settled.append(supervisor_run.folder_set.is_settled)
    for _ in range(2):
        supervisor_run.folder_set.reconcile(())
    settled.append(supervisor_run.folder_set.is_settled)
    assert expired == [True]
    assert settled == [True, False, True]


def test_a_folder_that_begins_in_part_leaves_no_thread_behind(
    supervisor_run: ReconfiguredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is created again in each attempt, and nothing would end the threads of the attempt before."""

    def refuse(_: FakeThread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(FakeThread, "start", refuse)
    supervisor_run.folder_set.change(supervisor_run.settings("a").folder)
    supervisor_run.folder_set.reconcile(())
    assert supervisor_run.folder_set.active == {}
    (hot,) = supervisor_run.made
    until(lambda: hot.delivery.has_ended, "the delivery's end")
