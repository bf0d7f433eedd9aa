"""A picture of the program's own, cut once by a worker that takes the place of one that died.

If that works, the next death is its picture's fault; if not, it is the machine's, and no picture is blamed
for it. It must not write anything.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cutoutd.engine.containers import png
from cutoutd.engine.formats import decode
from cutoutd.engine.matting import refine
from cutoutd.engine.render import compose

if TYPE_CHECKING:
    from cutoutd.pipeline.engine import Engine

_SIDE = 64


def self_test(engine: Engine) -> None:
    """Take a small JPEG through decoder, models, refinement and encoder.

    Raises:
        Exception: whatever is wrong here; or the process dies of it.
    """
    picture = decode.decode(_jpeg(), max_pixels=engine.max_pixels)
    for model in engine.models:
        alpha = refine.refine(picture.rgb, model.predict(picture.rgb))
    layout = png.Layout(width=_SIDE, height=_SIDE, channels=4)
    png.write(io.BytesIO(), compose.strips(picture.rgb, alpha), layout, png.Extras())


def _jpeg() -> bytes:
    """A dark disc on light ground."""
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] - _SIDE // 2
    grey = np.where(np.hypot(y, x) < _SIDE // 3, 60, 220).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(np.dstack((grey, grey, grey))).save(data, format="JPEG")
    return data.getvalue()
