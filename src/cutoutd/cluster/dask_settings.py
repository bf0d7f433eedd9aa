"""How Dask is set up in our processes: by us alone. To be called before it is imported."""

from __future__ import annotations

import os
from typing import Final

_NOWHERE: Final = "/nonexistent"


def ignore_files() -> None:
    """Nobody's file changes how Dask connects, or what it loads."""
    os.environ["DASK_CONFIG"] = os.environ["DASK_ROOT_CONFIG"] = _NOWHERE
