"""Files of displaced results, which are kept under private names until their own picture is found.

They are in the output's staging directory, apart from the sessions' directories, so that no sweep removes them. A private name is
computed from the result, so that an interrupted step is continued where it was. This module must not decide what is kept, nor
for how long.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Final

from cutoutd.fs.tree import Tree
from cutoutd.publish.digest import has_bytes, open_regular
from cutoutd.publish.naming import sidecar_name
from cutoutd.publish.staging import STAGING_NAME, Private
from cutoutd.publish.writing import Permissions, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cutoutd.fs.tree import Entry
    from cutoutd.jobs import Published
    from cutoutd.publish.places import Places

DIRECTORY: Final = f"{STAGING_NAME}/kept"
_PRIVATE: Final = 0o700


def kept_path(source: str, one: Published) -> str:
    """Return the private name of a result in the output; a private name is returned as it is.

    Args:
        source: path of its picture in the input.
        one: the result.
    """
    if one.path.startswith(f"{DIRECTORY}/"):
        return one.path
    whole = b"\0".join(map(os.fsencode, (source, one.path, one.sha256)))
    extension = one.path.rpartition(".")[2]
    return f"{DIRECTORY}/{hashlib.sha256(whole).hexdigest()[:32]}.{extension}"


def possible_paths(source: str, one: Published) -> tuple[str, ...]:
    """Return where a result may be: under its name, or under its private name if it was being displaced in a crash."""
    return tuple(dict.fromkeys((one.path, kept_path(source, one))))


def reached(tree: Tree, path: str) -> Tree:
    """Return the tree for a name; private names are valid only in directories that are ours."""
    return Tree(tree.root, Private(tree.root)) if path.startswith(f"{STAGING_NAME}/") else tree


def keep(
    places: Places, source: str, shown: Sequence[Published], *, is_sidecar: Callable[[Entry], bool]
) -> bool:
    """Copy results and their sidecar to their private names; returns False, and copies nothing, if one was changed.

    Args:
        places: directories of the folder's results.
        source: path of the results' picture in the input.
        shown: the results.
        is_sidecar: whether a file is the sidecar of these results.

    Raises:
        OSError: the disk or share fails; to be called again.
    """
    output, sidecars = places.output, places.sidecars
    if not all(_is_there(output, source, one) for one in shown):
        return False
    trees = tuple(dict.fromkeys((output, sidecars)))
    for tree in trees:
        places.directories.make(reached(tree, DIRECTORY), DIRECTORY, mode=_PRIVATE)
    # The sidecar first: after a lost journal, results could not be restored without the names in it.
    for one in shown:
        path = sidecar_name(one.path)
        with reached(sidecars, path).find(path) as entry:
            is_theirs = entry is not None and is_sidecar(entry)
        if is_theirs:
            _copy(sidecars, path, sidecar_name(kept_path(source, one)))
    for one in shown:
        kept = kept_path(source, one)
        if not has(output, kept, one.sha256):
            _copy(output, one.path, kept)
    places.directories.sync((tree, DIRECTORY) for tree in trees)
    return True


def tidy(places: Places) -> None:
    """Remove the directory if nothing is kept."""
    for tree in dict.fromkeys((places.output, places.sidecars)):
        tree.remove_directory(DIRECTORY)


def _is_there(output: Tree, source: str, one: Published) -> bool:
    return any(has(output, path, one.sha256) for path in possible_paths(source, one))


def has(tree: Tree, path: str, sha256: str) -> bool:
    """Whether a file with these bytes has a name."""
    with reached(tree, path).find(path) as entry:
        return has_bytes(entry, sha256)


def _copy(tree: Tree, path: str, kept: str) -> None:
    """Copy a file, if it exists."""
    with tree.find(path) as entry:
        file = open_regular(entry) if entry is not None and entry.exists() else None
    if file is None:
        return
    with file, reached(tree, kept).entry(kept) as hidden:
        # Users who could not read it must not be able to once it has a name again.
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        write_whole(hidden, file, Permissions(mode=mode, lenient=True))
