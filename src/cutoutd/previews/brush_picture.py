"""A picture that a person draws on: a fast preview of what strokes change in its cutout.

The alpha is made by the same steps as when cutting, and in the same places; only the size at which it is shown is smaller. So
what is accepted here matches what is cut later. This module must not open files.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from PIL import Image, PngImagePlugin  # noqa: F401 -- loaded before the sandbox is active

from cutoutd.engine.formats import decode
from cutoutd.engine.matting import quality
from cutoutd.engine.matting.correct import SIDE, StrokeFollower, framed
from cutoutd.engine.matting.refine import Refined
from cutoutd.engine.matting.subject_search import Region
from cutoutd.pipeline import matte, refinement
from cutoutd.pipeline.matte import CoarseMatte
from cutoutd.pipeline.refinement import View
from cutoutd.strokes import StrokeKind

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from cutoutd.engine.matting.features import FeatureModel, Features
    from cutoutd.recipe import Recipe
    from cutoutd.strokes import Stroke

PREVIEW_SIDE: Final = 1024
"""Longer side of a preview, pixels."""

_COMPRESSION: Final = 1  # of zlib's 9: the file stays on this machine


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BrushPicture:
    """A picture on which strokes are tried.

    Attributes:
        view: the picture in the size of the preview.
        followed: uint8 (h, w, 3), sRGB, in the size at which strokes are followed.
        found: the coarse matte without any stroke.
        matte: the same in the whole frame, float32 (h, w).
        plain: the alpha without any stroke.
        features: features of the picture.
        opacity: uint8 (h, w) in the size of the preview, the picture's own transparency; None: it is opaque.
        is_given: whether the matte is the alpha of a cutout, which has the picture's own transparency already.
        recipe: how the cutout is to look.
        is_costly: whether the matte took passes of the network that the features do not need.
    """

    view: View
    followed: NDArray[np.uint8]
    found: CoarseMatte
    matte: NDArray[np.float32]
    plain: Refined
    features: Features
    opacity: NDArray[np.uint8] | None
    is_given: bool
    recipe: Recipe
    is_costly: bool = False
    _followers: dict[int, StrokeFollower] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright picture, in whose pixels strokes are given."""
        return self.view.size

    @classmethod
    def of(
        cls,
        data: bytes,
        model: FeatureModel,
        recipe: Recipe,
        *,
        max_pixels: int,
        allowed: Collection[str],
        cutout: bytes | None = None,
    ) -> BrushPicture:
        """Prepare a picture.

        Args:
            data: its whole file.
            model: model with features; without a cutout, strokes correct its matte.
            recipe: how the cutout is to look.
            max_pixels: limit for a picture.
            allowed: enabled formats.
            cutout: whole file of the cutout that another model or a service made: strokes correct its transparency, if it
                shows the whole picture.

        Raises:
            PictureError: it is damaged.
            LimitError: it is too large, or of another format.
        """
        picture = decode.decode(data, max_pixels=max_pixels, allowed=allowed)
        size = (picture.rgb.shape[0], picture.rgb.shape[1])
        inference = model.inference(matte.model_view(picture))
        alpha = None if cutout is None else _alpha(cutout, size, max_pixels=max_pixels, allowed=allowed)
        found = (
            matte.find_by(model.model, picture, recipe, inference)
            if alpha is None
            else _of_alpha(alpha, size)
        )
        shown = _reduce(picture.rgb, PREVIEW_SIDE)
        view = View.small(picture.rgb, shown, (Region.whole(*size), found.region))
        return cls(
            view=view,
            followed=_reduce(inference.rgb, SIDE),
            found=found,
            matte=framed(found.coarse, found.region, size),
            plain=refinement.refined(view, found, recipe) if alpha is None else Refined(alpha=alpha),
            features=inference.features(),
            opacity=None if picture.alpha is None else _area(picture.alpha, shown.shape),
            is_given=alpha is not None,
            recipe=recipe,
            is_costly=inference.further > 0,
        )

    def preview(self, strokes: Sequence[Stroke], suggestion: int) -> tuple[bytes, bool]:
        """Apply strokes to the matte.

        Args:
            strokes: all strokes, in pixels of the picture.
            suggestion: number of the method's result.

        Returns:
            A PNG, 8-bit grey; and whether the strokes change anything visible.
        """
        alpha, changed = self.alpha(strokes, suggestion)
        file = io.BytesIO()
        Image.fromarray(alpha).save(file, format="PNG", compress_level=_COMPRESSION)
        return file.getvalue(), changed

    def alpha(self, strokes: Sequence[Stroke], suggestion: int) -> tuple[NDArray[np.uint8], bool]:
        """As `preview`, uint8 (h, w)."""
        if suggestion not in self._followers:
            self._followers[suggestion] = StrokeFollower(
                self.followed, self.matte, self.features, suggestion=suggestion, picture=self.size
            )
        done = self._followers[suggestion].follow(strokes)
        made = replace(self.plain, alpha=self.plain.alpha.copy())
        if done.changed:
            found = replace(
                self.found, region=Region.whole(*self.size), coarse=done.matte, uncorrected=self.found
            )
            refinement.follow(self.view, made, found, self.recipe)
        opacity = None if self.is_given else self.opacity
        alpha = refinement.finished(made.alpha, strokes, self.recipe, size=self.size, opacity=opacity)
        if self.is_given and self.opacity is not None:
            alpha = np.minimum(alpha, self.opacity)
        return alpha, done.changed or any(one.kind is StrokeKind.PAINT for one in strokes)


def _of_alpha(alpha: NDArray[np.uint8], size: tuple[int, int]) -> CoarseMatte:
    """Return the alpha of a cutout as a matte of the whole picture."""
    coarse = alpha.astype(np.float32) / np.float32(255)
    return CoarseMatte(region=Region.whole(*size), coarse=coarse, quality=quality.assess(coarse))


def _alpha(
    cutout: bytes, size: tuple[int, ...], *, max_pixels: int, allowed: Collection[str]
) -> NDArray[np.uint8] | None:
    """Return the reduced transparency of a cutout, if it has the pixels of the picture; None otherwise."""
    picture = decode.decode(cutout, max_pixels=max_pixels, allowed=allowed)
    if picture.alpha is None or picture.alpha.shape != size:
        return None
    return _reduce(picture.alpha, PREVIEW_SIDE)


def _reduce(plane: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    factor = min(1.0, side / max(plane.shape[:2]))
    return _area(plane, tuple(max(2, round(one * factor)) for one in plane.shape[:2]))


def _area(plane: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)
