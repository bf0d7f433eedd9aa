"""New files in one hot folder, from the first look at a file to its acceptance in the journal.

    looked at -> already known? -> waits until it is quiet -> looked at again, probed -> accepted

Owned by the folder's monitor thread. An unforeseen error over one file delays that file alone. This module must not decide when
to look, nor decode anything.
"""

from __future__ import annotations

import os
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from cutoutd.errnos import NO_WAY
from cutoutd.faults.isolation import is_expected, unforeseen
from cutoutd.file_signatures import FileKind
from cutoutd.folder.own_results import ArrivedResults, Skip
from cutoutd.folder.pairing import LeaveOut, Pairing, Take, Wait
from cutoutd.folder.skipped_entries import PendingReasons
from cutoutd.folder.source_changes import MissingSources, Rehashing
from cutoutd.folder.status import PendingFile
from cutoutd.fs.tree import parent_of
from cutoutd.intake.probe import open_probe
from cutoutd.intake.scan import Scan, scan_file
from cutoutd.intake.settle import SettleTracker
from cutoutd.jobs import JobState, Version
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cutoutd.folder.scope import FolderScope
    from cutoutd.folder.skipped_entries import SkippedEntries
    from cutoutd.intake.scan import ScannedFile

Item = TypeVar("Item")
Value = TypeVar("Value")

BATCH: Final = 500
"""The most acceptances in one transaction."""

_COARSE_NS: Final = 1_000_000_000
_PROVISIONAL_NS: Final = 2_000_000_000
"""A modification time in whole seconds that is younger than this may also be that of a later write."""


_WAS_THERE: Final = {"why": 'it was there before the first start, and existing = "skip"'}


class Arrivals:
    """The files of one folder that are not accepted yet.

    Args:
        scope: the folder.
        settle_s: the quiet time in seconds.
        old_is_quiet: whether a file is taken at once if it was last modified longer ago than the quiet time.
        pairing: decides about the two recordings of one shot.
        skipped: collects what scans find and do not take.
    """

    def __init__(
        self,
        scope: FolderScope,
        *,
        settle_s: float,
        old_is_quiet: bool,
        pairing: Pairing,
        skipped: SkippedEntries,
    ) -> None:
        self._scope = scope
        self._folder = scope.name
        self._root = scope.root
        self._sources = scope.sources
        self._clock = scope.clock
        self._boundary = scope.boundary
        self._settle_s = settle_s
        self._old_is_quiet = old_is_quiet
        self._pairing = pairing
        self._skipped = skipped
        self._log = get(folder=scope.name)
        self._tracker = SettleTracker(settle_s)
        self._opened_us = scope.clock.now_us()
        self._first_scan_over_s: float | None = None
        self._no_pictures: dict[str, tuple[int, int]] = {}
        self._pending = PendingReasons(scope.name)
        self._results = ArrivedResults(scope)
        self._rehashing = Rehashing(scope)
        self._missing = MissingSources(scope, self._rehashing)

    @property
    def note(self) -> str:
        """What the folder's owner should know of files that are not looked at; empty: nothing."""
        return self._skipped.note

    @property
    def settling(self) -> int:
        """How many files are not accepted yet."""
        return len(self._tracker)

    @property
    def next_due_s(self) -> float | None:
        """When the next of them may be accepted, in monotonic seconds; None: there are none."""
        due_s = [at_s for at_s in (self._tracker.next_due(), self._rehashing.next_due_s) if at_s is not None]
        return min(due_s, default=None)

    def held_up(self, limit: int) -> tuple[PendingFile, ...]:
        """Return at most ``limit`` files that are not accepted although they have been there for a while, with the reason."""
        patience_s = 2 * self._settle_s + 1
        pair_patience_s = patience_s + self._pairing.wait_s
        waiting = self._tracker.waiting(self._clock.monotonic_s(), limit)
        return tuple(
            PendingFile(path=file.path, why=self._pending.why(file.path))
            for file in waiting
            if file.held
            or file.waited_s > (pair_patience_s if self._pairing.may_wait(file.path) else patience_s)
        )

    def scan(self) -> None:
        """Look at every file.

        Raises:
            OSError: the folder cannot be read.
        """
        no_pictures, self._no_pictures = self._no_pictures, {}
        self._pending.keep(self._tracker.__contains__)
        self._sources.begin_scan(self._folder)
        scan = Scan(self._root, self._scope.rules, self._boundary())
        for seen in self._scanned_files(scan):
            if no_pictures.get(seen.path) == (seen.size, seen.mtime_ns):
                self._no_pictures[seen.path] = no_pictures[seen.path]
                self._sources.saw(self._folder, seen.path)
            else:
                self._isolated(seen.path, partial(self._observe, seen))
        self._skipped.forget_others(self._no_pictures)
        self._results.forget_others(lambda path: path in self._no_pictures or path in self._tracker)
        self._missing.scanned(scan)
        if self._first_scan_over_s is None:
            self._first_scan_over_s = self._clock.monotonic_s()

    def skip_all(self, before_us: int | None = None) -> None:
        """Record the unknown files that are there as skipped.

        Args:
            before_us: only files that were there at this time, UTC microseconds, as far as the disk tells; None: all.

        Raises:
            OSError: the folder cannot be read.
        """
        unknown = (
            version
            for seen in self._scanned_files(Scan(self._root, self._scope.rules, self._boundary()))
            if not self._sources.is_known(
                self._folder, version := Version(path=seen.path, size=seen.size, mtime_ns=seen.mtime_ns)
            )
            and (before_us is None or not self._came_after(seen, before_us))
        )
        while batch := list(islice(unknown, BATCH)):
            self._sources.accept(self._folder, batch, state=JobState.SKIPPED, detail=_WAS_THERE)

    def examine(self, paths: Iterable[str]) -> None:
        """Look at files for which events or requests have arrived.

        Raises:
            OSError: the folder cannot be read.
        """
        for path in paths:
            self._isolated(path, partial(self._look_at, path))

    def _look_at(self, path: str) -> None:
        if not self._scope.rules.takes_file(path):
            return
        try:
            seen = scan_file(self._root, path, self._boundary())
        except OSError as error:
            self._hold_up(path, error)
            return
        if seen is None:
            self._tracker.forget(path)
            self._missing.missed(path)
        else:
            self._observe(seen)
            self._tracker.touch(path, self._clock.monotonic_s())

    def submitted(self, paths: Iterable[str]) -> None:
        """Forget files that were accepted as submissions, which are complete when they are handed in."""
        for path in paths:
            self._tracker.forget(path)
            self._missing.accepted(path)
            self._pending.taken(path)

    def accept_quiet(self) -> int:
        """Accept the files whose quiet time is over; returns how many.

        Raises:
            OSError: the folder cannot be read.
            StorageError: the journal cannot be written.
        """
        self._missing.write()
        self.examine(self._rehashing.step())
        accepted = 0
        self._results.begin()
        while self._results.has_turn and (due := self._tracker.due(self._clock.monotonic_s(), limit=BATCH)):
            # Files that may wait for a partner come last: the partner may be among the others.
            alone, others = [], []
            for path in due:
                if not self._pairing.may_wait(path):
                    alone.append(path)
                elif not self._pairing.waits(
                    path, self._tracker.quiet_s(path, self._clock.monotonic_s()), self._came_us(path)
                ):
                    others.append(path)
            accepted += self._accept(alone) + self._accept(others)
        return accepted

    def _accept(self, due: list[str]) -> int:
        """Accept settled files, or record them as left out; returns how many are to be cut."""
        cut: list[Version] = []
        left_out: list[tuple[Version, str]] = []
        results: list[Version] = []
        for path in due:
            version = self._isolated(path, partial(self._settled_or_held_up, path))
            self._pending.waits_for(path, None)
            decided = self._isolated(path, partial(self._decided, version)) if version is not None else None
            match decided, version:
                case Take(), Version() as taken:
                    cut.append(taken)
                case LeaveOut(partner=partner), Version() as spared:
                    left_out.append((spared, partner))
                case Skip(), Version() as own:
                    results.append(own)
        done: list[Version] = []
        if cut:
            cut = self._write_isolated(cut, self._accept_all, lambda version: version.path)
            self._log.debug("files.accepted", count=len(cut))
        if left_out:
            done = self._write_isolated(
                left_out, partial(self._sources.leave_out, self._folder), lambda pair: pair[0].path
            )
            self._log.debug("files.left-out", count=len(done))
        if results:
            results = self._write_isolated(results, self._results.skip, lambda version: version.path)
        for version in (*cut, *done, *results):
            self._tracker.forget(version.path)
            self._missing.accepted(version.path)
            self._pending.taken(version.path)
        return len(cut)

    def _accept_all(self, versions: list[Version]) -> list[Version]:
        self._sources.accept(self._folder, versions)
        return versions

    def _write_isolated(
        self,
        items: list[Item],
        write: Callable[[list[Item]], list[Version]],
        path_of: Callable[[Item], str],
    ) -> list[Version]:
        """Write all items at once; one by one, if an unforeseen error over one of them prevents that."""
        try:
            return write(items)
        except Exception as error:
            if is_expected(error) or isinstance(error, OSError):
                raise
        done = [self._isolated(path_of(item), partial(write, [item])) or [] for item in items]
        return [version for versions in done for version in versions]

    def _isolated(self, path: str, action: Callable[[], Value]) -> Value | None:
        """Do something about one file; an unforeseen error delays this file alone."""
        try:
            return action()
        except Exception as error:
            if is_expected(error) or isinstance(error, OSError):
                raise
            self._pending.faulted(path, error, unforeseen(error))
            now_s = self._clock.monotonic_s()
            self._tracker.observe(path, 0, 0, now_s)
            self._tracker.hold(path, now_s)
            return None

    def _decided(self, version: Version) -> Take | LeaveOut | Wait | Skip | None:
        """Return the decision about a settled file; None if it cannot be made now."""
        path = version.path
        # A file that is looked at again because its time was too coarse to be trusted is the one it was.
        came_us = 0 if self._sources.was_seen(self._folder, version) else self._came_us(path)
        try:
            match self._results.is_one(version):
                case True:
                    return Skip()
                case None:
                    return None
            decision = self._pairing.decide(path, came_us)
        except OSError as error:
            self._hold_up(path, error)
            return None
        if isinstance(decision, Wait):
            self._pending.waits_for(path, decision.partner)
        return decision

    def _came_us(self, path: str) -> int:
        """Return when a waiting file was first seen, UTC microseconds.

        Files of the first scan were there when the folder was opened; since when is unknown.
        """
        now_s = self._clock.monotonic_s()
        since_s = self._tracker.since_s(path, now_s)
        if self._first_scan_over_s is None or since_s <= self._first_scan_over_s:
            return self._opened_us
        return self._clock.now_us() - int((now_s - since_s) * 1_000_000)

    def _scanned_files(self, scan: Scan) -> Iterable[ScannedFile]:
        yield from scan
        self._skipped.scanned(scan)

    def _observe(self, seen: ScannedFile) -> None:
        self._results.note(seen.path)
        if self._no_pictures.get(seen.path) == (seen.size, seen.mtime_ns):
            return
        version, is_first_look = self._version(seen), self._first_scan_over_s is None
        is_known = self._sources.is_known(self._folder, version)
        if is_known and not self._missing.has_reappeared(seen, version, is_first_look=is_first_look):
            self._rehashing.compare(version)
            self._missing.came_back(seen.path, same=True)
            self._tracker.forget(seen.path)
            return
        if seen.path not in self._tracker:
            self._missing.came_back(seen.path, same=False)
            if is_first_look and self._scope.has_stamps and self._rehashing.is_another(seen):
                self._missing.replaced(seen.path)
        age_s = (self._clock.now_us() * 1000 - seen.mtime_ns) / 1e9
        self._tracker.observe(
            seen.path,
            seen.size,
            seen.mtime_ns,
            self._clock.monotonic_s(),
            quiet_s=max(0.0, age_s) if self._old_is_quiet else 0.0,
        )

    def _came_after(self, seen: ScannedFile, us: int) -> bool:
        """Whether a file came after a time, by its change time: a copy may have the modification time of its original."""
        try:
            with parent_of(self._root, seen.path) as (directory, name):
                changed_ns = os.stat(name, dir_fd=directory, follow_symlinks=False).st_ctime_ns
        except OSError as error:
            if error.errno in NO_WAY:
                return False
            raise
        return max(changed_ns, seen.mtime_ns) > us * 1000

    def _version(self, seen: ScannedFile) -> Version:
        age_ns = abs(self._clock.now_us() * 1000 - seen.mtime_ns)
        return Version(
            path=seen.path,
            size=seen.size,
            mtime_ns=seen.mtime_ns,
            stamp=seen.stamp if self._scope.has_stamps else None,
            provisional=seen.mtime_ns % _COARSE_NS == 0 and age_ns < _PROVISIONAL_NS,
        )

    def _settled_or_held_up(self, path: str) -> Version | None:
        """As `_settled`; a file that cannot be read is delayed alone."""
        try:
            version = self._settled(path)
        except OSError as error:
            self._hold_up(path, error)
            return None
        self._pending.readable(path)
        return version

    def _hold_up(self, path: str, error: OSError) -> None:
        Path(self._root).stat()  # raises if the whole folder cannot be read
        self._pending.unreadable(path, error)
        self._tracker.hold(path, self._clock.monotonic_s())

    def _settled(self, path: str) -> Version | None:
        """Look once more at a file whose quiet time is over; returns None if it is not to be taken now."""
        now_s = self._clock.monotonic_s()
        seen = scan_file(self._root, path, self._boundary())
        if seen is None:
            self._tracker.forget(path)
            return None
        if not self._tracker.observe(path, seen.size, seen.mtime_ns, now_s):
            return None
        probe = open_probe(self._root, path, self._boundary())
        if probe is None:
            self._tracker.forget(path)
        elif probe.held:
            self._tracker.hold(path, now_s)
        elif probe.kind is FileKind.OTHER:
            self._no_pictures[path] = (seen.size, seen.mtime_ns)
            self._tracker.forget(path)
            self._skipped.is_none(path, probe.hint)
        else:
            return self._version(seen)
        return None
