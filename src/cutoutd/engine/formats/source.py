"""The interface of every format's reader: a size before decoding, and the content of the file after.

This module must not read or decode anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import cv2

from cutoutd.engine.formats.colour_space import Colours

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cutoutd.engine.containers.resolution import Resolution
    from cutoutd.engine.picture import Sample
    from cutoutd.engine.samples import Samples

NOTHING_SAID: Final = Colours()
SEVERAL: Final = "it has several pages or frames; the first one was taken"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Loaded:
    """The decoded content of a picture file.

    Attributes:
        samples: pixels of the picture.
        colours: colour information of the file, except EXIF.
        exif: TIFF structure without the six-byte ``Exif`` prefix, or None.
        xmp: UTF-8 packet, or None.
        iptc: IIM, or None.
        resolution: the one the format itself states, not EXIF's; before the orientation is applied.
        to_turn: EXIF orientation still to be applied, 1 to 8.
        turned: EXIF orientation already applied by the decoder, 1 to 8.
        warnings: messages about what was left out or changed.
    """

    samples: Samples
    colours: Colours = NOTHING_SAID
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    resolution: Resolution | None = None
    to_turn: int = 1
    turned: int = 1
    warnings: tuple[str, ...] = ()


class PictureSource(Protocol):
    """A picture file whose header has been read."""

    @property
    def format(self) -> str:
        """Its format, such as ``JPEG``."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels that decoding will make; not yet upright."""

    def load(self) -> Loaded:
        """Decode.

        Raises:
            PictureError: it is damaged or ends too early.
            LimitError: it is of a kind that is not supported.
            Exception: the decoder's own, over damaged data.
        """


_ANTI_DIAGONAL: Final = -1  # cv2.flip's code for both axes

_TURNS: Final[dict[int, Callable[[Any], Any]]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.flip(cv2.transpose(pixels), _ANTI_DIAGONAL),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def upright(pixels: NDArray[Sample], orientation: int) -> NDArray[Sample]:
    """Apply an EXIF orientation to pixels.

    Args:
        pixels: uint8 or uint16 (H, W) or (H, W, C).
        orientation: 1 to 8; anything else counts as 1.

    Returns:
        The same type with H and W swapped for 5 to 8, C-contiguous; the same array for orientation 1.
    """
    turn = _TURNS.get(orientation)
    return pixels if turn is None else cast("NDArray[Sample]", turn(pixels))
