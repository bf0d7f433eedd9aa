"""`cutoutd run`: the daemon."""

from __future__ import annotations

import faulthandler
import os
import sys
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cutoutd.cli.departure import require_extra
from cutoutd.cli.keeper import kept
from cutoutd.cli.listeners import listener_for
from cutoutd.cli.pipes import told_if_anyone_listens
from cutoutd.cli.queue import printable
from cutoutd.cli.where import ConfigOption, InputOption, OutputOption, settings
from cutoutd.clock import RunningClock
from cutoutd.errors import UsageError
from cutoutd.jobs import JobState
from cutoutd.notify import ServiceManager
from cutoutd.settings.choices import Route

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.daemon.tally import Outcome
    from cutoutd.settings.schema import Settings

MAX_TIMEOUT_S: Final = 31_536_000.0
"""A year: system calls refuse waiting times that are much longer."""


def run(
    context: typer.Context,
    *,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
    once: Annotated[bool, typer.Option("--once", help="Cut what is there, then end.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=MAX_TIMEOUT_S,
            help="With --once: begin nothing new after so many seconds.",
        ),
    ] = None,
    local_only: Annotated[
        bool,
        typer.Option(
            "--local-only", help="Start no uploader, whatever the configuration says: nothing leaves."
        ),
    ] = False,
    uploader_apart: Annotated[
        bool, typer.Option("--uploader-apart", help="`cutoutd hosted` runs as a service of its own.")
    ] = False,
) -> None:
    """Watch the folders and cut what lands in them, until stopped."""
    # Only this command needs them, and they take 0.1 s.
    from cutoutd.daemon import daemon  # noqa: PLC0415
    from cutoutd.daemon.assembly import has_terminal  # noqa: PLC0415

    chosen = settings(config, input_dir, output_dir)
    if timeout is not None and not once:
        raise UsageError("--timeout goes with --once", advice="Give both, or neither.")
    if input_dir is not None and not os.path.isdir(input_dir):  # noqa: PTH112 -- Path.is_dir raises where it may not look
        raise UsageError(
            "this is a file and no folder" if os.path.lexists(input_dir) else "this folder is not there",
            path=input_dir,
            advice="Make it, or name another one.",
        )
    uploads = bool(chosen.tagged) and not local_only
    if local_only:
        _refuse_hosted(chosen)
    if uploads and not uploader_apart:
        require_extra(chosen)
    # A service manager ends what hangs with SIGABRT: then the log says where it hung.
    faulthandler.enable()
    service = chosen.service
    with (
        # Before the daemon takes the network from itself and from all it starts.
        kept(_uploader(config), key=context.obj or "") if uploads and not uploader_apart else nullcontext(),
        listener_for(_waiting(chosen), level=service.log_level, log_format=service.log_format) as listener,
    ):
        outcome = daemon.run(
            chosen,
            clock=RunningClock(),
            listener=listener,
            once=once,
            timeout_s=timeout,
            manager=ServiceManager.from_environment(os.environ),
            uploads=uploads,
            read_again=None if once or has_terminal() else partial(settings, config, input_dir, output_dir),
        )
    if not once and sys.stdout.isatty():
        print("Stopped. The next start goes on from here.")
    if once:
        with told_if_anyone_listens():
            _summarise(outcome)
        raise typer.Exit(0 if outcome.is_clean else 1)


def _uploader(config: Path | None) -> list[str]:
    named = [] if config is None else ["--config", os.fspath(config.absolute())]
    return [sys.executable, "-P", "-m", "cutoutd", "hosted", *named]


def _refuse_hosted(chosen: Settings) -> None:
    """With nothing leaving, a folder that knows no other way would wait for ever.

    Raises:
        UsageError: there is one.
    """
    names = ", ".join(f'"{folder.name}"' for folder in chosen.tagged if folder.route is Route.HOSTED)
    if names:
        raise UsageError(
            f'with --local-only nothing leaves this machine, and the route of {names} is "hosted"',
            advice='Leave the option out, or set route = "local" or "local-then-hosted".',
        )


def _waiting(chosen: Settings) -> str:
    if len(chosen.folder) == 1:
        return f"watching {printable(str(chosen.folder[0].input))} (Ctrl-C ends)"
    return f"watching {len(chosen.folder)} folders (Ctrl-C ends)"


def _summarise(outcome: Outcome) -> None:
    tally = outcome.tally
    print(
        f"{tally.done} cut{f' ({tally.doubtful} doubtful)' if tally.doubtful else ''}, {tally.review} to review, {tally.failed} failed, {tally.unchanged} unchanged"
    )
    for name, jobs in outcome.remaining.items():
        for job in jobs:
            why = job.detail.get("failure", {}).get("cause", "")
            why = why or (outcome.uploads if job.state is JobState.UPLOADING else "")
            print(
                f"remains: {name}/{printable(job.path)} ({job.state}{f': {printable(why)}' if why else ''})"
            )
    for name, files in outcome.held_up.items():
        for file in files:
            print(f"remains: {name}/{printable(file.path)} ({file.why})")
    for name, why in outcome.closed.items():
        print(f"not looked at: {name} ({why})")
