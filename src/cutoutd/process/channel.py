"""Lines, and open files with them, over a pair of connected local sockets: unix(7), SCM_RIGHTS.

One process makes the pair and keeps one end; a process that it starts finds the other as its standard input. A file that is
sent is open at the other side as it was here, for reading or for writing, whatever that side may open by itself. It must
not know what the lines say.

The C half of Python's socket module is used alone: that one can make connected pairs and pass files, which is all that is
needed here; the other half brings the means for calling out, and processes that read pictures load none of that.
"""

from __future__ import annotations

import _socket
import array
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_DESCRIPTORS: Final = 200
"""With one line: Linux passes 253 at most, and a worker may have 256 open."""

_CHUNK: Final = 1 << 16
_ROOM: Final = _socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
_CLOSE_ON_EXEC: Final = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)


class ChannelError(OSError):
    """More files came than are ever sent."""


class Sender:
    """This process's end. Nothing waits: what does not fit at once is sent later."""

    def __init__(self, end: _socket.socket) -> None:
        end.setblocking(False)
        with suppress(OSError):
            end.shutdown(_socket.SHUT_RD)  # whatever is written at the other end is for nobody
        self._end = end
        self._unsent = memoryview(b"")
        self._descriptors: Sequence[int] = ()
        self._sent: Callable[[], object] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether something is still to be sent."""
        return bool(self._unsent)

    def send(
        self, line: bytes, descriptors: Sequence[int] = (), sent: Callable[[], object] | None = None
    ) -> None:
        """Send a line, and open files with its first byte; a long one goes in parts as it is read.

        Args:
            line: with its end.
            descriptors: of the files.
            sent: called once the files need not be open here any longer, even if they never got there.

        Raises:
            ValueError: more files than can be sent with a line.
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
        """Send as much as the other side takes of what it did not take at once; whether that was all."""
        while self._unsent:
            try:
                self._unsent = self._unsent[self._send() :]
            except BlockingIOError:
                return False
            except OSError:  # it has ended, which its owner learns in another way
                self._unsent = memoryview(b"")
            self._drop()
        return True

    def close(self) -> None:
        """Close this end; the other side reads to its end."""
        self._unsent = memoryview(b"")
        self._drop()
        self._end.close()

    def _send(self) -> int:
        if not self._descriptors:
            return self._end.send(self._unsent)
        files = array.array("i", self._descriptors)
        return self._end.sendmsg([self._unsent[:_CHUNK]], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])

    def _drop(self) -> None:
        """The files were sent, or will not be."""
        sent, self._sent, self._descriptors = self._sent, None, ()
        if sent is not None:
            sent()


class Receiver:
    """The end that another process has left us.

    Args:
        descriptor: of the socket, which is this object's from now on.
    """

    def __init__(self, descriptor: int) -> None:
        # Said, since to find it out takes calls that a worker is refused.
        self._end = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)
        self._unread = b""

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._end.fileno()

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def receive(self) -> tuple[bytes, list[int]]:
        """The next line, which is waited for, and the files that came with it; an empty one at the end.

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
    """A connected pair: our end, and the descriptor of the other, which is for a process that is started.

    Raises:
        OSError: there are no more descriptors.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
    return Sender(ours), theirs.detach()


def close(descriptors: Sequence[int]) -> None:
    """Close files, whatever the system says of it."""
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)
