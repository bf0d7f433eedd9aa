"""The pictures and figures of docs/renditions.md: each setting of a rendition, and the cost of each format.

    python -m bench.renditions [--pictures docs/renditions] [--cost]

Every picture is cut by the program's own pipeline and model, from scikit-image's cup and motorcycle. It is not a part of the
package.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from bench.speed import HEIGHT, WIDTH, make_photo, opened

if TYPE_CHECKING:
    from cutoutd.pipeline.engine import Engine

SUBJECTS: Final = ("coffee.png", "motorcycle_left.png")
RENDITIONS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "default": (0, {}),
    "alpha": (0, {"channels": "alpha"}),
    "white": (0, {"background": "white"}),
    "colour": (0, {"background": "#d9e4ec"}),
    "picture": (0, {"background": "brick.png"}),
    "crop": (0, {"crop": True}),
    "margin": (0, {"crop": True, "margin": "10%"}),
    "margin-sides": (0, {"crop": True, "margin": "5% 30% 5% 5%"}),
    "canvas": (0, {"canvas": "400x400"}),
    "canvas-crop": (0, {"canvas": "400x400", "crop": True}),
    "scale": (0, {"canvas": "400x400", "background": "white", "scale": "85%"}),
    "scale-small": (0, {"canvas": "400x400", "background": "white", "scale": "50%"}),
    "position": (0, {"canvas": "400x400", "background": "white", "scale": "50%", "position": "0% 100%"}),
    "position-original": (0, {"scale": "40%", "position": "original", "background": "white"}),
    "shadow-none": (1, {"canvas": "480x360", "background": "#ececec", "scale": "85%"}),
    "shadow-40": (1, {"canvas": "480x360", "background": "#ececec", "scale": "85%", "shadow": 40}),
    "shadow-80": (1, {"canvas": "480x360", "background": "#ececec", "scale": "85%", "shadow": 80}),
    "shadow-transparent": (1, {"canvas": "480x360", "scale": "85%", "shadow": 60}),
}
COSTS: Final[dict[str, dict[str, Any]]] = {
    "PNG": {},
    "TIFF": {"format": "tiff"},
    "WebP, nothing lost": {"format": "webp"},
    "WebP, quality 80": {"format": "webp", "quality": 80},
    "AVIF": {"format": "avif"},
    "JPEG, white": {"format": "jpeg", "background": "white"},
    "JPEG, white, 2000x2000, 85 %": {
        "format": "jpeg",
        "background": "white",
        "canvas": "2000x2000",
        "scale": "85%",
    },
    "PNG, mask alone": {"channels": "alpha"},
    "PNG, with a shadow": {"shadow": 40},
    "TIFF, 16 bits": {"format": "tiff", "bits": 16},
}
SHOWN: Final = 300
_SQUARE: Final = 10
_COLOURS: Final = 96


def main() -> None:
    """Make the pictures, or measure."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, help="directory to put the pictures into")
    parser.add_argument("--cost", action="store_true", help="measure the formats on a 12-megapixel photo")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        if chosen.pictures is not None:
            draw(chosen.pictures, Path(directory))
        if chosen.cost:
            measure(Path(directory))


def draw(target: Path, scratch: Path) -> None:
    """Draw each setting as a small picture, with transparency on a checkerboard."""
    target.mkdir(parents=True, exist_ok=True)
    pictures = samples()
    for number, name in enumerate(SUBJECTS):
        source = Image.open(pictures / name).convert("RGB")
        save(source, target / f"source-{number + 1}.png")
    for name, (number, rendition) in RENDITIONS.items():
        written = {
            key: str(pictures / value) if str(value).endswith(".png") else value
            for key, value in rendition.items()
        }
        staged, _ = cut(pictures / SUBJECTS[number], written, scratch)
        save(on_checkerboard(Image.open(staged[0])), target / f"{name}.png")


def measure(scratch: Path, rounds: int = 3) -> None:
    """Measure time and size of each rendition of one 12-megapixel cutout: medians of a few rounds, one thread."""
    photo = scratch / "photo.jpg"
    make_photo(opened(samples() / SUBJECTS[0]), photo, (WIDTH, HEIGHT), 0)
    print("| rendition | encode, s | whole cut, s | MB |")
    print("| --- | --- | --- | --- |")
    for name, rendition in COSTS.items():
        runs = [cut(photo, rendition, scratch) for _ in range(rounds)]
        encode, total = (
            statistics.median(timings[step] for _, timings in runs) / 1000 for step in ("encode", "total")
        )
        size = runs[0][0][0].stat().st_size / 1e6
        print(f"| {name} | {encode:.2f} | {total:.2f} | {size:.2f} |", flush=True)


def cut(source: Path, rendition: dict[str, Any], scratch: Path) -> tuple[list[Path], dict[str, float]]:
    """Do the work of a worker in this process. Returns the staged files, and the time by step."""
    from cutoutd.jobs import Cut  # noqa: PLC0415
    from cutoutd.pipeline import pipeline  # noqa: PLC0415 -- after the environment was set
    from cutoutd.pool.one_task import task_for  # noqa: PLC0415
    from cutoutd.pool.task_files import open_files  # noqa: PLC0415
    from cutoutd.process import channel  # noqa: PLC0415 -- after the environment was set
    from cutoutd.recipe import Metadata, Recipe  # noqa: PLC0415
    from cutoutd.settings.renditions import RenditionSettings  # noqa: PLC0415

    renditions = (RenditionSettings.model_validate(rendition).rendition(),)
    recipe = Recipe(
        renditions=renditions, refine=True, decontaminate=True, metadata=Metadata.NONE, review_below=0.0
    )
    task, staging = task_for(source, scratch, recipe)
    files = open_files(task, source.parent, staging)
    try:
        report = pipeline.run(task, files, _engine())
    finally:
        channel.close(files.descriptors)
    if not isinstance(report, Cut):
        sys.exit(f"{source}: {report}")
    return [staging.path(one.name) for one in report.staged if one.rendition >= 0], report.timings_ms


@functools.cache
def _engine() -> Engine:
    import cv2  # noqa: PLC0415

    from cutoutd.models import catalog  # noqa: PLC0415
    from cutoutd.pipeline.engine import Engine  # noqa: PLC0415

    cv2.setNumThreads(1)
    return Engine(
        [catalog.find("u2net-int8")], provider="cpu", max_pixels=120_000_000, max_file_bytes=1 << 29
    )


def samples() -> Path:
    """Return where scikit-image keeps its free pictures."""
    import skimage.data  # noqa: PLC0415 -- nothing else needs it

    return Path(skimage.data.__file__).parent


def on_checkerboard(image: Image.Image) -> Image.Image:
    """Return a picture with its transparency made visible."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    y, x = np.mgrid[0 : image.height, 0 : image.width] // _SQUARE
    board = np.where((y + x) % 2, 205, 255).astype(np.uint8)
    ground = Image.fromarray(np.dstack((board, board, board))).convert("RGBA")
    ground.alpha_composite(image)
    return ground.convert("RGB")


def save(image: Image.Image, path: Path) -> None:
    """Save a picture small enough for a page, with few enough colours for a repository."""
    image.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    few = image.quantize(_COLOURS, dither=Image.Dither.FLOYDSTEINBERG)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
