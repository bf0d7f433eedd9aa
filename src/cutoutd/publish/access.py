"""Who may read and write a result: what a file made in its very directory would get, and no more than its original allows.

Results are staged in the root of the output. A sub-folder may have a group or an access list of its own, so a file gets
its group, mode and access list at the last moment, by its descriptor, from the directory that it goes to. This module
must not rename, and decides nothing about directories.

acl(5), open(2) for O_TMPFILE; the layout of the access lists is that of Linux's posix_acl_xattr.h.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.fs.durable import sync
from cutoutd.publish.access_lists import READ, AccessList, granted, of_mode, packed, parsed, reading
from cutoutd.publish.writing import ACCESS_LIST, DEFAULT_PERMISSIONS, Permissions

if TYPE_CHECKING:
    from cutoutd.fs.tree import Entry, Tree

_FILE_MODE: Final = 0o666
_TMPFILE: Final = getattr(os, "O_TMPFILE", 0)
_ACCESS: Final = ACCESS_LIST
_DEFAULT: Final = "system.posix_acl_default"
_HEADER: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<HHI")
_USER_OBJ, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x04, 0x10, 0x20


@dataclass(frozen=True, kw_only=True, slots=True)
class Rights:
    """What a file has.

    Attributes:
        group: numeric.
        mode: permission bits.
        acl: its access list as the kernel has it; None: the mode says all.
    """

    group: int
    mode: int
    acl: bytes | None = None

    def limited(self, original: Rights, *, group: int | None = None) -> Rights:
        """As much of it as an original lets others read.

        Who is not named in the rights of an original that not everybody may read does not read the result either, whatever
        the directory says that it lies in: its group, unless the owner has set one, and whoever is on the list.

        Args:
            original: as a staged file has it, of `Access.while_staged`.
            group: that the owner has set.
        """
        if original.mode & 0o004:
            allowed = 0o700 | _class(original.mode, 0o040, 0o070) | _class(original.mode, 0o004, 0o007)
            acl = _masked(self.acl, allowed) if self.acl is not None else None
            return replace(self, mode=self.mode & allowed, acl=acl)
        readers = original.listed
        kept = group if group is not None else original.group if readers.of_group & READ else self.group
        left = granted(self.listed, readers, group=kept)
        return Rights(group=kept, mode=self.mode & ~0o777 | left.mode, acl=packed(left))

    @property
    def listed(self) -> AccessList:
        """What it says."""
        return of_mode(self.mode) if self.acl is None else parsed(self.acl)


class Access:
    """Whom the files of one folder belong to.

    Args:
        permissions: as its owner has set them; what is set wins.
        inputs: where the originals are; None: nothing is known about them.
    """

    def __init__(self, permissions: Permissions = DEFAULT_PERMISSIONS, inputs: Tree | None = None) -> None:
        self._permissions = permissions
        self._inputs = inputs

    def while_staged(self, source: str) -> Permissions:
        """What a file has while it is staged, where nobody else can reach it: it says what its original allows.

        Args:
            source: path of the original in the input.
        """
        if self._permissions.mode is not None:
            return self._permissions
        return self._of_original(source)

    def fit(self, staged: Entry, target: Entry) -> None:
        """Give a staged file what one made in the directory it goes to would have; durably.

        A file system that has no modes, or refuses, is left alone, but for what the owner has set.

        Raises:
            OSError: it cannot be opened, or has not got what the owner has set.
        """
        wanted = _made_beside(target)
        descriptor = staged.open(os.O_RDONLY | os.O_NONBLOCK)
        try:
            has = _rights(descriptor)
            if self._permissions.mode is None:
                wanted = wanted.limited(has, group=self._permissions.group)
            if (has.group, has.acl) != (wanted.group, wanted.acl) or has.mode != wanted.mode:
                _give(descriptor, has, wanted)
            if self._permissions.group is not None:
                os.fchown(descriptor, -1, self._permissions.group)
            if self._permissions.mode is not None:
                os.fchmod(descriptor, self._permissions.mode)
            if _rights(descriptor) != has:
                sync(descriptor)
        finally:
            os.close(descriptor)

    def _of_original(self, source: str) -> Permissions:
        """What the original says, for reading; as if all could read it, if it is gone, or was never looked at."""
        if self._inputs is not None:
            with suppress(OSError), self._inputs.entry(source) as entry:
                status = entry.lstat()
                if status.st_mode & 0o004:
                    return Permissions(mode=0o600 | status.st_mode & 0o044, lenient=True)
                readers = reading(_listed(entry, status))
                acl = packed(readers)
                # A list is refused where there are none: the mode then has to do without what it names.
                mode = 0o600 | readers.group << 3
                return Permissions(mode=mode, group=status.st_gid, acl=acl, lenient=True)
        return Permissions(mode=_FILE_MODE & 0o644, lenient=True)


def _listed(entry: Entry, status: os.stat_result) -> AccessList:
    """Who may do what with a file; nobody but its owner, where that cannot be asked."""
    if not status.st_mode & 0o040:
        return of_mode(status.st_mode & 0o700)
    try:
        descriptor = entry.open(os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return of_mode(status.st_mode & 0o700)
    try:
        acl = _attribute(descriptor, _ACCESS)
    finally:
        os.close(descriptor)
    return of_mode(status.st_mode) if acl is None else parsed(acl)


def _class(mode: int, read: int, allowed: int) -> int:
    return allowed if mode & read else 0


def _rights(descriptor: int) -> Rights:
    status = os.fstat(descriptor)
    return Rights(group=status.st_gid, mode=stat.S_IMODE(status.st_mode), acl=_attribute(descriptor, _ACCESS))


def _made_beside(target: Entry) -> Rights:
    """What a file made in a name's directory would have."""
    if target.directory is not None:
        return made_in(target.directory)
    descriptor = os.open(target.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return made_in(descriptor)
    finally:
        os.close(descriptor)


def made_in(directory: int) -> Rights:
    """What a file made in a directory would have: by making one without a name, or by its rules where that is not known.

    Args:
        directory: descriptor.

    Raises:
        OSError: the directory cannot be looked at.
    """
    if _TMPFILE:
        with suppress(OSError):  # NFS, FUSE, or no room: its rules say it
            descriptor = os.open(".", _TMPFILE | os.O_RDWR | os.O_CLOEXEC, _FILE_MODE, dir_fd=directory)
            try:
                return _rights(descriptor)
            finally:
                os.close(descriptor)
    return by_its_rules(directory)


def by_its_rules(directory: int) -> Rights:
    """What a file made in a directory would have, by its set-group-id bit and its default access list.

    Raises:
        OSError: the directory cannot be looked at.
    """
    status = os.fstat(directory)
    inherits = sys.platform == "darwin" or status.st_mode & stat.S_ISGID
    group = status.st_gid if inherits else os.getegid()
    default = _attribute(directory, _DEFAULT)
    if default is None:
        return Rights(group=group, mode=_FILE_MODE & ~_umask())
    acl = _masked(default, _FILE_MODE)
    listed = parsed(acl)
    return Rights(group=group, mode=listed.mode, acl=acl if listed.named or listed.mask is not None else None)


def _masked(acl: bytes, mode: int) -> bytes:
    """An access list, less what a mode does not have: of the owner, of the mask or else the group, of all others."""
    entries = list(_ENTRY.iter_unpack(acl[_HEADER.size :]))
    group = _MASK if any(tag == _MASK for tag, _, _ in entries) else _GROUP_OBJ
    bits = {_USER_OBJ: mode >> 6 & 7, group: mode >> 3 & 7, _OTHER: mode & 7}
    packed = (_ENTRY.pack(tag, held & bits.get(tag, 7), who) for tag, held, who in entries)
    return acl[: _HEADER.size] + b"".join(packed)


def _attribute(descriptor: int, name: str) -> bytes | None:
    if not hasattr(os, "getxattr"):
        return None  # macOS: Python has no call for them
    try:
        return os.getxattr(descriptor, name)
    except OSError:
        return None  # it has none, or the file system knows none


def _give(descriptor: int, has: Rights, wanted: Rights) -> None:
    """Give a file what it should have, as far as the system lets this user."""
    # The group first: a change of it clears bits of the mode. Then the list, which sets the mode as well.
    if has.group != wanted.group:
        with suppress(OSError):
            os.fchown(descriptor, -1, wanted.group)
    if has.acl != wanted.acl:
        with suppress(OSError):
            if wanted.acl is None:
                os.removexattr(descriptor, _ACCESS)
            else:
                os.setxattr(descriptor, _ACCESS, wanted.acl)
    if wanted.acl is None or os.fstat(descriptor).st_mode & 0o777 != wanted.mode & 0o777:
        with suppress(OSError):
            os.fchmod(descriptor, wanted.mode)


def _umask() -> int:
    """This process's; read where the system says it, since setting it would be seen by all threads."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
