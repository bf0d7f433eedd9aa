"""Pixels per inch in every output format, read back by exiftool and Pillow; none is invented."""

from __future__ import annotations

import io
import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from cutoutd.engine.containers.resolution import Resolution
from cutoutd.engine.formats.decode import decode
from cutoutd.recipe import Format, Metadata
from tests.conformance.exiftool import exiftool
from tests.conformance.renderings import rendered

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.engine.picture import Picture

KINDS = [one.value for one in Format]


def encoded(kind: str, **options: Any) -> bytes:  # noqa: ANN401 -- Pillow's
    """Return a picture without symmetry as a file of that kind."""
    y, x = np.mgrid[0:40, 0:60]
    out = io.BytesIO()
    Image.fromarray(np.dstack((x * 4, y * 6, x + y)).astype(np.uint8)).save(out, kind, **options)
    return out.getvalue()


def opened(data: bytes) -> Picture:
    """Decode a file."""
    return decode(data, max_pixels=1_000_000)


def exif(**said: tuple[float, int]) -> bytes:
    """Return EXIF with a resolution and its unit."""
    block = Image.Exif()
    (value, unit) = said["resolution"]
    block[0x011A], block[0x011B], block[0x0128] = value, value, unit
    return block.tobytes()


def resolution_tags(files: list[Path]) -> list[dict[str, Any]]:
    """Return the resolution tags that exiftool finds in each file."""
    names = ("-XResolution", "-YResolution", "-ResolutionUnit", "-PNG-pHYs:all")
    return list(json.loads(exiftool("-json", "-G1", "-a", *names, *map(str, files))))


SAYING_300 = {
    "JFIF": encoded("JPEG", dpi=(300, 300)),
    "EXIF in a JPEG": encoded("JPEG", exif=exif(resolution=(300.0, 2))),
    "EXIF, beside JFIF's usual 72": encoded("JPEG", dpi=(72, 72), exif=exif(resolution=(300.0, 2))),
    "EXIF, to the centimetre": encoded("WEBP", exif=exif(resolution=(118.11, 3))),
    "PNG": encoded("PNG", dpi=(300, 300)),
    "TIFF": encoded("TIFF", dpi=(300, 300)),
    "AVIF": encoded("AVIF", exif=exif(resolution=(300.0, 2))),
    "BMP": encoded("BMP", dpi=(300, 300)),
}


@pytest.mark.parametrize("policy", [Metadata.KEEP, Metadata.NO_LOCATION, Metadata.NONE])
@pytest.mark.parametrize("how", SAYING_300)
def test_a_resolution_of_300_stays_300_in_every_format(how: str, policy: Metadata, tmp_path: Path) -> None:
    """Under every metadata policy; in the format's own place, and EXIF does not contradict it."""
    picture = opened(SAYING_300[how])
    assert picture.resolution == Resolution(x=300, y=300)
    files = []
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        files.append(rendered(picture, tmp_path / kind, policy, format=kind)[0])
    for kind, found in zip(KINDS, resolution_tags(files), strict=True):
        groups = {name.partition(":")[0] for name in found if name.endswith("XResolution")}
        for group in groups:
            assert (found[f"{group}:XResolution"], found[f"{group}:YResolution"]) == (300, 300)
            assert found[f"{group}:ResolutionUnit"] == "inches"
        if kind == "png":
            assert found["PNG-pHYs:PixelsPerUnitX"] == found["PNG-pHYs:PixelsPerUnitY"] == 11811
            assert found["PNG-pHYs:PixelUnits"] == "meters"
        else:
            assert {"jpeg": "JFIF"}.get(kind, "IFD0") in groups


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "data",
    [
        encoded("PNG"),
        encoded("JPEG"),
        encoded("TIFF"),
        encoded("JPEG", exif=exif(resolution=(1.0, 1))),
        encoded("JPEG", exif=exif(resolution=(0.0, 2))),
    ],
)
def test_no_resolution_is_invented(data: bytes, kind: str, tmp_path: Path) -> None:
    """For a picture that states none, or only a ratio, or an impossible value."""
    picture = opened(data)
    assert picture.resolution is None
    file, _ = rendered(picture, tmp_path, Metadata.NONE, format=kind)
    (found,) = resolution_tags([file])
    units = {name: value for name, value in found.items() if name.endswith("Unit")}
    assert all(value == "None" for value in units.values())
    assert "PNG-pHYs:PixelUnits" not in found
    with Image.open(file) as image:
        assert "dpi" not in image.info


@pytest.mark.parametrize("kind", KINDS)
def test_dpi_of_a_rendition_replaces_the_pictures_resolution(kind: str, tmp_path: Path) -> None:
    """And a canvas in millimetres has the matching number of pixels."""
    picture = opened(encoded("JPEG", dpi=(72, 72)))
    file, _ = rendered(picture, tmp_path, format=kind, dpi=254, canvas="5x2.5cm")
    (found,) = resolution_tags([file])
    if kind == "png":
        assert found["PNG-pHYs:PixelsPerUnitX"] == 10_000
    else:
        assert next(value for name, value in found.items() if name.endswith("XResolution")) == 254
    with Image.open(file) as image:
        assert image.size == (500, 250)


def test_a_picture_on_its_side_has_its_resolution_turned() -> None:
    """Matters where the horizontal and vertical resolutions differ, as in fax."""
    block = Image.Exif()
    block[0x0112] = 6
    turned = opened(encoded("PNG", dpi=(200, 100), exif=block.tobytes()))
    assert turned.resolution == Resolution(x=100, y=200)


def test_fractions_are_kept() -> None:
    """To a ten-thousandth; a PNG's whole pixels to a metre are not taken for a fraction."""
    assert opened(encoded("TIFF", dpi=(299.72, 299.72))).resolution == Resolution(x=299.72, y=299.72)
    chunk = struct.pack(">IIB", 11811, 11811, 1)
    assert chunk in encoded("PNG", dpi=(300, 300))
    assert opened(encoded("PNG", dpi=(300, 300))).resolution == Resolution(x=300, y=300)
