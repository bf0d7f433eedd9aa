"""The daemon's side of the hosted route: copies and requests for the uploader, and its replies.

Main thread only, since the directories are beside the journal, on its disk. It must not open a picture or a body, and
decides nothing about a job.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errors import OutboxError
from cutoutd.exchange import messages, spool
from cutoutd.exchange.spool import Request, SpoolPaths, UploadReply
from cutoutd.exchange.upload_records import write_known
from cutoutd.journal.uploads import uploaded
from cutoutd.logs import get
from cutoutd.offload import spool_files
from cutoutd.task_route import Export

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.jobs import Exported, Job
    from cutoutd.journal.journal import Journal
    from cutoutd.offload.routing import RoutePlan

MAX_WAITING: Final = 32
"""Most copies in the outbox: enough to keep any service busy, few enough for the disk."""

START_S: Final = 30.0
"""Time after our start in which the uploader may still be starting, or that of an earlier run ending."""

OFFLINE_S: Final = 20.0
"""Time without a connection after which `run --once` no longer waits."""

FAILURES: Final = 5
"""Failed uploads in a row after which `run --once` no longer waits; with the pauses between them, half a minute."""

REST_S: Final = 15.0
"""Pause after the outbox refused a copy: each attempt costs the time of a worker."""

LITTLE_TIME_S: Final = 120.0
"""Longest pause of a service for which `run --once` waits."""

TICK_NS: Final = 2_000_000_000
"""Resolution of the times of the coarsest file system."""

MAX_COPY_PIXELS: Final = 50_000_000
MAX_COPY_BYTES: Final = 12_000_000
"""Limits of remove.bg, the narrowest of the services."""


@contextmanager
def _refusals(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutboxError(f"{what}: {error.strerror}", path=path) from error


class Outbox:
    """The jobs whose pictures are being uploaded, by request.

    Args:
        state_dir: the state directory.
        journal: has the jobs that wait for an answer.
        clock: source of monotonic time.
        max_upload_px: longer side of a copy, in pixels; 0: the limit of the services.
        once: whether the run ends by itself, and so does not wait for a service that fails again and again.
        in_force: returns the `uploads_sha256` of the configuration in force.

    Attributes:
        paths: the directories.
        closed: why nothing can be uploaded now; empty while it can.
    """

    def __init__(
        self,
        state_dir: Path,
        journal: Journal,
        clock: Clock,
        *,
        max_upload_px: int,
        once: bool,
        in_force: Callable[[], str],
    ) -> None:
        self.paths = SpoolPaths.under(state_dir)
        self._journal = journal
        self._clock = clock
        self._uploader_awaited_until_s = clock.monotonic_s() + START_S
        self._max_side = max_upload_px or MAX_COPY_PIXELS
        self._once = once
        self._in_force = in_force
        self._log = get()
        self._exports: dict[int, str] = {}
        self._sent: dict[str, Job] = {}
        self._refused: dict[str, str] = {}
        self._answered: set[str] = set()
        self._seen_ns = -1
        self._logged = self._rests_why = self._crowded = self._unremoved = ""
        self._rests_until_s = 0.0
        self._comes_back = False
        self._offline_since_s: float | None = None
        self.closed = ""

    def open(self) -> None:
        """Create the directories and announce the configuration in force.

        Raises:
            OutboxError: the disk refuses.
        """
        with _refusals("the outbox cannot be made", self.paths.root):
            self.paths.make()
            self.share_upload_count()
            spool.announce(self.paths, self._in_force())

    def share_upload_count(self) -> None:
        """Write what the journal knows of uploads, so that the uploader can check whether its ledger is complete.

        Raises:
            OSError: the disk refuses.
            JournalError: the journal cannot be read.
        """
        known = uploaded(self._journal.store)
        if known is not None:
            write_known(self.paths.uploaded, known)

    @property
    def awaited(self) -> Collection[str]:
        """Ids of the messages whose jobs wait for an answer."""
        return self._sent.keys()

    @property
    def has_room(self) -> bool:
        """Whether another copy may be made."""
        return not self.closed and len(self._sent) + len(self._exports) < MAX_WAITING

    @property
    def expects_more(self) -> bool:
        """Whether an answer can be expected soon without a person's help."""
        is_coming = not self.closed or self._comes_back
        return is_coming and any(job.folder not in self._refused for job in self._sent.values())

    def closed_for(self, folder: str) -> str:
        """Return why nothing of a folder can be uploaded now; empty while it can."""
        return self.closed or self._refused.get(folder, "")

    def announce(self) -> None:
        """Make the uploader read the configuration again. Until then, folders whose tag it does not know wait.

        Raises:
            OutboxError: the disk refuses.
        """
        with _refusals("the uploader cannot be notified", self.paths.root):
            spool.announce(self.paths, self._in_force())
        self._uploader_awaited_until_s = self._clock.monotonic_s() + START_S

    def refresh(self, *, rebuilt: bool) -> None:
        """Find out whether pictures can be uploaded.

        Args:
            rebuilt: whether the journal was rebuilt and no `resume` has followed.
        """
        self._comes_back = False
        if rebuilt:
            self.closed = "the journal was rebuilt or put back; what was uploaded before is unknown until `cutoutd resume`"
        elif self._crowded:
            self.closed = self._crowded
        elif self._clock.monotonic_s() < self._rests_until_s:
            self.closed = self._rests_why
        elif os.path.lexists(self.paths.paused):
            self.closed = "the hosted route is paused until `cutoutd resume --hosted`"
        else:
            self._ask_the_uploader()

    def back_off(self, why: str) -> None:
        """Pause the hosted route for `REST_S`."""
        self.closed = self._rests_why = why
        self._rests_until_s = self._clock.monotonic_s() + REST_S

    def export(self, job: Job) -> Export:
        """Return where a worker puts the copy of a job's picture: not in the outbox, where no worker can write."""
        id_ = self._exports.setdefault(job.id, messages.new_id())
        return Export(
            file=os.fspath(self.paths.copies / f"{id_}.jpg"),
            max_side=self._max_side,
            max_pixels=MAX_COPY_PIXELS,
            max_bytes=MAX_COPY_BYTES,
        )

    def drop_export(self, job: int) -> None:
        """Forget an export from which no copy was made."""
        if (id_ := self._exports.pop(job, None)) is not None:
            self._remove(self.paths.outbox, id_)
            spool_files.sweep(self.paths.copies, self._exports.values())

    def send(self, job: Job, copy: Exported, plan: RoutePlan) -> None:
        """Hand a copy to the uploader. The journal records it first.

        Raises:
            CopyError: the file is not the copy that the worker has reported.
            OutboxError: the disk refuses; nothing was handed over.
        """
        id_ = self._exports[job.id]
        self._check(copy)
        source, file = self.paths.copies / f"{id_}.jpg", f"{id_}.jpg"
        with _refusals("the outbox refuses", self.paths.outbox):
            spool_files.take_over(source, self.paths.outbox / file, copy, max_bytes=MAX_COPY_BYTES)
        plan = plan.but(width=copy.width, height=copy.height)
        # The answer is checked against the size of the copy, which is known only now.
        job = replace(job, detail=plan.detail() | {"parcel": id_})
        self._journal.queue.upload(job.id, job.detail)
        request = Request(
            id=id_,
            folder=job.folder,
            job=job.id,
            why=plan.why,
            file=file,
            bytes=copy.bytes,
            sha256=copy.sha256,
            width=copy.width,
            height=copy.height,
            source_sha256=copy.source.sha256,
            again=plan.again,
            settings=self._in_force(),
        )
        with _refusals("the outbox refuses", self.paths.outbox):
            spool.write_message(self.paths.outbox, request)
        del self._exports[job.id]
        spool_files.sweep(self.paths.copies, self._exports.values())
        self._sent[id_] = job
        self._log.info("upload.requested", folder=job.folder, job=job.id, path=job.path, why=plan.why)

    def _check(self, copy: Exported) -> None:
        """Check the reported size: it decides the price in advance, and the reply is checked against it."""
        longer = max(copy.width, copy.height)
        if min(copy.width, copy.height) < 1 or longer > self._max_side:
            raise spool_files.CopyError(f"a copy of {copy.width} x {copy.height} was not asked for")
        if copy.width * copy.height > MAX_COPY_PIXELS:
            raise spool_files.CopyError(f"a copy of {copy.width} x {copy.height} has too many pixels")

    def answers(self) -> Iterator[tuple[Job, UploadReply]]:
        """Yield the new replies with their jobs. Replies that no job waits for are removed."""
        try:
            changed_ns = self.paths.inbox.stat().st_mtime_ns
        except OSError:
            return
        if changed_ns == self._seen_ns:
            return
        # Looked up by name: the inbox may hold any number of other files.
        try:
            found = [
                one for id_ in sorted(self._sent) if (one := spool.find_reply(self.paths, id_)) is not None
            ]
            is_tidy = self._tidy(self.paths.inbox)
        except OSError as error:
            self._warn_once(f"the inbox cannot be read: {error.strerror}")
            return
        self._logged = ""
        for reply in found:
            if (job := self._sent.get(reply.id)) is not None:
                yield job, reply
        # The time of a directory has a coarse resolution: a change within the current tick would not show in it.
        is_over = self._clock.now_us() * 1000 - changed_ns > TICK_NS
        self._seen_ns = changed_ns if is_over and is_tidy else -1

    def _tidy(self, box: Path, *, throughout: bool = False) -> bool:
        """Tidy a directory as `spool_files.tidy` does. Returns whether that is complete. Too many files close the route."""
        kept = {*self._sent, *self._exports.values(), *self._answered}
        tidied = spool_files.tidy(box, kept, throughout=throughout)
        self._crowded = (
            f"{box} holds files that belong to no request; they are being removed"
            if tidied.is_crowded
            else ""
        )
        if tidied.refused and tidied.refused != self._unremoved:
            self._log.warning("spool.not-removed", path=os.fspath(box), why=tidied.refused)
        self._unremoved = tidied.refused
        return tidied.is_whole

    def mark_answered(self, id_: str) -> None:
        """Note that the answer is in the journal."""
        self._sent.pop(id_, None)
        self._answered.add(id_)

    def discard_reply(self, reply: UploadReply) -> None:
        """Remove a reply that is not needed any more."""
        self._answered.discard(reply.id)
        self._remove(self.paths.inbox, reply.id)

    def withdraw(self, job: Job) -> dict[str, Any]:
        """Stop the upload of a job before the next byte.

        Returns:
            The egress record for the sidecar; only the ledger knows how much had been sent.
        """
        id_ = str(job.detail.get("parcel", ""))
        self._sent.pop(id_, None)
        self._remove(self.paths.outbox, id_)
        status = spool.uploader_status(self.paths)
        return {
            "provider": str(status.get("provider", "")),
            "host": str(status.get("host", "")),
            "bytes": None,
            "sha256": None,
            "at": None,
            "credits": None,
            "why": str(job.detail.get("why", "")),
            "repeated": False,
            "withdrawn": True,
        }

    def reconcile(self, uploading: Collection[Job], answered: Collection[Job]) -> list[Job]:
        """Take over the uploads of an earlier run, and remove files that have no job.

        Args:
            uploading: jobs that wait for an answer.
            answered: jobs that have an answer and wait for a worker.

        Returns:
            The jobs that wait for an answer and have neither request nor reply: a crash came in between.

        Raises:
            OutboxError: the disk refuses.
        """
        ids = {str(job.detail.get("parcel", "")): job for job in uploading}
        waiting = {id_: one for id_ in ids if (one := spool.find_request(self.paths, id_)) is not None}
        with _refusals("the inbox cannot be read", self.paths.inbox):
            there = {id_ for id_ in ids if id_ in waiting or spool.find_reply(self.paths, id_) is not None}
        self._sent = {id_: job for id_, job in ids.items() if id_ in there}
        self._answered = {str(job.detail["reply"]["id"]) for job in answered}
        spool_files.sweep(self.paths.copies, self._exports.values())
        with _refusals("outbox and inbox cannot be tidied", self.paths.root):
            for box in (self.paths.outbox, self.paths.inbox):
                if not self._tidy(box, throughout=True):
                    raise OutboxError(
                        "it holds files that belong to no request; they are being removed", path=box
                    )
            settings = self._in_force()
            for id_ in self._sent:
                if id_ in waiting and waiting[id_].settings != settings:
                    spool.write_message(self.paths.outbox, replace(waiting[id_], settings=settings))
        self._seen_ns = -1
        return [job for id_, job in ids.items() if id_ not in self._sent]

    def _ask_the_uploader(self) -> None:
        status = spool.uploader_status(self.paths)
        self._refused = {}
        if not status:
            is_awaited = self._clock.monotonic_s() < self._uploader_awaited_until_s
            self.closed = "" if is_awaited else "the uploader does not run"
            return
        route = status.get("route")
        self._comes_back = self._may_come_back(route, status.get("wait_s"))
        self.closed = "" if route == "open" else str(status.get("why") or "the hosted route is closed")
        failures = status.get("failures")
        if self._once and isinstance(failures, int) and failures >= FAILURES:
            self._comes_back = False
            self.closed = f"{failures} uploads in a row failed: {status.get('trouble')}"
        folders = status.get("folders")
        for name, folder in folders.items() if isinstance(folders, dict) else ():
            if isinstance(folder, dict) and folder.get("why"):
                self._refused[str(name)] = str(folder["why"])

    def _may_come_back(self, route: object, wait_s: object) -> bool:
        """Whether a closed route is likely to open by itself soon."""
        if route != "offline":
            self._offline_since_s = None
            is_little = isinstance(wait_s, int | float) and wait_s <= LITTLE_TIME_S
            return route == "waiting" and is_little  # the service asked for a short pause
        now_s = self._clock.monotonic_s()
        if self._offline_since_s is None:
            self._offline_since_s = now_s
        return now_s - self._offline_since_s < OFFLINE_S

    def _warn_once(self, why: str) -> None:
        if why != self._logged:
            self._log.warning("inbox.unreadable", path=os.fspath(self.paths.inbox), why=why)
        self._logged = why

    def _remove(self, directory: Path, id_: str) -> None:
        if not id_:
            return
        try:
            spool.remove_message(directory, id_)
        except OSError as error:
            self._log.warning("spool.not-removed", why=str(error))
