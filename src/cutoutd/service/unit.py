"""What a service is made from: whose it is, what it starts, and which directories it works in.

Values, and the templates' place; it must not look at the machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME: Final = "cutoutd"
UPLOADER: Final = "cutoutd-hosted"
PAGE: Final = "cutoutd-page"
SERVE: Final = "cutoutd-serve"
MARK: Final = "Made by `cutoutd service install`"
"""Stands in whatever we make: a file without it is somebody else's, and is left alone."""

_PACKAGE = Path(__file__).resolve().parents[1]
# In an installed package the templates lie beside the code; in a checkout, where they are read.
_HOMES = (_PACKAGE / "units", _PACKAGE.parents[1])


class Scope(StrEnum):
    """Whose service it is."""

    USER = "user"  # of the user who installs it; needs no privileges
    SYSTEM = "system"  # of the machine; runs from boot on, as the folders' owner


@dataclass(frozen=True, kw_only=True, slots=True)
class UploaderUnit:
    """What the uploader's own service is made from, where a folder is tagged.

    Attributes:
        command: what is started, in full.
        sees: files and directories it must see: interpreter, configuration, key.
        hidden: the folders of pictures, which it must not see.
    """

    command: tuple[str, ...]
    sees: tuple[Path, ...]
    hidden: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnsweringUnit:
    """What the service of its own of what answers on the network is made from: the page, or the API.

    Attributes:
        command: what is started, in full.
        write: directories it must be able to write in: the journal's, and those of folders, or where some may be made.
        is_loopback: only this machine may come.
    """

    command: tuple[str, ...]
    write: tuple[Path, ...]
    is_loopback: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """All that decides what the service manager is told.

    Attributes:
        scope: whose it is.
        command: what is started, in full.
        owner: name of the user it runs as.
        home: that user's home directory.
        state_dir: holds the journal; is made beforehand.
        read: directories and files it must see: interpreter, configuration, folders.
        write: directories it must be able to write in, from which it is kept from nothing below.
        environment: variables that it needs to find the same places as the command line.
        chowns: a folder has `group`, so it gives files to groups.
        uploader: beside it, as a service of its own; None: no folder is tagged.
        page: likewise; None: it is switched off.
        serve: likewise, the API.
    """

    scope: Scope
    command: tuple[str, ...]
    owner: str
    home: Path
    state_dir: Path
    read: tuple[Path, ...]
    write: tuple[Path, ...]
    environment: Mapping[str, str]
    chowns: bool = False
    uploader: UploaderUnit | None = None
    page: AnsweringUnit | None = None
    serve: AnsweringUnit | None = None


_NAME: Final = re.compile("@([A-Z_]+)@")


def template(name: str) -> str:
    """The text of a template, such as ``systemd/cutoutd.service.in``.

    Raises:
        CutoutdError: the package is not whole.
    """
    for home in _HOMES:
        path = home / name
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise CutoutdError(
        "a part of the package is not there", path=_HOMES[0] / name, advice="Install it again."
    )


def fill(text: str, values: Mapping[str, str | Iterable[str]]) -> str:
    """Put values into a template's ``@NAME@``; a line that is nothing but one becomes as many as it has.

    Args:
        text: the template.
        values: texts, or lines; no line: the template's line goes.
    """
    lines: list[str] = []
    for line in text.splitlines():
        value = values.get(line.strip().strip("@")) if line.strip().startswith("@") else None
        if value is not None and not isinstance(value, str):
            lines += value
            continue
        # In one pass: what is put in may look like a name itself.
        lines.append(_NAME.sub(partial(_filled, values), line))
    return "\n".join(lines) + "\n"


def _filled(values: Mapping[str, str | Iterable[str]], found: re.Match[str]) -> str:
    value = values.get(found[1])
    return value if isinstance(value, str) else found[0]
