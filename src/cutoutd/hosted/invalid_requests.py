"""Requests in the outbox that are none: damaged, of a wrong kind, or not to be read. Each is answered, and no other waits.

A request has its name only once it is whole, so what cannot be read will not become readable. It must not send anything.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from cutoutd import logs, spool
from cutoutd.clock import rfc3339
from cutoutd.errnos import OF_THE_DISK
from cutoutd.fault_isolation import told
from cutoutd.hosted.context import UNKNOWN, UNTOUCHED
from cutoutd.hosted.entries import AttemptOutcome
from cutoutd.spool import InvalidMessageError, Reply, UploadOutcome

if TYPE_CHECKING:
    from collections.abc import Collection

    from cutoutd.hosted.context import UploadContext

PATIENCE_S: Final = 30.0
"""For so long the disk may fail at a request before it is answered all the same."""

_OF_THE_DISK: Final = OF_THE_DISK - {errno.ENXIO}  # that is what a socket says in a request's place


class InvalidRequests:
    """Those requests; for one thread.

    Args:
        context: with ledger and inbox.
    """

    def __init__(self, context: UploadContext) -> None:
        self._context = context
        self._failing_s: dict[str, float] = {}
        self._answered: set[str] = set()

    def holds(self, id_: str) -> bool:
        """Whether a request was answered, and could not be taken away."""
        return id_ in self._answered

    def keep_only(self, ids: Collection[str]) -> None:
        """Forget those that are no longer in the outbox."""
        self._answered.intersection_update(ids)
        for id_ in [id_ for id_ in self._failing_s if id_ not in ids]:
            del self._failing_s[id_]

    def take(self, id_: str, error: Exception) -> None:
        """Answer a request that cannot be read, unless it is gone, or the disk may be to blame.

        Raises:
            OSError, LedgerError: the disk refuses.
        """
        if isinstance(error, FileNotFoundError):
            return  # it was withdrawn
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            now_s = self._context.clock.monotonic_s()
            if now_s < self._failing_s.setdefault(id_, now_s) + PATIENCE_S:
                return
        if isinstance(error, InvalidMessageError):
            why = str(error)
        else:
            why = str(error.strerror) if isinstance(error, OSError) else told(error)
        self.answer(id_, f"its request in the outbox is damaged: {why}")

    def answer(self, id_: str, cause: str) -> None:
        """Answer a request by its name alone, and take it away.

        Raises:
            OSError, LedgerError: the disk refuses.
        """
        context = self._context
        context.ledger.close_open(id_, cause)
        past = context.ledger.last_of_request(id_)
        is_unknown = past is not None and past.end in (AttemptOutcome.OK, AttemptOutcome.UNKNOWN)
        reply = Reply(
            id=id_,
            outcome=UploadOutcome.UNKNOWN if is_unknown else UploadOutcome.FAILED,
            provider=context.provider.name,
            host=context.host,
            bytes=past.sent if past is not None and is_unknown else 0,
            at=rfc3339(past.began_us) if past is not None and is_unknown else "",
            credits=past.credits if past is not None and is_unknown else None,
            counted=(past.credits or 0.0) if past is not None and is_unknown else 0.0,
            cause=cause,
            advice=UNKNOWN if is_unknown else UNTOUCHED,
        )
        spool.write_message(context.paths.inbox, reply)
        logs.get(request=id_).warning("upload.spoiled", why=cause, outcome=reply.outcome.value)
        try:
            spool.remove_message(context.paths.outbox, id_)
        except OSError as error:
            logs.get(request=id_).warning("parcel.not-removed", why=str(error))
        self._answered.add(id_)
