"""Hints of file system events: what a folder's thread is to look at. The inbox bounds them, however many events come."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HINTS: Final = 4096
"""Beyond this number a scan is cheaper than looking at single files, and a burst must not fill the memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hints:
    """What to look at.

    Attributes:
        paths: files, relative to the folder's input.
        scan: whether to scan everything; ``paths`` then only has files that certainly changed.
    """

    paths: frozenset[str]
    scan: bool

    def __bool__(self) -> bool:
        return self.scan or bool(self.paths)


class Inbox:
    """Collects the hints of a watch, until the folder's thread takes them.

    Args:
        wake: called, from any thread, at the first hint since ``take``; must not block or raise.
        limit: the most files that are kept singly, and the most events that are admitted between two ``take``.
    """

    def __init__(self, wake: Callable[[], None], limit: int = MAX_HINTS) -> None:
        self._wake = wake
        self._limit = limit
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._scan = False
        self._admitted = 0

    def file(self, path: str) -> None:
        """Add a file that may have changed."""
        with self._lock:
            first = not (self._scan or self._paths)
            self._paths.add(path)
            if len(self._paths) > self._limit:
                self._collapse()
        if first:
            self._wake()

    def everything(self) -> None:
        """Add a hint to scan everything."""
        with self._lock:
            first = not (self._scan or self._paths)
            self._scan = True
        if first:
            self._wake()

    def admit(self) -> bool:
        """Whether one more event is to be processed; if not, everything is scanned anyway."""
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
        """Return all hints so far, and forget them."""
        with self._lock:
            hints = Hints(paths=frozenset(self._paths), scan=self._scan)
            self._paths.clear()
            self._scan = False
            self._admitted = 0
        return hints

    def _collapse(self) -> None:
        self._paths.clear()
        self._scan = True
