"""Reads new requests from the outbox, and decides which of them can be uploaded.

- A request that cannot be read is answered, and delays no other. A request has its name only once it is complete, so one
  that cannot be read now will never be readable.
- A request is deferred while supervisor and uploader have different configurations. Which of the two is newer is unknown
  here and does not matter: the supervisor announces its own when it reads it again, and then stamps or withdraws its
  requests.
- A request over which the uploader has died several times is answered; its crash marks say so.

It must not send anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.clock import rfc3339
from cutoutd.errnos import OF_THE_DISK_NOT_A_SOCKET
from cutoutd.exchange import spool
from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.exchange.spool import UploadOutcome, UploadReply
from cutoutd.faults.isolation import describe, report
from cutoutd.hosted.context import UNKNOWN, UNTOUCHED
from cutoutd.hosted.crash_marks import MOST_DEATHS
from cutoutd.hosted.entries import AttemptOutcome
from cutoutd.hosted.ledger import LedgerError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cutoutd.exchange.spool import Request
    from cutoutd.hosted.context import UploadContext

DISK_S: Final = 5.0
"""Pause after the disk refused."""

PATIENCE_S: Final = 30.0
"""Time for which the disk may fail at a request before the request is answered."""

SAID_S: Final = 10.0
"""Time after which deferred requests of a folder are reported; a reload takes moments."""

_DEFERRED: Final = (
    "the daemon and the uploader use different configurations, and the uploader's does not allow it; "
    "reload the daemon (SIGHUP), or restart it"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Deferred:
    """A request that waits until both processes have the same configuration."""

    changed_ns: int
    folder: str
    since_s: float


class RequestReader:
    """Reads the outbox; for one thread, except `answer`.

    Args:
        context: ledger, outbox and inbox.
    """

    def __init__(self, context: UploadContext) -> None:
        self._context = context
        self._log = logs.get()
        self._deferred: dict[str, _Deferred] = {}
        self._failing_s: dict[str, float] = {}
        self._answered: set[str] = set()

    def keep_only(self, ids: Collection[str]) -> None:
        """Drop the state of requests that are no longer in the outbox."""
        self._context.crash_marks.keep_only(ids)
        self._answered.intersection_update(ids)
        for known in (self._deferred, self._failing_s):
            for id_ in known.keys() - ids:
                del known[id_]

    def read(self, ids: Iterable[str]) -> list[Request]:
        """Return the requests that can be uploaded, the oldest first. Invalid ones are answered.

        Args:
            ids: ids of messages in the outbox that were not returned before.
        """
        found = []
        for id_ in ids:
            if id_ in self._answered:
                continue
            path = self._context.paths.outbox / f"{id_}.json"
            try:
                changed_ns = path.lstat().st_mtime_ns
                if id_ in self._deferred and self._deferred[id_].changed_ns == changed_ns:
                    continue
                request = spool.read_request(path)
            except Exception as error:  # noqa: BLE001 -- a fault of one request must not affect others
                if not isinstance(error, OSError | InvalidMessageError):
                    report(self._log, error, over="a request", request=id_)
                self.reject(id_, error)
                continue
            if self._defer(request, changed_ns):
                continue
            if self._context.crash_marks.is_fatal(id_):
                self._answer_if_possible(
                    id_,
                    f"cutoutd's uploader ended {MOST_DEATHS} times while it read this request; please report it",
                )
                continue
            found.append((changed_ns, id_, request))
        return [request for _, _, request in sorted(found, key=lambda one: one[:2])]

    def deferred(self) -> Counter[str]:
        """Return how many requests are deferred, by folder."""
        return Counter(one.folder for one in self._deferred.values())

    def refusals(self) -> dict[str, str]:
        """Return the folders whose requests have been deferred for a while, with the reason."""
        now_s = self._context.clock.monotonic_s()
        return {one.folder: _DEFERRED for one in self._deferred.values() if now_s > one.since_s + SAID_S}

    def reject(self, id_: str, error: Exception) -> None:
        """Answer a request that cannot be read or used, unless it is gone, or the disk may be the cause."""
        if isinstance(error, FileNotFoundError):
            return  # it was withdrawn
        if isinstance(error, OSError) and error.errno in OF_THE_DISK_NOT_A_SOCKET:
            now_s = self._context.clock.monotonic_s()
            if now_s < self._failing_s.setdefault(id_, now_s) + PATIENCE_S:
                return
        if isinstance(error, InvalidMessageError):
            why = str(error)
        else:
            why = str(error.strerror) if isinstance(error, OSError) else describe(error)
        self._answer_if_possible(id_, f"its request in the outbox is damaged: {why}")

    def answer(self, id_: str, cause: str) -> None:
        """Answer a request by its id alone, and remove it.

        Raises:
            OSError, LedgerError: the disk refuses.
        """
        context = self._context
        context.ledger.close_open(id_, cause)
        past = context.ledger.last_of_request(id_)
        if past is not None and past.end in (AttemptOutcome.OK, AttemptOutcome.UNKNOWN):
            reply = UploadReply(
                id=id_,
                outcome=UploadOutcome.UNKNOWN,
                provider=context.provider.name,
                host=context.host,
                bytes=past.sent,
                at=rfc3339(past.began_us),
                credits=past.credits,
                counted=past.credits or 0.0,
                cause=cause,
                advice=UNKNOWN,
            )
        else:
            reply = UploadReply(
                id=id_,
                outcome=UploadOutcome.FAILED,
                provider=context.provider.name,
                host=context.host,
                cause=cause,
                advice=UNTOUCHED,
            )
        spool.write_message(context.paths.inbox, reply)
        log = logs.get(request=id_)
        log.warning("upload.invalid", why=cause, outcome=reply.outcome.value)
        try:
            spool.remove_message(context.paths.outbox, id_)
        except OSError as error:
            log.warning("spool.not-removed", why=str(error))
        self._answered.add(id_)

    def _answer_if_possible(self, id_: str, cause: str) -> None:
        try:
            self.answer(id_, cause)
        except (OSError, LedgerError) as error:
            self._context.route.back_off(f"the disk refuses: {error}", DISK_S)

    def _defer(self, request: Request, changed_ns: int) -> bool:
        before = self._deferred.pop(request.id, None)
        if not self._context.is_deferred(request):
            return False
        since_s = self._context.clock.monotonic_s() if before is None else before.since_s
        self._deferred[request.id] = _Deferred(changed_ns=changed_ns, folder=request.folder, since_s=since_s)
        return True
