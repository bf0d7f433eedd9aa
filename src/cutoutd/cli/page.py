"""`cutoutd page`: opens the page in a browser."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from cutoutd.cli import browser
from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, find_if_any, first_run_page
from cutoutd.clock import Clock
from cutoutd.errors import StorageError
from cutoutd.page import announcement
from cutoutd.settings import loader, places
from cutoutd.settings.types import Sandbox
from cutoutd.webserver import frames

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.cli.registry import Invocation
    from cutoutd.settings.schema import Settings


def page(
    *,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
    serve_only: Annotated[
        bool,
        typer.Option(
            "--serve-only", help="Serve the page without opening a browser, as a service of its own."
        ),
    ] = False,
    first_run: Annotated[bool, typer.Option("--first-run", hidden=True)] = False,
    any_port: Annotated[bool, typer.Option("--any-port", hidden=True)] = False,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
    console: Annotated[bool, typer.Option("--console", hidden=True)] = False,
) -> None:
    """Open the page in a browser: folders, cutouts, review and settings. It is served from here where no daemon runs."""
    is_bare = not serve_only and config is None and input_dir is None and output_dir is None
    if is_bare and (waiting := _first_run()) is not None:
        _open(*waiting)
        return
    found = None if first_run else find_if_any(config, input_dir, output_dir)
    settings = found[0] if found is not None else loader.defaults(os.environ)
    state_dir = settings.service.state_dir
    if not serve_only and (address := _running(state_dir)) is not None:
        _open(state_dir, address)
        return
    _serve(
        settings,
        found[1] if found is not None else None,
        serve_only,
        any_port=any_port,
        parent=parent,
        console=console,
    )


def _first_run() -> tuple[Path, str] | None:
    """Return state directory and address of the page on which the first folders are chosen; None if it is not served.

    It goes before the page of folders that were given by options: `cutoutd run` without a configuration says that this command opens it.
    """
    try:
        return first_run_page()
    except OSError as error:
        raise _unreadable(loader.defaults(os.environ).service.state_dir, error) from error


def _running(state_dir: Path) -> str | None:
    try:
        return announcement.running(state_dir)
    except OSError as error:
        raise _unreadable(state_dir, error) from error


def _unreadable(state_dir: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the system says: {error.strerror}",
        path=state_dir,
        advice="Run the command as the user the daemon runs as.",
    )


def _open(state_dir: Path, address: str) -> None:
    """Open the page, and always print its address: the browser may be on another desktop, or refuse the file."""
    paired = browser.open_page(state_dir, address)
    print(f"The page, for one browser and a minute: {paired}", flush=True)


def _open_here(state_dir: Path, address: str) -> None:
    _open(state_dir, address)
    print("This command serves it, since no daemon does; Ctrl-C ends it.", flush=True)


def _serve(
    settings: Settings,
    origin: Invocation | None,
    serve_only: bool,  # noqa: FBT001 -- the value of the option
    *,
    any_port: bool,
    parent: int | None,
    console: bool,
) -> None:
    # Imported here, since only this command needs them.
    from cutoutd import logs  # noqa: PLC0415
    from cutoutd.page.backend import process  # noqa: PLC0415
    from cutoutd.sandbox.limits import die_with_parent, keep_terminal_for_writing  # noqa: PLC0415

    if parent is not None:
        die_with_parent(parent)
        keep_terminal_for_writing()
    service = settings.service
    is_seen = console or (parent is None and sys.stderr.isatty())
    logs.configure(
        level="warning" if is_seen and service.log_level == "info" else service.log_level,
        log_format=service.log_format,
        is_read=is_seen,
    )
    on_ready = partial(_print_address, is_seen) if serve_only else partial(_open_here, service.state_dir)
    options = process.PageOptions(
        settings=settings if origin is not None else None,
        # Without one, the page makes that of the user.
        config=origin.config if origin is not None else places.configuration_files()[0],
        state_dir=service.state_dir,
        page=settings.page,
        any_port=any_port,
        waits=serve_only,
        required=settings.pool.sandbox is Sandbox.REQUIRED,
        on_ready=on_ready,
    )
    is_upgraded = process.serve(options, clock=Clock())
    if is_upgraded and not serve_only:
        print("cutoutd: another version was installed; run `cutoutd page` again", file=sys.stderr, flush=True)
    logs.flush()
    # A thread that is blocked by a share ends with the process. The keeper process restarts the page because of the exit code.
    os._exit(frames.UPGRADED if is_upgraded else 0)


def _print_address(is_seen: bool, address: str) -> None:  # noqa: FBT001 -- bound by `partial`
    if is_seen:
        print(f"{address} (`cutoutd page` opens it)", flush=True)
