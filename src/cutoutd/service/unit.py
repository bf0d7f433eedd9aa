"""What a service is made from: its user, its command, and the directories that it uses.

Values, and access to the templates; it must not examine the machine.
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
GATEWAY: Final = "cutoutd-cluster"
PAGE: Final = "cutoutd-page"
SERVE: Final = "cutoutd-serve"
MARK: Final = "Made by `cutoutd service install`"
"""Part of each file that we make: a file without it is not ours, and is left alone."""

_PACKAGE = Path(__file__).resolve().parents[1]
# In an installed package the templates are beside the code; in a checkout, in the top directory.
_HOMES = (_PACKAGE / "units", _PACKAGE.parents[1])


class Scope(StrEnum):
    """Scope of a service."""

    USER = "user"  # of the user who installs it; needs no privileges
    SYSTEM = "system"  # of the machine; runs from boot on, as the folders' owner


@dataclass(frozen=True, kw_only=True, slots=True)
class UploaderUnit:
    """The service of a process that calls out: the uploader, or the gateway to a cluster.

    Attributes:
        name: of the service.
        does: what it does, for the service manager.
        exchange: name of its exchange directory, which is all it sees of the state directory.
        command: what is started, in full.
        sees: files and directories it must see: interpreter, configuration, key.
        hidden: the folders of pictures, which it must not see.
    """

    name: str
    does: str
    exchange: str
    command: tuple[str, ...]
    sees: tuple[Path, ...]
    hidden: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerUnit:
    """The separate service of a part that answers on the network: the page or the API.

    Attributes:
        command: full command.
        write: directories that it must be able to write in: that of the journal, those of folders, or where some may be made.
        is_loopback: whether only this machine may connect.
    """

    command: tuple[str, ...]
    write: tuple[Path, ...]
    is_loopback: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """Everything that the unit file depends on.

    Attributes:
        scope: scope of the service.
        command: full command.
        owner: name of the user that it runs as.
        home: home directory of that user.
        state_dir: directory of the journal; it is made beforehand.
        read: directories and files that it must see: interpreter, configuration, folders.
        write: directories that it must be able to write in, with everything below them.
        environment: variables that it needs to find the same places as the command line.
        chowns: whether a folder has `group`, so that files change their group.
        uploader: the separate service of the uploader; None: no folder is tagged.
        gateway: that of the gateway; None: no folder is tagged for a cluster.
        page: that of the page; None: it is disabled.
        serve: that of the API; None: it is disabled.
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
    gateway: UploaderUnit | None = None
    page: ServerUnit | None = None
    serve: ServerUnit | None = None


_NAME: Final = re.compile("@([A-Z_]+)@")


def template(name: str) -> str:
    """Return the text of a template, such as ``systemd/cutoutd.service.in``.

    Raises:
        CutoutdError: the template is missing.
    """
    for home in _HOMES:
        path = home / name
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise CutoutdError(
        "a part of the package is not there", path=_HOMES[0] / name, advice="Install it again."
    )


def fill(text: str, values: Mapping[str, str | Iterable[str]]) -> str:
    """Replace ``@NAME@`` in a template by values. A line that consists of one name may become several lines.

    Args:
        text: the template.
        values: texts, or lines; without any line, the line of the template is dropped.
    """
    lines: list[str] = []
    for line in text.splitlines():
        value = values.get(line.strip().strip("@")) if line.strip().startswith("@") else None
        if value is not None and not isinstance(value, str):
            lines += value
            continue
        # In one pass: a value may itself look like a name.
        lines.append(_NAME.sub(partial(_fill, values), line))
    return "\n".join(lines) + "\n"


def _fill(values: Mapping[str, str | Iterable[str]], found: re.Match[str]) -> str:
    value = values.get(found[1])
    return value if isinstance(value, str) else found[0]
