"""PNG files of our writer, validated by pngcheck."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageCms

from cutoutd.engine.containers.png import Extras, Layout, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def pngcheck() -> str:
    """The path of pngcheck; without the program the test is skipped, or fails in CI."""
    found = shutil.which("pngcheck")
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("pngcheck is not installed")
    return found


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 40), (40, 1), (33, 17), (900, 1200)])
def test_pngcheck_finds_no_fault(
    pngcheck: str, tmp_path: Path, *, width: int, height: int, channels: int, bits: int
) -> None:
    """Chunks, CRCs, filters and the compressed stream are what the specification asks for."""
    kind = np.uint8 if bits == 8 else np.uint16
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixels = np.random.default_rng(7).integers(0, 1 << bits, shape, kind)
    pixels[height // 2 :] = 0
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    extras = Extras(
        icc=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() if channels > 2 else None,
        exif=exif.tobytes().removeprefix(b"Exif\x00\x00"),
        xmp=b"<x:xmpmeta/>",
    )
    file = tmp_path / "written.png"
    with file.open("wb") as sink:
        write(
            sink,
            np.array_split(pixels, 3),
            Layout(width=width, height=height, channels=channels, bits=bits),
            extras,
        )
    done = subprocess.run([pngcheck, "-v", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No errors detected" in done.stdout
