"""Strokes have the same effect in a preview as in the final cutout."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from cutoutd.corrections import Correction
from cutoutd.engine.colour import icc_build
from cutoutd.engine.formats.decode import decode
from cutoutd.engine.matting.correct import correct
from cutoutd.engine.matting.features import FeatureModel
from cutoutd.engine.matting.subject_search import Region
from cutoutd.jobs import Quality, Task
from cutoutd.models import catalog
from cutoutd.pipeline import correction, matte, refinement
from cutoutd.pipeline.engine import Engine
from cutoutd.pipeline.matte import CoarseMatte
from cutoutd.pipeline.refinement import View
from cutoutd.previews.brush_picture import BrushPicture
from cutoutd.recipe import Metadata, Recipe, RegionOfInterest
from cutoutd.strokes import Stroke, StrokeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.engine.picture import Picture
    from cutoutd.protocols import Files

MAX_PIXELS = 10_000_000
FORMATS = ("jpeg", "png")
SPEC = catalog.find(catalog.PACKAGED)
RECIPE = Recipe(renditions=(), refine=True, decontaminate=False, metadata=Metadata.NONE, review_below=0.0)


def _picture(width: int, height: int) -> bytes:
    """Return two things of different size, in a wide gamut and with a transparent border."""
    image = Image.new("RGBA", (width, height), (230, 230, 225, 255))
    draw = ImageDraw.Draw(image)
    draw.ellipse((width * 0.15, height * 0.3, width * 0.4, height * 0.7), fill=(180, 40, 30))
    for strand in range(9):
        draw.line(
            (width * 0.3, height * 0.5, width * (0.05 + 0.05 * strand), height * 0.22), (180, 40, 30), 3
        )
    draw.rectangle((width * 0.7, height * 0.45, width * 0.78, height * 0.6), fill=(30, 60, 150))
    draw.rectangle((0, 0, width, height * 0.1), fill=(0, 0, 0, 0))
    file = io.BytesIO()
    image.save(file, "PNG", icc_profile=icc_build.profile(icc_build.ADOBE_RGB, "wide"))
    return file.getvalue()


def _click(kind: StrokeKind, x: float, y: float) -> Stroke:
    """Return a stroke of one point."""
    return Stroke(kind=kind, points=((x, y),), radius=20.0)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The engine of a worker with the embedded model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")
        created = Engine((SPEC,), provider="cpu", max_pixels=MAX_PIXELS, max_file_bytes=1 << 24)
        yield created
        created.close()


@pytest.fixture(scope="module")
def model() -> FeatureModel:
    """The embedded model of a brush's process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")
        return FeatureModel(SPEC, SPEC.file.read_bytes())


def _strokes(width: int, height: int) -> tuple[Stroke, ...]:
    """Return strokes that remove the one thing and keep the other."""
    return (
        _click(StrokeKind.REMOVE, width * 0.27, height * 0.5),
        _click(StrokeKind.KEEP, width * 0.74, height * 0.52),
    )


def _coarse(
    data: bytes, recipe: Recipe, engine: Engine, drawn: Correction
) -> tuple[Picture, CoarseMatte, CoarseMatte]:
    """Return a picture with its matte without and with strokes, as a worker makes them."""
    task = Task(job=1, source="", size=0, mtime_ns=0, staging="", published_sha256=None, recipe=recipe)
    picture = decode(data, max_pixels=MAX_PIXELS)
    inference = correction.inference(drawn, picture, engine)
    found = matte.find(task, cast("Files", None), picture, engine, inference)
    after, done = correction.follow(drawn, picture, found, inference)
    assert done.changed
    return picture, found, after


def test_a_preview_follows_strokes_as_cutting_does(engine: Engine, model: FeatureModel) -> None:
    """Bit for bit, although it works on smaller copies: both accept the same parts."""
    width, height = 700, 1003
    data, strokes = _picture(width, height), _strokes(width, height)
    shown = BrushPicture.of(data, model, RECIPE, max_pixels=MAX_PIXELS, allowed=FORMATS)
    assert shown.size == (height, width)
    for suggestion in (0, 1):
        drawn = Correction(number=1, sha256="", strokes=strokes, suggestion=suggestion)
        _, _, after = _coarse(data, RECIPE, engine, drawn)
        preview = correct(
            shown.followed,
            shown.matte,
            strokes,
            shown.features,
            suggestion=suggestion,
            picture=shown.size,
        )
        assert preview.changed
        assert np.array_equal(preview.matte, after.coarse)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"refine": False},
        {"is_solid": True},
        {"roi": RegionOfInterest(share=(0.1, 0.2, 0.62, 0.9))},
    ],
)
def test_a_preview_shows_what_is_published(
    engine: Engine, model: FeatureModel, changed: dict[str, Any]
) -> None:
    """Refined as at full size, without and with strokes: only the size is another one."""
    width, height = 1800, 1350
    data, strokes = _picture(width, height), _strokes(width, height)
    recipe = replace(RECIPE, **changed)
    shown = BrushPicture.of(data, model, recipe, max_pixels=MAX_PIXELS, allowed=FORMATS)
    drawn = Correction(number=1, sha256="", strokes=strokes)
    picture, found, after = _coarse(data, recipe, engine, drawn)
    for one, made_by in ((found, ()), (after, strokes)):
        full = refinement.cutout_alpha(replace(picture, rgb=picture.rgb.copy()), one, recipe, made_by)
        preview, _ = shown.alpha(made_by, 0)
        assert preview.shape == (768, 1024)
        published = cv2.resize(full, (1024, 768), interpolation=cv2.INTER_AREA).astype(np.int16)
        difference = np.abs(published - preview)
        assert difference.mean() < 0.1
        assert (difference > 40).mean() < 5e-4  # the frame of a region may lie half a pixel beside


def test_a_small_subject_in_a_large_picture_is_shown_as_it_is_published() -> None:
    """Such a region is refined on more pixels than are shown of it; no preview of it could be made."""
    rgb = np.random.default_rng(1).integers(0, 256, (2600, 4640, 3), dtype=np.uint8)
    region = Region(top=1216, bottom=2128, left=1664, right=2352)
    ramp = np.linspace(0, 1, 288, dtype=np.float32)
    coarse = np.broadcast_to(ramp, (288, 288)).copy()
    found = CoarseMatte(region=region, coarse=coarse, quality=Quality(score=1.0, reasons=()))
    view = View.small(rgb, np.asarray(cv2.resize(rgb, (1024, 574), interpolation=cv2.INTER_AREA)), (region,))
    small = refinement.refined(view, found, RECIPE)
    assert small.alpha.shape == (574, 1024)
    full = refinement.refined(View.full(rgb), found, RECIPE)
    assert small.overall is not None
    assert full.overall is not None
    assert np.array_equal(small.overall, full.overall)


def test_the_cutout_of_another_model_is_shown_as_it_is(model: FeatureModel) -> None:
    """Its alpha has the picture's own transparency already, which counts once."""
    width, height = 1200, 900
    image = Image.open(io.BytesIO(_picture(width, height)))
    half = np.asarray(image).copy()
    half[: height // 2, :, 3] = 128
    files = []
    for pixels in (half, half // np.array([1, 1, 1, 2], np.uint8)):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        files.append(file.getvalue())
    shown = BrushPicture.of(files[0], model, RECIPE, max_pixels=MAX_PIXELS, allowed=FORMATS, cutout=files[1])
    assert not shown.is_costly  # so nothing is kept that a worker could take for the model's
    alpha, _ = shown.alpha((), 0)
    assert set(alpha[:300].flat) == {64}
    assert alpha[500:].min() >= 127
