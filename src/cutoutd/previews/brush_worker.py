"""Tries strokes on a picture, in a process of its own that is locked in as a worker is.

Started as ``python -P -m cutoutd.previews.brush_worker`` by whoever has a `cutoutd.pool.request_worker.RequestWorker`; that
module has what is said first. It keeps one picture. It opens and writes no file.

======= ================================= =====================================================================
``do``  further fields; files              answer
======= ================================= =====================================================================
start   key; picture, cutout (or not)      width, height
preview key, strokes, suggestion           changed, and the body: a PNG; ``missing`` if it has another picture
======= ================================= =====================================================================

Instead of any of these: ``why`` it cannot be, in words.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cutoutd.errors import CutoutdError, LimitError
from cutoutd.pool import request_worker
from cutoutd.process import channel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cutoutd.engine.matting.features import FeatureModel
    from cutoutd.pool.request_worker import Questions
    from cutoutd.previews.brush_picture import BrushPicture


def main() -> None:
    """Serve until nobody asks any more."""
    request_worker.serve(_work)


def _work(setup: Mapping[str, Any], questions: Questions) -> Callable[[], None]:
    # Not at the top: what is missing or too large for the memory is no reason for a trace.
    import cv2  # noqa: PLC0415

    from cutoutd.engine.matting import features  # noqa: PLC0415
    from cutoutd.models import catalog  # noqa: PLC0415
    from cutoutd.previews import brush_picture  # noqa: F401, PLC0415

    cv2.setNumThreads(1)  # a thread of OpenCV's would escape the sandbox
    spec = catalog.find(features.MODEL)
    with catalog.opened(spec) as file:
        file.seek(0)
        model = features.FeatureModel(spec, file.read())
    drawing = _Drawing(model, setup)

    def answer() -> None:
        while (asked := questions.receive()) is not None:
            document, descriptors = asked
            try:
                said, body = drawing.answer(document, descriptors)
            except CutoutdError as error:
                said, body = {"why": error.cause}, b""
            except OSError as error:
                said, body = {"why": error.strerror or "it cannot be read"}, b""
            except MemoryError:
                said, body = {"why": "the picture is too large for the memory"}, b""
            finally:
                channel.close(descriptors)
            request_worker.say(said, body)

    return answer


class _Drawing:
    """The picture that is drawn on.

    Args:
        model: that sees it.
        setup: with the limits of what may be decoded.
    """

    def __init__(self, model: FeatureModel, setup: Mapping[str, Any]) -> None:
        self._model = model
        self._setup = setup
        self._key = ""
        self._picture: BrushPicture | None = None

    def answer(self, asked: Mapping[str, Any], descriptors: list[int]) -> tuple[dict[str, object], bytes]:
        """Answer one question; what it raises is why it cannot."""
        from cutoutd import strokes  # noqa: PLC0415 -- loaded by now

        if asked["do"] == "start":
            return self._start(str(asked["key"]), [self._read(one) for one in descriptors])
        if self._picture is None or asked["key"] != self._key:
            return {"missing": True}, b""
        preview, changed = self._picture.preview(strokes.parse(asked["strokes"]), int(asked["suggestion"]))
        return {"changed": changed}, preview

    def _start(self, key: str, files: list[bytes]) -> tuple[dict[str, object], bytes]:
        from cutoutd.previews.brush_picture import BrushPicture  # noqa: PLC0415 -- loaded by now

        self._picture = None  # before the next: there may be no room for two
        self._picture = BrushPicture.of(
            files[0],
            self._model,
            max_pixels=int(self._setup["max_pixels"]),
            allowed=self._setup["formats"],
            cutout=files[1] if files[1:] else None,
        )
        self._key = key
        height, width = self._picture.size
        return {"width": width, "height": height}, b""

    def _read(self, descriptor: int) -> bytes:
        most = int(self._setup["max_file_bytes"])
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise LimitError("the file is too large")
        return data


if __name__ == "__main__":
    main()
