"""Coarse mattes that the page keeps: made when a picture is opened in Fix, they spare a worker the same passes when strokes are saved.

They are kept by the SHA-256 of the picture, in the page's cache. The supervisor only opens them; what they hold is up to
`cutoutd.pipeline.kept_matte`, in the sandboxed processes at both ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.fs.disk_cache import open_kept

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY: Final = "page-pictures"
"""In the state directory: what the page has made and can make again."""

MAX_BYTES: Final = 1 << 19
"""Of one; a matte of 320 x 320 has four fifths of it."""


def key(sha256: str) -> str:
    """Return the key in the cache for a picture's SHA-256."""
    return f"coarse-matte/{sha256}"


def open_for(state_dir: Path, sha256: str) -> int | None:
    """Open the matte of a picture; the caller closes it. None if there is none."""
    return open_kept(state_dir / DIRECTORY, key(sha256), MAX_BYTES)
