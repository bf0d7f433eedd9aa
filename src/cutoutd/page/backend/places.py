"""The method by which the page chooses a folder: the content of a directory within ``[page] roots``.

A directory is listed by a separate process, so that a share that hangs blocks nothing. File names must not be shown.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.page.backend.method import read
from cutoutd.process import probe
from cutoutd.settings import places
from cutoutd.settings.schema import Settings
from cutoutd.webserver.backend import parameters
from cutoutd.webserver.backend.method import RefusedError, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cutoutd.page.backend.method import Backend, Endpoint
    from cutoutd.webserver.backend.method import Parameters

TIMEOUT_S: Final = 4.0

_LISTING: Final = "cutoutd.page.backend.directory_listing"
_MAX_PATH: Final = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A directory below a root.

    Attributes:
        root: one of ``[page] roots``, absolute.
        below: path relative to the root; empty for the root itself.
    """

    root: Path
    below: str

    @property
    def path(self) -> Path:
        """The absolute path."""
        return self.root / self.below

    @property
    def parent(self) -> str | None:
        """The path of the parent directory; None for a root."""
        return str(self.path.parent) if self.below else None


def roots_of(backend: Backend) -> tuple[Path, ...]:
    """Return the directories within which the page may choose."""
    return (backend.settings or Settings()).page.roots


def place_of(backend: Backend, text: str) -> Place:
    """Return the place of an untrusted path; the disk is not accessed, and no link followed.

    Args:
        backend: has the roots.
        text: absolute, or from ``~``; empty: the first root.

    Raises:
        RefusedError: the path is outside of the roots, or hidden.
    """
    roots = roots_of(backend)
    if not roots:
        raise RefusedError(404, "no_roots", "[page] roots names no folder, so none can be chosen here.")
    if not text:
        return Place(root=roots[0], below="")
    try:
        text.encode()
        path = places.absolute(text, None)
    except ValueError as error:  # also a text that UTF-8 cannot have
        raise _not_found(text) from error
    if len(os.fsencode(path)) >= _MAX_PATH:
        raise _not_found(text)
    for root in sorted(roots, key=lambda one: len(one.parts), reverse=True):
        if path.is_relative_to(root):
            below = path.relative_to(root)
            if any(part.startswith(".") for part in below.parts):
                raise _outside(text)
            return Place(root=root, below="" if path == root else below.as_posix())
    raise _outside(text)


def inspect(place: Place, *, make: bool = False, seen: str = "") -> dict[str, Any]:
    """List a place.

    Args:
        place: that is meant.
        make: make it, if it is not there.
        seen: ``identity`` of the place as a person saw it, or of the one in which it is to be made; empty: whichever is there.

    Returns:
        ``readable``, ``writable``, ``identity``, ``folders`` (names), ``pictures``, ``pictures_more``; what is not known in time is absent.

    Raises:
        RefusedError: the directory does not exist, or does not respond.
    """
    arguments = ("make" if make else "list", str(place.root), place.below, seen)
    answer = probe.run(_LISTING, arguments, timeout_s=TIMEOUT_S)
    said = answer.merged
    if "unmounted" in said:
        text = "{path} lies on {point}, which is not mounted now. Mount it, then try again."
        named = {"path": str(place.path), "point": said["unmounted"]}
        raise RefusedError(503, "place_unmounted", text.format(**named), **named)
    if seen and (said.get("missing") or said.get("other")):
        raise _gone(place, make=make)
    if said.get("missing"):
        raise _not_found(str(place.path))
    if "why" in said:
        if make:
            text = "The folder {path} cannot be made ({why}). Choose another one."
            named = {"path": str(place.path), "why": said["why"]}
            raise RefusedError(422, "place_not_made", text.format(**named), **named)
        return {"readable": False, "writable": False}
    if "readable" not in said:
        text = f"{place.path} gives no answer. If it is a share, see that it is connected; others work meanwhile."
        raise RefusedError(503, "place_hangs", text, path=str(place.path))
    return said


def _places(backend: Backend, params: Parameters) -> Reply:
    place = place_of(backend, parameters.text(params, "path", "", longest=_MAX_PATH))
    found = inspect(place)
    folders = found.get("folders", [])
    return Reply(
        data={
            "path": str(place.path),
            "parent": place.parent,
            "roots": [str(root) for root in roots_of(backend)],
            "readable": found["readable"],
            "writable": found["writable"],
            "identity": found.get("identity", ""),
            "pictures": found.get("pictures", 0),
            "pictures_more": found.get("pictures_more", True),
            "folders": [{"name": name, "path": str(place.path / name)} for name in folders],
            "folders_more": found.get("more", False),
            "unnamed": found.get("unnamed", 0),
        }
    )


def _gone(place: Place, *, make: bool) -> RefusedError:
    path = str(place.parent if make else place.path)
    text = (
        f"{path} is not the folder any more that you chose: it was moved or deleted, or its disk or share is not connected. "
        "Connect it and try again, or go back and choose another one. Nothing was made."
    )
    return RefusedError(409, "place_gone", text, path=path)


def _not_found(text: str) -> RefusedError:
    return RefusedError(404, "no_place", f"There is no folder {text}.", path=text)


def _outside(text: str) -> RefusedError:
    words = f"{text} is not among the folders that the page may see. [page] roots in the configuration names them."
    return RefusedError(403, "place_outside", words, path=text)


ENDPOINTS: Final[Mapping[str, Endpoint]] = {"places": read(_places, "path", is_slow=True)}
