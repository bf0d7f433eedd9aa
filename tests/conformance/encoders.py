"""Real files of every supported kind, each written by an encoder that is not ours.

The encoders start from two PNGs of a picture without symmetry: one opaque, one with transparency. The table
of docs/formats.md is made of the same list: a test compares them.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
import pillow_heif
import tifffile
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

HEIGHT, WIDTH = 64, 96
CONVERT: Final = "magick" if shutil.which("magick") else "convert-im6.q16"
"""The command of ImageMagick 7 or 6."""

# What a camera of the tests sees: its channels are those of linear sRGB, less sensitive for red and blue.
_SENSITIVITY: Final = (0.5, 1.0, 0.6)
_BLACK, _WHITE = 512, 15000
_SRGB_TO_XYZ: Final = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of file.

    Attributes:
        name: name of the kind.
        suffix: suffix of the file's name.
        format: format that must be recognised.
        how: command or program, as the documentation states it.
        make: function that writes the file, from the directory with ``opaque.png`` and ``clear.png``.
        tolerance: greatest mean difference from the source, in levels of 255.
        clear: whether it is made from the transparent source and keeps the transparency.
        grey: whether it has no colours.
        said: a word of the expected warning; empty if there is none.
        tool: program that must be installed.
    """

    name: str
    suffix: str
    format: str
    how: str
    make: Callable[[Path, Path], None]
    tolerance: float = 2.0
    clear: bool = False
    grey: bool = False
    said: str = ""
    tool: str | None = None


def pixels(channels: int = 3) -> NDArray[np.uint8]:
    """Return a smooth picture without symmetry: turning or mirroring changes it."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = (x * 2 + 20, y * 3 + 10, (x + y) + 30, 255 - x * 2)
    picture = np.dstack(planes[:channels]).astype(np.uint8)
    picture[:12, :12, :3] = 255  # what is white is seen to stay so
    return picture


def write_sources(directory: Path) -> None:
    """Write the two sources, and the other formats that some encoders read instead of PNG."""
    Image.fromarray(pixels()).save(directory / "opaque.png")
    Image.fromarray(pixels()).save(directory / "opaque.ppm")
    Image.fromarray(pixels(4)).save(directory / "clear.png")
    deep = pixels().astype(np.uint16) * 257
    cv2.imwrite(str(directory / "deep.png"), deep[..., ::-1])
    tifffile.imwrite(directory / "deep.tif", deep, photometric="rgb", metadata=None)
    tifffile.imwrite(directory / "plain.tif", pixels(), photometric="rgb", metadata=None)
    tifffile.imwrite(directory / "other.tif", ~pixels(), photometric="rgb", metadata=None)


def run(directory: Path, *command: str) -> None:
    """Run a command in a directory."""
    subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=60)


def _by(*command: str) -> Callable[[Path, Path], None]:
    """Return a function that runs a command with its word OUT replaced by the file's path."""
    return lambda directory, out: run(directory, *(word.replace("OUT", str(out)) for word in command))


def _kind(name: str, format_name: str, suffix: str, command: str, **more: object) -> Kind:
    """Return a kind that a command line writes."""
    words = command.split()
    program = {"convert": CONVERT}.get(words[0], words[0])
    return Kind(
        name=name,
        suffix=suffix,
        format=format_name,
        how=command.replace("OUT", f"x{suffix}"),
        make=_by(program, *words[1:]),
        tool=program,
        **more,  # type: ignore[arg-type]
    )


def mosaic(picture: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return what a sensor behind an RGGB filter records of a picture whose sides are even."""
    signal = picture / 255
    linear = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4) * _SENSITIVITY
    seen = linear[..., 1].copy()
    seen[0::2, 0::2] = linear[0::2, 0::2, 0]
    seen[1::2, 1::2] = linear[1::2, 1::2, 2]
    return np.rint(_BLACK + seen * (_WHITE - _BLACK)).astype(np.uint16)


def write_dng(
    out: Path, sensor: NDArray[np.uint16], *, orientation: int = 1, compression: str | None = None
) -> None:
    """Write a DNG (1.4) with one page."""

    def rational(values: NDArray[np.float64] | tuple[float, ...]) -> list[int]:
        return [part for value in np.ravel(values) for part in (round(float(value) * 10000), 10000)]

    to_camera = np.diag(_SENSITIVITY) @ np.linalg.inv(_SRGB_TO_XYZ)
    tags = [
        (271, "s", 0, "Maker", True),
        (272, "s", 0, "Model 7", True),
        (274, "H", 1, orientation, True),
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, (0, 1, 1, 2), True),
        (50706, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, "Maker Model 7", True),
        (50714, "H", 1, _BLACK, True),
        (50717, "H", 1, _WHITE, True),
        (50721, "2i", 9, rational(to_camera), True),
        (50728, "2I", 3, rational(_SENSITIVITY), True),
        (50778, "H", 1, 21, True),
    ]
    tifffile.imwrite(
        out, sensor, photometric=32803, extratags=tags, metadata=None, software="", compression=compression
    )


def write_monochrome_dng(out: Path, sensor: NDArray[np.uint16]) -> None:
    """Write a DNG of a sensor without colour filters, by correcting the tags that tifffile writes."""
    tags = [
        (271, "s", 0, "Maker", True),
        (50706, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, "Maker M", True),
        (50717, "H", 1, 65535, True),
    ]
    tifffile.imwrite(out, sensor, photometric=1, extratags=tags, metadata=None)
    grey, linear_raw = (struct.pack("<HHII", 262, 3, 1, value) for value in (1, 34892))
    out.write_bytes(out.read_bytes().replace(grey, linear_raw))


def write_nef(
    out: Path, sensor: NDArray[np.uint16], preview: NDArray[np.uint8], maker: str = "NIKON CORPORATION"
) -> None:
    """Write a raw file in the layout of Nikon and Sony: a preview, and the sensor's data a page below."""
    make = [(271, "s", 0, maker, True), (272, "s", 0, "Model 7", True)]
    cfa = [(33421, "H", 2, (2, 2), True), (33422, "B", 4, (0, 1, 1, 2), True)]
    with tifffile.TiffWriter(out) as writer:
        writer.write(preview, photometric="rgb", subfiletype=1, extratags=make, subifds=1, metadata=None)
        writer.write(sensor, photometric=32803, subfiletype=0, extratags=cfa, metadata=None)


def write_heic(out: Path, picture: NDArray[np.uint8], **options: object) -> None:
    """Write a HEIC nearly without loss, with libheif and x265 through pillow-heif."""
    image = pillow_heif.from_pillow(Image.fromarray(picture))
    image.save(out, **{"quality": 97, "chroma": 444, **options})


def _dng(compression: str | None) -> Callable[[Path, Path], None]:
    """Return a function that writes a DNG with this compression."""
    return lambda _, out: write_dng(out, mosaic(pixels()), compression=compression)


_TIFFCP: Final = ("none", "lzw", "zip", "packbits")

KINDS: Final = (
    _kind("JPEG, baseline", "JPEG", ".jpg", "cjpeg -quality 97 -sample 1x1 -outfile OUT opaque.ppm"),
    _kind(
        "JPEG, subsampled, with restarts",
        "JPEG",
        ".jpg",
        "cjpeg -quality 95 -restart 1 -outfile OUT opaque.ppm",
    ),
    _kind(
        "JPEG, sampled four to one", "JPEG", ".jpg", "cjpeg -quality 97 -sample 1x4 -outfile OUT opaque.ppm"
    ),
    _kind(
        "JPEG, sampled three to one", "JPEG", ".jpg", "cjpeg -quality 97 -sample 3x1 -outfile OUT opaque.ppm"
    ),
    _kind("JPEG, progressive", "JPEG", ".jpg", "cjpeg -quality 97 -progressive -outfile OUT opaque.ppm"),
    _kind("JPEG, arithmetic coding", "JPEG", ".jpg", "cjpeg -quality 97 -arithmetic -outfile OUT opaque.ppm"),
    _kind("JPEG, grey", "JPEG", ".jpg", "cjpeg -quality 97 -grayscale -outfile OUT opaque.ppm", grey=True),
    _kind(
        "JPEG, CMYK",
        "JPEG",
        ".jpg",
        "convert opaque.png -colorspace CMYK -quality 97 OUT",
        tolerance=4.0,
        said="CMYK",
    ),
    _kind("PNG, 8 bits", "PNG", ".png", "convert opaque.png png24:OUT", tolerance=0.0),
    _kind(
        "PNG, 8 bits, transparent", "PNG", ".png", "convert clear.png png32:OUT", tolerance=0.0, clear=True
    ),
    _kind("PNG, 16 bits", "PNG", ".png", "convert deep.png png48:OUT", tolerance=0.0, said="rounded"),
    _kind(
        "PNG, 16 bits, transparent",
        "PNG",
        ".png",
        "convert clear.png -depth 16 png64:OUT",
        tolerance=0.0,
        clear=True,
        said="rounded",
    ),
    _kind("PNG, palette", "PNG", ".png", "convert opaque.png -colors 250 png8:OUT", tolerance=6.0),
    _kind("PNG, interlaced", "PNG", ".png", "convert opaque.png -interlace PNG png24:OUT", tolerance=0.0),
    _kind(
        "PNG, grey",
        "PNG",
        ".png",
        "convert opaque.png -grayscale Rec601Luma -define png:color-type=0 OUT",
        grey=True,
    ),
    _kind(
        "PNG, grey, 16 bits, transparent",
        "PNG",
        ".png",
        "convert clear.png -grayscale Rec601Luma -depth 16 -define png:color-type=4 -define png:bit-depth=16 OUT",
        grey=True,
        clear=True,
        said="rounded",
    ),
    *(
        _kind(f"TIFF, {name}", "TIFF", ".tif", f"tiffcp -c {name} plain.tif OUT", tolerance=0.0)
        for name in _TIFFCP
    ),
    _kind("TIFF, JPEG inside", "TIFF", ".tif", "tiffcp -c jpeg:r:97 -r 16 plain.tif OUT"),
    _kind("TIFF, tiled", "TIFF", ".tif", "tiffcp -t -w 32 -l 32 -c lzw plain.tif OUT", tolerance=0.0),
    _kind("TIFF, planes", "TIFF", ".tif", "tiffcp -p separate -c lzw plain.tif OUT", tolerance=0.0),
    _kind("TIFF, big-endian", "TIFF", ".tif", "tiffcp -B plain.tif OUT", tolerance=0.0),
    _kind("TIFF, over 4 GB (BigTIFF)", "TIFF", ".tif", "tiffcp -8 plain.tif OUT", tolerance=0.0),
    _kind("TIFF, 16 bits", "TIFF", ".tif", "tiffcp -c lzw deep.tif OUT", tolerance=0.0, said="rounded"),
    _kind(
        "TIFF, 16 bits, big-endian", "TIFF", ".tif", "tiffcp -B deep.tif OUT", tolerance=0.0, said="rounded"
    ),
    _kind("TIFF, CMYK", "TIFF", ".tif", "convert opaque.png -colorspace CMYK OUT", said="CMYK"),
    _kind("TIFF, transparent", "TIFF", ".tif", "convert clear.png OUT", tolerance=0.0, clear=True),
    _kind(
        "TIFF, several pages",
        "TIFF",
        ".tif",
        "tiffcp plain.tif other.tif OUT",
        tolerance=0.0,
        said="first one",
    ),
    _kind("WebP, lossless", "WebP", ".webp", "cwebp -lossless opaque.png -o OUT", tolerance=0.0),
    _kind("WebP, lossy", "WebP", ".webp", "cwebp -q 97 opaque.png -o OUT"),
    _kind(
        "WebP, transparent",
        "WebP",
        ".webp",
        "cwebp -lossless -exact clear.png -o OUT",
        tolerance=0.0,
        clear=True,
    ),
    _kind("GIF", "GIF", ".gif", "convert opaque.png -dither None OUT", tolerance=6.0),
    _kind(
        "GIF, animated",
        "GIF",
        ".gif",
        "convert -delay 10 opaque.png other.tif -dither None OUT",
        tolerance=8.0,
        said="first one",
    ),
    _kind("BMP", "BMP", ".bmp", "convert opaque.png bmp3:OUT", tolerance=0.0),
    _kind("AVIF", "AVIF", ".avif", "avifenc -s 8 --min 0 --max 8 -y 444 opaque.png OUT"),
    _kind("AVIF, 10 bits", "AVIF", ".avif", "avifenc -s 8 --min 0 --max 8 -y 444 -d 10 deep.png OUT"),
    _kind(
        "AVIF, transparent",
        "AVIF",
        ".avif",
        "avifenc -s 8 --min 0 --max 8 --minalpha 0 --maxalpha 0 -y 444 clear.png OUT",
        clear=True,
    ),
    _kind("HEIC", "HEIC", ".heic", "heif-enc -q 97 -p chroma=444 -o OUT opaque.png"),
    _kind(
        "HEIC, 10 bits", "HEIC", ".heic", "heif-enc -q 97 -b 10 -p chroma=444 -o OUT deep.png", said="rounded"
    ),
    _kind(
        "HEIC, 12 bits", "HEIC", ".heic", "heif-enc -q 97 -b 12 -p chroma=444 -o OUT deep.png", said="rounded"
    ),
    _kind(
        "HEIC, transparent",
        "HEIC",
        ".heic",
        "heif-enc -q 97 -p chroma=444 -o OUT clear.png",
        tolerance=3.0,
        clear=True,
    ),
    _kind("JPEG 2000", "JPEG 2000", ".jp2", "opj_compress -i opaque.png -o OUT", tolerance=0.0),
    _kind("JPEG 2000, lossy code stream", "JPEG 2000", ".j2k", "opj_compress -r 4 -i opaque.png -o OUT"),
    _kind(
        "JPEG 2000, 16 bits",
        "JPEG 2000",
        ".jp2",
        "opj_compress -i deep.png -o OUT",
        tolerance=0.0,
        said="rounded",
    ),
    Kind(
        name="DNG",
        suffix=".dng",
        format="DNG",
        how="tifffile: a mosaic of known colours, black level, white balance and matrix",
        make=_dng(None),
        tolerance=6.0,
        said="developed",
    ),
    Kind(
        name="NEF (layout of)",
        suffix=".nef",
        format="NEF",
        how="tifffile: a preview of stamp size first, the sensor's data below it",
        make=lambda _, out: write_nef(out, mosaic(pixels()), pixels()[::8, ::8]),
        tolerance=60.0,
        said="developed",
    ),
)
