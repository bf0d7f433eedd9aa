"""Which configuration, and so which daemon, a command is about.

It reads the environment, once, and hands it on as a value; nothing below the command line does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutoutd.errors import UsageError
from cutoutd.settings import loader

if TYPE_CHECKING:
    from cutoutd.settings.schema import Settings


def named_path(text: str) -> Path:
    """A path as a person gives it: shells leave the ``~`` in ``--input=~/to-cut`` as it is.

    Raises:
        UsageError: it begins with the home directory of nobody known.
    """
    path = os.path.expanduser(text)  # noqa: PTH111 -- Path.expanduser raises an error of its own kind
    if path.startswith("~"):
        raise UsageError(f"{text} names no home directory that is known", advice="Write the path in full.")
    return Path(path)


ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration file.")]
# With a parser of ours: Typer's own looks at the path, and would hang where a share hangs.
InputOption = Annotated[
    Path | None,
    typer.Option("--input", parser=named_path, help="A folder to watch, without a configuration file."),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", parser=named_path, help="Where its cutouts go.")
]


def settings(config: Path | None, input_dir: Path | None, output_dir: Path | None) -> Settings:
    """The settings a command is about.

    Raises:
        UsageError: neither a configuration nor a pair of folders, or both.
        ConfigurationError: the configuration is wrong.
    """
    if (input_dir is None) != (output_dir is None):
        raise UsageError("--input and --output go together", advice="Give both, or neither.")
    if input_dir is not None and output_dir is not None:
        if config is not None:
            raise UsageError("--config and --input are two ways to say the same", advice="Give one of them.")
        return loader.for_pair(Path.cwd() / input_dir, Path.cwd() / output_dir, os.environ)
    found = loader.find(config, os.environ)
    if found is None:
        raise loader.nothing_found()
    return loader.load(found, os.environ)
