"""Texts from outside, such as names of files, formatted for people."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Final, TextIO

from cutoutd.process.program import bundle

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


_NAME: Final = "cutoutd"


def printable(path: str, *, keep: str = "") -> str:
    """Return a path or another text for people: anything that is not UTF-8, and control characters, is escaped.

    Args:
        path: the text.
        keep: control characters that are not escaped.
    """
    try:
        text = os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that no file name has
        text = path.encode("utf-8", "backslashreplace").decode()
    return "".join(one if one.isprintable() or one in keep else repr(one)[1:-1] for one in text)


def path_fields(key: str, path: str) -> dict[str, str]:
    """Return a path for programs, as fields of a JSON document: the name, and the bytes as base64 if it is not UTF-8.

    Args:
        key: key of the path; ``_bytes`` is appended for the bytes.
        path: the path.
    """
    raw = os.fsencode(path)
    lossy = raw.decode("utf-8", "replace")
    if lossy == path:
        return {key: path}
    return {key: lossy, f"{key}_bytes": base64.b64encode(raw).decode("ascii")}


def paths_fields(key: str, paths: Iterable[str]) -> dict[str, list[str]]:
    """Return a list of paths for programs, as `path_fields` does; the bytes are those of all paths, if one is not UTF-8."""
    raw = [os.fsencode(path) for path in paths]
    fields = {key: [one.decode("utf-8", "replace") for one in raw]}
    if any("\ufffd" in one for one in fields[key]):
        fields[f"{key}_bytes"] = [base64.b64encode(one).decode("ascii") for one in raw]
    return fields


def say(text: str, *, indent: int | None = None, flush: bool = False) -> None:
    """Print a line that contains texts from outside, with control characters escaped.

    Args:
        text: one whole line.
        indent: indent at which the line is wrapped on a terminal; None: it is not wrapped.
        flush: whether to flush the output.
    """
    shown = printable(text)
    print(shown if indent is None else wrapped(shown, sys.stdout, indent=indent), flush=flush)


def short(path: str | Path) -> str:
    """Return a path with ``~`` for the home directory."""
    text, home = os.fspath(path), os.path.expanduser("~")  # noqa: PTH111 -- Path.home raises where there is none
    return f"~{text[len(home) :]}" if len(home) > 1 and text.startswith(f"{home}/") else text


def shortest(path: str) -> str:
    """Return the shortest form of an absolute path: relative to the current directory, or to home, or in full."""
    try:
        here = os.getcwd()  # noqa: PTH109 -- used as text only
    except OSError:  # the directory was removed
        here = ""
    if len(here) > 1 and path.startswith(f"{here}/"):
        return path[len(here) + 1 :]
    return short(path)


def with_tilde(text: str) -> str:
    """Replace the home directory by ``~`` in the paths of a text."""
    home = os.path.expanduser("~")  # noqa: PTH111 -- as above
    return re.sub(rf"(?<!\S){re.escape(home)}/", lambda _: "~/", text) if len(home) > 1 else text


def wrapped(text: str, stream: TextIO, *, indent: int = 2) -> str:
    """Wrap the lines of a text on a terminal, and return it unchanged elsewhere.

    On a terminal our own commands are also written as this shell finds them.

    Args:
        text: one line or several.
        stream: output of the text.
        indent: columns by which continuations are indented further than their line.
    """
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(_wrap(line, width, indent) for line in with_program_name(text).split("\n"))


def with_program_name(text: str) -> str:
    """Write our own commands in a text as this program was called."""
    program = own_command()
    return text if program == _NAME else re.sub(r"(?<=`)cutoutd(?= )", lambda _: program, text)


def own_command() -> str:
    """Return how to call this program, quoted for a shell: by its name if that is on the path, otherwise by its path."""
    if (whole := bundle()) is not None:
        return _quote(shortest(whole))
    ours = os.path.join(sys.prefix, "bin", _NAME)  # noqa: PTH118 -- text
    found = shutil.which(_NAME)
    if found is not None and os.path.realpath(found) == os.path.realpath(ours):
        return _NAME
    if os.access(ours, os.X_OK):
        return _quote(shortest(ours))
    return _NAME if found is not None else f"{_quote(shortest(sys.executable))} -m {_NAME}"


def _quote(path: str) -> str:
    """Quote a path for a shell; a leading ``~`` stays unquoted, since it would not be expanded otherwise."""
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)


def _wrap(line: str, width: int, indent: int) -> str:
    words = line.lstrip()
    lead = line[: len(line) - len(words)]
    filled = textwrap.wrap(
        words,
        width,
        initial_indent=lead,
        subsequent_indent=lead + " " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return "\n".join(_fit(one, width) for one in filled)


def _fit(line: str, width: int) -> str:
    """Reduce the indent of a line whose long words, such as a path, would not fit otherwise."""
    spare = len(line) - len(line.lstrip(" "))
    excess = len(line) - width
    return line[excess:] if 0 < excess <= spare else line
