"""Which published results of a picture still lie where they were published.

It looks at names alone: a file of that name that was changed by hand is there as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.fs.tree import Tree
from cutoutd.publish.faults import storage_faults

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cutoutd.jobs import Published


def present(output: Path, published: Iterable[Published]) -> tuple[Published, ...]:
    """The results whose files are there, the good ones before those in review.

    Args:
        output: of the folder.
        published: what was published for a picture.

    Raises:
        StorageError: the output is not there, or cannot be read.
    """
    with storage_faults(output):
        output.stat()  # a share that is away has no results either
        there = [one for one in published if _is_there(Tree(output), one.path)]
    return tuple(sorted(there, key=lambda one: (one.review, one.rendition)))


def _is_there(tree: Tree, path: str) -> bool:
    with tree.find(path) as entry:
        return entry is not None and entry.exists()
