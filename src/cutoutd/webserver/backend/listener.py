"""The listening socket: opened before this process gives up the network, and passed to each web process.

This module must not accept connections.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Final

from cutoutd.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from cutoutd.settings.listening import Reachable

_MORE_PORTS: Final = 20
"""That are tried where the one that is wanted is taken: other users of the machine have their own, too."""


def listening(
    table: Reachable, *, section: str, any_port: bool = False, former: int | None = None
) -> socket.socket:
    """Open a listening socket at the configured port or, on loopback only, at the next free one.

    Args:
        table: listening address.
        section: section of the configuration, for messages.
        any_port: listen at any free port.
        former: the port of the last time, if known: tried first, since browsers know it.

    Raises:
        UsageError: no port is free, or the machine does not have the address.
    """
    address = table.address
    last = min(address.port + _MORE_PORTS, 65_535) if address.is_loopback else address.port
    ports = range(address.port, last + 1)
    first = [former] if former in ports else []
    for port in [0] if any_port else [*first, *ports]:
        bound = _made(section, socket.AF_INET6 if ":" in address.host else socket.AF_INET)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((address.host, port))
            bound.listen()
        except OSError as error:
            bound.close()
            if error.errno != errno.EADDRINUSE:
                raise UsageError(
                    f"[{section}] cannot be served at {address}: {error.strerror}",
                    advice=f"Give [{section}] address another value.",
                ) from error
        else:
            return bound
    which = f"port {last} is" if last == address.port else f"every port from {address.port} to {last} is"
    raise UsageError(
        f"{which} in use, so [{section}] cannot be served",
        advice=f"Give [{section}] address another port.",
    )


def _made(section: str, family: int) -> socket.socket:
    try:
        return socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:  # such as by a unit that was installed before there was such a section
        raise UsageError(
            f"[{section}] cannot be served: this process may not use the network ({error.strerror})",
            advice=f"Run `cutoutd service install` again, which gives it a unit of its own; or set enabled = false in [{section}].",
        ) from error


def check_certificate(table: Reachable) -> None:
    """Check that the files for TLS can be read, since the web process cannot report errors at its start.

    Raises:
        ConfigurationError: a file cannot be read, or the two are not a certificate and its key.
    """
    if table.tls_cert is None or table.tls_key is None:
        return
    import ssl  # noqa: PLC0415 -- few need it

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(table.tls_cert, table.tls_key)
    except OSError as error:
        raise ConfigurationError(
            f"tls_cert and tls_key are no certificate and its key that can be read: {error.strerror}",
            path=table.tls_cert,
        ) from error


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets: the backend's end, and the web process's."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def place(bound: socket.socket) -> str:
    """Return IP address and port."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url(bound: socket.socket, table: Reachable) -> str:
    """Return the URL of the service."""
    if table.proxy:  # at which port it serves is its own affair
        return f"https://{table.hosts[0] if table.hosts else table.proxy}"
    where, _, port = place(bound).rpartition(":")
    name = where
    if not table.address.is_loopback:
        name = table.hosts[0] if table.hosts else "127.0.0.1"  # of a container's machine
    return f"{'http' if table.tls_cert is None else 'https'}://{name}:{port}"


def bound_sending(end: socket.socket, seconds: int) -> None:
    """Set a timeout for sending; receiving waits without limit."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", seconds, 0))
