"""What events told since they were last asked for: where a look is worth while.

Bounded and thread-safe; beyond its bound it says "look everywhere", as after a loss of events.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HINTS: Final = 4096
"""Beyond this a scan is cheaper than single looks, and a burst must not fill the memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hints:
    """Where a look is worth while.

    Attributes:
        paths: files, relative to the folder's input.
        scan: look everywhere; the paths are then only what is certain to have changed.
    """

    paths: frozenset[str]
    scan: bool

    def __bool__(self) -> bool:
        return self.scan or bool(self.paths)


class Inbox:
    """Where a watch puts its hints, and the folder's thread takes them from.

    Args:
        wake: called, from any thread, when the first hint since ``take`` arrives; must not block or raise.
        limit: how many files are kept apart, and how many events are let through between two ``take``.
    """

    def __init__(self, wake: Callable[[], None], limit: int = MAX_HINTS) -> None:
        self._wake = wake
        self._limit = limit
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._scan = False
        self._admitted = 0

    def file(self, path: str) -> None:
        """A file may have changed."""
        with self._lock:
            first = not (self._scan or self._paths)
            self._paths.add(path)
            if len(self._paths) > self._limit:
                self._collapse()
        if first:
            self._wake()

    def everything(self) -> None:
        """Anything may have changed."""
        with self._lock:
            first = not (self._scan or self._paths)
            self._scan = True
        if first:
            self._wake()

    def admit(self) -> bool:
        """Whether one more event need be followed up; if not, everything is to be scanned anyway."""
        with self._lock:
            self._admitted += 1
            if self._admitted <= self._limit:
                return True
            first = not (self._scan or self._paths)
            self._collapse()
        if first:
            self._wake()
        return False

    def take(self) -> Hints:
        """All hints so far; they are forgotten here."""
        with self._lock:
            hints = Hints(paths=frozenset(self._paths), scan=self._scan)
            self._paths.clear()
            self._scan = False
            self._admitted = 0
        return hints

    def _collapse(self) -> None:
        self._paths.clear()
        self._scan = True
