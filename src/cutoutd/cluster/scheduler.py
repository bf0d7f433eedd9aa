"""Runs Dask's scheduler, for `cutoutd cluster scheduler`, with TLS only and without its web pages."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Final

from cutoutd.cluster import tls
from cutoutd.cluster.dask_settings import be_sparing
from cutoutd.cluster.no_http import QuietScheduler
from cutoutd.process.heap import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORKER_TTL: Final = "30 s"
"""A machine that is silent for this long counts as gone. Dask's default of five minutes would delay its pictures."""


def run(*, host: str, port: int, ca_file: Path, cert: Path, key: Path, ready: Callable[[], None]) -> None:
    """Run the scheduler until a signal ends it.

    Args:
        host: address to listen on; empty: all.
        port: port to listen on.
        ca_file: certificate of the authority that signs its peers.
        cert: its own certificate.
        key: key of that certificate.
        ready: called once it listens.

    Raises:
        OSError: it cannot listen there.
    """
    logging.getLogger("distributed").setLevel(logging.WARNING)
    be_sparing({"distributed.scheduler.worker-ttl": WORKER_TTL})
    keep_freed_memory()
    try:
        asyncio.run(_run(host=host, port=port, ca_file=ca_file, cert=cert, key=key, ready=ready))
    except RuntimeError as error:
        if isinstance(error.__cause__, OSError):  # Dask's "failed to start"
            raise error.__cause__ from error
        raise


async def _run(
    *, host: str, port: int, ca_file: Path, cert: Path, key: Path, ready: Callable[[], None]
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    async with QuietScheduler(
        host=host or None,
        port=port,
        protocol="tls",
        security=tls.security(ca_file, cert, key),
    ) as scheduler:
        ready()
        finished = asyncio.create_task(scheduler.finished())
        asked = asyncio.create_task(stopping.wait())
        await asyncio.wait([finished, asked], return_when=asyncio.FIRST_COMPLETED)
        for task in (finished, asked):
            task.cancel()
