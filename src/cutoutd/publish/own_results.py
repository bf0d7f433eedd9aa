"""Which files below a directory are results of cutoutd, told by the sidecars that lie there.

A file is a result if a sidecar names a result of its name and has its SHA-256. So one that was retouched is a picture like any
other, and only files of such names are hashed. Both `cutoutd cut` and the daemon use it, so that they do not disagree. This
module must not decide what happens to a result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.errnos import DENIED, IMPOSSIBLE_NAME, NO_WAY
from cutoutd.publish.digest import examine
from cutoutd.publish.naming import sidecar_name
from cutoutd.publish.sidecar import read_sidecar

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.fs.tree import Tree

_SIDECAR: Final = ".json"
_NOT_TO_BE_READ: Final = NO_WAY | DENIED | IMPOSSIBLE_NAME


class OwnResults:
    """The results below one directory; owned by one thread.

    A sidecar is named after the first result. That one is found without a list of the directory; the other renditions and the
    overlay are found by all sidecars that were noted, wherever they are: directories may have been renamed. Each is read once.
    """

    def __init__(self) -> None:
        self._noted: set[str] = set()  # sidecars that are not read yet
        self._named: dict[str, set[str]] = {}  # SHA-256 of results by their names, without a directory

    def note(self, path: str) -> None:
        """Note a file that was seen; it may be a sidecar."""
        if path.endswith(_SIDECAR):
            self._noted.add(path)

    def forget_others(self, is_there: Callable[[str], bool]) -> None:
        """Drop the sidecars that were not read and are not there any more."""
        self._noted = {path for path in self._noted if is_there(path)}

    def may_be(self, tree: Tree, path: str) -> bool:
        """Whether a sidecar names a result of this file's name; the file is not read.

        Args:
            tree: the directory.
            path: path of the file in it.

        Raises:
            OSError: the disk or share fails.
        """
        return bool(self._sha256s(tree, path))

    def has(self, tree: Tree, path: str) -> bool:
        """Whether a file is a result; it is hashed only if ``may_be``.

        Raises:
            OSError: the disk or share fails, or the file cannot be read.
        """
        if not (named := self._sha256s(tree, path)):
            return False
        with tree.find(path) as entry:
            found = None if entry is None else examine(entry)
        return found is not None and found.sha256 in named

    def _sha256s(self, tree: Tree, path: str) -> set[str]:
        for sidecar in tuple(self._noted):
            try:
                outputs = _outputs(tree, sidecar)
            except OSError:
                # It is read again for the next file. Meanwhile it holds up the files beside it and below alone.
                if path.startswith(sidecar[: -len(_name(sidecar))]):
                    raise
                continue
            for output, sha256 in outputs.items():
                self._named.setdefault(_name(output), set()).add(sha256)
            self._noted.discard(sidecar)
        return named_beside(tree, path) | self._named.get(_name(path), set())


def named_beside(tree: Tree, path: str) -> set[str]:
    """Return the SHA-256 of all results that the sidecar named after a file has; empty: there is none.

    Raises:
        OSError: the disk or share fails.
    """
    return set(_outputs(tree, sidecar_name(path)).values())


def _outputs(tree: Tree, sidecar: str) -> dict[str, str]:
    try:
        with tree.entry(sidecar) as entry:
            said = read_sidecar(entry)
    except OSError as error:
        if error.errno in _NOT_TO_BE_READ:
            return {}
        raise
    return {} if said is None else dict(said.outputs)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
