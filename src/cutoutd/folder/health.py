"""The health check of a hot folder: whether it is there, is the right one, is ours to work on, and has room for results.

Runs in the folder's own thread, since any access to a share may hang. It decides nothing about files.
"""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import READ_ONLY
from cutoutd.errors import CutoutdError
from cutoutd.folder.identity import (
    KnownFolder,
    MarkerAction,
    NewFolder,
    copy_text,
    decide,
    is_adopted,
    is_copy,
)
from cutoutd.folder.place_mounts import PlaceMounts
from cutoutd.folder.prerequisites import missing_background, missing_room
from cutoutd.folder.recognition import identify_folder, recorded_marker, why_marked
from cutoutd.folder.root_access import ADVICE, refused
from cutoutd.folder.status import standing_by
from cutoutd.folder.unmarked import decide_unmarked
from cutoutd.folder_trouble import FolderTrouble
from cutoutd.fs.durable import make_directory
from cutoutd.intake import filesystems
from cutoutd.journal.folders import FolderHistory, FolderMemory
from cutoutd.journal.predecessor import kept_marker
from cutoutd.lease import marker
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cutoutd.folder.overlaps import Overlaps
    from cutoutd.folder.status import Closed
    from cutoutd.intake.filesystems import Mode
    from cutoutd.intake.scan import FolderBoundary
    from cutoutd.journal.folders import Folders
    from cutoutd.lease.lease import Lease
    from cutoutd.publish.places import FolderIdentity
    from cutoutd.publish.publisher import Publisher
    from cutoutd.settings.schema import Folder, Service

LET_GO_S: Final = 30.0
"""A machine whose journal refuses writes for longer releases its leases; a lock on the journal is held for less."""


class HealthCheck:
    """Checks one folder, and remembers it in the journal.

    Args:
        folder: settings of the folder.
        memory: the folders in the journal.
        publisher: creates the staging directories.
        service: settings of the daemon as a whole: how much space must be free, also at the state directory, and whether root may
            work on a folder that others can change.
        lease: this machine's lease on the folder.
        overlaps: the places of all folders.
        configured: returns the inputs of all folders of the configuration, by name.
        predecessor: state directory of `cutoutd run --input --output` with its places; None: it is not looked at.

    Attributes:
        is_identified: whether it is known which of the journal's folders this is.
        mode: how the folder can be watched; valid once ``check`` found it open.
        is_first_start: whether the journal did not know this folder before.
        first_run_us: for such a folder, when it was first healthy according to a lost journal, UTC microseconds; None: unknown.
        note: what its owner should know although it is open.
        waits_for_owner: whether another machine works on it, so that it is checked often enough to notice the end of that.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        memory: Folders,
        publisher: Publisher,
        service: Service,
        lease: Lease,
        overlaps: Overlaps,
        configured: Callable[[], Mapping[str, str]] = dict,
        predecessor: Path | None = None,
    ) -> None:
        self._folder = folder
        self._memory = memory
        self._publisher = publisher
        self._service = service
        self._lease = lease
        self._overlaps = overlaps
        self._configured = configured
        self._predecessor = predecessor
        self._mounts = PlaceMounts(folder, memory)
        self._recalled = memory.recall(folder.name)
        self.is_identified = False
        self._is_tidy = False
        self.is_first_start = self._recalled is None
        self.first_run_us = memory.first_run_us(folder.name) if self.is_first_start else None
        self._seen: FolderMemory | None = None
        self._seen_since_us: int | None = None
        self._is_known_disk = True
        self._is_another = False  # the directory that is there is not the folder
        self._refused_since_s: float | None = None
        self._log = get(folder=folder.name)
        self.mode: Mode | None = None
        self.note = ""
        self.waits_for_owner = False

    @property
    def settle_s(self) -> float:
        """The quiet time of this folder in seconds; longer where others write over a network."""
        if self._folder.settle_s is not None:
            return self._folder.settle_s
        return 5.0 if self.mode is not None and self.mode.network else 1.0

    @property
    def identity(self) -> FolderIdentity:
        """The identity by which the folder's records are recognised."""
        return self._publisher.identity

    @property
    def is_known_disk(self) -> bool:
        """Whether the folder is on the device on which it was last healthy."""
        return self._is_known_disk

    @property
    def took_over(self) -> bool:
        """Whether another machine or another journal had the folder before, so that its results have to be adopted."""
        return self._lease.inherited or self._memory.misses_results(self._folder.name)

    def check(self, *, thoroughly: bool = False) -> Closed | None:
        """Check the folder; returns None if it is open, else why it is closed.

        Args:
            thoroughly: whether to test writing, because a write has failed.

        Raises:
            OSError: the input cannot be read.
            StorageError: the output cannot be made or written to.
            NotOwnerError: the marker has changed since it was read.
        """
        root = os.fspath(self._folder.input)
        try:
            os.stat(root)  # noqa: PTH116 -- raises if it is not there
        except OSError:
            self._overlaps.withdraw(self._folder.name)
            raise
        mode = filesystems.watch_mode(root)
        self.waits_for_owner = False
        # Before anything is written: the directory may be another folder's.
        closed = self.check_places() or self._check_output() or self._find(root, network=mode.network)
        self._mounts.recall()
        closed = closed or self._check_mounts() or self._hold(root)
        if closed is not None:
            return closed
        for place in (self._folder.output, self._folder.sidecar_dir, self._folder.originals_dir):
            if place is not None:
                # Later on, a place whose parent is missing too is probably a share that is not mounted.
                make_directory(place, parents=self.is_first_start)
        self._publisher.open()
        closed = self.check_places()  # with the directories that were just made
        if closed is not None:
            return closed
        self._mounts.remember()
        if thoroughly:
            self._publisher.try_writing()
        self.mode = mode
        places = (self._folder.output, self._service.state_dir)
        return missing_background(self._folder) or missing_room(places, self._service.min_free_disk_mb)

    def check_places(self) -> Closed | None:
        """Check the folder's places against those of all others; returns None if it may be worked on, else why it is closed."""
        if why := self._overlaps.check(self._folder, uuid=None if self._seen is None else self._seen.marker):
            closed = standing_by(why, FolderTrouble.OVERLAP)
        elif why := refused(self._folder, allow_root=self._service.allow_root):
            closed = standing_by(f"{why}. {ADVICE}")
        else:
            return None
        with suppress(OSError, CutoutdError):  # the owner of the other folder must not wait for us
            self._lease.release()
        return closed

    def recheck(self) -> Closed | None:
        """Check, between two checks, what may change at any moment; returns None if it may be worked on, else why it is closed.

        Raises:
            OSError: a place cannot be reached.
        """
        return self.check_places() or self._check_mounts()

    def misses_mount(self) -> bool:
        """Whether a place may have lost its disk or share, for an idle folder: no disk is asked, so that none is woken."""
        return self._mounts.misses_any()

    def prove_places(self) -> None:
        """Check, immediately before a publication or before an original goes, that all places are where they were.

        Raises:
            PlaceAwayError: a place for results or originals is not on the disk or share that it was on.
            OSError: one cannot be reached.
        """
        self._mounts.prove()

    def _check_output(self) -> Closed | None:
        why = why_marked(self._folder)
        return standing_by(why, FolderTrouble.OTHER_FOLDER) if why else None

    def _check_mounts(self) -> Closed | None:
        why = self._mounts.why_away()
        return standing_by(why, FolderTrouble.UNMOUNTED) if why else None

    @property
    def boundary(self) -> FolderBoundary:
        """What inside the input does not belong to the folder, as it was last found."""
        return self._overlaps.boundary(self._folder.name)

    def _find(self, root: str, *, network: bool) -> Closed | None:
        found = marker.find(root, network=network)
        if not self.is_identified:
            known = identify_folder(self._folder, found, self._memory, self._configured())
            before = found.uuid
            if isinstance(known, NewFolder) and known.copied_from is not None:
                if closed := self._renew(root, found, known.copied_from):
                    return closed
                found = marker.find(root, network=network)
            self._take_up(known)
            if before is not None and found.uuid != before:
                self._memory.note_copy(self._folder.name, before)
        return self._compare(root, found)

    def _renew(self, root: str, found: marker.RootState, other: str) -> Closed | None:
        """Give a copy of another folder a marker of its own; returns why it cannot get one, or None."""
        name, before, original = self._folder.name, found.uuid, self._memory.recall(other)
        if before is None or original is None:
            return None
        if not is_copy(found, original) and not is_adopted(found, self._memory.history(name)):
            return standing_by(copy_text(name, other, original.input))
        after = str(uuid.uuid4())
        try:
            if not marker.renew(root, before, after, is_free=self._lease.is_free_from):
                why = f"it has the same {marker.NAME} as {other}, and another machine works on it"
                return standing_by(why, FolderTrouble.OTHER_MACHINE)
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
            return None  # it keeps the marker; its path tells it from the other
        self._log.warning("folder.copied", copy_of=other, before=before, now=after)
        return None

    def _take_up(self, known: KnownFolder | NewFolder) -> None:
        """Go on with what the journal knows of the folder under its name of now."""
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

    def _compare(self, root: str, found: marker.RootState) -> Closed | None:
        recalled, name = self._recalled, self._folder.name
        is_as_before = recalled is None or recalled.marker == found.uuid
        if is_as_before:
            history = FolderHistory(name=name, first_run_us=self._seen_since_us)
        else:
            history = self._memory.history(name)
        if found.uuid is not None:
            decision = decide(recalled, found, history)
        else:  # a marker that was seen since the start is as good as one that the journal knows
            decision = decide_unmarked(root, recalled or self._seen, found, history, self._lease)
        if decision.action in (MarkerAction.STAND_BY, MarkerAction.REFUSE):
            self._is_another = True
            return standing_by(decision.reason, decision.trouble)
        if self._is_another and is_as_before:
            self._memory.forget_adoption(name)
        self._is_another = False
        known = "" if decision.action is MarkerAction.CREATE_ANEW else found.uuid or self._known_uuid(root)
        seen = FolderMemory(
            input=root,
            marker=known or str(uuid.uuid4()),
            device=found.device,
            inode=found.inode,
            read_only=recalled is not None and recalled.read_only and found.uuid is None,
        )
        self._is_known_disk = self._is_known_disk and (recalled is None or recalled.device == seen.device)
        if recalled is not None and recalled.marker != seen.marker:
            # At once: a crash must not leave a marker that the journal does not know.
            self._log.warning("folder.replaced", before=recalled.marker, now=seen.marker)
            self._memory.remember(name, seen)
            self._recalled = seen
        if decision.action in (MarkerAction.CREATE, MarkerAction.CREATE_ANEW):
            seen = self._marked(root, seen, is_damaged=found.damage is not None)
        if self._seen is None:
            self._seen_since_us = self._memory.now_us()
        self._seen = seen
        self._publisher.identity.found(
            seen.marker,
            self._memory.labels(seen.marker),
            self._memory.former(name) | self._memory.copy_of(name),
        )
        return None

    def _marked(self, root: str, seen: FolderMemory, *, is_damaged: bool) -> FolderMemory:
        """Write the marker; returns the folder as it is then."""
        try:
            self._is_tidy = False
            if is_damaged:
                marker.replace_damaged(root, seen.marker)
                self._log.warning("marker.replaced", why="it was damaged")
            return replace(seen, marker=marker.create(root, seen.marker), read_only=False)
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
            return replace(seen, read_only=True)  # the journal alone remembers the marker

    def _known_uuid(self, root: str) -> str:
        """Return the UUID that a directory without a marker is to have; empty: a new one."""
        known = self._recalled or self._seen
        if known is not None:
            return known.marker
        return self._kept_elsewhere(root) or recorded_marker(self._folder, self._memory)

    def _kept_elsewhere(self, root: str) -> str:
        """Return the UUID of a read-only input that was watched with `cutoutd run --input --output` before; empty: none."""
        return "" if self._predecessor is None else kept_marker(self._predecessor, root)

    def remember(self) -> None:
        """Store the healthy folder; only after its first scan, which may treat existing files in a special way."""
        if self._seen is not None and self._seen != self._recalled:
            self._memory.remember(self._folder.name, self._seen)
            self._recalled = self._seen
        self._is_known_disk = True
        if not self._is_tidy and self._seen is not None and not self._seen.read_only:
            self._is_tidy = marker.tidy(self._seen.input)
        self.is_first_start = False
        self._memory.mark_caught_up(self._folder.name)
        self._lease.mark_caught_up()

    def _hold(self, root: str) -> Closed | None:
        """Acquire the lease, once the journal can be written; returns why the folder is closed if another machine has it."""
        self._memory.check_journal_writable()
        seen = self._seen
        if seen is None or seen.read_only:
            held = self._lease.hold_unmarked()
        else:
            held = self._lease.acquire(root, seen.marker)
        self.note = held.note if held.ours else ""
        self.waits_for_owner = not held.ours
        if not held.ours and self._lease.saw_another:
            # The marker may not say so any more when our turn comes, as one that was put back from a backup.
            self._memory.note_other_owner(self._folder.name)
        return None if held.ours else standing_by(held.note, FolderTrouble.OTHER_MACHINE)

    def note_journal_refused(self, now_s: float) -> None:
        """Record that the journal refuses writes; after `LET_GO_S`, release the lease for other machines.

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

    def note_journal_works(self) -> None:
        """Record that the journal can be written."""
        self._refused_since_s = None
