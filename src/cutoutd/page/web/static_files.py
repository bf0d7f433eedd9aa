"""The page's own files, read into memory before this process loses the right to open any."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
"""Others are not served."""

STYLE_SHEET: Final = "css/page.css"
"""It imports all others."""

_IMPORT: Final = re.compile(rb'@import "([^"]+)";\n')


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticFile:
    """A static file.

    Attributes:
        body: its bytes.
        media_type: by its name.
        tag: for ``If-None-Match``.
    """

    body: bytes
    media_type: str
    tag: str


def read_all() -> dict[str, StaticFile]:
    """Return all files of the page, by their paths relative to its directory, such as ``js/main.js``.

    The style sheets are one: nothing is drawn before all of them are there, and each import would cost a round trip.
    """
    found = dict(_below(resources.files("cutoutd.page") / "static", ""))
    others = {name for name in found if name.endswith(".css")} - {STYLE_SHEET}
    joined = _file(STYLE_SHEET, _joined(found))
    return {name: one for name, one in found.items() if name not in others} | {STYLE_SHEET: joined}


def _joined(files: Mapping[str, StaticFile]) -> bytes:
    folder = STYLE_SHEET.rpartition("/")[0]
    return _IMPORT.sub(lambda found: files[f"{folder}/{found[1].decode()}"].body, files[STYLE_SHEET].body)


def _below(directory: Traversable, path: str) -> Iterator[tuple[str, StaticFile]]:
    for entry in directory.iterdir():
        name = f"{path}{entry.name}"
        if entry.is_dir():
            yield from _below(entry, f"{name}/")
        elif _suffix(name) in _MEDIA_TYPES:
            yield name, _file(name, entry.read_bytes())


def _file(name: str, body: bytes) -> StaticFile:
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    return StaticFile(body=body, media_type=_MEDIA_TYPES[_suffix(name)], tag=tag)


def _suffix(name: str) -> str:
    return f".{name.rpartition('.')[2]}"
