"""Where the page is served, for the commands that open it: a file in the state directory, and a lock while it is.

It must not know who serves.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cutoutd.fs.private_directory import OpenedNames
from cutoutd.page.pairing import directory
from cutoutd.webserver.backend import single_process

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

_NAMES: Final = OpenedNames(
    files=(
        single_process.LOCK,
        single_process.ADDRESS,
        f"{single_process.ADDRESS}.new",
        "sessions.json",
        "sessions.new",
    )
)


@contextmanager
def held(state_dir: Path, *, ending: threading.Event | None) -> Iterator[bool]:
    """Be the one who serves the page of a state directory; whether we are.

    Args:
        state_dir: made if it is missing.
        ending: whoever serves it now is waited for, until this is set; None: nobody is waited for.

    Raises:
        AlreadyRunningError: another one does, and is not waited for.
        NotPrivateError: the directory is not safe from others.
        StorageError: the disk refuses.
    """
    with single_process.held(directory(state_dir), _NAMES, what="page", ending=ending) as is_held:
        yield is_held


def announce(state_dir: Path, address: str) -> None:
    """Say where the page is.

    Raises:
        OSError: the disk refuses.
    """
    single_process.announce(directory(state_dir), address)


def running(state_dir: Path) -> str | None:
    """Where the page of a state directory is served now; None if it is not.

    Raises:
        OSError: it cannot be looked at.
    """
    return single_process.served_at(directory(state_dir))
