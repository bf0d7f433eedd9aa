"""Runs a machine of the cluster, for `cutoutd worker`: its slots, and the Dask worker through which the cluster reaches them.

The slots are confined as on any machine. The process with the Dask worker opens connections in both directions, and runs whatever
the owner of a certificate sends; `cutoutd.cluster.worker_confinement` limits it to certificates, models, a private directory and
two ports.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from distributed.comm.core import connect

from cutoutd.cluster import tls
from cutoutd.cluster.dask_settings import be_sparing
from cutoutd.cluster.machine import JOINS_MB, ClusterMachine, WithdrawTasks
from cutoutd.cluster.machines import METRIC
from cutoutd.cluster.no_http import QuietWorker
from cutoutd.cluster.preload import require_tls
from cutoutd.logs import get
from cutoutd.process.heap import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from cutoutd.settings.schema import Settings

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 15.0
_DEATH_TIMEOUT_S: Final = 30
_LOOK_S: Final = 1.0
_OBJECT: Final = re.compile(r"^in <[^>]*>: ")
"""Prefix of Dask's error messages."""

_REACH_S: Final = 2.0
"""Dask repeats its attempts within this time, so a scheduler that is just starting is reached soon."""

_CLOSE_S: Final = 10.0
_END_S: Final = 1.0
"""Time for Dask to leave the scheduler: usually, and when this process is about to end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """How a machine takes part in the cluster.

    Attributes:
        scheduler: address of the scheduler.
        certificates: files of this machine.
        port: port on which it listens.
        host: address under which others reach it; empty: that of the interface to the scheduler.
        slots: number of pictures at a time; 0: as many as the machine has room for.
        layers: active layers of this process's sandbox.
    """

    scheduler: str
    certificates: tls.Certificates
    port: int
    host: str = ""
    slots: int = 0
    layers: tuple[str, ...] = ()


def run(settings: Settings, options: WorkerOptions) -> None:
    """Serve the cluster until a signal; an unreachable scheduler is tried again and again.

    Raises:
        CutoutdError: the slots cannot work.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    be_sparing()
    keep_freed_memory()
    machine = ClusterMachine(settings, slots=options.slots)
    get().info(
        "cluster.machine",
        slots=machine.host.size,
        models=list(settings.models),
        scheduler=options.scheduler,
        sandbox=options.layers,
    )
    machine.start()
    try:
        asyncio.run(_serve(machine, options))
    finally:
        machine.host.close()
    if machine.host.fault is not None and not machine.is_ending:
        sys.exit(5)


async def _serve(machine: ClusterMachine, options: WorkerOptions) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        machine.is_ending = True
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    pause_s = _FIRST_PAUSE_S
    why = ""
    while not stopping.is_set() and machine.host.fault is None:
        try:
            _check_disk(machine)
            if await _finishes_before(stopping, _check_scheduler(options)):
                why, pause_s = "", _FIRST_PAUSE_S
                await _join(machine, options, stopping)
        except (OSError, ValueError, RuntimeError) as error:  # what Dask raises when it connects or starts
            now = _describe(error)
            if now != why:  # logged once: a scheduler may be away for days
                get().warning("cluster.waits", scheduler=options.scheduler, why=now)
            why = now
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause_s)
        pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)


def _describe(error: Exception) -> str:
    """Return why the scheduler cannot be reached: Dask's error names only its time-out, the underlying one what happened."""
    cause = error.__cause__ or error
    return _OBJECT.sub("", str(cause)) or type(cause).__name__


def _check_disk(machine: ClusterMachine) -> None:
    """Check that pictures have room here: a machine that refuses them at once would be given all of them.

    Raises:
        OSError: they have not.
    """
    if trouble := machine.disk_trouble(JOINS_MB):
        raise OSError(trouble)


async def _finishes_before(stopping: asyncio.Event, work: Awaitable[object]) -> bool:
    """Wait for some work, or until this process is asked to end. Returns whether the work has finished."""
    task, stop = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return False
        task.result()
        return True
    finally:
        stop.cancel()
        task.cancel()


async def _check_scheduler(options: WorkerOptions) -> None:
    """Check that the scheduler can be reached: a Dask worker would try for long, and not say why it fails.

    Raises:
        OSError: it cannot, or refuses the connection.
    """
    security = tls.security(options.certificates)
    comm = await connect(options.scheduler, timeout=_REACH_S, **security.get_connection_args("worker"))
    await comm.close()


async def _join(machine: ClusterMachine, options: WorkerOptions, stopping: asyncio.Event) -> None:
    """Work for the scheduler until it goes away or this process is asked to end.

    Raises:
        OSError, RuntimeError: the scheduler refuses this worker.
    """
    worker = QuietWorker(
        options.scheduler,
        nthreads=machine.host.size,
        security=tls.security(options.certificates),
        protocol="tls",
        host=options.host or None,
        port=options.port,
        memory_limit=0,  # the slots have limits of their own
        death_timeout=_DEATH_TIMEOUT_S,
        resources=machine.resources,
        metrics={METRIC: lambda _: machine.described()},
        plugins=(WithdrawTasks(),),
    )
    require_tls(worker)
    try:
        if not await _finishes_before(stopping, worker):
            return
        get().info("cluster.joined", scheduler=options.scheduler, address=worker.address)
        finished = asyncio.create_task(worker.finished())
        while not (
            finished.done() or stopping.is_set() or machine.host.fault is not None or machine.disk_trouble()
        ):
            await _finishes_before(stopping, asyncio.wait([finished], timeout=_LOOK_S))
        finished.cancel()
    finally:
        # Errors are ignored: what is half closed ends with the process, or the next attempt finds its port taken and
        # reports that.
        with suppress(Exception):
            closing_s = _END_S if stopping.is_set() else _CLOSE_S
            await asyncio.wait_for(worker.close(nanny=False, executor_wait=False), closing_s)
    get().info("cluster.left", scheduler=options.scheduler)
