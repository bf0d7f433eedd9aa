"""Renditions as read by each format's reference tools, which share no code with our writer or readers."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from cutoutd.engine.containers import tiff
from cutoutd.engine.containers.png import Extras, Layout
from cutoutd.engine.render import codecs, compose
from cutoutd.recipe import Format
from tests.unit.colour_profiles import wide_profile

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def tool(name: str) -> str:
    """Return the path of a program; without it the test is skipped, or fails in CI."""
    found = shutil.which(name)
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{name} is not installed")
    return found


def cutout(height: int = 90, width: int = 70) -> NDArray[np.uint8]:
    """Return noise, half of it transparent; uint8 (height, width, 4)."""
    random = np.random.default_rng(8)
    alpha = random.integers(0, 256, (height, width), np.uint8)
    alpha[: height // 2] = 0
    return compose.rgba(random.integers(0, 256, (height, width, 3), np.uint8), alpha)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_libtiff_reads_every_pixel(tmp_path: Path, channels: int) -> None:
    """Decompressed by its own tools, and without a warning."""
    pixels = np.squeeze(cutout()[..., 4 - channels :])
    out = io.BytesIO()
    layout = Layout(width=70, height=90, channels=channels)
    tiff.write(out, np.array_split(pixels, 3), layout, Extras(icc=wide_profile() if channels > 1 else None))
    file, plain = tmp_path / "a.tif", tmp_path / "plain.tif"
    file.write_bytes(out.getvalue())
    done = subprocess.run(
        [tool("tiffcp"), "-c", "none", str(file), str(plain)], capture_output=True, check=True
    )
    assert done.stderr == b""
    with Image.open(plain) as image:
        assert np.array_equal(np.asarray(image), pixels)
    description = subprocess.run(
        [tool("tiffinfo"), str(file)], capture_output=True, text=True, check=True
    ).stdout
    assert ("unassoc-alpha" in description) == (channels == 4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_libtiff_reads_every_pixel_of_16_bits(tmp_path: Path, channels: int, order: str) -> None:
    """In either byte order, which is that of the embedded EXIF."""
    pixels = np.random.default_rng(9).integers(0, 1 << 16, (90, 70, channels), np.uint16)
    exif = {"<": b"II\x2a\x00\x08\x00\x00\x00", ">": b"MM\x00\x2a\x00\x00\x00\x08"}[order] + bytes(6)
    out = io.BytesIO()
    layout = Layout(width=70, height=90, channels=channels, bits=16)
    tiff.write(out, np.array_split(np.squeeze(pixels), 3), layout, Extras(exif=exif))
    assert out.getvalue().startswith(exif[:4])
    file, plain = tmp_path / "a.tif", tmp_path / "plain.tif"
    file.write_bytes(out.getvalue())
    done = subprocess.run(
        [tool("tiffcp"), "-c", "none", "-L", str(file), str(plain)], capture_output=True, check=True
    )
    assert done.stderr == b""
    assert np.array_equal(tifffile.imread(plain).reshape(pixels.shape), pixels)


def test_dwebp_reads_every_pixel(tmp_path: Path) -> None:
    """The file is a lossless WebP."""
    file, plain = tmp_path / "a.webp", tmp_path / "a.png"
    file.write_bytes(codecs.encode(cutout(), Format.WEBP, None, Extras(icc=wide_profile())).data)
    subprocess.run([tool("dwebp"), "-quiet", str(file), "-o", str(plain)], check=True)
    with Image.open(plain) as image:
        assert np.array_equal(np.asarray(image), cutout())


def test_avifdec_reads_the_alpha_as_it_is(tmp_path: Path) -> None:
    """Our AVIF keeps the alpha exactly even where colours are lossy."""
    file, plain = tmp_path / "a.avif", tmp_path / "a.png"
    file.write_bytes(codecs.encode(cutout(), Format.AVIF, 50, Extras(icc=wide_profile())).data)
    subprocess.run([tool("avifdec"), str(file), str(plain)], check=True, capture_output=True)
    with Image.open(plain) as image:
        assert np.array_equal(np.asarray(image)[..., 3], cutout()[..., 3])
