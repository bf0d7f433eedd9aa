"""Copies the standard error of workers into the log without trusting it.

A worker that a picture has taken over may print anything, without end, or forge log lines: each line becomes a value in the
log, with the process id of the worker. It must not wait for a worker, nor delay the loop that reads it.
"""

from __future__ import annotations

import os
import selectors
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.logs import get
from cutoutd.process.excerpt import Bounds, Excerpt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutoutd.process.excerpt import Line

BOUNDS: Final = Bounds(line_bytes=1000, burst_bytes=32_768, bytes_per_s=64.0)
"""For one worker: a traceback, or the messages of libraries about some pictures, and at most 6 MB a day of a worker that never
stops."""

READ_BYTES: Final = 65_536

PAUSE_S: Final = 0.1
"""Pause between two reads: a worker that never stops fills its pipe and wakes the loop only ten times a second."""


@dataclass(kw_only=True, slots=True)
class _Stream:
    """The standard error of one worker.

    Attributes:
        pid: process id of the worker.
        excerpt: limits what is kept.
        resumes_s: time of the next read, in monotonic seconds; infinite once the stream has ended.
        listened: whether the next `WorkerStderr.take` may read it.
        last: last line so far.
    """

    pid: int
    excerpt: Excerpt
    resumes_s: float
    listened: bool = False
    last: str = ""


class WorkerStderr:
    """The standard errors of all workers. All methods belong to one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._streams: dict[int, _Stream] = {}
        self._log = get()

    def fileno(self) -> int:
        """Return a descriptor that is readable while there is something for `take`."""
        return self._selector.fileno()

    def add(self, descriptor: int, pid: int, now_s: float) -> None:
        """Read a stream from now on.

        Args:
            descriptor: reading end, owned by the caller.
            pid: process id of the worker, for the log.
            now_s: monotonic seconds.
        """
        os.set_blocking(descriptor, False)
        self._streams[descriptor] = _Stream(pid=pid, excerpt=Excerpt(BOUNDS, now_s), resumes_s=now_s)
        self.resume(now_s)

    def remove(self, descriptor: int, now_s: float) -> str:
        """Read what a worker that is gone left behind, and drop its stream.

        Returns:
            The last line; empty if there was none.
        """
        stream = self._streams[descriptor]
        if stream.listened:
            self._selector.unregister(descriptor)
        self._read(descriptor, stream, now_s)
        self._tell(stream, stream.excerpt.end(now_s))
        del self._streams[descriptor]
        return stream.last

    def take(self, now_s: float) -> None:
        """Read what is there, at most 64 KiB of each stream. Never waits."""
        for key, _ in self._selector.select(0):
            stream = self._streams[key.fd]
            self._selector.unregister(key.fd)
            stream.listened = False
            stream.resumes_s = now_s + PAUSE_S
            self._read(key.fd, stream, now_s)

    def resume(self, now_s: float) -> None:
        """Listen again to the streams whose pause is over."""
        for descriptor, stream in self._streams.items():
            if not stream.listened and now_s >= stream.resumes_s:
                self._selector.register(descriptor, selectors.EVENT_READ)
                stream.listened = True

    def due_s(self) -> list[float]:
        """Return when streams are to `resume`, in monotonic seconds."""
        return [stream.resumes_s for stream in self._streams.values() if not stream.listened]

    def close(self) -> None:
        """Stop reading."""
        self._selector.close()

    def _read(self, descriptor: int, stream: _Stream, now_s: float) -> None:
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            stream.resumes_s = float("inf")
        self._tell(stream, stream.excerpt.feed(data, now_s))

    def _tell(self, stream: _Stream, lines: Sequence[Line]) -> None:
        for line in lines:
            stream.last = line.text or stream.last
            left_out = {"left_out_bytes": line.left_out_bytes} if line.left_out_bytes else {}
            self._log.warning("worker.stderr", pid=stream.pid, said=line.text, **left_out)
