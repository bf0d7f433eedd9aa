"""Where one folder's results go, and what the folder is known by: what the parts of its publisher share.

This module must not look at files or at the journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from cutoutd.fs.tree import Tree
from cutoutd.publish.access import Access
from cutoutd.publish.refusals import Refusals
from cutoutd.publish.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cutoutd.publish.writing import Permissions


class Directories:
    """The sub-folders of one or more trees, with a memory of which are known to be on the disk.

    It must not make the folder itself: when a share is not mounted, that would fill the disk under it.

    A sub-folder's own name is safe only once its parent is synced. That is done for each the first time a
    result goes there, and not for every result.
    """

    def __init__(self) -> None:
        self._durable: set[tuple[Tree, str]] = set()

    def make(self, tree: Tree, directory: str, *, mode: int = 0o777) -> None:
        """Make a sub-folder and those between, where they are missing; the root must be there.

        Raises:
            FileNotFoundError: the root is not there.
            NotADirectoryError: something else has the name of a sub-folder.
        """
        try:
            with tree.open(directory):
                return
        except FileNotFoundError:
            self._durable -= {(tree, made) for made in tree.make(directory, mode=mode)}

    def sync(self, places: Iterable[tuple[Tree, str]]) -> None:
        """See the names in each directory onto the disk, and its own in its parents.

        Args:
            places: pairs of a tree and a directory in it.

        Raises:
            OSError: the disk or share failed at it; calling again syncs all of them again.
        """
        wanted: dict[tuple[Tree, str], None] = {}
        for tree, directory in places:
            is_known = (tree, directory) in self._durable
            for below in [directory] if is_known else _up(directory):
                wanted[tree, below] = None
        for tree, directory in wanted:
            tree.sync(directory)
        self._durable |= wanted.keys()


class FolderIdentity:
    """What a hot folder is known by: the UUID of its marker, told once it was found. Its name is a label, which may change.

    Sidecars and failure records say both. Those of earlier versions say the name alone, so the names that a folder had
    before are known as well.

    Args:
        name: what it is called now.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._marker = ""
        self._names = frozenset({name})

    @property
    def name(self) -> str:
        """What it is called now."""
        return self._name

    @property
    def names(self) -> frozenset[str]:
        """What it is, or was, called."""
        return self._names

    @property
    def marker(self) -> str:
        """UUID of its marker; empty until that was found."""
        return self._marker

    def found(self, marker: str, names: frozenset[str]) -> None:
        """The folder was looked at; ``names`` are those it had before, as far as they are known."""
        self._marker = marker
        self._names = names | {self._name}

    def owns(self, folder: str, marker: str) -> bool:
        """Whether a record that says this name and this marker, which may be empty, is this folder's."""
        if marker and self._marker:
            return marker == self._marker
        return folder in self._names


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """The directories of one folder's results in one run.

    Attributes:
        identity: the folder's.
        output: its output folder; it must exist.
        sidecars: the folder for sidecars, which must exist; the output if they lie beside the results.
        staging: where workers' results lie.
        own: what is staged in the output apart from those.
        sidecar_staging: where sidecars are staged: beside where they go, since a rename does not leave a file system.
        directories: makes and syncs sub-folders.
        refusals: tell an error of a name from one of the disk, in the output.
        sidecar_refusals: the same in the folder for sidecars.
        access: whom files belong to.
        portable: the records of failures get names that Windows takes.
    """

    identity: FolderIdentity
    output: Tree
    sidecars: Tree
    staging: Staging
    own: Staging
    sidecar_staging: Staging
    directories: Directories
    refusals: Refusals
    sidecar_refusals: Refusals
    access: Access
    portable: bool

    @classmethod
    def of(
        cls,
        folder: str,
        output: Path,
        sidecar_dir: Path | None,
        run: str,
        *,
        permissions: Permissions,
        inputs: Path | None,
        portable: bool,
    ) -> Self:
        """Of a folder's settings; see `cutoutd.publish.publisher.Publisher`."""
        own = Staging(output, run, own=True)
        sidecar_staging = Staging(sidecar_dir, run) if sidecar_dir else own
        refusals = Refusals(output, own)
        return cls(
            identity=FolderIdentity(folder),
            output=Tree(output),
            sidecars=Tree(sidecar_dir or output),
            staging=Staging(output, run),
            own=own,
            sidecar_staging=sidecar_staging,
            directories=Directories(),
            refusals=refusals,
            sidecar_refusals=Refusals(sidecar_dir, sidecar_staging) if sidecar_dir else refusals,
            access=Access(permissions, Tree(inputs) if inputs is not None else None),
            portable=portable,
        )

    @property
    def stagings(self) -> tuple[Staging, ...]:
        """All staging directories, each once."""
        return tuple(dict.fromkeys((self.staging, self.own, self.sidecar_staging)))

    def owns(self, folder: str, marker: str) -> bool:
        """Whether a record that says this name and this marker is this folder's."""
        return self.identity.owns(folder, marker)


def _up(directory: str) -> list[str]:
    """The directory, its parents, and the root at the end."""
    way = [directory]
    while way[-1]:
        way.append(way[-1].rpartition("/")[0])
    return way
