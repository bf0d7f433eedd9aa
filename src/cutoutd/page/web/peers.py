"""The user of this machine that a connection comes from, by the kernel's table of TCP sockets.

A browser sends its cookie to every port of a host, so another user's program can obtain it. A pairing is therefore valid only
for the user who made it. The tables are opened before the sandbox forbids opening files; see proc(5), /proc/net/tcp.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from typing import Final

_TABLES: Final = {socket.AF_INET: "/proc/self/net/tcp", socket.AF_INET6: "/proc/self/net/tcp6"}
_CHUNK_BYTES: Final = 1 << 18
_LOCAL, _REMOTE, _STATE, _UID = 1, 2, 3, 7  # columns
_ESTABLISHED: Final = b"01"
"""A closed connection has no owner any more."""


class PeerOwners:
    """The owners of connections of this machine; create it before the sandbox is set up."""

    def __init__(self) -> None:
        self._tables: dict[int, int] = {}
        for family, path in _TABLES.items():
            with suppress(OSError):  # no Linux, or no IPv6
                self._tables[family] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def uid_of(self, connection: socket.socket) -> int | None:
        """Return the user who made a connection.

        Args:
            connection: accepted socket.

        Returns:
            The user's id; None if it comes from another machine, or is unknown.
        """
        table = self._tables.get(connection.family)
        if table is None:
            return None
        with suppress(OSError, ValueError):
            peer, own = _entry(connection.getpeername()), _entry(connection.getsockname())
            for line in _lines(table):
                columns = line.split()
                if columns[_LOCAL : _STATE + 1] == [peer, own, _ESTABLISHED]:
                    return int(columns[_UID])
        return None


def _entry(address: tuple[str | int, ...]) -> bytes:
    """Return an address in the format of the tables: hexadecimal words in the machine's byte order, and the port."""
    host, port = str(address[0]), int(address[1])
    packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    said = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
    return f"{said}:{port:04X}".encode()


def _lines(table: int) -> list[bytes]:
    parts, at = [], 0
    while part := os.pread(table, _CHUNK_BYTES, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts).splitlines()[1:]
