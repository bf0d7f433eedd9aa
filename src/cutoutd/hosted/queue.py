"""The desk: which requests wait, which are in hand, and which one is next.

First come, first served, but for folders whose budget is used up: they hold up no other. It must not send anything.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

from cutoutd.hosted.route import RouteState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cutoutd.hosted.context import UploadContext
    from cutoutd.spool import Request

_LOOK_S: Final = 0.25
_IDLE_S: Final = 5.0


class UploadQueue:
    """The desk; safe to share between threads.

    Args:
        context: with route and budget.
    """

    def __init__(self, context: UploadContext) -> None:
        self._context = context
        self._changed = threading.Condition()
        self._waiting: dict[str, Request] = {}
        self._uploading: dict[str, Request] = {}
        self._costs: dict[str, float] = {}
        self._is_paused = False
        self._refusals: dict[str, str] = {}

    def unknown(self, ids: Iterable[str]) -> list[str]:
        """Those of the requests in the outbox that are not here yet."""
        with self._changed:
            return [id_ for id_ in ids if id_ not in self._waiting and id_ not in self._uploading]

    def offer(self, request: Request) -> None:
        """Take a request that is new."""
        cost = self._context.price(request)
        with self._changed:
            self._waiting[request.id] = request
            self._costs[request.id] = cost
            self._changed.notify()

    def holds(self, id_: str) -> bool:
        """Whether a request waits or is in hand."""
        with self._changed:
            return id_ in self._waiting or id_ in self._uploading

    def keep_only(self, ids: Collection[str]) -> None:
        """Forget waiting requests that are no longer in the outbox."""
        with self._changed:
            for id_ in [id_ for id_ in self._waiting if id_ not in ids]:
                del self._waiting[id_], self._costs[id_]

    def pause(self, *, paused: bool) -> None:
        """Give nothing out while uploads are paused."""
        with self._changed:
            self._is_paused = paused
            self._changed.notify_all()

    def next(self) -> Request | None:
        """Wait for a request that may go now, and take it in hand; None once the uploader is to end."""
        with self._changed:
            while not self._context.stopping.is_set():
                request = self._choose()
                if request is not None:
                    del self._waiting[request.id]
                    self._uploading[request.id] = request
                    return request
                # Nothing waits: somebody says so when that changes. What waits for money or for the route is asked.
                self._changed.wait(_LOOK_S if self._waiting else _IDLE_S)
            return None

    def done(self, request: Request, *, finished: bool) -> None:
        """A request is out of hand: answered, or to wait again."""
        with self._changed:
            del self._uploading[request.id]
            if finished:
                self._costs.pop(request.id, None)
            else:
                self._waiting[request.id] = request
            self._changed.notify()

    def close(self) -> None:
        """Let nobody wait any longer: the uploader is to end."""
        with self._changed:
            self._changed.notify_all()

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """How many requests wait, and how many are in hand, by folder."""
        with self._changed:
            return (
                Counter(one.folder for one in self._waiting.values()),
                Counter(one.folder for one in self._uploading.values()),
            )

    def refusals(self) -> dict[str, str]:
        """Why a folder's requests may not be paid for now, where they may not."""
        with self._changed:
            return dict(self._refusals)

    def _choose(self) -> Request | None:
        snapshot = self._context.route.snapshot()
        if self._is_paused or (snapshot.state is RouteState.PAUSED and snapshot.wait_s):
            return None
        self._refusals = {}
        # A folder is asked once: what one of its pictures may not cost, the next may not either.
        blocked: set[tuple[str, float]] = set()
        # The same picture twice at once would be paid twice: the second waits for what comes of the first.
        uploading = {one.sha256 for one in self._uploading.values()}
        for request in self._waiting.values():
            if request.sha256 in uploading:
                continue
            cost = self._costs[request.id]
            if (request.folder, cost) in blocked:
                continue
            why = self._context.budget.refusal(request.folder, cost)
            if not why:
                return request
            blocked.add((request.folder, cost))
            self._refusals[request.folder] = why
        return None
