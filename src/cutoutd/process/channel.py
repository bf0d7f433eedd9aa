"""Sends lines with open files over a pair of connected local sockets: unix(7), SCM_RIGHTS.

A process makes the pair and keeps one end; a process that it starts gets the other as its standard input. A file that is
sent is open at the other side as it was here, for reading or for writing, whatever that side may open by itself. This module
must not know what the lines mean.

Only the C half of Python's socket module is used: it can make connected pairs and pass files. The other half can make
network connections, and processes that read pictures do not load it.
"""

from __future__ import annotations

import _socket
import array
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

MAX_DESCRIPTORS: Final = 200
"""Files with one line: Linux passes 253 at most, and a worker may have 256 open."""

_CHUNK: Final = 1 << 16
_ROOM: Final = _socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
_CLOSE_ON_EXEC: Final = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)


class ChannelError(OSError):
    """More files came than are ever sent."""


class Sender:
    """The sending end. It never waits: what does not fit at once is sent later."""

    def __init__(self, end: _socket.socket) -> None:
        end.setblocking(False)
        with suppress(OSError):
            end.shutdown(_socket.SHUT_RD)  # nothing that the other end writes is read
        self._end = end
        self._unsent = memoryview(b"")
        self._descriptors: Sequence[int] = ()
        self._sent: Callable[[], object] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether a part is still to be sent."""
        return bool(self._unsent)

    def send(
        self, line: bytes, descriptors: Sequence[int] = (), sent: Callable[[], object] | None = None
    ) -> None:
        """Send a line, and open files with its first byte. A long line is sent in parts as it is read.

        Args:
            line: the line, with its end.
            descriptors: descriptors of the files.
            sent: called once the files may be closed here, even if they never arrived.

        Raises:
            ValueError: there are more files than can be sent with a line.
        """
        if len(descriptors) > MAX_DESCRIPTORS:
            if sent is not None:
                sent()
            raise ValueError(f"{len(descriptors)} files cannot be sent at once, only {MAX_DESCRIPTORS}")
        self._drop()
        self._unsent = memoryview(bytes(self._unsent) + line)
        self._descriptors, self._sent = descriptors, sent
        self.send_rest()

    def send_rest(self) -> bool:
        """Send as much of the unsent part as the other side takes. Returns whether that was all."""
        while self._unsent:
            try:
                self._unsent = self._unsent[self._send() :]
            except BlockingIOError:
                return False
            except OSError:  # the other side has ended, which the caller learns in another way
                self._unsent = memoryview(b"")
            self._drop()
        return True

    def close(self) -> None:
        """Close this end; the other side can still read what was sent."""
        self._unsent = memoryview(b"")
        self._drop()
        self._end.close()

    def _send(self) -> int:
        if not self._descriptors:
            return self._end.send(self._unsent)
        files = array.array("i", self._descriptors)
        return self._end.sendmsg([self._unsent[:_CHUNK]], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])

    def _drop(self) -> None:
        """Release the files: they were sent, or will not be."""
        sent, self._sent, self._descriptors = self._sent, None, ()
        if sent is not None:
            sent()


class Receiver:
    """The receiving end, inherited from another process.

    Args:
        descriptor: descriptor of the socket, owned by this object from now on.
    """

    def __init__(self, descriptor: int) -> None:
        # Family and type are given: to query them takes system calls that a worker is refused.
        self._end = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)
        self._unread = b""

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._end.fileno()

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def receive(self) -> tuple[bytes, list[int]]:
        """Wait for the next line and return it with the files that came with it; an empty line at the end.

        Raises:
            ChannelError: more files came than are ever sent.
            OSError: the system refuses.
        """
        descriptors: list[int] = []
        while b"\n" not in self._unread:
            data, ancillary, flags, _ = self._end.recvmsg(_CHUNK, _ROOM, _CLOSE_ON_EXEC)
            for level, kind, content in ancillary:
                if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
                    files = array.array("i")
                    files.frombytes(content[: len(content) - len(content) % files.itemsize])
                    descriptors += files
            if flags & _socket.MSG_CTRUNC:
                close(descriptors)
                raise ChannelError("more files came than there is room for")
            if not data:
                close(descriptors)
                return b"", []
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line + b"\n", descriptors


def pair() -> tuple[Sender, int]:
    """Make a connected pair: our end, and the descriptor of the other end for a process that is started.

    Raises:
        OSError: there are no more descriptors.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
    return Sender(ours), theirs.detach()


def worker_ends() -> tuple[Receiver, BinaryIO]:
    """A worker's channel and report pipe, moved away from where a library that prints would disturb them."""
    tasks, reports = Receiver(os.dup(0)), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return tasks, reports


def close(descriptors: Sequence[int]) -> None:
    """Close files and ignore errors."""
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)
