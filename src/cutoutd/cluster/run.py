"""Puts the gateway together from settings, locks it in, and lets it run: what `cutoutd cluster gateway` is.

It must not import what speaks to the network before the process is confined.
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
from cutoutd.exchange.cluster_box import ClusterPaths
from cutoutd.exchange.held_box import LOCK_FILE, held
from cutoutd.exchange.messages import without_anything_to_send
from cutoutd.exchange.sent_log import SentLog
from cutoutd.fs.private_directory import OpenedNames
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
"""Of address space; pictures that are under way are in it as a whole, three times."""
_PRIVATE_UMASK: Final = 0o077
_READ_BY_DASK: Final = ("/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/sys/fs/cgroup")
"""What psutil asks for at its import."""


def run(
    settings: Settings, *, announced: str, clock: Clock, parent: int | None, console: bool = False
) -> None:
    """Be the gateway, until a signal or the parent's end.

    Args:
        settings: with at least one folder that is tagged for the cluster.
        announced: the supervisor's last announcement before they were read.
        clock: wall and steady time.
        parent: the process whose end is ours; None for none.
        console: what we log is read on a terminal, although it goes into a pipe.

    Raises:
        UsageError: no folder is tagged, or a layer of the sandbox is missing and required.
        ConfigurationError: certificates or key cannot be used.
        AlreadyRunningError: another gateway works here.
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
    with held(paths.root, _NAMES, make=paths.make, who="a gateway to the cluster"):
        loop = asyncio.new_event_loop()  # its pair of sockets could not be made later
        layers = confine(settings, paths.root)
        log_format = settings.service.log_format
        logs.configure(
            level=settings.service.log_level,
            log_format="console" if console and log_format == "auto" else log_format,
        )
        logging.raiseExceptions = False
        from cutoutd.cluster.gateway import Gateway  # noqa: PLC0415 -- it brings Dask, which starts a thread

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
    """See that they can be used.

    Raises:
        ConfigurationError: not so.
    """
    if cluster.tls_ca_file is not None and cluster.tls_cert is not None and cluster.tls_key is not None:
        tls.check_files(cluster.tls_ca_file, cluster.tls_cert, cluster.tls_key)


def confine(settings: Settings, box: Path | None) -> tuple[str, ...]:
    """Confine this process: its box, its certificates, the ports of scheduler and machines.

    Args:
        settings: whose [cluster] it is about.
        box: STATE/cluster; None: it has none.

    Returns:
        The layers in force.
    """
    cluster = settings.cluster
    ignore_files()
    return confine_uploader(
        root=box,
        ports=sorted({cluster.scheduler_port, *cluster.worker_port}),
        read=(*cluster.files, *_READ_BY_DASK),
        file_bytes=FILE_BYTES,
        memory_mb=_MEMORY_MB,
        required=settings.pool.sandbox is Sandbox.REQUIRED,
    )
