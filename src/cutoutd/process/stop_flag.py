"""A flag that a signal handler may set, and that threads wait for.

A handler runs in the main thread between any two of its instructions, also while it holds a lock. A handler that takes the same
lock waits for itself, for ever; `threading.Event.set` is one that does. `queue.SimpleQueue.put` is documented to be reentrant.
"""

from __future__ import annotations

from queue import Empty, SimpleQueue


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
        if not self._is_set:
            try:
                self._wakes.get(timeout=None if timeout_s is None else max(0.0, timeout_s))
            except Empty:
                return self._is_set
            self._wakes.put(None)  # another thread may wait as well
        return self._is_set
