"""Finds the configuration, and so the daemon, of a command: the named one, the running one, or the one used last.

On a terminal it prints which one that is, to avoid mistakes.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cutoutd.cli.printing import printable, short, shortest, wrapped
from cutoutd.cli.registry import Invocation, RegisteredDaemon, entries
from cutoutd.errors import UsageError
from cutoutd.page import announcement
from cutoutd.settings import loader, places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutoutd.settings.schema import Settings

_TRIES: Final = 3
"""Attempts to answer which of several daemons is meant."""

_DIGITS: Final = 4
"""Longest answer: there are never more daemons."""


def find_settings(config: Path | None, input_dir: Path | None, output_dir: Path | None) -> Settings:
    """Find the settings as `find` does, without the invocation."""
    return find(config, input_dir, output_dir)[0]


def find(config: Path | None, input_dir: Path | None, output_dir: Path | None) -> tuple[Settings, Invocation]:
    """Find settings and invocation as `find_if_any` does, for a command that needs them.

    Raises:
        UsageError: none was found, several daemons run and there is no terminal, or the options contradict each other.
        ConfigurationError: the configuration is wrong.
    """
    found = find_if_any(config, input_dir, output_dir)
    if found is None:
        raise loader.nothing_found()
    return found


def find_if_any(
    config: Path | None, input_dir: Path | None, output_dir: Path | None
) -> tuple[Settings, Invocation] | None:
    """Return the settings of the daemon of a command, and how that daemon was started; None if there is none.

    The options decide; without options the usual configuration, then the only running daemon of this user, then the one that
    was started last.

    Raises:
        UsageError: several daemons run and there is no terminal, or the options contradict each other.
        ConfigurationError: the configuration is wrong.
    """
    if config is not None or input_dir is not None or output_dir is not None:
        chosen, origin = settings(config, input_dir, output_dir), origin_of(config, input_dir, output_dir)
        _warn_of_sharing(chosen.service.state_dir, origin)
        return chosen, origin
    known = entries(places.registry())
    running = [one for one in known if one.is_running]
    file = loader.find(None, os.environ)
    if file is not None:
        chosen, origin = loader.load(file, os.environ), Invocation(config=file)
        others = [one for one in running if one.state_dir != chosen.service.state_dir]
        is_up = len(others) < len(running)
        hint = (
            "" if is_up or not others else f" (not running; another one is: {as_options(others[0].origin)})"
        )
        _say(f"{printable(shortest(os.fspath(file)))}{hint}")
        _warn_of_sharing(chosen.service.state_dir, origin)
        return chosen, origin
    if running:
        entry = running[0] if len(running) == 1 else _choose_daemon(running)
        _say(f"{_label(entry.origin)} (running)")
        return _settings_of(entry), entry.origin
    last = next((one for one in known if _is_there(one)), None)
    if last is None:
        return None
    _say(f"{_label(last.origin)} (used last; nothing is running)")
    return _settings_of(last), last.origin


def origin_of(config: Path | None, input_dir: Path | None, output_dir: Path | None) -> Invocation:
    """Return the invocation of a daemon with these options; without any, that of the usual configuration."""
    if input_dir is not None and output_dir is not None:
        cwd = Path.cwd()
        watched, results = (places.absolute(os.fspath(cwd / one), None) for one in (input_dir, output_dir))
        return Invocation(pair=(watched, results))
    file = loader.find(config, os.environ)
    return Invocation(config=None if file is None else Path.cwd() / file)


def as_options(origin: Invocation) -> str:
    """Return an invocation as options, for a person to read and copy."""
    if origin.pair is not None:
        watched, results = map(_quote, origin.pair)
        return f"--input {watched} --output {results}"
    return "the usual configuration" if origin.config is None else f"--config {_quote(origin.config)}"


def sharing(state_dir: Path, origin: Invocation) -> RegisteredDaemon | None:
    """Return another invocation that uses, or last used, this state directory.

    Args:
        state_dir: state directory of a configuration.
        origin: that configuration, or a pair of folders.

    Returns:
        The other one; None also if its configuration does not exist any more, since it was then renamed.
    """
    for one in entries(places.registry()):
        if one.state_dir == state_dir and not _is_same(one.origin, origin):
            gone = one.origin.config is not None and not os.path.exists(one.origin.config)  # noqa: PTH110 -- Path.exists raises where access is refused
            return None if gone else one
    return None


def separation_advice(origin: Invocation) -> str:
    """Return advice for a state directory that two configurations share."""
    where = "for one of them" if origin.config is None else f"in {printable(short(origin.config))}"
    return f"set state_dir in [service] {where} to a directory of its own"


def _warn_of_sharing(state_dir: Path, origin: Invocation) -> None:
    other = sharing(state_dir, origin)
    if other is not None and other.is_running:
        print(
            f"cutoutd: the cutoutd that is running was started with {as_options(other.origin)}, and has the same state "
            f"directory, {printable(short(state_dir))}: {separation_advice(origin)}",
            file=sys.stderr,
        )


def _quote(path: Path) -> str:
    """Quote a path for a shell; a leading ``~`` stays unquoted, since it would not be expanded otherwise."""
    text = printable(short(path))
    return f"~/{shlex.quote(text[2:])}" if text.startswith("~/") else shlex.quote(text)


def _is_same(one: Invocation, other: Invocation) -> bool:
    if one.config is not None and other.config is not None:
        return os.path.realpath(one.config) == os.path.realpath(other.config)
    return one == other


def _is_there(entry: RegisteredDaemon) -> bool:
    config = entry.origin.config
    # Not with Path, whose methods raise where access is refused.
    return os.path.isdir(entry.state_dir) and (config is None or os.path.isfile(config))  # noqa: PTH112, PTH113 -- see above


def _settings_of(entry: RegisteredDaemon) -> Settings:
    """Return the settings of a daemon. Its registered state directory counts, whatever our own environment says."""
    if entry.origin.pair is not None:
        chosen = loader.for_pair(*entry.origin.pair, os.environ)
    elif entry.origin.config is not None:
        chosen = loader.load(entry.origin.config, os.environ)
    else:
        raise loader.nothing_found()
    service = chosen.service.model_copy(update={"state_dir": entry.state_dir})
    return chosen.model_copy(update={"service": service})


def _choose_daemon(running: Sequence[RegisteredDaemon]) -> RegisteredDaemon:
    """Ask on the terminal which of several daemons is meant.

    Raises:
        UsageError: there is no terminal, or no valid answer.
    """
    listed = [as_options(one.origin) for one in running]
    refusal = UsageError(
        f"{len(running)} daemons of cutoutd are running",
        advice="\n  ".join(("Say which one you mean by its options:", *listed)),
    )
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise refusal
    print(f"cutoutd: {len(running)} daemons are running:", file=sys.stderr)
    for number, line in enumerate(listed, 1):
        print(f"  {number}  {line}", file=sys.stderr)
    for _ in range(_TRIES):
        print(f"Which one do you mean? [1-{len(running)}] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline().strip()
        if (
            answer.isascii()
            and answer.isdigit()
            and len(answer) <= _DIGITS
            and 1 <= int(answer) <= len(running)
        ):
            return running[int(answer) - 1]
        if not answer:
            break
    raise refusal


def _label(origin: Invocation) -> str:
    """Return the shortest text by which a person recognises the folders or the configuration of a daemon."""
    if origin.pair is not None:
        return " -> ".join(printable(shortest(os.fspath(one))) for one in origin.pair)
    return (
        "the usual configuration" if origin.config is None else printable(shortest(os.fspath(origin.config)))
    )


def _say(which: str) -> None:
    """Print on a terminal only: the log of a script does not need the line."""
    if sys.stderr.isatty():
        print(wrapped(f"cutoutd: {which}", sys.stderr), file=sys.stderr)


def given_path(text: str) -> Path:
    """Return a path from the command line. An empty one would mean the current directory, which its writer did not.

    Raises:
        UsageError: it is empty.
    """
    if not text:
        raise UsageError(
            "an empty name was given",
            advice="Name a file or a folder (. is the current one); perhaps a variable of the shell is not set.",
        )
    return Path(text)


def named_path(text: str) -> Path:
    """Return a path from the command line: shells do not expand the ``~`` in ``--input=~/to-cut``.

    Raises:
        UsageError: it is empty, or begins with an unknown home directory.
    """
    path = os.path.expanduser(text)  # noqa: PTH111 -- Path.expanduser raises an error of its own kind
    if path.startswith("~"):
        raise UsageError(f"{text} names no home directory that is known", advice="Write the path in full.")
    return given_path(path)


ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration file.")]
# With our own parser: Typer's accesses the path, and would hang with a share.
InputOption = Annotated[
    Path | None,
    typer.Option("--input", parser=named_path, help="A folder to watch, without a configuration file."),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", parser=named_path, help="Where its cutouts go.")
]


def settings(config: Path | None, input_dir: Path | None, output_dir: Path | None) -> Settings:
    """Return the settings that the options name.

    Raises:
        UsageError: there is neither a configuration nor a pair of folders, or both.
        ConfigurationError: the configuration is wrong.
    """
    if (input_dir is None) != (output_dir is None):
        raise UsageError("--input and --output go together", advice="Give both, or neither.")
    if input_dir is not None and output_dir is not None:
        if config is not None:
            raise UsageError("--config and --input cannot be used together", advice="Give one of them.")
        return loader.for_pair(Path.cwd() / input_dir, Path.cwd() / output_dir, os.environ)
    found = loader.find(config, os.environ)
    if found is None:
        raise _nothing_found()
    return loader.load(found, os.environ)


def last_pair() -> Invocation | None:
    """Return the pair of folders that was used last without a configuration; None if there was none."""
    return next((one.origin for one in entries(places.registry()) if one.origin.pair is not None), None)


def first_run_page() -> tuple[Path, str] | None:
    """Return state directory and address of the page on which the first folders are chosen; None if it is not served.

    Raises:
        OSError: the state directory cannot be read.
    """
    if loader.find(None, os.environ) is not None:
        return None
    state_dir = loader.defaults(os.environ).service.state_dir
    address = announcement.running(state_dir)
    return None if address is None else (state_dir, address)


def _nothing_found() -> UsageError:
    """Return the error, with a hint at the folders that were used last, if there are any."""
    error = loader.nothing_found()
    if (last := last_pair()) is not None:
        error.advice = (
            f"If you mean the folders that were used last, add {as_options(last)}. "
            "Else `cutoutd run` opens a page on which folders are chosen."
        )
    return error
