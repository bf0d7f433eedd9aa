"""Makes attempts to call out from a process that serves browsers. Run with ``web``, ``page`` or ``bare``; prints JSON.

Each attempt has its own sockets, which exist before the sandbox is active.
"""

from __future__ import annotations

import array
import ctypes
import errno
import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.sandbox.confinement import confine_page, confine_web
from cutoutd.sandbox.limits import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

FASTOPEN: Final = 0x20000000


def listening() -> socket.socket:
    """Return a listening socket like that of the page."""
    return socket.create_server(("127.0.0.1", 0))


def accepted() -> tuple[socket.socket, socket.socket]:
    """Return the browser's end of a connection, and the page's."""
    with listening() as server:
        client = socket.create_connection(server.getsockname())
        return client, server.accept()[0]


def attempts(target: tuple[str, int]) -> dict[str, Callable[[], object]]:
    """Return attempts to call out, and calls that must keep working; ``target`` is the server of somebody else."""
    libc = ctypes.CDLL(None, use_errno=True)
    servers = [listening() for _ in range(5)]
    client, mine = accepted()
    left, right = socket.socketpair()
    files = array.array("i", [os.open("/dev/null", os.O_RDONLY)])
    left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
    address = struct.pack("=H", socket.AF_INET) + struct.pack(
        "!H4s8x", target[1], socket.inet_aton(target[0])
    )
    knocking = socket.create_connection(servers[0].getsockname())

    def raw(call: str, *arguments: object) -> None:
        if libc[call](*arguments) == -1:
            raise OSError(ctypes.get_errno(), "")

    for server in (idle := [listening() for _ in range(3)]):
        server.shutdown(socket.SHUT_RDWR)  # it no longer listens, and could connect

    return {
        "take a connection": servers[0].accept,
        "read from it": lambda: (client.send(b"hello"), mine.recv(5)),
        "answer it": lambda: mine.send(b"hello"),
        "answer it in parts": lambda: mine.sendmsg([b"hello", b"again"]),
        "ask who it is": mine.getpeername,
        "close it": knocking.close,
        "stop listening": lambda: servers[1].shutdown(socket.SHUT_RDWR),
        "connect with the listening socket": lambda: idle[0].connect(target),
        "connect with it as it is": lambda: raw(
            "connect", servers[2].fileno(), ctypes.create_string_buffer(address), len(address)
        ),
        "send with an address": lambda: idle[1].sendto(b"out", FASTOPEN, target),
        "send parts with an address": lambda: idle[2].sendmsg([b"out"], [], FASTOPEN, target),
        "send with a flag": lambda: mine.send(b"out", FASTOPEN),
        "send parts with a flag": lambda: mine.sendmsg([b"out"], [], FASTOPEN),
        "send many": lambda: raw("sendmmsg", mine.fileno(), None, 0, 0),
        "be given an open file": lambda: right.recvmsg(1, 1000),
        "listen anew": lambda: servers[3].listen(5),
        "bind": lambda: raw("bind", servers[4].fileno(), ctypes.create_string_buffer(address), len(address)),
        "a new socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "a new local socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "a name of another machine": lambda: socket.getaddrinfo("example.net", 80),
        "a new pair": socket.socketpair,
        "set an option": lambda: mine.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        "send small parts at once": lambda: mine.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        "open a file": lambda: os.open(__file__, os.O_RDONLY),
        "look for a file": Path(__file__).stat,
        # Elsewhere it would be done, and nothing be told.
        "start a program": lambda: os.execv("/bin/true", ["true"]) if sys.argv[1] == "web" else 0,  # noqa: S606 -- on purpose
    }


def outcome(attempt: Callable[[], object]) -> str:
    """Make an attempt; return how it ended."""
    try:
        attempt()
    except OSError as error:
        if isinstance(error, socket.gaierror):
            return "no name"
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def main() -> None:
    """Confine this process, make the attempts, and print the outcomes."""
    tried = attempts((sys.argv[2], int(sys.argv[3])))
    if sys.argv[1] == "web":
        die_with_parent(os.getppid())
        confine_web()
    elif sys.argv[1] == "page":
        confine_page()
    sys.stdout.write(json.dumps({name: outcome(one) for name, one in tried.items()}))


if __name__ == "__main__":
    main()
