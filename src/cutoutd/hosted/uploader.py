"""The main loop of the uploader: watches the outbox, runs the threads that send, and writes the status.

It must not read anything but the directories that it shares with the supervisor.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from cutoutd import logs
from cutoutd.clock import rfc3339, utc_day
from cutoutd.errors import CutoutdError
from cutoutd.exchange import spool
from cutoutd.exchange.upload_records import read_known
from cutoutd.faults.isolation import Guard, describe, report
from cutoutd.hosted.entries import DayUsage
from cutoutd.hosted.ledger import LedgerDamagedError, LedgerError, day_of
from cutoutd.hosted.ledger_recovery import LedgerCheck
from cutoutd.hosted.queue import UploadQueue
from cutoutd.hosted.request_reader import DISK_S, RequestReader
from cutoutd.hosted.status import UploaderStatus
from cutoutd.hosted.upload_job import UploadJob

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from cutoutd.exchange.spool import Request
    from cutoutd.hosted.context import UploadContext
    from cutoutd.hosted.route import RouteSnapshot
    from cutoutd.hosted.webhook_sender import WebhookSender

LOOK_S: Final = 0.2
DRAIN_S: Final = 15.0
"""Time for answers to pictures that were sent whole when the uploader is to stop, since they may be paid for."""

_LASTS_S: Final = 3.0
"""Shortest time before the uploader restarts for another configuration."""

_TRIM_S: Final = 3600.0
_STATUS_S: Final = 1.0
_PARCEL: Final = re.compile(r"([0-9a-f]{32})\.json")


class UploaderDiedError(CutoutdError):
    """A sending thread ended with an unforeseen error."""

    title = "The uploader had an internal error"


class Uploader:
    """The main loop and its state.

    Args:
        context: what all uploads share.
        sender: sends the webhooks.
        announced: last announcement of the supervisor before the configuration was read.
        layers: active layers of the sandbox, for the status.
        parent: process id of the parent, at whose end the uploader stops; None for none.
    """

    def __init__(
        self,
        context: UploadContext,
        sender: WebhookSender,
        *,
        announced: str,
        layers: tuple[str, ...],
        parent: int | None,
    ) -> None:
        self._context = context
        self._sender = sender
        self._announced = announced
        self._ledger_check = LedgerCheck(context)
        self._reader = RequestReader(context)
        self._started_s = context.clock.monotonic_s()
        self._layers = layers
        self._parent = parent
        self._queue = UploadQueue(route=context.route, budget=context.budget, stopping=context.stopping)
        self._log = logs.get()
        self._guard = Guard(self._log, context.clock)
        self._fault: BaseException | None = None
        self._day = -1
        self._last_written: tuple[Any, ...] = ()
        self._status_due_s = self._trim_due_s = 0.0
        self._was_paused = False
        # Half of the threads wait for the service while the others write what came.
        self._threads = [
            threading.Thread(target=self._serve, name=f"upload-{number}", daemon=True)
            for number in range(2 * context.settings.hosted.concurrency if context.settings.tagged else 0)
        ]

    def run(self) -> None:
        """Run until stopped, then wait for answers to pictures that were sent whole.

        Raises:
            UploaderDiedError: a thread ended with an error.
        """
        for thread in self._threads:
            thread.start()
        self._sender.start()
        settings = self._context.settings
        self._log.info(
            "hosted.started",
            host=self._context.host if settings.tagged else "",
            provider=self._context.provider.name if settings.tagged else "",
            folders=[folder.name for folder in settings.tagged],
            webhooks=[folder.name for folder in settings.with_webhooks],
            sandbox=list(self._layers),
        )
        while not self._context.stopping.is_set() and self._fault is None:
            try:
                self._guard.run("the outbox", self._poll, None)
            except CutoutdError as error:
                self._fault = error
            self._fault = self._fault or self._sender.fault
            self._context.stopping.wait(LOOK_S)
        self._context.stopping.set()
        self._queue.close()
        deadline_s = self._context.clock.monotonic_s() + DRAIN_S
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - self._context.clock.monotonic_s()))
        self._sender.join(deadline_s)
        self._fault = self._fault or self._sender.fault
        self._write_status(force=True, ended=True)
        self._log.info("hosted.ended", unanswered=sum(thread.is_alive() for thread in self._threads))
        if isinstance(self._fault, CutoutdError):
            raise self._fault
        if self._fault is not None:
            raise UploaderDiedError(f"{type(self._fault).__name__}: {self._fault}") from self._fault

    def _poll(self) -> None:
        context = self._context
        if self._parent is not None and os.getppid() != self._parent:
            self._log.warning("hosted.orphaned")
            context.stopping.set()
            return
        if self._is_outdated():
            self._log.info("hosted.begins-anew")
            context.stopping.set()  # it is started again by its parent, and reads the configuration then
            return
        paused = os.path.lexists(context.paths.paused)
        self._was_paused = paused
        self._queue.pause(paused=paused or bool(self._ledger_check.why))
        was_told = self._ledger_check.why  # a resume before that is no consent to the loss
        try:
            self._ledger_check.poll()
            if os.path.lexists(context.paths.resumed):
                if was_told:
                    self._ledger_check.accept()
                self._day = -1
                context.paths.resumed.unlink()
                context.route.resume()
            self._queue.pause(paused=paused or bool(self._ledger_check.why))
            context.ledger.check()
            self._begin_day()
            names = os.listdir(context.paths.outbox)  # noqa: PTH208 -- only names are needed
            self._sender.poll(paused=paused or bool(self._ledger_check.why))
        except (OSError, LedgerError) as error:
            context.route.back_off(str(error), DISK_S)
            self._sender.pause()
            return
        ids = {found[1] for name in names if (found := _PARCEL.fullmatch(name))}
        self._queue.keep_only(ids)
        self._reader.keep_only(ids)
        for request in self._reader.read(self._queue.unknown(sorted(ids))):
            self._enqueue(request)
        now_s = context.clock.monotonic_s()
        if now_s >= self._trim_due_s:
            self._trim_due_s = now_s + _TRIM_S
            if removed := context.response_cache.trim(context.clock.now_us() / 1e6):
                self._log.info("hosted.forgot", replies=removed)
        self._write_status()

    def _is_outdated(self) -> bool:
        """Whether the supervisor has another configuration by now.

        Frequent reloads restart this process only now and then: pictures that both configurations allow go on meanwhile.
        """
        if self._context.clock.monotonic_s() < self._started_s + _LASTS_S:
            return False
        now = spool.announcement(self._context.paths)
        if now == self._announced:
            return False
        self._announced = now
        return not now.startswith(self._context.configuration)

    def _enqueue(self, request: Request) -> None:
        try:
            self._queue.offer(request, self._context.price(request))
        except Exception as error:  # noqa: BLE001 -- a fault of one request must not affect others
            report(
                self._log, error, over="a request", job=request.job, folder=request.folder, request=request.id
            )
            self._reader.reject(request.id, error)

    def _begin_day(self) -> None:
        """Load what was spent when a new day (UTC) begins."""
        now_us = self._context.clock.now_us()
        if day_of(now_us) != self._day:
            spent = {folder: one.credits for folder, one in self._context.ledger.day(now_us).items()}
            accepted = read_known(self._context.paths.accepted)
            if accepted is not None and accepted.day == utc_day(rfc3339(now_us)):
                # Today's uploads that the ledger has lost.
                lost = accepted.credits
                spent = {name: spent.get(name, 0.0) + lost.get(name, 0.0) for name in spent | dict(lost)}
            self._context.budget.set_spent(spent)
            self._day = day_of(now_us)

    def _serve(self) -> None:
        """Send one request after the other: the function of a thread."""
        try:
            while (request := self._queue.wait_for_next()) is not None:
                finished = False
                try:
                    finished = self._run(request)
                except (OSError, LedgerError) as error:
                    self._log.warning("hosted.disk", why=str(error))
                    self._context.route.back_off(f"the disk refuses: {error}", DISK_S)
                finally:
                    self._queue.done(request, finished=finished)
                if not finished:
                    self._context.stopping.wait(LOOK_S)  # the loop needs time to see the reason
        except BaseException as error:  # noqa: BLE001 -- the loop ends the process loudly
            self._fault = error
            self._context.stopping.set()

    def _run(self, request: Request) -> bool:
        """Upload one request. An internal error fails that request alone."""
        try:
            return UploadJob(context=self._context, request=request).run()
        except (OSError, LedgerError, LedgerDamagedError):
            raise
        except Exception as error:  # noqa: BLE001 -- as above
            bound = {"job": request.job, "folder": request.folder, "request": request.id}
            report(self._log, error, over="an upload", **bound)
            self._context.route.abandoned()
            self._reader.answer(request.id, f"cutoutd had an internal error ({describe(error)})")
            return True

    def _write_status(self, *, force: bool = False, ended: bool = False) -> None:
        """Write the status if something has changed, at most once every `_STATUS_S`."""
        now_s = self._context.clock.monotonic_s()
        snapshot = self._context.route.snapshot()
        waiting, uploading = self._queue.counts()
        waiting.update(self._reader.deferred())
        refusals = self._queue.refusals() | self._reader.refusals()
        state = (
            replace(snapshot, wait_s=0.0, trouble=""),
            self._was_paused,
            self._ledger_check.why,
            tuple(waiting.items()),
            tuple(uploading.items()),
            tuple(refusals.items()),
            [tuple(one.values()) for one in self._sender.status()],
        )
        if not force and (now_s < self._status_due_s or state == self._last_written):
            return
        self._last_written, self._status_due_s = state, now_s + _STATUS_S
        with suppress(LedgerError):
            status = self._status(snapshot, waiting, uploading, refusals)
            (replace(status, pid=None) if ended else status).write(self._context.paths)

    def _status(
        self,
        snapshot: RouteSnapshot,
        waiting: Counter[str],
        uploading: Counter[str],
        refusals: Mapping[str, str],
    ) -> UploaderStatus:
        context = self._context
        now_us = context.clock.now_us()
        used = context.ledger.day(now_us)
        names = {folder.name for folder in context.settings.tagged} | used.keys() | waiting.keys()
        why = self._ledger_check.why or context.scrubbed(snapshot.why)
        return UploaderStatus(
            pid=os.getpid(),
            at=rfc3339(now_us),
            day=utc_day(rfc3339(now_us)),
            provider=context.provider.name,
            host=context.host,
            sandbox=self._layers,
            route="paused" if self._was_paused or self._ledger_check.why else snapshot.state.value,
            why="by `cutoutd pause --hosted`" if self._was_paused else why,
            wait_s=round(snapshot.wait_s, 1),
            failures=snapshot.failures,
            trouble=context.scrubbed(snapshot.trouble),
            in_flight=uploading.total(),
            waiting=waiting.total(),
            today={
                "uploads": sum(one.uploads for one in used.values()),
                "bytes": sum(one.bytes for one in used.values()),
                "credits": sum(one.credits for one in used.values()),
            },
            folders={
                name: {
                    **asdict(used.get(name, DayUsage())),
                    "in_flight": uploading[name],
                    "waiting": waiting[name],
                    "why": refusals.get(name, ""),
                }
                for name in sorted(names)
            },
            webhooks=self._sender.status(),
        )
