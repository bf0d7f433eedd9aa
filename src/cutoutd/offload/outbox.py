"""The daemon's side of the hosted route: copies and requests for the uploader, and its replies.

Main thread alone: the directories lie beside the journal, on its disk. It must not open a picture or a body, and
decides nothing about a job.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errors import OutboxError
from cutoutd.exchange import spool
from cutoutd.exchange.spool import Request, SpoolPaths, UploadReply
from cutoutd.exchange.upload_records import write_known
from cutoutd.jobs import Export
from cutoutd.journal.uploads import uploaded
from cutoutd.logs import get
from cutoutd.offload import spool_files

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.jobs import Exported, Job
    from cutoutd.journal.journal import Journal
    from cutoutd.offload.routing import RoutePlan

MAX_WAITING: Final = 32
"""Copies in the outbox: enough to keep any service busy, few enough for the disk."""

START_S: Final = 30.0
"""So long after our own start the uploader may still be starting, or an earlier run's be ending."""

OFFLINE_S: Final = 20.0
"""Without a connection for longer, `run --once` waits no more."""

FAILURES: Final = 5
"""Nor after so many uploads in a row that came to nothing: with the growing pauses between them, half a minute."""

REST_S: Final = 15.0
"""After the outbox refused a copy: each try costs a worker's time."""

LITTLE_TIME_S: Final = 120.0
"""Nor for a service that asks for more time than this."""

TICK_NS: Final = 2_000_000_000
"""Of the coarsest file system's times."""

MAX_COPY_PIXELS: Final = 50_000_000
MAX_COPY_BYTES: Final = 12_000_000
"""What remove.bg takes, the narrowest of the services."""


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
        journal: knows which jobs wait for an answer.
        clock: its monotonic side.
        max_upload_px: pixels of a copy's longer side; 0: as many as the services take.
        once: the run ends by itself, and does not wait for a service that fails again and again.
        in_force: gives the `uploads_sha256` of the configuration in force.

    Attributes:
        paths: the directories.
        closed: why nothing can be uploaded just now; empty while it can.
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
        self._told = self._rests_why = self._crowded = self._unremoved = ""
        self._rests_until_s = 0.0
        self._comes_back = False
        self._offline_since_s: float | None = None
        self.closed = ""

    def open(self) -> None:
        """Make the directories, and say by which configuration we work.

        Raises:
            OutboxError: the disk refuses.
        """
        with _refusals("the outbox cannot be made", self.paths.root):
            self.paths.make()
            self.share_upload_count()
            spool.announce(self.paths, self._in_force())

    def share_upload_count(self) -> None:
        """Tell the uploader what the journal knows of uploads, for it to see whether its ledger is whole.

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
        """Whether an answer can be expected before long, without anybody's help."""
        is_coming = not self.closed or self._comes_back
        return is_coming and any(job.folder not in self._refused for job in self._sent.values())

    def closed_for(self, folder: str) -> str:
        """Why nothing of a folder can be uploaded just now; empty while it can."""
        return self.closed or self._refused.get(folder, "")

    def announce(self) -> None:
        """Have the uploader read the configuration anew; until it has, what it does not know to be tagged waits.

        Raises:
            OutboxError: the disk refuses.
        """
        with _refusals("the uploader cannot be told", self.paths.root):
            spool.announce(self.paths, self._in_force())
        self._uploader_awaited_until_s = self._clock.monotonic_s() + START_S

    def refresh(self, *, rebuilt: bool) -> None:
        """See whether pictures can be uploaded.

        Args:
            rebuilt: the journal was rebuilt, and no person has said `resume` since.
        """
        self._comes_back = False
        if rebuilt:
            self.closed = (
                "the journal was rebuilt; what was uploaded before is unknown until `cutoutd resume`"
            )
        elif self._crowded:
            self.closed = self._crowded
        elif self._clock.monotonic_s() < self._rests_until_s:
            self.closed = self._rests_why
        elif os.path.lexists(self.paths.paused):
            self.closed = "the hosted route is paused until `cutoutd resume --hosted`"
        else:
            self._ask_the_uploader()

    def back_off(self, why: str) -> None:
        """Nothing can be handed over for a while."""
        self.closed = self._rests_why = why
        self._rests_until_s = self._clock.monotonic_s() + REST_S

    def export(self, job: Job) -> Export:
        """Where a worker puts the copy of a job's picture: not into the outbox, where no worker can write."""
        id_ = self._exports.setdefault(job.id, spool.new_id())
        return Export(
            file=os.fspath(self.paths.copies / f"{id_}.jpg"),
            max_side=self._max_side,
            max_pixels=MAX_COPY_PIXELS,
            max_bytes=MAX_COPY_BYTES,
        )

    def drop_export(self, job: int) -> None:
        """No copy came of it."""
        if (id_ := self._exports.pop(job, None)) is not None:
            self._remove(self.paths.outbox, id_)
            spool_files.sweep(self.paths.copies, self._exports.values())

    def send(self, job: Job, copy: Exported, plan: RoutePlan) -> None:
        """Hand a copy to the uploader; the journal knows of it before.

        Raises:
            CopyError: what lies there is not what the worker has reported.
            OutboxError: the disk refuses; nothing was handed over.
        """
        id_ = self._exports[job.id]
        self._check(copy)
        source, file = self.paths.copies / f"{id_}.jpg", f"{id_}.jpg"
        with _refusals("the outbox refuses", self.paths.outbox):
            spool_files.take_over(source, self.paths.outbox / file, copy, max_bytes=MAX_COPY_BYTES)
        plan = plan.but(width=copy.width, height=copy.height)
        # The answer is checked by the copy's size, which is known from here on alone.
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
        """The size that a worker reports: by it the price is known beforehand, and the reply is checked."""
        longer = max(copy.width, copy.height)
        if min(copy.width, copy.height) < 1 or longer > self._max_side:
            raise spool_files.CopyError(f"a copy of {copy.width} x {copy.height} was not asked for")
        if copy.width * copy.height > MAX_COPY_PIXELS:
            raise spool_files.CopyError(f"a copy of {copy.width} x {copy.height} has too many pixels")

    def answers(self) -> Iterator[tuple[Job, UploadReply]]:
        """What came back since this was last asked, by job; what nobody waits for is thrown away."""
        try:
            changed_ns = self.paths.inbox.stat().st_mtime_ns
        except OSError:
            return
        if changed_ns == self._seen_ns:
            return
        # Asked for by their names: the inbox may hold any number of others.
        try:
            found = [
                one for id_ in sorted(self._sent) if (one := spool.find_reply(self.paths, id_)) is not None
            ]
            is_tidy = self._tidy(self.paths.inbox)
        except OSError as error:
            self._warn_once(f"the inbox cannot be read: {error.strerror}")
            return
        self._told = ""
        for reply in found:
            if (job := self._sent.get(reply.id)) is not None:
                yield job, reply
        # A directory's time moves in ticks: what comes in the one that was just looked at would not show in it.
        is_over = self._clock.now_us() * 1000 - changed_ns > TICK_NS
        self._seen_ns = changed_ns if is_over and is_tidy else -1

    def _tidy(self, box: Path, *, throughout: bool = False) -> bool:
        """As `spool_files.tidy`; whether all of it is done. More than an honest uploader leaves closes the route."""
        kept = {*self._sent, *self._exports.values(), *self._answered}
        tidied = spool_files.tidy(box, kept, throughout=throughout)
        self._crowded = (
            f"{box} holds more than is on its way; it is being emptied" if tidied.is_crowded else ""
        )
        if tidied.refused and tidied.refused != self._unremoved:
            self._log.warning("spool.not-removed", path=os.fspath(box), why=tidied.refused)
        self._unremoved = tidied.refused
        return tidied.is_whole

    def mark_answered(self, id_: str) -> None:
        """The answer is written down in the journal."""
        self._sent.pop(id_, None)
        self._answered.add(id_)

    def discard_reply(self, reply: UploadReply) -> None:
        """A reply is needed no more."""
        self._answered.discard(reply.id)
        self._remove(self.paths.inbox, reply.id)

    def withdraw(self, job: Job) -> dict[str, Any]:
        """Stop its upload before the next byte.

        Returns:
            What the sidecar is to say of it: how much had left by then, only the ledger knows.
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
        """Take over what an earlier run had sent, and throw away what has no job.

        Args:
            uploading: the jobs that wait for an answer.
            answered: those that have one, and wait for a worker.

        Returns:
            Those that wait for an answer without a request or reply there: a crash came in between.

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
                    raise OutboxError("there is more than is on its way; it is being emptied", path=box)
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
        """Whether a closed route is likely to open by itself before long."""
        if route != "offline":
            self._offline_since_s = None
            is_little = isinstance(wait_s, int | float) and wait_s <= LITTLE_TIME_S
            return route == "waiting" and is_little  # the service has asked for a little time
        now_s = self._clock.monotonic_s()
        if self._offline_since_s is None:
            self._offline_since_s = now_s
        return now_s - self._offline_since_s < OFFLINE_S

    def _warn_once(self, why: str) -> None:
        if why != self._told:
            self._log.warning("inbox.unreadable", path=os.fspath(self.paths.inbox), why=why)
        self._told = why

    def _remove(self, directory: Path, id_: str) -> None:
        if not id_:
            return
        try:
            spool.remove_message(directory, id_)
        except OSError as error:
            self._log.warning("spool.not-removed", why=str(error))
