"""Which entries of EXIF may name the place where a picture was taken: all free text but that of camera, date and rights.

A list of what stays, since programs write titles, captions and keywords into many entries, and new ones are added. The tags are
those of CIPA DC-008 (Exif 3.0), of Windows (XPTitle and the like), of DNG 1.7 and of GeoTIFF 1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.engine.containers.exif import (
    ARTIST,
    COPYRIGHT,
    DESCRIPTION,
    EXIF_IFD,
    GPS_IFD,
    INTEROP_IFD,
    MAKER_NOTE,
)

if TYPE_CHECKING:
    from cutoutd.engine.containers.exif import ExifBlock
    from cutoutd.engine.containers.tiff_structure import DirectoryEntry

_NUMBERS: Final = frozenset({3, 4, 5, 8, 9, 10, 11, 12})  # types that hold no text
_LAST_GPS_TAG: Final = 0x1F
_KEPT_TEXTS: Final = frozenset(
    {
        *(0x010F, 0x0110, 0x0131, 0x0132, ARTIST, COPYRIGHT),  # make, model, software, date
        *(0x9C9D, 0xC614, 0xC615, 0xC62F),  # author; the camera's names and serial number as in DNG
        *(0x9000, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292),  # version, dates
        *(0x9101, 0xA000, 0xA300, 0xA301, 0xA302),  # how the pixels came about
        *(0xA420, 0xA430, 0xA431, 0xA433, 0xA434, 0xA435),  # the picture's number; owner, body and lens
        *(0xA437, 0xA438, 0xA439, 0xA43A, 0xA43B, 0xA43C),  # photographer, editor, firmware, software
    }
)
_INTEROP_TEXTS: Final = frozenset({0x0001, 0x0002})
_PLACES: Final = frozenset(
    {
        *(0x014A, 0x0190, GPS_IFD),  # further directories, of which nothing is known
        *(0x830E, 0x8480, 0x8482, 0x85D8, 0x87AF, 0x87B0, 0x87B1),  # GeoTIFF
    }
)
_NAMES: Final = {
    DESCRIPTION: "description",
    MAKER_NOTE: "maker note",
    0x010D: "document name",
    0x013C: "host computer",
    0x9286: "user comment",
    0x9C9B: "title",
    0x9C9C: "comment",
    0x9C9E: "keywords",
    0x9C9F: "subject",
    0xA436: "image title",
}


def remove_places(block: ExifBlock) -> list[str]:
    """Remove the position and everything that may name the place, and return the names of what was removed.

    Args:
        block: changed in place.

    Raises:
        MalformedError: a directory points outside the block, or stands in it several times.
    """
    dropped: list[str] = []
    camera = block.sole_directory(block.root, EXIF_IFD)
    interop = None if camera is None else block.sole_directory(camera, INTEROP_IFD)
    for ifd in (block.root, camera):
        if ifd is not None and block.has(ifd, GPS_IFD):
            block.remove_directory(ifd, GPS_IFD)
            dropped.append("GPS")
    for ifd, texts, last_gps_tag in (
        (block.root, _KEPT_TEXTS, _LAST_GPS_TAG),
        (camera, _KEPT_TEXTS, _LAST_GPS_TAG),
        (interop, _INTEROP_TEXTS, 0),  # its tags have the numbers of those of GPS
    ):
        if ifd is None:
            continue

        def may_name_the_place(
            entry: DirectoryEntry, texts: frozenset[int] = texts, last: int = last_gps_tag
        ) -> bool:
            if entry.tag in _PLACES or (entry.tag <= last and entry.tag not in texts):
                return True
            return entry.kind not in _NUMBERS and entry.tag not in texts

        dropped += [_NAMES.get(tag, f"0x{tag:04X}") for tag in block.remove_where(ifd, may_name_the_place)]
    block.wipe_unused()
    return list(dict.fromkeys(dropped))
