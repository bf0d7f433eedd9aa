"""The places of one folder's results and the folder's identity, which the parts of its publisher share.

This module must not look at files or at the journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from cutoutd.fs.tree import Tree
from cutoutd.publish.access import Access
from cutoutd.publish.refusals import Refusals
from cutoutd.publish.staging import Staging
from cutoutd.publish.writing import DEFAULT_PERMISSIONS, Permissions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Directories:
    """The sub-folders of one or more trees, with a memory of which are known to be on the disk.

    It must not create the folder itself: if a share is not mounted, that would fill the disk under it.

    A sub-folder's own name is durable only once its parent is synced. That is done the first time that a result goes there, not
    for every result.
    """

    def __init__(self) -> None:
        self._durable: set[tuple[Tree, str]] = set()

    def make(self, tree: Tree, directory: str, *, mode: int = 0o777) -> None:
        """Create a sub-folder and its parents, where they are missing; the root must exist.

        Raises:
            FileNotFoundError: the root does not exist.
            NotADirectoryError: a file has the name of a sub-folder.
        """
        try:
            with tree.open(directory):
                return
        except FileNotFoundError:
            self._durable -= {(tree, made) for made in tree.make(directory, mode=mode)}

    def sync(self, places: Iterable[tuple[Tree, str]]) -> None:
        """Sync the names in each directory, and, the first time, those of its parents.

        Args:
            places: pairs of a tree and a directory in it.

        Raises:
            OSError: the disk or share fails; calling again syncs all of them again.
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
    """The identity of a hot folder: the UUID of its marker, once that was found. Its name is a label, which may change.

    Sidecars and failure records contain both. Those of earlier versions contain only the name, so the earlier names of a folder are
    known as well.

    Args:
        name: current name of the folder.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._marker = ""
        self._names = frozenset({name})
        self._former: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The current name."""
        return self._name

    @property
    def names(self) -> frozenset[str]:
        """The current and all earlier names."""
        return self._names

    @property
    def marker(self) -> str:
        """UUID of the marker; empty until it was found."""
        return self._marker

    def found(self, marker: str, names: frozenset[str], former: frozenset[str] = frozenset()) -> None:
        """Set the marker, once it was found, and the folder's known earlier names and markers."""
        self._marker = marker
        self._names = names | {self._name}
        self._former = former

    def owns(self, folder: str, marker: str) -> bool:
        """Whether a record with this name and this marker, which may be empty, belongs to this folder."""
        if marker and self._marker:
            return marker == self._marker or marker in self._former
        return folder in self._names


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """The directories of one folder's results in one session.

    Attributes:
        identity: identity of the folder.
        run: id of this session of the daemon.
        output: the output folder; it must exist.
        sidecars: the folder for sidecars, which must exist; the output if sidecars are beside the results.
        staging: staging directory of the workers' results.
        own: staging directory of the supervisor's files.
        sidecar_staging: staging directory of sidecars, on the same file system as their target.
        directories: creates and syncs sub-folders.
        refusals: distinguishes errors of a name from errors of the disk, in the output.
        sidecar_refusals: the same for the folder for sidecars.
        access: access rights of the files.
        portable: whether failure records get names that Windows accepts.
    """

    identity: FolderIdentity
    run: str
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
        permissions: Permissions = DEFAULT_PERMISSIONS,
        inputs: Path | None = None,
        portable: bool = False,
    ) -> Self:
        """Return the places for a folder's settings.

        Args:
            folder: name of the folder.
            output: absolute path of the output folder; it must exist.
            sidecar_dir: absolute path of the folder for sidecars; it must exist. None: beside the results.
            run: id of this session of the daemon.
            permissions: the owner's settings for the results' permissions.
            inputs: the folder's input; users who may not read an original may not read its result either. None: not known.
            portable: whether failure records get names that Windows accepts.
        """
        own = Staging(output, run, own=True)
        sidecar_staging = Staging(sidecar_dir, run) if sidecar_dir else own
        refusals = Refusals(output, own)
        return cls(
            identity=FolderIdentity(folder),
            run=run,
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
        """Whether a record with this name and this marker belongs to this folder."""
        return self.identity.owns(folder, marker)


def _up(directory: str) -> list[str]:
    """Return the directory, its parents, and the root at the end."""
    way = [directory]
    while way[-1]:
        way.append(way[-1].rpartition("/")[0])
    return way
