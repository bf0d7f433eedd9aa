"""How single values may be written in a configuration: paths, names, patterns, modes, and ``auto``.

Each type here turns what was written into the value that is used, or raises ValueError with what would be
right. It must not look at more than the one value.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ValidationInfo

from cutoutd.settings import address, places, presets
from cutoutd.settings.types import PictureFormat

AUTO: Final = "auto"
"""How a number says that it is chosen by the machine; it is None as a value."""

_MODE: Final = re.compile(r"0?[0-7]{3}")
_OWNER_BITS: Final = 0o600


def _place(written: object, info: ValidationInfo) -> object:
    """Paths of a file are relative to its directory, which the reader gives as the context."""
    return places.absolute(str(written), info.context) if isinstance(written, str | Path) else written


def _place_or_none(written: object, info: ValidationInfo) -> object:
    return None if written == "" or written is None else _place(written, info)


def _state_dir(written: object, info: ValidationInfo) -> object:
    return places.state_dir() if written == "" else _place(written, info)


def _number_or_auto(written: object) -> object:
    return None if written == AUTO else written


def _base_url(written: object) -> object:
    if isinstance(written, str) and written:
        address.parse(written)
    return written


def _name(written: object) -> object:
    if isinstance(written, str) and not (
        written and written == written.strip() and "/" not in written and written.isprintable()
    ):
        raise ValueError(
            f'{_shown(written)} is not possible; a name is printable text without "/" and without spaces at its ends'
        )
    return written


def _shown(written: str) -> str:
    return json.dumps(written, ensure_ascii=False)


def _suffix(written: object) -> object:
    if isinstance(written, str) and ("/" in written or not written.isprintable()):
        raise ValueError(f'{_shown(written)} is not possible; a suffix is printable text without "/"')
    return written


def _patterns(written: object) -> object:
    if written in ([], ()):
        raise ValueError('is empty, so no file would be taken; ["*"] takes all')
    return written


def _formats(written: object) -> object:
    if written in ([], ()):
        raise ValueError("is empty, so no picture could be read")
    if not isinstance(written, list | tuple) or not all(isinstance(one, str) for one in written):
        return written
    known = tuple(map(str, PictureFormat))
    for one in written:
        if one not in known:
            raise ValueError(f"{_shown(one)} is no format; there are {', '.join(known)}")
    return tuple(PictureFormat(one) for one in dict.fromkeys(written))


MAX_RENDITIONS: Final = 20
"""Of a folder: a sidecar is read back with up to 64 results, and a worker is told of all of them in one line."""

_OURS: Final = frozenset({"review", "failed", ".cutoutd-staging"})


def _directory(written: object) -> object:
    if written == "":
        return written
    parts = written.split("/") if isinstance(written, str) else []
    whole = all(part not in ("", ".", "..") and part.isprintable() for part in parts)
    if not parts or not whole or parts[0].casefold() in _OURS:
        raise ValueError(
            f'{json.dumps(written, ensure_ascii=False)} is not possible; it takes a folder inside the output, such as "web" or '
            f'"shop/white", but none of those that cutoutd itself makes there ({", ".join(sorted(_OURS))})'
        )
    return written


def _renditions(written: object) -> object:
    if written in ([], ()):
        raise ValueError("is empty, so nothing would be made; leave it out for one transparent PNG")
    if not isinstance(written, list | tuple) or not all(isinstance(one, dict | BaseModel) for one in written):
        raise ValueError(
            "is a list of tables; write [[folder.rendition]], with two pairs of brackets, on a line of its own"
        )
    each = [one for table in written for one in presets.expanded(table)]
    if len(each) > MAX_RENDITIONS:
        raise ValueError(f"has {len(each)} tables, and {MAX_RENDITIONS} are the most; use another folder")
    return each


def _pattern(written: object) -> object:
    if isinstance(written, str) and not written.strip("/"):
        raise ValueError(f'"{written}" names nothing; a pattern is a text such as "*.jpg" or "drafts/"')
    return written


def _mode(written: object) -> object:
    if isinstance(written, str) and written:
        if not _MODE.fullmatch(written):
            raise ValueError(f'"{written}" is not possible; it takes an octal number such as "0664"')
        if int(written, 8) & _OWNER_BITS != _OWNER_BITS:
            raise ValueError(
                f'"{written}" is not possible; the owner must be able to read and write ("06..")'
            )
    return written


def _command(written: object, info: ValidationInfo) -> object:
    """A program and its arguments; the program's path as any other, a bare name as it is, for PATH."""
    if isinstance(written, str):
        raise ValueError(  # noqa: TRY004 -- pydantic turns this kind into a message of ours
            f"{_shown(written)} is one text; a command is a list, its program and then its arguments, such as "
            '["notify-send", "cutoutd"]; there is no shell'
        )
    if not isinstance(written, list | tuple) or not all(isinstance(one, str) for one in written):
        return written
    if any("\0" in one for one in written) or (written and not written[0].strip()):
        raise ValueError("names no program; the first text of a command is its program")
    if written and "/" in written[0]:
        return (str(places.absolute(written[0], info.context)), *written[1:])
    return written


Place = Annotated[Path, BeforeValidator(_place)]
PlaceOrNone = Annotated[Path | None, BeforeValidator(_place_or_none)]
StateDir = Annotated[Path, BeforeValidator(_state_dir)]
NumberOrAuto = Annotated[float | None, BeforeValidator(_number_or_auto)]
BaseUrl = Annotated[str, BeforeValidator(_base_url)]
WholeOrAuto = Annotated[int | None, BeforeValidator(_number_or_auto)]
Name = Annotated[str, BeforeValidator(_name)]
Suffix = Annotated[str, BeforeValidator(_suffix)]
Directory = Annotated[str, BeforeValidator(_directory)]
Pattern = Annotated[str, BeforeValidator(_pattern)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_patterns)]
Formats = Annotated[tuple[PictureFormat, ...], BeforeValidator(_formats)]
Command = Annotated[tuple[str, ...], BeforeValidator(_command)]
Renditions = BeforeValidator(_renditions)  # of a tuple of tables, which the schema knows
ModeText = Annotated[str, BeforeValidator(_mode)]
