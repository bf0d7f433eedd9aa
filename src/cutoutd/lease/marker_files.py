"""Files beside a folder's marker: how one is made, claimed and read, by a descriptor of the root.

It must not know what they say.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from cutoutd.errnos import UNKNOWN_WAY

DRAFT: Final = ".new"
"""How the name of a file ends that is written aside and gets its name later."""

_NO_ACCESS_TIME: Final = getattr(os, "O_NOATIME", 0)  # Linux has it


def open_to_read(directory: int, name: str) -> int:
    """A descriptor of a file beside the marker, for reading; no link is followed, nothing waits.

    Raises:
        OSError: it is not there, or cannot be opened.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        # To write down when it was last read would wake a disk; only a file's owner may leave that out.
        return os.open(name, flags | _NO_ACCESS_TIME, dir_fd=directory)
    except PermissionError:
        if _NO_ACCESS_TIME == 0:
            raise
        return os.open(name, flags, dir_fd=directory)


def write_new(directory: int, name: str, said: bytes) -> None:
    """Make a file beside the marker, synced.

    Raises:
        FileExistsError: there is one of that name.
        OSError: it cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o666, dir_fd=directory)
    try:
        os.write(descriptor, said)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def claim(directory: int, name: str, run: str) -> None:
    """Make a file beside the marker that holds who made it, unless another has; read afterwards whose it is.

    It is a second name for a file that is written already, so that no crash leaves it without its word. Where the file
    system has no second names it is made empty and then written: making it is all that only one machine can do there.

    Args:
        directory: descriptor of the root.
        name: of the file.
        run: to write.

    Raises:
        FileExistsError: another has; shares may use any other word for it.
        OSError: it cannot be written.
    """
    new = f"{name}.{run}{DRAFT}"
    write_new(directory, new, run.encode())
    try:
        os.link(new, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return  # another machine has tidied ours away, and is about to claim for itself
    except OSError as error:
        if error.errno not in UNKNOWN_WAY:
            raise
        write_new(directory, name, run.encode())
    finally:
        with suppress(OSError):  # whoever claims next removes it
            os.unlink(new, dir_fd=directory)
