"""Runs Dask's scheduler, for `cutoutd cluster scheduler`, with TLS only and without its web pages."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from typing import TYPE_CHECKING, Any, Final

from cutoutd.cluster import tls
from cutoutd.cluster.dask_settings import be_sparing
from cutoutd.cluster.no_http import QuietScheduler
from cutoutd.process.heap import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable

WORKER_TTL: Final = "30 s"
"""A machine that is silent for this long counts as gone. Dask's default of five minutes would delay its pictures."""

RETURNS_S: Final = 5.0
"""A machine of which nothing was heard for so long and that registers again has lost its connection."""


class ReturningScheduler(QuietScheduler):
    """A scheduler that takes a machine back at once after a network failure."""

    async def add_worker(self, comm: Any, *, address: str, **fields: Any) -> None:  # noqa: ANN401 -- as of Dask's
        """Register a worker. Dask leaves one that is registered still without an answer, until `WORKER_TTL` is over and as long again."""
        known = self.workers.get(address)
        if known is not None and time.time() - known.last_seen > RETURNS_S:
            # Expected: the pictures that it had are not to blame.
            await self.remove_worker(address, stimulus_id=f"returned-{address}", expected=True, close=False)
        await super().add_worker(comm, address=address, **fields)


def run(*, host: str, port: int, certificates: tls.Certificates, ready: Callable[[], None]) -> None:
    """Run the scheduler until a signal ends it.

    Args:
        host: address to listen on; empty: all.
        port: port to listen on.
        certificates: its files.
        ready: called once it listens.

    Raises:
        OSError: it cannot listen there.
    """
    logging.getLogger("distributed").setLevel(logging.WARNING)
    be_sparing({"distributed.scheduler.worker-ttl": WORKER_TTL})
    keep_freed_memory()
    try:
        asyncio.run(_run(host, port, certificates, ready))
    except RuntimeError as error:
        if isinstance(error.__cause__, OSError):  # Dask's "failed to start"
            raise error.__cause__ from error
        raise


async def _run(host: str, port: int, certificates: tls.Certificates, ready: Callable[[], None]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    async with ReturningScheduler(
        host=host or None,
        port=port,
        protocol="tls",
        security=tls.security(certificates),
    ) as scheduler:
        ready()
        finished = asyncio.create_task(scheduler.finished())
        asked = asyncio.create_task(stopping.wait())
        await asyncio.wait([finished, asked], return_when=asyncio.FIRST_COMPLETED)
        for task in (finished, asked):
            task.cancel()
