"""Every kind of sample as 8 bits, strip by strip: Pillow's own reduction of 16 bits cuts instead of rounding.

In JPEG 2000 it makes black of what is nearly white, since it rounds up past the largest value. OpenCV's reader, of the same
library, gives the samples as they are. But its copy of the library may be an older one, with holes that are closed in
Pillow's: what that refuses it never gets, nor anything but JPEG 2000, for which it would look for other formats.

No colour is touched: a strip has the colour space of the file.

ITU-T T.800, A.5.1 (the SIZ marker of JPEG 2000).
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

from cutoutd.engine.formats.opening import open_picture
from cutoutd.engine.formats.tiff_kind import samples_in_words
from cutoutd.engine.samples import ROUNDED, Samples, rounded
from cutoutd.errors import LimitError, PictureError
from cutoutd.file_signatures import JPEG_2000

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from PIL import ImageFile

    from cutoutd.engine.formats.opening import Opened

_EIGHT_BIT: Final = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"}
)
_GREY_16: Final = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})

# Pillow unpacks 16-bit colour to its high bytes. Read in the other byte order, the same data gives the low ones.
_SWAPPED: Final = "B" if sys.byteorder == "little" else "L"
_LOW_BYTES: Final = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBX", "RGBA", "CMYK")
    for order, other in (("B", "L"), ("L", "B"), ("N", _SWAPPED))
}
_GREY_ALPHA_16: Final = "LA;16B"
_TWELVE_BIT: Final = "I;12"

_BITS_PER_SAMPLE: Final = 258
_SAMPLE_FORMAT: Final = 339
_PHOTOMETRIC: Final = 262
_MIN_IS_WHITE: Final = 0
_PLANAR_CONFIGURATION: Final = 284
_SEPARATE: Final = 2

_CODESTREAM: Final = b"\xff\x4f\xff\x51"
_SAMPLES_AT: Final = 40
_DEEP: Final = frozenset({"RGB", "RGBA"})
_GREY_ALPHA: Final = "LA"  # OpenCV does not read it
_MOST_BITS: Final = 16

_NO_KEY: Final = "its transparent colour was left out, as it names a 16-bit value"
_HALF_STEP: Final = 128
_ADVICE: Final = "The original is untouched. Export it with 8 or 16 bits a channel, as whole numbers without a sign, and put that in its place."


def load(opened: Opened) -> Samples:
    """Decode a picture.

    Raises:
        LimitError: its samples are of a kind that has no faithful form in 8 bits.
        Exception: Pillow's and the codecs' own, over damaged data.
    """
    image = opened.image
    raw_mode = _raw_mode(image)
    if image.mode in _GREY_16:
        return _grey_16(image, raw_mode)
    if image.mode not in _EIGHT_BIT:
        raise LimitError(f"its samples are {_in_words(image)}, which is not supported", advice=_ADVICE)
    if raw_mode == _GREY_ALPHA_16:
        return _grey_alpha_16(image)
    if raw_mode in _LOW_BYTES:
        return _colour_16(opened, _LOW_BYTES[raw_mode])
    image.load()
    return Samples(
        mode=image.mode,
        width=image.width,
        height=image.height,
        transparent=image.has_transparency_data,
        strip=lambda top, bottom: image.crop((0, top, image.width, bottom)),
    )


def is_cut_by_pillow(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow gives only the high bytes of a TIFF's 16-bit samples: those in planes, or multiplied by the transparency."""
    raw_mode = _raw_mode(image)
    return raw_mode.startswith("RGBa;16") or (raw_mode in _LOW_BYTES and _planar(image))


def _in_words(image: ImageFile.ImageFile) -> str:
    """Return what the samples of a picture are."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return samples_in_words(
            image.tag_v2.get(_SAMPLE_FORMAT, (1,)), image.tag_v2.get(_BITS_PER_SAMPLE, (1,))
        )
    return {"I": "integers of 32 bits", "F": "floating-point numbers"}.get(
        image.mode, f"of the kind {image.mode}"
    )


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return the raw mode that Pillow's decoder is to unpack samples with; empty for its default."""
    args: Any = image.tile[0].args if image.tile else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _planar(image: ImageFile.ImageFile) -> bool:
    """Whether the channels are stored in separate planes, which the decoder unpacks differently."""
    return (
        isinstance(image, TiffImagePlugin.TiffImageFile)
        and image.tag_v2.get(_PLANAR_CONFIGURATION) == _SEPARATE
    )


def _grey_16(image: ImageFile.ImageFile, raw_mode: str) -> Samples:
    image.load()
    top_value = 4095 if raw_mode == _TWELVE_BIT else 65535
    inverted = (
        isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == _MIN_IS_WHITE
    )

    def strip(top: int, bottom: int) -> Image.Image:
        grey = spread(top, bottom, 255).astype(np.uint8)
        return Image.fromarray(~grey if inverted else grey)

    def wide(top: int, bottom: int) -> NDArray[np.uint16]:
        grey = spread(top, bottom, 65535).astype(np.uint16)
        return ~grey if inverted else grey

    def spread(top: int, bottom: int, white: int) -> NDArray[np.uint32]:
        stored = np.asarray(image.crop((0, top, image.width, bottom))).astype(np.uint32)
        return (stored * white + top_value // 2) // top_value

    return Samples(
        mode="L",
        width=image.width,
        height=image.height,
        transparent=False,
        strip=strip,
        warnings=_key(image),
        rounded=rounded(top_value.bit_length()),
        wide=wide,
    )


def _grey_alpha_16(image: ImageFile.ImageFile) -> Samples:
    # Four bytes a pixel, high before low: unpacked as 8-bit RGBA they all survive.
    image.tile = [tile._replace(args="RGBA") for tile in image.tile]
    image.load()

    def parts(top: int, bottom: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        pairs = np.asarray(image.crop((0, top, image.width, bottom)))
        return pairs[..., 0::2], pairs[..., 1::2]

    return _of_bytes("LA", image.size, parts, ())


def _colour_16(opened: Opened, low_raw_mode: str) -> Samples:
    high, low = opened.image, opened.again()
    low.tile = [tile._replace(args=_with_raw_mode(tile.args, low_raw_mode)) for tile in low.tile]
    high.load()
    low.load()

    def parts(top: int, bottom: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        box = (0, top, high.width, bottom)
        return np.asarray(high.crop(box)), np.asarray(low.crop(box))

    return _of_bytes(high.mode, high.size, parts, _key(high))


def _of_bytes(
    mode: str,
    size: tuple[int, int],
    parts: Callable[[int, int], tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    warnings: tuple[str, ...],
) -> Samples:
    """Combine rows of high and low bytes to 16-bit samples."""
    width, height = size

    def strip(top: int, bottom: int) -> Image.Image:
        return Image.frombytes(mode, (width, bottom - top), _round(*parts(top, bottom)).tobytes())

    return Samples(
        mode=mode,
        width=width,
        height=height,
        transparent=mode in ("LA", "RGBA"),
        strip=strip,
        warnings=warnings,
        rounded=ROUNDED,
        wide=(lambda top, bottom: _join(*parts(top, bottom))) if mode != "CMYK" else None,
    )


def _key(image: ImageFile.ImageFile) -> tuple[str, ...]:
    return (_NO_KEY,) if "transparency" in image.info else ()


def _with_raw_mode(args: Any, raw_mode: str) -> Any:  # noqa: ANN401 -- every codec has arguments of its own
    return (raw_mode, *args[1:]) if isinstance(args, tuple) else raw_mode


def _join(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return np.left_shift(high, 8, dtype=np.uint16) | low


def _round(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The nearest 8-bit value of 16-bit samples given as bytes.

    A sample is 256 high + low = 257 high + (low - high), and 257 is the step from one 8-bit value to the next.
    """
    rest = low.astype(np.int16) - high
    return high + (rest > _HALF_STEP).astype(np.uint8) - (rest < -_HALF_STEP).astype(np.uint8)


def jpeg2000_depth(data: bytes) -> int:
    """Return the bits of the deepest sample; 8 where the header does not state them."""
    at = data.find(_CODESTREAM)
    try:
        (count,) = struct.unpack_from(">H", data, at + _SAMPLES_AT)
        return max((data[at + _SAMPLES_AT + 2 + 3 * n] & 0x7F) + 1 for n in range(count)) if at >= 0 else 8
    except (struct.error, IndexError, ValueError):
        return 8


def deep_jpeg2000(data: bytes, mode: str, size: tuple[int, int]) -> Samples | None:
    """Decode a JPEG 2000 of more than 8 bits per sample; None if Pillow's reader decodes it correctly.

    Args:
        data: the whole file, whose header was read.
        mode: Pillow's mode of the picture.
        size: width and height.

    Raises:
        PictureError: it is damaged.
        LimitError: neither reader decodes it correctly.
        Exception: Pillow's or OpenCV's own.
    """
    bits = jpeg2000_depth(data)
    if mode == _GREY_ALPHA and bits > 8:  # noqa: PLR2004 -- a byte
        raise LimitError(
            f"it is a JPEG 2000 of grey and transparency with {bits} bits, which is not supported",
            advice=_ADVICE,
        )
    if mode not in _DEEP or not 8 < bits <= _MOST_BITS:  # noqa: PLR2004 -- a byte
        return None
    with open_picture(JPEG_2000, data).image as image:
        image.load()
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    width, height = size
    if stored is None or stored.shape != (height, width, len(mode)):
        raise PictureError("its picture data is damaged, or of a kind that is not supported")
    share = np.minimum(np.arange(1 << _MOST_BITS) / ((1 << bits) - 1), 1)
    order = [2, 1, 0, 3][: len(mode)]  # OpenCV has blue first

    def strip(top: int, bottom: int) -> Image.Image:
        return Image.fromarray(np.ascontiguousarray(nearest[stored[top:bottom]][..., order]))

    def wide(top: int, bottom: int) -> NDArray[np.uint16]:
        return np.asarray(widest[stored[top:bottom]][..., order], np.uint16)

    nearest, widest = np.rint(share * 255).astype(np.uint8), np.rint(share * 65535).astype(np.uint16)
    return Samples(
        mode=mode,
        width=width,
        height=height,
        transparent=mode == "RGBA",
        strip=strip,
        rounded=ROUNDED,
        wide=wide,
    )
