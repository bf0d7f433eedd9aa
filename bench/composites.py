"""Pictures with an exactly known alpha, and coarse mattes as a small model could make them.

It builds the evaluation set; it refines and scores nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.scenes import Kind, draw

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Rgb = NDArray[np.uint8]
Gray = NDArray[np.float32]

SIZES = ((480, 640), (1200, 1600), (2250, 3000))
GRID = 320
# Public-domain and CC0 pictures that scikit-image installs with itself; the last two serve as textures.
_PICTURES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "grass.png",
    "brick.png",
)
_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Composite:
    """One picture of the set.

    Attributes:
        name: kind, height and seed.
        rgb: uint8 (H, W, 3), subject over background, with noise and JPEG artefacts in some.
        clean: uint8 (H, W, 3), the same before noise and JPEG.
        alpha: float32 (H, W), the exact alpha, in steps of 1/255.
        colour: uint8 (H, W, 3), the subject's own colour.
    """

    name: str
    rgb: Rgb
    clean: Rgb
    alpha: Gray
    colour: Rgb


def composites(photos: Sequence[Path], seed: int) -> Iterator[Composite]:
    """Yield one composite of every kind at every size, over the given photos.

    Args:
        photos: files of backgrounds and textures.
        seed: determines shapes, photos and noise; sets of different seeds share nothing.
    """
    rng = np.random.default_rng(seed)
    for shape in SIZES:
        for kind in Kind:
            ground = cropped(photos[int(rng.integers(len(photos)))], shape, rng)
            if rng.integers(2):  # as often in focus as not
                sigma = shape[0] / 1000 * float(rng.uniform(1, 6))
                ground = np.asarray(cv2.GaussianBlur(ground, (0, 0), sigma), np.uint8)
            subject = draw(kind, shape, cropped(photos[int(rng.integers(len(photos)))], shape, rng), rng)
            alpha = np.round(subject.alpha * 255).astype(np.float32) / np.float32(255)
            clean = over(subject.colour, ground, alpha)
            name = f"{kind.value}-{shape[0]}-{seed}"
            yield Composite(name=name, rgb=worn(clean, rng), clean=clean, alpha=alpha, colour=subject.colour)


def backgrounds(folder: Path | None) -> list[Path]:
    """Return the photos of a folder, or those in scikit-image."""
    if folder is not None:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    import skimage.data  # noqa: PLC0415 - only where no folder is given

    return [Path(skimage.data.__file__).parent / name for name in _PICTURES]


def reduced(alpha: Gray, grid: int) -> Gray:
    """Return the matte of a perfect model with a grid of that many pixels: the area average."""
    height, width = alpha.shape
    size = (min(width, grid), min(height, grid))
    return np.clip(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), 0, 1)


def shaken(alpha: Gray, grid: int, rng: np.random.Generator) -> Gray:
    """Return the matte of a mediocre model: the area average, blurred by a pixel and moved by half a pixel."""
    matte = cv2.GaussianBlur(reduced(alpha, grid), (0, 0), float(rng.uniform(0.7, 1.4)))
    height, width = matte.shape
    drift = cv2.GaussianBlur(rng.normal(size=(height, width, 2)).astype(np.float32), (0, 0), 8)
    drift *= np.float32(rng.uniform(0.4, 0.9)) / drift.std()
    y, x = np.mgrid[:height, :width].astype(np.float32)
    moved = cv2.remap(
        matte, x + drift[..., 0], y + drift[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.clip(moved, 0, 1)


def over(colour: Rgb, ground: Rgb, alpha: Gray) -> Rgb:
    """Compose a subject's colours over a background, uint8 (H, W, 3)."""
    share = alpha[..., None]
    mixed: Rgb = (colour * share + ground * (1 - share) + np.float32(0.5)).astype(np.uint8)
    return mixed


def worn(clean: Rgb, rng: np.random.Generator) -> Rgb:
    """Add the noise and the JPEG blocks that pictures have."""
    noisy = clean + rng.normal(0, float(rng.uniform(0, 4)), clean.shape).astype(np.float32)
    rgb = np.clip(noisy, 0, 255).astype(np.uint8)
    written, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(82, 97))])
    if not written:
        raise RuntimeError("OpenCV could not write a JPEG")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def cropped(path: Path, shape: tuple[int, int], rng: np.random.Generator) -> Rgb:
    """Read a photo and cut a random part of the wanted shape out of it, enlarged as far as needed."""
    photo = cv2.cvtColor(np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), np.uint8), cv2.COLOR_BGR2RGB)
    factor = max(shape[0] / photo.shape[0], shape[1] / photo.shape[1]) * float(rng.uniform(1, 1.3))
    method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    size = (max(shape[1], round(photo.shape[1] * factor)), max(shape[0], round(photo.shape[0] * factor)))
    large = cv2.resize(photo, size, interpolation=method)
    top = int(rng.integers(0, large.shape[0] - shape[0] + 1))
    left = int(rng.integers(0, large.shape[1] - shape[1] + 1))
    return np.asarray(large[top : top + shape[0], left : left + shape[1]], np.uint8)
