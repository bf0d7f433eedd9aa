"""Texts from outside, such as names of files, as they are shown to people."""

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
    """A path for people: what is not UTF-8 or would break the line is escaped.

    Args:
        path: it, or another text from outside.
        keep: control characters that are left as they are.
    """
    try:
        text = os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character that no file name has
        text = path.encode("utf-8", "backslashreplace").decode()
    return "".join(one if one.isprintable() or one in keep else repr(one)[1:-1] for one in text)


def path_fields(key: str, path: str) -> dict[str, str]:
    """A path for programs, as fields of a JSON document: its true name, and where that is not UTF-8, base64 of its bytes too.

    Args:
        key: of the path; ``_bytes`` is added for the bytes.
        path: it.
    """
    raw = os.fsencode(path)
    lossy = raw.decode("utf-8", "replace")
    if lossy == path:
        return {key: path}
    return {key: lossy, f"{key}_bytes": base64.b64encode(raw).decode("ascii")}


def paths_fields(key: str, paths: Iterable[str]) -> dict[str, list[str]]:
    """Likewise for a list of paths; the bytes are of all of them, where one is not UTF-8."""
    raw = [os.fsencode(path) for path in paths]
    fields = {key: [one.decode("utf-8", "replace") for one in raw]}
    if any("\ufffd" in one for one in fields[key]):
        fields[f"{key}_bytes"] = [base64.b64encode(one).decode("ascii") for one in raw]
    return fields


def say(text: str, *, indent: int | None = None, flush: bool = False) -> None:
    """Print a line that has texts from outside in it: nothing of them reaches the terminal but as letters.

    Args:
        text: one line, whole.
        indent: on a terminal it is broken at words, with this indent; None: it is left in one line.
        flush: it is to be seen at once.
    """
    shown = printable(text)
    print(shown if indent is None else wrapped(shown, sys.stdout, indent=indent), flush=flush)


def short(path: str | Path) -> str:
    """A path as a person writes it: ``~`` for the home directory."""
    text, home = os.fspath(path), os.path.expanduser("~")  # noqa: PTH111 -- Path.home raises where there is none
    return f"~{text[len(home) :]}" if len(home) > 1 and text.startswith(f"{home}/") else text


def near(path: str) -> str:
    """An absolute path as a person in the current directory writes it: from there, or from home, or whole."""
    try:
        here = os.getcwd()  # noqa: PTH109 -- a text, and nothing else is asked of it
    except OSError:  # it is gone
        here = ""
    if len(here) > 1 and path.startswith(f"{here}/"):
        return path[len(here) + 1 :]
    return short(path)


def homely(text: str) -> str:
    """A text with ``~`` for the home directory in the paths that it names."""
    home = os.path.expanduser("~")  # noqa: PTH111 -- as above
    return re.sub(rf"(?<!\S){re.escape(home)}/", lambda _: "~/", text) if len(home) > 1 else text


def wrapped(text: str, stream: TextIO, *, indent: int = 2) -> str:
    """A text with its lines broken at words, where a person reads it on a terminal; as it is everywhere else.

    There, commands of ours are named as this shell finds them.

    Args:
        text: one line or several.
        stream: where it goes.
        indent: columns that what follows the break is set in, more than its line.
    """
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(_wrapped(line, width, indent) for line in as_called(text).split("\n"))


def as_called(text: str) -> str:
    """A text whose commands of ours begin as this program is called from here."""
    program = own_command()
    return text if program == _NAME else re.sub(r"(?<=`)cutoutd(?= )", lambda _: program, text)


def own_command() -> str:
    """How this program is called from here, quoted for a shell: by its name where that is on the path, else by its place."""
    if (whole := bundle()) is not None:
        return _word(near(whole))
    ours = os.path.join(sys.prefix, "bin", _NAME)  # noqa: PTH118 -- text
    found = shutil.which(_NAME)
    if found is not None and os.path.realpath(found) == os.path.realpath(ours):
        return _NAME
    if os.access(ours, os.X_OK):
        return _word(near(ours))
    return _NAME if found is not None else f"{_word(near(sys.executable))} -m {_NAME}"


def _word(path: str) -> str:
    """Quoted for a shell; a leading ``~`` stays unquoted, or it would not mean the home directory."""
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)


def _wrapped(line: str, width: int, indent: int) -> str:
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
    return "\n".join(_fitted(one, width) for one in filled)


def _fitted(line: str, width: int) -> str:
    """A line, set in less where a word in it, such as a path, would else be broken by the terminal."""
    spare = len(line) - len(line.lstrip(" "))
    excess = len(line) - width
    return line[excess:] if 0 < excess <= spare else line
