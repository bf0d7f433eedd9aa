"""HEIC and HEIF, by libheif: pixels, profile and metadata of the primary picture.

Imported when the first such file comes, which a worker may do behind its sandbox. It must not reach any decoder
but the one for HEVC that the package brings, and none of its encoders: no plug-in directory is searched, and no Pillow
plugin is registered.

ISO/IEC 23008-12: the picture's own turns apply, and an orientation in its EXIF does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pillow_heif
from PIL import Image

from cutoutd.engine.containers import isobmff
from cutoutd.engine.formats.colour_space import Colours
from cutoutd.engine.formats.source import Loaded, upright
from cutoutd.engine.samples import Samples
from cutoutd.errors import LimitError, PictureError
from cutoutd.file_signatures import HEIC

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Wide: TypeAlias = NDArray[np.integer[Any]]

_OTHER_CODINGS: Final = {
    b"av01": "AV1",
    b"avc1": "AVC",
    b"vvc1": "VVC",
    b"jpeg": "JPEG",
    b"j2k1": "JPEG 2000",
    b"unci": "uncompressed",
}
_open: Any = pillow_heif.HeifFile  # its types are looser than what it gives
_READ: Final = frozenset({b"hvc1", b"hev1"})
_EXIF_PREFIX: Final = b"Exif\x00\x00"
_ADVICE: Final = "The original is untouched. Export it as JPEG or PNG and put that in its place."


class HeifSource:
    """A HEIC file whose header was read.

    Args:
        data: the whole file.

    Raises:
        PictureError: the list of items is damaged.
        LimitError: the pictures are not coded in HEVC.
        Exception: libheif's own, over a damaged file.
    """

    format = HEIC

    def __init__(self, data: bytes) -> None:
        _confine()
        self._data = data
        self._still = isobmff.still(data)
        if self._still.garbled:  # pillow-heif crashes over it
            raise PictureError("its list of contents is damaged")
        _refuse_other_coding(self._still)
        file: Any = _open(data, convert_hdr_to_8bit=False)
        self._image = file[file.primary_index]
        self._several = len(file) > 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels; libheif gives them upright."""
        width, height = self._image.size
        return width, height

    def load(self) -> Loaded:
        """Decode.

        Raises:
            PictureError: picture data is missing.
            Exception: libheif's own, over damaged data.
        """
        isobmff.refuse_holes(self._data)
        info = self._image.info
        notes = ["it has several pictures; the primary one was taken"] if self._several else []
        exif = info.get("exif") or b""
        return Loaded(
            samples=_samples(self._image),
            colours=Colours(icc=info.get("icc_profile"), codes=self._still.nclx, codes_are_vague=True),
            exif=exif.removeprefix(_EXIF_PREFIX) or None,
            xmp=(info.get("xmp") or b"").rstrip(b"\x00") or None,
            turned=_as_orientation(self._still.turns),
            warnings=tuple(notes),
        )


def _confine() -> None:
    """Set the library's switches, which are global, to what this package relies on."""
    pillow_heif.options.DECODE_THREADS = 0  # none besides the one that libde265 starts
    pillow_heif.options.THUMBNAILS = False
    pillow_heif.options.DEPTH_IMAGES = False
    pillow_heif.options.AUX_IMAGES = False
    pillow_heif.options.DISABLE_SECURITY_LIMITS = False


def _refuse_other_coding(still: isobmff.Still) -> None:
    kinds = set(still.kinds.values())
    others = [name for kind, name in _OTHER_CODINGS.items() if kind in kinds]
    if others and not kinds & _READ:
        names = " and ".join(others)
        raise LimitError(f"it is a HEIF file whose picture is coded as {names}, not as HEVC", advice=_ADVICE)


def _samples(image: Any) -> Samples:  # noqa: ANN401 -- as above
    """Return the samples in 8 bits, and in 16 where the file has more than 8."""
    pixels = np.asarray(image)  # decodes
    width, height = image.size
    pixels = pixels[:height, :width]
    mode = image.mode.partition(";")[0].replace("I", "L")
    bits = int(image.info["bit_depth"]) if pixels.dtype != np.uint8 else 8
    is_deep = bits > 8  # noqa: PLR2004
    rounded = f"its {bits}-bit samples were rounded to 8 bits" if is_deep else ""
    narrow = _narrow(bits)

    def strip(top: int, bottom: int) -> Image.Image:
        return Image.frombytes(mode, (width, bottom - top), narrow(pixels[top:bottom]).tobytes())

    widest = np.rint(np.linspace(0, 65535, 1 << bits)).astype(np.uint16)

    def wide(top: int, bottom: int) -> NDArray[np.uint16]:
        return np.asarray(widest[pixels[top:bottom] >> (16 - bits)], np.uint16)

    return Samples(
        mode=mode,
        width=width,
        height=height,
        transparent=mode[-1] in "Aa",
        strip=strip,
        rounded=rounded,
        wide=wide if is_deep and mode[-1] != "a" else None,
    )


def _narrow(bits: int) -> Callable[[Wide], NDArray[np.uint8]]:
    """Round samples to 8 bits; libheif gives them in the upper bits of 16."""
    if bits == 8:  # noqa: PLR2004
        return lambda rows: rows.astype(np.uint8, copy=False)
    nearest = np.rint(np.linspace(0, 255, 1 << bits)).astype(np.uint8)
    return lambda rows: nearest[rows >> (16 - bits)]


def _as_orientation(turns: tuple[tuple[bytes, int], ...]) -> int:
    """Return the EXIF orientation equal to this sequence of rotations and mirrorings."""
    corners = np.arange(4, dtype=np.uint8).reshape(2, 2)
    turned = corners
    for kind, value in turns:
        if kind == b"irot":
            turned = np.rot90(turned, value)
        else:
            turned = np.fliplr(turned) if value else np.flipud(turned)
    return next(one for one in range(1, 9) if np.array_equal(upright(corners, one), turned))
