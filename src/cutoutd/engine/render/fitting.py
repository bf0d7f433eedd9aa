"""A frame encoded so that its file is small enough: the quality is lowered as far as that takes, and no further.

It must not resize: what becomes of a result that does not fit even so is its caller's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.engine.render import codecs
from cutoutd.recipe import Format

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cutoutd.engine.containers.png import Extras
    from cutoutd.engine.render.codecs import Encoded
    from cutoutd.recipe import Rendition

KILOBYTE: Final = 1000
"""Bytes, the smaller of the two readings, so that a result keeps a limit whichever is meant."""

_WEBP_QUALITY: Final = 92
"""Where the search begins once WebP may not stay lossless."""

_USUAL: Final = {
    Format.JPEG: codecs.JPEG_QUALITY,
    Format.AVIF: codecs.AVIF_QUALITY,
    Format.WEBP: _WEBP_QUALITY,
}


class TooLargeError(Exception):
    """It is too large at the lowest quality that is allowed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """A file in memory.

    Attributes:
        encoded: it.
        quality: that was chosen, 1 to 100; None: it is the rendition's own.
        said: what that means, in words for the user.
    """

    encoded: Encoded
    quality: int | None = None
    said: tuple[str, ...] = ()


def encode(frame: NDArray[np.uint8], rendition: Rendition, extras: Extras) -> Fitted:
    """Encode a frame in a rendition's quality, or the highest one below it whose file is small enough.

    Args:
        frame: as for `codecs.encode`.
        rendition: says format, quality and limits.
        extras: profile and metadata; they count.

    Raises:
        EncodingError: it cannot be encoded.
        TooLargeError: no quality from ``min_quality`` on makes it small enough; says what it has.
    """
    encoded = codecs.encode(frame, rendition.format, rendition.quality, extras)
    if rendition.max_kb is None or len(encoded.data) <= rendition.max_kb * KILOBYTE:
        return Fitted(encoded=encoded)
    most = rendition.max_kb * KILOBYTE
    usual = _USUAL[rendition.format] if rendition.quality is None else rendition.quality
    is_lossless = rendition.format is Format.WEBP and rendition.quality is None
    best: tuple[int, Encoded] | None = None
    low, high = rendition.min_quality, usual if is_lossless else usual - 1
    smallest = len(encoded.data)
    while low <= high:
        quality = (low + high + 1) // 2
        encoded = codecs.encode(frame, rendition.format, quality, extras)
        smallest = min(smallest, len(encoded.data))
        if len(encoded.data) <= most:
            best, low = (quality, encoded), quality + 1
        else:
            high = quality - 1
    if best is None:
        raise TooLargeError(
            f"has {smallest / KILOBYTE:,.0f} KB at the lowest quality that is allowed "
            f"({rendition.min_quality}), more than max_kb = {rendition.max_kb}"
        )
    before = "lossless" if is_lossless else f"quality {usual}"
    said = f"its quality was lowered from {before} to {best[0]}, so that it has no more than {rendition.max_kb} KB"
    return Fitted(encoded=best[1], quality=best[0], said=(said,))
