"""Whether a hot folder may be worked on: is it there, is it the right one, is there room for results?

Lives in the folder's own thread, since any look at a share may hang. It decides nothing about files.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import READ_ONLY
from cutoutd.errors import CutoutdError
from cutoutd.folder.identity import KnownFolder, MarkerAction, NewFolder, decide, identify
from cutoutd.folder.root_access import ADVICE, refused
from cutoutd.folder.status import FolderState
from cutoutd.fs.durable import make_directory
from cutoutd.intake import filesystems
from cutoutd.journal.folders import FolderMemory
from cutoutd.journal.predecessor import kept_marker
from cutoutd.lease import marker
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cutoutd.folder.overlaps import Overlaps
    from cutoutd.intake.filesystems import Mode
    from cutoutd.intake.scan import FolderBoundary
    from cutoutd.journal.folders import Folders
    from cutoutd.lease.lease import Lease
    from cutoutd.publish.places import FolderIdentity
    from cutoutd.publish.publisher import Publisher
    from cutoutd.settings.schema import Folder

LET_GO_S: Final = 30.0
"""A machine whose journal refuses for longer leaves its folders to others; a lock passes sooner."""

_MIB = 1 << 20


class HealthCheck:
    """Looks at a folder and remembers it.

    Args:
        folder: its settings.
        memory: what the journal knows of folders.
        publisher: makes the staging directories.
        min_free_mb: free space below which nothing new is taken.
        state_dir: its disk must have room as well.
        lease: this machine's, on the folder.
        overlaps: the places of all folders.
        configured: the inputs of all folders of the configuration, by name.
        allow_root: root may work on the folder even if others can change it.

    Attributes:
        is_identified: it is known which folder this is.
        mode: how the folder can be watched; valid once ``check`` found it open.
        is_first_start: the journal did not know this folder before.
        first_run_us: when it began nevertheless, if a journal that was lost knew it.
        note: what its owner should know although it is open.
        waits_for_owner: another machine works on it, so that it is to be looked at often enough to notice its end.
    """

    def __init__(  # noqa: PLR0913 -- what a folder is made of, put together in one place
        self,
        folder: Folder,
        *,
        memory: Folders,
        publisher: Publisher,
        min_free_mb: int,
        state_dir: Path,
        lease: Lease,
        overlaps: Overlaps,
        configured: Callable[[], Mapping[str, str]] = dict,
        allow_root: bool = False,
        predecessor: Path | None = None,
    ) -> None:
        self._folder = folder
        self._memory = memory
        self._publisher = publisher
        self._min_free_mb = min_free_mb
        self._state_dir = state_dir
        self._lease = lease
        self._overlaps = overlaps
        self._configured = configured
        self._allow_root = allow_root
        self._predecessor = predecessor
        self._recalled = memory.recall(folder.name)
        self.is_identified = False
        self._is_tidy = False
        self.is_first_start = self._recalled is None
        self.first_run_us = memory.first_run_us(folder.name) if self.is_first_start else None
        self._seen: FolderMemory | None = None
        self._refused_since_s: float | None = None
        self._log = get(folder=folder.name)
        self.mode: Mode | None = None
        self.note = ""
        self.waits_for_owner = False

    @property
    def settle_s(self) -> float:
        """The quiet time of this folder, which is longer where others write over a network."""
        if self._folder.settle_s is not None:
            return self._folder.settle_s
        return 5.0 if self.mode is not None and self.mode.network else 1.0

    @property
    def identity(self) -> FolderIdentity:
        """By which the folder's records are known."""
        return self._publisher.identity

    @property
    def is_known_disk(self) -> bool:
        """Whether the folder lies on the device on which it was healthy the last time."""
        seen, recalled = self._seen, self._recalled
        return seen is None or recalled is None or seen.device == recalled.device

    @property
    def took_over(self) -> bool:
        """Whether another machine worked on the folder before, and what it cut is not known yet."""
        return self._lease.inherited

    def check(self, *, thoroughly: bool = False) -> tuple[FolderState, str] | None:
        """Look; None if the folder is open, else how it stands and why.

        Args:
            thoroughly: something could not be written, so see that it can be.

        Raises:
            OSError: the input cannot be read.
            StorageError: the output cannot be made or written to.
            NotOwnerError: the marker is not the one that was found a moment ago.
        """
        root = os.fspath(self._folder.input)
        try:
            os.stat(root)  # noqa: PTH116 -- says whether it is there at all
        except OSError:
            self._overlaps.withdraw(self._folder.name)
            raise
        mode = filesystems.watch_mode(root)
        self.waits_for_owner = False
        # Before anything is written there: the place may be another folder's.
        closed = self.look_around() or self._find(root, network=mode.network) or self._hold(root)
        if closed is not None:
            return closed
        for place in (self._folder.output, self._folder.sidecar_dir, self._folder.originals_dir):
            if place is not None:
                # Later on, a place whose parent is missing too is more probably a share that is away.
                make_directory(place, parents=self.is_first_start)
        self._publisher.open()
        closed = self.look_around()  # with the directories that were just made
        if closed is not None:
            return closed
        if thoroughly:
            self._publisher.try_writing()
        self.mode = mode
        return self._missing_background() or self._check_room()

    def look_around(self) -> tuple[FolderState, str] | None:
        """See how the folder's places lie to those of all others; None if it may be worked on, else why not."""
        why = self._overlaps.look(self._folder, uuid=None if self._seen is None else self._seen.marker)
        if not why and (why := refused(self._folder, allow_root=self._allow_root)):
            why = f"{why}. {ADVICE}"
        if not why:
            return None
        with suppress(OSError, CutoutdError):  # those who may work on it must not wait for us
            self._lease.release()
        return FolderState.STANDING_BY, why

    @property
    def boundary(self) -> FolderBoundary:
        """What inside the input belongs to somebody else, as it was last found."""
        return self._overlaps.boundary(self._folder.name)

    def _missing_background(self) -> tuple[FolderState, str] | None:
        """What is to be said of a picture that goes behind its subjects and is not there."""
        for path in self._folder.backgrounds:
            try:
                os.stat(path)  # noqa: PTH116 -- beside the other
            except OSError as error:
                why = (
                    f"the background picture {path} cannot be read ({error.strerror}); work goes on by itself"
                )
                return FolderState.STANDING_BY, why
        return None

    def _find(self, root: str, *, network: bool) -> tuple[FolderState, str] | None:
        found = marker.find(root, network=network)
        self._identify(root, found)
        return self._compare(root, found)

    def _identify(self, root: str, found: marker.RootState) -> None:
        """Find out, once, which of the folders that the journal knows this one is: a marker tells, and no name does."""
        if self.is_identified:
            return
        recalled = self._memory.recall(self._folder.name)
        known = identify(
            self._folder.name,
            root,
            found.uuid,
            recalled=recalled,
            known=self._memory.marked(found.uuid) if found.uuid else self._memory.at(root),
            configured=self._configured(),
        )
        match known:
            case KnownFolder(name=name) if name != self._folder.name:
                self._memory.relabel(name, self._folder.name)
                self._log.info("folder.renamed", before=name)
            case NewFolder(sets_aside=True):
                self._memory.free_name(self._folder.name)
        self._recalled = self._memory.recall(self._folder.name) if isinstance(known, KnownFolder) else None
        self.is_first_start = self._recalled is None
        self.first_run_us = self._memory.first_run_us(self._folder.name) if self.is_first_start else None
        self.is_identified = True

    def _compare(self, root: str, found: marker.RootState) -> tuple[FolderState, str] | None:
        recalled = self._recalled
        decision = decide(recalled, found)
        if decision.action in (MarkerAction.STAND_BY, MarkerAction.REFUSE):
            return FolderState.STANDING_BY, decision.reason
        name = found.uuid or (recalled.marker if recalled is not None else self._kept_elsewhere(root))
        name = name or str(uuid.uuid4())
        read_only = recalled is not None and recalled.read_only and found.uuid is None
        if decision.action is MarkerAction.CREATE:
            try:
                self._is_tidy = False
                name = marker.create(root, name)
                read_only = False
            except OSError as error:
                if error.errno not in READ_ONLY:
                    raise
                read_only = True  # the journal's memory has to do
        self._seen = FolderMemory(input=root, marker=name, device=found.device, read_only=read_only)
        self._publisher.identity.found(name, self._memory.labels(name))
        return None

    def _kept_elsewhere(self, root: str) -> str:
        """The UUID that sidecars have where this read-only input was watched as a bare pair of folders before."""
        return "" if self._predecessor is None else kept_marker(self._predecessor, root)

    def remember(self) -> None:
        """Write down that the folder is healthy; after its first scan, which may treat what is there specially."""
        if self._seen is not None and self._seen != self._recalled:
            self._memory.remember(self._folder.name, self._seen)
            self._recalled = self._seen
        if not self._is_tidy and self._seen is not None and not self._seen.read_only:
            self._is_tidy = marker.tidy(self._seen.input)
        self.is_first_start = False
        self._lease.mark_caught_up()

    def _hold(self, root: str) -> tuple[FolderState, str] | None:
        """See that this machine is the one that works on the folder, and can write down what it does there."""
        self._memory.check_journal_writable()
        seen = self._seen
        if seen is None or seen.read_only:
            held = self._lease.hold_unmarked()
        else:
            held = self._lease.acquire(root, seen.marker)
        self.note = held.note if held.ours else ""
        self.waits_for_owner = not held.ours
        return None if held.ours else (FolderState.STANDING_BY, held.note)

    def journal_refuses(self, now_s: float) -> None:
        """Whoever cannot write down what it does must not keep the folder from other machines for ever.

        Args:
            now_s: monotonic seconds.
        """
        if self._refused_since_s is None:
            self._refused_since_s = now_s
        if now_s - self._refused_since_s >= LET_GO_S:
            try:
                self._lease.release()
            except (OSError, CutoutdError) as error:
                self._log.debug("owner.not-released", why=str(error))

    def journal_is_well(self) -> None:
        """It takes what is written down."""
        self._refused_since_s = None

    def _check_room(self) -> tuple[FolderState, str] | None:
        for place in (self._folder.output, self._state_dir):
            free_mb = shutil.disk_usage(place).free // _MIB
            if free_mb < self._min_free_mb:
                return FolderState.PAUSED, (
                    f"less than min_free_disk_mb = {self._min_free_mb} MiB are free at {place}: "
                    "free some space; work goes on by itself"
                )
        return None
