"""A small file written whole or not at all: under a draft's name first, which is then renamed to its own.

For files that one process writes and others, or people, read. Results have more to see to, which
`cutoutd.publish.writing` does.
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
    path: Path, content: Iterable[bytes], *, synced: bool, mode: int = 0o600, draft: Path | None = None
) -> int:
    """Write a file; whatever has the name is replaced in one step, and no link is followed.

    Args:
        path: of the file.
        content: in pieces, which may come slowly.
        synced: it is to survive a power cut.
        mode: permission bits; its owner's eyes only, unless others are to read it.
        draft: of `hidden_draft` where others may write the same file; None: ``.new`` stands in place of its suffix.

    Returns:
        Its size in bytes.

    Raises:
        OSError: the disk refuses; no draft is left then.
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
            if mode != 0o600:  # noqa: PLR2004 -- as it was opened
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
    """A name for a draft beside a file's own, which nobody else has."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")


def write_text(path: Path, pieces: Iterable[str], *, mode: int | None = None) -> int:
    """Write a text file that a person has named; not synced, since it can be made again.

    Args:
        path: of the file.
        pieces: of the text, in order; they may come slowly.
        mode: permission bits; None: 0666 less the umask.

    Returns:
        Its size in bytes.

    Raises:
        UsageError: it cannot be written there.
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
