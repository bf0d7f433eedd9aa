"""Where the original of a job may lie now: at its own place, or under one of the names it may have been put away under.

Pictures that had one name, one after the other, are told apart by their bytes. It must not open files.
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
"""So many names of an original in the folder for originals are looked at: ``a.jpg``, ``a-2.jpg`` and so on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Whereabouts:
    """A name that an original may have.

    Attributes:
        root: directory of the folder's that it lies below.
        path: absolute.
        sha256: that its bytes must have; empty: whatever has the name is it.
    """

    root: Path
    path: Path
    sha256: str = ""


def whereabouts(job: Job, folder: Folder, *, is_newest: bool) -> Iterator[Whereabouts]:
    """The names that a job's original may have, the likeliest first.

    Among those in the folder for originals, two that nothing has, one after the other, end the search.

    Args:
        job: the job.
        folder: its folder.
        is_newest: it is the newest at its path. The file there may have got a caption since it was cut, and is still the
            same picture.
    """
    if is_newest:
        yield Whereabouts(root=folder.input, path=folder.input / job.path)
    if folder.originals_dir is not None:
        for name in islice(numbered(job.path), _NAMES):
            yield Whereabouts(
                root=folder.originals_dir, path=folder.originals_dir / name, sha256=job.sha256 or ""
            )
