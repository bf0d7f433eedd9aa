"""`cutoutd run`: the daemon."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cutoutd.cli.console import Live, Quiet
from cutoutd.cli.queue import printable
from cutoutd.cli.where import ConfigOption, InputOption, OutputOption, settings
from cutoutd.clock import Clock
from cutoutd.errors import UsageError

if TYPE_CHECKING:
    from cutoutd.daemon.daemon import Outcome
    from cutoutd.settings.schema import Settings


def run(
    *,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
    once: Annotated[bool, typer.Option("--once", help="Cut what is there, then end.")] = False,
    timeout: Annotated[float | None, typer.Option(help="With --once: end after so many seconds.")] = None,
    local_only: Annotated[  # noqa: ARG001 -- a promise that this version always keeps: it has no other route
        bool, typer.Option("--local-only", help="Refuse every route but the local one.")
    ] = False,
) -> None:
    """Watch the folders and cut what lands in them, until stopped."""
    from cutoutd import logs  # noqa: PLC0415 -- only this command needs what follows, and it takes 0.2 s
    from cutoutd.daemon import daemon  # noqa: PLC0415

    chosen = settings(config, input_dir, output_dir)
    if timeout is not None and not once:
        raise UsageError("--timeout goes with --once", advice="Give both, or neither.")
    if input_dir is not None and not input_dir.is_dir():
        raise UsageError("this folder is not there", path=input_dir, advice="Make it, or name another one.")
    at_terminal = sys.stdout.isatty()
    level = chosen.service.log_level
    logs.configure(
        # A person at the terminal sees a line for each result already.
        level="warning" if at_terminal and level == "info" else level,
        log_format=chosen.service.log_format,
    )
    listener = Live(_waiting(chosen)) if at_terminal else Quiet()
    try:
        outcome = daemon.run(chosen, clock=Clock(), listener=listener, once=once, timeout_s=timeout)
    finally:
        listener.close()
    if once:
        _summarise(outcome)
        raise typer.Exit(0 if outcome.is_clean else 1)


def _waiting(chosen: Settings) -> str:
    if len(chosen.folder) == 1:
        return f"watching {printable(str(chosen.folder[0].input))} (Ctrl-C ends)"
    return f"watching {len(chosen.folder)} folders (Ctrl-C ends)"


def _summarise(outcome: Outcome) -> None:
    tally = outcome.tally
    print(f"{tally.done} cut, {tally.review} to review, {tally.failed} failed, {tally.unchanged} unchanged")
    for name, jobs in outcome.remaining.items():
        for job in jobs:
            why = job.detail.get("failure", {}).get("cause", "")
            print(f"remains: {name}/{printable(job.path)} ({job.state}{f': {why}' if why else ''})")
    for name, paths in outcome.growing.items():
        for path in paths:
            print(f"remains: {name}/{printable(path)} (still being written)")
    for name, why in outcome.closed.items():
        print(f"not looked at: {name} ({why})")
