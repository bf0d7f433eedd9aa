"""The start of every web process: its sockets, the first message of the backend, and logging through the backend."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import traceback
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from cutoutd.sandbox.limits import die_with_parent
from cutoutd.webserver import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from cutoutd.webserver.web.backend_channel import BackendChannel


class BackendLog(logging.Handler):
    """Forwards log records of libraries to the backend, which limits their rate: this process has no log of its own."""

    def __init__(self, channel: BackendChannel) -> None:
        super().__init__(logging.ERROR)
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Forward a record."""
        self._channel.say(self.format(record))


def run(
    serve: Callable[[socket.socket, socket.socket, Mapping[str, Any]], Coroutine[Any, Any, None]],
) -> None:
    """Serve until the backend ends; the main function of a web process.

    Args:
        serve: called with the listening socket, the channel, and the first message of the backend.
    """
    parent, listener, channel = int(sys.argv[1]), *map(_socket, sys.argv[2:4])
    die_with_parent(parent)
    first = frames.receive(channel.recv)
    if first is None:
        return
    if first[0]["version"] != version("cutoutd"):
        # Another version was installed meanwhile: what this one says, the backend that started it may not understand.
        sys.exit(frames.UPGRADED)
    try:
        asyncio.run(serve(listener, channel, first[0]))
    except Exception:  # noqa: BLE001 -- the last edge: the backend logs it
        channel.setblocking(True)
        channel.sendall(frames.pack({"said": traceback.format_exc()[-8000:]}))
        sys.exit(1)


def _socket(descriptor: str) -> socket.socket:
    return socket.socket(fileno=int(descriptor))
