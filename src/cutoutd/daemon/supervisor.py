"""The supervisor: gives jobs to workers and results to the folders' deliveries, and carries out commands.

One loop in the main thread. It must not touch a hot folder or an output itself, since any call on a share may hang: monitors
and deliveries do, each in a thread of its folder. An unforeseen error over one report, one command or one part of a turn affects
nothing else.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.clock import WallClockGuard
from cutoutd.daemon.commands import CommandHandler
from cutoutd.daemon.dispatcher import Dispatcher
from cutoutd.daemon.offload_coordinator import Coordinator
from cutoutd.daemon.outcomes import Outcomes
from cutoutd.daemon.reload import ReloadPause
from cutoutd.daemon.routes_away import RoutesAway
from cutoutd.daemon.status_outputs import StatusOutputs
from cutoutd.daemon.tally import Tally
from cutoutd.errors import CutoutdError, OutboxError, StorageError
from cutoutd.faults.isolation import Guard, is_expected, one_by_one, report
from cutoutd.logs import get
from cutoutd.protocols import Finished, Lost, Withdrawn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutoutd.clock import Clock
    from cutoutd.daemon.folder_set import FolderSet
    from cutoutd.daemon.outcomes import Held
    from cutoutd.daemon.status_outputs import StatusSinks
    from cutoutd.daemon.tally import Once
    from cutoutd.events import JobEnded
    from cutoutd.journal.journal import Journal
    from cutoutd.offload.webhook_handover import WebhookHandover
    from cutoutd.pool.file_opening import TaskPool
    from cutoutd.protocols import PoolEvent

TICK_S: Final = 0.5
"""The longest delay of a command; each tick costs a look at the journal's header."""

DRAIN_S: Final = 25.0
"""How long a stop waits for pictures in work; service managers kill a process after 30 to 90 s."""

MAX_POLL_FAILURES: Final = 9
"""If polling the pool fails more often in a row, the daemon ends, since it has no workers any more."""

COLLECT_EVERY_S: Final = 60.0
"""Seconds between two full garbage collections. CPython keeps freed tuples for reuse, up to 2,000 of each size, and frees them
only at a full collection (`gc.collect`, its documentation). One happens by itself once the new objects are a quarter of the
old ones; a daemon that starts with tens of thousands and keeps hardly any has one every few hours, which looks like a leak.
One each minute takes 5 ms, or 0.01 % of a core."""


class Supervisor:
    """The daemon's loop.

    Args:
        journal: the journal.
        pool: the workers.
        folders: the hot folders, which may change.
        results: jobs that the deliveries have ended, to be announced.
        sinks: where the run reports to.
        clock: clock for ages and deadlines.
        once: end when nothing is runnable; None: run until stopped.
        routes: where pictures may go in this run; None: nowhere.
        webhooks: hands ended jobs over to the uploader; None: there are no webhooks.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        pool: TaskPool,
        folders: FolderSet,
        results: deque[JobEnded],
        sinks: StatusSinks,
        clock: Clock,
        once: Once | None = None,
        routes: RoutesAway | None = None,
        webhooks: WebhookHandover | None = None,
    ) -> None:
        self._journal = journal
        self._pool = pool
        self._folders = folders
        self._results = results
        self._heartbeat = sinks.heartbeat
        self._commands = CommandHandler(journal, folders, sinks.emit)
        self._emit = sinks.emit
        self._webhooks = webhooks
        self._clock = clock
        self._once = once is not None
        self._end_s = None if once is None or once.timeout_s is None else clock.monotonic_s() + once.timeout_s
        self._log = get()
        self._guard = Guard(self._log, clock)
        self._wall_clock = WallClockGuard(clock)
        self._coordinator = Coordinator(journal, routes or RoutesAway(), results, clock, workers=pool.workers)
        self._outcomes = Outcomes(journal, self._wall_clock, results, self._coordinator, patient=once is None)
        self._dispatcher = Dispatcher(
            journal.queue,
            pool,
            folders,
            coordinator=self._coordinator,
            outcomes=self._outcomes,
            clock=clock,
        )
        self._shown = StatusOutputs(
            journal.queue, pool, folders, sinks, cluster=lambda: self._coordinator.cluster_away
        )
        self._reload_pause = ReloadPause()
        self._has_begun = self._is_asked = self._is_stopping = False
        self._stop_at_s: float | None = None
        self._unhandled: deque[PoolEvent] = deque()
        self._poll_failures = 0
        self._refused = ""
        self._next_tick_s = 0.0
        self._next_collection_s = clock.monotonic_s() + COLLECT_EVERY_S
        self.tally = Tally()

    def stop(self) -> None:
        """Start nothing new, finish what is in work, and end; safe in a signal handler."""
        self._is_stopping = True  # the clock is not read here: what is interrupted may hold its lock
        self._pool.wake()

    @property
    def is_overdue(self) -> bool:
        """Whether the time for pictures in work was over before they were."""
        return self._stop_at_s is not None and self._clock.monotonic_s() >= self._stop_at_s

    def look_at_commands(self) -> None:
        """Carry out commands now instead of at the next tick; safe from any thread."""
        self._is_asked = True
        self._pool.wake()

    def run(self) -> None:
        """Work until stopped, or with ``once`` until nothing is runnable.

        Raises:
            ModelError: the model does not load.
            CutoutdError: the workers do not start, or the journal is damaged.
        """
        try:
            while not self._is_over():
                self._unhandled.extend(self._poll())
                if self._guarded_turn():
                    break
                self._collect_garbage()
            self._look_after_threads()
        except BaseException as error:
            if isinstance(error, CutoutdError) and error.ends_daemon:
                self._put_back_what_is_left()
            # Otherwise a job in work may be the cause: the next start counts the interruption, and gives up after some.
            raise
        else:
            self._put_back_what_is_left()
        finally:
            self._announce()

    def _poll(self) -> Sequence[PoolEvent]:
        """Return the workers' events within a tick; none, if polling raised an unforeseen error.

        Raises:
            CutoutdError: raised by the pool.
        """
        try:
            events = self._pool.poll(TICK_S)
        except Exception as error:
            self._poll_failures += 1
            if is_expected(error) or self._poll_failures > MAX_POLL_FAILURES:
                raise
            report(self._log, error, over="the workers", times=self._poll_failures)
            time.sleep(TICK_S)
            return ()
        self._poll_failures = 0
        return events

    def _collect_garbage(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_collection_s:
            self._next_collection_s = now_s + COLLECT_EVERY_S
            gc.collect()

    def _guarded_turn(self) -> bool:
        """Run `_turn`, and handle its errors."""
        try:
            is_over = self._guard.run("a turn of the main loop", self._turn, False)
            self._refused = ""
        except StorageError as error:
            # Nothing is lost: what is not written yet is still in memory.
            self._note_refusal(error)
            is_over = False
        if not self._guard.has_failed("a turn of the main loop"):
            self._beat()  # otherwise the service manager restarts us
        return is_over

    def _turn(self) -> bool:
        """Do what is due; returns whether, with ``once``, that was all.

        Raises:
            StorageError: the journal cannot be written now; to be called again.
        """
        while self._unhandled:
            self._handle_event(self._unhandled[0])
            self._unhandled.popleft()
        if self._pool.is_sound or self._is_stopping:
            self._outcomes.requeue_lost()
        self._tick()
        self._announce()
        if not self._is_stopping:
            self._guard.run("a reload", self._reconfigure, None)
        dispatch = partial(self._dispatcher.dispatch, is_paused=self._commands.paused)
        dispatched = not self._is_stopping and self._guard.run("the dispatcher", dispatch, False)
        some_wait = self._commands.take_submissions(is_work_wanted=self._dispatcher.is_work_wanted)
        return self._once and not dispatched and not some_wait and self._is_exhausted()

    def _reconfigure(self) -> None:
        now_s = self._clock.monotonic_s()
        change = self._folders.reconfigure(self._heartbeat, may_begin=self._reload_pause.allows(now_s))
        if change is not None:
            self._reload_pause.changed(now_s)
            if change.workers:
                self._pool.recycle()  # the old ones have the old limits
            self._next_tick_s = 0.0
            self._has_begun = self._is_asked = False
            self._coordinator.announce()
            if self._webhooks is not None:
                self._webhooks.changed()
        self._commands.settle_reloads()

    def _beat(self) -> None:
        if self._pool.facts is not None:
            self._heartbeat.mark_ready()
        # Not leaving folders: they are not looked at any more, however long a share blocks them.
        self._heartbeat.beat(self._folders.active.values())
        if self._is_stopping:
            self._heartbeat.draining()

    def _note_refusal(self, error: StorageError) -> None:
        if error.cause != self._refused:
            self._log.error("journal.refused", why=str(error))
            self._refused = error.cause

    def _is_over(self) -> bool:
        now_s = self._clock.monotonic_s()
        if self._end_s is not None and now_s >= self._end_s:
            self.stop()
            self._end_s = None
        if not self._is_stopping:
            return False
        if self._stop_at_s is None:
            self._stop_at_s = now_s + DRAIN_S
        drained = not self._dispatcher.in_hand and all(
            folder.delivery.is_idle for folder in self._folders.all_folders
        )
        return drained or now_s >= self._stop_at_s

    def _is_exhausted(self) -> bool:
        """Whether nothing is in work, waiting to be published, or to be expected from any folder."""
        folders = self._folders.all_folders
        return (
            self._folders.is_settled
            and all(folder.has_settled for folder in folders)
            and not self._outcomes.lost_jobs
            and not self._results
            and not self._coordinator.expects_more
            and not (self._webhooks is not None and self._webhooks.expects_more())
            and all(folder.delivery.is_idle for folder in folders)
            and self._dispatcher.is_exhausted(is_paused=self._commands.paused)
        )

    @property
    def _unfinished(self) -> list[Held]:
        """The jobs that workers have, and those that are to be tried again after a worker's death."""
        return [*self._dispatcher.in_hand.values(), *self._outcomes.lost_jobs]

    def _put_back_what_is_left(self) -> None:
        for held in self._unfinished:
            try:
                self._journal.queue.put_back(held.job.id)
            except StorageError as error:
                self._note_refusal(error)  # the next start takes it over from this session
            else:
                self._log.info("job.put-back", job=held.job.id, folder=held.job.folder)
        try:
            self._commands.remove_handed_on()
            self._journal.queue.end_session()
        except StorageError as error:
            self._note_refusal(error)
        self._dispatcher.in_hand.clear()
        self._outcomes.lost_jobs.clear()

    def _tick(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s < self._next_tick_s:
            if self._is_asked:
                self._is_asked = False
                self._guard.run("the commands", self._commands.poll, None)
            return
        self._next_tick_s = now_s + TICK_S
        if (jump_s := self._wall_clock.check()) != 0.0:
            self._log.warning("clock.jumped", seconds=round(jump_s, 1))
        self._look_after_threads()
        for part, action in (
            ("the watch over the folders", partial(self._watch_over_folders, now_s)),
            ("the hosted route", self._look_at_hosted_route),
            ("the webhooks", self._webhooks.poll if self._webhooks is not None else lambda: None),
            ("the folders", self._reconcile),
            ("the commands", self._commands.poll),
            ("what rests", self._journal.queue.queue_due),
            ("the status", partial(self._shown.show, paused=self._commands.paused)),
        ):
            self._guard.run(part, action, None)

    def _look_after_threads(self) -> None:
        now_s = self._clock.monotonic_s()
        for folder in self._folders.all_folders:
            folder.look_after_threads(now_s)

    def _look_at_hosted_route(self) -> None:
        try:
            if not self._has_begun:
                self._coordinator.begin(self._folders.active)
                self._has_begun = True
            self._coordinator.poll(self._folders.active)
        except OutboxError as error:
            self._coordinator.suspend(str(error))

    def _reconcile(self) -> None:
        self._folders.reconcile({held.folder for held in self._unfinished})

    def _watch_over_folders(self, now_s: float) -> None:
        if self._folders.watch_over(
            now_s,
            in_hand={number: held.folder for number, held in self._dispatcher.in_hand.items()},
            blocked_on_io=set(self._pool.blocked_on_io),
            left_behind=set(self._pool.left_behind),
        ):
            self._pool.recycle()

    def _handle_event(self, event: PoolEvent) -> None:
        held = self._dispatcher.in_hand.get(event.job)
        if held is None:
            self._log.warning("job.not-in-hand", job=event.job)
            return
        try:
            match event:
                case Finished():
                    self._reload_pause.worked()
                    self._outcomes.take(held, event.report)
                case Lost():
                    self._outcomes.take_lost(held, event)
                    held.folder.opener.discard(held.task)
                case Withdrawn():
                    self._journal.queue.put_back(held.job.id)
                    held.folder.opener.discard(held.task)
                    if event.why:
                        self._coordinator.given_back(held.job, event.why)
        except Exception as error:
            if is_expected(error):
                raise
            job = held.job
            report(self._log, error, over="a report", job=job.id, folder=job.folder, path=job.path)
            held.folder.delivery.reject_report(job)
        self._dispatcher.forget(held.job)

    def _announce(self) -> None:
        while self._results:
            one_by_one([self._results.popleft()], self._announce_one, self._log_announcement_failure)

    def _announce_one(self, result: JobEnded) -> None:
        self.tally.add(result.job, result.state, doubtful=result.doubtful)
        self._heartbeat.ended(result.state)
        self._emit(result)

    def _log_announcement_failure(self, result: JobEnded, error: Exception) -> None:
        report(self._log, error, over="what is told of a job", job=result.job, path=result.path)
