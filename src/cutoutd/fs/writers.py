"""Whether somebody has a file open for writing, as far as the kernel tells. It must not read or change the file."""

from __future__ import annotations

import fcntl
import signal
import sys
from contextlib import suppress
from enum import Enum


class Writers(Enum):
    """Who has a file open for writing on this machine."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"


def is_open_for_writing(descriptor: int) -> bool:
    """Whether somebody has a file open for writing; False where that is not known.

    Args:
        descriptor: of the file, open for reading.
    """
    return writers_of(descriptor) is Writers.SOME


def writers_of(descriptor: int) -> Writers:
    """Whether a read lease is refused because there is a writer (fcntl(2), "Leases").

    A descriptor that is on its way to another process counts, and so does memory that the file is mapped into. A lease asks
    for a file of one's own or CAP_LEASE, and for a file system that knows leases; where one of
    these is missing nothing is known. A writer who opens the file in the
    microseconds between the two calls waits for the second one, unless it opens without blocking: then it
    is refused with EWOULDBLOCK and has to try again.

    Args:
        descriptor: of the file, open for reading.
    """
    if sys.platform != "linux":
        return Writers.UNKNOWN
    try:
        # Such a writer makes the kernel send us a signal, by default SIGIO, which would end the process.
        # SIGURG is ignored unless someone asks for it, in every thread, with nothing to set up.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return Writers.SOME
    except OSError:
        return Writers.UNKNOWN
    with suppress(OSError):  # the kernel has taken it back: we were stopped for longer than it waits
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return Writers.NONE
