"""Tells an error of a name from an error of a disk, by trying what nobody sees.

A system call that fails over a name says little: EINVAL, EACCES or EPERM may be of the name, of its directory, or of the
whole share. So a plain name is tried in the same folder; where that works, the disk is well. This module must not
give a result its name.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import uuid4

from cutoutd.errnos import LEASED, OF_THE_DISK
from cutoutd.fs.tree import Tree
from cutoutd.publish.faults import name_refused
from cutoutd.publish.naming import is_usual
from cutoutd.publish.rename import replace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.publish.staging import Staging

_REMEMBERED: Final = 1000  # names that were taken, so that a sub-folder's is not tried for each picture

Done = TypeVar("Done")


class Refusals:
    """The trials in one folder; used by one thread at a time.

    Args:
        root: the output, sidecar or originals folder.
        staging: of this run, in that folder.
    """

    def __init__(self, root: Path, staging: Staging) -> None:
        self._root = root
        self._staging = staging
        self._taken: dict[str, None] = {}

    def try_name(self, path: str) -> None:
        """See that the disk takes each part of a path as a name, where that is not certain.

        Args:
            path: with ``/`` between parts.

        Raises:
            OSError: it does not, or it does not answer as it should.
        """
        for part in path.split("/"):
            if is_usual(part) or part in self._taken:
                continue
            with self._staging.entry(part) as trial, suppress(FileExistsError):
                os.close(trial.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                trial.unlink()
            while len(self._taken) >= _REMEMBERED:
                self._taken.pop(next(iter(self._taken)))
            self._taken[part] = None

    def attempt(self, step: Callable[[], Done], path: Path) -> Done:
        """Take a step, and say so if a name is to blame for its failure.

        What fails while plain names work is done once more: a fault of the disk may have passed in between.

        Args:
            step: may be taken again after a failure.
            path: the file that has the name, or is to have it.

        Raises:
            NameRefusedError: the disk takes plain names, and not this one.
            OSError: the disk or share does not answer as it should.
        """
        try:
            return step()
        except OSError as error:
            if not self.is_of_name(error):
                raise
        try:
            return step()
        except OSError as error:
            if self.is_of_name(error):
                raise name_refused(error, path) from error
            raise

    def is_of_name(self, error: OSError) -> bool:
        """Whether a failure is of its name or sub-folder alone, as plain names work in the folder.

        Args:
            error: the failure.
        """
        return error.errno not in OF_THE_DISK and error.errno != LEASED and self.takes_plain_names()

    def takes_plain_names(self) -> bool:
        """Write a byte, rename it into the folder, and remove it; whether that works."""
        name = f".cutoutd-probe-{uuid4().hex}"
        try:
            self._staging.write(name, b"\0")
            with self._staging.entry(name) as staged, Tree(self._root).entry(name) as target:
                replace(staged, target)
                target.unlink()
        except OSError:
            with suppress(OSError):
                self._staging.remove(name)
            return False
        return True
