"""Decodes pictures, and makes tiles and small versions of them, in a sandboxed process.

It is started as ``python -P -m cutoutd.previews.picture_worker`` by `cutoutd.pool.request_worker.RequestWorker`, which documents
the set-up. It keeps recent pictures within a memory limit. It must not open or write files.

========= ==================================== =================================================================
``do``    further fields; file                 answer
========= ==================================== =================================================================
thumb     matte, side; file                    width, height, and the body: a small WebP; with ``coarse``, followed by
                                               the tiles of all levels of at most so many pixels, listed in ``tiles``
open      key, upright; file                   width, height; the picture is kept
tile      key, matte, level, x, y              the body: a WebP; ``missing`` if the picture is not kept (any more),
                                               ``none`` if it has no such tile
has       key                                  ``missing`` likewise
========= ==================================== =================================================================

With ``preview``, the file of ``thumb`` and ``open`` is a `cutoutd.exchange.cutout_previews.CutoutPreview`, which has its coarse
levels alone. If a request fails, the answer has the reason as ``why``, in words.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from cutoutd import tiling
from cutoutd.errors import CutoutdError
from cutoutd.pool import request_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cutoutd.pool.request_worker import Requests
    from cutoutd.previews.shown_picture import ShownPicture

NO_MATTE: Final = "it has no transparency"

_Answer = tuple[dict[str, object], bytes]


def main() -> None:
    """Run until the channel ends."""
    request_worker.serve(_work)


def _work(setup: Mapping[str, Any], requests: Requests) -> Callable[[], None]:
    # Not at the top: a missing library, or one too large for the memory, must not end in a traceback.
    import cv2  # noqa: PLC0415

    from cutoutd.previews import shown_picture  # noqa: PLC0415

    cv2.setNumThreads(1)  # a thread of OpenCV's would escape the sandbox

    def opened(data: bytes, *, is_preview: bool) -> ShownPicture:
        if is_preview:
            return shown_picture.ShownPreview(data, max_pixels=int(setup["max_pixels"]))
        return shown_picture.ShownPicture(data, max_pixels=int(setup["max_pixels"]), allowed=setup["formats"])

    room = _Room(opened, int(setup["max_file_bytes"]), int(setup.get("kept_bytes", 0)))

    return lambda: request_worker.answer_all(requests, room.answer, room.decode_last)


class _Room:
    """A cache of recent pictures.

    Args:
        opened: makes a picture from the bytes of a file.
        max_file_bytes: limit of a file.
        kept_bytes: limit of the cached pictures; the last one is kept, however large.
    """

    def __init__(self, opened: Callable[..., ShownPicture], max_file_bytes: int, kept_bytes: int) -> None:
        self._opened = opened
        self._max_file_bytes = max_file_bytes
        self._kept_bytes = kept_bytes
        self._kept: OrderedDict[str, ShownPicture] = OrderedDict()

    def answer(self, asked: Mapping[str, Any], descriptors: list[int]) -> _Answer:
        """Answer one request. An exception is the reason why it cannot be answered."""
        if asked["do"] == "has":
            return {"missing": str(asked["key"]) not in self._kept}, b""
        if asked["do"] == "tile":
            return self._tile(asked)
        content = request_worker.content(descriptors[0], self._max_file_bytes)
        picture = self._opened(content, is_preview=bool(asked.get("preview")))
        return self._thumb(picture, asked) if asked["do"] == "thumb" else self._open(picture, asked)

    def decode_last(self) -> None:
        """Decode the last picture while no request waits. Errors are reported when a tile is requested."""
        if self._kept:
            with suppress(CutoutdError, MemoryError):
                next(reversed(self._kept.values())).decode()
                self._bound()

    def _thumb(self, picture: ShownPicture, asked: Mapping[str, Any]) -> _Answer:
        matte = bool(asked["matte"])
        small = picture.small(int(asked["side"]), matte=matte)
        if small is None:
            return {"why": NO_MATTE}, b""
        size, parts, tiles = picture.size, [small], []
        if coarse := int(asked.get("coarse", 0)):
            for level in range(tiling.first_level_within(size, coarse), tiling.level_count(size)):
                columns, rows = tiling.tile_counts(size, level)
                for x, y in ((x, y) for y in range(rows) for x in range(columns)):
                    tile = picture.tile(level, x, y, matte=matte)
                    assert tile is not None  # noqa: S101 -- there was a small one
                    parts.append(tile)
                    tiles.append((level, x, y))
        said = {"width": size[0], "height": size[1], "sizes": list(map(len, parts)), "tiles": tiles}
        return said, b"".join(parts)

    def _open(self, picture: ShownPicture, asked: Mapping[str, Any]) -> _Answer:
        self._kept[str(asked["key"])] = picture
        self._kept.move_to_end(str(asked["key"]))
        width, height = picture.stored_size if asked["upright"] else picture.size
        self._bound()
        return {"width": width, "height": height}, b""

    def _tile(self, asked: Mapping[str, Any]) -> _Answer:
        picture = self._kept.get(str(asked["key"]))
        if picture is None:
            return {"missing": True}, b""
        self._kept.move_to_end(str(asked["key"]))
        level, x, y = (int(asked[name]) for name in ("level", "x", "y"))
        if not tiling.has_tile(picture.size, level, x, y):
            return {"none": True}, b""
        tile = picture.tile(level, x, y, matte=bool(asked["matte"]))
        self._bound()
        return ({"why": NO_MATTE}, b"") if tile is None else ({}, tile)

    def _bound(self) -> None:
        """Drop the pictures that were not used for longest."""
        while len(self._kept) > 1 and sum(one.memory_bytes for one in self._kept.values()) > self._kept_bytes:
            self._kept.popitem(last=False)


if __name__ == "__main__":
    main()
