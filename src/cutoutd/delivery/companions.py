"""What other programs have written beside an original goes where it goes, and never what is another file's.

Used by the folder's delivery thread alone, once an original was moved or deleted. A companion goes as it is by then:
nobody has cut it, so there is no version of it that alone may go.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import NO_WAY
from cutoutd.errors import StorageError
from cutoutd.intake import companions
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.original_file import CleanupOutcome, current_sha256, delete_original
from cutoutd.publish.verified import private
from cutoutd.settings.types import Companions as Wish
from cutoutd.settings.types import Originals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.fs.tree import Tree
    from cutoutd.publish.originals import OriginalsFolder
    from cutoutd.settings.schema import Folder

_TRIES: Final = 3
"""A companion that is saved again and again meanwhile is tried again later."""


class Companions:
    """The companions of one folder's originals.

    Args:
        folder: its settings.
        kept: the folder for originals; None where they are not moved.
    """

    def __init__(self, folder: Folder, kept: OriginalsFolder | None) -> None:
        self._folder = folder
        self._kept = kept

    @property
    def _go(self) -> bool:
        """Whether they follow their originals at all."""
        match self._folder.companions:
            case Wish.AUTO:
                return self._folder.originals is Originals.MOVE
            case Wish.FOLLOW:
                return self._folder.originals is not Originals.KEEP
            case Wish.KEEP:
                return False

    def of(self, inputs: Tree, path: str) -> tuple[str, ...]:
        """What is to follow an original that has gone; nothing if another picture has its name by now.

        Raises:
            StorageError: the disk or share does not answer as it should.
        """
        if not self._go:
            return ()
        with storage_faults(inputs.root):
            return () if _is_there(inputs, path) else tuple(_of(inputs, path))

    def follow(self, inputs: Tree, path: str, to: str, job: int) -> tuple[str, ...]:
        """Move or delete what belongs to an original that has gone.

        Args:
            inputs: the folder's input.
            path: of the original in it.
            to: of the original in the folder for originals; empty where it was deleted.
            job: the journal's id.

        Returns:
            The paths of those that went.

        Raises:
            NameRefusedError: the disk takes no name for one.
            StorageError: one cannot be read, moved or deleted, is open for writing, or is saved again and again.
        """
        found = self.of(inputs, path)
        return tuple(one for one in found if self._take(inputs, one, path, to, job))

    def _take(self, inputs: Tree, companion: str, path: str, to: str, job: int) -> bool:
        for _ in range(_TRIES):
            with storage_faults(inputs.root):
                sha256 = current_sha256(inputs, companion)
            if sha256 is None:
                return False  # gone by now, or no file of its own: a link, a directory
            if self._kept is not None and to:
                target = companions.renamed(companion, path, to)
                outcome = self._kept.move(inputs, companion, sha256, job=job, to=target).outcome
            else:
                outcome = delete_original(inputs, companion, sha256).outcome
            if outcome is not CleanupOutcome.CHANGED:
                return outcome is not CleanupOutcome.GONE
        raise StorageError("it is being written to", path=inputs.root / companion)


def _of(inputs: Tree, path: str) -> Iterator[str]:
    """The companions of an original that lie there now."""
    for companion in companions.by_name(path):
        if _is_there(inputs, companion):
            yield companion
            yield from _duplicates(inputs, path)
    directory, slash, _ = path.rpartition("/")
    found = [companion for companion in companions.by_stem(path) if _is_there(inputs, companion)]
    # Listed for those alone that have such a companion: for all, it would cost the square of their number.
    beside = tuple(chain(*inputs.list(directory))) if found else ()
    for companion in found:
        if not companions.may_be_anothers(path, companion, beside):
            yield companion
    for folder in _directories(inputs, f"{directory}{slash}{companions.CAPTURE_ONE}"):
        if _is_there(inputs, companion := companions.settings_in(path, folder)):
            yield companion


def _duplicates(inputs: Tree, path: str) -> Iterator[str]:
    for number in range(1, companions.MAX_DUPLICATES + 1):
        companion, picture = companions.duplicate(path, number)
        if not _is_there(inputs, companion):
            return
        if not _is_there(inputs, picture):
            yield companion


def _directories(inputs: Tree, directory: str) -> list[str]:
    try:
        return inputs.list(directory)[0]
    except OSError as error:
        if error.errno in NO_WAY:
            return []
        raise


def _is_there(inputs: Tree, path: str) -> bool:
    """Whether something has a name, or has it again once an interrupted removal is undone."""
    with inputs.find(path) as entry:
        return entry is not None and (entry.exists() or private(entry).exists())
