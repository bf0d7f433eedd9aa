"""Writes the manual page from the commands themselves: ``python man/make.py`` after a command has changed.

A test compares what it would write with what is there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer.main

from cutoutd.cli.app import build, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).with_name("cutoutd.1")

_HEAD: Final = r""".\" Made by man/make.py from the commands themselves: change those, and make it anew.
.TH CUTOUTD 1 "" "cutoutd" "User Commands"
.SH NAME
cutoutd \- cuts the subject out of every picture that lands in a folder
.SH SYNOPSIS
.B cutoutd
.I command
.RI [ options ]
.SH DESCRIPTION
cutoutd watches folders and cuts the subject out of every picture that lands in them, on this machine. A transparent PNG
appears in the output folder, with a JSON file beside it that says how it was made.
.PP
.B cutoutd run \-\-input
.I DIR
.B \-\-output
.I DIR
needs nothing else. For a service, see
.BR "cutoutd service install" .
.PP
Commands about a running cutoutd are told which one by the same
.BR \-\-config ,
or
.BR \-\-input " and " \-\-output .
Without them they take the usual configuration file, else the cutoutd of this user that is running, else what was
used last, and say on a terminal which that is.
.SH COMMANDS
"""

_COMMON: Final = ("--config, -c", "--input", "--output")
"""Of nearly all commands, and told once."""

_TAIL: Final = r""".SH EXIT STATUS
.TP
.B 0
Done; for doctor: all is well.
.TP
.B 1
Done, but in this run some files failed or are left; for doctor: something is wrong.
.TP
.B 2
Wrong usage or configuration.
.TP
.B 3
Another cutoutd works on this state directory.
.TP
.B 4
The model is missing or altered.
.TP
.B 5
A disk or the journal refuses, or an internal error; the message says which.
.SH FILES
.TP
.I ~/.config/cutoutd/cutoutd.toml
The configuration; on a Mac in ~/Library/Application Support/cutoutd. For the whole machine: /etc/cutoutd/cutoutd.toml.
.TP
.I ~/.local/state/cutoutd
The journal: what was done, and what is to be done.
.TP
.I OUTPUT/review, OUTPUT/failed
Cutouts held back for review; the reasons of pictures that could not be cut.
.SH ENVIRONMENT
.TP
.B CUTOUTD_CONFIG
The configuration file, where \-\-config names none.
.TP
.BR CUTOUTD_TABLE__KEY ", such as " CUTOUTD_POOL__WORKERS
Goes before a key of [service], [pool] or [model].
.SH SEE ALSO
.BR systemctl (1),
.BR logrotate (8)
"""


def render() -> str:
    """The page."""
    root: Any = typer.main.get_command(build())
    body = "".join(_command(f"cutoutd {name}", command) for name, command in _leaves(root))
    return _HEAD + body + _TAIL


def _leaves(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 -- Typer's own click
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _command(name: str, command: Any) -> str:  # noqa: ANN401 -- as above
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    words = " ".join(f"[{one.name.upper()}]" if not one.required else one.name.upper() for one in arguments)
    lines = [f'.SS "{_text(f"{name} {words}".strip())}"', *_paragraphs(command.help or "")]
    for one in arguments:
        lines += [
            ".TP",
            f".I {_text(one.name.upper())}",
            _text(getattr(one, "help", None) or ""),
        ]
    for one in options:
        names = ", ".join((*one.opts, *one.secondary_opts))
        value = "" if one.is_flag else f" {value_of(one.name)}"
        if names in ("--help", "-h, --help") or (name != "cutoutd run" and names in _COMMON):
            continue
        lines += [".TP", f".B {_text(names)}{_text(value)}", _text(one.help or "")]
    return "\n".join(lines) + "\n"


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    """As roff takes it: backslashes and hyphens as they are, and no line that begins like a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
