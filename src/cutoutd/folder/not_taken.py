"""What of one folder is not taken although it is there, and why, as people are told: waiting files, and what scans skip.

Scans skip links, which are never followed, what cannot be read, and what belongs to another folder; each is logged once.
`SkippedEntries` outlives the folder's closing and opening again, so that a share that comes and goes does not fill the log.
Owned by the folder's monitor thread. It must not look at files, nor decide anything.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cutoutd.faults.isolation import report
from cutoutd.file_signatures import TEXT
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cutoutd.errors import CutoutdError
    from cutoutd.intake.scan import Scan


NAMED: Final = 3
"""So many directories that are not entered, and files that are no pictures, are named in a folder's note."""


class SkippedEntries:
    """The last scan's share of it.

    Args:
        folder: its name.

    Attributes:
        links: symbolic links that would be looked at if they were files or directories.
        unreadable: files and directories that cannot be read.
    """

    def __init__(self, folder: str) -> None:
        self._log = get(folder=folder)
        self._told: dict[str, str] = {}
        self._apart: dict[str, str] = {}
        self._others: dict[str, str] = {}
        self.links = 0
        self.unreadable = 0

    def scanned(self, scan: Scan) -> None:
        """Take what a finished scan met; say what is new of it."""
        found = {path: os.strerror(error.errno or 0) for path, error in scan.errors}
        for path, why in found.items():
            if self._told.get(path) != why:
                self._log.warning("scan.unreadable", path=path, why=why)
        for path, why in scan.apart.items():
            if self._apart.get(path) != why:
                self._log.warning("scan.apart", path=path, why=why)
        self._apart = scan.apart
        self._told, self.unreadable, self.links = found, len(found), scan.links

    def is_none(self, path: str, hint: str) -> None:
        """A file is no picture; said once, where its first bytes tell what it is. Texts lie beside every picture.

        Args:
            path: relative to the input.
            hint: what it seems to be; empty: nobody knows.
        """
        if hint in ("", TEXT) or self._others.get(path) == hint:
            return
        self._others[path] = hint
        self._log.info("file.no-picture", path=path, seems=hint)

    def forget_others(self, there: Collection[str]) -> None:
        """Keep, of files that are no pictures, those that a scan has found."""
        self._others = {path: hint for path, hint in self._others.items() if path in there}

    @property
    def note(self) -> str:
        """What the folder's owner should know of what lies in the input and is not cut; empty: nothing."""
        told = (_named("not entered", self._apart), _named("left out", self._others))
        return "; ".join(filter(None, told))


def _named(what: str, found: Mapping[str, str]) -> str:
    """Some of them, with why; and how many more there are."""
    named = [f"{path} ({why})" for path, why in list(found.items())[:NAMED]]
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"{what}: {', '.join(named)}{more}" if named else ""


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
