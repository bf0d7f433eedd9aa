"""What the error numbers of failed system calls speak of: the one table that every part reads.

A number alone often leaves open what is to blame: EACCES may be a whole share or one directory. Then the caller
tries something plain in the same place. Values only: this module must not make a call.
"""

from __future__ import annotations

import errno
from typing import Final

READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
"""It may be read, and not written."""

DENIED: Final = frozenset({errno.EACCES, errno.EPERM})
"""Permission was refused."""

NO_WAY: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""There is no such file inside the folder: it is gone, or a link or a file stands in its way."""

NOT_THERE: Final = NO_WAY | {errno.EISDIR}
"""A source was removed; or a link or a directory has its name now, which is not followed or read."""

NOT_OURS: Final = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO})
"""To an open of a regular file: it may not be read, or by now a link or a socket has its name."""

NO_FILE: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.ENXIO})
"""Nothing is there, or a link or a socket, which nobody of ours has left."""

NO_DIRECTORY_SYNC: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF})
"""A file system that cannot sync a directory; there is nothing better to be had from it."""

NO_PLACE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EEXIST})
"""For a result: the place it goes to is not as it should be."""

IMPOSSIBLE_NAME: Final = frozenset({errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG})
"""No file there can have such a name, so that nothing has it either."""

OF_THE_DISK: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
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
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
    }
)
"""The disk, the share or the system is to blame, whatever the name was: a small file that still goes there proves
nothing."""

OF_THE_DISK_NOT_A_SOCKET: Final = OF_THE_DISK - {errno.ENXIO}
"""As `OF_THE_DISK`, where ENXIO is what a socket says that stands in a file's place."""

HELD: Final = frozenset({errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY})
"""Of a file that is to be replaced: another program may hold it, as is usual on shares of Windows."""

LEASED: Final = errno.EAGAIN
"""To an open that does not wait: a file server has a lease on it for one of its clients, which is asked now to give it back."""

UNKNOWN_WAY: Final = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EMLINK}
)
"""What a file system, an older kernel or a container's filter says to a call that it does not know. EPERM may also be
meant; then the next way fails with it too. sshfs: EINVAL; FUSE without links and FAT: EPERM [tried]."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""There is no room."""
