"""The backend's process: it opens the listening socket, gives the network up, and keeps a web process running.

It must not answer a browser itself, nor decode a picture.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from cutoutd import logs
from cutoutd.backoff import pause_s
from cutoutd.journal.store import FILE_NAME, Store
from cutoutd.page import frames
from cutoutd.page.backend import listener, registry
from cutoutd.page.backend.method import Backend
from cutoutd.page.backend.service import Service
from cutoutd.page.backend.sessions import Sessions
from cutoutd.process.child_environment import for_worker
from cutoutd.sandbox.confinement import confine_page

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.settings.page import PageSettings
    from cutoutd.settings.schema import Settings

PICTURES: Final = "page-pictures"
"""In the state directory: what was made to be looked at, and can be made again."""

_SEND_S: Final = 10
_LASTED_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a page is served with.

    Attributes:
        settings: as the configuration says; None as long as there is none.
        config: the configuration's file; None where there is none.
        state_dir: of the daemon, which need not run.
        page: where it is served, and who may come.
        any_port: listen at any port that is free.
        required: each layer of the sandbox must be there.
        on_ready: is told the address when browsers can come.
    """

    settings: Settings | None
    config: Path | None
    state_dir: Path
    page: PageSettings
    any_port: bool
    required: bool
    on_ready: Callable[[str], object]


def serve(options: Options, *, clock: Clock) -> None:
    """Serve the page until a signal.

    Raises:
        UsageError: the address cannot be listened at.
    """
    bound = listener.listening(options.page, any_port=options.any_port)
    password = listener.read_password(options.page)
    listener.check_certificate(options.page)
    ending = threading.Event()
    _end_on_signals(ending)
    sessions = Sessions(options.state_dir, clock, password)
    backend = Backend(
        settings=options.settings,
        config=options.config,
        open_store=Journal(options.state_dir).open,
        clock=clock,
        cache=options.state_dir / PICTURES,
        tell=lambda event, data: service.tell(event, data),  # noqa: PLW0108 -- made below
    )
    service = Service(backend, {**registry.methods(), "_pair": sessions.pair})
    web = WebProcess(bound, service, partial(_told, options, sessions))
    web.start()
    confine_page(required=options.required)
    threading.Thread(target=web.keep, args=(ending,), name="page-web", daemon=True).start()
    for start in registry.starters():
        start(backend)
    options.on_ready(listener.url(bound, options.page))
    ending.wait()
    web.end()


class Journal:
    """The journal as methods see it, opened when there is one, and anew when the daemon made another."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE_NAME
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._identity: tuple[int, int] | None = None

    def open(self) -> Store | None:
        """The open journal; None as long as there is none.

        Raises:
            CutoutdError: it cannot be opened.
        """
        with self._lock:
            try:
                status = self._path.lstat()
            except OSError:
                return None
            identity = (status.st_dev, status.st_ino)
            if self._store is None or identity != self._identity:
                # Whoever still works with the former one keeps it: it is closed when nobody has it any more.
                self._store, self._identity = Store(self._path), identity
            return self._store


class WebProcess:
    """Keeps a web process running.

    Args:
        bound: the listening socket.
        service: answers it.
        told: gives what it is told first.
    """

    def __init__(self, bound: socket.socket, service: Service, told: Callable[[], dict[str, Any]]) -> None:
        self._bound = bound
        self._service = service
        self._told = told
        self._child: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def start(self) -> None:
        """Start one."""
        ours, theirs = listener.pair()
        command = [sys.executable, "-P", "-m", "cutoutd.page.web.process"]
        with theirs:
            self._child = subprocess.Popen(  # noqa: S603 -- our own program
                [*command, str(os.getpid()), str(self._bound.fileno()), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what it has to say comes through the channel, and is bounded
                pass_fds=(self._bound.fileno(), theirs.fileno()),
                start_new_session=True,
                env=for_worker(os.environ),
            )
        listener.bound_sending(ours, _SEND_S)
        ours.sendall(frames.pack(self._told()))
        self._channel = ours

    def keep(self, ending: threading.Event) -> None:
        """Serve it, and the next one when it has ended, until asked to end."""
        failures = 0
        while not ending.is_set():
            begun_s = time.monotonic()
            self._serve_one()
            if ending.is_set():
                return
            failures = 0 if time.monotonic() - begun_s > _LASTED_S else failures + 1
            logs.get().warning("page.web_ended", code=self._child.returncode if self._child else None)
            ending.wait(pause_s(failures))
            with suppress(OSError):
                self.start()

    def end(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.terminate()
            try:
                self._child.wait(3)
            except subprocess.TimeoutExpired:
                self._child.kill()

    def _serve_one(self) -> None:
        channel, child = self._channel, self._child
        if channel is None or child is None:
            return
        with channel:
            try:
                self._service.serve(channel)
            except frames.FrameError as error:
                logs.get().error("page.web_lies", why=str(error))
        child.kill()
        child.wait()
        self._channel = None


def _told(options: Options, sessions: Sessions) -> dict[str, Any]:
    instance = hashlib.sha256(os.fsencode(options.state_dir)).hexdigest()[:8]
    page = options.page
    return {
        "version": version("cutoutd"),
        "hosts": list(page.hosts),
        "proxy": page.proxy,
        "tls_cert": None if page.tls_cert is None else os.fspath(page.tls_cert),
        "tls_key": None if page.tls_key is None else os.fspath(page.tls_key),
        "cookie": f"cutoutd-{instance}",
        "sessions": sessions.all(),
        "reads": sorted(registry.READS),
        "required": options.required,
    }


def _end_on_signals(ending: threading.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _, __: ending.set())
