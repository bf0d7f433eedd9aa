"""`cutoutd bench`: images a minute, CPU seconds an image, and time per step, on files of your own."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cutoutd.cli.inputs import named_files
from cutoutd.cli.instance import ConfigOption
from cutoutd.cli.listeners import event_display
from cutoutd.cli.queue import JsonOption
from cutoutd.clock import Clock
from cutoutd.settings import loader

_ORDER = ("decode", "infer", "refine", "encode", "publish", "total")


def bench(
    files: Annotated[list[Path], typer.Argument(help="Pictures to measure with; no result is kept.")],
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Measure how fast this machine cuts, with pictures of your own."""
    from cutoutd.bench import measure  # noqa: PLC0415 -- only this command needs it

    found = loader.find(config, os.environ)
    settings = loader.load(found, os.environ) if found is not None else loader.defaults(os.environ)
    with event_display("finishing", level="error") as emit:
        figures = measure(named_files(files), settings, clock=Clock(), emit=emit)
    if as_json:
        print(json.dumps({"schema": "cutoutd.bench/1", **asdict(figures)}, indent=2))
    else:
        print(f"{figures.pictures} pictures, {figures.megapixels:.1f} megapixels, {figures.failed} failed")
        print(
            f"{figures.per_minute:.1f} pictures a minute, from the start to the last publication ({figures.wall_s:.1f} s)"
        )
        print(
            f"{figures.cpu_per_picture_s:.2f} CPU seconds a picture, at most {figures.peak_mib:.0f} MiB a worker"
        )
        for step in _ORDER:
            if step in figures.steps_ms:
                print(f"  {step:<8} {figures.steps_ms[step]:>8.1f} ms")
    raise typer.Exit(1 if figures.failed else 0)
