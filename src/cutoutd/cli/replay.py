"""`cutoutd replay`: cuts a picture again, and compares the result with its sidecar byte by byte."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from cutoutd import logs
from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, find_settings
from cutoutd.cli.printing import path_fields, printable
from cutoutd.cli.queue import JsonOption
from cutoutd.clock import RunningClock


def replay(
    sidecar: Annotated[Path, typer.Argument(help="The .json file beside a cutout.")],
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Cut a picture again as its sidecar says, and show whether the result is the same; nothing is published."""
    from cutoutd.replay import replay as cut_again  # noqa: PLC0415 -- only this command needs it, and it takes 0.1 s

    chosen = find_settings(config, input_dir, output_dir)
    logs.configure(level="error", log_format="console")
    found = cut_again(Path.cwd() / sidecar, chosen, RunningClock())
    if as_json:
        document = {
            "schema": "cutoutd.replay/1",
            "identical": found.identical,
            **path_fields("source", found.source),
            "outputs": [
                {**path_fields("path", path), "identical": same} for path, same in found.outputs.items()
            ],
            "differences": [os.fsencode(one).decode("utf-8", "replace") for one in found.differences],
        }
        print(json.dumps(document, indent=2))
    else:
        for path, same in found.outputs.items():
            print(f"{printable(path)}: {'identical' if same else 'DIFFERENT'}")
        for difference in found.differences:
            print(f"  {printable(difference)}")
    raise typer.Exit(0 if found.identical else 1)
