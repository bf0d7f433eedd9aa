"""The page's own files, read into memory before this process loses the right to open any."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    """Return all files of the page, by their paths relative to its directory, such as ``js/main.js``."""
    return dict(_below(resources.files("cutoutd.page") / "static", ""))


def _below(directory: Traversable, path: str) -> Iterator[tuple[str, StaticFile]]:
    for entry in directory.iterdir():
        name = f"{path}{entry.name}"
        if entry.is_dir():
            yield from _below(entry, f"{name}/")
        elif media_type := _MEDIA_TYPES.get(f".{name.rpartition('.')[2]}"):
            body = entry.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            yield name, StaticFile(body=body, media_type=media_type, tag=tag)
