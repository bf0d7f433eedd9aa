"""`cutoutd cut`: named files, once, through the daemon's own supervisor, workers and publishing.

The journal is in memory, and nothing is watched: only the sidecars are remembered from one call to the next. Each directory
that contains a named file is a folder of its own.
"""

from __future__ import annotations

import os
import uuid
from collections import deque
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.daemon.assembly import confine, handling_signals, publisher_of, setup_of
from cutoutd.daemon.folder_set import FolderSet
from cutoutd.daemon.heartbeat import Heartbeat
from cutoutd.daemon.status_outputs import StatusSinks
from cutoutd.daemon.supervisor import Supervisor
from cutoutd.daemon.tally import Once
from cutoutd.delivery.delivery import Delivery
from cutoutd.delivery.sidecar_factory import SidecarFactory
from cutoutd.errors import StorageError, UsageError
from cutoutd.events import Accepted, Started
from cutoutd.faults.supervised_thread import SupervisedThread
from cutoutd.folder.file_opener import Opener
from cutoutd.folder.hot_folder import HotFolder
from cutoutd.folder.status import FolderSnapshot, FolderState, FolderStatus
from cutoutd.folder.tasks import TaskFactory
from cutoutd.jobs import Version
from cutoutd.journal.journal import Journal
from cutoutd.lease import marker
from cutoutd.models import catalog
from cutoutd.pool import capacity
from cutoutd.pool.file_opening import FileOpeningPool
from cutoutd.pool.local import LocalPool
from cutoutd.process.sd_notify import ServiceManager
from cutoutd.settings.digest import settings_sha256
from cutoutd.settings.schema import Folder
from cutoutd.settings.types import OnConflict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.daemon.tally import Tally
    from cutoutd.events import EventSink, JobEnded
    from cutoutd.protocols import ModelSpec
    from cutoutd.settings.renditions import RenditionSettings
    from cutoutd.settings.schema import Settings

JOIN_S: Final = 2.0


class NamedFiles:
    """A monitor without a watch: the files to cut are named at the start."""

    snapshot = FolderSnapshot(
        status=FolderStatus(watching=FolderState.NATIVE, scanned=True),
        looks=1,
        is_identified=True,
        has_settled=True,
    )

    def __init__(self) -> None:
        self.thread = SupervisedThread("named files", lambda: None, lambda: None)

    def stop(self) -> None:
        """Do nothing: no thread is running."""

    def wait_for_first_look(self, timeout_s: float) -> bool:  # noqa: ARG002 -- a Monitor's
        """Return True: the files were looked at when they were named."""
        return True

    def look_at(self, path: str) -> None:
        """Do nothing: a file that is gone is not looked for."""

    def take_submissions(self) -> None:
        """Do nothing: there are no submissions."""

    def check_again(self, probe: str | None = None) -> int:  # noqa: ARG002 -- a Monitor's
        """Do nothing: the files' directory is not checked again."""
        return 0


def refuse_hot_folder(output: Path) -> None:
    """Refuse an output inside a hot folder, where a cutout would be cut again.

    Raises:
        UsageError: the directory is inside a hot folder, by its path or after resolving links.
    """
    real = output.resolve()
    for directory in dict.fromkeys((output, *output.parents, real, *real.parents)):
        if os.path.lexists(directory / marker.NAME):
            raise UsageError(
                "this is inside a hot folder, where the cutouts would be cut again",
                path=output,
                advice="Give another directory with -o.",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class CutoutTarget:
    """Where cutouts go, and in which form.

    Attributes:
        directory: created if it is missing.
        name: file name of the only cutout; empty: it is named after its picture.
        rendition: the form of the cutouts; None: a transparent PNG.
        overwrite: whether to replace other programs' files.
    """

    directory: Path
    name: str = ""
    rendition: RenditionSettings | None = None
    overwrite: bool = False

    def folder(self) -> Folder:
        """Return the settings of a folder that publishes here; its input is to be replaced."""
        given: dict[str, Any] = {} if self.rendition is None else {"rendition": (self.rendition,)}
        if self.overwrite:
            given["on_conflict"] = OnConflict.OVERWRITE
        return Folder(name="cut", input=self.directory, output=self.directory, **given)


def cut(
    files: Sequence[Path],
    target: CutoutTarget,
    settings: Settings,
    *,
    clock: Clock,
    emit: EventSink,
    shows_queue: bool = False,
    folders: Sequence[Path] = (),
) -> Tally:
    """Cut files, oldest first.

    Args:
        files: absolute paths of regular files.
        target: where the cutouts go, and in which form.
        settings: the configuration: limits and model; its folders are not used.
        clock: the machine's clock.
        emit: receives each event.
        shows_queue: whether a person watches who wants to see the queue.
        folders: absolute paths; cutouts of files below them are placed in the same sub-folders of the output.

    Raises:
        UsageError: the output is inside a hot folder.
        ModelError: a model is missing or was altered.
        SandboxError: a layer of the sandbox is missing, and all are required.
        CutoutdError: the workers do not start.
    """
    with _usable(target.directory):
        refuse_hot_folder(target.directory)
        target.directory.mkdir(parents=True, exist_ok=True)
    model = catalog.find(settings.model.name)
    second = catalog.find(settings.model.second) if settings.model.second else None
    for one in filter(None, (model, second)):
        catalog.verify(one)
    confine(settings)
    with clock.ticking(), closing(Journal(None, session=uuid.uuid4().hex, clock=clock)) as journal:
        call = _Call(
            target,
            settings,
            model,
            second,
            journal=journal,
            clock=clock,
            emit=emit,
            shows_queue=shows_queue,
        )
        return call.cut(files, folders)


class _Call:
    """The parts of one call."""

    def __init__(
        self,
        target: CutoutTarget,
        settings: Settings,
        model: ModelSpec,
        second: ModelSpec | None,
        *,
        journal: Journal,
        clock: Clock,
        emit: EventSink,
        shows_queue: bool,
    ) -> None:
        self._target = target
        self._template = target.folder()
        self._settings = settings
        self._model = model
        self._second = second
        self._journal = journal
        self._clock = clock
        self._emit = emit
        self._shows_queue = shows_queue
        self._run = uuid.uuid4().hex
        self._pool: LocalPool | None = None
        self._supervisor: Supervisor | None = None
        self._stop_asked = False
        self._results: deque[JobEnded] = deque()
        self._digests: dict[str, str] = {}
        self._provenance = SidecarFactory(
            model=model,
            second=second,
            settings_sha256=self._digests,
            worker=lambda: self._pool.facts if self._pool is not None else None,
            clock=clock,
        )

    def cut(self, files: Sequence[Path], roots: Sequence[Path]) -> Tally:
        # First of all: an end before the folders are started would leave their staging directories behind.
        with handling_signals(self._ask_to_stop):
            return self._cut(files, roots)

    def _ask_to_stop(self) -> None:
        self._stop_asked = True
        if self._supervisor is not None:
            self._supervisor.stop()

    def _cut(self, files: Sequence[Path], roots: Sequence[Path]) -> Tally:
        found: dict[Path, list[Version]] = {}
        for file in files:
            root = next((one for one in roots if file.is_relative_to(one)), file.parent)
            found.setdefault(root, []).append(_version(file, root))
        folders = {os.fspath(root): self._folder(root) for root in found}
        for root, there in found.items():
            self._journal.sources.accept(os.fspath(root), there)
        self._emit(Accepted(count=len(files)))
        self._pool = LocalPool(
            size=min(
                capacity.worker_count(
                    self._settings.pool.workers, self._second.room_mb if self._second else 0
                ),
                len(files),
            ),
            setup=lambda: setup_of(self._settings, [self._model], self._second),
            job_timeout_s=self._settings.pool.job_timeout_s,
            clock=self._clock,
        )
        self._supervisor = supervisor = Supervisor(
            journal=self._journal,
            pool=FileOpeningPool(self._pool, self._clock),
            folders=FolderSet.of(self._journal, folders),
            results=self._results,
            sinks=StatusSinks(
                emit=self._emit,
                heartbeat=Heartbeat(ServiceManager(), self._clock),
                shows_queue=self._shows_queue,
            ),
            clock=self._clock,
            once=Once(),
        )
        if self._stop_asked:
            supervisor.stop()
        self._emit(Started(folders=0, workers=self._pool.size))  # no folders, since files were named
        try:
            for folder in folders.values():
                folder.start()
            supervisor.run()
        finally:
            self._pool.close()
            for folder in folders.values():
                folder.stop()
                folder.join(JOIN_S)
        return supervisor.tally

    def _folder(self, directory: Path) -> HotFolder:
        folder = self._template.model_copy(update={"input": directory})
        name = os.fspath(directory)
        self._digests[name] = settings_sha256(
            folder, self._model.name, self._second.name if self._second else ""
        )
        publisher = publisher_of(folder, name=name, run=self._run)
        with _usable(self._target.directory):
            publisher.open()
        delivery = Delivery(
            folder,
            journal=self._journal,
            publisher=publisher,
            sidecar_factory=self._provenance,
            clock=self._clock,
            tell=self._results.append,
            wake=self._wake,
            named=self._target.name,
        )
        opener = Opener(name, root=directory, staging=publisher.staging, clock=self._clock, wake=self._wake)
        return HotFolder(
            folder,
            monitor=NamedFiles(),
            delivery=delivery,
            opener=opener,
            tasks=TaskFactory(
                folder, staging=publisher.staging.directory, reservations=self._journal.reservations
            ),
        )

    def _wake(self) -> None:
        if self._pool is not None:
            self._pool.wake()


@contextmanager
def _usable(output: Path) -> Iterator[None]:
    """Translate errors of the output directory into a UsageError, since another directory can be named.

    Raises:
        UsageError: the directory cannot be created or written to.
    """
    advice = "Give a directory with -o that you may write to."
    try:
        yield
    except (
        RuntimeError
    ) as error:  # a loop of links, which `Path.resolve` reports in this way before Python 3.13
        raise UsageError("symbolic links form a loop here", path=output, advice=advice) from error
    except OSError as error:
        raise UsageError(
            f"the cutouts cannot go there ({error.strerror or error})", path=output, advice=advice
        ) from error
    except StorageError as error:
        raise UsageError(f"the cutouts cannot go there: {error.cause}", path=output, advice=advice) from error


def _version(file: Path, root: Path) -> Version:
    status = file.stat()
    return Version(path=file.relative_to(root).as_posix(), size=status.st_size, mtime_ns=status.st_mtime_ns)
