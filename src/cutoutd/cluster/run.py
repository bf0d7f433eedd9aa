"""Assembles the gateway from settings, confines the process, and runs it, for `cutoutd cluster gateway`.

It must not import network code before the process is confined.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.cluster import tls
from cutoutd.cluster.dask_settings import ignore_files
from cutoutd.exchange.cluster_spool import ClusterPaths
from cutoutd.exchange.locked_directory import locked
from cutoutd.exchange.messages import without_anything_to_send
from cutoutd.exchange.sent_log import SentLog
from cutoutd.fs.private_directory import OpenedNames
from cutoutd.fs.private_lock import LOCK_FILE
from cutoutd.process.heap import keep_freed_memory
from cutoutd.sandbox import limits
from cutoutd.sandbox.confinement import confine_uploader
from cutoutd.settings.digest import cluster_sha256
from cutoutd.settings.types import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.settings.cluster import ClusterSettings
    from cutoutd.settings.schema import Settings

_NAMES: Final = OpenedNames(
    files=(LOCK_FILE, "announced", "announced.new", "status.json", "status.new", "away"),
    directories=("outbox", "inbox", "sent"),
    odd=(),
)
FILE_BYTES: Final = 8 << 30
_MEMORY_MB: Final = 16_384
"""Limit of address space; pictures under way are in memory, and one result at a time."""
_PRIVATE_UMASK: Final = 0o077
_READ_BY_DASK: Final = ("/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/sys/fs/cgroup")
"""Files that psutil reads when it is imported."""


def run(
    settings: Settings, *, announced: str, clock: Clock, parent: int | None, console: bool = False
) -> None:
    """Run the gateway until a signal or the end of the parent.

    Args:
        settings: a configuration with at least one folder that is tagged for the cluster.
        announced: last announcement of the supervisor before the settings were read.
        clock: wall and monotonic time.
        parent: process id of the parent, at whose end the gateway stops; None for none.
        console: whether the log is read on a terminal, although it goes into a pipe.

    Raises:
        UsageError: no folder is tagged, or a required layer of the sandbox is missing.
        ConfigurationError: the certificates or the key cannot be used.
        AlreadyRunningError: another gateway runs here.
        StorageError: the disk refuses.
    """
    if not settings.clustered:
        raise without_anything_to_send(announced, cluster_sha256(settings), parent=parent)(
            "no folder is tagged for the cluster, or the cluster is not enabled: there is nothing to send",
            advice='Set enabled = true in [cluster], and route = "cluster" in a [[folder]].',
        )
    os.umask(_PRIVATE_UMASK)
    limits.keep_terminal_for_writing()
    check_certificates(settings.cluster)
    paths = ClusterPaths.under(settings.service.state_dir)
    with locked(paths.root, _NAMES, make=paths.make, who="a gateway to the cluster"):
        loop = asyncio.new_event_loop()  # its socket pair cannot be created once confined
        keep_freed_memory()
        layers = confine(settings, paths.root)
        service = settings.service
        logs.configure(level=service.log_level, log_format=service.log_format, is_read=console)
        logging.raiseExceptions = False
        from cutoutd.cluster.gateway import Gateway  # noqa: PLC0415 -- it imports Dask, which starts a thread

        gateway = Gateway(
            settings,
            paths=paths,
            sent=SentLog(paths.sent),
            clock=clock,
            announced=announced,
            parent=parent,
            layers=layers,
        )
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, gateway.stopping.set)
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(gateway.run())
        finally:
            loop.close()


def check_certificates(cluster: ClusterSettings) -> None:
    """Check that the certificates can be used.

    Raises:
        ConfigurationError: they cannot.
    """
    if (certificates := tls.Certificates.of(cluster)) is not None:
        tls.check_files(certificates)


def confine(settings: Settings, exchange: Path | None) -> tuple[str, ...]:
    """Confine this process to its exchange directory, its certificates, and the ports of scheduler and machines.

    Args:
        settings: configuration with the addresses and files of [cluster].
        exchange: the exchange directory, STATE/cluster; None for none.

    Returns:
        The active layers of the sandbox.
    """
    cluster = settings.cluster
    ignore_files()
    return confine_uploader(
        root=exchange,
        ports=sorted({cluster.scheduler_port, *cluster.worker_port}),
        read=(*cluster.files, *_READ_BY_DASK),
        file_bytes=FILE_BYTES,
        memory_mb=_MEMORY_MB,
        required=settings.pool.sandbox is Sandbox.REQUIRED,
    )
