"""What the error numbers of failed system calls mean: the one table that all parts use.

A number alone often leaves the cause open: EACCES may concern a whole share or one directory. Then the caller tries something
plain in the same place. Values only: this module must not make a call.
"""

from __future__ import annotations

import errno
from typing import Final

READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
"""The file or directory can be read, but not written."""

DENIED: Final = frozenset({errno.EACCES, errno.EPERM})
"""Permission was refused."""

NO_WAY: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""There is no such file inside the folder: it is gone, or a link or a file is in its path."""

NOT_THERE: Final = NO_WAY | {errno.EISDIR}
"""A source was removed; or a link or a directory has its name, which is not followed or read."""

NOT_OURS: Final = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO})
"""Errors of opening a regular file that may not be read, or whose name a link or a socket has now."""

NO_FILE: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.ENXIO})
"""There is no file, or a link or a socket, which is not one of ours."""

NO_DIRECTORY_SYNC: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF})
"""The file system cannot sync a directory; it offers nothing better."""

NO_PLACE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EEXIST})
"""The place of a result is not as it should be."""

IMPOSSIBLE_NAME: Final = frozenset({errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG})
"""No file there can have such a name, so there is none."""

_UNREACHABLE: Final = frozenset(
    {
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ENODEV,
        errno.ENXIO,
    }
)
"""Errors of a share whose server is not there, or of a device that is gone."""

OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""This process or the system has too many open files, or no memory left: says nothing of a disk, and passes."""

OF_THE_DISK: Final = _UNREACHABLE | OUT_OF_RESOURCES | {errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""Errors of the disk, the share or the system, whatever the name is; that a small file can still be written proves nothing."""

OF_THE_DISK_NOT_A_SOCKET: Final = OF_THE_DISK - {errno.ENXIO}
"""As `OF_THE_DISK`, where ENXIO is the error for a socket in a file's place."""

AWAY: Final = NO_WAY | _UNREACHABLE
"""Errors of a directory that is not there, or of a share whose server is not."""

HELD: Final = frozenset({errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY})
"""Errors of replacing a file that another program may have open, as is usual on Windows shares."""

LEASED: Final = errno.EAGAIN
"""The error of a non-blocking open of a file on which a file server has a lease for a client; the lease is now being ended."""

UNKNOWN_WAY: Final = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EMLINK}
)
"""Errors of a call that a file system, an older kernel or a container's filter does not support. EPERM may also be a real
refusal; then the next way fails with it too. sshfs: EINVAL; FUSE without links and FAT: EPERM [tried]."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""There is no space left, or the quota is used up."""

NOT_WRITTEN: Final = FULL | {errno.EROFS, errno.EIO}
"""Errors of a disk that takes nothing: a fault of its state, never of a program that writes."""
