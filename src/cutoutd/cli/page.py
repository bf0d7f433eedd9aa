"""`cutoutd page`: the page in a browser."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, settings
from cutoutd.clock import Clock
from cutoutd.page import pairing
from cutoutd.settings import loader
from cutoutd.settings.page import PageSettings
from cutoutd.settings.types import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.settings.schema import Settings


def page(
    *,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
    any_port: Annotated[bool, typer.Option("--any-port", hidden=True)] = False,
) -> None:
    """Show folders, cutouts and settings in a browser on this machine."""
    chosen, file = _chosen(config, input_dir, output_dir)
    state_dir = (chosen or loader.defaults(os.environ)).service.state_dir
    from cutoutd import logs  # noqa: PLC0415 -- only here something is logged
    from cutoutd.page.backend import process  # noqa: PLC0415 -- the one command that serves

    required = chosen is not None and chosen.pool.sandbox is Sandbox.REQUIRED
    logs.configure(level="info", log_format="auto")
    options = process.Options(
        settings=chosen,
        config=file,
        state_dir=state_dir,
        page=chosen.page if chosen is not None else PageSettings(),
        any_port=any_port,
        required=required,
        on_ready=lambda address: print(f"{address}/#{pairing.offer(state_dir)}", flush=True),
    )
    process.serve(options, clock=Clock())


def _chosen(
    config: Path | None, input_dir: Path | None, output_dir: Path | None
) -> tuple[Settings | None, Path | None]:
    """Settings and their file; None where there is no configuration yet."""
    file = loader.find(config, os.environ) if input_dir is None else None
    if file is None and input_dir is None and output_dir is None:
        return None, None
    return settings(config, input_dir, output_dir), file
