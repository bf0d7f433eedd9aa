"""From a coarse matte to the alpha of a cutout, refined, with a person's strokes, and to decontaminated colours.

The alpha of a preview is made by the same functions, at a smaller size. This module must not run a model or follow strokes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from cutoutd.engine.matting import correct, foreground, refine, solid
from cutoutd.engine.matting.refine import MatteChange, Refined
from cutoutd.engine.matting.stroke_masks import paint
from cutoutd.engine.matting.subject_search import Region
from cutoutd.engine.matting.tiles import ImagePyramid
from cutoutd.engine.matting.working_copy import working_size
from cutoutd.engine.render import compose
from cutoutd.pipeline import corrected_colours
from cutoutd.pipeline.corrected_colours import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from cutoutd.engine.picture import Picture
    from cutoutd.pipeline.matte import CoarseMatte
    from cutoutd.recipe import Recipe
    from cutoutd.strokes import Stroke


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class View:
    """A picture at the size in which its alpha is wanted.

    Attributes:
        size: height and width of the picture, in whose pixels regions and strokes are.
        rgb: uint8 (h, w, 3), the picture or a smaller copy, in its own colours.
    """

    size: tuple[int, int]
    rgb: NDArray[np.uint8]
    _pyramids: dict[Region, ImagePyramid[np.uint8]] = field(default_factory=dict)

    @classmethod
    def full(cls, rgb: NDArray[np.uint8]) -> View:
        """The picture itself, uint8 (H, W, 3)."""
        return cls(size=(rgb.shape[0], rgb.shape[1]), rgb=rgb)

    @classmethod
    def small(cls, rgb: NDArray[np.uint8], copy: NDArray[np.uint8], regions: Iterable[Region]) -> View:
        """A smaller copy, with what is needed of the picture to refine mattes of some regions as at full size.

        Args:
            rgb: uint8 (H, W, 3), the picture; it is not kept where its pyramid is enough.
            copy: uint8 (h, w, 3), the same frame.
            regions: of the picture.
        """
        view = cls(size=(rgb.shape[0], rgb.shape[1]), rgb=copy)
        for region in regions:
            pyramid = view._pyramids[region] = ImagePyramid(rgb[region.slices])
            rows, columns = view.slices(region)
            width, height = working_size(pyramid.shape)  # of a small region larger than what is shown of it
            pyramid.drop_larger(
                (max(width, columns.stop - columns.start), max(height, rows.stop - rows.start))
            )
        return view

    def slices(self, region: Region) -> tuple[slice, slice]:
        """Return the rows and columns of this copy that show a region of the picture, at least one each."""
        (height, width), (rows, columns) = self.size, self.rgb.shape[:2]
        return (
            _scaled(region.top, region.bottom, rows, height),
            _scaled(region.left, region.right, columns, width),
        )

    def pyramid(self, region: Region) -> ImagePyramid[np.uint8]:
        """Return the pyramid of a region of the picture."""
        if region not in self._pyramids:
            self._pyramids[region] = ImagePyramid(self.rgb[self.slices(region)])
        return self._pyramids[region]


def refined(view: View, found: CoarseMatte, recipe: Recipe, change: MatteChange | None = None) -> Refined:
    """Return a matte in the whole frame of a view, refined if the recipe says so.

    Args:
        view: the picture.
        found: the coarse matte.
        recipe: how the cutout is to look.
        change: what strokes have changed; None: all of it is wanted.
    """
    where = view.slices(found.region)
    part = view.rgb[where]
    if recipe.refine:
        pyramid = view.pyramid(found.region)
        made = refine.refined(part, found.coarse, pyramid=pyramid, is_detailed=found.is_reply, change=change)
    else:
        made = Refined(alpha=refine.enlarge(found.coarse, part.shape[0], part.shape[1]))
    shape = (view.rgb.shape[0], view.rgb.shape[1])
    if made.alpha.shape == shape:
        return made
    alpha = np.zeros(shape, np.uint8)
    alpha[where] = made.alpha
    return replace(made, alpha=alpha)


def follow(view: View, before: Refined, found: CoarseMatte, recipe: Recipe) -> None:
    """Change a refined matte to what strokes have made of it, in place; far from them it stays bit for bit.

    How a matte is refined depends on all of it. What no stroke has reached is to look as it did.

    Args:
        view: the picture.
        before: the matte before the strokes, refined.
        found: the coarse matte after them.
        recipe: how the cutout is to look.
    """
    former = found.uncorrected
    if former is None:
        return
    overall = before.overall if former.region == found.region else None
    share = _near_strokes(found, former, view.size)
    after = refined(view, found, recipe, MatteChange(share=share, overall=overall))
    refine.mix(before.alpha, after.alpha, share)


def finished(
    alpha: NDArray[np.uint8],
    strokes: Sequence[Stroke],
    recipe: Recipe,
    *,
    size: tuple[int, int],
    opacity: NDArray[np.uint8] | None,
) -> NDArray[np.uint8]:
    """Return the alpha of the cutout, uint8 (h, w).

    Args:
        alpha: uint8 (h, w), a refined matte.
        strokes: strokes that paint set it.
        recipe: how the cutout is to look.
        size: height and width of the picture, in whose pixels strokes are.
        opacity: uint8 (h, w), transparency of the source; None: it is opaque.
    """
    alpha = paint(alpha, strokes, size)
    if recipe.is_solid:
        alpha = solid.without_veils(alpha)
    return alpha if opacity is None else compose.multiplied(alpha, opacity)


def cutout_alpha(
    picture: Picture, found: CoarseMatte, recipe: Recipe, strokes: Sequence[Stroke] = ()
) -> NDArray[np.uint8]:
    """Return the alpha of the cutout at full size, uint8 (H, W).

    Args:
        picture: the decoded picture; its colours are decontaminated where the alpha is soft.
        found: the coarse matte.
        recipe: how the cutout is to look.
        strokes: strokes that paint set the alpha.
    """
    view = View.full(picture.rgb)
    former = found.uncorrected or found
    made = refined(view, former, recipe)
    undrawn = made.alpha if former is found else made.alpha.copy()
    follow(view, made, found, recipe)
    alpha = finished(made.alpha, strokes, recipe, size=view.size, opacity=picture.alpha)
    if not recipe.decontaminate:
        return alpha
    is_painted = paint(made.alpha, strokes) is not made.alpha  # it may be soft outside the region then
    if is_painted or former is not found:
        before = finished(undrawn, (), recipe, size=view.size, opacity=picture.alpha)
        _recolour(picture, view, former.region, before, alpha)
    else:
        where = found.region.slices
        foreground.decontaminate(picture.rgb[where], alpha[where], pyramid=view.pyramid(found.region))
        if picture.deep is not None:
            foreground.decontaminate(picture.deep[where], alpha[where])
    return alpha


def _recolour(
    picture: Picture, view: View, region: Region, before: NDArray[np.uint8], after: NDArray[np.uint8]
) -> None:
    """Decontaminate a picture whose alpha strokes have changed; without them only a region of it counts."""
    whole = Region.whole(*view.size)
    share = corrected_colours.near_changes(before, after)
    corrected_colours.decontaminate(
        picture.rgb,
        Estimate(alpha=before, where=region.slices, pyramid=view.pyramid(region)),
        Estimate(alpha=after, where=whole.slices, pyramid=view.pyramid(whole)),
        share,
    )
    if picture.deep is not None:
        deep = ImagePyramid(picture.deep)
        former = deep if region == whole else ImagePyramid(picture.deep[region.slices])
        corrected_colours.decontaminate(
            picture.deep,
            Estimate(alpha=before, where=region.slices, pyramid=former),
            Estimate(alpha=after, where=whole.slices, pyramid=deep),
            share,
        )


def _scaled(first: int, end: int, length: int, of: int) -> slice:
    start = min(round(first * length / of), length - 1)
    return slice(start, max(start + 1, round(end * length / of)))


def _near_strokes(found: CoarseMatte, before: CoarseMatte, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return how near each pixel of a corrected matte is to what strokes have changed, 0..1."""
    is_same = correct.framed(before.coarse, before.region, size) == found.coarse
    return corrected_colours.nearness(is_same)
