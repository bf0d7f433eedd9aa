"""Whether somebody has a file open for writing, as far as the kernel tells. It must not read or change the file."""

from __future__ import annotations

import fcntl
import signal
import sys
from contextlib import suppress


def is_open_for_writing(descriptor: int) -> bool:
    """Whether a read lease is refused because there is a writer (fcntl(2), "Leases").

    A lease asks for a file of one's own or CAP_LEASE, and for a file system that knows leases; where one of
    these is missing nothing is known, and False is the answer. A writer who opens the file in the
    microseconds between the two calls waits for the second one, unless it opens without blocking: then it
    is refused with EWOULDBLOCK and has to try again.

    Args:
        descriptor: of the file, open for reading.
    """
    if sys.platform != "linux":
        return False
    try:
        # Such a writer makes the kernel send us a signal, by default SIGIO, which would end the process.
        # SIGURG is ignored unless someone asks for it, in every thread, with nothing to set up.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    with suppress(OSError):  # the kernel has taken it back: we were stopped for longer than it waits
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
