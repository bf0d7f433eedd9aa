"""`cutoutd cut`: named files, now."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated

import typer

from cutoutd.cli.listeners import listener_for
from cutoutd.cli.where import ConfigOption, named_path
from cutoutd.clock import RunningClock
from cutoutd.errors import UsageError
from cutoutd.settings import load


def cut(
    files: Annotated[list[Path], typer.Argument(help="Pictures.")],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=named_path, help="Where the cutouts go.")
    ] = Path("cutouts"),
    config: ConfigOption = None,
) -> None:
    """Cut the named pictures, without a daemon."""
    from cutoutd.cut import cut as cut_files  # noqa: PLC0415 -- only this command needs it, and it takes 0.1 s

    pictures = named_files(files)
    found = load.find(config, os.environ)
    settings = load.load(found, os.environ) if found is not None else load.defaults(os.environ)
    with listener_for("finishing", level="info") as listener:
        tally = cut_files(pictures, Path.cwd() / output, settings, clock=RunningClock(), listener=listener)
    print(
        f"{tally.done} cut{f' ({tally.doubtful} doubtful)' if tally.doubtful else ''}, {tally.review} to review, {tally.failed} failed"
    )
    raise typer.Exit(0 if tally.done + tally.review == len(pictures) else 1)


def named_files(files: list[Path]) -> list[Path]:
    """The named files, absolute, each once.

    Raises:
        UsageError: one is not there, cannot be read, or is no file.
    """
    for file in files:
        try:
            mode = file.stat().st_mode
        except FileNotFoundError:
            raise UsageError(
                "there is no such file", path=file, advice="Name pictures that are there."
            ) from None
        except OSError as error:
            raise UsageError(
                f"it cannot be read ({error.strerror})", path=file, advice="Name pictures that you may read."
            ) from error
        if stat.S_ISDIR(mode):
            raise UsageError(
                "this is a folder",
                path=file,
                advice="Name the pictures in it, or cut all of them with "
                "`cutoutd run --once --input FOLDER --output FOLDER`.",
            )
        if not stat.S_ISREG(mode):
            raise UsageError("this is no ordinary file", path=file, advice="Name pictures.")
    return list(dict.fromkeys(Path(os.path.realpath(file)) for file in files))
