"""`cutoutd cut`: named files, now."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cutoutd.cli.console import Live, Quiet
from cutoutd.cli.where import ConfigOption
from cutoutd.clock import Clock
from cutoutd.errors import UsageError
from cutoutd.settings import load


def cut(
    files: Annotated[list[Path], typer.Argument(help="Pictures.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the cutouts go.")] = Path("cutouts"),
    config: ConfigOption = None,
) -> None:
    """Cut the named pictures, without a daemon."""
    from cutoutd import logs  # noqa: PLC0415 -- only this command needs what follows, and it takes 0.2 s
    from cutoutd.cut import cut as cut_files  # noqa: PLC0415

    for file in files:
        if not file.is_file():
            raise UsageError("there is no such file", path=file, advice="Name pictures that are there.")
    found = load.find(config, os.environ)
    settings = load.load(found, os.environ) if found is not None else load.defaults(os.environ)
    at_terminal = sys.stdout.isatty()
    logs.configure(level="warning" if at_terminal else "info", log_format="auto")
    listener = Live("finishing") if at_terminal else Quiet()
    try:
        tally = cut_files(
            [Path.cwd() / file for file in files],
            Path.cwd() / output,
            settings,
            clock=Clock(),
            listener=listener,
        )
    finally:
        listener.close()
    print(f"{tally.done} cut, {tally.review} to review, {tally.failed} failed")
    raise typer.Exit(0 if tally.done + tally.review == len(files) else 1)
