"""Renaming a file in one step, never at the cost of an existing file; and exchanging two files' names.

This module must not read or write contents, and must not choose a name.
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
    """How reliably a rename does not replace an existing file."""

    KERNEL = "kernel"  # one call that refuses: renameat2(RENAME_NOREPLACE), renamex_np(RENAME_EXCL)
    LINK = "link"  # a second name, which is refused if taken; then the first one is removed
    CHECKED = "checked"  # checked before: a file that appears at that moment is lost


_IS_MAC = sys.platform == "darwin"
_AT_FDCWD = -2 if _IS_MAC else -100  # fcntl.h
# linux/fs.h: RENAME_NOREPLACE, RENAME_EXCHANGE; sys/stdio.h of macOS: RENAME_EXCL, RENAME_SWAP.
_NO_REPLACE, _EXCHANGE = (4, 2) if _IS_MAC else (1, 2)


def rename_new(source: Entry, target: Entry) -> Strength:
    """Rename a file to a free name, by the most reliable way that the file system has.

    If the process is killed between the two steps of ``Strength.LINK``, the file keeps both names.

    Raises:
        FileExistsError: the name is taken.
        FileNotFoundError: the source, or the target's directory, does not exist.
        OSError: any other error of the system, such as EXDEV.
    """
    for strength, attempt in ((Strength.KERNEL, _by_kernel), (Strength.LINK, _by_link)):
        try:
            if attempt(source, target):
                return strength
        except OSError as error:
            if error.errno not in UNKNOWN_WAY:
                raise
    _by_check(source, target)
    return Strength.CHECKED


def add_name(source: Entry, target: Entry) -> bool:
    """Give a file a second, free name; returns False if the file system has no hard links.

    The file keeps both names until the new one is on the disk, so that no power failure can leave it without any.

    Raises:
        FileExistsError: the name is taken.
        OSError: any other error of the system, such as EXDEV.
    """
    try:
        _link(source, target)
    except OSError as error:
        if error.errno not in UNKNOWN_WAY:
            raise
        return False
    return True


def replace(source: Entry, target: Entry) -> None:
    """Rename a file over an existing one, in one step.

    Raises:
        OSError: the error of rename(2).
    """
    with target.named():
        os.rename(source.name, target.name, src_dir_fd=source.directory, dst_dir_fd=target.directory)


def exchange(one: Entry, other: Entry) -> bool:
    """Exchange the files of two names, in one step; returns False, and changes nothing, if the file system cannot.

    Raises:
        FileNotFoundError: one of the names does not exist.
        OSError: any other error of the system.
    """
    try:
        return _call(one, other, _EXCHANGE)
    except OSError as error:
        if error.errno not in UNKNOWN_WAY:
            raise
        return False


def probe(directory: Path) -> Strength:
    """Find out how reliable renames are in a directory, with a temporary file.

    Raises:
        OSError: the directory cannot be written to.
    """
    with _two_probes(directory) as (source, target):
        return rename_new(source, target)


def can_exchange(directory: Path) -> bool:
    """Find out whether two names can be exchanged in a directory, with temporary files.

    A file system may accept the call but do a plain rename, which leaves one of two names [tried: FUSE].

    Raises:
        OSError: the directory cannot be written to.
    """
    with _two_probes(directory) as (source, target):
        os.close(target.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        return exchange(source, target) and source.exists() and target.exists()


@contextmanager
def _two_probes(directory: Path) -> Iterator[tuple[Entry, Entry]]:
    """Yield two names, the first with an empty file; both are removed at the end."""
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
    """Rename by the kernel's call with flags; returns False if there is none."""
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
    """Return the C library's renameat2, or macOS's renameatx_np; None if there is none."""
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


def _by_check(source: Entry, target: Entry) -> None:
    with _locked(target):
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target.path))
        replace(source, target)


@contextmanager
def _locked(target: Entry) -> Iterator[None]:
    """Lock a name's directory against our other processes, if the file system has locks."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    within = "." if target.directory is not None else target.path.parent
    descriptor = os.open(within, flags, dir_fd=target.directory)
    try:
        # Without locks this way is only as reliable as its strength says, but there is no other.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
