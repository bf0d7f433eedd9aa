"""The address of the page, for the commands that open it: a file in the state directory, and a lock while the page is served.

It must not know who serves.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cutoutd.fs.private_directory import OpenedNames
from cutoutd.fs.private_lock import LOCK_FILE
from cutoutd.page.pairing import directory
from cutoutd.webserver.backend import single_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.process.stop_flag import StopFlag

_NAMES: Final = OpenedNames(
    files=(
        LOCK_FILE,
        single_process.ADDRESS,
        f"{single_process.ADDRESS}.new",
        "sessions.json",
        "sessions.new",
    )
)


@contextmanager
def held(state_dir: Path, *, ending: StopFlag | None) -> Iterator[bool]:
    """Hold the lock of the page of a state directory. Yields whether it is held.

    Args:
        state_dir: state directory; made if it is missing.
        ending: wait for the lock until this is set; None: do not wait.

    Raises:
        AlreadyRunningError: another process serves the page, and ``ending`` is None.
        NotPrivateError: the directory is not safe from others.
        StorageError: the disk refuses.
    """
    with single_process.held(directory(state_dir), _NAMES, what="page", ending=ending) as is_held:
        yield is_held


def announce(state_dir: Path, address: str) -> None:
    """Write the address of the page.

    Raises:
        StorageError: the disk refuses.
    """
    single_process.announce(directory(state_dir), address)


def running(state_dir: Path) -> str | None:
    """Return the address of the page of a state directory; None if the page is not served.

    Raises:
        OSError: the file cannot be read.
    """
    return single_process.served_at(directory(state_dir))


def former_port(state_dir: Path) -> int | None:
    """Return the port that the page of a state directory was served at last; None if it is not known."""
    return single_process.former_port(directory(state_dir))
