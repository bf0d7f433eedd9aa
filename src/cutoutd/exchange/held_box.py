"""The box of a process that calls out, for this process alone: made, checked, and locked as long as it works.

Of the uploader and of the gateway to a cluster. It must not know what lies in it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cutoutd.errors import AlreadyRunningError, StorageError
from cutoutd.fs.private_directory import check_owner, open_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.fs.private_directory import OpenedNames

LOCK_FILE: Final = "lock"
"""Its name in the box; to be among the names that are opened there."""

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def held(root: Path, names: OpenedNames, *, make: Callable[[], None], who: str) -> Iterator[None]:
    """Hold a box while the body runs.

    Args:
        root: the box.
        names: that are opened in it.
        make: makes the directories in it.
        who: works here if it is held already, such as "an uploader".

    Raises:
        AlreadyRunningError: another process holds it.
        NotPrivateError: others can change what is in it.
        StorageError: the disk refuses.
    """
    try:
        _check_owner(root)
        directory, _ = open_private(root, names)
        try:
            make()
            descriptor = os.open(LOCK_FILE, _FLAGS, 0o600, dir_fd=directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise StorageError(f"the system says: {error.strerror}", path=root) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunningError(f"{who} works here", path=root) from error
        yield
    finally:
        os.close(descriptor)


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
