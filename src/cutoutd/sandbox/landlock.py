"""Landlock: the kernel limits which files a process may read and write; see landlock(7).

Rules bind to the inode that a path has now: a root that is deleted and created again is out of reach, so workers are
replaced then. Landlock governs opening, creating, removing and renaming, but not the attributes of files, which the
worker's seccomp filter protects. This module must not choose roots; the caller knows them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

from cutoutd.errors import CutoutdError
from cutoutd.sandbox.kernel import call, demand, is_linux, set_no_new_privileges, threads

if TYPE_CHECKING:
    from collections.abc import Sequence

# The same on every architecture that has Landlock and that Python runs on.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1  # LANDLOCK_RULE_PATH_BENEATH
_ALL_THREADS = 1 << 3  # LANDLOCK_RESTRICT_SELF_TSYNC
_ALL_THREADS_SINCE = 8
_NET_SINCE = 4
_NET_TCP = 0b11  # bind and connect; with no rule that allows a port, none is allowed
_NET_PORT = 2  # LANDLOCK_RULE_NET_PORT
_BIND_TCP, _CONNECT_TCP = 0b01, 0b10
_SCOPE_SINCE = 6
_SCOPE = 0b11  # abstract UNIX sockets and signals stay within the domain


class Right(IntFlag):
    """Access rights, of linux/landlock.h; a right that is not granted is refused."""

    EXECUTE = 1 << 0  # start a program; mapping a library is reading
    WRITE_FILE = 1 << 1  # open a file for writing
    READ_FILE = 1 << 2  # open a file for reading
    READ_DIR = 1 << 3  # list a directory
    REMOVE_DIR = 1 << 4  # remove or rename an empty directory
    REMOVE_FILE = 1 << 5  # remove or rename anything else
    MAKE_CHAR = 1 << 6  # a character device
    MAKE_DIR = 1 << 7  # a directory
    MAKE_REG = 1 << 8  # a regular file, or another name for one
    MAKE_SOCK = 1 << 9  # a UNIX socket
    MAKE_FIFO = 1 << 10  # a named pipe
    MAKE_BLOCK = 1 << 11  # a block device
    MAKE_SYM = 1 << 12  # a symbolic link
    REFER = 1 << 13  # rename or link between directories; since ABI 2, refused altogether before
    TRUNCATE = 1 << 14  # shorten a file; since ABI 3
    IOCTL_DEV = 1 << 15  # ioctl on devices; since ABI 5


_READ = Right.READ_FILE | Right.READ_DIR
# No symlinks, FIFOs, sockets or devices: nothing that could mislead the process that publishes from there.
_WRITE = (
    _READ
    | Right.WRITE_FILE
    | Right.REMOVE_DIR
    | Right.REMOVE_FILE
    | Right.MAKE_DIR
    | Right.MAKE_REG
    | Right.REFER
    | Right.TRUNCATE
)
_ON_A_FILE = Right.EXECUTE | Right.WRITE_FILE | Right.READ_FILE | Right.TRUNCATE | Right.IOCTL_DEV

# Files that Python and the C library open by themselves, besides their own modules.
_ALWAYS = (
    ("/dev/null", Right.READ_FILE | Right.WRITE_FILE | Right.TRUNCATE),
    ("/dev/urandom", Right.READ_FILE),
    # Not all of /proc/self: it also shows mounts, connections and other processes.
    *((f"/proc/self/{name}", Right.READ_FILE) for name in ("status", "stat", "statm", "maps")),
    *((f"/proc/self/{name}", Right.READ_DIR) for name in ("fd", "task")),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Restriction:
    """The result of `restrict`.

    Attributes:
        abi: version of Landlock whose guarantees hold.
        missing: roots that could not be opened, so that nothing beneath them can be reached.
    """

    abi: int
    missing: tuple[str, ...]


def abi() -> int:
    """Return the Landlock version of this kernel; 0 where there is none or it is disabled."""
    if not is_linux():
        return 0
    # Old container profiles answer EPERM for unknown calls: that is no Landlock either.
    return max(0, call("syscall", _CREATE_RULESET, None, 0, _VERSION))


def handled(version: int) -> Right:
    """Return all rights that a kernel of a Landlock version can refuse.

    Args:
        version: version, 1 or above.
    """
    rights = Right.REFER - 1  # all lower bits belong to the first version
    for since, right in ((2, Right.REFER), (3, Right.TRUNCATE), (5, Right.IOCTL_DEV)):
        if version >= since:
            rights |= right
    return Right(rights)


def restrict(
    read: Sequence[str | os.PathLike[str]],
    write: Sequence[str | os.PathLike[str]],
    connect: Sequence[int] = (),
    *,
    execute: Sequence[str | os.PathLike[str]] = (),
    bind: Sequence[int] = (),
) -> Restriction | None:
    """Confine this process to reading beneath ``read`` and to reading and writing beneath ``write``, for good.

    /dev/null, /dev/urandom and those files of /proc/self that concern the process alone stay usable. Nothing else can be
    executed than what lies beneath ``execute``, no other TCP port bound or reached than those in ``bind`` and ``connect``
    (ABI 4), and no process outside signalled (ABI 6). Files that are open already stay open.

    Args:
        read: files or directories, at any depth; one that cannot be opened is left out, which is the safe side.
        write: likewise; includes reading.
        connect: TCP ports that may be reached, at any address.
        execute: files or directories of which programs may be started; includes reading.
        bind: TCP ports that may be listened on.

    Returns:
        The restriction, or None where the kernel has no Landlock.

    Raises:
        CutoutdError: there are other threads, which the kernel (before ABI 8) would not bind; or the kernel refused.
    """
    version = abi()
    if not version:
        return None
    count = threads()
    if count > 1 and version < _ALL_THREADS_SINCE:
        raise CutoutdError(
            f"the sandbox could not be set up: {count} threads exist, and Landlock {version} would bind only one"
        )
    ruleset, version = _ruleset(version)
    try:
        grants = [*_ALWAYS, *((os.fspath(root), _READ) for root in read)]
        grants += [(os.fspath(root), _WRITE) for root in write]
        grants += [(os.fspath(root), _READ | Right.EXECUTE) for root in execute]
        missing = tuple(
            root for root, rights in grants if not _grant(ruleset, root, rights & handled(version))
        )
        if version >= _NET_SINCE:
            for right, port in (
                *((_CONNECT_TCP, one) for one in connect),
                *((_BIND_TCP, one) for one in bind),
            ):
                rule = ctypes.create_string_buffer(struct.pack("=QQ", right, port), 16)
                demand(f"a Landlock rule for port {port}", "syscall", _ADD_RULE, ruleset, _NET_PORT, rule, 0)
        set_no_new_privileges()
        flags = _ALL_THREADS if version >= _ALL_THREADS_SINCE else 0
        demand("landlock_restrict_self", "syscall", _RESTRICT_SELF, ruleset, flags)
    finally:
        os.close(ruleset)
    return Restriction(abi=version, missing=missing)


def _ruleset(version: int) -> tuple[int, int]:
    """Create a ruleset. Returns its descriptor and its actual version."""
    network = _NET_TCP if version >= _NET_SINCE else 0
    scope = _SCOPE if version >= _SCOPE_SINCE else 0
    # Older kernels accept the newer struct as long as the fields they do not know are zero.
    attributes = ctypes.create_string_buffer(struct.pack("@QQQ", handled(version), network, scope), 24)
    ruleset = call("syscall", _CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset == -errno.EINVAL and version >= _SCOPE_SINCE:
        # RHEL 9 reports ABI 6 but lacks the scope of signals.
        return _ruleset(_SCOPE_SINCE - 1)
    if ruleset < 0:
        raise CutoutdError(
            f"the sandbox could not be set up: landlock_create_ruleset: {os.strerror(-ruleset)}"
        )
    return ruleset, version


def _grant(ruleset: int, root: str, rights: Right) -> bool:
    """Grant rights at and beneath a root. Returns False if it cannot be opened."""
    try:
        descriptor = os.open(root, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _ON_A_FILE
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, descriptor), 12)
        demand(f"a Landlock rule for {root}", "syscall", _ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)
    return True
