"""The page's own files, read into memory before this process loses the right to open any."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from cutoutd.page.web.joined_script import joined

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
SCRIPT: Final = "js/main.js"
"""Each imports all others of its kind."""

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

    The style sheets are one, and so are the scripts: each file of its own would cost the browser a request.
    """
    found = dict(_below(resources.files("cutoutd.page") / "static", ""))
    one = {STYLE_SHEET: _style_sheet(found), SCRIPT: _script(found)}
    others = {name: file for name, file in found.items() if not name.endswith((".css", ".js"))}
    return others | {name: _file(name, body) for name, body in one.items()}


def _style_sheet(files: Mapping[str, StaticFile]) -> bytes:
    folder = STYLE_SHEET.rpartition("/")[0]
    return _IMPORT.sub(lambda found: files[f"{folder}/{found[1].decode()}"].body, files[STYLE_SHEET].body)


def _script(files: Mapping[str, StaticFile]) -> bytes:
    folder, _, first = SCRIPT.rpartition("/")
    sources = {
        name.removeprefix(f"{folder}/"): file.body.decode()
        for name, file in files.items()
        if name.endswith(".js")
    }
    return joined(sources, first).encode()


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
