"""Writes a small file completely or not at all: as a draft under another name, which is then renamed.

For files that one process writes and other processes, or people, read. Results need more, which `cutoutd.publish.writing`
does.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from cutoutd.errors import UsageError
from cutoutd.fs.durable import sync, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def atomic_write(
    path: Path,
    content: Iterable[bytes | memoryview],
    *,
    synced: bool,
    mode: int = 0o600,
    draft: Path | None = None,
) -> int:
    """Write a file and replace an existing one in one step. No link is followed.

    Args:
        path: path of the file.
        content: pieces of the content, which may come slowly.
        synced: whether it must survive a power cut.
        mode: permission bits; only the owner has access unless others are to read it.
        draft: path from `hidden_draft` where others may write the same file; None: ``.new`` in place of the suffix.

    Returns:
        Size of the file in bytes.

    Raises:
        OSError: the disk refuses; the draft is removed.
    """
    draft = path.with_suffix(".new") if draft is None else draft
    draft.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(draft, flags, 0o600)
    try:
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.writelines(content)
                size = file.tell()
            if mode != 0o600:  # noqa: PLR2004 -- the mode it was opened with
                os.fchmod(descriptor, mode)
            if synced:
                sync(descriptor)
        finally:
            os.close(descriptor)
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    if synced:
        sync_directory(path.parent)
    return size


def hidden_draft(path: Path) -> Path:
    """Return a unique name for a draft of a file in the same directory."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")


def write_text(path: Path, pieces: Iterable[str], *, mode: int | None = None) -> int:
    """Write a text file that the user has named. It is not synced, since it can be written again.

    Args:
        path: path of the file.
        pieces: pieces of the text, in order, which may come slowly.
        mode: permission bits; None: 0666 less the umask.

    Returns:
        Size of the file in bytes.

    Raises:
        UsageError: the file cannot be written there.
    """
    encoded = (piece.encode() for piece in pieces)
    mode = 0o666 & ~_umask() if mode is None else mode
    try:
        return atomic_write(path, encoded, synced=False, mode=mode, draft=hidden_draft(path))
    except OSError as error:
        raise UsageError(
            f"it cannot be written ({error.strerror})",
            path=path,
            advice="Name a file in a directory that is there and that you may write in.",
        ) from error


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
