"""Which file or directory it is, whatever it is called: device and inode. On some shares both may change under us."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

FileId = tuple[int, int]
"""Device and inode."""


def file_id(status: os.stat_result) -> FileId:
    """Of what was looked at."""
    return status.st_dev, status.st_ino
