"""The command `cutoutd`: its sub-commands, and the exit code for each kind of error.

0 done · 1 done, but some files failed or remain · 2 wrong usage or configuration · 3 already running
4 model missing or altered · 5 a disk or the journal refuses, or an internal error
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cutoutd.cli.printing import printable, wrapped
from cutoutd.cli.terminal import close_quietly
from cutoutd.errnos import NOT_WRITTEN
from cutoutd.errors import (
    AlreadyRunningError,
    CutoutdError,
    ModelError,
    NotNeededError,
    UsageError,
    from_os_error,
)
from cutoutd.faults.isolation import describe, lacks_resources, note_on
from cutoutd.process.child_environment import take_key
from cutoutd.process.companion_exit import NOT_NEEDED

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_USAGE = 2
EXIT_RUNNING = 3
EXIT_MODEL = 4
EXIT_FAULT = 5

_VERSION: Final = "--version"

_COMMANDS: Final = {
    "run": "run:run",
    "cut": "cut:cut",
    "check": "check:check",
    "status": "status:status",
    "metrics": "status:metrics",
    "jobs": "queue:jobs",
    "retry": "retry:retry",
    "submit": "submit:submit",
    "fix": "fix:fix",
    "export": "queue:export",
    "presets": "presets:presets",
    "docs": "docs:docs",
    "replay": "replay:replay",
    "sheet": "sheet:sheet",
    "adopt": "adopt:adopt",
    "pause": "queue:pause",
    "resume": "queue:resume",
    "doctor": "doctor:doctor",
    "bench": "bench:bench",
    "page": "page:page",
    "worker": "cluster:worker",
    "hosted": "hosted:hosted",
    "audit": "hosted:audit",
}
_GROUPS: Final = {
    "cluster": "cluster:build",
    "review": "review:build",
    "models": "models:build",
    "serve": "serve:build",
    "service": "service:build",
    "desktop": "desktop:build",
    "webhook": "webhook:build",
}
"""Where each command is, as ``module:function`` of this package. A module is imported only when it is needed."""

_HELP = """Watches folders and cuts the subject out of every picture that lands in them.

All work is done on this machine. A picture leaves it only if its folder is tagged for a hosted service or a cluster.
"""


def build(first: str = "") -> typer.Typer:
    """Make the application with its commands.

    Args:
        first: first word of the command line. If it names a command, the application has only that one, since importing
            all takes a third of a second. Otherwise it has all: for help, completion, or a misspelt name.
    """
    app = typer.Typer(
        name="cutoutd",
        help=_HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": HELP_NAMES},
    )
    app.callback(help=_HELP)(_root)
    is_one = first in {*_COMMANDS, *_GROUPS, _VERSION}
    for name, place in _COMMANDS.items():
        if not is_one or name == first:
            app.command(name)(_import_command(place))
    for name, place in _GROUPS.items():
        if not is_one or name == first:
            app.add_typer(_import_command(place)(), name=name)
    return app


def _import_command(place: str) -> Any:  # noqa: ANN401 -- a command has any parameters
    module, _, function = place.partition(":")
    return getattr(import_module(f"cutoutd.cli.{module}"), function)


def _show_version(asked: bool) -> None:  # noqa: FBT001 -- Typer's way of calling
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 -- 0.03 s that only this option needs

        print(f"cutoutd {version('cutoutd')}")
        raise typer.Exit


def _root(
    *,
    _: Annotated[
        bool,
        typer.Option(_VERSION, help="Show the version and exit.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Do nothing: the command itself has only options."""


def exit_code(error: CutoutdError) -> int:
    """Return the exit code for an error."""
    families = (
        (AlreadyRunningError, EXIT_RUNNING),
        (ModelError, EXIT_MODEL),
        (NotNeededError, NOT_NEEDED),
        (UsageError, EXIT_USAGE),
    )
    return next((code for family, code in families if isinstance(error, family)), EXIT_FAULT)


def main() -> None:
    """Run the command line and exit."""
    key = take_key(os.environ)  # first, so that no child process inherits it
    # Printing a file name that is not UTF-8 must not end a command.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed by the parent process
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        set_placeholders(typer.main.get_command(build(*sys.argv[1:2])))(prog_name="cutoutd", obj=key)
    except SystemExit as end:
        # Typer turns it into exit code 1, which means "some files failed" here.
        if end.code == 1 and isinstance(end.__context__, BrokenPipeError):
            close_quietly()
            sys.exit(0)
        raise
    except CutoutdError as error:
        _print_error(error)
        sys.exit(exit_code(error))
    except Exception as error:  # noqa: BLE001 -- the outermost handler: any other exception is an internal error
        if lacks_resources(error):
            print(f"cutoutd: {note_on(error)}: {describe(error)}", file=sys.stderr)
        elif isinstance(error, OSError) and error.errno in NOT_WRITTEN:
            _print_error(from_os_error(error, Path(os.fsdecode(error.filename)) if error.filename else None))
        else:
            traceback.print_exc()
            print("cutoutd: internal error; please report the lines above", file=sys.stderr)
        sys.exit(EXIT_FAULT)


def _print_error(error: CutoutdError) -> None:
    said = f"cutoutd: {printable(f'{error.title}: {error}', keep=chr(10))}"
    print(wrapped(said, sys.stderr), file=sys.stderr)


HELP_NAMES: Final = ["-h", "--help"]

VALUES: Final = {
    "background": "COLOUR|FILE",
    "by": "day|folder",
    "canvas": "WxH",
    "config": "FILE",
    "every": "SECONDS",
    "family": "u2net|isnet|birefnet",
    "folder": "NAME",
    "inputs": "NAME=NUMBER",
    "keep": "X,Y,...",
    "licence": "TEXT",
    "managers": "NAME",
    "mean": "R,G,B",
    "memory_mb": "MIB",
    "model": "NAME",
    "output": "DIR|FILE|-",
    "output_format": "FORMAT",
    "output_number": "NUMBER",
    "output_or_file": "DIR|FILE",
    "preset": "SHOP",
    "provider": "NAME",
    "quality": "1-100",
    "radius": "PIXELS",
    "reason": "TEXT",
    "remove": "X,Y,...",
    "run_as": "USER",
    "scale": "max|255",
    "second": "NAME",
    "size": "PIXELS",
    "sort": "time|name|score",
    "source": "TEXT",
    "state": "STATE",
    "suggestion": "1|2",
    "std": "R,G,B",
    "timeout": "SECONDS",
    "to": "FILE",
    "when": "TIME",
    "with_model": "NAME",
}


def value_of(name: str) -> str:
    """Return the placeholder of a parameter's value, by the name of the parameter."""
    if name.endswith("_dir"):
        return "DIR"
    return VALUES.get(name, name.upper())


_MARKUP: Final = re.compile(r"(?<!\\)\[(?=[a-z#/@])")


def set_placeholders(command: Any) -> Any:  # noqa: ANN401 -- Typer's own click, which has no public types
    """Set the placeholders of a command and all below it, a flag has none; in their help, brackets stand for themselves."""
    for one in _all(command):
        one.help = _bracket(one.help)
        # The help option is created on demand, and cached.
        helping = one.get_help_option(typer.Context(one, help_option_names=HELP_NAMES))
        for param in (*one.params, helping):
            if param.param_type_name == "argument":
                param.metavar, param.display_type_rich = value_of(param.name), _untyped
            else:
                param.metavar = "" if param.is_flag else value_of(param.name)
            param.help = _bracket(param.help)
    return command


def _bracket(text: str | None) -> str | None:
    """Mark what Rich would take for its own markup, and leave out, such as `[pool]`."""
    return text and _MARKUP.sub(r"\\[", text)


def _untyped(ctx: object) -> None:
    """Print no type: the name of an argument is enough."""


def _all(command: Any) -> Iterator[Any]:  # noqa: ANN401 -- as above
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from _all(below)
