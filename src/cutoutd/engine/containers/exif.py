"""Read and edit EXIF blocks in place; bytes that are not edited stay as they are.

Editing in place, rather than parsing and writing anew as Pillow does, keeps opaque data (maker notes hold offsets
from the block's start) and cannot invent values. This module must not decide what is taken out.

The layout is TIFF 6.0, section 2; the tags are those of CIPA DC-008 (Exif 2.32).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.engine.containers.tiff_structure import (
    ENTRY_BYTES,
    INLINE_BYTES,
    LONG,
    SHORT,
    UNSIGNED,
    DirectoryEntry,
    MalformedError,
    TiffStructure,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PREFIX: Final = b"Exif\x00\x00"
EMPTY: Final = b"II\x2a\x00\x08\x00\x00\x00" + bytes(6)
"""A block that says nothing yet."""

ORIENTATION: Final = 0x0112
XMP: Final = 0x02BC
DESCRIPTION: Final = 0x010E
ARTIST: Final = 0x013B
COPYRIGHT: Final = 0x8298
IPTC: Final = 0x83BB
PHOTOSHOP: Final = 0x8649  # holds IPTC, and a thumbnail of its own
EXIF_IFD: Final = 0x8769
GPS_IFD: Final = 0x8825
MAKER_NOTE: Final = 0x927C
INTEROP_IFD: Final = 0xA005

WHITE_POINT: Final = 0x013E
PRIMARIES: Final = 0x013F
SRGB: Final = 1
UNCALIBRATED: Final = 0xFFFF
"""Values of ColorSpace: the second says that it is another one than sRGB."""
_COLOUR_SPACE: Final = 0xA001
_GAMMA: Final = 0xA500
_INTEROP_INDEX: Final = 0x0001

_STRIP_OFFSETS: Final = 0x0111
_STRIP_BYTES: Final = 0x0117
_JPEG_OFFSET: Final = 0x0201
_JPEG_BYTES: Final = 0x0202

_PIXELS_ACROSS: Final = 0xA002
_PIXELS_DOWN: Final = 0xA003
_SRGB_INDEX: Final = b"R98"
_HEADER_BYTES: Final = 8
_UPRIGHT: Final = 1
_LAST_ORIENTATION: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class IfdEntry:
    """An IFD entry to write: its value as bytes in the byte order of the block."""

    tag: int
    kind: int
    count: int
    value: bytes


class ExifBlock(TiffStructure):
    """A TIFF structure that can be edited in place.

    Args:
        data: with or without the six-byte ``Exif`` prefix.

    Raises:
        MalformedError: the data is not EXIF, or a directory points outside it. Every method may raise it.
    """

    _data: bytearray

    def __init__(self, data: bytes) -> None:
        super().__init__(bytearray(data.removeprefix(PREFIX)))

    @classmethod
    def empty(cls) -> ExifBlock:
        """A block that says nothing yet."""
        return cls(EMPTY)

    def __bytes__(self) -> bytes:
        """Return the block without prefix, and without the trailing zeros of removed values."""
        used = max((end for ifd in self._directories() for _, end in self._spans(ifd)), default=0)
        return bytes(self._data[: max(used, len(self._data.rstrip(b"\x00")))])

    @property
    def orientation(self) -> int:
        """The orientation, 1 to 8; 1 where it is missing or invalid."""
        entry = self.find(self.root, ORIENTATION)
        if entry is None or entry.kind not in UNSIGNED or entry.value_bytes > INLINE_BYTES:
            return _UPRIGHT
        value = self.number(UNSIGNED[entry.kind], entry.value_at)
        return value if _UPRIGHT <= value <= _LAST_ORIENTATION else _UPRIGHT

    def put(self, *fields: IfdEntry) -> None:
        """Write entries into the first directory, in place of those with the same tag.

        The directory moves to the end of the block; nothing else does, so that no offset has to be understood.
        """
        for field in fields:
            self.remove(self.root, field.tag)
        entries = {e.tag: bytes(self._data[e.at : e.at + ENTRY_BYTES]) for e in self.entries(self.root)}
        size = 2 + len(entries) * ENTRY_BYTES
        link = bytes(self._data[self.root + size : self.root + size + INLINE_BYTES]).ljust(4, b"\x00")
        self._zero(self.root, size + INLINE_BYTES)
        for field in fields:
            value = field.value.ljust(INLINE_BYTES, b"\x00")
            if len(value) > INLINE_BYTES:
                value = struct.pack(f"{self.order}I", self._end())
                self._data += field.value
            head = struct.pack(f"{self.order}HHI", field.tag, field.kind, field.count)
            entries[field.tag] = head + value
        self.root = self._end()
        struct.pack_into(f"{self.order}I", self._data, 4, self.root)
        self._data += struct.pack(f"{self.order}H", len(entries))
        self._data += b"".join(entry for _, entry in sorted(entries.items())) + link

    def _end(self) -> int:
        """Return the offset of the next value, which must be even."""
        self._data += bytes(len(self._data) % 2)
        return len(self._data)

    def set_upright(self) -> None:
        """Set the orientation to 1, where the block has one."""
        entry = self.find(self.root, ORIENTATION)
        if entry is None:
            return
        if entry.kind == SHORT and entry.value_bytes <= INLINE_BYTES:
            struct.pack_into(f"{self.order}HH", self._data, entry.value_at, _UPRIGHT, 0)
        else:
            self.remove(self.root, ORIENTATION)

    def set_size(self, width: int, height: int) -> None:
        """Set the size in pixels, where the block states a size."""
        camera = self.directory(EXIF_IFD)
        if camera is None:
            return
        for tag, side in ((_PIXELS_ACROSS, width), (_PIXELS_DOWN, height)):
            entry = self.find(camera, tag)
            if entry is None:
                continue
            if (
                entry.kind in UNSIGNED
                and entry.value_bytes <= INLINE_BYTES
                and entry.at + 12 <= len(self._data)
            ):
                # As a LONG, which the field may be in any case, and which takes every size.
                struct.pack_into(f"{self.order}HII", self._data, entry.at + 2, LONG, 1, side)
            else:
                self.remove(camera, tag)

    @property
    def colour_space(self) -> int | None:
        """The ColorSpace value, such as `SRGB`; None where it is missing."""
        entry = self._of_camera(_COLOUR_SPACE)
        return self._short(entry)

    @property
    def interoperability(self) -> bytes:
        """The interoperability index, such as ``R98``; empty where there is none."""
        entry = self._interop_index()
        if entry is None:
            return b""
        return bytes(self._data[entry.value_at : entry.value_at + entry.value_bytes]).rstrip(b"\x00 ")

    @property
    def gamma(self) -> float | None:
        """The exponent from values to light; None where it is missing."""
        found = self._rationals(self._of_camera(_GAMMA), 1)
        return None if found is None else found[0]

    @property
    def white_point(self) -> tuple[float, float] | None:
        """The x and y of the white point; None where they are missing."""
        found = self._rationals(self.find(self.root, WHITE_POINT), 2)
        return None if found is None else (found[0], found[1])

    @property
    def primaries(self) -> tuple[float, ...] | None:
        """The x and y of red, green and blue; None where they are missing."""
        return self._rationals(self.find(self.root, PRIMARIES), 6)

    def set_colour_space(self, space: int) -> None:
        """Set the colour space to `SRGB` or `UNCALIBRATED`, where the block states one.

        `SRGB` also sets a different interoperability index to that of sRGB, and removes gamma, white point and primaries.
        """
        entry = self._of_camera(_COLOUR_SPACE)
        if entry is not None and self._short(entry) is not None:
            struct.pack_into(f"{self.order}HIHH", self._data, entry.at + 2, SHORT, 1, space, 0)
        if space != SRGB:
            return
        index = self._interop_index()
        if index is not None and index.value_bytes == len(_SRGB_INDEX) + 1:
            self._data[index.value_at : index.value_at + len(_SRGB_INDEX)] = _SRGB_INDEX
        for tag in (WHITE_POINT, PRIMARIES):
            self.remove(self.root, tag)
        camera = self.directory(EXIF_IFD)
        if camera is not None:
            self.remove(camera, _GAMMA)

    def _of_camera(self, tag: int) -> DirectoryEntry | None:
        camera = self.directory(EXIF_IFD)
        return None if camera is None else self.find(camera, tag)

    def _interop_index(self) -> DirectoryEntry | None:
        pointer = self._of_camera(INTEROP_IFD)
        return None if pointer is None else self.find(self.number("I", pointer.value_at), _INTEROP_INDEX)

    def sound_entries(self) -> Iterator[tuple[int, bytes]]:
        """Yield tag and raw bytes of each entry of the first directory whose value lies inside the block."""
        for entry in self.entries(self.root):
            is_there = entry.value_bytes > 0 and entry.value_at + entry.value_bytes <= len(self._data)
            if not is_there or entry.at + ENTRY_BYTES > len(self._data):
                continue
            if entry.tag in (EXIF_IFD, GPS_IFD) and not self._is_inside(self._first(entry)):
                continue
            yield entry.tag, bytes(self._data[entry.at : entry.at + ENTRY_BYTES])

    def _is_inside(self, ifd: int) -> bool:
        """Whether a directory at this offset lies inside the block."""
        if ifd + 2 > len(self._data):
            return False
        return ifd + 2 + self.number("H", ifd) * ENTRY_BYTES <= len(self._data)

    @property
    def is_empty(self) -> bool:
        """Whether the block has no entries."""
        return self.number("H", self.root) == 0

    def has(self, ifd: int, tag: int) -> bool:
        """Whether the directory at ``ifd`` has such an entry."""
        return self.find(ifd, tag) is not None

    def directory(self, tag: int) -> int | None:
        """Return the offset of the sub-directory of this tag, or None."""
        entry = self.find(self.root, tag)
        return None if entry is None else self.number("I", entry.value_at)

    def sole_directory(self, ifd: int, tag: int) -> int | None:
        """Return the offset of the sub-directory of this tag in the directory at ``ifd``; None where there is none.

        Raises:
            MalformedError: there are several: readers do not agree on which counts.
        """
        found = {self.number("I", entry.value_at) for entry in self.entries(ifd) if entry.tag == tag}
        if len(found) > 1:
            raise MalformedError("it has several directories of one kind")
        return next(iter(found), None)

    def remove(self, ifd: int, tag: int) -> None:
        """Remove all entries of a tag from the directory at ``ifd`` and overwrite their values with zeros."""
        self.remove_where(ifd, lambda entry: entry.tag == tag)

    def remove_where(self, ifd: int, is_unwanted: Callable[[DirectoryEntry], bool]) -> list[int]:
        """Remove these entries from the directory at ``ifd``, overwrite their values with zeros, and return their tags."""
        entries = list(self.entries(ifd))
        gone = [entry for entry in entries if is_unwanted(entry)]
        if not gone:
            return []
        self._wipe(gone)
        places = {entry.at for entry in gone}
        begin, end = ifd + 2, ifd + 2 + len(entries) * ENTRY_BYTES
        kept = [self._data[entry.at : entry.at + ENTRY_BYTES] for entry in entries if entry.at not in places]
        link = self._data[end : end + INLINE_BYTES]
        self._data[begin : end + len(link)] = b"".join((*kept, link, bytes(len(gone) * ENTRY_BYTES)))
        struct.pack_into(f"{self.order}H", self._data, ifd, len(kept))
        return [entry.tag for entry in gone]

    def wipe_unused(self) -> None:
        """Overwrite with zeros what no directory names: other programs' leftovers, or a second block behind this one."""
        begin = _HEADER_BYTES
        for at, end in sorted(span for ifd in self._directories() for span in self._spans(ifd)):
            self._zero(begin, at - begin)
            begin = max(begin, end)
        self._zero(begin, len(self._data) - begin)

    def remove_directory(self, ifd: int, tag: int) -> None:
        """Remove the sub-directory of a tag with all its values, and the entry in ``ifd`` that points to it."""
        found = self.sole_directory(ifd, tag)
        if found is not None:
            self._wipe_directory(found)
            self.remove(ifd, tag)

    def remove_thumbnail(self) -> None:
        """Remove the second directory (IFD1) and its thumbnail."""
        link = self.root + 2 + self.number("H", self.root) * ENTRY_BYTES
        if link + INLINE_BYTES > len(self._data):
            return  # some writers leave the link out where nothing follows
        second = self.number("I", link)
        if second == 0:
            return
        struct.pack_into(f"{self.order}I", self._data, link, 0)
        for offset_tag, bytes_tag in ((_JPEG_OFFSET, _JPEG_BYTES), (_STRIP_OFFSETS, _STRIP_BYTES)):
            offset, size = self.find(second, offset_tag), self.find(second, bytes_tag)
            if offset is not None and size is not None:
                self._zero(self._first(offset), self._first(size))
        self._wipe_directory(second)

    def _directories(self) -> Iterator[int]:
        yield self.root
        for tag in (EXIF_IFD, GPS_IFD):
            if (ifd := self.directory(tag)) is not None:
                yield ifd
        exif = self.directory(EXIF_IFD)
        entry = None if exif is None else self.find(exif, INTEROP_IFD)
        if entry is not None:
            yield self.number("I", entry.value_at)

    def _spans(self, ifd: int) -> Iterator[tuple[int, int]]:
        """Yield where the directory and each of its values begin and end."""
        yield ifd, ifd + 2 + self.number("H", ifd) * ENTRY_BYTES + INLINE_BYTES
        for entry in self.entries(ifd):
            yield entry.value_at, entry.value_at + entry.value_bytes

    def _wipe_directory(self, ifd: int) -> None:
        self._wipe(self.entries(ifd))
        self._zero(ifd, 2 + self.number("H", ifd) * ENTRY_BYTES + INLINE_BYTES)

    def _wipe(self, entries: Iterable[DirectoryEntry]) -> None:
        """Overwrite the values of entries with zeros, each byte once: values may lie over each other."""
        done = 0
        for at, end in sorted((entry.value_at, entry.value_at + entry.value_bytes) for entry in entries):
            self._zero(max(at, done), end - max(at, done))
            done = max(done, end)

    def _zero(self, at: int, size: int) -> None:
        end = min(at + size, len(self._data))
        if at < end:
            self._data[at:end] = bytes(end - at)


def edited(exif: bytes, change: Callable[[ExifBlock], None]) -> bytes:
    """Return EXIF after an edit; unchanged where it is malformed."""
    try:
        block = ExifBlock(exif)
        change(block)
        return bytes(block)
    except MalformedError:
        return exif
