"""Keeps configuration files of Dask out of cutoutd's processes. Call it before Dask is imported."""

from __future__ import annotations

import os
from typing import Final

_NOWHERE: Final = "/nonexistent"


def ignore_files() -> None:
    """Make Dask ignore its configuration files, which could change how it connects and what it loads."""
    os.environ["DASK_CONFIG"] = os.environ["DASK_ROOT_CONFIG"] = _NOWHERE
