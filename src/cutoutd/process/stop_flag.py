"""A flag that a signal handler may set, and that threads wait for.

A handler runs in the main thread between any two of its instructions, also while it holds a lock. A handler that takes the same
lock waits for itself, for ever; `threading.Event.set` is one that does. `queue.SimpleQueue.put` is documented to be reentrant.

The kernel may have any thread take a signal. If it is not the main thread, nothing wakes that from a wait, and the handler runs only
when the wait ends: so no wait is long.
"""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue
from typing import Final

_LONGEST_S: Final = 1.0
"""Of a single wait: by so much a signal that another thread took may be late."""


class StopFlag:
    """Whether a process is to end. It is never unset."""

    def __init__(self) -> None:
        self._is_set = False
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Set it, and end all waits; safe in a signal handler and from any thread."""
        self._is_set = True
        self._wakes.put(None)

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._is_set

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is set, or for so many seconds; None: without limit.

        Returns:
            Whether it is set.
        """
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._is_set:
            left_s = _LONGEST_S if end_s is None else end_s - time.monotonic()
            try:
                self._wakes.get(timeout=min(_LONGEST_S, max(0.0, left_s)))
            except Empty:
                if left_s <= 0:
                    break
            else:
                self._wakes.put(None)  # another thread may wait as well
        return self._is_set
