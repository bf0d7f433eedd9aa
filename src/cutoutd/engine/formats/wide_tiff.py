"""TIFFs of channels or bits that Pillow does not know: 1 to 15 bits of colour, 16 bits with selections or in planes, Lab.

The file's own strips or tiles are put into a TIFF of plain bytes, which libtiff then decompresses: what the bytes mean is
done here. So no second library for TIFF is needed, and each compression without loss is read. This module must not convert
colours.

TIFF 6.0, sections 3 (bits of a row), 14 (differencing), 15 (tiles), 18 (associated alpha), 23 (CIE L*a*b*).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, TiffImagePlugin

from cutoutd.engine.containers import exif, tiff_structure
from cutoutd.engine.containers.exif import ExifBlock, IfdEntry
from cutoutd.engine.containers.metadata import orientation
from cutoutd.engine.containers.tiff_structure import MalformedError, TiffStructure
from cutoutd.engine.formats.colour_space import Colours
from cutoutd.engine.formats.packed_bits import unpacked
from cutoutd.engine.formats.source import SEVERAL, Loaded
from cutoutd.engine.formats.tiff_kind import ADVICE, compression_name, samples_in_words
from cutoutd.engine.samples import Samples, rounded
from cutoutd.errors import LimitError, PictureError
from cutoutd.file_signatures import TIFF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Wide = NDArray[np.unsignedinteger[Any]]

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_OFFSETS, _SAMPLES, _ROWS, _COUNTS, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_XMP, _ICC = 700, 34675
_DESCRIPTIVE: Final = {
    **dict.fromkeys((270, 271, 272, 305, 306, exif.ARTIST, exif.COPYRIGHT), tiff_structure.ASCII),
    **dict.fromkeys((282, 283), tiff_structure.RATIONAL),
    **dict.fromkeys((exif.ORIENTATION, 296), tiff_structure.SHORT),
}
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _EXTRA, _FORMAT = 322, 323, 324, 325, 338, 339

_WITHOUT_LOSS: Final = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
"""None, LZW, deflate, PackBits, deflate, LZMA, Zstandard."""
_MODES: Final = {0: ("L", 1), 1: ("L", 1), 2: ("RGB", 3), 5: ("CMYK", 4), 8: ("LAB", 3), 9: ("LAB", 3)}
_WHITE_IS_ZERO, _CIELAB, _ICCLAB = 0, 8, 9
_ASSOCIATED, _UNASSOCIATED = 1, 2
_DIFFERENCES: Final = 2
_PLANES: Final = 2
_MOST_SAMPLES: Final = 64
_MOST_BITS: Final = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class _SampleLayout:
    """Layout of the samples in the file.

    Attributes:
        order: byte order, as `struct` writes it.
        width, height: pixels.
        samples: samples per pixel, including those that are not colours.
        bits: bits per sample, 1 to 16.
        photometric, compression, predictor, fill_order: as TIFF counts them.
        alpha: index of the alpha sample, and whether colours are premultiplied by it; None: there is no alpha.
        is_planar: each channel is stored in a separate plane.
        block: width and height of a strip or tile.
        spans: offset and size of each strip or tile.
    """

    order: str
    width: int
    height: int
    samples: int
    bits: int
    photometric: int
    compression: int
    predictor: int
    fill_order: int
    alpha: tuple[int, bool] | None
    is_planar: bool
    block: tuple[int, int]
    spans: tuple[tuple[int, int], ...]

    @property
    def depth(self) -> int:
        """Bits of a sample in memory, 8 or 16; its values fill them."""
        return 8 if self.bits <= 8 else _MOST_BITS  # noqa: PLR2004 -- a byte

    @property
    def row_samples(self) -> int:
        """Samples of a row of a strip or tile."""
        return self.block[0] * (1 if self.is_planar else self.samples)


class WideTiffSource:
    """A TIFF that Pillow does not support, whose header was read.

    Args:
        data: the whole file.
        warnings: messages about what was left out of it before.

    Raises:
        LimitError: the kind of TIFF is not supported; the message says why.
        PictureError: it is damaged.
    """

    def __init__(self, data: bytes, warnings: tuple[str, ...] = ()) -> None:
        self._data, self._warnings = data, warnings
        try:
            # Only the directory is read: what the picture is made of, this class would refuse.
            stream = io.BytesIO(data)
            self.tags = TiffImagePlugin.ImageFileDirectory_v2(stream.read(8))
            stream.seek(self.tags.next)
            self.tags.load(stream)
            self._layout = _layout(self.tags, len(data))
        except (
            struct.error,
            TypeError,
            ValueError,
            KeyError,
            IndexError,
            OSError,
            OverflowError,
            SyntaxError,
        ) as error:
            raise PictureError("its list of contents is damaged or ends too early") from error

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._layout.width, self._layout.height

    format = TIFF

    def load(self) -> Loaded:
        """Decompress it.

        Raises:
            PictureError: it is damaged or ends too early.
            Exception: libtiff's own, over damaged data.
        """
        icc, xmp = self.tags.get(_ICC), self.tags.get(_XMP)
        described, iptc = _metadata(self._data)
        return Loaded(
            samples=self.samples(),
            colours=Colours(icc=icc if isinstance(icc, bytes) else None),
            exif=described,
            xmp=xmp if isinstance(xmp, bytes) else None,
            iptc=iptc,
            to_turn=orientation(described),
            warnings=(*self._warnings, *((SEVERAL,) if self.tags.next else ())),
        )

    def samples(self) -> Samples:
        """Decompress the pixels alone, not upright.

        Raises:
            PictureError: it is damaged or ends too early.
            Exception: libtiff's own, over damaged data.
        """
        layout = self._layout
        mode, colours = _MODES[layout.photometric]
        pixels = self._pixels()
        transparent = layout.alpha is not None

        def chosen(top: int, bottom: int) -> Wide:
            part = pixels[top:bottom]
            rows = _colours(part[..., :colours], layout)
            if layout.alpha is None:
                return rows
            which, is_multiplied = layout.alpha
            alpha = part[..., which : which + 1]
            return np.concatenate((_divide(rows, alpha) if is_multiplied else rows, alpha), axis=2)

        def strip(top: int, bottom: int) -> Image.Image:
            rows = chosen(top, bottom)
            if layout.depth == _MOST_BITS:
                rows = _narrow(rows, mode)
            name = mode if not transparent else {"L": "LA", "RGB": "RGBA"}[mode]
            plain = _as_pillow_has_it(rows.astype(np.uint8), mode)
            return Image.frombytes(name, (layout.width, bottom - top), plain.tobytes())

        is_deep = layout.depth == _MOST_BITS
        return Samples(
            mode=mode if not transparent else {"L": "LA", "RGB": "RGBA"}[mode],
            width=layout.width,
            height=layout.height,
            transparent=transparent,
            strip=strip,
            rounded=rounded(layout.bits) if is_deep else "",
            wide=(lambda top, bottom: np.asarray(chosen(top, bottom), np.uint16))
            if is_deep and mode in ("L", "RGB")
            else None,
        )

    def _pixels(self) -> Wide:
        """Return all samples, (height, width, samples)."""
        layout = self._layout
        pixels = np.empty((layout.height, layout.width, layout.samples), f"u{layout.depth // 8}")
        across, down = layout.block
        columns = -(-layout.width // across)
        for number, raw in enumerate(self._blocks(-(-layout.row_samples * layout.bits // 8))):
            if layout.bits == layout.depth:
                stored: Wide = np.frombuffer(raw, f"{layout.order}u{layout.depth // 8}")
            else:
                stored = unpacked(raw, bits=layout.bits, row_samples=layout.row_samples)
            block = stored.reshape(-1, across, layout.row_samples // across)
            if layout.predictor == _DIFFERENCES:
                block = np.cumsum(block, axis=1, dtype=pixels.dtype)
            plane, place = divmod(number, columns * -(-layout.height // down))
            top, left = place // columns * down, place % columns * across
            part = pixels[top : top + down, left : left + across]
            into = part[..., plane : plane + 1] if layout.is_planar else part
            into[...] = block[: into.shape[0], : into.shape[1]]
        return pixels

    def _blocks(self, row_bytes: int) -> Iterator[bytes]:
        """Yield each strip or tile, decompressed."""
        layout = self._layout
        rows_down = -(-layout.height // layout.block[1]) * -(-layout.width // layout.block[0])
        is_tiled = _TILE_OFFSETS in self.tags
        for number, (offset, size) in enumerate(layout.spans):
            strip = number % rows_down
            rows = (
                layout.block[1] if is_tiled else min(layout.block[1], layout.height - strip * layout.block[1])
            )
            packed = self._data[offset : offset + size]
            if len(packed) < size:
                raise PictureError("its picture data ends too early")
            with Image.open(
                io.BytesIO(_bytes_tiff(packed, row_bytes, rows, layout)), formats=["TIFF"]
            ) as image:
                yield image.tobytes()


def _metadata(data: bytes) -> tuple[bytes | None, bytes | None]:
    """Return the metadata of the directory as EXIF, and the IIM."""
    try:
        found, block = TiffStructure(data), ExifBlock.empty()
        for tag, kind in _DESCRIPTIVE.items():
            value = found.value(tag)
            if value:
                size = {tiff_structure.ASCII: 1, tiff_structure.SHORT: 2, tiff_structure.RATIONAL: 8}[kind]
                turned = (
                    value
                    if found.order == block.order or kind == tiff_structure.ASCII
                    else _swap(value, kind)
                )
                block.put(IfdEntry(tag=tag, kind=kind, count=len(value) // size, value=turned))
        iptc = found.value(exif.IPTC)
    except MalformedError:
        return None, None
    return None if block.is_empty else bytes(block), iptc


def _swap(value: bytes, kind: int) -> bytes:
    width = 2 if kind == tiff_structure.SHORT else 4
    return b"".join(value[at : at + width][::-1] for at in range(0, len(value), width))


def _layout(tags: TiffImagePlugin.ImageFileDirectory_v2, size: int) -> _SampleLayout:
    def number(tag: int, default: int | None = None) -> int:
        found = tags.get(tag, default)
        return int(found[0] if isinstance(found, tuple) else found)

    bits = set(_several(tags[_BITS]))
    samples, photometric, compression = number(_SAMPLES, 1), number(_PHOTOMETRIC), number(_COMPRESSION, 1)
    is_tiled = _TILE_OFFSETS in tags
    offsets, counts = (_TILE_OFFSETS, _TILE_COUNTS) if is_tiled else (_OFFSETS, _COUNTS)
    spans = tuple(zip(_several(tags[offsets]), _several(tags[counts]), strict=True))
    if any(offset + count > size for offset, count in spans):
        raise PictureError("its picture data ends too early")
    _refuse_other_kinds(
        bits, set(_several(tags.get(_FORMAT, 1))), photometric, compression, number(_PREDICTOR, 1)
    )
    colours = _MODES[photometric][1]
    if not colours <= samples <= _MOST_SAMPLES:
        raise PictureError("its number of channels makes no sense")
    width, height = number(_WIDTH), number(_HEIGHT)
    block = (
        (number(_TILE_WIDTH), number(_TILE_HEIGHT))
        if is_tiled
        else (width, min(number(_ROWS, height), height))
    )
    is_planar = number(_PLANAR, 1) == _PLANES and samples > 1
    if min(width, height, *block) < 1:
        raise PictureError("its size makes no sense")
    wanted = -(-width // block[0]) * -(-height // block[1]) * (samples if is_planar else 1)
    if len(spans) != wanted:
        raise PictureError("its list of contents is damaged")
    return _SampleLayout(
        order="<" if tags.prefix == b"II" else ">",
        width=width,
        height=height,
        samples=samples,
        bits=bits.pop(),
        photometric=photometric,
        compression=compression,
        predictor=number(_PREDICTOR, 1),
        fill_order=number(_FILL_ORDER, 1),
        alpha=_alpha(_several(tags.get(_EXTRA, ())), colours) if colours != 4 and photometric < 8 else None,  # noqa: PLR2004 -- CMYK, Lab
        is_planar=is_planar,
        block=block,
        spans=spans,
    )


def _refuse_other_kinds(
    bits: set[int], formats: set[int], photometric: int, compression: int, predictor: int
) -> None:
    """Raise an error that says why this kind of TIFF is not supported."""
    is_lab = photometric in (_CIELAB, _ICCLAB)
    reason = ""
    if formats != {1} or len(bits) > 1 or max(bits) > _MOST_BITS:
        reason = f"its samples are {samples_in_words(formats, bits)}"
    elif photometric not in _MODES:
        reason = (
            f"its kind of colours (PhotometricInterpretation {photometric}) is not read with these channels"
        )
    elif bits not in ({8}, {16}) and (is_lab or predictor == _DIFFERENCES):
        reason = (
            f"its samples have {max(bits)} bits, which is not read with {'Lab' if is_lab else 'differencing'}"
        )
    elif compression not in _WITHOUT_LOSS:
        reason = f"its compression, {compression_name(compression)}, is not read with these channels"
    if reason:
        raise LimitError(f"it is a TIFF of a kind that is not supported, because {reason}", advice=ADVICE)


def _alpha(extras: tuple[int, ...], colours: int) -> tuple[int, bool] | None:
    """Return the index of the alpha sample: the first declared as alpha. Other extra samples are selections, and unused."""
    for place, kind in enumerate(extras):
        if kind in (_ASSOCIATED, _UNASSOCIATED):
            return colours + place, kind == _ASSOCIATED
    return None


def _several(found: Any) -> tuple[int, ...]:  # noqa: ANN401 -- Pillow gives one value, or a tuple of them
    return tuple(map(int, found)) if isinstance(found, tuple) else (int(found),)


def _colours(rows: Wide, layout: _SampleLayout) -> Wide:
    if layout.photometric == _WHITE_IS_ZERO:
        return np.asarray(np.iinfo(rows.dtype).max - rows, rows.dtype)
    if layout.photometric == _CIELAB:  # a* and b* have signs there
        half = 1 << (layout.depth - 1)
        return np.concatenate((rows[..., :1], rows[..., 1:] + rows.dtype.type(half)), axis=2)
    return rows


def _narrow(rows: Wide, mode: str) -> Wide:
    """The nearest value of 8 bits; a* and b* count in 256ths, so that 0 stays in the middle."""
    narrow = (rows.astype(np.uint32) + 128) // 257
    if mode == "LAB":
        narrow[..., 1:] = np.minimum((rows[..., 1:].astype(np.uint32) + 128) >> 8, 255)
    return narrow


def _divide(rows: Wide, alpha: Wide) -> Wide:
    """Colours that were multiplied by the transparency, without it."""
    top = np.iinfo(rows.dtype).max
    share = np.maximum(alpha, 1).astype(np.float64) / top
    return np.clip(np.rint(rows / share), 0, top).astype(rows.dtype)


def _as_pillow_has_it(rows: NDArray[np.uint8], mode: str) -> NDArray[np.uint8]:
    """Pillow keeps a* and b* with a sign."""
    return np.concatenate((rows[..., :1], rows[..., 1:] ^ 0x80), axis=2) if mode == "LAB" else rows


def _bytes_tiff(packed: bytes, row_bytes: int, rows: int, layout: _SampleLayout) -> bytes:
    """A TIFF of grey bytes with this as its only strip."""
    fields = (
        (_WIDTH, row_bytes),
        (_HEIGHT, rows),
        (_BITS, 8),
        (_COMPRESSION, layout.compression),
        (_PHOTOMETRIC, 1),
        (_FILL_ORDER, layout.fill_order),
        (_OFFSETS, 8 + 2 + 10 * 12 + 4),
        (_SAMPLES, 1),
        (_ROWS, rows),
        (_COUNTS, len(packed)),
    )
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    return b"II\x2a\x00\x08\x00\x00\x00" + struct.pack("<H", len(fields)) + entries + bytes(4) + packed
