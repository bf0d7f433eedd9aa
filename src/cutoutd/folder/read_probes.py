"""Files of one folder that a worker could not read, or whose results it could not write: tried by a small read.

Where one can be read again, what waits need not wait any longer. It must not look at anything else in the folder, and decides nothing about jobs.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from cutoutd.intake.probe import open_probe

MAX_PROBES: Final = 20
"""More tell no more: a share that fails for so many fails for all."""


class ReadProbes:
    """The files to probe of one folder; ``add`` may be called from any thread, all else belongs to the monitor's.

    Args:
        root: the folder's input.
        interval_s: between two tries of the same ones.
    """

    def __init__(self, root: str, interval_s: float) -> None:
        self._root = root
        self._interval_s = interval_s
        self._added: deque[str] = deque(maxlen=MAX_PROBES)
        self._failing: dict[str, bool] = {}  # whether it could not be read when it was tried
        self._next_s = 0.0

    @property
    def next_s(self) -> float | None:
        """When the next try is due, in monotonic seconds; None: there is nothing to try."""
        return self._next_s if self._failing else None

    def add(self, path: str) -> None:
        """One more, relative to the input."""
        self._added.append(path)

    def hear(self) -> bool:
        """Take up what was added; whether anything was."""
        heard = bool(self._added)
        while self._added:
            path = self._added.popleft()
            if len(self._failing) < MAX_PROBES:
                self._failing.setdefault(path, False)
        return heard

    def try_them(self, now_s: float) -> int:
        """Read a little of each, if it is time; how many could not be read before, and now can."""
        recovered = 0
        if not self._failing or (now_s < self._next_s and all(self._failing.values())):
            return 0
        for path, failed in list(self._failing.items()):
            try:
                open_probe(self._root, path)
            except OSError:
                self._failing[path] = True
            else:
                del self._failing[path]
                recovered += failed
        self._next_s = now_s + self._interval_s
        return recovered

    def clear(self) -> None:
        """The folder is away: what was suspected is nobody's fault."""
        self._failing.clear()
