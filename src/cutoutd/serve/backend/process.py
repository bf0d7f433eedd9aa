"""The backend process of the API: it opens the listening socket, gives up the network, and supervises the web process.

It must not serve clients itself, nor decode a picture.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd import logs
from cutoutd.faults.isolation import report
from cutoutd.process.child_environment import keep_for_uploader
from cutoutd.process.stop_flag import StopFlag
from cutoutd.sandbox.confinement import confine_page
from cutoutd.serve.backend import registry, watching
from cutoutd.serve.backend.configuration import CurrentSettings
from cutoutd.serve.backend.outputs import outputs as outputs_of
from cutoutd.serve.backend.state import ServeBackend
from cutoutd.serve.backend.uploads import uploads as uploads_of
from cutoutd.serve.keys import DIRECTORY, NAMES, KeyFile
from cutoutd.webserver.backend import listener, single_process
from cutoutd.webserver.backend.open_journal import OpenJournal
from cutoutd.webserver.backend.service import MethodRunner
from cutoutd.webserver.backend.web_process import WebProcess, web_process_options

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.settings.schema import Settings

_TIDY_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeOptions:
    """Options of the API.

    Attributes:
        settings: settings of the configuration.
        config: configuration file; None: the settings come from the command line.
        any_port: listen at any port that is free.
        waits: wait until another process that serves the API has ended.
        required: each layer of the sandbox is required.
        on_ready: called with the address when programs can connect.
    """

    settings: Settings
    config: Path | None
    any_port: bool
    waits: bool
    required: bool
    on_ready: Callable[[str], object]


def serve(options: ServeOptions, *, clock: Clock) -> bool:
    """Serve the API until a signal.

    Returns:
        Whether serving ended because another version was installed, which takes over.

    Raises:
        AlreadyRunningError: another process serves the API.
        UsageError: the address cannot be listened at, or a layer of the sandbox is missing and required.
        ConfigurationError: a file that is named cannot be used.
        StorageError: the disk refuses.
    """
    ending = StopFlag()
    single_process.end_on_signals(ending)
    table = options.settings.serve
    listener.check_certificate(table)
    place = options.settings.service.state_dir / DIRECTORY
    with single_process.held(place, NAMES, what="API", ending=ending if options.waits else None) as is_held:
        if is_held:
            with listener.listening(table, section="serve", any_port=options.any_port) as bound:
                return _serve(options, bound, clock, ending)
    return False


def _serve(options: ServeOptions, bound: socket.socket, clock: Clock, ending: StopFlag) -> bool:
    state_dir = options.settings.service.state_dir
    backend = ServeBackend(
        configuration=CurrentSettings(options.settings, options.config),
        state_dir=state_dir,
        open_store=OpenJournal(state_dir).open,
        clock=clock,
        keys=KeyFile(state_dir),
        tell=lambda event, data: service.tell(event, data),  # noqa: PLW0108 -- made below
    )
    uploads, outputs = uploads_of(backend), outputs_of(backend)
    service = MethodRunner(
        backend,
        registry.METHODS,
        name="serve",
        slow=registry.SLOW,
        slow_threads=registry.SLOW_THREADS,
        max_body=registry.MAX_BODY,
        max_bodies=registry.MAX_BODIES,
    )

    def web_options() -> dict[str, Any]:
        # The web process before this one has ended, and with it whatever it had under way.
        uploads.drop_all()
        outputs.close_all()
        said = web_process_options(options.settings.serve, required=options.required)
        return {**said, "max_wait_s": options.settings.serve.max_wait_s}

    web = WebProcess("cutoutd.serve.web.process", bound, service, web_options)
    web.start()
    address = listener.url(bound, options.settings.serve)
    single_process.announce(state_dir / DIRECTORY, address)
    options.on_ready(address)
    layers = confine_page(required=options.required)
    keep_for_uploader(os.environ)
    logs.get().info("serve.ready", address=address, listening=listener.place(bound), layers=list(layers))
    threading.Thread(target=web.keep, args=(ending,), name="serve-web", daemon=True).start()
    watching.start(backend)
    while not ending.wait(_TIDY_S):
        tidy(uploads.tidy, outputs.tidy)
    web.end()
    uploads.drop_all()
    return web.is_upgraded


def tidy(*parts: Callable[[], None]) -> None:
    """Tidy each part; one that fails is reported, and tried again the next time."""
    for part in parts:
        try:
            part()
        except Exception as error:  # noqa: BLE001 -- the API must not end over what nobody has asked for
            report(logs.get(), error, over="tidying the API")
