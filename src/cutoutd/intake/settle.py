"""Which files have been unchanged long enough to be taken: a function of observations and a clock.

It must not look at files or read a clock; the caller passes its observations and their times. Not thread-safe: it belongs to one
folder's thread.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count, islice
from typing import Final

from cutoutd.faults.backoff import pause_s

MAX_HOLD_S: Final = 30.0
"""The longest pause between two checks whether a writer still has a file open."""

ASK_AGAIN_S: Final = 1.0
"""A due file that is neither taken nor forgotten is due again after this time, so that none is stranded."""

_SLACK: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A file that is not taken yet, for status.

    Attributes:
        path: path relative to the folder's input.
        waited_s: seconds since it was first seen.
        held: whether a program had it open for writing at the last check.
    """

    path: str
    waited_s: float
    held: bool


@dataclass(kw_only=True, slots=True)
class _File:
    size: int
    mtime_ns: int
    since_s: float
    changed_s: float
    quiet_at_s: float
    holds: int = 0
    token: int = -1
    queued_s: float = 0.0


class SettleTracker:
    """The files of one folder that are not taken yet.

    A file is settled when its size and modification time have not changed, and no event has arrived for it, for ``settle_s``.
    The caller looks at each file that ``due`` returns and passes the result to ``observe``; if that returns True, the file can be
    taken (then ``forget`` it), unless a writer still has it open (then ``hold`` it). A file that is gone is to be forgotten.

    All times are seconds of one monotonic clock.

    Args:
        settle_s: the quiet time in seconds, at least 0.
    """

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._files: dict[str, _File] = {}
        # One valid entry per file: (time, token, path). A file that becomes due later than its entry says is pushed again when
        # the entry comes up, so an event needs no push; an entry with an old token is void.
        self._queue: list[tuple[float, int, str]] = []
        self._tokens = count()

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def observe(self, path: str, size: int, mtime_ns: int, now_s: float, *, quiet_s: float = 0.0) -> bool:
        """Record the current size and modification time of a file.

        Args:
            path: path of the file.
            size: size in bytes.
            mtime_ns: modification time in ns.
            now_s: when it was observed.
            quiet_s: for how long a file that is seen for the first time is known to have been unchanged.

        Returns:
            Whether it is settled.
        """
        file = self._files.get(path)
        if file is None:
            changed_s = now_s - max(0.0, quiet_s)
            file = _File(
                size=size,
                mtime_ns=mtime_ns,
                since_s=now_s,
                changed_s=changed_s,
                quiet_at_s=changed_s + self._settle_s,
            )
            self._files[path] = file
            self._enqueue(path, file, max(now_s, file.quiet_at_s))
        elif (file.size, file.mtime_ns) != (size, mtime_ns):
            file.size, file.mtime_ns = size, mtime_ns
            self._restart(path, file, now_s)
        return now_s >= file.quiet_at_s

    def quiet_s(self, path: str, now_s: float) -> float:
        """Return for how long a file has been unchanged; 0 for unknown paths."""
        file = self._files.get(path)
        return 0.0 if file is None else now_s - file.changed_s

    def since_s(self, path: str, now_s: float) -> float:
        """Return when a file was first seen; ``now_s`` for unknown paths."""
        file = self._files.get(path)
        return now_s if file is None else file.since_s

    def touch(self, path: str, now_s: float) -> None:
        """Restart a file's quiet time because of an event; unknown paths are ignored."""
        file = self._files.get(path)
        if file is not None:
            self._restart(path, file, now_s)

    def hold(self, path: str, now_s: float) -> None:
        """Delay a file that a program has open for writing; each time in a row twice as long."""
        file = self._files.get(path)
        if file is None:
            return
        file.holds += 1
        first_s = max(self._settle_s, ASK_AGAIN_S)
        delay_s = max(self._settle_s, pause_s(file.holds - 1, first_s=first_s, longest_s=MAX_HOLD_S))
        file.quiet_at_s = now_s + delay_s
        self._enqueue(path, file, file.quiet_at_s)

    def forget(self, path: str) -> None:
        """Stop waiting for a file: it was taken, is gone, or is of no interest; unknown paths are ignored."""
        self._files.pop(path, None)
        self._compact()

    def due(self, now_s: float, limit: int = 1000) -> list[str]:
        """Return the files whose quiet time is over, each to be looked at once more.

        Args:
            now_s: the time now.
            limit: the most files to return; the rest are still due at the next call.
        """
        paths: list[str] = []
        while len(paths) < limit:
            at_s = self.next_due()
            if at_s is None or at_s > now_s:
                break
            path = self._queue[0][2]
            paths.append(path)
            self._enqueue(path, self._files[path], now_s + max(self._settle_s, ASK_AGAIN_S))
        return paths

    def next_due(self) -> float | None:
        """Return when the next file becomes due if nothing changes; None if there is none."""
        while self._queue:
            at_s, token, path = self._queue[0]
            file = self._files.get(path)
            if file is None or file.token != token:
                heapq.heappop(self._queue)
            elif file.quiet_at_s > at_s:
                file.queued_s = file.quiet_at_s
                heapq.heapreplace(self._queue, (file.quiet_at_s, token, path))
            else:
                return at_s
        return None

    def waiting(self, now_s: float, limit: int = 20) -> list[Waiting]:
        """Return the files that are not taken yet, those that wait longest first.

        Args:
            now_s: the time now.
            limit: the most files to return; ``len()`` gives their number.
        """
        return [
            Waiting(path=path, waited_s=now_s - file.since_s, held=file.holds > 0)
            for path, file in islice(self._files.items(), limit)
        ]

    def _restart(self, path: str, file: _File, now_s: float) -> None:
        file.changed_s = now_s
        file.holds = 0
        file.quiet_at_s = now_s + self._settle_s
        if file.queued_s > file.quiet_at_s:
            self._enqueue(path, file, file.quiet_at_s)

    def _enqueue(self, path: str, file: _File, at_s: float) -> None:
        file.token = next(self._tokens)
        file.queued_s = at_s
        heapq.heappush(self._queue, (at_s, file.token, path))
        self._compact()

    def _compact(self) -> None:
        """Rebuild the queue when void entries outnumber the valid ones by far."""
        if len(self._queue) > 2 * len(self._files) + _SLACK:
            self._queue = [(file.queued_s, file.token, path) for path, file in self._files.items()]
            heapq.heapify(self._queue)
