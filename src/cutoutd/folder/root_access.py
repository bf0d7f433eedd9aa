"""Whether root may work on folders that other users can change: those users could have root act for them.

Every file is reached by descriptors, and no link is followed; this check is for what that does not cover, and for the owner,
whose files would become root's. Only the machine's own root counts, not that of a user namespace. Files below the places are
not checked.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from cutoutd.errors import FailureCode, UsageError
from cutoutd.fs.permissions import is_real_root, writers_in
from cutoutd.publish.naming import FAILED, REVIEW
from cutoutd.publish.staging import STAGING_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.settings.schema import Folder, Settings

LOOK_S: Final = 2.0
"""Time limit for checking all folders at the start; a folder that does not respond is checked later by its own thread."""

ADVICE: Final = (
    "Run it as the owner of the folders: `cutoutd service install --system` does so by itself, with Docker it is "
    "`--user UID:GID`. If it must be root, set allow_root = true in [service], or CUTOUTD_SERVICE__ALLOW_ROOT=true in the environment."
)


class RootRefusedError(UsageError):
    """Root must not work on these folders."""

    code = FailureCode.ROOT_REFUSED
    title = "Not as root"
    advice = ADVICE


def exposed(folder: Folder) -> str:
    """Return, in words, who besides root can change one of a folder's places; empty: nobody."""
    for place in _places(folder):
        try:
            why = writers_in(place, me=0)
        except OSError:
            continue  # the folder's own thread reports it
        if why:
            return why
    return ""


def refused(folder: Folder, *, allow_root: bool) -> str:
    """Return why this process must not work on a folder; empty: it may."""
    if allow_root or not is_real_root():
        return ""
    why = exposed(folder)
    return f"cutoutd runs as root, and other users could misuse that: {why}" if why else ""


def check_root(settings: Settings) -> None:
    """Refuse to start as root if others can change a folder.

    Raises:
        RootRefusedError: there is such a folder, and allow_root is not set.
    """
    if settings.service.allow_root or not is_real_root():
        return
    found: dict[str, str] = {}

    def look() -> None:
        for folder in settings.folder:
            if why := exposed(folder):
                found[folder.name] = why

    thread = threading.Thread(target=look, name="root", daemon=True)
    thread.start()
    thread.join(LOOK_S)
    if found:
        listed = "; ".join(f'"{name}": {why}' for name, why in dict(found).items())
        raise RootRefusedError(f"root would work on folders that others can change: {listed}")


def _places(folder: Folder) -> Iterator[Path]:
    yield from folder.places.values()
    for name in (REVIEW, FAILED, STAGING_NAME):
        yield folder.output / name
