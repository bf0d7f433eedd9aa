"""What a file is besides its bytes: owner, mode, times and extended attributes, and how a copy gets them.

As far as this user may give them: a copy of another user's file stays this user's, unless this user is root. It must
not touch a file's bytes, and reaches both files by their descriptors.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Final

_SET_ID: Final = stat.S_ISUID | stat.S_ISGID


def copy_attributes(source: int, target: int) -> None:
    """Give an open file what another one has besides its bytes.

    Args:
        source: descriptor of the file to be like, open for reading.
        target: descriptor of the copy, open for writing.
    """
    status = os.fstat(source)
    mode = stat.S_IMODE(status.st_mode)
    # The owner first: a change of it clears bits of the mode. What is refused leaves the copy as it is.
    if not _give(target, status.st_uid, status.st_gid):
        mode &= ~_SET_ID
    with suppress(OSError):
        os.fchmod(target, mode)
    _copy_extended(source, target)
    with suppress(OSError):  # some shares keep no times
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _give(target: int, owner: int, group: int) -> bool:
    """Give a file to its owner, or at least to its group; whether both could be had."""
    try:
        os.fchown(target, owner, group)
    except OSError:
        with suppress(OSError):
            os.fchown(target, -1, group)
        return False
    return True


def _copy_extended(source: int, target: int) -> None:
    """Extended attributes, access lists among them; each by itself, as a file system may know some and not others."""
    if not hasattr(os, "listxattr"):
        return  # macOS: Python has no call for them
    try:
        names = os.listxattr(source)
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            os.setxattr(target, name, os.getxattr(source, name))
