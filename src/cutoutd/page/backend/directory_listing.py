"""List one directory below a root, in a separate process, so that a share that hangs does not block the caller.

Started as ``python -P -m cutoutd.page.backend.directory_listing list|make ROOT PATH SEEN``. It reaches the directory by descriptors, from one to
the next, and follows no link below the root. It prints JSON documents, one a line, as soon as it knows them. It must not
open a file of the directory.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.file_signatures import has_picture_extension
from cutoutd.fs.tree import open_directory

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_FOLDERS: Final = 2000
MOST_BYTES: Final = 256 * 1024
"""Of the names of folders, as JSON has them; who asks reads no more than a mebibyte."""

MOST_ENTRIES: Final = 50_000
COUNTING_S: Final = 1.0
"""Pictures are counted among so many entries, for so long; beyond that, at least so many are there."""

_READ: Final = os.R_OK | os.X_OK
_WRITE: Final = os.W_OK | os.X_OK
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


FSTAB: Final = Path("/etc/fstab")


class _OtherDirectoryError(Exception):
    """The directory is not the one that the person saw."""


def main() -> int:
    """Print the listing."""
    verb, root, path, seen = sys.argv[1:]
    if verb == "make" and (point := unmounted_above(os.path.join(root, path))):  # noqa: PTH118 -- no look at a disk
        _say({"unmounted": point})
        return 0
    try:
        directory = _opened(root, path, seen) if verb == "list" else make_directory(root, path, seen)
    except _OtherDirectoryError:
        _say({"other": True})
        return 0
    except OSError as error:
        _say({"missing": isinstance(error, FileNotFoundError), "why": error.strerror or "it gives no answer"})
        return 0
    with os.scandir(directory) as entries:
        is_writable = os.access(".", _WRITE, dir_fd=directory)
        _say({"readable": True, "writable": is_writable, "identity": _identity(directory)})
        _say(folders_in(entries))
    _say(pictures_in(directory))
    return 0


def unmounted_above(path: str, fstab: Path = FSTAB) -> str:
    """Return the mount point that a path lies on according to fstab, if nothing is mounted there now; empty: there is none."""
    try:
        lines = fstab.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    fields = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    points = [one[1].replace(r"\040", " ").rstrip("/") for one in fields if len(one) > 1]
    return next(
        (one for one in points if one and f"{path}/".startswith(f"{one}/") and not os.path.ismount(one)), ""
    )


def _identity(directory: int) -> str:
    """Return what tells a directory from another one that has its path later."""
    found = os.fstat(directory)
    return f"{found.st_dev}-{found.st_ino}"


def _opened(root: str, path: str, seen: str) -> int:
    """Open a directory; the caller closes it.

    Raises:
        _OtherDirectoryError: it is not the one that was seen.
        OSError: it cannot be opened.
    """
    directory = open_directory(root, path)
    if seen and _identity(directory) != seen:
        os.close(directory)
        raise _OtherDirectoryError
    return directory


def make_directory(root: str, path: str, seen: str = "") -> int:
    """Create a directory with missing parents; the caller closes its descriptor.

    Args:
        root: existing root directory.
        path: relative to it, without ``..``.
        seen: identity of the directory in which it is to be made, which then has to be there; empty: it is made as well.

    Raises:
        _OtherDirectoryError: it would be made in another directory.
        OSError: the directory cannot be created, or its name is taken by another file.
    """
    above, _, last = path.rpartition("/")
    here = _opened(root, above, seen) if seen else open_directory(root, "")
    for part in filter(None, [last] if seen else path.split("/")):
        try:
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=here)
            below = os.open(part, _DIRECTORY, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return here


def folders_in(entries: Iterable[os.DirEntry[str]]) -> dict[str, Any]:
    """Return the folders among entries, without hidden ones, links, and names that are not UTF-8.

    Returns:
        ``folders``, sorted; ``more``: there are more; ``unnamed``: how many cannot be named in a configuration.
    """
    names, unnamed, more = [], 0, False
    for number, entry in enumerate(entries):
        if number >= MOST_ENTRIES:
            more = True
            break
        try:
            is_shown = not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
        except OSError:
            continue
        if is_shown and _is_text(entry.name):
            names.append(entry.name)
        elif is_shown:
            unnamed += 1
    names.sort(key=str.casefold)
    shown: list[str] = []
    room = MOST_BYTES
    for name in names[:MOST_FOLDERS]:
        room -= len(json.dumps(name))
        if room < 0:
            break
        shown.append(name)
    return {"folders": shown, "more": more or len(shown) < len(names), "unnamed": unnamed}


def pictures_in(directory: int) -> dict[str, Any]:
    """Count pictures by their names, in sub-folders too; close the descriptor.

    Returns:
        ``pictures``, and whether there may be more (``pictures_more``).
    """
    end_s = time.monotonic() + COUNTING_S
    open_ones, seen, found = [directory], 0, 0
    try:
        while open_ones:
            here = open_ones.pop()
            with suppress(OSError), os.scandir(here) as entries:
                for entry in entries:
                    seen += 1
                    if seen > MOST_ENTRIES or time.monotonic() > end_s:
                        os.close(here)
                        return {"pictures": found, "pictures_more": True}
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if len(open_ones) < _MOST_OPEN:
                            open_ones.append(os.open(entry.name, _DIRECTORY, dir_fd=here))
                    elif has_picture_extension(entry.name):
                        found += 1
            os.close(here)
    finally:
        for one in open_ones:
            os.close(one)
    return {"pictures": found, "pictures_more": False}


_MOST_OPEN: Final = 500


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(document)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
