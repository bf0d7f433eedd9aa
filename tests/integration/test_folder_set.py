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
from cutoutd.jobs import JobState, Version
from cutoutd.journal.commands import Verb
from cutoutd.models.catalog import VerifiedModels
from cutoutd.process.sd_notify import ServiceManager
from cutoutd.settings.schema import Folder, PoolSettings, Settings
from tests.integration.hall import FakeMonitor, FakeThread, Hall, opener_of
from tests.integration.parts import JPEG, cut_of, sidecar_factory, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cutoutd.delivery.steps import Step
    from cutoutd.jobs import Job, Report, Task
    from tests.conftest import FakeClock


class Parts(SimpleNamespace):
    """A folder made of a test's own parts."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


class Halls(Hall):
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
        hall = self

        class Slow(Delivery):
            """Waits for the test before each publication."""

            def _take(self, step: Step) -> None:
                if isinstance(step, Deliver):
                    hall.gate.wait(20)
                super()._take(step)

        delivery = Slow(
            folder,
            journal=self.journal,
            publisher=publisher,
            sidecar_factory=sidecar_factory(self.clock, folder.name),
            clock=self.clock,
            run="run-1",
            tell=self._results.append,
            wake=self.workers.wake,
        )
        self.monitors[folder.name] = monitor = FakeMonitor()
        created = HotFolder(
            folder,
            monitor=monitor,
            delivery=delivery,
            publisher=publisher,
            opener=opener_of(folder, publisher, self.clock, self.workers.wake),
            reservations=self.journal.reservations,
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
            if not left:
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
def hall(tmp_path: Path, clock: FakeClock) -> Iterator[Halls]:
    """A supervisor with two folders, a and b."""
    created = Halls(tmp_path, clock)
    yield created
    created.end()


def test_a_removed_folder_finishes_what_is_in_work_and_parks_the_rest(hall: Halls) -> None:
    """No new job of it is started, nothing is lost, and the other folder goes on."""
    one, two = hall.drop("a", "1.jpg"), hall.drop("a", "2.jpg")
    hall.workers._size = 1  # noqa: SLF001 -- one worker, so that one of the two waits
    answers = iter([None] * 50)
    hall.workers.answer = lambda task: next(answers, hall.cut(task)) if task.job == one else hall.cut(task)
    later: list[int] = []
    hall.run(
        lambda: bool(hall.workers.running),
        lambda: hall.reload(hall.settings("b")),
        lambda: hall.job(one).state is JobState.DONE and hall.folder_set.is_settled,
        lambda: later.append(hall.drop("b", "3.jpg")),
        lambda: hall.job(later[0]).state is JobState.DONE,
    )
    assert hall.job(two).state is JobState.PARKED
    assert (hall.root / "a-out" / "1.png").exists()
    assert [task.job for task in hall.workers.given] == [one, later[0]]
    assert hall.workers.recycled == 0
    assert not (hall.root / "a-out" / ".cutoutd-staging").exists()


def test_a_folder_that_comes_back_goes_on_where_it_was(hall: Halls) -> None:
    """Its parked pictures are cut."""
    job: list[int] = []
    hall.run(
        lambda: hall.reload(hall.settings("b")),
        lambda: "a" not in hall.folder_set.active and hall.folder_set.is_settled,
        lambda: job.append(hall.drop("a", "1.jpg")),
        lambda: hall.journal.queue.park({"b"}),
        lambda: hall.reload(hall.settings("a", "b")),
        lambda: hall.job(job[0]).state is JobState.DONE,
    )
    assert (hall.root / "a-out" / "1.png").exists()


def test_a_changed_folder_begins_only_when_the_one_before_has_ended(hall: Halls) -> None:
    """Jobs in work are published under their former settings; two never work on one folder."""
    one: list[int] = []
    two: list[int] = []
    hall.run(
        hall.hold_deliveries,
        lambda: one.append(hall.drop("a", "1.jpg")),
        lambda: hall.made[0].delivery.backlog == 1,
        lambda: hall.reload(changed(hall)),
        lambda: "a" not in hall.folder_set.active,
        lambda: two.append(hall.drop("a", "2.jpg")),
        *[lambda: None] * 50,
        lambda: len(hall.made) == 2 and hall.job(two[0]).state is JobState.QUEUED,
        hall.gate.set,
        lambda: hall.job(two[0]).state is JobState.DONE,
    )
    assert hall.job(one[0]).state is JobState.DONE
    assert (hall.root / "a-out" / "1.png").exists()
    assert (hall.root / "a-new" / "2.png").exists()
    assert [task.job for task in hall.workers.given].count(one[0]) == 1


def changed(hall: Halls) -> Settings:
    """Return folder a with another output."""
    (hall.root / "a-new").mkdir()
    old = hall.settings("a", "b")
    first = old.folder[0].model_copy(update={"output": hall.root / "a-new"})
    return old.model_copy(update={"folder": (first, old.folder[1])})


def test_a_folder_that_shares_its_output_leaves_the_others_staged_results(hall: Halls) -> None:
    """Both stage in one directory."""
    shared = {"output": str(hall.root / "both")}
    (hall.root / "both").mkdir()
    hall.reloader.settings = hall.settings("a", "b", **shared)
    job: list[int] = []
    hall.run(
        hall.hold_deliveries,
        lambda: job.append(hall.drop("b", "1.jpg")),
        lambda: hall.made[1].delivery.backlog == 1,
        lambda: hall.reload(hall.settings("b", **shared)),
        lambda: hall.folder_set.is_settled and "a" not in hall.folder_set.active,
        hall.gate.set,
        lambda: hall.job(job[0]).state is JobState.DONE,
    )
    assert (hall.root / "both" / "1.png").exists()
    assert len(hall.workers.given) == 1


def test_a_wrong_configuration_changes_nothing(hall: Halls) -> None:
    """The same for one whose model is missing; the next valid one is adopted."""
    jobs: list[int] = []
    hall.run(
        lambda: hall.reload(hall.settings("c", model="none-such")),
        lambda: hall.reloader._thread is None,  # noqa: SLF001 -- it was read and refused
        lambda: hall.reload(ConfigurationError("no such key")),
        lambda: hall.reloader._thread is None,  # noqa: SLF001 -- it was read and refused
        lambda: jobs.append(hall.drop("a", "1.jpg")),
        lambda: hall.job(jobs[0]).state is JobState.DONE,
        lambda: hall.reload(hall.settings("c")),
        lambda: set(hall.folder_set.active) == {"c"},
    )
    assert [hot.folder.name for hot in hall.made] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("pool", "is_taken"),
    [({"max_pixels": 20_000}, True), ({"workers": 1}, False), ({"job_timeout_s": 7.0}, False)],
)
def test_a_change_that_needs_a_restart_is_refused_as_a_whole(
    hall: Halls,
    pool: dict[str, Any],
    is_taken: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    """Half of a configuration is never in effect."""
    hall.run(
        lambda: hall.reload(hall.settings("a", "c").model_copy(update={"pool": PoolSettings(**pool)})),
        *[lambda: None] * 5,
        lambda: hall.reloader._thread is None,  # noqa: SLF001 -- it was read, and seen to
        lambda: hall.folder_set.is_settled,
    )
    assert set(hall.folder_set.active) == ({"a", "c"} if is_taken else {"a", "b"})
    assert (hall.reloader.settings.pool.max_pixels == 20_000) is is_taken


def test_a_command_asks_for_a_reload_and_is_answered_when_that_is_over(hall: Halls) -> None:
    """With the reason if the configuration is refused; an earlier reload does not count as its answer."""
    refused: list[int] = []
    taken: list[int] = []
    answers = hall.journal.commands.answer

    def change(to: Settings | ConfigurationError, into: list[int]) -> None:
        hall.next = to
        into.append(hall.ask(Verb.RELOAD))

    hall.run(
        lambda: change(ConfigurationError("no such key"), refused),
        lambda: "no such key" in (answers(refused[0]) or ""),
        lambda: "no such key" in hall.folder_set.refused_configuration,
        lambda: change(hall.settings("c"), taken),
        lambda: answers(taken[0]) == "",
        lambda: set(hall.folder_set.active) == {"c"},
    )
    assert hall.folder_set.refused_configuration == ""


def test_reloads_that_follow_each_other_end_with_the_last(hall: Halls) -> None:
    """Whatever was in progress."""
    hall.run(
        lambda: hall.reload(hall.settings("c")),
        lambda: hall.reload(hall.settings("a")),
        lambda: hall.reload(hall.settings("a", "b", "c")),
        lambda: set(hall.folder_set.active) == {"a", "b", "c"} and hall.folder_set.is_settled,
    )


def test_jobs_of_an_earlier_run_are_finished_although_the_journal_refuses_once(
    hall: Halls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, what had been read until the refusal was forgotten until the next start."""
    jobs = [hall.job(hall.drop("a", name)) for name in ("1.jpg", "2.jpg")]
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

    monkeypatch.setattr(hall.journal.queue, "publishing", publishing)
    hall.folder_set._unknown[hot] = jobs  # noqa: SLF001 -- as it is after the folder's first look
    with pytest.raises(JournalError):
        hall.folder_set.reconcile(())
    hall.folder_set.reconcile(())
    assert repaired == [job.id for job in jobs]
    # What was displaced waits until the folder was looked through, and a run does not end before.
    assert not expired
    settled = [hall.folder_set.is_settled]
    parts.knows_its_pictures = True
    settled.append(hall.folder_set.is_settled)
    for _ in range(2):
        hall.folder_set.reconcile(())
    settled.append(hall.folder_set.is_settled)
    assert expired == [True]
    assert settled == [True, False, True]


def test_a_folder_that_begins_in_part_leaves_no_thread_behind(
    hall: Halls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is created again in each attempt, and nothing would end the threads of the attempt before."""

    def refuse(_: FakeThread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(FakeThread, "start", refuse)
    hall.folder_set.change(hall.settings("a").folder)
    hall.folder_set.reconcile(())
    assert hall.folder_set.active == {}
    (hot,) = hall.made
    until(lambda: hot.delivery.has_ended, "the delivery's end")
