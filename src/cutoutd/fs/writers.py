"""Whether a file is open for writing, as far as the kernel knows. It must not read or change the file."""

from __future__ import annotations

import fcntl
import signal
import sys
from contextlib import suppress
from enum import Enum


class Writers(Enum):
    """Whether a file is open for writing on this machine."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"


def is_open_for_writing(descriptor: int) -> bool:
    """Whether a file is open for writing; False where that is unknown.

    Args:
        descriptor: descriptor of the file, open for reading.
    """
    return writers_of(descriptor) is Writers.SOME


def writers_of(descriptor: int) -> Writers:
    """Find out whether a read lease is refused because there is a writer (fcntl(2), "Leases").

    A descriptor that is being sent to another process counts, and so does memory that the file is mapped into. A lease needs
    ownership of the file or CAP_LEASE, and a file system that knows leases; without these the answer is UNKNOWN. A writer
    that opens the file in the microseconds between the two calls waits for the second one; if it opens without blocking, it
    gets EWOULDBLOCK and has to try again.

    Args:
        descriptor: descriptor of the file, open for reading.
    """
    if sys.platform != "linux":
        return Writers.UNKNOWN
    try:
        # Such a writer makes the kernel send us a signal, by default SIGIO, which would end the process. SIGURG is
        # ignored by default, in every thread.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return Writers.SOME
    except OSError:
        return Writers.UNKNOWN
    with suppress(
        OSError
    ):  # the kernel has revoked the lease: this process was stopped for longer than it waits
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return Writers.NONE
