"""Giving a file its name in one step, never at the cost of a file that has it already; and swapping two files' names.

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
from cutoutd.fs.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.fs.tree import Entry


class Strength(StrEnum):
    """How sure it is that a rename does not replace."""

    KERNEL = "kernel"  # one call that refuses: renameat2(RENAME_NOREPLACE), renamex_np(RENAME_EXCL)
    LINK = "link"  # a second name, which is refused if taken, and then the first one is removed
    CHECKED = "checked"  # looked first: a file that appears in that instant is lost


_IS_MAC = sys.platform == "darwin"
_AT_FDCWD = -2 if _IS_MAC else -100  # fcntl.h
# linux/fs.h: RENAME_NOREPLACE, RENAME_EXCHANGE; sys/stdio.h of macOS: RENAME_EXCL, RENAME_SWAP.
_NO_REPLACE, _EXCHANGE = (4, 2) if _IS_MAC else (1, 2)


def rename_new(source: Entry, target: Entry) -> Strength:
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


def add_name(source: Entry, target: Entry) -> bool:
    """Give a file a second name that nothing has; False where the file system knows no links.

    With both names until the new one is on the disk, no moment's power cut can leave it without any.

    Raises:
        FileExistsError: something has that name.
        OSError: any other reason of the system, such as EXDEV.
    """
    try:
        _link(source, target)
    except OSError as error:
        if error.errno not in UNKNOWN_WAY:
            raise
        return False
    return True


def replace(source: Entry, target: Entry) -> None:
    """Rename a file to a name whose file is to go, in one step.

    Raises:
        OSError: as rename(2) gives it.
    """
    with target.named():
        os.rename(source.name, target.name, src_dir_fd=source.directory, dst_dir_fd=target.directory)


def exchange(one: Entry, other: Entry) -> bool:
    """Swap what two names stand for, in one step; False, and nothing is changed, where that is not known.

    Raises:
        FileNotFoundError: nothing has one of the names.
        OSError: any other reason of the system.
    """
    try:
        return _call(one, other, _EXCHANGE)
    except OSError as error:
        if error.errno not in UNKNOWN_WAY:
            raise
        return False


def probe(directory: Path) -> Strength:
    """Find out how sure renames are in a directory, with a file of our own there that is removed again.

    Raises:
        OSError: the directory cannot be written to.
    """
    with _two_probes(directory) as (source, target):
        return rename_new(source, target)


def can_exchange(directory: Path) -> bool:
    """Find out whether two names can be swapped in a directory, with files of our own that are removed again.

    A file system may take the call and rename all the same, which leaves one of two names [tried: FUSE].

    Raises:
        OSError: the directory cannot be written to.
    """
    with _two_probes(directory) as (source, target):
        os.close(target.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        return exchange(source, target) and source.exists() and target.exists()


@contextmanager
def _two_probes(directory: Path) -> Iterator[tuple[Entry, Entry]]:
    """Two names, of which the first has an empty file."""
    with Tree(directory).entry(f".cutoutd-probe-{uuid4().hex}") as source:
        target = source.beside(f".cutoutd-probe-{uuid4().hex}")
        try:
            os.close(source.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            yield source, target
        finally:
            for entry in (source, target):
                entry.unlink(missing_ok=True)


def _by_kernel(source: Entry, target: Entry) -> bool:
    return _call(source, target, _NO_REPLACE)


def _call(source: Entry, target: Entry, flags: int) -> bool:
    """Rename by the kernel's call with flags; False where there is none."""
    call = _kernel_call()
    if call is None:
        return False
    directories = [_AT_FDCWD if one.directory is None else one.directory for one in (source, target)]
    if call(directories[0], os.fsencode(source.name), directories[1], os.fsencode(target.name), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(source.path), None, os.fspath(target.path))
    return True


@functools.cache
def _kernel_call() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """The C library's function, renameat2 or macOS's renameatx_np; None where there is none."""
    library = ctypes.CDLL(None, use_errno=True)
    try:
        call = library.renameatx_np if _IS_MAC else library.renameat2
    except AttributeError:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    call.restype = ctypes.c_int
    return call


def _by_link(source: Entry, target: Entry) -> bool:
    _link(source, target)
    source.unlink()
    return True


def _link(source: Entry, target: Entry) -> None:
    with target.named():
        os.link(
            source.name,
            target.name,
            src_dir_fd=source.directory,
            dst_dir_fd=target.directory,
            follow_symlinks=False,
        )


def _checked(source: Entry, target: Entry) -> None:
    with _locked(target):
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target.path))
        replace(source, target)


@contextmanager
def _locked(target: Entry) -> Iterator[None]:
    """Keep other processes of ours out of a name's directory, where the file system has locks."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    within = "." if target.directory is not None else target.path.parent
    descriptor = os.open(within, flags, dir_fd=target.directory)
    try:
        # Without locks this way is as weak as its strength says, and still the only one.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
