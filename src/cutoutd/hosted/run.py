"""Assembles the uploader from settings, confines the process, and runs it, for `cutoutd hosted`.

It must not start anything before the process is confined.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.exchange.locked_directory import locked
from cutoutd.exchange.messages import without_anything_to_send
from cutoutd.exchange.spool import SpoolPaths
from cutoutd.exchange.webhooks import WebhookPaths
from cutoutd.fs.private_directory import OpenedNames
from cutoutd.fs.private_lock import LOCK_FILE
from cutoutd.hosted import key as keys
from cutoutd.hosted.client import ServiceClient
from cutoutd.hosted.context import UploadContext
from cutoutd.hosted.crash_marks import CrashMarks
from cutoutd.hosted.ledger import FILE_NAME, Ledger
from cutoutd.hosted.ledger_recovery import LedgerOpener
from cutoutd.hosted.providers import provider_of
from cutoutd.hosted.queue import Budget
from cutoutd.hosted.response_cache import ResponseCache
from cutoutd.hosted.route import ServiceRoute
from cutoutd.hosted.uploader import Uploader
from cutoutd.hosted.webhook_sender import WebhookSender, receivers
from cutoutd.process.stop_flag import StopFlag
from cutoutd.sandbox import limits
from cutoutd.sandbox.confinement import confine_uploader
from cutoutd.settings.digest import uploads_sha256
from cutoutd.settings.types import Sandbox

if TYPE_CHECKING:
    from cutoutd.clock import Clock
    from cutoutd.hosted.key import Key
    from cutoutd.settings.schema import Settings

_KILLED: Final = "cutoutd was ended or lost power before the service had answered"
_PRIVATE_UMASK: Final = 0o077

_DRAFTED: Final = ("status.json", "announced", "uploaded.json", "accepted.json", "ledger.json")
"""Files that are written as ``.new`` and renamed."""

_NAMES: Final = OpenedNames(
    files=(
        LOCK_FILE,
        f"{FILE_NAME}-journal",
        "paused",
        "resumed",
        *_DRAFTED,
        *(f"{name.removesuffix('.json')}.new" for name in _DRAFTED),
    ),
    directories=("copies", "outbox", "inbox", "replies", "in-hand", "events"),
    odd=(FILE_NAME,),
)
"""Names that are opened in the uploader's directory."""


def _make(paths: SpoolPaths) -> None:
    paths.make()
    WebhookPaths(paths.root).make()


def _check_needed(settings: Settings, announced: str, parent: int | None) -> None:
    if not settings.needs_uploader:
        raise without_anything_to_send(announced, uploads_sha256(settings), parent=parent)(
            "no folder is tagged for the hosted service or has a webhook, or neither is enabled: there is nothing to send",
            advice='Set enabled = true in [hosted], and route = "hosted" in a [[folder]]; for webhooks see `cutoutd docs automation`.',
        )


def _close_left_open(ledger: Ledger) -> None:
    """Close what was under way when the last uploader died: it may have been sent, so its end is unknown."""
    left_open = ledger.close_left_open(_KILLED)
    if left_open:
        logs.get().warning("hosted.unknown", uploads=left_open, why=_KILLED)


def run(
    settings: Settings,
    *,
    announced: str,
    clock: Clock,
    given_key: str,
    parent: int | None,
    console: bool = False,
) -> None:
    """Run the uploader until a signal or the end of the parent.

    Args:
        settings: a configuration with at least one folder that is tagged or has a webhook.
        announced: last announcement of the supervisor before the settings were read.
        clock: wall and monotonic time.
        given_key: key of the service, if it is in no file; empty for none.
        parent: process id of the parent, at whose end the uploader stops; None for none.
        console: whether the log is read on a terminal, although it goes into a pipe.

    Raises:
        UsageError: no folder is tagged, or a required layer of the sandbox is missing.
        ConfigurationError: the key is not usable.
        AlreadyRunningError: another uploader runs here.
        StorageError: the disk refuses.
    """
    _check_needed(settings, announced, parent)
    os.umask(_PRIVATE_UMASK)
    limits.keep_terminal_for_writing()
    key = keys.read(settings.hosted.api_key_file, given_key) if settings.tagged else None
    recipients = receivers(settings)
    paths = SpoolPaths.under(settings.service.state_dir)
    stopping = StopFlag()
    with locked(paths.root, _NAMES, make=lambda: _make(paths), who="an uploader"):
        layers = _confine(settings, paths, console=console)
        _end_on_signals(stopping)
        opener = LedgerOpener(
            paths=paths,
            clock=clock,
            stopping=stopping,
            parent=parent,
            announced=announced,
            settings=settings,
            layers=layers,
        )
        ledger = opener.ledger()
        if ledger is None:
            return
        with ledger:
            _close_left_open(ledger)
            context = _context(settings, paths, ledger, clock=clock, key=key, stopping=stopping)
            sender = WebhookSender(
                recipients,
                settings=settings.webhooks,
                paths=paths,
                ledger=ledger,
                clock=clock,
                stopping=stopping,
            )
            Uploader(context, sender, announced=announced, layers=layers, parent=parent).run()


def _confine(settings: Settings, paths: SpoolPaths, *, console: bool) -> tuple[str, ...]:
    """Confine this process and start logging. Returns the active layers of the sandbox."""
    layers = confine_uploader(
        root=paths.root,
        ports=sorted(ports_of(settings)),
        required=settings.pool.sandbox is Sandbox.REQUIRED,
    )
    # Only now: some kernels would not confine a thread that exists earlier.
    service = settings.service
    logs.configure(level=service.log_level, log_format=service.log_format, is_read=console)
    return layers


def ports_of(settings: Settings) -> frozenset[int]:
    """Return the TCP ports that a configuration needs."""
    ports = {webhook.url.port for folder in settings.with_webhooks for webhook in folder.webhook}
    return frozenset(ports | ({settings.hosted.address.port} if settings.tagged else set()))


def _context(
    settings: Settings,
    paths: SpoolPaths,
    ledger: Ledger,
    *,
    clock: Clock,
    key: Key | None,
    stopping: StopFlag,
) -> UploadContext:
    """Make what all uploads share."""
    hosted = settings.hosted
    prices = ledger.prices(hosted.provider.value, hosted.address.authority, clock.now_us())
    return UploadContext(
        settings=settings,
        configuration=uploads_sha256(settings),
        paths=paths,
        ledger=ledger,
        budget=Budget(settings, prices),
        route=ServiceRoute(
            clock, megapixels_per_minute=hosted.megapixels_per_minute, at_once=hosted.concurrency
        ),
        client=ServiceClient(hosted, clock),
        provider=provider_of(hosted, key),
        response_cache=ResponseCache(paths, hosted.keep_replies_days),
        clock=clock,
        key=key,
        stopping=stopping,
        crash_marks=CrashMarks(paths.root),
    )


def _end_on_signals(stopping: StopFlag) -> None:
    """Handle signals: the first stops uploads; the second does not wait for answers either."""

    def end(number: int, _: object) -> None:
        if stopping.is_set():
            os._exit(128 + number)  # uploads without an answer are unknown; the next start records that
        stopping.set()

    # SIGHUP: the terminal it was started from is closed.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
