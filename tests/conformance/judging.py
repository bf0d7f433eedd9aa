"""Decoding of the encoders' files, and their distance from the source picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from cutoutd.engine.formats.decode import decode
from tests.conformance.encoders import KINDS, Kind, pixels
from tests.integration.tools import need

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.engine.picture import Picture


def decoded(file: Path) -> Picture:
    """Decode a file, whatever its size."""
    return decode(file.read_bytes(), max_pixels=1_000_000, deep=True)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two pictures of the same size."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(np.int16) - other).mean())


def turned(orientation: int) -> np.ndarray:
    """Return the source picture transposed by Pillow according to an EXIF orientation."""
    image = Image.fromarray(pixels())
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def of_kind(name: str) -> Kind:
    """Return the kind of this name from the list of kinds."""
    return next(kind for kind in KINDS if kind.name == name)


def encode_kind(kind: Kind, sources: Path, directory: Path) -> Path:
    """Write a file of this kind; return its path."""
    if kind.tool is not None:
        need(kind.tool)
    file = directory / f"x{kind.suffix}"
    kind.make(sources, file)
    return file
