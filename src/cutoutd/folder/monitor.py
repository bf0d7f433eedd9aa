"""The monitor of a hot folder: looks at the folder when it is due, and reports its state.

Each folder has a thread of its own, since any call on a share may hang and must not block other folders. Events are hints to
look sooner; only a scan is reliable.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError, JournalError
from cutoutd.events import Accepted, FolderChanged
from cutoutd.faults.supervised_thread import SupervisedThread
from cutoutd.folder.adoption import Adoption
from cutoutd.folder.arrivals import Arrivals
from cutoutd.folder.pairing import Pairing
from cutoutd.folder.scan_schedule import Due, ScanSchedule
from cutoutd.folder.scope import FolderScope
from cutoutd.folder.skipped_entries import SkippedEntries
from cutoutd.folder.status import (
    Closed,
    FolderSnapshot,
    FolderState,
    FolderStatus,
    closed_by,
    closed_by_system,
    describe,
)
from cutoutd.folder.submissions import SubmissionIntake
from cutoutd.intake.probe import ReadProbes
from cutoutd.intake.rules import rules_of
from cutoutd.intake.watch import EventWatch, UnwatchableError, why_no_events
from cutoutd.logs import get
from cutoutd.settings.types import Existing

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.clock import Clock
    from cutoutd.events import EventSink
    from cutoutd.folder.health import HealthCheck
    from cutoutd.folder.retention import Retention
    from cutoutd.journal.sources import Sources
    from cutoutd.journal.submissions import Submissions
    from cutoutd.settings.schema import Folder

SHOWN: Final = 20
"""The most held-up files that `cutoutd status` names; ``run --once`` names all."""


class FolderMonitor:
    """The monitor of one hot folder.

    Args:
        folder: settings of the folder.
        sources: the versions in the journal.
        health: the health check of the folder.
        clock: clock for quiet times and intervals.
        emit: receives events when files are accepted or the folder's status changes.
        wake: called when the supervisor has something new to look at.
        once: whether to look once, wait until what is there is quiet, and settle.
        retention: removes old history; None: nothing is removed.
        submissions: the submissions in the journal; None: there are none.

    Attributes:
        thread: the thread in which it looks.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        sources: Sources,
        health: HealthCheck,
        clock: Clock,
        emit: EventSink,
        wake: Callable[[], None],
        once: bool,
        retention: Retention | None = None,
        submissions: Submissions | None = None,
    ) -> None:
        self._folder = folder
        self._root = os.fspath(folder.input)
        self._rules = rules_of(folder)
        self._sources = sources
        self._health = health
        self._clock = clock
        self._emit = emit
        self._wake_supervisor = wake
        self._once = once
        self._retention = retention
        self._submissions = submissions
        self._intake: SubmissionIntake | None = None
        self._has_submissions = submissions is not None  # earlier runs may have left some
        self._adoption = Adoption(folder, rules=self._rules, sources=sources, identity=health.identity)
        self._log = get(folder=folder.name)
        self._arrivals: Arrivals | None = None
        self._skipped = SkippedEntries(folder.name)
        self._schedule = ScanSchedule(
            poll_interval_s=folder.poll_interval_s, rescan_interval_s=folder.rescan_interval_s
        )
        self._open_as = (FolderState.STARTING, "")
        self._woken = threading.Event()
        self._stopping = False
        self._requests: deque[str] = deque()
        self._events: EventWatch | None = None
        self._read_probes = ReadProbes(self._root, folder.poll_interval_s)
        self._asking = threading.Lock()
        self._checks_asked = 0
        self._doubts_output = False
        self._checks = 0
        self._recoveries = 0
        self._looks = 0
        self._looking_since_s: float | None = None
        self._looked = threading.Event()
        self._status = FolderStatus()
        self.thread = SupervisedThread(f"watch {folder.name}", self._run, wake)

    @property
    def snapshot(self) -> FolderSnapshot:
        """The folder now; from any thread."""
        # In this order: what a look found is no older than the number of the look.
        return FolderSnapshot(
            looks=self._looks,
            looking_since_s=self._looking_since_s,
            checks=self._checks,
            recoveries=self._recoveries,
            is_identified=self._health.is_identified,
            has_settled=self._has_settled,
            status=self._status,
        )

    @property
    def _has_settled(self) -> bool:
        is_checked = (
            self._checks >= self._checks_asked
        )  # read first: a check shows its result before it counts
        status = self._status
        if not status.is_open:
            return is_checked and status.watching is not FolderState.STARTING
        at_rest = (
            not self._requests
            and not self._has_submissions
            and not self._woken.is_set()
            and self._looking_since_s is None
        )
        return at_rest and status.scanned and status.settling == len(status.held_up)

    def stop(self) -> None:
        """End soon; a thread that hangs on a share is abandoned."""
        self._stopping = True
        self._woken.set()

    def wait_for_first_look(self, timeout_s: float) -> bool:
        """Wait until the folder was looked at, healthy or not; returns whether that happened in time."""
        return self._looked.wait(timeout_s)

    def look_at(self, path: str) -> None:
        """Look at one file soon; from any thread."""
        self._requests.append(path)
        self._woken.set()

    def take_submissions(self) -> None:
        """Take submissions soon; from any thread."""
        self._has_submissions = True
        self._woken.set()

    def check_again(self, probe: str | None = None) -> int:
        """Check the folder's health soon; from any thread.

        Args:
            probe: a file that could not be read, or whose result could not be written.

        Returns:
            The number of the check.
        """
        with self._asking:
            self._checks_asked += 1
            number = self._checks_asked
            if probe is not None:
                self._read_probes.add(probe)
        self._woken.set()
        return number

    def _run(self) -> None:
        # After a death everything is looked at again, as if the folder had been away.
        self._begin_anew()
        try:
            self._looking_since_s = self._clock.monotonic_s()
            while not self._stopping:
                checks = self._checks_asked
                self._turn(is_asked=checks > self._checks)
                self._looking_since_s = None
                self._looks += 1
                self._checks = checks
                self._looked.set()
                self._wake_supervisor()
                files_s = self._arrivals.next_due_s if self._arrivals is not None else None
                others_s = (files_s, self._read_probes.next_s)
                self._woken.wait(self._schedule.pause_s(self._clock.monotonic_s(), others_s))
                self._looking_since_s = self._clock.monotonic_s()
                self._woken.clear()
        finally:
            self._looking_since_s = None
            self._looked.set()
            self._disarm()

    def _begin_anew(self) -> None:
        self._disarm()
        self._arrivals = None
        self._schedule = self._schedule.begun_anew()

    def _turn(self, *, is_asked: bool) -> None:
        now_s = self._clock.monotonic_s()
        if self._events is not None and (broken := self._events.trouble()) is not None:
            self._log.warning("watch.broken", why=broken)
            self._begin_anew()
        due = self._schedule.due(now_s, is_asked=is_asked)
        is_lost = self._arrivals is not None and self._health.misses_mount()
        if due is Due.NOTHING and not is_lost:
            return
        try:
            closed = self._check() if due is Due.CHECK else self._health.recheck()
            if closed is not None:
                self._close(closed)
                return
            arrivals = self._arrivals or self._open()
            if self._schedule.is_rearming_due(now_s):
                self._arm()
            self._recoveries += self._read_probes.retry(now_s)
            # If an adoption was interrupted, nothing may be accepted: the rest would be cut again.
            if self._stopping or self._notice(arrivals):
                self._show(self._status.opened(*self._open_as))
            self._health.note_journal_works()
        except JournalError as error:
            # Not the folder's fault: what was seen of it is kept, and accepted when the journal can be written.
            self._schedule = self._schedule.rested(now_s)
            self._show(self._status.closed(closed_by(error)))
            self._health.note_journal_refused(now_s)
        except OSError as error:
            self._close(closed_by_system(error, self._root))
        except CutoutdError as error:
            self._close(closed_by(error))

    def _check(self) -> Closed | None:
        self._doubts_output = self._read_probes.take_added() or self._doubts_output
        if (closed := self._health.check(thoroughly=self._doubts_output)) is None:
            self._doubts_output = False
        return closed

    def _open(self) -> Arrivals:
        scope = FolderScope(
            name=self._folder.name,
            root=self._root,
            rules=self._rules,
            sources=self._sources,
            clock=self._clock,
            boundary=lambda: self._health.boundary,
            has_stamps=self._health.mode is not None and self._health.mode.has_stamps,
            is_known_disk=self._health.is_known_disk,
        )
        arrivals = Arrivals(
            scope,
            settle_s=self._health.settle_s,
            old_is_quiet=self._once,
            pairing=Pairing(scope, mode=self._folder.raw_pairs, wait_s=self._folder.pair_wait_s),
            skipped=self._skipped,
        )
        if self._health.is_first_start or self._health.took_over:
            self._adoption.carry_out(self._proceeding, is_first_start=self._health.is_first_start)
        self._arrivals = arrivals
        if self._submissions is not None:
            self._intake, self._has_submissions = SubmissionIntake(scope, self._submissions), True
        self._schedule = self._schedule.opened()
        self._arm()
        self._recoveries += 1
        return arrivals

    def _arm(self) -> None:
        """Start the event watch, or start it again after the system had refused it."""
        self._disarm()
        why_not, is_refused = why_no_events(self._folder.watch, self._health.mode, once=self._once), False
        if why_not is None:
            watch = EventWatch(self._root, self._rules, self._woken.set)
            try:
                watch.start()
            except UnwatchableError as error:
                why_not, is_refused = f"{error.cause}. {error.advice}", True
            else:
                self._events = watch
        has_events = self._events is not None
        self._schedule = self._schedule.armed(
            self._clock.monotonic_s(), has_events=has_events, is_refused=is_refused
        )
        self._open_as = (FolderState.NATIVE if has_events else FolderState.POLL, why_not or "")
        self._show(self._status.opened(*self._open_as))

    def _disarm(self) -> None:
        if self._events is not None:
            self._events.stop()
            self._events = None

    def _close(self, closed: Closed) -> None:
        self._disarm()
        self._arrivals = None
        self._read_probes.clear()
        self._schedule = self._schedule.closed(
            self._clock.monotonic_s(), waits_for_owner=self._health.waits_for_owner
        )
        self._show(replace(self._status.closed(closed), settling=0, held_up=()))

    def _show(self, status: FolderStatus) -> None:
        before, self._status = self._status, status
        if (before.watching, before.why) == (status.watching, status.why):
            return
        self._log.info("folder.status", watching=status.watching, why=status.why, trouble=status.trouble)
        if status.why or before.watching is not FolderState.STARTING:
            message = describe(status.watching, status.why)
            name, is_open = self._folder.name, status.is_open
            self._emit(FolderChanged(folder=name, is_open=is_open, message=message))

    def _notice(self, arrivals: Arrivals) -> bool:
        """Take what is there; returns whether the folder may still be worked on."""
        now_s = self._clock.monotonic_s()
        paths = {self._requests.popleft() for _ in range(len(self._requests))}
        if self._events is not None:
            hints = self._events.take()
            paths |= hints.paths
            if hints.scan:
                self._schedule = self._schedule.hinted(now_s)
        self._take_submissions(arrivals)
        arrivals.examine(paths)
        if self._schedule.is_scan_due(now_s):
            self._scan(arrivals)
            if (closed := self._health.recheck()) is not None:  # a scan may take minutes
                self._close(closed)
                return False
        if self._stopping:
            return True  # the configuration may have another folder here by now; the next start takes what is left
        accepted = arrivals.accept_quiet()
        if accepted:
            self._emit(Accepted(count=accepted))
        self._status = replace(
            self._status,
            note="; ".join(filter(None, (self._health.note, arrivals.note))),
            settling=arrivals.settling,
            held_up=arrivals.held_up(arrivals.settling if self._once else SHOWN),
        )
        return True

    def _take_submissions(self, arrivals: Arrivals) -> None:
        """Take submissions first: a scan would take a renamed one for a file that a person dropped."""
        if self._intake is None or not self._has_submissions:
            return
        self._has_submissions = False
        try:
            taken = self._intake.take()
        except BaseException:
            self._has_submissions = True
            raise
        # What is delayed at the end of `run --once` is taken by the next run. Only ever set here: `take_submissions` sets it at any
        # moment, and what is written back after it was read would take that back.
        if self._intake.some_are_delayed and not self._once:
            self._has_submissions = True
        arrivals.submitted(taken)
        if taken:
            self._emit(Accepted(count=len(taken)))

    def _scan(self, arrivals: Arrivals) -> None:
        started_s, cost_s = time.perf_counter(), time.thread_time()
        # Files that another machine had not cut yet were not there before: they were dropped to be cut.
        skips = self._health.is_first_start and not self._health.took_over
        if skips and self._folder.existing is Existing.SKIP:
            arrivals.skip_all(self._health.first_run_us)
        arrivals.scan()
        self._health.remember()
        if self._retention is not None:
            self._retention.step()
        if self._intake is not None:
            self._intake.tidy()
        took_s, cost_s = time.perf_counter() - started_s, time.thread_time() - cost_s
        self._schedule = self._schedule.scanned(self._clock.monotonic_s(), took_s=took_s, cost_s=cost_s)
        self._status = replace(
            self._status,
            scan_s=round(took_s, 1),
            scanned=True,
            links=self._skipped.links,
            unreadable=self._skipped.unreadable,
        )

    def _proceeding(self) -> bool:
        """Record that a long look makes progress; returns whether to continue."""
        self._looking_since_s = self._clock.monotonic_s()
        return not self._stopping
