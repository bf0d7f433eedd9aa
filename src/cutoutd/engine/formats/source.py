"""What every reader of a format gives: a size before anything is decoded, and what was in the file once it is.

Values and a contract only: this module must not read or decode anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from cutoutd.engine.formats.colour_space import Colours

if TYPE_CHECKING:
    from cutoutd.engine.containers.resolution import Resolution
    from cutoutd.engine.samples import Samples

NOTHING_SAID: Final = Colours()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Loaded:
    """A picture as its file holds it.

    Attributes:
        samples: its pixels.
        colours: what the file says they mean, but for EXIF.
        exif: TIFF structure without the six-byte ``Exif`` prefix, or None.
        xmp: UTF-8 packet, or None.
        iptc: IIM, or None.
        resolution: as the format itself says it, not EXIF; not yet upright.
        to_turn: the EXIF orientation that is still to be applied, 1 to 8.
        turned: the one that the decoder has applied already, 1 to 8.
        warnings: what was left out or changed.
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


class Source(Protocol):
    """A file whose header was read."""

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
