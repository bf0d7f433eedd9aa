"""The listening socket: made before this process gives the network up, and handed to each web process.

It must not accept anything.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Final

from cutoutd.errors import UsageError

_MORE_PORTS: Final = 20
"""That are tried where the one that is wanted is taken: other users of the machine have a page, too."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that is bound, to the port or the next one that is free.

    Args:
        host: an IP address.
        port: 0: any that is free.

    Raises:
        UsageError: none of them is free, or the machine does not have the address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, min(port + _MORE_PORTS, 65_535) + 1) if port else [0]:
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, candidate))
            bound.listen()
        except OSError as error:
            bound.close()
            if error.errno != errno.EADDRINUSE:
                raise UsageError(
                    f"the page cannot be served at {host}, port {candidate}: {error.strerror}",
                    advice="Give [page] address another value.",
                ) from error
        else:
            return bound
    raise UsageError(
        f"no port from {port} to {port + _MORE_PORTS} is free for the page",
        advice="Give [page] address another port.",
    )


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets: the backend's end, and the web process's."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def url(bound: socket.socket) -> str:
    """The address of a page without TLS, as a browser takes it."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def bound_sending(end: socket.socket, seconds: int) -> None:
    """Have sending fail where the other side takes nothing for so long; receiving waits for ever."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", seconds, 0))
