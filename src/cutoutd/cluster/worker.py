"""What `cutoutd worker` is: the slots of this machine, and a Dask worker through which the cluster reaches them.

The slots are locked in as on any machine; the process with the Dask worker must listen and call out, and runs what whoever
has a certificate sends: a user of its own and the unit's bounds are what holds it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from distributed import Worker

from cutoutd.cluster import tls
from cutoutd.cluster.machine import METRIC, ClusterMachine
from cutoutd.cluster.preload import require_tls
from cutoutd.errors import UsageError
from cutoutd.logs import get

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.settings.schema import Settings

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 15.0
_DEATH_TIMEOUT_S: Final = 30
_LOOK_S: Final = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """How a machine takes part.

    Attributes:
        scheduler: its address.
        ca_file, cert, key: what this machine shows, and whom it believes.
        port: that it listens on.
        host: address that others reach it by; empty: the one that leads to the scheduler.
        slots: how many pictures at a time; 0 lets the machine decide.
    """

    scheduler: str
    ca_file: Path
    cert: Path
    key: Path
    port: int
    host: str = ""
    slots: int = 0


def run(settings: Settings, options: WorkerOptions) -> None:
    """Take part until a signal; a scheduler that is away is tried again and again.

    Raises:
        UsageError: the scheduler is not spoken to by TLS.
        ConfigurationError: certificates or key cannot be used.
        CutoutdError: the slots cannot work.
    """
    if not options.scheduler.startswith("tls://"):
        raise UsageError(
            f"{options.scheduler} is not encrypted: everybody in the network could read the pictures, and run programs here",
            advice="Give tls://HOST:PORT.",
        )
    tls.check_files(options.ca_file, options.cert, options.key)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    machine = ClusterMachine(settings, slots=options.slots)
    machine.start()
    get().info("cluster.machine", slots=machine.host.size, models=list(settings.models))
    try:
        asyncio.run(_take_part(machine, options))
    finally:
        machine.host.close()
    if machine.host.fault is not None and not machine.is_ending:
        sys.exit(5)


async def _take_part(machine: ClusterMachine, options: WorkerOptions) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        machine.is_ending = True
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    pause_s = _FIRST_PAUSE_S
    while not stopping.is_set() and machine.host.fault is None:
        try:
            if await _joined(machine, options, stopping):
                pause_s = _FIRST_PAUSE_S
        except Exception as error:  # noqa: BLE001 -- of Dask's, of any kind: the scheduler is away, or refuses us
            get().warning("cluster.away", scheduler=options.scheduler, why=str(error) or type(error).__name__)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause_s)
        pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)


async def _joined(machine: ClusterMachine, options: WorkerOptions, stopping: asyncio.Event) -> bool:
    """Be a worker of the scheduler until it goes or we are to end; whether it was reached."""
    worker = Worker(
        options.scheduler,
        nthreads=machine.host.size,
        security=tls.security(options.ca_file, options.cert, options.key),
        protocol="tls",
        host=options.host or None,
        port=options.port,
        dashboard=False,
        dashboard_address="127.0.0.1:0",  # else it answers in the clear on all addresses
        memory_limit=0,  # the slots have limits of their own
        death_timeout=_DEATH_TIMEOUT_S,
        resources=machine.resources,
        metrics={METRIC: lambda _: machine.described()},
    )
    require_tls(worker)
    try:
        await worker
        get().info("cluster.joined", scheduler=options.scheduler, address=worker.address)
        finished = asyncio.create_task(worker.finished())
        while not (finished.done() or stopping.is_set() or machine.host.fault is not None):
            await asyncio.wait([finished], timeout=_LOOK_S)
        finished.cancel()
    finally:
        with suppress(Exception):
            await asyncio.wait_for(worker.close(nanny=False), 10)
    get().info("cluster.left", scheduler=options.scheduler)
    return True
