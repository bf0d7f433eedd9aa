"""A digest over a picture's data without its metadata: writing a rating or a caption into the file does not change it.

What decides how the picture looks counts as data: samples, tables, orientation, and all that tells colour (ICC profiles,
cICP, gAMA, cHRM, EXIF's ColorSpace and interoperability index, and their like). Where a container is not understood to its end,
the digest is over the whole file. So two equal digests mean the same picture; two different ones may, too. This module
must not decode anything.

Layouts: ISO/IEC 10918-1 (JPEG), PNG (third edition), the WebP container specification, TIFF 6.0, ISO/IEC 14496-12 and
23008-12 (HEIF).
"""

from __future__ import annotations

import hashlib
import re
import struct
from typing import TYPE_CHECKING, Final

from cutoutd.engine.containers import isobmff
from cutoutd.engine.containers.exif import EXIF_IFD, INTEROP_IFD, ORIENTATION, PREFIX
from cutoutd.engine.containers.tiff_structure import MalformedError, TiffStructure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_DIRECTORIES: Final = 64
_MAX_ENTRIES: Final = 4096

# Of EXIF: orientation, transfer function, white point, primaries, YCbCr's coefficients, positions and reference values.
_LOOKS: Final = frozenset({ORIENTATION, 301, 318, 319, 529, 531, 532})
_CAMERA_LOOKS: Final = frozenset({0xA001, 0xA500})  # colour space, gamma
_INTEROP_INDEX: Final = 1

# Of TIFF: what is not about the samples. Where they lie is read, and not taken as it stands.
_TIFF_METADATA: Final = frozenset(
    {
        *(269, 270, 271, 272, 285, 305, 306, 315, 316, 700, 18246, 18249, 32781, 33432, 33723, 34377),
        *(34853, 36867, 36868, 37510, 40091, 40092, 40093, 40094, 40095, 50971, 51041, 51105, 59932, 59933),
    }
)
_WHERE: Final = {273: 279, 324: 325, 513: 514}  # offsets of strips, tiles, JPEG streams, and their lengths
_SUB_DIRECTORIES: Final = 330

_AFTER_SCAN: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_JPEG_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
_JPEG_METADATA: Final = frozenset({0xE1, 0xE2, 0xED, 0xFE})
_APP1, _APP2 = 0xE1, 0xE2

_PNG_DATA: Final = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP sBIT mDCV cLLI bKGD acTL fcTL fdAT".split()
)
_WEBP_DATA: Final = frozenset({b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})
_ISO_METADATA: Final = frozenset({b"Exif", b"mime", b"uri "})


class _NotUnderstoodError(ValueError):
    """The container does not follow its standard."""


def image_sha256(data: bytes, name: str) -> str:
    """Return the SHA-256 digest of a picture's data, hex.

    Args:
        data: the whole file.
        name: name of the format, as `cutoutd.engine.formats.opening.recognise` gives it.
    """
    parts = _PARTS.get(name)
    if parts is None:
        return hashlib.sha256(data).hexdigest()
    digest = hashlib.sha256(f"cutoutd.image/1 {name}\n".encode())
    try:
        for kind, part in parts(data):
            digest.update(b"%d %s\n" % (len(part), kind))
            digest.update(part)
    except (ValueError, KeyError, struct.error, IndexError, OverflowError):
        return hashlib.sha256(data).hexdigest()
    return digest.hexdigest()


Part = tuple[bytes, bytes | memoryview]


def _jpeg(data: bytes) -> Iterator[Part]:
    view, at = memoryview(data), 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:  # noqa: PLR2004 -- fill bytes
            at += 1
        if data[at] != 0xFF:  # noqa: PLR2004 -- every marker begins so
            raise _NotUnderstoodError
        kind = data[at + 1]
        if kind == _JPEG_END:
            return
        if kind in _JPEG_ALONE:
            at += 2
            continue
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        content = view[at + 4 : end]
        if kind in _JPEG_METADATA:
            yield from _jpeg_looks(kind, bytes(content))
        else:
            yield b"%02x" % kind, content
        at = end
        if kind == _JPEG_SCAN:
            found = _AFTER_SCAN.search(data, at)
            stop = len(data) if found is None else found.start()
            yield b"scan", view[at:stop]
            at = stop
            if found is None:
                return  # its end marker is missing


def _jpeg_looks(kind: int, content: bytes) -> Iterator[Part]:
    if kind == _APP1 and content.startswith(PREFIX):
        yield from _exif_looks(content.removeprefix(PREFIX))
    elif kind == _APP2 and content.startswith(b"ICC_PROFILE\0"):
        yield b"icc", content


def _png(data: bytes) -> Iterator[Part]:
    view, at, before = memoryview(data), 8, b""
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + size
        if end + 4 > len(data):
            raise _NotUnderstoodError
        if kind == b"eXIf":
            yield from _exif_looks(data[at + 8 : end])
        elif kind in _PNG_DATA:
            # A program that writes the file anew may part the same stream otherwise.
            yield (b"more" if kind == before == b"IDAT" else kind), view[at + 8 : end]
            before = kind
        at = end + 4


def _webp(data: bytes) -> Iterator[Part]:
    view, at = memoryview(data), 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        end = at + 8 + size
        if end > len(data):
            raise _NotUnderstoodError
        if kind == b"EXIF":
            yield from _exif_looks(data[at + 8 : end].removeprefix(PREFIX))
        elif kind in _WEBP_DATA:
            yield kind, view[at + 8 : end]
        at = end + (size & 1)


def _iso(data: bytes) -> Iterator[Part]:
    view = memoryview(data)
    found = isobmff.still(data)
    pictures = sorted(item for item, kind in found.kinds.items() if kind not in _ISO_METADATA)
    if not pictures or found.primary not in pictures or b"iprp" not in found.boxes:
        raise _NotUnderstoodError
    yield b"pitm", b"%d" % found.primary
    yield b"iprp", found.boxes[b"iprp"]
    yield b"idat", found.boxes.get(b"idat", b"")  # grids and other derived pictures stand there
    for item in pictures:
        yield b"item %d %s" % (item, found.kinds[item]), b""
        for begin, end in found.spans.get(item, []):
            if end > len(data):
                raise _NotUnderstoodError
            yield b"extent", view[begin:end]


def _tiff(data: bytes) -> Iterator[Part]:
    tiff = _Tiff(data)
    waiting, seen = [tiff.root], 0
    while waiting:
        at = waiting.pop(0)
        seen += 1
        if seen > _MAX_DIRECTORIES:
            raise _NotUnderstoodError
        entries, following = tiff.directory(at)
        yield b"directory", b""
        for tag, (kind, value) in sorted(entries.items()):
            if tag == _SUB_DIRECTORIES:
                waiting += tiff.numbers(kind, value)
            elif tag == EXIF_IFD:
                yield from _camera_looks(tiff, tiff.numbers(kind, value)[0])
            elif tag in _WHERE:
                yield from _samples(data, tiff.numbers(kind, value), tiff.numbers(*entries[_WHERE[tag]]))
            elif tag not in _TIFF_METADATA:
                yield b"%d %d" % (tag, kind), value
        if following:
            waiting.append(following)


def _samples(data: bytes, offsets: list[int], lengths: list[int]) -> Iterator[Part]:
    for begin, size in zip(offsets, lengths, strict=True):
        if begin + size > len(data):
            raise _NotUnderstoodError
        yield b"samples", memoryview(data)[begin : begin + size]


def _exif_looks(block: bytes) -> Iterator[Part]:
    """Yield the EXIF entries that decide how the picture looks; nothing where the block is not EXIF."""
    try:
        tiff = _Tiff(block)
        entries, _ = tiff.directory(tiff.root)
    except (_NotUnderstoodError, MalformedError, OverflowError):
        yield b"exif", block  # a decoder may understand more of it
        return
    for tag, (kind, value) in sorted(entries.items()):
        if tag in _LOOKS:
            yield b"%d %d" % (tag, kind), value
        elif tag == EXIF_IFD:
            yield from _camera_looks(tiff, tiff.numbers(kind, value)[0])


def _camera_looks(tiff: _Tiff, at: int) -> Iterator[Part]:
    entries, _ = tiff.directory(at)
    for tag, (kind, value) in sorted(entries.items()):
        if tag in _CAMERA_LOOKS:
            yield b"%d %d" % (tag, kind), value
        elif tag == INTEROP_IFD:
            index = tiff.directory(tiff.numbers(kind, value)[0])[0].get(_INTEROP_INDEX)
            yield b"interop", b"" if index is None else index[1]


class _Tiff(TiffStructure):
    """The directories of a TIFF structure; raises `_NotUnderstoodError` for offsets outside it."""

    _data: bytes

    def directory(self, at: int) -> tuple[dict[int, tuple[int, bytes]], int]:
        """Return type and value by tag, and the offset of the next directory; 0 for none."""
        count = self.count(at)
        if count > _MAX_ENTRIES:
            raise _NotUnderstoodError
        entries = {}
        for entry in self.entries(at):
            end = entry.value_at + entry.value_bytes
            if end > len(self._data):
                raise _NotUnderstoodError
            entries[entry.tag] = (entry.kind, self._data[entry.value_at : end])
        link = self._data[at + 2 + 12 * count :][:4]
        return entries, int.from_bytes(link, "little" if self.order == "<" else "big")

    def numbers(self, kind: int, value: bytes) -> list[int]:
        """Return the integers of a value."""
        letter = {1: "B", 3: "H", 4: "I", 13: "I"}.get(kind)
        if letter is None or not value:
            raise _NotUnderstoodError
        one = struct.Struct(f"{self.order}{letter}")
        return [number for (number,) in one.iter_unpack(value)]


_PARTS: Final[dict[str, Callable[[bytes], Iterator[Part]]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WebP": _webp,
    "HEIC": _iso,
    "AVIF": _iso,
    "TIFF": _tiff,
}
