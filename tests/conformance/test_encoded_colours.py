"""Colours of files that independent encoders made: profiles, code points, HDR, 16 bits, sensors."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from cutoutd.engine.colour import code_points, icc_build
from cutoutd.errors import LimitError
from tests.conformance import encoders
from tests.conformance.encoders import CONVERT, HEIGHT, WIDTH, mosaic, pixels, run
from tests.conformance.judging import decoded, distance, encode_kind, of_kind
from tests.integration.tools import need

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "name", ["JPEG, baseline", "TIFF, none", "PNG, 8 bits", "WebP, lossless", "AVIF", "HEIC"]
)
def test_the_profile_of_an_rgb_picture_is_kept(name: str, sources: Path, tmp_path: Path) -> None:
    """Byte for byte, in every format that can hold a profile."""
    need("exiftool")
    profile = icc_build.profile(icc_build.DISPLAY_P3, "Display P3")
    (tmp_path / "p3.icc").write_bytes(profile)
    kind = of_kind(name)
    file = encode_kind(kind, sources, tmp_path)
    if kind.format in ("AVIF", "HEIC"):  # here the encoder takes it from its source
        run(sources, CONVERT, "opaque.png", "-profile", str(tmp_path / "p3.icc"), str(tmp_path / "x.png"))
        command = {"AVIF": ["avifenc", "-s", "8"], "HEIC": ["heif-enc"]}[kind.format]
        run(tmp_path, *command, "x.png", *(["-o"] if kind.format == "HEIC" else []), file.name)
    else:
        run(tmp_path, "exiftool", "-q", "-overwrite_original", "-icc_profile<=p3.icc", file.name)
    assert decoded(file).icc == profile


def test_cmyk_with_a_profile_is_converted_as_another_program_does_it(sources: Path, tmp_path: Path) -> None:
    """ImageMagick has the same colour engine with other code around it."""
    need(CONVERT)
    profile = tmp_path / "cmyk.icc"
    profile.write_bytes(cmyk_profile())
    for suffix in ("jpg", "tif"):
        file, judge = tmp_path / f"x.{suffix}", tmp_path / f"{suffix}.png"
        run(
            sources,
            CONVERT,
            "opaque.png",
            "-colorspace",
            "CMYK",
            "-profile",
            str(profile),
            "-quality",
            "100",
            str(file),
        )
        (tmp_path / "srgb.icc").write_bytes(
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        )
        convert = ["-intent", "Relative", "-black-point-compensation", "-profile", str(tmp_path / "srgb.icc")]
        run(sources, CONVERT, str(file), *convert, f"png24:{judge}")
        picture = decoded(file)
        assert picture.icc is None
        assert "CMYK colours were converted to sRGB" in " ".join(picture.warnings)
        assert distance(picture.rgb, np.asarray(Image.open(judge))) < 1.5
        assert distance(picture.rgb, pixels()) > 10  # the profile was followed


def cmyk_profile() -> bytes:
    """Return the profile of a printer with weak inks (lut8, ICC.1:2022, 10.11)."""
    grid, table = 2, b""
    for number in range(grid**4):
        cyan, magenta, yellow, black = (number >> shift & 1 for shift in (3, 2, 1, 0))
        light = np.array([255 - 140 * cyan, 255 - 120 * magenta, 255 - 100 * yellow]) * (1 - 0.7 * black)
        lab = cv2.cvtColor(np.array([[light]], np.float32) / 255, cv2.COLOR_RGB2Lab)[0, 0]
        table += bytes(int(np.clip(value, 0, 255)) for value in (lab[0] * 2.55, lab[1] + 128, lab[2] + 128))
    curve = bytes(range(256))
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1" + bytes(4) + bytes((4, 3, grid, 0)) + identity + curve * 4 + table + curve * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\x00" + bytes(78)
    tags, body, at = b"", b"", 128 + 4 + 3 * 12
    for name, content in ((b"desc", text), (b"wtpt", white), (b"A2B0", lut + bytes(-len(lut) % 4))):
        tags += name + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return head + struct.pack(">I", 3) + tags + body


@pytest.mark.parametrize("codes", [(1, 13), (12, 13), (9, 14)])
def test_code_points_become_a_profile_of_the_same_meaning(
    sources: Path, tmp_path: Path, codes: tuple[int, int]
) -> None:
    """In AVIF and HEIC; sRGB needs none."""
    need("avifenc")
    primaries, transfer = codes
    run(
        sources,
        "avifenc",
        "-s",
        "8",
        "-y",
        "444",
        "--cicp",
        f"{primaries}/{transfer}/6",
        "opaque.png",
        str(tmp_path / "x.avif"),
    )
    encoders.write_heic(
        tmp_path / "x.heic",
        pixels(),
        color_primaries=primaries,
        transfer_characteristics=transfer,
        matrix_coefficients=6,
    )
    for name in ("x.avif", "x.heic"):
        picture = decoded(tmp_path / name)
        assert (picture.icc is not None) == (primaries != 1)
        assert distance(picture.rgb, pixels()) < 2
        assert picture.warnings == ()


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_brought_into_srgb(tmp_path: Path, transfer: int) -> None:
    """Reference white comes out nearly white, brighter light a little brighter, black black."""
    need("avifenc")
    white = {16: 148, 18: 191}[transfer]  # of 255, at 203 cd/m2 (ITU-R BT.2408)
    grey = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    grey[:, 32:] = white
    grey[:, 64:] = white + 18
    Image.fromarray(grey).save(tmp_path / "hdr.png")
    run(
        tmp_path,
        "avifenc",
        "-s",
        "8",
        "--min",
        "0",
        "--max",
        "0",
        "-y",
        "444",
        "--cicp",
        f"9/{transfer}/9",
        "hdr.png",
        "x.avif",
    )
    encoders.write_heic(
        tmp_path / "x.heic",
        grey,
        color_primaries=9,
        transfer_characteristics=transfer,
        matrix_coefficients=9,
        full_range_flag=1,
    )
    for name in ("x.avif", "x.heic"):
        picture = decoded(tmp_path / name)
        dark, bright, brighter = (picture.rgb[30, x].astype(int) for x in (8, 48, 88))
        assert dark.max() <= 2
        assert 235 <= bright.min() <= bright.max() <= 250
        assert bright.max() < brighter.min()
        assert np.ptp(bright) <= 2
        assert picture.icc is None
        assert code_points.NARROWED in picture.warnings


def test_the_preview_of_a_raw_file_decides_its_brightness(tmp_path: Path) -> None:
    """A shot whose preview is dark stays dark; without a preview it is brightened."""
    dark = (pixels() * 0.45).astype(np.uint8)
    encoders.write_nef(tmp_path / "x.nef", mosaic(dark), dark[::2, ::2])
    encoders.write_nef(tmp_path / "y.nef", mosaic(dark), pixels()[::2, ::2])
    as_shown, brighter = decoded(tmp_path / "x.nef").rgb, decoded(tmp_path / "y.nef").rgb
    assert abs(float(np.median(as_shown)) - float(np.median(dark))) < 15
    assert abs(float(np.median(brighter)) - float(np.median(pixels()))) < 15


def test_a_sensor_without_colours_gives_a_grey_picture(tmp_path: Path) -> None:
    """Some cameras have no filters."""
    light = code_points.decoded(pixels()[..., 1])
    encoders.write_monochrome_dng(tmp_path / "x.dng", np.rint(light * 65535).astype(np.uint16))
    picture = decoded(tmp_path / "x.dng")
    assert distance(picture.rgb, np.repeat(pixels()[..., 1:2], 3, axis=2)) < 8
    assert np.ptp(picture.rgb, axis=2).max() == 0


def test_white_of_16_bits_is_not_made_black(sources: Path, tmp_path: Path) -> None:
    """JPEG 2000 in colour, also with transparency; grey with transparency is refused."""
    need("opj_compress")
    need(CONVERT)
    deep = np.full((HEIGHT, WIDTH, 4), 65535, np.uint16)
    deep[:, :50, :3] = 65400
    for channels in (3, 4):
        cv2.imwrite(str(tmp_path / "x.png"), deep[..., :channels])
        run(tmp_path, "opj_compress", "-i", "x.png", "-o", "x.jp2")
        assert decoded(tmp_path / "x.jp2").rgb.min() >= 254
    grey = [
        "-grayscale",
        "Rec601Luma",
        "-depth",
        "16",
        "-define",
        "png:color-type=4",
        "-define",
        "png:bit-depth=16",
    ]
    run(sources, CONVERT, "clear.png", *grey, str(tmp_path / "grey.png"))
    run(tmp_path, "opj_compress", "-i", "grey.png", "-o", "grey.jp2")
    with pytest.raises(LimitError, match="16 bits"):
        decoded(tmp_path / "grey.jp2")
