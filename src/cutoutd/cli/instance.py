"""Which configuration, and so which daemon, a command is about: the one that is named, that runs, or that was used last.

It says on a terminal which one that is, so that nobody commands another one than he thinks.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cutoutd.cli.printing import near, printable, short, wrapped
from cutoutd.cli.registry import Invocation, RegisteredDaemon, entries
from cutoutd.errors import UsageError
from cutoutd.settings import loader, places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutoutd.settings.schema import Settings

_TRIES: Final = 3
"""Attempts to answer which of several daemons is meant."""

_DIGITS: Final = 4
"""Of an answer: more daemons than that do not run."""


def find_settings(config: Path | None, input_dir: Path | None, output_dir: Path | None) -> Settings:
    """As `find`, without the invocation."""
    return find(config, input_dir, output_dir)[0]


def find(config: Path | None, input_dir: Path | None, output_dir: Path | None) -> tuple[Settings, Invocation]:
    """As `find_if_any`, for a command that is about one.

    Raises:
        UsageError: nothing is found, several run and nobody can be asked, or the options contradict each other.
        ConfigurationError: the configuration is wrong.
    """
    found = find_if_any(config, input_dir, output_dir)
    if found is None:
        raise loader.nothing_found()
    return found


def find_if_any(
    config: Path | None, input_dir: Path | None, output_dir: Path | None
) -> tuple[Settings, Invocation] | None:
    """The settings of the daemon that a command is about, and how that daemon was started; None if there is none.

    They are those that the options name; without options those of the usual configuration, else of the one daemon of this
    user that runs, else of what was started last.

    Raises:
        UsageError: several run and nobody can be asked, or the options contradict each other.
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
        hint = "" if is_up or not others else f" (not running; another one is: {words(others[0].origin)})"
        _say(f"{printable(near(os.fspath(file)))}{hint}")
        _warn_of_sharing(chosen.service.state_dir, origin)
        return chosen, origin
    if running:
        entry = running[0] if len(running) == 1 else _asked(running)
        _say(f"{_shown(entry.origin)} (running)")
        return _settings_of(entry), entry.origin
    last = next((one for one in known if _is_there(one)), None)
    if last is None:
        return None
    _say(f"{_shown(last.origin)} (used last; nothing is running)")
    return _settings_of(last), last.origin


def origin_of(config: Path | None, input_dir: Path | None, output_dir: Path | None) -> Invocation:
    """What a daemon is started with, by its options; all of them None stand for the usual configuration."""
    if input_dir is not None and output_dir is not None:
        cwd = Path.cwd()
        watched, results = (places.absolute(os.fspath(cwd / one), None) for one in (input_dir, output_dir))
        return Invocation(pair=(watched, results))
    file = loader.find(config, os.environ)
    return Invocation(config=None if file is None else Path.cwd() / file)


def words(origin: Invocation) -> str:
    """As options that name it, for a person to read and to copy."""
    if origin.pair is not None:
        watched, results = map(_word, origin.pair)
        return f"--input {watched} --output {results}"
    return "the usual configuration" if origin.config is None else f"--config {_word(origin.config)}"


def sharing(state_dir: Path, origin: Invocation) -> RegisteredDaemon | None:
    """Another invocation that uses, or last used, this state directory.

    Args:
        state_dir: of a configuration.
        origin: that configuration, or a pair of folders.

    Returns:
        None also where the other configuration is not there any more: then it has been renamed.
    """
    for one in entries(places.registry()):
        if one.state_dir == state_dir and not _is_same(one.origin, origin):
            gone = one.origin.config is not None and not os.path.exists(one.origin.config)  # noqa: PTH110 -- Path.exists raises where it may not look
            return None if gone else one
    return None


def told_apart(origin: Invocation) -> str:
    """Advice for a state directory that two configurations share."""
    where = "for one of them" if origin.config is None else f"in {printable(short(origin.config))}"
    return f"set state_dir in [service] {where} to a directory of its own"


def _warn_of_sharing(state_dir: Path, origin: Invocation) -> None:
    other = sharing(state_dir, origin)
    if other is not None and other.is_running:
        print(
            f"cutoutd: the cutoutd that is running was started with {words(other.origin)}, and has the same state "
            f"directory, {printable(short(state_dir))}: {told_apart(origin)}",
            file=sys.stderr,
        )


def _word(path: Path) -> str:
    """Quoted for a shell; a leading ``~`` stays unquoted, or it would not mean the home directory."""
    text = printable(short(path))
    return f"~/{shlex.quote(text[2:])}" if text.startswith("~/") else shlex.quote(text)


def _is_same(one: Invocation, other: Invocation) -> bool:
    if one.config is not None and other.config is not None:
        return os.path.realpath(one.config) == os.path.realpath(other.config)
    return one == other


def _is_there(entry: RegisteredDaemon) -> bool:
    config = entry.origin.config
    # Not by Path, whose own calls raise where this user may not look.
    return os.path.isdir(entry.state_dir) and (config is None or os.path.isfile(config))  # noqa: PTH112, PTH113 -- as said


def _settings_of(entry: RegisteredDaemon) -> Settings:
    """What a daemon was started with; its journal lies where it said, whatever our own environment says."""
    if entry.origin.pair is not None:
        chosen = loader.for_pair(*entry.origin.pair, os.environ)
    elif entry.origin.config is not None:
        chosen = loader.load(entry.origin.config, os.environ)
    else:
        raise loader.nothing_found()
    service = chosen.service.model_copy(update={"state_dir": entry.state_dir})
    return chosen.model_copy(update={"service": service})


def _asked(running: Sequence[RegisteredDaemon]) -> RegisteredDaemon:
    """Which of several is meant: asked on a terminal.

    Raises:
        UsageError: nobody can be asked, or no answer came.
    """
    listed = [words(one.origin) for one in running]
    refusal = UsageError(
        f"{len(running)} cutoutd are running",
        advice="\n  ".join(("Say which one you mean by its options:", *listed)),
    )
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise refusal
    print(f"cutoutd: {len(running)} cutoutd are running:", file=sys.stderr)
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


def _shown(origin: Invocation) -> str:
    """The shortest name by which a person recognises the daemon's folders or configuration."""
    if origin.pair is not None:
        return " -> ".join(printable(near(os.fspath(one))) for one in origin.pair)
    return "the usual configuration" if origin.config is None else printable(near(os.fspath(origin.config)))


def _say(which: str) -> None:
    """Print only on a terminal: the log of a script needs no such line."""
    if sys.stderr.isatty():
        print(wrapped(f"cutoutd: {which}", sys.stderr), file=sys.stderr)


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
        raise _nothing_found()
    return loader.load(found, os.environ)


def last_pair() -> Invocation | None:
    """The folders that were used last without a configuration; None if there were none."""
    return next((one.origin for one in entries(places.registry()) if one.origin.pair is not None), None)


def _nothing_found() -> UsageError:
    """The error that also names the folders that were used last, if there were any: they may be what is meant."""
    error = loader.nothing_found()
    if (last := last_pair()) is not None:
        error.advice = (
            f"If you mean the folders that were used last, add {words(last)}. "
            "Else `cutoutd run` opens a page on which folders are chosen."
        )
    return error
