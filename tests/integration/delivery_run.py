"""A folder's delivery with its real thread, publisher and journal, for tests that play its monitor and its workers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from cutoutd.daemon.assembly import publisher_of
from cutoutd.delivery.context import FolderChecks
from cutoutd.delivery.delivery import Delivery
from cutoutd.errors import FailureCode, PictureError
from cutoutd.jobs import Failure, Version
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.publish.places import Places
from cutoutd.publish.publisher import Publisher
from cutoutd.publish.staging import STAGING_NAME
from tests.integration.parts import JPEG, NAME, cut_of, folder_in, sidecar_factory, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.events import JobEnded
    from cutoutd.jobs import Cut, Job
    from cutoutd.publish.plan import Plan
    from cutoutd.settings.types import OnConflict
    from tests.conftest import FakeClock

OLD, NEW = b"old cutout", b"new cutout"
FAILURE = Failure(
    code=FailureCode.PICTURE,
    title=PictureError.title,
    cause="it is cut short",
    advice=PictureError.advice,
    permanent=True,
)


class Power(BaseException):
    """The effect of a power failure on the process."""


class Faulty(Publisher):
    """The real publisher, with a fault before the next renames or between them."""

    def __init__(
        self,
        places: Places,
        *,
        on_conflict: OnConflict,
        faults: list[BaseException | Callable[[Plan], None]],
    ) -> None:
        super().__init__(places, on_conflict=on_conflict)
        self._faults = faults

    def carry_out(self, plan: Plan) -> None:
        """Raise or call the next fault, if there is one, and carry out the plan."""
        if self._faults:
            fault = self._faults.pop(0)
            if isinstance(fault, BaseException):
                raise fault
            fault(plan)
        super().carry_out(plan)


class DeliveryRun:
    """A delivery with all that it needs, like one run of the daemon."""

    def __init__(
        self,
        root: Path,
        clock: FakeClock,
        *,
        run: str = "run-1",
        faults: list[BaseException | Callable[[Plan], None]] | None = None,
        **given: Any,  # noqa: ANN401 -- any key of a folder
    ) -> None:
        self.root = root
        self.clock = clock
        self.folder = folder_in(root, **given)
        self.folder.output.mkdir(exist_ok=True)
        if self.folder.originals_dir is not None:
            self.folder.originals_dir.mkdir(exist_ok=True)
        self.journal = Journal(root, session=run, clock=clock)
        self.publisher = self._publisher(run, faults)
        self.publisher.open()
        self.results: list[JobEnded] = []
        self.woken = threading.Event()
        self.prove: Callable[[], None] = lambda: (
            None
        )  # this machine may publish, unless a test says otherwise
        self.check_places: Callable[[], None] = lambda: None  # all disks are mounted, as above
        self.delivery = Delivery(
            self.folder,
            journal=self.journal,
            publisher=self.publisher,
            sidecar_factory=sidecar_factory(clock),
            clock=clock,
            tell=self.results.append,
            wake=self.woken.set,
            checks=FolderChecks(owner=self._prove, places=self._check_places),
        )

    def _prove(self) -> None:
        """Call the proof of ownership that the test has set."""
        self.prove()

    def _check_places(self) -> None:
        """Call the check of the places that the test has set."""
        self.check_places()

    def _publisher(self, run: str, faults: list[BaseException | Callable[[Plan], None]] | None) -> Publisher:
        """Return a publisher, with faults if the test has any."""
        if faults is None:
            return publisher_of(self.folder, name=NAME, run=run)
        places = Places.of(NAME, self.folder.output, None, run)
        return Faulty(places, on_conflict=self.folder.on_conflict, faults=faults)

    def begin(self, name: str = "a.jpg", content: bytes = JPEG) -> Job:
        """Claim the job of a picture, as for a worker; return the job."""
        path = self.folder.input / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        status = path.stat()
        version = Version(path=name, size=status.st_size, mtime_ns=status.st_mtime_ns)
        if not self.journal.sources.is_known(NAME, version):
            self.journal.sources.accept(NAME, [version])
        job = self.journal.queue.next_in(NAME, newest_first=False)
        assert job is not None
        self.journal.queue.claim(job)
        return job

    def cut(self, job: Job, *contents: bytes, source: bytes = JPEG, **more: Any) -> Cut:  # noqa: ANN401 -- as of cut_of
        """Return the report of a worker."""
        return cut_of(job.id, self.publisher.staging.directory, source, *contents, **more)

    def deliver(self, name: str, *contents: bytes, source: bytes = JPEG, **more: Any) -> Job:  # noqa: ANN401 -- as of cut_of
        """Deliver one picture to its end."""
        job = self.begin(name, source)
        self.delivery.deliver(job, self.cut(job, *contents, source=source, **more))
        self.settle()
        return job

    def settle(self) -> None:
        """Wait until the delivery has no task."""
        until(lambda: self.delivery.is_idle or self.delivery.failure is not None, "the delivery")
        assert self.delivery.failure is None

    def poke(self) -> None:
        """Sweep and expire at once, which a delivery otherwise does at intervals."""
        self.delivery.sweep(frozenset())
        self.delivery.expire_displaced()

    def job(self, job: Job) -> Job:
        """Return a job as it is in the journal now."""
        found = Reader(self.journal.store).job(job.id)
        assert found is not None
        return found

    def files(self) -> dict[str, bytes]:
        """Return the files that a user sees in the output, without sidecars."""
        return {
            path.relative_to(self.folder.output).as_posix(): path.read_bytes()
            for path in self.folder.output.rglob("*")
            if path.is_file() and STAGING_NAME not in path.parts and path.suffix != ".json"
        }

    def staged(self) -> list[str]:
        """Return the files in the staging directories of all runs."""
        return sorted(path.name for path in self.folder.output.glob(f"{STAGING_NAME}/*/*"))

    def end(self) -> None:
        """Stop in order."""
        self.delivery.stop()
        self.delivery.join(20.0)


def recovered(broken: DeliveryRun, make: Callable[..., DeliveryRun]) -> DeliveryRun:
    """Return the next run after one that a crash ended; it carries out what was left."""
    broken.journal.close()
    again = make(run="run-2")
    for unfinished in again.journal.queue.recover():
        again.delivery.repair(unfinished)
    again.delivery.sweep(frozenset({"run-1"}))
    for waiting in again.journal.review_decisions.pending(NAME):
        again.delivery.carry_out_decision(waiting)
    return again
