"""The measurement of strokes says what it found, also where no picture is wrong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from bench.strokes import RECIPE, Sample, bound, report

from cutoutd.engine.matting import quality
from cutoutd.engine.matting.features import GRID, Features
from cutoutd.engine.matting.refine import Refined
from cutoutd.engine.matting.subject_search import Region
from cutoutd.pipeline.matte import CoarseMatte
from cutoutd.pipeline.refinement import View
from cutoutd.previews.brush_picture import BrushPicture


def _sample(*found: int) -> Sample:
    """Return two discs on grey, of which the matte has those at these columns."""
    rgb = np.full((120, 160, 3), 128, np.uint8)
    truth, matte = np.zeros((120, 160), np.float32), np.zeros((120, 160), np.float32)
    for x in (45, 115):
        cv2.circle(rgb, (x, 60), 25, (200, 30, 30), cv2.FILLED)
        cv2.circle(truth, (x, 60), 25, 1, cv2.FILLED)
        if x in found:
            cv2.circle(matte, (x, 60), 25, 1, cv2.FILLED)
    picture = BrushPicture(
        view=View.full(rgb),
        followed=rgb,
        found=CoarseMatte(region=Region.whole(*matte.shape), coarse=matte, quality=quality.assess(matte)),
        matte=matte,
        plain=Refined(alpha=np.uint8(255) * matte.astype(np.uint8)),
        features=Features(planes=np.zeros((GRID, GRID, 52), np.float32)),
        opacity=None,
        is_given=False,
        recipe=RECIPE,
    )
    return Sample(name="discs", picture=picture, truth=truth)


def test_pictures_that_are_all_right_give_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    """There is no table of wrong ones then."""
    report([_sample(45, 115)])
    assert "1 pictures, 0 wrong" in capsys.readouterr().out


def test_the_bound_makes_one_part_right_with_each_stroke() -> None:
    """And nothing else."""
    assert bound(_sample(45), 2) == pytest.approx([1, 1])
    assert bound(_sample(), 3) == pytest.approx([0.5, 1, 1], abs=0.01)
