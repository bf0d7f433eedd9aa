"""Where the original of a job may be now: at its own path, or under one of the names to which it may have been moved.

Pictures that had the same name one after the other are distinguished by their bytes. This module must not open files.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from cutoutd.publish.naming import numbered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.jobs import Job
    from cutoutd.settings.schema import Folder

_NAMES: Final = 20
"""The most names of an original in the folder for originals that are looked at: ``a.jpg``, ``a-2.jpg`` and so on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OriginalPath:
    """A path that an original may have.

    Attributes:
        root: directory of the folder that contains it.
        path: absolute path.
        sha256: SHA-256 that its bytes must have; empty: any file there is it.
    """

    root: Path
    path: Path
    sha256: str = ""


def original_paths(job: Job, folder: Folder, *, is_newest: bool) -> Iterator[OriginalPath]:
    """Yield the paths that a job's original may have, the likeliest first.

    In the folder for originals, the search ends at two free names in a row.

    Args:
        job: the job.
        folder: settings of its folder.
        is_newest: whether the job is the newest at its path. The file there may have got a caption since it was cut, and is
            still the same picture.
    """
    if is_newest:
        yield OriginalPath(root=folder.input, path=folder.input / job.path)
    if folder.originals_dir is not None:
        for name in islice(numbered(job.path), _NAMES):
            yield OriginalPath(
                root=folder.originals_dir, path=folder.originals_dir / name, sha256=job.sha256 or ""
            )
