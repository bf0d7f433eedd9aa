"""`cutoutd serve`: the API for programs, and its keys."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, find
from cutoutd.cli.printing import printable, say
from cutoutd.clock import Clock, rfc3339
from cutoutd.errors import UsageError
from cutoutd.serve.keys import DEFAULT_PER_MINUTE, MAX_PER_MINUTE, KeyFile
from cutoutd.settings.types import Sandbox

if TYPE_CHECKING:
    from cutoutd.settings.schema import Settings


def build() -> typer.Typer:
    """Make `cutoutd serve` and its sub-commands."""
    app = typer.Typer(
        help="Serve the API for programs, until stopped; `keys` makes, lists and revokes their keys.",
        invoke_without_command=True,
    )
    app.callback()(serve)
    keys = typer.Typer(help="Make, list and revoke the keys of programs.", no_args_is_help=True)
    keys.command("add")(add)
    keys.command("list")(list_keys)
    keys.command("revoke")(revoke)
    app.add_typer(keys, name="keys")
    return app


def serve(
    context: typer.Context,
    *,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
    serve_only: Annotated[
        bool, typer.Option("--serve-only", help="Wait while another process serves it: for a service.")
    ] = False,
    any_port: Annotated[bool, typer.Option("--any-port", hidden=True)] = False,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
    console: Annotated[bool, typer.Option("--console", hidden=True)] = False,
) -> None:
    """Serve the API for programs, until stopped; `keys` makes, lists and revokes their keys."""
    if context.invoked_subcommand is not None:
        return
    # Imported here, since only this command needs them.
    from cutoutd import logs  # noqa: PLC0415
    from cutoutd.sandbox.limits import die_with_parent, keep_terminal_for_writing  # noqa: PLC0415
    from cutoutd.serve.backend import process  # noqa: PLC0415
    from cutoutd.webserver import frames  # noqa: PLC0415

    if parent is not None:
        die_with_parent(parent)
        keep_terminal_for_writing()
    settings, origin = find(config, input_dir, output_dir)
    service = settings.service
    is_seen = console or (parent is None and sys.stderr.isatty())
    logs.configure(
        level="warning" if is_seen and service.log_level == "info" else service.log_level,
        log_format=service.log_format,
        is_read=is_seen,
    )
    options = process.ServeOptions(
        settings=settings,
        config=origin.config,
        any_port=any_port,
        waits=serve_only,
        required=settings.pool.sandbox is Sandbox.REQUIRED,
        on_ready=lambda address: _tell(address) if parent is None or is_seen else None,
    )
    is_upgraded = process.serve(options, clock=Clock())
    logs.flush()
    # A thread that is blocked by a share ends with the process. The keeper process restarts the API because of the exit code.
    os._exit(frames.UPGRADED if is_upgraded else 0)


def add(
    name: Annotated[str, typer.Argument(help="A name for it, such as that of the program.")],
    *,
    folder: Annotated[
        str | None, typer.Option("--folder", help="The hot folder; may be left out if there is one.")
    ] = None,
    per_minute: Annotated[
        int, typer.Option(min=1, max=MAX_PER_MINUTE, help="Pictures a minute.")
    ] = DEFAULT_PER_MINUTE,
    max_mb: Annotated[
        int, typer.Option(min=0, max=4096, help="Largest picture, MiB; 0: as [serve] max_file_mb says.")
    ] = 0,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Make a key, and print it: this once, since only its hash is kept."""
    settings, _ = find(config, input_dir, output_dir)
    key, secret = KeyFile(settings.service.state_dir).add(
        name,
        _folder(settings, folder),
        per_minute=per_minute,
        max_mb=max_mb,
        now_us=Clock().now_us(),
    )
    print(secret, flush=True)
    note = f"The key {key.name!r} hands pictures to the folder {key.folder!r}. It is shown this once."
    print(note, file=sys.stderr)
    if not settings.serve.enabled:
        advice = "To have `cutoutd run` serve the API: enabled = true in [serve]. Or run `cutoutd serve`."
        print(advice, file=sys.stderr)


def list_keys(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """List the keys: name, folder, pictures a minute, largest picture, and when each was made."""
    settings, _ = find(config, input_dir, output_dir)
    keys = KeyFile(settings.service.state_dir).all()
    if as_json:
        listed = [
            {
                "name": one.name,
                "folder": one.folder,
                "per_minute": one.per_minute,
                "max_mb": one.max_mb or settings.serve.max_file_mb,
                "made_at": rfc3339(one.made_us),
            }
            for one in keys
        ]
        print(json.dumps({"schema": "cutoutd.keys/1", "keys": listed}, indent=2))
        return
    for one in keys:
        size = f"{one.max_mb or settings.serve.max_file_mb} MiB"
        rate = f"{one.per_minute} a minute"
        say(
            f"{printable(one.name):<20} {printable(one.folder):<16} {rate:>14} {size:>10}  {rfc3339(one.made_us)}"
        )
    if not keys:
        say("There are no keys. `cutoutd serve keys add NAME` makes one.")


def revoke(
    name: Annotated[str, typer.Argument(help="As `cutoutd serve keys list` shows it.")],
    *,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Revoke a key: it is good for nothing from now on, also for an upload that is under way."""
    settings, _ = find(config, input_dir, output_dir)
    if not KeyFile(settings.service.state_dir).revoke(name):
        raise UsageError(f"there is no key named {name!r}", advice="`cutoutd serve keys list` lists them.")
    print(f"The key {name!r} is revoked.")


def _folder(settings: Settings, name: str | None) -> str:
    names = [one.name for one in settings.folder]
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise UsageError("the key needs a folder", advice=f"Give --folder one of: {', '.join(names)}.")
    if name not in names:
        raise UsageError(
            f"there is no folder {name!r} in the configuration", advice=f"There are: {', '.join(names)}."
        )
    return name


def _tell(address: str) -> None:
    name = Path(sys.argv[0]).name
    print(
        f"{address} (`{name} docs serve` says what can be asked; `{name} serve keys add NAME` makes a key)",
        flush=True,
    )
