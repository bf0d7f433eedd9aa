"""What methods keep between calls: one object of a class, made at its first use and shared by all threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


@runtime_checkable
class Closable(Protocol):
    """Has something to end, such as processes."""

    def close(self) -> None:
        """End it for good."""


class SharedState:
    """Objects by their class."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # one may ask for another while it is made
        self._kept: dict[type, object] = {}

    def get(self, kind: type[_T], make: Callable[[], _T]) -> _T:
        """Return the object of a class.

        Args:
            kind: its class.
            make: makes it, at the first call.
        """
        with self._lock:
            found = self._kept.get(kind)
            if not isinstance(found, kind):
                found = self._kept[kind] = make()
            return found

    def close(self) -> None:
        """Close what has ``close``."""
        with self._lock:
            kept = list(self._kept.values())
        for one in kept:
            if isinstance(one, Closable):
                one.close()
