"""List one directory below a root, in a separate process, so that a share that hangs does not block the caller.

Started as ``python -P -m cutoutd.page.backend.directory_listing list|make ROOT PATH``. It reaches the directory by descriptors, from one to
the next, and follows no link below the root. It prints JSON documents, one a line, as soon as it knows them. It must not
open a file.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
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


def main() -> int:
    """Print the listing."""
    verb, root, path = sys.argv[1:]
    try:
        directory = open_directory(root, path) if verb == "list" else make_directory(root, path)
    except OSError as error:
        _say({"missing": isinstance(error, FileNotFoundError), "why": error.strerror or "it gives no answer"})
        return 0
    with os.scandir(directory) as entries:
        _say({"readable": True, "writable": os.access(".", _WRITE, dir_fd=directory)})
        _say(folders_in(entries))
    _say(pictures_in(directory))
    return 0


def make_directory(root: str, path: str) -> int:
    """Create a directory with missing parents; the caller closes its descriptor.

    Args:
        root: existing root directory.
        path: relative to it, without ``..``.

    Raises:
        OSError: the directory cannot be created, or its name is taken by another file.
    """
    here = open_directory(root, "")
    for part in filter(None, path.split("/")):
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
