"""A text file for people or other programs, written whole or not at all, and never in pieces under its name.

Not synced: it can be made again. What must survive a power cut is `cutoutd.publish`'s.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def write_text(path: Path, pieces: Iterable[str], *, mode: int | None = None) -> int:
    """Write a file; whatever has the name is replaced in one step.

    Args:
        path: of the file; its draft has another name, hidden, until it is whole.
        pieces: of the text, in order; they may come slowly.
        mode: permission bits; None: 0666 less the umask.

    Returns:
        Its size in bytes.

    Raises:
        UsageError: it cannot be written there.
    """
    try:
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.writelines(pieces)
                size = file.tell()
            Path(draft).chmod(mode if mode is not None else 0o666 & ~_umask())
            Path(draft).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(draft).unlink()
            raise
    except OSError as error:
        raise UsageError(
            f"it cannot be written ({error.strerror})",
            path=path,
            advice="Name a file in a directory that is there and that you may write in.",
        ) from error
    return size


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
