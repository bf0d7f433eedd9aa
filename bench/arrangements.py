"""Pictures of known alpha on which a model may well fail: subjects composed over photos in typical arrangements.

    python -m bench.arrangements CUTOUTS PHOTOS FOLDER [--count N] [--seed N]

One subject, two of equal weight, one before another that is out of focus; small, large, cut off by the frame; in the colours of
its background, in haze, over its own shadow. It builds the set that the quality score is fitted to (`models/train_score.py`); it
runs no model.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bench.composites import backgrounds, cropped, over, worn
from bench.scenes import Kind, Subject, draw

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.scenes import Gray, Rgb

_DRAWN = 0.12  # share of subjects that are drawn instead of taken from cutouts
# A lattice or a glass is left out: both the outline and what lies between are right answers.
_KINDS = (Kind.PLAIN, Kind.HAIR, Kind.FUR, Kind.SOFT, Kind.LEAVES)
_PIXELS = (150_000, 420_000)  # of a picture: the model sees a hundred thousand at most


class Arrangement(Enum):
    """The arrangement of subjects in a picture."""

    ONE = "one"
    PAIR = "pair"  # two subjects of equal weight: both are wanted
    BEHIND = "behind"  # a second subject, out of focus: it is background
    ALIKE = "alike"  # a subject in the colours of its background
    HAZE = "haze"  # little contrast all over
    SMALL = "small"
    CUT = "cut"  # the frame cuts it off


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Arranged:
    """One picture of the set.

    Attributes:
        name: arrangement, subject and number.
        group: key of pictures that share a subject, and belong on one side of a split.
        rgb: uint8 (H, W, 3).
        alpha: float32 (H, W), the expected alpha.
    """

    name: str
    group: str
    rgb: Rgb
    alpha: Gray


def arranged(
    cutouts: Sequence[Path], photos: Sequence[Path], count: int, rng: np.random.Generator
) -> Iterator[Arranged]:
    """Yield pictures.

    Args:
        cutouts: RGBA files; their alpha is taken for true once they are composed over another photo.
        photos: backgrounds and textures without a subject of their own.
        count: number of pictures.
        rng: the same state gives the same pictures.
    """
    for number in range(count):
        arrangement = list(Arrangement)[number % len(Arrangement)]
        ratio, pixels = float(np.exp(rng.uniform(-0.4, 0.4))), float(rng.uniform(*_PIXELS))
        shape = (int((pixels * ratio) ** 0.5), int((pixels / ratio) ** 0.5))
        name, subject = _subject(cutouts, photos, shape, rng)
        ground = cropped(photos[int(rng.integers(len(photos)))], shape, rng)
        if rng.random() < 0.5:  # noqa: PLR2004 - as often in focus as not
            sigma = shape[0] / 500 * float(rng.uniform(0.5, 5))
            ground = np.asarray(cv2.GaussianBlur(ground, (0, 0), sigma), np.uint8)
        rgb, alpha = _laid(arrangement, subject, ground, cutouts, photos, rng)
        if arrangement is Arrangement.HAZE:
            veil = rng.integers(90, 220, 3).astype(np.float32)
            share = np.float32(rng.uniform(0.35, 0.8))
            rgb = (rgb * (1 - share) + veil * share).astype(np.uint8)
        yield Arranged(
            name=f"{arrangement.value}-{name}-{number}", group=name, rgb=worn(rgb, rng), alpha=alpha
        )


def _subject(
    cutouts: Sequence[Path], photos: Sequence[Path], shape: tuple[int, int], rng: np.random.Generator
) -> tuple[str, Subject]:
    if rng.random() < _DRAWN:
        kind = _KINDS[int(rng.integers(len(_KINDS)))]
        return f"drawn_{kind.value}", draw(
            kind, shape, cropped(photos[int(rng.integers(len(photos)))], shape, rng), rng
        )
    path = cutouts[int(rng.integers(len(cutouts)))]
    bgra = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint8)
    if rng.integers(2):
        bgra = bgra[:, ::-1]
    colour = np.ascontiguousarray(bgra[..., 2::-1])
    return path.stem.replace("-", "_"), Subject(
        alpha=bgra[..., 3].astype(np.float32) / np.float32(255), colour=colour
    )


def _laid(
    arrangement: Arrangement,
    subject: Subject,
    ground: Rgb,
    cutouts: Sequence[Path],
    photos: Sequence[Path],
    rng: np.random.Generator,
) -> tuple[Rgb, Gray]:
    height, width = ground.shape[:2]
    share = float(rng.uniform(0.04, 0.12) if arrangement is Arrangement.SMALL else rng.uniform(0.15, 0.6))
    aside = 0.42 if arrangement is Arrangement.CUT else 0.12
    if arrangement in {Arrangement.PAIR, Arrangement.BEHIND}:
        _, other = _subject(cutouts, photos, (height, width), rng)
        size = float(rng.uniform(0.12, 0.3))
        first = _placed(subject, (height, width), size, (0.28, 0.5), 0.06, rng)
        second = _placed(other, (height, width), size * float(rng.uniform(0.6, 1.2)), (0.72, 0.5), 0.06, rng)
        if arrangement is Arrangement.PAIR:
            ground = over(second.colour, ground, second.alpha)
            alpha = np.maximum(first.alpha, second.alpha)
        else:
            sigma = height / 500 * float(rng.uniform(8, 16))
            veiled = over(second.colour, ground, second.alpha * np.float32(rng.uniform(0.5, 0.9)))
            ground = np.asarray(cv2.GaussianBlur(veiled, (0, 0), sigma), np.uint8)
            alpha = first.alpha
        return over(first.colour, ground, first.alpha), alpha
    placed = _placed(subject, (height, width), share, (0.5, 0.5), aside, rng)
    colour = placed.colour
    if arrangement is Arrangement.ALIKE:
        colour = _in_colours_of(colour, ground, placed.alpha, float(rng.uniform(0.3, 0.9)))
    if rng.random() < 0.4:  # noqa: PLR2004 - a share: over its own shadow
        ground = _shadowed(ground, placed.alpha, rng)
    return over(colour, ground, placed.alpha), placed.alpha


def _placed(
    subject: Subject,
    shape: tuple[int, int],
    share: float,
    centre: tuple[float, float],
    aside: float,
    rng: np.random.Generator,
) -> Subject:
    """Scale and move a subject so that its box fills a share of the frame, with its middle near a point (x, y in shares)."""
    rows, columns = np.nonzero(subject.alpha > 0.1)  # noqa: PLR2004 - barely visible pixels do not count for the box
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    across, down = box[2] - box[0], box[3] - box[1]
    height, width = shape
    factor = (share * height * width / (across * down)) ** 0.5
    factor = min(factor, 1.3 * width / across, 1.3 * height / down)
    x = width * (centre[0] + float(rng.uniform(-aside, aside)))
    y = height * (centre[1] + float(rng.uniform(-aside, aside)))
    turn = np.array(
        [
            [factor, 0, x - factor * (box[0] + across / 2)],
            [0, factor, y - factor * (box[1] + down / 2)],
        ]
    )
    shrunk, matrix = subject, turn
    if factor < 0.5:  # noqa: PLR2004 - one half: below it bilinear sampling leaves pixels out
        size = (
            max(1, round(subject.alpha.shape[1] * factor)),
            max(1, round(subject.alpha.shape[0] * factor)),
        )
        shrunk = Subject(
            alpha=np.asarray(cv2.resize(subject.alpha, size, interpolation=cv2.INTER_AREA), np.float32),
            colour=np.asarray(cv2.resize(subject.colour, size, interpolation=cv2.INTER_AREA), np.uint8),
        )
        matrix = np.array([[1, 0, turn[0, 2]], [0, 1, turn[1, 2]]])
    alpha = cv2.warpAffine(shrunk.alpha, matrix, (width, height), flags=cv2.INTER_LINEAR)
    colour = cv2.warpAffine(
        shrunk.colour, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return Subject(alpha=np.clip(np.asarray(alpha, np.float32), 0, 1), colour=np.asarray(colour, np.uint8))


def _in_colours_of(colour: Rgb, ground: Rgb, alpha: Gray, share: float) -> Rgb:
    inside = alpha > 0.5  # noqa: PLR2004 - one half
    if not inside.any():
        return colour
    moved = colour + np.float32(share) * (ground[inside].mean(axis=0) - colour[inside].mean(axis=0))
    return np.asarray(np.clip(moved, 0, 255), np.uint8)


def _shadowed(ground: Rgb, alpha: Gray, rng: np.random.Generator) -> Rgb:
    height, width = alpha.shape
    move = np.array(
        [[1, 0, width * float(rng.uniform(-0.1, 0.1))], [0, 1, height * float(rng.uniform(0, 0.08))]],
        np.float64,
    )
    shade = cv2.GaussianBlur(cv2.warpAffine(alpha, move, (width, height)), (0, 0), height / 60)
    dark = 1 - np.asarray(shade, np.float32) * np.float32(rng.uniform(0.3, 0.8))
    return (ground * dark[..., None]).astype(np.uint8)


def main() -> None:
    """Write the set: NAME.jpg and NAME_alpha.png."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cutouts", type=Path, help="a folder of RGBA PNGs")
    parser.add_argument("photos", type=Path, help="a folder of backgrounds")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=490)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    cutouts, photos = sorted(arguments.cutouts.glob("*.png")), backgrounds(arguments.photos)
    rng = np.random.default_rng(arguments.seed)
    for one in arranged(cutouts, photos, arguments.count, rng):
        path = str(arguments.folder / one.name)
        cv2.imwrite(f"{path}.jpg", one.rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        cv2.imwrite(f"{path}_alpha.png", np.round(one.alpha * 255).astype(np.uint8))


if __name__ == "__main__":
    main()
