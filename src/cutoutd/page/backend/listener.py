"""The listening socket: made before this process gives the network up, and handed to each web process.

It must not accept anything.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Final

from cutoutd.errors import ConfigurationError, UsageError
from cutoutd.fs.private_directory import read_small

if TYPE_CHECKING:
    from cutoutd.settings.page import PageSettings

_MORE_PORTS: Final = 20
"""That are tried where the one that is wanted is taken: other users of the machine have a page, too."""

_OTHERS: Final = 0o077
_SHORTEST: Final = 12
_MAX_PASSWORD: Final = 1000


def listening(page: PageSettings, *, any_port: bool = False) -> socket.socket:
    """A socket that listens, at the port or, on this machine alone, at the next one that is free.

    Args:
        page: where.
        any_port: whichever port is free.

    Raises:
        UsageError: none of them is free, or the machine does not have the address.
    """
    address = page.address
    last = min(address.port + _MORE_PORTS, 65_535) if address.is_loopback else address.port
    for port in [0] if any_port else range(address.port, last + 1):
        bound = _made(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((address.host, port))
            bound.listen()
        except OSError as error:
            bound.close()
            if error.errno != errno.EADDRINUSE:
                raise UsageError(
                    f"the page cannot be served at {address}: {error.strerror}",
                    advice="Give [page] address another value.",
                ) from error
        else:
            return bound
    ports = f"port {last} is" if last == address.port else f"every port from {address.port} to {last} is"
    raise UsageError(
        f"{ports} in use, so the page cannot be served", advice="Give [page] address another port."
    )


def _made(family: int) -> socket.socket:
    try:
        return socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:  # such as by a unit that was installed before there was a page
        raise UsageError(
            f"the page cannot be served: this process may not use the network ({error.strerror})",
            advice="Run `cutoutd service install` again, which gives the page a unit of its own; or set enabled = false in "
            "[page].",
        ) from error


def read_password(page: PageSettings) -> str:
    """The password that pairs browsers; empty where there is none.

    Raises:
        ConfigurationError: its file cannot be read, is empty, or others may read it.
    """
    path = page.password_file
    if path is None:
        return ""
    try:
        if path.stat().st_mode & _OTHERS:
            raise ConfigurationError(
                "others may read this file", path=path, advice=f"Take that from them: chmod 600 {path.name}"
            )
        password = read_small(path, _MAX_PASSWORD).decode("utf-8", "replace").strip()
    except OSError as error:
        raise ConfigurationError(
            f"the file with the page's password cannot be read: {error.strerror}", path=path
        ) from error
    if len(password) < _SHORTEST:
        raise ConfigurationError(
            f"the page's password has fewer than {_SHORTEST} characters",
            path=path,
            advice="Write a longer one into the file, in one line.",
        )
    return password


def check_certificate(page: PageSettings) -> None:
    """See that the files for TLS can be read, since the process that reads them can tell nobody.

    Raises:
        ConfigurationError: one cannot, or they are no certificate and its key.
    """
    if page.tls_cert is None or page.tls_key is None:
        return
    import ssl  # noqa: PLC0415 -- for few pages alone

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(page.tls_cert, page.tls_key)
    except OSError as error:
        raise ConfigurationError(
            f"tls_cert and tls_key are no certificate and its key that can be read: {error.strerror}",
            path=page.tls_cert,
        ) from error


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets: the backend's end, and the web process's."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def place(bound: socket.socket) -> str:
    """IP address and port."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url(bound: socket.socket, page: PageSettings) -> str:
    """The address of the page, as a browser takes it."""
    if page.proxy:  # at which port it serves is its own affair
        return f"https://{page.hosts[0] if page.hosts else page.proxy}"
    where, _, port = place(bound).rpartition(":")
    name = where if page.address.is_loopback else page.hosts[0]
    return f"{'http' if page.tls_cert is None else 'https'}://{name}:{port}"


def bound_sending(end: socket.socket, seconds: int) -> None:
    """Have sending fail where the other side takes nothing for so long; receiving waits for ever."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", seconds, 0))
