"""Measures how many wrong cutouts are right after one to four strokes of a simulated person, and whether right ones stay so.

    python -m bench.strokes FOLDER [--passes all|320] [--limit N]

FOLDER holds NAME.jpg or NAME.png and NAME_alpha.png. What is seen and measured is the preview of Fix, refined as the cutout is. A
picture is right at an IoU of 0.9 with its true alpha at 480 pixels of its longer side. The simulated person looks at the largest
wrong part, and draws along its middle (`line`), the same with an unsteady hand and a brush of one size (`sloppy`), or clicks once
on its deepest point (`click`); then looks again. With `either`, the better one of both suggestions is taken each time. Right
pictures get one stroke on their largest wrong part. The last row of the wrong ones is a bound: there each stroke makes exactly the
part right that it is drawn on. It changes nothing and publishes nothing.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # onnxruntime reads it at its import
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as in a worker: CPU time of idle threads would count

import cv2
import numpy as np

from bench.scores import score
from cutoutd.engine.formats import decode
from cutoutd.engine.formats.opening import SWITCHES
from cutoutd.engine.matting import matte_model, quality
from cutoutd.engine.matting.correct import SIDE
from cutoutd.engine.matting.features import MODEL, FeatureModel
from cutoutd.engine.matting.subject_search import Region
from cutoutd.models import catalog
from cutoutd.pipeline import refinement
from cutoutd.pipeline.matte import CoarseMatte, model_view
from cutoutd.previews.brush_picture import BrushPicture
from cutoutd.recipe import Metadata, Recipe
from cutoutd.strokes import Stroke, StrokeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Gray = NDArray[np.float32]
    Mask = NDArray[np.bool_]
    Draw = Callable[[Mask, np.random.Generator], tuple[list[tuple[float, float]], float]]

RIGHT_IOU = 0.9
_INSIDE = 0.5
_ONE_PASS = 320
_MAX_PIXELS = 100_000_000
RECIPE = Recipe(renditions=(), refine=True, decontaminate=False, metadata=Metadata.NONE, review_below=0.0)
STROKES = 4
_BRUSH_PX = 6.0  # radius of a brush at 480 pixels: about the default of an editor
_GRID = 120  # longer side of the grid on which the middle of a part is traced


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sample:
    """One picture, as the person who corrects it sees it.

    Attributes:
        name: name of its file.
        picture: the picture, as Fix shows it.
        truth: float32 (h, w), the true alpha, at most 480 pixels on its longer side.
    """

    name: str
    picture: BrushPicture
    truth: Gray

    def seen(self, strokes: Sequence[Stroke], suggestion: int = 0) -> Gray:
        """Return the preview, at the size of the truth.

        Args:
            strokes: all strokes, in pixels of the truth.
            suggestion: number of the method's result.
        """
        factor = max(self.picture.size) / max(self.truth.shape)
        full = [
            replace(
                one, points=tuple((x * factor, y * factor) for x, y in one.points), radius=one.radius * factor
            )
            for one in strokes
        ]
        alpha, _ = self.picture.alpha(full, suggestion)
        return reduced(alpha, self.truth.shape)

    @property
    def iou(self) -> float:
        """IoU before any stroke."""
        return score(self.seen(()), self.truth).iou


def reduced(alpha: NDArray[np.uint8], shape: tuple[int, ...]) -> Gray:
    """Return an alpha at another size, float32 (h, w) in 0..1."""
    plane = np.asarray(cv2.resize(alpha, shape[1::-1], interpolation=cv2.INTER_AREA), np.float32)
    return plane / np.float32(255)


def samples(folder: Path, passes: str, limit: int) -> Iterator[Sample]:
    """Yield the pictures of a folder with their mattes and features."""
    spec = catalog.find(MODEL)
    model = FeatureModel(spec, spec.file.read_bytes())
    for path in sorted(folder.glob("*_alpha.png"))[: limit or None]:
        name = path.name.removesuffix("_alpha.png")
        data = next(one for one in folder.glob(f"{name}.*") if one != path).read_bytes()
        picture = BrushPicture.of(data, model, RECIPE, max_pixels=_MAX_PIXELS, allowed=SWITCHES)
        alpha = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
        factor = min(1.0, SIDE / max(alpha.shape))
        yield Sample(
            name=name,
            picture=picture if passes == "all" else by_one_pass(picture, data, model),
            truth=reduced(alpha, tuple(round(one * factor) for one in alpha.shape)),
        )


def by_one_pass(picture: BrushPicture, data: bytes, model: FeatureModel) -> BrushPicture:
    """Return a picture with the matte of one pass at 320 pixels."""
    rgb = model_view(decode.decode(data, max_pixels=_MAX_PIXELS))
    coarse = matte_model.normalise(model.model.predict(rgb, _ONE_PASS))
    found = CoarseMatte(region=Region.whole(*picture.size), coarse=coarse, quality=quality.assess(coarse))
    plain = refinement.refined(picture.view, found, RECIPE)
    return replace(picture, found=found, matte=coarse, plain=plain)


def line(part: Mask, _: np.random.Generator) -> tuple[list[tuple[float, float]], float]:
    """Draw along the middle of a part, with a brush that stays inside it."""
    depth = np.asarray(cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5), np.float32)
    points = _middle(depth)
    least = min(depth[int(y), int(x)] for x, y in points)
    return points, float(np.clip(0.8 * least, 1, _BRUSH_PX))


def sloppy(part: Mask, rng: np.random.Generator) -> tuple[list[tuple[float, float]], float]:
    """Draw as `line` does, with a brush of one size and a hand that shakes by some pixels."""
    points, _ = line(part, rng)
    shaken = np.array(points) + rng.normal(0, 3, (len(points), 2)) + rng.normal(0, 2, 2)
    limit = (part.shape[1] - 1, part.shape[0] - 1)
    return [(float(x), float(y)) for x, y in np.clip(shaken, 0, limit)], _BRUSH_PX


def click(part: Mask, _: np.random.Generator) -> tuple[list[tuple[float, float]], float]:
    """Click on the deepest point of a part."""
    depth = np.asarray(cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5), np.float32)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return [(x + 0.5, y + 0.5)], float(np.clip(0.8 * depth.max(), 1, _BRUSH_PX))


def _middle(depth: Gray) -> list[tuple[float, float]]:
    """Return the longest path through the deep region of a part, x and y."""
    step = max(1, round(max(depth.shape) / _GRID))
    small = depth[step // 2 :: step, step // 2 :: step]
    deep = small >= 0.5 * depth.max()
    if not deep.any():
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        return [(x + 0.5, y + 0.5)]
    start = np.unravel_index(int(np.where(deep, small, 0).argmax()), small.shape)
    one, _ = _walked(deep, (int(start[0]), int(start[1])))
    other, came = _walked(deep, one)
    way = [other]
    while way[-1] != one:
        way.append(came[way[-1]])
    return [(x * step + step // 2 + 0.5, y * step + step // 2 + 0.5) for y, x in way]


def _walked(
    deep: Mask, start: tuple[int, int]
) -> tuple[tuple[int, int], dict[tuple[int, int], tuple[int, int]]]:
    """Return the point that is farthest from a start on a path through a part, and the predecessor of each point."""
    came = {start: start}
    queue, last = deque([start]), start
    while queue:
        last = y, x = queue.popleft()
        for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = 0 <= place[0] < deep.shape[0] and 0 <= place[1] < deep.shape[1]
            if inside and deep[place] and place not in came:
                came[place] = last
                queue.append(place)
    return last, came


def next_stroke(matte: Gray, truth: Gray, draw: Draw, rng: np.random.Generator) -> Stroke | None:
    """Return the stroke that a person draws who sees this matte; None where nothing is wrong."""
    largest = _largest_wrong_part(matte > _INSIDE, truth > _INSIDE)
    if largest is None:
        return None
    part, kind = largest
    points, radius = draw(part, rng)
    return Stroke(kind=kind, points=tuple(points), radius=radius)


def _largest_wrong_part(said: Mask, true: Mask) -> tuple[Mask, StrokeKind] | None:
    """Return the largest connected part that is wrong, and the stroke that it needs; None where nothing is wrong."""
    best: tuple[int, Mask, StrokeKind] | None = None
    for wrong, kind in ((true & ~said, StrokeKind.KEEP), (said & ~true, StrokeKind.REMOVE)):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8), connectivity=4)
        if count > 1:
            number = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            area = int(stats[number, cv2.CC_STAT_AREA])
            if best is None or area > best[0]:
                best = (area, np.asarray(labels == number), kind)
    return None if best is None else best[1:]


def after(
    sample: Sample, draw: Draw, count: int, suggestions: tuple[int, ...] = (0,)
) -> tuple[list[float], float]:
    """Return the IoU after each stroke, and the CPU seconds of the slowest preview; of several suggestions the best one is taken."""
    strokes: list[Stroke] = []
    matte, slowest, ious = sample.seen(()), 0.0, []
    rng = np.random.default_rng(len(sample.name))
    for _ in range(count):
        stroke = next_stroke(matte, sample.truth, draw, rng)
        if stroke is not None:
            strokes.append(stroke)
            previews = []
            for suggestion in suggestions:
                begun = time.process_time()
                previews.append(sample.seen(strokes, suggestion))
                slowest = max(slowest, time.process_time() - begun)
            matte = max(previews, key=lambda one: score(one, sample.truth).iou)
        ious.append(score(matte, sample.truth).iou)
    return ious, slowest


def bound(sample: Sample, count: int) -> list[float]:
    """Return the IoU after each stroke if it makes all of the largest wrong part right, and nothing else."""
    said, true = sample.seen(()) > _INSIDE, sample.truth > _INSIDE
    ious: list[float] = []
    for _ in range(count):
        largest = _largest_wrong_part(said, true)
        if largest is not None:
            said = said ^ largest[0]
        ious.append(score(said.astype(np.float32), sample.truth).iou)
    return ious


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--passes", choices=("all", "320"), default="all", help="as today, or one at 320 pixels"
    )
    parser.add_argument("--limit", type=int, default=0, help="pictures; 0: all")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    report(list(samples(arguments.folder, arguments.passes, arguments.limit)))


def report(pictures: list[Sample]) -> None:
    """Print the table."""
    wrong = [one for one in pictures if one.iou < RIGHT_IOU]
    right = [one for one in pictures if one.iou >= RIGHT_IOU]
    print(f"{len(pictures)} pictures, {len(wrong)} wrong")
    if wrong:
        _print_wrong(wrong)
    for name, draw in (("line", line), ("click", click)):
        drops = [(one, after(one, draw, 1)[0][0]) for one in right]
        fallen = [f"{one.name} {one.iou:.3f} to {now:.3f}" for one, now in drops if now < RIGHT_IOU]
        worse = sum(now < one.iou - 0.002 for one, now in drops)
        print(
            f"right pictures, one {name}: {len(right)}; {worse} are worse, {len(fallen)} fell below .9 {', '.join(fallen)}"
        )


def _print_wrong(wrong: list[Sample]) -> None:
    print("method           right after 1   2   3   4   mean IoU before   1    2    3    4   slowest s")
    for name, draw, suggestions in (
        ("line", line, (0,)),
        ("sloppy", sloppy, (0,)),
        ("click", click, (0,)),
        ("line, GrabCut", line, (1,)),
        ("line, either", line, (0, 1)),
        ("click, either", click, (0, 1)),
    ):
        results = [after(one, draw, STROKES, suggestions) for one in wrong]
        slowest = max((seconds for _, seconds in results), default=0.0)
        _print_row(name, [seen for seen, _ in results], wrong, slowest)
    _print_row("bound", [bound(one, STROKES) for one in wrong], wrong, 0.0)


def _print_row(name: str, seen: list[list[float]], wrong: list[Sample], slowest: float) -> None:
    ious = np.array(seen).reshape(-1, STROKES)
    counts = " ".join(f"{count:3}" for count in (ious >= RIGHT_IOU).sum(axis=0))
    means = " ".join(f".{round(1000 * mean):03}" for mean in ious.mean(axis=0))
    before = np.mean([one.iou for one in wrong])
    print(f"{name:16}            {counts}              .{round(1000 * before):03} {means}   {slowest:.2f}")


if __name__ == "__main__":
    main()
