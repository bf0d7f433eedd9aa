"""Keeps configuration files of Dask out of cutoutd's processes, and switches off what Dask measures of itself."""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOWHERE: Final = "/nonexistent"

_SPARING: Final[dict[str, Any]] = {
    "distributed.worker.profile.enabled": False,  # looks at all threads a hundred times a second
    "distributed.admin.tick.interval": "500 ms",  # instead of 20 ms
    "distributed.admin.system-monitor.interval": "5 s",  # instead of 0.5 s
    "distributed.scheduler.active-memory-manager.start": False,  # no result has replicas
    "distributed.comm.compression": False,  # pictures are compressed already
}
"""Nobody sees the figures that these would give: there is no dashboard."""


def ignore_files() -> None:
    """Make Dask ignore its configuration files, which could change how it connects and what it loads. Call it before Dask is imported."""
    os.environ["DASK_CONFIG"] = os.environ["DASK_ROOT_CONFIG"] = _NOWHERE


def be_sparing(more: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Switch off what takes time and serves nobody here. Call it before a scheduler, worker or client is made.

    Args:
        more: other settings of Dask for this process.
    """
    import dask  # noqa: PLC0415 -- only after the process was confined

    dask.config.set({**_SPARING, **more})
