"""Installs and removes the files of the menus. A file that is not ours is never touched."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cutoutd.desktop.menus import MARK, FileManager
from cutoutd.errors import UsageError
from cutoutd.fs.atomic_write import atomic_write, hidden_draft

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cutoutd.desktop.menus import MenuFile

_MAX_BYTES: Final = 1 << 16

_PROGRAMS: Final = (FileManager.NAUTILUS, FileManager.CAJA, FileManager.NEMO, FileManager.DOLPHIN)


def found(*, mac: bool) -> tuple[FileManager, ...]:
    """Return the file managers that exist here; on Linux, "open with" always does."""
    if mac:
        return (FileManager.FINDER,)
    return (*(one for one in _PROGRAMS if shutil.which(one.value)), FileManager.OPEN_WITH)


def install(items: Sequence[MenuFile]) -> tuple[Path, ...]:
    """Write files atomically. Returns those that were not up to date.

    Raises:
        UsageError: a file of that name is not ours (then none was written), or one cannot be written.
    """
    _refuse_foreign(items)
    written = []
    for item in items:
        if _content(item.path) == item.data and (item.path.stat().st_mode & 0o777) == item.mode:
            continue
        try:
            item.path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(item.path, [item.data], synced=False, mode=item.mode, draft=hidden_draft(item.path))
        except OSError as error:
            raise UsageError(f"it cannot be written ({error.strerror})", path=item.path) from error
        written.append(item.path)
    return tuple(written)


def remove(items: Iterable[MenuFile]) -> tuple[Path, ...]:
    """Remove our files, and our directories that are empty then. Files that are not ours stay.

    Raises:
        UsageError: one cannot be removed.
    """
    gone = []
    for item in items:
        if not is_ours(item.path):
            continue
        try:
            item.path.unlink()
        except OSError as error:
            raise UsageError(f"it cannot be removed ({error.strerror})", path=item.path) from error
        gone.append(item.path)
        for directory in item.path.parents:
            if not directory.name.endswith((".workflow", "Contents", "desktop")):
                break
            with suppress(OSError):
                directory.rmdir()
    return tuple(gone)


def is_ours(path: Path) -> bool:
    """Whether a file was made by `install`; a link was not, whatever its target."""
    content = _content(path)
    return content is not None and MARK.encode() in content


def _refuse_foreign(items: Iterable[MenuFile]) -> None:
    for item in items:
        if os.path.lexists(item.path) and not is_ours(item.path):
            raise UsageError(
                "something that cutoutd did not make has this name",
                path=item.path,
                advice="Move it away, or give it another name; nothing was changed.",
            )


def _content(path: Path) -> bytes | None:
    """Return the beginning of a regular file; None for anything else."""
    with suppress(OSError):
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return file.read(_MAX_BYTES)
    return None
