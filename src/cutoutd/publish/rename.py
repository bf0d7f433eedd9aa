"""Giving a file its name in one step, and never at the cost of a file that has it already.

This module must not read or write contents, and must not decide which name: both are settled before.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import sys
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import uuid4

from cutoutd.errnos import UNKNOWN_WAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Strength(StrEnum):
    """How sure it is that a rename does not replace."""

    KERNEL = "kernel"  # one call that refuses: renameat2(RENAME_NOREPLACE), renamex_np(RENAME_EXCL)
    LINK = "link"  # a second name, which is refused if taken, and then the first one is removed
    CHECKED = "checked"  # looked first: a file that appears in that instant is lost


_AT_FDCWD = -100  # fcntl.h
_RENAME_NOREPLACE = 1  # linux/fs.h
_RENAME_EXCL = 4  # sys/stdio.h of macOS


def rename_new(source: Path, target: Path) -> Strength:
    """Rename a file to a name that nothing has, by the strongest way the file system knows.

    Killed between the two steps of ``Strength.LINK``, both names stay, for the same file.

    Raises:
        FileExistsError: something has that name.
        FileNotFoundError: the source, or the target's directory, is not there.
        OSError: any other reason of the system, such as EXDEV.
    """
    for strength, attempt in ((Strength.KERNEL, _by_kernel), (Strength.LINK, _by_link)):
        try:
            if attempt(source, target):
                return strength
        except OSError as error:
            if error.errno not in UNKNOWN_WAY:
                raise
    _checked(source, target)
    return Strength.CHECKED


def add_name(source: Path, target: Path) -> None:
    """Give a file a second name that nothing has, or rename it where the file system knows no links.

    With both names until the new one is on the disk, no moment's power cut can leave it without any.

    Raises:
        FileExistsError: something has that name.
        OSError: any other reason of the system, such as EXDEV.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in UNKNOWN_WAY:
            raise
        rename_new(source, target)


def replace(source: Path, target: Path) -> None:
    """Rename a file to a name whose file is to go, in one step.

    Raises:
        OSError: as rename(2) gives it.
    """
    source.replace(target)


def probe(directory: Path) -> Strength:
    """Find out how sure renames are in a directory, with a file of our own there that is removed again.

    Raises:
        OSError: the directory cannot be written to.
    """
    source, target = (directory / f".cutoutd-probe-{uuid4().hex}" for _ in range(2))
    try:
        source.touch(exist_ok=False)
        return rename_new(source, target)
    finally:
        for path in (source, target):
            with suppress(FileNotFoundError):
                path.unlink()


def _by_kernel(source: Path, target: Path) -> bool:
    call = _kernel_call()
    if call is None:
        return False
    if call(os.fsencode(source), os.fsencode(target)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(source), None, os.fspath(target))
    return True


@functools.cache
def _kernel_call() -> Callable[[bytes, bytes], int] | None:
    """The C library's function, as one of two paths; None where there is none."""
    library = ctypes.CDLL(None, use_errno=True)
    try:
        if sys.platform == "darwin":
            exclusive = library.renamex_np
            exclusive.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint)
            return lambda source, target: int(exclusive(source, target, _RENAME_EXCL))
        call = library.renameat2
    except AttributeError:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return lambda source, target: int(call(_AT_FDCWD, source, _AT_FDCWD, target, _RENAME_NOREPLACE))


def _by_link(source: Path, target: Path) -> bool:
    os.link(source, target, follow_symlinks=False)
    source.unlink()
    return True


def _checked(source: Path, target: Path) -> None:
    with _locked(target.parent):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target))
        source.rename(target)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other processes of ours out of a directory, where the file system has locks."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Without locks this way is as weak as its strength says, and still the only one.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
