"""A picture that a person draws on: a fast preview of what strokes change in its matte.

The matte is made by the same steps as when cutting, on a smaller copy; so what is accepted here matches what is cut later.
This module must not open files.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from PIL import Image, PngImagePlugin  # noqa: F401 -- loaded before the sandbox is active

from cutoutd.engine.colour import icc_transform
from cutoutd.engine.formats import decode
from cutoutd.engine.matting import guided_upsample, matte_model, specks, stroke_masks, subject_search
from cutoutd.engine.matting.correct import SIDE, StrokeFollower, framed
from cutoutd.engine.render import compose
from cutoutd.strokes import StrokeKind

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from cutoutd.engine.matting.features import FeatureInference, FeatureModel, Features
    from cutoutd.strokes import Stroke

PREVIEW_SIDE: Final = 1024
"""Longer side of a preview, pixels."""

_COMPRESSION: Final = 1  # of zlib's 9: the file stays on this machine


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BrushPicture:
    """A picture on which strokes are tried.

    Attributes:
        size: height and width of the upright picture, in whose pixels strokes are given.
        shown: uint8 (h, w, 3), sRGB, in the size of the preview.
        followed: the same, in the size at which strokes are followed.
        matte: float32 (h, w), without any stroke.
        features: features of the picture.
        opacity: uint8 (h, w) in the size of the preview, the picture's own transparency; None: it is opaque.
    """

    size: tuple[int, int]
    shown: NDArray[np.uint8]
    followed: NDArray[np.uint8]
    matte: NDArray[np.float32]
    features: Features
    opacity: NDArray[np.uint8] | None
    _followers: dict[int, StrokeFollower] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        data: bytes,
        model: FeatureModel,
        *,
        max_pixels: int,
        allowed: Collection[str],
        cutout: bytes | None = None,
    ) -> BrushPicture:
        """Prepare a picture.

        Args:
            data: its whole file.
            model: model with features; without a cutout, strokes correct its matte.
            max_pixels: limit for a picture.
            allowed: enabled formats.
            cutout: whole file of the cutout that another model or a service made: strokes correct its transparency, if it
                shows the whole picture.

        Raises:
            PictureError: it is damaged.
            LimitError: it is too large, or of another format.
        """
        picture = decode.decode(data, max_pixels=max_pixels, allowed=allowed)
        size = picture.rgb.shape[:2]
        seen = picture.rgb if picture.alpha is None else compose.over_grey(picture.rgb, picture.alpha)
        seen = icc_transform.as_srgb(seen, picture.icc)
        inference = model.inference(seen)
        matte = None if cutout is None else _alpha(cutout, size, max_pixels=max_pixels, allowed=allowed)
        shown = _reduce(seen, PREVIEW_SIDE)
        opacity = None if picture.alpha is None else _area(picture.alpha, shown.shape)
        return cls(
            size=(size[0], size[1]),
            shown=shown,
            followed=_reduce(seen, SIDE),
            matte=_coarse_matte(inference, model) if matte is None else matte,
            features=inference.features(),
            opacity=opacity,
        )

    def preview(self, strokes: Sequence[Stroke], suggestion: int) -> tuple[bytes, bool]:
        """Apply strokes to the matte.

        Args:
            strokes: all strokes, in pixels of the picture.
            suggestion: number of the method's result.

        Returns:
            A PNG, 8-bit grey; and whether the strokes change anything visible.
        """
        if suggestion not in self._followers:
            self._followers[suggestion] = StrokeFollower(
                self.followed, self.matte, self.features, suggestion=suggestion, picture=self.size
            )
        done = self._followers[suggestion].follow(strokes)
        # By colours only: full refinement differs by a quarter of a level on average, and takes ten times as long.
        alpha = guided_upsample.enlarge(self.shown, done.matte)
        alpha = stroke_masks.paint(alpha, strokes, self.size)
        if self.opacity is not None:
            alpha = compose.multiplied(alpha, self.opacity)
        file = io.BytesIO()
        Image.fromarray(alpha).save(file, format="PNG", compress_level=_COMPRESSION)
        return file.getvalue(), done.changed or any(one.kind is StrokeKind.PAINT for one in strokes)


def _coarse_matte(inference: FeatureInference, model: FeatureModel) -> NDArray[np.float32]:
    """Return the embedded model's matte of the whole picture, as `cutoutd.pipeline.correction` makes it."""
    one = model.model
    found = subject_search.find_subject(inference.rgb, inference.predict, one.sides)
    # Normalising a matte without a subject would make a random mask of it.
    is_stretched = one.stretches and found.quality.score > 0
    coarse = specks.without_specks(matte_model.normalise(found.raw) if is_stretched else found.raw)
    height, width = inference.rgb.shape[:2]
    whole = subject_search.Region(top=0, bottom=height, left=0, right=width)
    return coarse if found.region == whole else framed(coarse, found.region, (height, width))


def _alpha(
    cutout: bytes, size: tuple[int, ...], *, max_pixels: int, allowed: Collection[str]
) -> NDArray[np.float32] | None:
    """Return the reduced transparency of a cutout, if it has the pixels of the picture; None otherwise."""
    picture = decode.decode(cutout, max_pixels=max_pixels, allowed=allowed)
    if picture.alpha is None or picture.alpha.shape != size:
        return None
    return _reduce(picture.alpha, PREVIEW_SIDE).astype(np.float32) / np.float32(255)


def _reduce(plane: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    factor = min(1.0, side / max(plane.shape[:2]))
    return _area(plane, tuple(max(2, round(one * factor)) for one in plane.shape[:2]))


def _area(plane: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)
