"""Runs doctor's offline trial with good and bad models, in a process that may lose its network."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from cutoutd import logs
from cutoutd.clock import Clock
from cutoutd.doctor import trial
from cutoutd.models import catalog
from cutoutd.settings.schema import ModelSettings, Settings
from cutoutd.settings.types import ExecutionProvider


def main(root: Path) -> None:
    """Print the outcome of each trial."""
    tempfile.tempdir = os.fspath(root)
    logs.configure(level="error", log_format="console")
    model = catalog.find("u2net-int8")
    good = trial.cut(Settings(), [model], Clock())
    cuda = trial.cut(Settings(model=ModelSettings(provider=ExecutionProvider.CUDA)), [model], Clock())
    torn = Path(__file__)  # a file that is there, and is not a model
    broken = trial.cut(Settings(), [replace(model, file=torn)], Clock())
    print(  # noqa: T201 -- that is what it is for
        json.dumps(
            {
                "good": [good.why, good.socket, good.filtered],
                "cuda": cuda.why,
                "broken": broken.why,
                "left": sorted(os.listdir(root)),  # noqa: PTH208 -- names
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
