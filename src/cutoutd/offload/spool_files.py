"""Handles files in the shared directories that less trusted processes have written.

A worker may be controlled by a hostile picture: a copy that it made is opened once, checked, and its bytes are copied from
that descriptor into the outbox, where no worker can write. The uploader writes in outbox and inbox: files that no job waits
for are removed, a few at a time, since all folders wait for the main loop. It must not decode any of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.exchange import spool
from cutoutd.fs.durable import sync
from cutoutd.fs.private_directory import remove_some

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from cutoutd.jobs import Exported


_PIECE: Final = 1 << 20


class CopyError(ValueError):
    """A file is not the copy that was reported."""


def take_over(source: Path, target: Path, copy: Exported, *, max_bytes: int) -> None:
    """Write the bytes of a copy to another file and sync it. The source stays.

    Args:
        source: file that a worker made.
        target: path in a directory that no worker can write.
        copy: the worker's report.
        max_bytes: limit of a copy.

    Raises:
        CopyError: it is missing, not a regular file with one name, too large, or does not have the reported bytes.
        OSError: the disk refuses.
    """
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise CopyError(f"there is no copy: {error.strerror}") from error
    try:
        _check(os.fstat(descriptor), copy.bytes, max_bytes)
        target.unlink(missing_ok=True)
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _copy(descriptor, out, copy)
            sync(out)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        finally:
            os.close(out)
    finally:
        os.close(descriptor)


def sweep(directory: Path, kept: Collection[str]) -> None:
    """Remove everything that workers have left, of whatever kind, except files with these stems."""
    with suppress(OSError):
        for entry in list(os.scandir(directory)):
            if entry.name.partition(".")[0] in kept:
                continue
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)  # noqa: PTH108 -- a path as text


def _check(state: os.stat_result, reported: int, most: int) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise CopyError("it is not a plain file")
    if state.st_nlink != 1:
        raise CopyError("it has another name as well")
    if state.st_size != reported or not 0 < reported <= most:
        raise CopyError(f"it has {state.st_size} bytes, {reported} were reported, and {most} may be")


def _copy(source: int, target: int, copy: Exported) -> None:
    """Copy as many bytes as were reported.

    Raises:
        CopyError: their SHA-256 is not the reported one.
    """
    digest, at = hashlib.sha256(), 0
    while at < copy.bytes and (piece := os.pread(source, min(_PIECE, copy.bytes - at), at)):
        digest.update(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(target, view) :]
        at += len(piece)
    if digest.hexdigest() != copy.sha256:
        raise CopyError("it is not the copy that was reported")


MAX_NAMES: Final = 1000
"""Names in outbox or inbox beside four for each unfinished upload; a correct uploader leaves none of them."""

REMOVALS: Final = 200
"""Removals per call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TidyResult:
    """The result of `tidy`.

    Attributes:
        is_whole: whether nothing is left to remove.
        is_crowded: whether there are more files than a correct uploader leaves.
        refused: why a file cannot be removed; empty if all could.
    """

    is_whole: bool
    is_crowded: bool
    refused: str = ""


def tidy(box: Path, kept: Collection[str], *, throughout: bool = False) -> TidyResult:
    """Remove some of the files that no job waits for, such as the reply to an upload that was withdrawn too late.

    Args:
        box: outbox or inbox.
        kept: ids of messages that are needed.
        throughout: whether to remove drafts and files that no message names yet, which a current upload may need.

    Raises:
        OSError: the directory cannot be read.
    """
    most = MAX_NAMES + 4 * len(kept)
    names = spool.names_in(box, most + 1)
    is_crowded = len(names) > most
    strays = [name for name in names if _id(name) not in kept]
    if not (is_crowded or throughout):
        messages = {_id(name) for name in strays if name.endswith(".json")}
        strays = [name for name in strays if _id(name) in messages]  # the files of a message go with it
    left, refused = REMOVALS, ""
    directory = os.open(box, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for name in strays:
            try:
                left = remove_some(directory, name, left)
            except OSError as error:  # left behind, it does no harm
                refused, left = refused or f"{name}: {error.strerror}", left - 1
            if left == 0:
                break
    finally:
        os.close(directory)
    return TidyResult(is_whole=left > 0 and not is_crowded, is_crowded=is_crowded, refused=refused)


def _id(name: str) -> str:
    return name.partition(".")[0]
