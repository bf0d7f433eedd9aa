"""Requests that wait since supervisor and uploader go by configurations of different age.

Which of the two is newer cannot be known here, and does not matter: the supervisor announces its own when it reads it
anew, and stamps or withdraws its requests then. It must not read the outbox, nor answer a request.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from cutoutd.hosted.context import UploadContext
    from cutoutd.spool import Request

SAID_S: Final = 10.0
"""A reload takes moments; a folder that waits for longer is said to."""

_WHY: Final = (
    "the daemon and the uploader go by different configurations, and this one does not allow it; "
    "reload the daemon (SIGHUP), or restart it"
)


class DeferredRequests:
    """Those requests; for one thread.

    Args:
        context: knows which they are.
    """

    def __init__(self, context: UploadContext) -> None:
        self._context = context
        self._held: dict[str, tuple[int, str, float]] = {}

    def holds(self, id_: str, changed_ns: int) -> bool:
        """Whether a request is one of them still, by its file's time."""
        return id_ in self._held and self._held[id_][0] == changed_ns

    def takes(self, request: Request, changed_ns: int) -> bool:
        """Whether a request that was just read is one of them."""
        before = self._held.pop(request.id, None)
        if not self._context.is_deferred(request):
            return False
        since_s = self._context.clock.monotonic_s() if before is None else before[2]
        self._held[request.id] = (changed_ns, request.folder, since_s)
        return True

    def keep_only(self, ids: Collection[str]) -> None:
        """Forget those that are no longer in the outbox."""
        for id_ in [id_ for id_ in self._held if id_ not in ids]:
            del self._held[id_]

    def counts(self) -> Counter[str]:
        """How many there are, by folder."""
        return Counter(folder for _, folder, _ in self._held.values())

    def refusals(self) -> dict[str, str]:
        """Folders of which one has waited for a while, and why."""
        now_s = self._context.clock.monotonic_s()
        return {folder: _WHY for _, folder, since_s in self._held.values() if now_s > since_s + SAID_S}
