"""Cuts a generated picture once in a worker that replaces one that died.

If that works, the next death is attributed to its picture; if not, to the machine, and no picture fails because of it. It
must not write anything.
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
    """Run a small JPEG through decoder, models, refinement and encoder.

    Raises:
        Exception: any fault of this machine; the process may also die of it.
    """
    picture = decode.decode(_jpeg(), max_pixels=engine.max_pixels)
    for model in engine.models:
        alpha = refine.refine(picture.rgb, model.predict(picture.rgb))
    layout = png.Layout(width=_SIDE, height=_SIDE, channels=4)
    png.write(io.BytesIO(), compose.strips(picture.rgb, alpha), layout, png.Extras())


def _jpeg() -> bytes:
    """Return the JPEG of a dark disc on a light ground."""
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] - _SIDE // 2
    grey = np.where(np.hypot(y, x) < _SIDE // 3, 60, 220).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(np.dstack((grey, grey, grey))).save(data, format="JPEG")
    return data.getvalue()
