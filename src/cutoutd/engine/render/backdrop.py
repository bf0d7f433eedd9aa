"""What lies behind a cutout: one colour or a picture, in the colours of the result.

It must not know where the subject goes, and reads no file: it is given a picture's bytes decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import cv2
import numpy as np

from cutoutd.engine.render import compose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.picture import Sample

_WHITE: Final = 255


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Colour:
    """One colour.

    Attributes:
        rgb: in the colours of the result.
    """

    rgb: tuple[int, int, int]

    def strip(self, top: int, bottom: int, width: int) -> NDArray[np.uint8]:
        """Rows of it: uint8 (bottom - top, width, 3), to be written to."""
        row = np.tile(np.array(self.rgb, np.uint8), width)
        return np.broadcast_to(row, (bottom - top, 3 * width)).copy().reshape(-1, width, 3)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scene:
    """A picture, as large as the canvas.

    Attributes:
        rgb: uint8 (H, W, 3), in the colours of the result.
    """

    rgb: NDArray[np.uint8]

    def strip(self, top: int, bottom: int, width: int) -> NDArray[np.uint8]:  # noqa: ARG002 -- a Colour's
        """Rows of it: uint8 (bottom - top, W, 3), to be written to."""
        return self.rgb[top:bottom].copy()


Backdrop = Colour | Scene


def filling(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, width: int, height: int
) -> NDArray[np.uint8]:
    """A picture that fills a canvas: as little as possible of it is cut off, the same on both sides.

    Args:
        rgb: uint8 (h, w, 3).
        alpha: uint8 (h, w), its own transparency, under which it is white; None: it has none.
        width: of the canvas, pixels.
        height: of the canvas, pixels.

    Returns:
        uint8 (height, width, 3).
    """
    factor = max(width / rgb.shape[1], height / rgb.shape[0])
    across = min(rgb.shape[1], max(1, round(width / factor)))
    down = min(rgb.shape[0], max(1, round(height / factor)))
    left, top = (rgb.shape[1] - across) // 2, (rgb.shape[0] - down) // 2
    part = slice(top, top + down), slice(left, left + across)
    seen = rgb[part] if alpha is None else _over_white(rgb[part], alpha[part])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cast("NDArray[np.uint8]", cv2.resize(seen, (width, height), interpolation=how))


def over(
    backdrop: NDArray[Sample], cutout: NDArray[Sample], shadow: NDArray[np.float32] | None
) -> NDArray[Sample]:
    """A cutout before a backdrop.

    Args:
        backdrop: uint8 or uint16 (h, w, 3); written to.
        cutout: the same type, (h, w, 4), straight alpha, C-contiguous as the backdrop.
        shadow: float32 (h, w), how much of the backdrop's light is taken, 0..1.

    Returns:
        The backdrop: the cutout's own pixels, bit for bit, where it is opaque.
    """
    pixels, behind = cutout.reshape(-1, 4), backdrop.reshape(-1, 3)
    alpha = cast("NDArray[Sample]", cv2.extractChannel(cutout, 3))
    opaque = compose.white(alpha.dtype)
    soft = np.flatnonzero((alpha - alpha.dtype.type(1)) < opaque - 1)  # 0 wraps round to the largest value
    seen, ground = pixels[soft].astype(np.float32), behind[soft].astype(np.float32)
    if shadow is not None:
        light = 1 - shadow.ravel()
        fallen = np.flatnonzero(shadow)
        behind[fallen] = np.rint(behind[fallen] * light[fallen, np.newaxis])
        ground *= light[soft, np.newaxis]  # of what is soft, from the unrounded
    cv2.copyTo(cv2.cvtColor(cutout, cv2.COLOR_RGBA2RGB), (alpha == opaque).view(np.uint8), backdrop)
    behind[soft] = np.rint(ground + (seen[:, :3] - ground) * (seen[:, 3:] / opaque))
    return backdrop


def shaded(cutout: NDArray[Sample], shadow: NDArray[np.float32]) -> NDArray[Sample]:
    """A cutout with its shadow, and nothing behind them.

    Args:
        cutout: uint8 or uint16 (h, w, 4), straight alpha, C-contiguous; written to.
        shadow: float32 (h, w), 0..1.

    Returns:
        The cutout: black where there is shadow alone.
    """
    opaque = compose.white(cutout.dtype)
    changed = np.flatnonzero((shadow > 0) & (cutout[..., 3] < opaque))
    every = cutout.reshape(-1, 4)
    pixels = every[changed].astype(np.float32)
    own = pixels[:, 3] / opaque
    together = own + shadow.ravel()[changed] * (1 - own)
    # Premultiplied colours add up, and black adds nothing; what is left is divided by the new alpha.
    pixels[:, :3] *= (own / np.maximum(together, 1e-6))[:, np.newaxis]
    pixels[:, 3] = together * opaque
    rounded = np.rint(pixels)
    rounded[rounded[:, 3] == 0] = 0
    every[changed] = rounded
    return cutout


def _over_white(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    seen = np.full_like(rgb, _WHITE)
    return over(seen, np.dstack((rgb, alpha)), None)
