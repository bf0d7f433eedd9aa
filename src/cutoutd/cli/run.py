"""`cutoutd run`: runs the daemon."""

from __future__ import annotations

import faulthandler
import os
import shlex
import sys
import time
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cutoutd.cli import closing
from cutoutd.cli.companions import keep_running
from cutoutd.cli.egress import require_cluster, require_extra
from cutoutd.cli.instance import (
    ConfigOption,
    InputOption,
    OutputOption,
    as_options,
    origin_of,
    separation_advice,
    settings,
    sharing,
)
from cutoutd.cli.listeners import event_display
from cutoutd.cli.printing import printable, say, short
from cutoutd.cli.registry import Invocation, registered
from cutoutd.cli.terminal import ignoring_broken_pipe, in_the_foreground
from cutoutd.clock import Clock, RunningClock
from cutoutd.daemon.companion_watch import CompanionWatch
from cutoutd.errors import AlreadyRunningError, UsageError
from cutoutd.process.controlling_terminal import started_at_terminal
from cutoutd.process.sd_notify import ServiceManager
from cutoutd.settings import loader, places
from cutoutd.settings.types import Route

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.daemon.tally import Outcome
    from cutoutd.settings.schema import Settings

MAX_TIMEOUT_S: Final = 31_536_000.0
"""A year: system calls refuse much longer timeouts."""


TimeoutOption = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=MAX_TIMEOUT_S,
        help="With --once: start no new picture after this many seconds.",
    ),
]
LocalOnlyOption = Annotated[
    bool,
    typer.Option(
        "--local-only",
        help="Start no uploader and no gateway to a cluster, whatever the folders say: nothing leaves this machine.",
    ),
]
UploaderApartOption = Annotated[
    bool,
    typer.Option("--uploader-apart", help="Start no uploader: `cutoutd hosted` runs as a separate service."),
]
ClusterApartOption = Annotated[
    bool,
    typer.Option(
        "--cluster-apart",
        help="Start no gateway to the cluster: `cutoutd cluster gateway` runs as a separate service.",
    ),
]
PageApartOption = Annotated[
    bool,
    typer.Option("--page-apart", help="Start no page: `cutoutd page` runs as a separate service."),
]
ServeApartOption = Annotated[
    bool,
    typer.Option("--serve-apart", help="Start no API: `cutoutd serve` runs as a separate service."),
]
OnceOption = Annotated[bool, typer.Option("--once", help="Cut the pictures that are there now, then exit.")]


def run(  # noqa: PLR0913 -- each is an option
    context: typer.Context,
    *,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
    once: OnceOption = False,
    timeout: TimeoutOption = None,
    local_only: LocalOnlyOption = False,
    uploader_apart: UploaderApartOption = False,
    cluster_apart: ClusterApartOption = False,
    page_apart: PageApartOption = False,
    serve_apart: ServeApartOption = False,
    from_make: Annotated[bool, typer.Option("--from-make", hidden=True)] = False,
) -> None:
    """Watch the folders and cut every picture that lands in them, until stopped."""
    if timeout is not None and not once:
        raise UsageError("--timeout goes with --once", advice="Give both, or neither.")
    with in_the_foreground() if from_make else nullcontext(), ExitStack() as beside:
        has_page = False
        watch = CompanionWatch()
        if not once and input_dir is None and output_dir is None and loader.find(config, os.environ) is None:
            has_page = _wait_for_first_settings(beside, watch, page_apart=page_apart)
        chosen = settings(config, input_dir, output_dir)
        if input_dir is not None and output_dir is not None:
            require_folders(chosen.folder[0].input, chosen.folder[0].output, both=from_make)
        uploads = chosen.needs_uploader and not local_only
        clusters = bool(chosen.clustered) and not local_only
        has_gateway = clusters and not cluster_apart
        if local_only:
            _refuse_hosted(chosen)
        is_beside = uploads and not uploader_apart
        _require_extras(chosen, uploads=is_beside, clusters=has_gateway)
        origin = origin_of(config, input_dir, output_dir)
        _warn_of_earlier(chosen, origin)
        # A service manager ends a process that hangs with SIGABRT: the log then shows where it hung.
        faulthandler.enable()
        if is_beside:
            beside.enter_context(
                keep_running(_uploader(config), watch, name="uploader", key=context.obj or "")
            )
        if has_gateway:
            beside.enter_context(keep_running(_gateway(config), watch, name="cluster"))
        if chosen.page.enabled and not (once or page_apart or has_page):
            beside.enter_context(keep_running(_server_command("page", origin), watch, name="page"))
        if chosen.serve.enabled and not (once or serve_apart):
            beside.enter_context(keep_running(_server_command("serve", origin), watch, name="serve"))
        _run_daemon(
            chosen,
            origin,
            once=once,
            timeout_s=timeout,
            uploads=uploads,
            clusters=clusters,
            read_again=partial(settings, config, input_dir, output_dir),
            from_make=from_make,
            watch=watch,
        )


def _require_extras(chosen: Settings, *, uploads: bool, clusters: bool) -> None:
    """Check that what is to run beside the daemon could be started.

    Raises:
        UsageError: it is not installed.
    """
    if uploads:
        require_extra(chosen)
    if clusters:
        require_cluster(chosen)


def _wait_for_first_settings(beside: ExitStack, watch: CompanionWatch, *, page_apart: bool) -> bool:
    """Wait for a configuration, made on the page or by hand.

    Args:
        beside: keeps the page running.
        watch: notices if it ends.
        page_apart: whether another process serves the page.

    Returns:
        Whether a page is running that also fits the new configuration.

    Raises:
        typer.Exit: a signal asked to end.
    """
    defaults = loader.defaults(os.environ)
    if not defaults.page.enabled:
        return False
    manager = ServiceManager.from_environment(os.environ)
    with ExitStack() as first:
        if not page_apart:
            command = [*_server_command("page", Invocation()), "--first-run"]
            first.enter_context(keep_running(command, watch, name="page"))
        from cutoutd.cli.first_run import wait_for_configuration  # noqa: PLC0415 -- needed only once

        made = wait_for_configuration(defaults.service.state_dir, manager)
        if made is None:
            raise typer.Exit
        same = made.service.state_dir == defaults.service.state_dir and made.page == defaults.page
        if same and not page_apart:
            beside.push(first.pop_all())
        return same


def _run_daemon(
    chosen: Settings,
    origin: Invocation,
    *,
    once: bool,
    timeout_s: float | None,
    uploads: bool,
    clusters: bool,
    read_again: partial[Settings],
    from_make: bool,
    watch: CompanionWatch,
) -> None:
    """Run the daemon, and print a summary at its end.

    Raises:
        typer.Exit: with ``once``, with the exit code.
    """
    # Imported here: only this command needs them, and they take 0.1 s.
    from cutoutd.daemon import daemon  # noqa: PLC0415

    service = chosen.service
    told = from_make or (not once and sys.stdout.isatty())
    if told:
        with ignoring_broken_pipe():
            print(_next_steps(chosen, from_make=from_make))
    started_s = time.monotonic()
    entry = registered(places.registry(), service.state_dir, origin, now_us=Clock().now_us())
    try:
        with event_display(
            _describe_folders(chosen, once=once), level=service.log_level, log_format=service.log_format
        ) as emit:
            options = daemon.RunOptions(
                once=once,
                timeout_s=timeout_s,
                shows_queue=sys.stdout.isatty(),
                manager=ServiceManager.from_environment(os.environ),
                read_again=None if once else read_again,
                hangup_reloads=not (once or started_at_terminal()),
                uploads=uploads,
                cluster=clusters,
                companions=watch,
            )
            outcome = daemon.run(chosen, options, clock=RunningClock(), emit=emit, registration=entry)
    except AlreadyRunningError as error:
        raise _already_running(chosen, origin) from error
    took_s = time.monotonic() - started_s
    if once or told:
        with ignoring_broken_pipe():
            _summarise(outcome, chosen, took_s, once=once)
    if once:
        raise typer.Exit(0 if outcome.is_clean else 1)


def _summarise(outcome: Outcome, chosen: Settings, took_s: float, *, once: bool) -> None:
    outputs = [folder.output for folder in chosen.folder]
    print(f"{'' if once else 'Stopped. '}{closing.line(outcome.tally, took_s, unchanged=True)}")
    if where := closing.where(outcome.tally, outputs):
        print(where)
    for line in closing.remains(outcome) if once else [closing.goes_on(outcome)]:
        say(line)


def _uploader(config: Path | None) -> list[str]:
    named = [] if config is None else ["--config", os.fspath(config.absolute())]
    return [sys.executable, "-P", "-m", "cutoutd", "hosted", "--key-on-stdin", *named]


def _gateway(config: Path | None) -> list[str]:
    named = [] if config is None else ["--config", os.fspath(config.absolute())]
    return [sys.executable, "-P", "-m", "cutoutd", "cluster", "gateway", *named]


def _server_command(command: str, origin: Invocation) -> list[str]:
    """Return the command that serves the page or the API of a daemon with this invocation."""
    if origin.pair is not None:
        watched, results = map(os.fspath, origin.pair)
        named = ["--input", watched, "--output", results]
    else:
        named = [] if origin.config is None else ["--config", os.fspath(origin.config)]
    return [sys.executable, "-P", "-m", "cutoutd", command, "--serve-only", *named]


def _refuse_hosted(chosen: Settings) -> None:
    """Refuse --local-only if a folder's pictures are all for others: they would wait for ever.

    Raises:
        UsageError: there is such a folder.
    """
    for folders, route, instead in (
        (chosen.tagged, Route.HOSTED, Route.LOCAL_THEN_HOSTED),
        (chosen.clustered, Route.CLUSTER, Route.CLUSTER_THEN_LOCAL),
    ):
        names = ", ".join(f'"{folder.name}"' for folder in folders if folder.route is route)
        if names:
            raise UsageError(
                f'with --local-only nothing leaves this machine, and the route of {names} is "{route}"',
                advice=f'Leave the option out, or set route = "local" or "{instead}".',
            )


def _next_steps(chosen: Settings, *, from_make: bool) -> str:
    ends = "Ctrl-C ends."
    if from_make:  # the command is not on the path then
        command = printable(sys.argv[0])
        page = f"{command} page opens its page in your browser, and " if chosen.page.enabled else ""
        ends += f" In another terminal, {page}{command} status shows its state."
    if len(chosen.folder) == 1:
        (folder,) = chosen.folder
        watched, results = (printable(short(one)) for one in (folder.input, folder.output))
        return f"Drop pictures into {watched}; cutouts appear in {results}.\n{ends}"
    names = ", ".join(printable(folder.name) for folder in chosen.folder)
    return f"Drop pictures into one of {len(chosen.folder)} folders: {names}.\n{ends}"


def _describe_folders(chosen: Settings, *, once: bool) -> str:
    count = len(chosen.folder)
    where = printable(short(chosen.folder[0].input)) if count == 1 else f"{count} folders"
    return f"cutting what is in {where}, then ending" if once else f"watching {where} (Ctrl-C ends)"


def _warn_of_earlier(chosen: Settings, origin: Invocation) -> None:
    """Warn if another configuration used the state directory: its folders count as removed."""
    other = sharing(chosen.service.state_dir, origin)
    if other is not None and not other.is_running:
        print(
            f"cutoutd: {printable(short(chosen.service.state_dir))} was last used with {as_options(other.origin)}; pictures "
            f"that wait in its folders are set aside. If both are to be used, {separation_advice(origin)}",
            file=sys.stderr,
        )


def _already_running(chosen: Settings, origin: Invocation) -> AlreadyRunningError:
    """Return the error that names the daemon that uses the state directory, and what to do."""
    state_dir = printable(short(chosen.service.state_dir))
    other = sharing(chosen.service.state_dir, origin)
    if other is not None:
        return AlreadyRunningError(
            f"the cutoutd that was started with {as_options(other.origin)} keeps its journal in the same state directory, {state_dir}",
            advice=f"To run both, {separation_advice(origin)}.",
        )
    watched = ", ".join(printable(short(folder.input)) for folder in chosen.folder)
    return AlreadyRunningError(f"a cutoutd works on {watched} already; its journal is in {state_dir}")


def require_folders(watched: Path, results: Path, *, both: bool) -> None:
    """Check that both folders exist. On a terminal it offers to create a missing one.

    Args:
        watched: input folder.
        results: output folder; without a terminal, the daemon creates it.
        both: whether the output must exist as well.

    Raises:
        UsageError: one does not exist, and is not to be created.
    """
    at_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    _require(watched, at_terminal=at_terminal)
    if at_terminal or both:
        _require(results, at_terminal=at_terminal)


def _require(folder: Path, *, at_terminal: bool) -> None:
    if os.path.isdir(folder):  # noqa: PTH112 -- Path.is_dir raises where access is refused
        return
    if os.path.lexists(folder):
        raise UsageError("this is a file and no folder", path=folder, advice="Name a folder.")
    if at_terminal and _confirms_creation(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"this folder cannot be made ({error.strerror})", path=folder, advice="Name another one."
            ) from error
        return
    raise UsageError(
        "this folder is not there",
        path=folder,
        advice=f"Make it (mkdir -p {shlex.quote(printable(os.fspath(folder)))}), or name another one.",
    )


def _confirms_creation(folder: Path) -> bool:
    print(f"{printable(short(folder))} is not there. Make it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
