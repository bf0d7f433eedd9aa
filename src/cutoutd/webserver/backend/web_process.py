"""Supervises the web process, started with the listening socket and one end of a channel.

This module must not know the messages of the channel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cutoutd import logs
from cutoutd.faults.backoff import pause_s
from cutoutd.faults.isolation import report
from cutoutd.process.child_environment import for_worker
from cutoutd.webserver import frames
from cutoutd.webserver.backend import listener

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from cutoutd.process.stop_flag import StopFlag
    from cutoutd.settings.listening import Reachable
    from cutoutd.webserver.backend.service import MethodRunner

    ServiceOf: TypeAlias = MethodRunner[Any]

_SEND_S: Final = 10
_END_S: Final = 3
"""A web process whose channel has ended tells those who wait that it ends, within so long."""

_BOTH_WAYS: Final = 2  # SHUT_RDWR of shutdown(2)
_LASTED_S: Final = 60.0


def web_process_options(table: Reachable, *, required: bool) -> dict[str, Any]:
    """Return the first message to every web process: how to serve, and for whom.

    Args:
        table: listening address.
        required: each layer of the sandbox is required.
    """
    return {
        "version": version("cutoutd"),
        "hosts": list(table.hosts),
        "proxy": table.proxy,
        "tls_cert": None if table.tls_cert is None else os.fspath(table.tls_cert),
        "tls_key": None if table.tls_key is None else os.fspath(table.tls_key),
        "required": required,
    }


class WebProcess:
    """Supervises the web process.

    Args:
        module: module that is started as a program.
        bound: listening socket.
        service: serves the requests of the web process.
        options: returns the first message.

    Attributes:
        is_upgraded: another version was installed, and this process has to end.
    """

    def __init__(
        self, module: str, bound: socket.socket, service: ServiceOf, options: Callable[[], dict[str, Any]]
    ) -> None:
        self._module = module
        self._bound = bound
        self._service = service
        self._options = options
        self.is_upgraded = False
        self._child: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def start(self) -> None:
        """Start a web process."""
        ours, theirs = listener.pair()
        command = [sys.executable, "-P", "-m", self._module]
        with ExitStack() as opening:
            opening.enter_context(ours)
            with theirs:
                self._child = child = subprocess.Popen(  # noqa: S603 -- our own program
                    [*command, str(os.getpid()), str(self._bound.fileno()), str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,  # what it has to say comes through the channel, and is bounded
                    pass_fds=(self._bound.fileno(), theirs.fileno()),
                    start_new_session=True,
                    env=for_worker(os.environ),
                )
            opening.callback(_end, child)
            listener.bound_sending(ours, _SEND_S)
            ours.sendall(frames.pack(self._options()))
            opening.pop_all()
        self._channel = ours

    def keep(self, ending: StopFlag) -> None:
        """Serve the web process, and restart it when it ends, until asked to end."""
        failures = 0
        while not ending.is_set():
            started_s = time.monotonic()
            self._serve_one()
            if ending.is_set():
                return
            if self._child is not None and self._child.returncode == frames.UPGRADED:
                logs.get().warning(f"{self._service.name}.upgraded")
                self.is_upgraded = True
                ending.set()
                return
            failures = 0 if time.monotonic() - started_s > _LASTED_S else failures + 1
            logs.get().warning(
                f"{self._service.name}.web_ended", code=self._child.returncode if self._child else None
            )
            ending.wait(pause_s(failures))
            try:
                self.start()
            except Exception as error:  # noqa: BLE001 -- it is tried again, however it failed
                report(logs.get(), error, over="the start of the web process")

    def end(self) -> None:
        """End the web process, after it has answered waiting requests."""
        channel, child = self._channel, self._child
        if channel is not None:
            with suppress(OSError):
                channel.shutdown(_BOTH_WAYS)
        if child is not None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(_END_S)
            _end(child)

    def _serve_one(self) -> None:
        channel, child = self._channel, self._child
        if channel is None or child is None:
            return
        with channel:
            try:
                self._service.serve(channel)
            except frames.FrameError as error:
                logs.get().error(f"{self._service.name}.web_lies", why=str(error))
            except Exception as error:  # noqa: BLE001 -- the next web process is served all the same
                report(logs.get(), error, over="the requests of the web process")
        with suppress(subprocess.TimeoutExpired):
            child.wait(_END_S)  # its own exit code says more
        _end(child)
        self._channel = None


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a web process, which has nothing that could be lost."""
    child.kill()
    child.wait()
