"""The page's methods about pictures to look at: size and tiles of a large one, small ones, and the parts of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.page.backend import shown_files
from cutoutd.page.backend.method import read
from cutoutd.page.backend.pictures import Pictures
from cutoutd.page.backend.shown_files import PictureView, ShownFile
from cutoutd.webserver.backend import parameters
from cutoutd.webserver.backend.method import RefusedError, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.page.backend.method import Backend, Endpoint
    from cutoutd.webserver.backend.method import Parameters


def shared(backend: Backend) -> Pictures:
    """Return the previews of a backend."""
    return backend.shared.get(Pictures, partial(Pictures, backend))


def _find_file(backend: Backend, params: Parameters) -> ShownFile:
    kind = parameters.text(params, "kind")
    if kind not in set(PictureView):
        raise RefusedError(
            400, "parameter", "The parameter kind must be source, cutout or matte.", name="kind"
        )
    return shown_files.find(backend, parameters.whole(params, "job"), PictureView(kind))


def _reply(shown: ShownFile, params: Parameters, found: tuple[bytes, bool]) -> Reply:
    body, is_exact = found
    is_named = shown.is_named(parameters.text(params, "v", ""))
    return Reply(body=body, media_type="image/webp", immutable=is_exact and is_named)


def prepare(backend: Backend, _params: Parameters) -> Reply:
    """Large pictures are about to be looked at."""
    if backend.settings is not None:
        shared(backend).prepare()
    return Reply(data={})


def look(backend: Backend, params: Parameters) -> Reply:
    """``job, kind``: size, tiles and version of a picture."""
    return Reply(data=shared(backend).look(_find_file(backend, params)))


def thumb(backend: Backend, params: Parameters) -> Reply:
    """``job, kind, v``: a small picture."""
    shown = _find_file(backend, params)
    return _reply(shown, params, shared(backend).small(shown))


def tile(backend: Backend, params: Parameters) -> Reply:
    """``job, kind, level, x, y, v``: a part of a picture."""
    shown = _find_file(backend, params)
    level, x, y = (parameters.whole(params, name) for name in ("level", "x", "y"))
    return _reply(shown, params, shared(backend).tile(shown, level, x, y))


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "look": read(look, "job", "kind", is_slow=True),
    "prepare": read(prepare),
    "thumb": read(thumb, "job", "kind", "v", is_slow=True),
    "tile": read(tile, "job", "kind", "level", "x", "y", "v", is_slow=True),
}
"""``/img/JOB/KIND/thumb?v=V`` is ``thumb``, ``/img/JOB/KIND/LEVEL/X/Y?v=V`` is ``tile``; all numbers but ``kind`` and ``v``."""
