"""Files that encoders made, decoded by us, and how far that is from their source."""

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
    """The picture, whatever its size."""
    return decode(file.read_bytes(), max_pixels=1_000_000, deep=True)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two pictures of the same size."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(np.int16) - other).mean())


def turned(orientation: int) -> np.ndarray:
    """The source as EXIF's orientation means it, by Pillow's own transposition."""
    image = Image.fromarray(pixels())
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def of_kind(name: str) -> Kind:
    """One of the list."""
    return next(kind for kind in KINDS if kind.name == name)


def made(kind: Kind, sources: Path, directory: Path) -> Path:
    """A file of this kind."""
    if kind.tool is not None:
        need(kind.tool)
    file = directory / f"x{kind.suffix}"
    kind.make(sources, file)
    return file
