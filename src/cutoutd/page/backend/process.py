"""The backend process of the page: it opens the listening socket, gives up the network, and supervises the web process.

It must not serve browsers itself, nor decode a picture.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cutoutd import logs
from cutoutd.exchange import coarse_mattes
from cutoutd.page import announcement
from cutoutd.page.backend import news, registry, reloading
from cutoutd.page.backend.method import MAX_BODY, Backend
from cutoutd.page.backend.password import read_password
from cutoutd.page.backend.sessions import BrowserSessions
from cutoutd.process.child_environment import keep_for_uploader
from cutoutd.process.stop_flag import StopFlag
from cutoutd.sandbox.confinement import PAGE_MEMORY_MB, confine_page
from cutoutd.settings.schema import PoolSettings
from cutoutd.webserver.backend import listener, single_process
from cutoutd.webserver.backend.open_journal import OpenJournal
from cutoutd.webserver.backend.service import MethodRunner
from cutoutd.webserver.backend.web_process import WebProcess, web_process_options

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.settings.page import PageSettings
    from cutoutd.settings.schema import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class PageOptions:
    """Options of the page.

    Attributes:
        settings: as the configuration says; None as long as there is none.
        config: the configuration's file; None where there is none.
        state_dir: of the daemon, which need not run.
        page: where it is served, and who may come.
        any_port: listen at any port that is free.
        waits: until another process that serves it has ended.
        required: each layer of the sandbox is required.
        on_ready: called with the address when browsers can connect.
    """

    settings: Settings | None
    config: Path | None
    state_dir: Path
    page: PageSettings
    any_port: bool
    waits: bool
    required: bool
    on_ready: Callable[[str], object]


def serve(options: PageOptions, *, clock: Clock) -> bool:
    """Serve the page until a signal.

    Returns:
        Whether serving ended because another version was installed, which takes over.

    Raises:
        AlreadyRunningError: another process serves the page.
        UsageError: the address cannot be listened at, or a layer of the sandbox is missing and required.
        ConfigurationError: a file that is named cannot be used.
        StorageError: the disk refuses.
    """
    ending = StopFlag()
    single_process.end_on_signals(ending)
    password = read_password(options.page)
    listener.check_certificate(options.page)
    former = announcement.former_port(options.state_dir)
    with announcement.held(options.state_dir, ending=ending if options.waits else None) as is_held:
        if is_held:
            with listener.listening(
                options.page, section="page", any_port=options.any_port, former=former
            ) as bound:
                sessions = BrowserSessions(options.state_dir, clock, password)
                return _serve(options, bound, sessions, clock, ending)
    return False


def _serve(
    options: PageOptions,
    bound: socket.socket,
    sessions: BrowserSessions,
    clock: Clock,
    ending: StopFlag,
) -> bool:
    backend = Backend(
        settings=options.settings,
        config=options.config,
        open_store=OpenJournal(options.state_dir).open,
        clock=clock,
        cache=options.state_dir / coarse_mattes.DIRECTORY,
        tell=lambda event, data: service.tell(event, data),  # noqa: PLW0108 -- made below
    )
    service = MethodRunner(
        backend,
        {**registry.METHODS, "_pair": sessions.pair},
        name="page",
        slow=registry.SLOW,
        max_body=MAX_BODY,
        max_bodies=registry.MAX_BODIES,
    )
    web = WebProcess(
        "cutoutd.page.web.process", bound, service, partial(_web_process_setup, options, sessions)
    )
    web.start()
    address = listener.url(bound, options.page)
    announcement.announce(options.state_dir, address)
    # Now, since whatever is started below has no network. Who comes already waits until the web process answers.
    options.on_ready(address)
    pool = options.settings.pool if options.settings is not None else PoolSettings()
    layers = confine_page(memory_mb=max(PAGE_MEMORY_MB, pool.worker_memory_mb), required=options.required)
    keep_for_uploader(os.environ)
    logs.get().info("page.ready", address=address, listening=listener.place(bound), layers=list(layers))
    threading.Thread(target=web.keep, args=(ending,), name="page-web", daemon=True).start()
    news.start(backend)
    reloading.follow(backend)
    ending.wait()
    web.end()
    # Else who waits for a worker's answer would hold up the end.
    backend.shared.close()
    return web.is_upgraded


def _web_process_setup(options: PageOptions, sessions: BrowserSessions) -> dict[str, Any]:
    instance = hashlib.sha256(os.fsencode(options.state_dir)).hexdigest()[:8]
    return {
        **web_process_options(options.page, required=options.required),
        "cookie": f"cutoutd-{instance}",
        "sessions": sessions.all(),
        "reads": sorted(registry.READS),
        "max_body": MAX_BODY,
        "max_bodies": registry.MAX_BODIES,
    }
