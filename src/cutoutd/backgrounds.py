"""Background pictures that requests ask for, kept in the state directory by their SHA-256.

A picture is kept as long as a job names it, so that a retry and a replay find it. Only the sandboxed worker decodes it.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from cutoutd.fs.durable import make_directory, sync, sync_directory

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

YOUNG_S: Final = 86_400.0
"""How long a picture that no job names is kept, since its request may still be on its way."""

_DIRECTORY: Final = "backgrounds"
_PIECE_BYTES: Final = 1 << 20


def directory_in(state: Path) -> Path:
    """Return the directory of the background pictures.

    Args:
        state: the state directory.
    """
    return state / _DIRECTORY


def keep(state: Path, descriptor: int) -> str:
    """Store a copy of an open file.

    Args:
        state: the state directory.
        descriptor: descriptor of the file, which is read from its beginning.

    Returns:
        The SHA-256 (hex), by which a job's options name it.

    Raises:
        OSError: the disk refuses.
    """
    directory = directory_in(state)
    make_directory(directory, parents=False, mode=0o700)
    draft, digest, at = directory / f"draft-{uuid4().hex}", hashlib.sha256(), 0
    try:
        with draft.open("xb") as copy:
            while piece := os.pread(descriptor, _PIECE_BYTES, at):
                digest.update(piece)
                copy.write(piece)
                at += len(piece)
            copy.flush()
            sync(copy.fileno())
        draft.replace(directory / digest.hexdigest())
        sync_directory(directory)
    finally:
        draft.unlink(missing_ok=True)
    return digest.hexdigest()


def sweep(state: Path, named: Collection[str]) -> int:
    """Remove pictures that no job names and that are old enough; returns how many."""
    swept, now_s = 0, time.time()
    with suppress(FileNotFoundError):
        for path in directory_in(state).iterdir():
            with suppress(OSError):
                if path.name not in named and now_s - path.stat().st_mtime > YOUNG_S:
                    path.unlink()
                    swept += 1
    return swept
