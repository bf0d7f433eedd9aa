"""The exchange directory of a process that calls out, such as the uploader, locked for as long as that process works."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cutoutd.errors import AlreadyRunningError
from cutoutd.fs.private_directory import check_owner
from cutoutd.fs.private_lock import open_lock, try_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.fs.private_directory import OpenedNames


@contextmanager
def locked(root: Path, names: OpenedNames, *, make: Callable[[], None], who: str) -> Iterator[None]:
    """Lock an exchange directory while the body runs.

    Args:
        root: the exchange directory; created if it is missing.
        names: names that are opened in it.
        make: creates its sub-directories.
        who: process that works here if it is locked already, such as "an uploader".

    Raises:
        AlreadyRunningError: another process has locked it.
        NotPrivateError: other users can change its content.
        StorageError: the disk refuses.
    """
    with open_lock(root, names, check=_check_owner, make=make) as lock:
        if not try_lock(lock):
            raise AlreadyRunningError(f"{who} works here", path=root)
        yield


def _check_owner(root: Path) -> None:
    """Refuse the state directory of another user: files created there would be unreadable for that user.

    Under a service manager the directory above is an empty one of root's, in which ours alone is bound.

    Raises:
        NotPrivateError: it is another user's.
        OSError: it cannot be examined.
    """
    if not root.parent.exists():
        return
    above = root.parent.lstat()
    is_bound = above.st_uid == 0 and root.exists() and root.lstat().st_uid == os.geteuid()
    if not is_bound:
        check_owner(root.parent, above)
