"""Access rights of results: those of a file created in the same directory, but no more than the original's.

Results are staged in the root of the output. A sub-folder may have its own group or access list, so a file gets its group, mode
and access list at the last moment, by its descriptor, from the directory that it goes to. This module must not rename, and
decides nothing about directories.

acl(5), open(2) for O_TMPFILE; the layout of the access lists is that of Linux's posix_acl_xattr.h.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.fs.durable import sync
from cutoutd.publish.access_lists import READ, AccessList, granted, masked, of_mode, packed, parsed, reading
from cutoutd.publish.writing import ACCESS_LIST, DEFAULT_PERMISSIONS, Permissions

if TYPE_CHECKING:
    from cutoutd.fs.tree import Entry, Tree

_FILE_MODE: Final = 0o666
_TMPFILE: Final = getattr(os, "O_TMPFILE", 0)
_ACCESS: Final = ACCESS_LIST
_DEFAULT: Final = "system.posix_acl_default"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rights:
    """The access rights of a file.

    Attributes:
        group: numeric id of the group.
        mode: permission bits.
        acl: access list in the kernel's format; None: the mode is complete.
    """

    group: int
    mode: int
    acl: bytes | None = None

    def limited(self, original: Rights, *, group: int | None = None) -> Rights:
        """Return these rights, limited to those who may read the original.

        If not everybody may read the original, only those whom its rights name may read the result, whatever its directory says; its
        group may, if the owner of the folder has set one.

        Args:
            original: rights of the original, as the staged file has them from `Access.while_staged`.
            group: the group that the owner has set; None: none.
        """
        if original.mode & 0o004:
            allowed = 0o700 | _class(original.mode, 0o040, 0o070) | _class(original.mode, 0o004, 0o007)
            acl = masked(self.acl, allowed) if self.acl is not None else None
            return replace(self, mode=self.mode & allowed, acl=acl)
        readers = original.listed
        kept = group if group is not None else original.group if readers.of_group & READ else self.group
        left = granted(self.listed, readers, group=kept)
        return Rights(group=kept, mode=self.mode & ~0o777 | left.mode, acl=packed(left))

    @property
    def listed(self) -> AccessList:
        """The rights as an access list."""
        return of_mode(self.mode) if self.acl is None else parsed(self.acl)


class Access:
    """The access rights of one folder's files.

    Args:
        permissions: the owner's settings; they win over everything else.
        inputs: the folder with the originals; None: not known.
    """

    def __init__(self, permissions: Permissions = DEFAULT_PERMISSIONS, inputs: Tree | None = None) -> None:
        self._permissions = permissions
        self._inputs = inputs

    def while_staged(self, source: str) -> Permissions:
        """Return the permissions of a staged file, which nobody else can reach: they record those of its original.

        Args:
            source: path of the original in the input.
        """
        if self._permissions.mode is not None:
            return self._permissions
        return self._of_original(source)

    def fit(self, staged: Entry, target: Entry) -> None:
        """Give a staged file the rights of a file created in its target's directory; durably.

        If a file system has no modes, or refuses them, the file is left as it is, except for what the owner has set.

        Raises:
            OSError: the file cannot be opened, or does not take what the owner has set.
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
        """Return the original's permissions for reading; as if all could read it, if it is gone or not known."""
        if self._inputs is not None:
            with suppress(OSError), self._inputs.entry(source) as entry:
                status = entry.lstat()
                if status.st_mode & 0o004:
                    return Permissions(mode=0o600 | status.st_mode & 0o044, lenient=True)
                readers = reading(_listed(entry, status))
                acl = packed(readers)
                # If the file system takes no access list, the mode applies without the named users and groups.
                mode = 0o600 | readers.group << 3
                return Permissions(mode=mode, group=status.st_gid, acl=acl, lenient=True)
        return Permissions(mode=0o644, lenient=True)


def _listed(entry: Entry, status: os.stat_result) -> AccessList:
    """Return the access list of a file; only its owner's rights, if the list cannot be read."""
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
    """Return the rights that a file created beside a target would have."""
    if target.directory is not None:
        return made_in(target.directory)
    descriptor = os.open(target.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return made_in(descriptor)
    finally:
        os.close(descriptor)


def made_in(directory: int) -> Rights:
    """Return the rights that a file created in a directory would have, by creating an unnamed one if that is possible.

    Args:
        directory: descriptor of the directory.

    Raises:
        OSError: the directory cannot be read.
    """
    if _TMPFILE:
        with suppress(OSError):  # NFS, FUSE, or a full disk: by the directory's rules then
            descriptor = os.open(".", _TMPFILE | os.O_RDWR | os.O_CLOEXEC, _FILE_MODE, dir_fd=directory)
            try:
                return _rights(descriptor)
            finally:
                os.close(descriptor)
    return by_its_rules(directory)


def by_its_rules(directory: int) -> Rights:
    """Return the rights that a file created in a directory would have, by its set-group-id bit and default access list.

    Raises:
        OSError: the directory cannot be read.
    """
    status = os.fstat(directory)
    inherits = sys.platform == "darwin" or status.st_mode & stat.S_ISGID
    group = status.st_gid if inherits else os.getegid()
    default = _attribute(directory, _DEFAULT)
    if default is None:
        return Rights(group=group, mode=_FILE_MODE & ~_umask())
    acl = masked(default, _FILE_MODE)
    listed = parsed(acl)
    return Rights(group=group, mode=listed.mode, acl=acl if listed.named or listed.mask is not None else None)


def _attribute(descriptor: int, name: str) -> bytes | None:
    if not hasattr(os, "getxattr"):
        return None  # macOS: Python has no call for them
    try:
        return os.getxattr(descriptor, name)
    except OSError:
        return None  # the file has none, or the file system does not support it


def _give(descriptor: int, has: Rights, wanted: Rights) -> None:
    """Set the rights of a file, as far as the system lets this user."""
    # The group first: changing it clears bits of the mode. Then the list, which sets the mode as well.
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
    """Return this process's umask; read from /proc if possible, since setting it affects all threads."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
