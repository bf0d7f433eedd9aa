"""Pictures that state their colours without an ICC profile, measured against littleCMS and arithmetic.

Each picture states its colours in one way only. The expected values are computed from the published primaries
and curves; the cutout in each format is converted by its own profile and littleCMS.
"""

from __future__ import annotations

import io
import struct
import subprocess
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from cutoutd.engine.colour import code_points
from cutoutd.engine.formats import colour_space
from cutoutd.engine.formats.decode import decode
from cutoutd.recipe import Format, Metadata
from tests.conformance import encoders
from tests.conformance.exiftool import exiftool, write_tags
from tests.conformance.renderings import rendered
from tests.integration.tools import need
from tests.unit.colour_profiles import wide_profile

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cutoutd.engine.picture import Picture

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "formats.md"

SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290))
ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.3290))
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290))
REC2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290))


def srgb_light(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Decode sRGB values to linear light (IEC 61966-2-1)."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def video_light(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Decode values to linear light by the inverse of ITU-R BT.2020, table 4."""
    return np.where(value < 0.081, value / 4.5, ((value + 0.099) / 1.099) ** (1 / 0.45))


def power_light(gamma: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return a function that decodes values to linear light by a plain exponent."""
    return lambda value: value**gamma


def matrix(space: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    """Return the matrix from linear RGB to XYZ of these primaries and white."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in space]).T
    return np.asarray(columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3]))


def truth(
    rgb: NDArray[np.uint8],
    space: tuple[tuple[float, float], ...],
    light: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Return the sRGB values, 0 to 255, of such samples; values beyond sRGB are clipped in each channel."""
    linear = light(rgb / 255.0) @ (np.linalg.inv(matrix(SRGB)) @ matrix(space)).T
    linear = np.clip(linear, 0, 1)
    return np.asarray(
        255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    )


def picture() -> NDArray[np.uint8]:
    """Return a smooth picture of saturated and dull colours: uint8 (96, 128, 3)."""
    y, x = np.mgrid[0:96, 0:128]
    return np.dstack((40 + x * 1.6, 220 - y * 1.8, 60 + (x + y) * 0.8)).astype(np.uint8)


def png(*chunks: tuple[bytes, bytes], rgb: NDArray[np.uint8] | None = None) -> bytes:
    """Return a PNG of the picture with these chunks before its data."""
    pixels = picture() if rgb is None else rgb
    rows = b"".join(b"\x00" + row.astype(pixels.dtype.newbyteorder(">")).tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], pixels.itemsize * 8, 2, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in ((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        parts.append(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))
    return b"".join(parts)


def chrm(space: tuple[tuple[float, float], ...]) -> tuple[bytes, bytes]:
    """Return the cHRM chunk of these primaries; the white point comes first in it."""
    numbers = [round(100_000 * value) for place in (space[3], *space[:3]) for value in place]
    return b"cHRM", struct.pack(">8I", *numbers)


def gama(value: float) -> tuple[bytes, bytes]:
    """Return the gAMA chunk of this exponent."""
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def by_exif(kind: str, directory: Path) -> bytes:
    """Return the picture as a camera set to Adobe RGB writes it."""
    file = directory / f"x.{kind}"
    image = Image.fromarray(picture())
    if kind == "heic":
        encoders.write_heic(file, picture(), quality=100)
    else:
        options: dict[str, Any] = {"quality": 100} if kind in ("jpg", "webp", "avif") else {}
        image.save(file, **options)
    write_tags(file, "-EXIF:ColorSpace=Uncalibrated", "-EXIF:InteropIndex=R03")
    return file.read_bytes()


def by_nclx(kind: str, primaries: int, transfer: int, directory: Path) -> bytes:
    """Return the picture with these code points."""
    file = directory / f"x.{kind}"
    if kind == "heic":
        codes = {"color_primaries": primaries, "transfer_characteristics": transfer, "matrix_coefficients": 6}
        encoders.write_heic(file, picture(), quality=100, **codes)
        return file.read_bytes()
    need("avifenc")
    Image.fromarray(picture()).save(directory / "x.png")
    options = ("-s", "8", "--min", "0", "--max", "0", "-y", "444", "--cicp", f"{primaries}/{transfer}/6")
    subprocess.run(["avifenc", *options, "x.png", file.name], cwd=directory, check=True, capture_output=True)
    return file.read_bytes()


def by_tiff(directory: Path) -> bytes:
    """Return a TIFF that states white and primaries by its tags (TIFF 6.0, section 20)."""

    def ratios(*numbers: float) -> tuple[int, ...]:
        return tuple(part for number in numbers for part in (round(number * 10_000), 10_000))

    tags = (
        (318, "2I", 2, ratios(*P3[3]), True),
        (319, "2I", 6, ratios(*(v for p in P3[:3] for v in p)), True),
    )
    file = directory / "x.tif"
    tifffile.imwrite(file, picture(), photometric="rgb", extratags=tags, metadata=None)
    return file.read_bytes()


def by_jp2(directory: Path) -> bytes:
    """Return a JPEG 2000 with a profile in its colour box."""
    file = directory / "x.jp2"
    Image.fromarray(picture()).save(file)
    plain = file.read_bytes()
    at = plain.index(b"colr") - 4
    size = int.from_bytes(plain[at : at + 4], "big")
    box = struct.pack(">I4sBBB", 11 + len(wide_profile()), b"colr", 2, 0, 0) + wide_profile()
    data = bytearray(plain[:at] + box + plain[at + size :])
    head = plain.index(b"jp2h") - 4
    data[head : head + 4] = struct.pack(">I", int.from_bytes(plain[head : head + 4], "big") + len(box) - size)
    return bytes(data)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One way of stating what colours mean, and the colours that it states."""

    name: str
    made: Callable[[Path], bytes]
    space: tuple[tuple[float, float], ...]
    light: Callable[[NDArray[np.float64]], NDArray[np.float64]]


ADOBE_LIGHT = power_light(563 / 256)
WAYS: Final = (
    *(
        Statement(
            name=f"EXIF: Adobe RGB, {kind}",
            made=partial(by_exif, kind),
            space=ADOBE,
            light=ADOBE_LIGHT,
        )
        for kind in ("jpg", "tif", "png", "webp", "heic", "avif")
    ),
    Statement(
        name="PNG, cICP: Display P3",
        made=lambda _: png((b"cICP", b"\x0c\x0d\x00\x01")),
        space=P3,
        light=srgb_light,
    ),
    Statement(
        name="PNG, cICP: BT.2020",
        made=lambda _: png((b"cICP", b"\x09\x0e\x00\x01")),
        space=REC2020,
        light=video_light,
    ),
    Statement(
        name="PNG, cICP: linear",
        made=lambda _: png((b"cICP", b"\x01\x08\x00\x01")),
        space=SRGB,
        light=power_light(1),
    ),
    Statement(name="PNG, gAMA: 1.0", made=lambda _: png(gama(1)), space=SRGB, light=power_light(1)),
    Statement(name="PNG, gAMA: 1/1.8", made=lambda _: png(gama(1 / 1.8)), space=SRGB, light=power_light(1.8)),
    Statement(
        name="PNG, gAMA and cHRM: Adobe RGB",
        made=lambda _: png(gama(0.45471), chrm(ADOBE)),
        space=ADOBE,
        light=ADOBE_LIGHT,
    ),
    Statement(
        name="PNG, gAMA and cHRM: BT.2020",
        made=lambda _: png(gama(1 / 2.4), chrm(REC2020)),
        space=REC2020,
        light=power_light(2.4),
    ),
    Statement(name="PNG, cHRM: Display P3", made=lambda _: png(chrm(P3)), space=P3, light=srgb_light),
    *(
        Statement(
            name=f"{kind.upper()}, nclx: Display P3",
            made=partial(by_nclx, kind, 12, 13),
            space=P3,
            light=srgb_light,
        )
        for kind in ("heic", "avif")
    ),
    *(
        Statement(
            name=f"{kind.upper()}, nclx: BT.2020",
            made=partial(by_nclx, kind, 9, 14),
            space=REC2020,
            light=video_light,
        )
        for kind in ("heic", "avif")
    ),
    Statement(name="TIFF, primaries: Display P3", made=by_tiff, space=P3, light=srgb_light),
    Statement(name="JPEG 2000, ICC", made=by_jp2, space=ADOBE, light=power_light(2.19921875)),
)


def displayed(file: Path) -> NDArray[np.uint8]:
    """Return what a program that follows profiles shows: the file converted to sRGB by littleCMS."""
    with Image.open(file) as image:
        rgb = image.convert("RGB")
        icc = image.info.get("icc_profile")
    if icc:
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(
            rgb,
            ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            target,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
        assert converted is not None
        rgb = converted
    return np.asarray(rgb)


def errors(
    statement: Statement, opened: Picture, directory: Path, kind: str, becomes: str
) -> tuple[float, float]:
    """Return the largest and the mean difference from the truth, in levels of 255."""
    options: dict[str, Any] = {"quality": 100} if kind in ("jpeg", "avif") else {}
    file, _ = rendered(opened, directory, Metadata.NO_LOCATION, format=kind, profile=becomes, **options)
    # What the source's own coding lost is not what is judged here.
    difference = np.abs(displayed(file) - truth(opened.rgb, statement.space, statement.light))
    return float(difference.max()), float(difference.mean())


def measured(statement: Statement, directory: Path) -> list[float]:
    """Return a row of the documentation's table; the worse of "keep" and "srgb" for each format."""
    opened = decode(statement.made(directory), max_pixels=1_000_000)
    found = {
        kind: np.max(
            [errors(statement, opened, directory, kind, becomes) for becomes in ("keep", "srgb")], axis=0
        )
        for kind in ("png", "tiff", "webp", "jpeg", "avif")
    }
    lossless = np.max([found[kind] for kind in ("png", "tiff", "webp")], axis=0)
    untold = float(np.abs(opened.rgb - truth(opened.rgb, statement.space, statement.light)).mean())
    return [untold, *lossless, found["jpeg"][1], found["avif"][1]]


def documented() -> dict[str, list[float]]:
    """Return the rows of the table in docs/formats.md, by name."""
    lines = (
        DOCUMENT.read_text().partition("## How colours were measured")[2].partition("\n## ")[0].splitlines()
    )
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {name: [float(number) for number in numbers] for name, *numbers in cells[2:]}


@pytest.mark.parametrize("statement", WAYS, ids=[statement.name for statement in WAYS])
def test_colours_mean_in_every_format_what_the_file_states(statement: Statement, tmp_path: Path) -> None:
    """With the profile embedded, and converted to sRGB; the errors are those of the documentation, and those are small."""
    opened = decode(statement.made(tmp_path), max_pixels=1_000_000)
    assert opened.icc is not None
    assert np.abs(opened.rgb.astype(int) - picture()).mean() < 2.5
    row = documented()[statement.name]
    untold, largest, *means = row
    assert untold > 5  # to follow it matters
    assert largest <= 1
    assert max(means) <= 0.7
    for number, limit in zip(measured(statement, tmp_path), row, strict=True):
        assert number <= limit + 0.1


def test_the_documentation_has_every_way() -> None:
    """The documentation has no others."""
    assert list(documented()) == [statement.name for statement in WAYS]


@pytest.mark.parametrize("kind", [one.value for one in Format])
def test_exiftool_reads_the_meaning_back(tmp_path: Path, kind: str) -> None:
    """The profile by its name; and EXIF does not contradict it: Adobe RGB stays, sRGB is said after a conversion."""
    opened = decode(by_exif("jpg", tmp_path), max_pixels=1_000_000)
    for becomes, name, space, index in (
        ("keep", "Adobe RGB", "Uncalibrated", "R03"),
        ("srgb", "sRGB", "sRGB", "R98"),
    ):
        file, _ = rendered(opened, tmp_path, format=kind, profile=becomes)
        options = (
            "-s3",
            "-ICC_Profile:ProfileDescription",
            "-ExifIFD:ColorSpace",
            "-InteropIFD:InteropIndex",
        )
        description, colour_space, indexed = exiftool(*options, str(file)).decode().splitlines()
        assert name in description
        assert colour_space == space
        assert indexed.startswith(index)


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"sRGB", b"\x00"), gama(1), chrm(P3)],
        [(b"cICP", b"\x01\x0d\x00\x01"), gama(1)],
        [gama(0.45455), chrm(SRGB)],
        [gama(0.45455)],
    ],
)
def test_files_that_state_srgb_are_not_converted(chunks: list[tuple[bytes, bytes]]) -> None:
    """Whatever else the file states: no profile is made, and no warning is given."""
    opened = decode(png(*chunks), max_pixels=1_000_000)
    assert opened.icc is None
    assert opened.warnings == ()
    assert np.array_equal(opened.rgb, picture())


def test_each_statement_yields_to_the_better_one() -> None:
    """A profile gives way to nothing, code points to a profile, gamma to code points."""
    icc = wide_profile()
    iccp = (b"iCCP", b"x\x00\x00" + zlib.compress(icc))
    p3 = (b"cICP", b"\x0c\x0d\x00\x01")
    assert decode(png(p3, iccp, gama(1)), max_pixels=1_000_000).icc == icc
    by_codes = decode(png(p3, gama(1), chrm(ADOBE)), max_pixels=1_000_000).icc
    assert by_codes == decode(png(p3), max_pixels=1_000_000).icc
    assert by_codes != decode(png(gama(1)), max_pixels=1_000_000).icc


@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize("bits", [8, 16])
def test_hdr_in_a_png_is_tone_mapped_and_never_taken_for_srgb(transfer: int, bits: int) -> None:
    """Reference white comes out nearly white; all 16 bits are used; a warning says so."""
    white = {16: 0.5807, 18: 0.75}[transfer]  # of the signal, at 203 cd/m2 (ITU-R BT.2408)
    rgb = np.zeros((8, 30, 3), np.float64)
    rgb[:, 10:20], rgb[:, 20:] = white, white + 0.07
    kind = np.uint8 if bits == 8 else np.uint16
    data = png((b"cICP", bytes((9, transfer, 0, 1))), rgb=np.rint(rgb * np.iinfo(kind).max).astype(kind))
    opened = decode(data, max_pixels=1_000_000, deep=True)
    dark, bright, brighter = (opened.rgb[4, x].astype(int) for x in (5, 15, 25))
    assert dark.max() <= 1
    assert 235 <= bright.min() <= bright.max() <= 250
    assert bright.max() < brighter.min()
    assert opened.icc is None
    assert opened.deep is None
    assert code_points.NARROWED in opened.warnings


def test_hdr_takes_precedence_over_a_profile() -> None:
    """A profile of an HDR picture is for programs that do not know code points (PNG, 11.3.2.6)."""
    iccp = (b"iCCP", b"x\x00\x00" + zlib.compress(wide_profile()))
    opened = decode(png((b"cICP", b"\x09\x10\x00\x01"), iccp), max_pixels=1_000_000)
    assert opened.icc is None
    assert code_points.NARROWED in opened.warnings


def test_narrow_range_is_spread() -> None:
    """Values from 16 to 235 become 0 to 255."""
    rgb = np.repeat(np.array([[16, 235, 125]], np.uint8)[..., np.newaxis], 3, axis=2)
    opened = decode(png((b"cICP", b"\x0c\x0d\x00\x00"), rgb=rgb), max_pixels=1_000_000)
    assert opened.rgb[0, :, 0].tolist() == [0, 255, 127]
    assert opened.icc is not None
    assert code_points.EXPANDED in opened.warnings


def test_statements_that_cannot_be_followed_give_a_warning(tmp_path: Path) -> None:
    """Reserved code points, impossible numbers, and EXIF that only excludes sRGB."""
    for chunk, said in (
        ((b"cICP", b"\x63\x0d\x00\x01"), "99/13"),
        (gama(0.00002), "no sense"),
        (chrm(((0.3, 0.3), (0.3, 0.3), (0.3, 0.3), (0.3, 0.3))), "no sense"),
        (chrm(((0, 0), (0, 0), (0, 0), (0, 0))), "no sense"),
    ):
        opened = decode(png(chunk), max_pixels=1_000_000)
        assert opened.icc is None
        assert said in " ".join(opened.warnings)
    file = tmp_path / "x.jpg"
    Image.fromarray(picture()).save(file)
    write_tags(file, "-EXIF:ColorSpace=Uncalibrated")
    assert colour_space.UNKNOWN_EXIF in decode(file.read_bytes(), max_pixels=1_000_000).warnings


def test_a_grey_picture_with_a_gamma_gets_a_profile() -> None:
    """The profile decodes to the linear light that the gamma states, equal in all channels."""
    rows = b"".join(b"\x00" + bytes(range(0, 240, 8)) for _ in range(4))
    parts = [b"\x89PNG\r\n\x1a\n"]
    head = struct.pack(">IIBBBBB", 30, 4, 8, 0, 0, 0, 0)
    for name, data in ((b"IHDR", head), gama(1), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        parts.append(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))
    opened = decode(b"".join(parts), max_pixels=1_000_000)
    assert opened.icc is not None
    assert opened.rgb[0, 1].tolist() == [8, 8, 8]
