"""Whether a staging directory is this program's own: others may be able to write in the output that it lies in.

Somebody who can may put a directory of theirs in its place, or one that they cannot change but can move, and would have files
removed, renamed or made legible that are not ours. What we make there is this user's, and nobody else can write in it
(mode 0700). A directory that others cannot write in cannot be moved by them to another parent either (rename(2)). This
module must not remove anything but its own trial.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.fs.tree import Tree

if TYPE_CHECKING:
    from pathlib import Path

KEPT_S: Final = 60.0
"""How long what was seen of a file system counts: another disk may be mounted in the same place."""

_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_NOT_OURS: Final = "others can write in it, or it belongs to somebody else; move it away"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    """How a file looks that we make there.

    Attributes:
        user: its owner's id; another than ours where a share says so.
        has_modes: that it is private is kept. FAT and many shares keep nothing.
        seen_s: when, in monotonic seconds.
    """

    user: int
    has_modes: bool
    seen_s: float


_made: dict[Path, _Made] = {}


@dataclass(frozen=True, slots=True)
class Private:
    """A boundary of `cutoutd.fs.tree`: only directories that are ours are entered.

    Attributes:
        root: the output that they lie in.
    """

    root: Path

    def check_root(self, directory: int) -> None:
        """The output itself may be anybody's."""

    def check_path(self, path: str) -> None:
        """A name alone tells nothing."""

    def check_directory(self, directory: int, path: str) -> None:
        """See that an open directory is ours.

        Args:
            directory: its descriptor.
            path: relative to the root.

        Raises:
            NotADirectoryError: it is not.
            OSError: it cannot be told.
        """
        status = os.fstat(directory)
        is_shut = not status.st_mode & _OTHERS
        if is_shut and status.st_uid == os.geteuid():
            return
        made = self._made()
        if made.has_modes and not (is_shut and status.st_uid == made.user):
            raise NotADirectoryError(errno.ENOTDIR, _NOT_OURS, os.fspath(self.root / path))

    def _made(self) -> _Made:
        known = _made.get(self.root)
        if known is None or time.monotonic() > known.seen_s + KEPT_S:
            known = _made[self.root] = _tried(self.root)
        return known


def _tried(root: Path) -> _Made:
    """Make a file, look at that very one, and remove it.

    Raises:
        OSError: it cannot be made.
    """
    with Tree(root).entry(f".cutoutd-trial-{secrets.token_hex(8)}") as entry:
        descriptor = entry.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
            entry.unlink(missing_ok=True)
    return _Made(
        user=status.st_uid,
        has_modes=stat.S_IMODE(status.st_mode) == 0o600,  # noqa: PLR2004 -- as it was asked for
        seen_s=time.monotonic(),
    )
