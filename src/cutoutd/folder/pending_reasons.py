"""Why files of one folder are not taken although they are there, as people are told.

Owned by the folder's monitor thread. It must not look at files, nor decide anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.fault_isolation import report
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.errors import CutoutdError


class PendingReasons:
    """The reasons in one folder; each is logged once.

    Args:
        folder: its name.
    """

    def __init__(self, folder: str) -> None:
        self._log = get(folder=folder)
        self._unreadable: dict[str, str] = {}
        self._faults: dict[str, str] = {}
        self._partners: dict[str, str] = {}

    def why(self, path: str) -> str:
        """Why a file is waited for."""
        if (partner := self._partners.get(path)) is not None:
            return f"waits for the {partner.rpartition('.')[2]} of the same shot"
        return self._faults.get(path) or self._unreadable.get(path, "still being written")

    def unreadable(self, path: str, error: OSError) -> None:
        """It cannot be read."""
        why = f"cannot be read: {error.strerror}"
        if self._unreadable.get(path) != why:
            self._log.warning("file.unreadable", path=path, why=why)
            self._unreadable[path] = why

    def readable(self, path: str) -> None:
        """It can be read."""
        self._unreadable.pop(path, None)

    def faulted(self, path: str, error: Exception, as_told: CutoutdError) -> None:
        """A fault of ours was met over it."""
        why = as_told.cause
        if self._faults.get(path) != why:
            report(self._log, error, over="a file", path=path)
            self._faults[path] = why

    def waits_for(self, path: str, partner: str | None) -> None:
        """It waits for another recording of its shot; None: not any more."""
        if partner is None:
            self._partners.pop(path, None)
        else:
            self._partners[path] = partner

    def taken(self, path: str) -> None:
        """It was accepted."""
        self._faults.pop(path, None)

    def keep(self, waits: Callable[[str], bool]) -> None:
        """Forget faults over files that are waited for no more."""
        self._faults = {path: why for path, why in self._faults.items() if waits(path)}
