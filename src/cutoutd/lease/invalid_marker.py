"""The error about a marker that says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


class InvalidMarkerError(StorageError):
    """Something with the marker's name is no valid marker.

    Args:
        path: its path.
        is_damaged: whether it is a file without meaning, as after a crash or a copy that was cut short; else it may be the marker of
            another version, or somebody's link or directory.
    """

    def __init__(self, path: Path, *, is_damaged: bool) -> None:
        super().__init__(
            "this is not a marker of ours, or a damaged one",
            path=path,
            advice="Remove it if this is the right folder; a new one is made.",
        )
        self.is_damaged = is_damaged
