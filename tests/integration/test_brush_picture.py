"""Strokes have the same effect in a preview as in the final cutout."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image, ImageDraw

from cutoutd.corrections import Correction
from cutoutd.engine.colour import icc_build
from cutoutd.engine.formats.decode import decode
from cutoutd.engine.matting.correct import correct
from cutoutd.engine.matting.features import FeatureModel
from cutoutd.jobs import Task
from cutoutd.models import catalog
from cutoutd.pipeline import correction, matte
from cutoutd.pipeline.engine import Engine
from cutoutd.previews.brush_picture import BrushPicture
from cutoutd.settings.schema import Folder
from cutoutd.strokes import Stroke, StrokeKind

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from cutoutd.protocols import Files

MAX_PIXELS = 10_000_000


def _picture(width: int, height: int) -> bytes:
    """Return two things of different size, in a wide gamut and with a transparent border."""
    image = Image.new("RGBA", (width, height), (230, 230, 225, 255))
    draw = ImageDraw.Draw(image)
    draw.ellipse((width * 0.15, height * 0.3, width * 0.4, height * 0.7), fill=(180, 40, 30))
    draw.rectangle((width * 0.7, height * 0.45, width * 0.78, height * 0.6), fill=(30, 60, 150))
    draw.rectangle((0, 0, width, height * 0.1), fill=(0, 0, 0, 0))
    file = io.BytesIO()
    image.save(file, "PNG", icc_profile=icc_build.profile(icc_build.ADOBE_RGB, "wide"))
    return file.getvalue()


def _click(kind: StrokeKind, x: float, y: float) -> Stroke:
    """Return a stroke of one point."""
    return Stroke(kind=kind, points=((x, y),), radius=20.0)


def test_a_preview_follows_strokes_as_cutting_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, although it works on smaller copies: both accept the same parts."""
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    width, height = 700, 1003
    data = _picture(width, height)
    spec = catalog.find(catalog.PACKAGED)
    shown = BrushPicture.of(
        data,
        FeatureModel(spec, spec.file.read_bytes()),
        max_pixels=MAX_PIXELS,
        allowed=("jpeg", "png"),
    )
    assert shown.size == (height, width)

    engine = Engine((spec,), provider="cpu", max_pixels=MAX_PIXELS, max_file_bytes=1 << 24)
    recipe = Folder(name="f", input=tmp_path / "in", output=tmp_path / "out").recipe()
    task = Task(job=1, source="", size=0, mtime_ns=0, staging="", published_sha256=None, recipe=recipe)
    picture = decode(data, max_pixels=MAX_PIXELS)
    strokes = (
        _click(StrokeKind.REMOVE, width * 0.27, height * 0.5),
        _click(StrokeKind.KEEP, width * 0.74, height * 0.52),
    )
    inference = correction.inference(Correction(number=1, sha256="", strokes=strokes), picture, engine)
    found = matte.find(task, cast("Files", None), picture, engine, inference)
    for suggestion in (0, 1):
        drawn = Correction(number=1, sha256="", strokes=strokes, suggestion=suggestion)
        after, done = correction.follow(drawn, picture, found, inference)
        preview = correct(
            shown.followed,
            shown.matte,
            strokes,
            shown.features,
            suggestion=suggestion,
            picture=shown.size,
        )
        assert preview.changed is done.changed is True
        assert np.array_equal(preview.matte, after.coarse)
    engine.close()
