"""Tries strokes on a picture, in a sandboxed process.

It is started as ``python -P -m cutoutd.previews.brush_worker`` by `cutoutd.pool.request_worker.RequestWorker`, which documents
the set-up. It keeps one picture. It must not open or write files.

======= ================================= =====================================================================
``do``  further fields; files              answer
======= ================================= =====================================================================
start   key, recipe, sha256; picture,      width, height, and the body: the coarse matte as in
        cutout (optional)                  `cutoutd.pipeline.kept_matte`, if it took further passes
preview key, strokes, suggestion           changed, and the body: a PNG; ``missing`` if it has another picture
======= ================================= =====================================================================

If a request fails, the answer has the reason as ``why``, in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cutoutd.pool import request_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cutoutd.engine.matting.features import FeatureModel
    from cutoutd.pool.request_worker import Requests
    from cutoutd.previews.brush_picture import BrushPicture
    from cutoutd.recipe import Recipe


def main() -> None:
    """Run until the channel ends."""
    request_worker.serve(_work)


def _work(setup: Mapping[str, Any], requests: Requests) -> Callable[[], None]:
    # Not at the top: a missing library, or one too large for the memory, must not end in a traceback.
    import cv2  # noqa: PLC0415

    from cutoutd.engine.matting import evidence, features  # noqa: PLC0415
    from cutoutd.models import catalog  # noqa: PLC0415
    from cutoutd.pipeline import kept_matte  # noqa: F401, PLC0415
    from cutoutd.previews import brush_picture  # noqa: F401, PLC0415

    cv2.setNumThreads(1)  # a thread of OpenCV's would escape the sandbox
    spec = catalog.find(features.MODEL)
    with catalog.opened(spec) as file:
        file.seek(0)
        model = features.FeatureModel(spec, file.read())
    evidence.network()  # it is a file
    drawing = _Drawing(model, setup)

    return lambda: request_worker.answer_all(requests, drawing.answer)


class _Drawing:
    """The picture that is drawn on.

    Args:
        model: model with features.
        setup: set-up, with the limits for pictures.
    """

    def __init__(self, model: FeatureModel, setup: Mapping[str, Any]) -> None:
        self._model = model
        self._setup = setup
        self._key = ""
        self._picture: BrushPicture | None = None

    def answer(self, asked: Mapping[str, Any], descriptors: list[int]) -> tuple[dict[str, object], bytes]:
        """Answer one request. An exception is the reason why it cannot be answered."""
        from cutoutd import strokes  # noqa: PLC0415 -- loaded by now

        if asked["do"] == "start":
            most = int(self._setup["max_file_bytes"])
            return self._start(asked, [request_worker.content(one, most) for one in descriptors])
        if self._picture is None or asked["key"] != self._key:
            return {"missing": True}, b""
        preview, changed = self._picture.preview(strokes.parse(asked["strokes"]), int(asked["suggestion"]))
        return {"changed": changed}, preview

    def _start(self, asked: Mapping[str, Any], files: list[bytes]) -> tuple[dict[str, object], bytes]:
        from cutoutd.previews.brush_picture import BrushPicture  # noqa: PLC0415 -- loaded by now

        self._picture = None  # before the next one: the memory may not suffice for two
        self._picture = BrushPicture.of(
            files[0],
            self._model,
            _recipe(asked["recipe"]),
            max_pixels=int(self._setup["max_pixels"]),
            allowed=self._setup["formats"],
            cutout=files[1] if files[1:] else None,
        )
        self._key = str(asked["key"])
        height, width = self._picture.size
        return {"width": width, "height": height}, self._kept(self._picture, str(asked["sha256"]))

    def _kept(self, picture: BrushPicture, sha256: str) -> bytes:
        """Return the matte as a file for who cuts the picture again; empty if that would spare no pass of the network."""
        from cutoutd.pipeline import kept_matte  # noqa: PLC0415 -- loaded by now

        if not picture.is_costly:
            return b""
        made_of = kept_matte.origin(self._model.model, picture.size, picture.recipe, sha256)
        return kept_matte.packed(picture.found, made_of)


def _recipe(asked: Mapping[str, Any]) -> Recipe:
    """Return what decides how an alpha looks; the rest of a recipe is for files."""
    from cutoutd.recipe import Metadata, Recipe, RegionOfInterest  # noqa: PLC0415 -- loaded by now

    roi = asked["roi"]
    return Recipe(
        renditions=(),
        refine=asked["refine"],
        decontaminate=False,
        metadata=Metadata.NONE,
        review_below=0.0,
        roi=None if roi is None else RegionOfInterest(px=tuple(roi["px"]), share=tuple(roi["share"])),
        is_solid=asked["is_solid"],
    )


if __name__ == "__main__":
    main()
