"""Pictures without a subject: pages, tables, screenshots, textures, landscapes, drawn by a seeded generator.

    python -m bench.nothing FOLDER [--seed N] [--each N]

A person who is asked to cut out the subject would ask which one. It draws; it runs no model.
"""

from __future__ import annotations

import argparse
import functools
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from bench.scenes import Gray, Rgb

    Colour = tuple[int, int, int]

_WORDS = [
    "order",
    "invoice",
    "total",
    "amount",
    "number",
    "due",
    "date",
    "please",
    "find",
    "our",
    "terms",
    "of",
    "payment",
    "within",
    "thirty",
    "days",
    "the",
    "goods",
    "remain",
    "property",
    "until",
    "paid",
    "in",
    "full",
    "net",
    "gross",
    "piece",
    "unit",
    "price",
    "tax",
    "reference",
    "customer",
    "delivery",
    "address",
    "street",
    "house",
]
_PAGE = (900, 640)
_SCREEN = (600, 960)
_OUTDOORS = (600, 900)


class Sort(Enum):
    """Kinds of pictures without a subject."""

    PAGE = "page"
    TABLE = "table"
    SCREENSHOT = "screenshot"
    TEXTURE = "texture"
    LANDSCAPE = "landscape"


def nothing(seed: int, each: int) -> Iterator[tuple[str, Rgb]]:
    """Yield pictures, uint8 (H, W, 3), with their names: so many of each sort."""
    rng = np.random.default_rng(seed)
    for sort in Sort:
        for number in range(each):
            rgb = _DRAWERS[sort](rng).astype(np.float32)
            noisy = rgb + rng.normal(0, float(rng.uniform(0.5, 4)), rgb.shape)
            yield f"{sort.value}-{number:02}", np.clip(noisy, 0, 255).astype(np.uint8)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _line(rng: np.random.Generator, count: int) -> str:
    return " ".join(str(word) for word in rng.choice(_WORDS, count))


def _paper(rng: np.random.Generator) -> Colour:
    tone = int(rng.integers(225, 256))
    return tone, tone - int(rng.integers(0, 8)), tone - int(rng.integers(0, 20))


def _scanned(image: Image.Image, rng: np.random.Generator) -> Rgb:
    """Rotate a little and light unevenly, as scans and photos of paper are."""
    turned = image.rotate(float(rng.normal(0, 0.7)), Image.Resampling.BICUBIC, fillcolor=_paper(rng))
    height, width = turned.size[1], turned.size[0]
    across, down = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    light = 1 - 0.12 * (float(rng.normal()) * across + float(rng.normal()) * down).clip(-1, 1)
    return np.clip(np.asarray(turned, np.float32) * light[..., None], 0, 255).astype(np.uint8)


def _page(rng: np.random.Generator) -> Rgb:
    height, width = _PAGE
    image = Image.new("RGB", (width, height), _paper(rng))
    pen, size = ImageDraw.Draw(image), int(rng.integers(11, 22))
    columns = int(rng.integers(1, 3))
    margin, row = 50, int(size * 1.5)
    across = (width - margin * (columns + 1)) // columns
    for column in range(columns):
        x, y = margin + column * (across + margin), margin
        while y < height - margin:
            if rng.random() > 0.08:  # noqa: PLR2004 - the others part paragraphs
                text = _line(rng, 14)
                while pen.textlength(text, font=_font(size)) > across:
                    text = text[:-1]
                pen.text((x, y), text, fill=(30, 30, 35), font=_font(size))
            y += row
    if rng.random() < 0.6:  # noqa: PLR2004 - a share: pages with a title
        pen.rectangle((0, 0, width, margin + row), fill=_paper(rng))
        pen.text((margin, 20), _line(rng, 4).title(), fill=(20, 20, 20), font=_font(size + 14))
    return _scanned(image, rng)


def _table(rng: np.random.Generator) -> Rgb:
    height, width = _PAGE
    image = Image.new("RGB", (width, height), _paper(rng))
    pen, size = ImageDraw.Draw(image), int(rng.integers(11, 18))
    columns, row, margin = int(rng.integers(3, 8)), int(rng.integers(22, 40)), 40
    step = (width - 2 * margin) // columns
    is_ruled, is_striped = rng.random() < 0.7, rng.random() < 0.5  # noqa: PLR2004 - shares
    for number, y in enumerate(range(margin, height - margin - row, row)):
        if number == 0 or (is_striped and number % 2):
            tone = 200 if number == 0 else 238
            pen.rectangle((margin, y, margin + step * columns, y + row), fill=(tone, tone, tone + 8))
        for column in range(columns):
            text = _line(rng, 1) if column == 0 or number == 0 else f"{rng.uniform(1, 9999):,.2f}"
            pen.text((margin + column * step + 5, y + 4), text, fill=(30, 30, 30), font=_font(size))
            if is_ruled:
                place = (margin + column * step, y, margin + (column + 1) * step, y + row)
                pen.rectangle(place, outline=(120, 120, 120))
    return _scanned(image, rng)


def _screenshot(rng: np.random.Generator) -> Rgb:
    height, width = _SCREEN
    is_dark = rng.random() < 0.4  # noqa: PLR2004 - a share
    ground, ink, bar = (
        ((32, 33, 36), (220, 220, 220), (50, 52, 58))
        if is_dark
        else ((250, 250, 252), (40, 42, 48), (228, 230, 235))
    )
    accent: Colour = (int(rng.integers(20, 220)), int(rng.integers(20, 220)), int(rng.integers(20, 220)))
    image = Image.new("RGB", (width, height), ground)
    pen = ImageDraw.Draw(image)
    side = int(rng.integers(140, 240))
    pen.rectangle((0, 0, width, 34), fill=bar)
    pen.rectangle((0, 34, side, height), fill=bar)
    pen.text((14, 9), _line(rng, 5), fill=ink, font=_font(13))
    for y in range(50, height - 30, 26):
        pen.ellipse((12, y + 2, 22, y + 12), fill=accent)
        pen.text((30, y), _line(rng, 2), fill=ink, font=_font(13))
    for y in range(50, height - 60, int(rng.integers(30, 90))):
        if rng.random() < 0.3:  # noqa: PLR2004 - a share: buttons
            pen.rounded_rectangle((side + 20, y, side + 140, y + 24), 5, fill=accent)
        pen.text((side + 24, y + 4), _line(rng, int(rng.integers(4, 16))), fill=ink, font=_font(13))
    return np.asarray(image, np.uint8)


def _cloud(shape: tuple[int, int], rng: np.random.Generator, roughness: float) -> Gray:
    """Return noise of every scale, 0..1; rough near 1."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    grain, weight = 3, 1.0
    while grain < max(shape):
        size = (max(2, grain * width // max(shape)), max(2, grain * height // max(shape)))
        layer = rng.normal(0, weight, size[::-1]).astype(np.float32)
        total += np.asarray(cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
        grain, weight = grain * 2, weight * roughness
    low, high = float(total.min()), float(total.max())
    return np.asarray((total - low) / (high - low), np.float32)


def _between(share: Gray, rng: np.random.Generator, spread: float) -> NDArray[np.float32]:
    """Colour a plane from one tone to another."""
    tone = rng.integers(30, 226, 3).astype(np.float32)
    other = tone + rng.normal(0, spread, 3).astype(np.float32)
    return np.asarray(tone * (1 - share[..., None]) + other * share[..., None], np.float32)


def _texture(rng: np.random.Generator) -> Rgb:
    height, width = _OUTDOORS
    pick = int(rng.integers(4))
    if pick == 0:  # plaster, stone, cloth
        plane = _cloud((height, width), rng, float(rng.uniform(0.75, 0.98)))
    elif pick == 1:  # wood: noise drawn out along one side
        narrow = _cloud((height, max(8, width // 30)), rng, 0.9)
        plane = np.asarray(cv2.resize(narrow, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    elif pick == 2:  # noqa: PLR2004 - the third of four: bricks
        plane = np.full((height, width), 0.8, np.float32) - 0.3 * _cloud((height, width), rng, 0.8)
        brick = int(rng.integers(24, 60))
        for number, y in enumerate(range(0, height, brick)):
            plane[y : y + 4] = 0.1
            for x in range((number % 2) * brick, width, 2 * brick):
                plane[y : y + brick, x : x + 4] = 0.1
    else:  # a woven pattern
        y, x = np.mgrid[:height, :width].astype(np.float32)
        pitch = float(rng.uniform(0.1, 0.6))
        plane = np.asarray(0.5 + 0.25 * np.sin(x * pitch) + 0.25 * np.sin(y * pitch * 1.3), np.float32)
    return np.clip(_between(plane, rng, 60), 0, 255).astype(np.uint8)


def _landscape(rng: np.random.Generator) -> Rgb:
    height, width = _OUTDOORS
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    high, low = rng.uniform((40, 90, 150), (110, 160, 235)), rng.uniform((170, 190, 210), (245, 235, 235))
    scene = np.asarray((1 - down) * high + down * low + np.zeros((height, width, 1)), np.float32)
    clouds = np.clip(_cloud((height, width), rng, 0.55) * 2.2 - 1.2, 0, 1)[..., None]
    scene += clouds * (235 - scene) * np.float32(rng.uniform(0, 0.8))
    layers = int(rng.integers(2, 5))
    for layer in range(layers):
        rough = float(rng.uniform(0.4, 0.6))
        ridge = np.asarray(_cloud((8, width), rng, rough)[0], np.float32)
        top = height * (0.35 + 0.5 * (layer + 1) / (layers + 1)) - ridge * height * 0.28 / (layer + 1)
        inside = np.arange(height)[:, None] > top[None, :]
        near = (layer + 1) / layers
        ground = rng.uniform((40, 60, 30), (120, 130, 90)) * near + low * 0.6 * (1 - near)
        grain = 0.6 + 0.8 * _cloud((height, width), rng, 0.9)[..., None]
        scene = np.where(inside[..., None], ground * grain, scene).astype(np.float32)
    if rng.random() < 0.4:  # noqa: PLR2004 - a share: water in front
        shore = int(height * rng.uniform(0.6, 0.8))
        mirrored = scene[shore - (height - shore) : shore][::-1] * np.float32(0.75)
        scene[shore:] = cv2.GaussianBlur(mirrored, (0, 0), 3)[: height - shore]
    return np.clip(scene, 0, 255).astype(np.uint8)


_DRAWERS: dict[Sort, Callable[[np.random.Generator], Rgb]] = {
    Sort.PAGE: _page,
    Sort.TABLE: _table,
    Sort.SCREENSHOT: _screenshot,
    Sort.TEXTURE: _texture,
    Sort.LANDSCAPE: _landscape,
}


def main() -> None:
    """Write the set as JPEGs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=60)
    parser.add_argument("--each", type=int, default=12)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, rgb in nothing(arguments.seed, arguments.each):
        Image.fromarray(rgb).save(arguments.folder / f"{name}.jpg", quality=92)


if __name__ == "__main__":
    main()
