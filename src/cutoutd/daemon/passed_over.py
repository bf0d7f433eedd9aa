"""What a folder's scans pass over: links, which are never followed, what cannot be read, and what is another's; said once.

Outlives the folder's closing and opening again, so that a share that comes and goes does not fill the log. It must not
look at files.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cutoutd.logs import get

if TYPE_CHECKING:
    from cutoutd.intake.scan import Scan

NAMED: Final = 3
"""So many directories that are not entered are named in a folder's note."""


class PassedOver:
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

    @property
    def note(self) -> str:
        """What the folder's owner should know of what lies in the input and is not looked at; empty: nothing."""
        named = [f"{path} ({why})" for path, why in list(self._apart.items())[:NAMED]]
        more = f" and {len(self._apart) - NAMED} more" if len(self._apart) > NAMED else ""
        return f"not entered: {', '.join(named)}{more}" if named else ""
