"""Which files of one folder are not taken, and why, for people: files that still wait, and files that scans skip.

Scans skip links, which are never followed, files that cannot be read, and files that do not belong to the folder; each is
logged once. `SkippedEntries` lives on when the folder is closed and opened again, so that a share that comes and goes does not
fill the log. Owned by the folder's monitor thread. This module must not look at files, nor decide anything.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cutoutd.faults.isolation import report
from cutoutd.file_signatures import TEXT, is_unread_picture
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cutoutd.errors import CutoutdError
    from cutoutd.intake.scan import Scan


NAMED: Final = 3
"""The most directories that are not entered, and the most files that are not pictures, that a folder's note names."""

EXPORT_ADVICE: Final = "export pictures of formats that are not read as JPEG, PNG or TIFF"


class SkippedEntries:
    """What scans have skipped.

    Args:
        folder: name of the folder.

    Attributes:
        links: number of symbolic links that would be looked at if they were files or directories.
        unreadable: number of files and directories that cannot be read.
    """

    def __init__(self, folder: str) -> None:
        self._log = get(folder=folder)
        self._logged: dict[str, str] = {}
        self._apart: dict[str, str] = {}
        self._others: dict[str, str] = {}
        self._special: dict[str, str] = {}
        self.links = 0
        self.unreadable = 0

    def scanned(self, scan: Scan) -> None:
        """Record what a finished scan skipped; new entries are logged."""
        found = {path: os.strerror(error.errno or 0) for path, error in scan.errors}
        for path, why in found.items():
            if self._logged.get(path) != why:
                self._log.warning("scan.unreadable", path=path, why=why)
        for path, why in scan.apart.items():
            if self._apart.get(path) != why:
                self._log.warning("scan.apart", path=path, why=why)
        self._apart, self._special = scan.apart, scan.special
        for path, what in scan.special.items():
            self.is_none(path, what)
        self._logged, self.unreadable, self.links = found, len(found), scan.links

    def is_none(self, path: str, hint: str) -> None:
        """Record a file that is not a picture, and log it once if its first bytes show what it is; text files are not logged.

        Args:
            path: path relative to the input.
            hint: what the file seems to be; empty: unknown.
        """
        if hint in ("", TEXT) or self._others.get(path) == hint:
            return
        self._others[path] = hint
        advice = {"advice": EXPORT_ADVICE} if is_unread_picture(hint) else {}
        self._log.info("file.no-picture", path=path, seems=hint, **advice)

    def forget_others(self, there: Collection[str]) -> None:
        """Drop recorded files that a scan has not found again."""
        self._others = {
            path: hint for path, hint in self._others.items() if path in there or path in self._special
        }

    @property
    def note(self) -> str:
        """What the folder's owner should know of files that are not cut; empty: nothing."""
        has_pictures = any(map(is_unread_picture, self._others.values()))
        # Those come first: their owner may expect cutouts.
        others = dict(sorted(self._others.items(), key=lambda one: not is_unread_picture(one[1])))
        told = (_named("not entered", self._apart), _named("left out", others), EXPORT_ADVICE * has_pictures)
        return "; ".join(filter(None, told))


def _named(what: str, found: Mapping[str, str]) -> str:
    """Return the first entries with their reasons, and the number of the rest."""
    named = [f"{path} ({why})" for path, why in list(found.items())[:NAMED]]
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"{what}: {', '.join(named)}{more}" if named else ""


class PendingReasons:
    """The reasons why files of one folder are not accepted; each is logged once.

    Args:
        folder: name of the folder.
    """

    def __init__(self, folder: str) -> None:
        self._log = get(folder=folder)
        self._unreadable: dict[str, str] = {}
        self._faults: dict[str, str] = {}
        self._partners: dict[str, str] = {}

    def why(self, path: str) -> str:
        """Return why a file is not accepted yet."""
        if (partner := self._partners.get(path)) is not None:
            return f"waits for the {partner.rpartition('.')[2]} of the same shot"
        return self._faults.get(path) or self._unreadable.get(path, "still being written")

    def unreadable(self, path: str, error: OSError) -> None:
        """Record that a file cannot be read."""
        why = f"cannot be read: {error.strerror}"
        if self._unreadable.get(path) != why:
            self._log.warning("file.unreadable", path=path, why=why)
            self._unreadable[path] = why

    def readable(self, path: str) -> None:
        """Record that a file can be read."""
        self._unreadable.pop(path, None)

    def faulted(self, path: str, error: Exception, reported: CutoutdError) -> None:
        """Record an unforeseen error over a file."""
        why = reported.cause
        if self._faults.get(path) != why:
            report(self._log, error, over="a file", path=path)
            self._faults[path] = why

    def waits_for(self, path: str, partner: str | None) -> None:
        """Record that a file waits for another recording of its shot; None: not any more."""
        if partner is None:
            self._partners.pop(path, None)
        else:
            self._partners[path] = partner

    def taken(self, path: str) -> None:
        """Record that a file was accepted."""
        self._faults.pop(path, None)

    def keep(self, waits: Callable[[str], bool]) -> None:
        """Forget errors over files that do not wait any more."""
        self._faults = {path: why for path, why in self._faults.items() if waits(path)}
