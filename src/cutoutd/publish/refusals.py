"""Distinguishes errors of a name from errors of a disk, by trials that nobody sees.

A failed system call with a name is ambiguous: EINVAL, EACCES or EPERM may be about the name, its directory, or the whole
share. So a plain name is tried in the same folder; if that works, the disk works. This module must not give a result its name.
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

_REMEMBERED: Final = 1000  # accepted names, so that a sub-folder's is not tried for each picture

Done = TypeVar("Done")


class Refusals:
    """The trials in one folder; used by one thread at a time.

    Args:
        root: the output, sidecar or originals folder.
        staging: staging directory of this session in that folder.
    """

    def __init__(self, root: Path, staging: Staging) -> None:
        self._root = root
        self._staging = staging
        self._taken: dict[str, None] = {}

    def try_name(self, path: str) -> None:
        """Check that the disk accepts each part of a path as a name, unless that is certain.

        Args:
            path: path with ``/`` between parts.

        Raises:
            OSError: it does not, or it fails.
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
        """Take a step, and translate its error if the name is the cause.

        A step that fails although plain names work is repeated once: a fault of the disk may have passed in between.

        Args:
            step: step that may be repeated after a failure.
            path: path of the file that has the name, or is to get it.

        Raises:
            NameRefusedError: the disk accepts plain names, but not this one.
            OSError: the disk or share fails.
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
        """Whether an error is about its name or sub-folder only, since plain names work in the folder.

        Args:
            error: the error.
        """
        return error.errno not in OF_THE_DISK and error.errno != LEASED and self.takes_plain_names()

    def takes_plain_names(self) -> bool:
        """Whether a file can be written, renamed into the folder, and removed."""
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
