"""Fits the quality score: `src/cutoutd/engine/matting/score.json`, logistic functions of what several passes say.

    python models/train_score.py FOLDER... [--out FILE] [--check FOLDER...] [--seed N]

A FOLDER holds NAME.jpg or NAME.png and NAME_alpha.png, what a person would cut; a picture without an alpha has no subject,
and any cutout of it counts as wrong. `bench.arrangements` and `bench.nothing` make such folders from free pictures. Pictures
that share a subject
(the second part of a name of three, between hyphens) stay on one side of each split. `--check` says how well the stored
function does on other pictures, and fits nothing. It is no part of the package and must not be imported by it.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # onnxruntime reads it at its import

import cv2
import numpy as np
from PIL import Image

from cutoutd.engine.matting import quality
from cutoutd.engine.matting.matte_model import MatteModel, normalise
from cutoutd.engine.matting.quality import ScoreFunction
from cutoutd.engine.matting.refine import refine
from cutoutd.engine.matting.specks import without_specks
from cutoutd.engine.matting.subject_search import find_subject
from cutoutd.models import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from cutoutd.engine.matting.quality import Signs

    Numbers = NDArray[np.float64]

RIGHT_IOU = 0.9
RIDGE = 1.0  # a prior of one picture's weight: the coefficients stay finite where the signs part the pictures
FOLDS = 7
BOOTSTRAPS = 1000
STEPS = 50
NAMED_PARTS = 3
HALF = 127
TOP = 0.8
NAMES = {
    ScoreFunction.UNCHECKED: (
        "log odds of the decided share",
        "one pass alone",
        "disagreement of two passes",
        "disagreement of a closer pass",
        "block",
    ),
    ScoreFunction.CHECKED: (
        "log odds of the decided share",
        "disagreement of a closer pass",
        "block",
        "log of what the check contradicts",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """One picture in which a subject was found.

    Attributes:
        name: of the file.
        group: of pictures with the same subject.
        signs: of the matte, with those of the check.
        iou: of the refined cutout with the truth; 0 where there is nothing to be cut.
    """

    name: str
    group: str
    signs: Signs
    iou: float

    def features(self, function: ScoreFunction) -> tuple[float, ...]:
        """Return the inputs of a score function."""
        is_checked = function is ScoreFunction.CHECKED
        return quality.features(
            self.signs if is_checked else replace(self.signs, seen_more=None, seen_less=None)
        )[1]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fitted:
    """A logistic function of the features as they are."""

    bias: float
    weights: Numbers

    def of(self, features: Numbers) -> Numbers:
        """Probabilities, float64 (n,), of features (n, k)."""
        return np.asarray(1 / (1 + np.exp(-(self.bias + features @ self.weights))))


def cases(folder: Path, model: MatteModel) -> Iterator[Case]:
    """Cut all pictures of a folder; those in which no subject is found are left out, as their score is 0 in any case."""
    for path in sorted(folder.iterdir()):
        if path.suffix not in {".jpg", ".png"} or path.stem.endswith("_alpha"):
            continue
        with Image.open(path) as image:
            rgb = np.asarray(image.convert("RGB"), np.uint8)
        found = find_subject(rgb, model.predict, model.sides, model.check_side)
        if found.signs.decided == 0:
            print(f"{path.stem}: no subject is found")
            continue
        parts = path.stem.split("-")
        alpha = np.zeros(rgb.shape[:2], np.uint8)
        coarse = without_specks(normalise(found.raw))
        alpha[found.region.slices] = refine(np.ascontiguousarray(rgb[found.region.slices]), coarse)
        yield Case(
            name=path.stem,
            group=parts[1] if len(parts) == NAMED_PARTS else path.stem,
            signs=found.signs,
            iou=_iou(alpha, path.with_name(f"{path.stem}_alpha.png")),
        )


def _iou(alpha: NDArray[np.uint8], truth: Path) -> float:
    if not truth.exists():
        return 0.0
    with Image.open(truth) as image:
        true = np.asarray(image.convert("L")) > HALF
    union = int(np.count_nonzero((alpha > HALF) | true))
    return int(np.count_nonzero((alpha > HALF) & true)) / max(1, union)


def fit(features: Numbers, right: Numbers) -> Fitted:
    """Newton's method for the ridge-penalised likelihood, on features of mean 0 and deviation 1."""
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-9
    columns = np.column_stack([np.ones(len(features)), (features - mean) / deviation])
    penalty = RIDGE * np.eye(columns.shape[1])
    penalty[0, 0] = 0
    weights = np.zeros(columns.shape[1])
    for _ in range(STEPS):
        share = 1 / (1 + np.exp(-columns @ weights))
        slope = columns.T @ (share - right) + penalty @ weights
        curve = columns.T @ (columns * (share * (1 - share))[:, None]) + penalty
        weights -= np.linalg.solve(curve, slope)
    plain = weights[1:] / deviation
    return Fitted(bias=float(weights[0] - plain @ mean), weights=plain)


def held_out(data: Sequence[Case], function: ScoreFunction, rng: np.random.Generator) -> Numbers:
    """Probabilities by functions that saw no picture of the same subject."""
    groups = sorted({case.group for case in data})
    fold_of = {group: number % FOLDS for number, group in enumerate(rng.permutation(groups))}
    folds = np.array([fold_of[case.group] for case in data])
    features, right = _table(data, function)
    said = np.zeros(len(data))
    for fold in range(FOLDS):
        inside = folds == fold
        said[inside] = fit(features[~inside], right[~inside]).of(features[inside])
    return said


def _table(data: Sequence[Case], function: ScoreFunction) -> tuple[Numbers, Numbers]:
    right = np.array([float(case.iou >= RIGHT_IOU) for case in data])
    return np.array([case.features(function) for case in data]), right


def auc(said: Numbers, right: Numbers) -> float:
    """Probability that a right picture's score is above a wrong one's; a tie counts half."""
    above, below = said[right > 0], said[right == 0]
    if not above.size or not below.size:
        return float("nan")
    return float((above[:, None] > below).mean() + (above[:, None] == below).mean() / 2)


def report(said: Numbers, right: Numbers, rng: np.random.Generator) -> None:
    """Print AUC with a 95 % interval, and by fifths of the range how many pictures, the mean score, and how many are right."""
    drawn = [rng.integers(len(said), size=len(said)) for _ in range(BOOTSTRAPS)]
    low, high = np.nanpercentile([auc(said[some], right[some]) for some in drawn], [2.5, 97.5])
    print(
        f"{len(said)} pictures, {int((right == 0).sum())} wrong; AUC {auc(said, right):.3f} ({low:.3f} to {high:.3f})"
    )
    for bottom in np.arange(5) / 5:
        some = (said >= bottom) & (said < bottom + 0.2 if bottom < TOP else said <= 1)
        if some.any():
            share, count = right[some].mean(), int(some.sum())
            spread = 1.96 * (share * (1 - share) / count + 1 / (4 * count * count)) ** 0.5
            print(
                f"{bottom:.1f} to {bottom + 0.2:.1f}: {count:4}  score {said[some].mean():.2f}  right {share:.2f} +- {spread:.2f}"
            )
    print(
        "below: to look at / wrong ones among them, of all wrong ones / right ones among them, of all right ones"
    )
    for below in np.arange(1, 10) / 10:
        some = said < below
        caught, spoiled = int((some & (right == 0)).sum()), int((some & (right > 0)).sum())
        print(
            f"{below:.1f}: {int(some.sum())} / {caught} of {int((right == 0).sum())} / {spoiled} of {int((right > 0).sum())}"
        )


def diagram(file: Path, sets: Sequence[tuple[str, str, Numbers, Numbers]]) -> None:
    """Draw by fifths of the range how many are right, as SVG: name, colour, scores and outcomes of each set."""
    side, edge = 300, 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side + 2 * edge} {side + 2 * edge}" font-family="sans-serif" font-size="11">',
        f'<rect width="100%" height="100%" fill="#fff"/><rect x="{edge}" y="{edge}" width="{side}" height="{side}" fill="none" stroke="#888"/>',
        f'<line x1="{edge}" y1="{edge + side}" x2="{edge + side}" y2="{edge}" stroke="#bbb" stroke-dasharray="4"/>',
        f'<text x="{edge + side / 2}" y="{edge + side + 30}" text-anchor="middle">mean score</text>',
        f'<text x="12" y="{edge + side / 2}" text-anchor="middle" transform="rotate(-90 12 {edge + side / 2})">share that is right</text>',
    ]
    for number, (name, colour, said, right) in enumerate(sets):
        parts.append(f'<text x="{edge + 8}" y="{edge + 16 + 14 * number}" fill="{colour}">{name}</text>')
        for bottom in np.arange(5) / 5:
            some = (said >= bottom) & (said < bottom + 0.2 if bottom < TOP else said <= 1)
            if count := int(some.sum()):
                share = float(right[some].mean())
                spread = 1.96 * (share * (1 - share) / count + 1 / (4 * count * count)) ** 0.5
                x, top, low = (
                    edge + side * float(said[some].mean()),
                    edge + side * (1 - min(1.0, share + spread)),
                    edge + side * (1 - max(0.0, share - spread)),
                )
                y = edge + side * (1 - share)
                parts.append(
                    f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{low:.1f}" stroke="{colour}"/>'
                    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/><text x="{x + 6:.1f}" y="{y - 5:.1f}" fill="{colour}">{count}</text>'
                )
    file.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def fitted_to(data: Sequence[Case], function: ScoreFunction, rng: np.random.Generator) -> dict[str, object]:
    """Fit; return what is stored, with the deviation of each weight over drawings of the pictures with replacement."""
    features, right = _table(data, function)
    found = fit(features, right)
    drawn = [rng.integers(len(data), size=len(data)) for _ in range(BOOTSTRAPS // 5)]
    spread = np.std([fit(features[some], right[some]).weights for some in drawn], axis=0)
    return {
        "pictures": len(data),
        "wrong": int((right == 0).sum()),
        "features": list(NAMES[function]),
        "bias": round(found.bias, 4),
        "weights": [round(float(weight), 4) for weight in found.weights],
        "deviation": [round(float(one), 4) for one in spread],
    }


def store(data: Sequence[Case], out: Path, rng: np.random.Generator, picture: Path | None = None) -> None:
    """Fit all score functions, print how they do on what they did not see, write them, and draw the last one's reliability."""
    right = np.array([float(case.iou >= RIGHT_IOU) for case in data])
    stored: dict[str, object] = {
        "origin": "models/train_score.py, on composites of bench.arrangements and pictures of bench.nothing"
    }
    for function in ScoreFunction:
        print(f"{function.value}, held out:")
        said = held_out(data, function, rng)
        report(said, right, rng)
        stored[function.value] = fitted_to(data, function, rng)
    if picture is not None:
        diagram(picture, [("held out", "#1f77b4", said, right)])
    out.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")


def check(name: str, data: Sequence[Case], file: Path, rng: np.random.Generator) -> None:
    """Print how well the stored functions do on other pictures."""
    stored = json.loads(file.read_text(encoding="utf-8"))
    for function in ScoreFunction:
        features, right = _table(data, function)
        fitted = Fitted(
            bias=stored[function.value]["bias"], weights=np.array(stored[function.value]["weights"])
        )
        print(f"{name}, {function.value}:")
        report(fitted.of(features), right, rng)


def main() -> None:
    """Cut, fit, report, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--out", type=Path, default=Path("src/cutoutd/engine/matting/score.json"))
    parser.add_argument("--check", type=Path, nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--diagram", type=Path, help="an SVG of how well the scores held out are calibrated")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(arguments.seed)
    model = MatteModel(catalog.find("u2net-int8"), provider="cpu")
    if arguments.folders:
        data = [case for folder in arguments.folders for case in cases(folder, model)]
        store(data, arguments.out, rng, arguments.diagram)
    for folder in arguments.check:
        check(folder.name, list(cases(folder, model)), arguments.out, rng)


if __name__ == "__main__":
    main()
