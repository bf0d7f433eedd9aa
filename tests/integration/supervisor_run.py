"""A supervisor over a real journal and a real delivery, with a pool and a monitor that a test controls."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cutoutd.daemon.assembly import publisher_of
from cutoutd.daemon.folder_set import FolderSet
from cutoutd.daemon.heartbeat import Heartbeat
from cutoutd.daemon.status_file import StatusFile
from cutoutd.daemon.status_outputs import StatusSinks
from cutoutd.daemon.supervisor import Supervisor
from cutoutd.daemon.tally import Once
from cutoutd.delivery.delivery import Delivery
from cutoutd.faults.supervised_thread import SupervisedThread
from cutoutd.folder.file_opener import Opener
from cutoutd.folder.hot_folder import HotFolder
from cutoutd.folder.status import FolderSnapshot, FolderState, FolderStatus
from cutoutd.folder.tasks import TaskFactory
from cutoutd.jobs import Version
from cutoutd.journal.commands import Commands
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.journal.store import FILE_NAME, Store
from cutoutd.process.sd_notify import ServiceManager
from cutoutd.protocols import Finished, Lost, Withdrawn, WorkerFacts
from tests.integration.parts import JPEG, NAME, Heard, cut_of, folder_in, sidecar_factory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cutoutd.clock import Clock
    from cutoutd.events import JobEnded
    from cutoutd.jobs import Job, JobState, Report, Task
    from cutoutd.journal.commands import Verb
    from cutoutd.pool.file_opening import FileOpener, TaskPool
    from cutoutd.protocols import PoolEvent
    from cutoutd.publish.publisher import Publisher
    from cutoutd.settings.schema import Folder
    from cutoutd.task_route import WorkerKind
    from tests.conftest import FakeClock


class Workers:
    """A pool whose workers answer as a test says; it advances the clock where a real pool would wait."""

    def __init__(self, clock: FakeClock, size: int = 2) -> None:
        self._clock = clock
        self._woken = threading.Event()
        self._size = size
        self.answer: Callable[[Task], Report | Lost | Withdrawn | None] = lambda _: None
        self.before_poll: Callable[[], None] = lambda: None
        self.running: dict[int, Task] = {}
        self.given: list[Task] = []
        self.beside: list[set[int]] = []
        self.recycled = 0
        self.at_a_share: set[int] = set()
        self.left_behind: set[int] = set()
        self.is_quick = False  # no time passes
        self.is_sound = True
        self.facts: WorkerFacts | None = WorkerFacts(layers=(), provider="cpu", onnxruntime="1")

    @property
    def size(self) -> int:
        """Number of tasks that can run at the same time."""
        return self._size

    @property
    def workers(self) -> int:
        """Number of workers; none is missing."""
        return self._size

    @property
    def idle(self) -> int:
        """Number of further tasks that can run."""
        return self._size - len(self.running)

    def takes(self, *, kind: WorkerKind) -> bool:  # noqa: ARG002 -- as the protocol has it
        """Return whether a worker is free; all serve both kinds of folders."""
        return self.idle > 0

    @property
    def busy(self) -> int:
        """Number of running tasks."""
        return len(self.running)

    @property
    def blocked_on_io(self) -> set[int]:
        """Running tasks that wait for a share."""
        return self.at_a_share & set(self.running)

    def submit(self, task: Task, opener: FileOpener) -> None:  # noqa: ARG002 -- as the protocol has it
        """Record the task, and which others are running; no files are opened."""
        assert self.idle > 0
        self.beside.append(set(self.running))
        self.running[task.job] = task
        self.given.append(task)

    def poll(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Return the events so far."""
        self.before_poll()
        events: list[PoolEvent] = []
        for job, task in list(self.running.items()):
            report = self.answer(task)
            if report is not None:
                del self.running[job]
                events.append(
                    report if isinstance(report, Lost | Withdrawn) else Finished(job=job, report=report)
                )
        self._clock.advance(0.001)
        if not events:
            # A delivery works in real time; everything else goes by the test's clock.
            self._woken.wait(0.002)
            self._woken.clear()
            if not self.is_quick:
                self._clock.advance(timeout_s)
        return events

    def wake(self) -> None:
        """End a poll early."""
        self._woken.set()

    def recycle(self) -> None:
        """Count the call."""
        self.recycled += 1

    def close(self) -> None:
        """Do nothing, since no process runs."""


class FakeThread(SupervisedThread):
    """A monitor's thread, which dies when a test says so."""

    def __init__(self) -> None:
        super().__init__("watch", lambda: None, lambda: None)
        self.starts = 0

    def start(self) -> None:
        """Run again, also after a death."""
        self.failure = None
        self.starts += 1


class FakeMonitor:
    """A monitor that shows what a test says."""

    def __init__(self) -> None:
        self.thread = FakeThread()
        self.snapshot = FolderSnapshot(
            status=FolderStatus(watching=FolderState.NATIVE, scanned=True),
            looks=1,
            is_identified=True,
            has_settled=True,
        )
        self.looked_at: list[str] = []
        self.submissions = 0
        self.checks = 0
        self.is_well = True

    def now(self, **changes: Any) -> None:  # noqa: ANN401 -- a snapshot's fields
        """Change what the monitor shows."""
        self.snapshot = replace(self.snapshot, **changes)

    def stop(self) -> None:
        """Do nothing: the monitor has no thread."""

    def wait_for_first_look(self, timeout_s: float) -> bool:  # noqa: ARG002 -- a Monitor's
        """Return at once, as if the folder was scanned."""
        return True

    def look_at(self, path: str) -> None:
        """Record the path."""
        self.looked_at.append(path)

    def take_submissions(self) -> None:
        """Record the call."""
        self.submissions += 1

    def check_again(self, probe: str | None = None) -> int:  # noqa: ARG002 -- a Monitor's
        """Record the call; the folder is sound unless the test says otherwise."""
        self.checks += 1
        if self.is_well:
            self.now(checks=self.checks)
        return self.checks

    def stand_by(self, why: str) -> None:
        """Show the folder as closed."""
        self.now(status=FolderStatus(watching=FolderState.STANDING_BY, why=why, scanned=True))


def opener_of(folder: Folder, publisher: Publisher, clock: FakeClock, wake: Callable[[], None]) -> Opener:
    """Return an opener that only removes the directories of jobs."""
    return Opener(folder.name, root=folder.input, staging=publisher.staging, clock=clock, wake=wake)


class SupervisorRun:
    """A supervisor with all that it needs."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.clock = clock
        self.root = root
        self.journal = Journal(root, session="run-1", clock=clock)
        self.workers = Workers(clock)
        self.monitor = FakeMonitor()
        self.heard = Heard()
        self.folder = folder_in(root)
        self.folder.output.mkdir()
        publisher = publisher_of(self.folder, name=NAME, run="run-1")
        publisher.open()
        self.staging = publisher.staging.directory
        self._results: deque[JobEnded] = deque()
        delivery = Delivery(
            self.folder,
            journal=self.journal,
            publisher=publisher,
            sidecar_factory=sidecar_factory(clock),
            clock=clock,
            tell=self._results.append,
            wake=self.workers.wake,
        )
        self.hot = HotFolder(
            self.folder,
            monitor=self.monitor,
            delivery=delivery,
            opener=opener_of(self.folder, publisher, clock, self.workers.wake),
            tasks=TaskFactory(
                self.folder,
                staging=publisher.staging.directory,
                reservations=self.journal.reservations,
                moves=self.journal.moves,
            ),
        )
        self.hot.start()
        self.folder_set = FolderSet.of(self.journal, {NAME: self.hot})
        self.heartbeat: Heartbeat | None = None
        self.supervisor = self.supervise(once=True)

    def supervise(
        self, *, once: bool, timeout_s: float | None = None, status: bool = False, clock: Clock | None = None
    ) -> Supervisor:
        """Return another supervisor over the same parts; ``clock``: its own, if it is to have one."""
        pool: TaskPool = self.workers
        self.supervisor = Supervisor(
            journal=self.journal,
            pool=pool,
            folders=self.folder_set,
            results=self._results,
            sinks=StatusSinks(
                emit=self.heard,
                heartbeat=self.heartbeat or Heartbeat(ServiceManager(), clock or self.clock),
                status=StatusFile(self.root, "run-1") if status else None,
            ),
            clock=clock or self.clock,
            once=Once(timeout_s=timeout_s) if once else None,
        )
        return self.supervisor

    def accept(self, *names: str, age_s: float = 1e6) -> list[int]:
        """Queue pictures, each older than the next."""
        then_ns = self.clock.now_us() * 1000 - int(age_s * 1e9)
        there = [Version(path=name, size=1, mtime_ns=then_ns + number) for number, name in enumerate(names)]
        return self.journal.sources.accept(NAME, there)

    def cut(self, task: Task) -> Report:
        """Report a good picture as a worker does."""
        return cut_of(task.job, Path(task.staging), JPEG, Path(task.source).name.encode())

    def job(self, job: int) -> Job:
        """Return a job as it is in the journal now."""
        found = Reader(self.journal.store).job(job)
        assert found is not None
        return found

    def ask(self, verb: Verb, argument: str = "") -> int:
        """Post a command as another process does. Returns the number of the request."""
        store = Store(self.root / FILE_NAME)
        request = Commands(store, self.clock).post(verb, argument)
        store.close()
        return request

    def ends(self) -> list[tuple[int, JobState]]:
        """Return number and state of each ended job, in the order of the events."""
        return [(result.job, result.state) for result in self.heard.results]

    def end(self) -> None:
        """Close all parts."""
        self.hot.stop()
        self.hot.join(20.0)
        self.journal.close()
