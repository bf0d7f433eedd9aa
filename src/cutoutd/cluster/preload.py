"""Turns a plain ``dask worker`` into a machine of the cluster: ``dask worker --preload cutoutd.cluster.preload``.

It is for dask-jobqueue, dask-kubernetes and other tools that start Dask's own command. The configuration is found as by every
command of cutoutd: ``CUTOUTD_CONFIG`` may name a file; without a file the defaults apply. There are as many slots as the worker has
threads.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cutoutd.cluster.machine import ClusterMachine
from cutoutd.errors import UsageError
from cutoutd.settings import loader

if TYPE_CHECKING:
    from distributed import Worker

_MACHINES: list[ClusterMachine] = []


async def dask_setup(worker: Worker) -> None:
    """Start the slots, before the worker registers with the scheduler.

    Raises:
        UsageError: the connection is not encrypted.
        CutoutdError: the slots cannot work.
    """
    require_tls(worker)
    config = loader.find(None, os.environ)
    settings = loader.load(config, os.environ) if config is not None else loader.defaults(os.environ)
    machine = ClusterMachine(settings, slots=worker.state.nthreads)
    machine.start()
    _MACHINES.append(machine)
    await machine.join(worker)


async def dask_teardown(_: Worker) -> None:
    """End the slots."""
    while _MACHINES:
        _MACHINES.pop().host.close()


def require_tls(worker: Worker) -> None:
    """Check that the connection to the scheduler is encrypted.

    Raises:
        UsageError: it is not.
    """
    address = str(worker.scheduler.address)
    if not address.startswith("tls://"):
        raise UsageError(
            f"{address} is not encrypted: everybody in the network could read the pictures, and run programs here",
            advice="Start scheduler and workers with tls:// and --tls-ca-file, --tls-cert and --tls-key; `cutoutd cluster certs` makes them.",
        )
