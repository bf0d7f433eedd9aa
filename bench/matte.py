"""Measures refinement and foreground colour on pictures whose alpha is known exactly.

    python -m bench.matte [--photos DIR] [--seed N] [--model FILE] [--sample PICTURE ALPHA [FOREGROUND]]

There are five sorts of coarse mattes: `exact` (the true alpha averaged to the model's grid), `exact/8` (to a grid eight times
coarser), `half` (to half the picture's size, where that is finer than the working copy: as from a model with a larger grid),
`shaken` (blurred and moved a little) and `model` (the model's matte of the composite, where it found the subject at all). It
changes nothing and publishes nothing.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnxruntime

from bench.composites import GRID, backgrounds, composites, reduced, shaken
from bench.scores import Score, score, soft_pixels
from cutoutd.engine.matting.foreground import estimate
from cutoutd.engine.matting.refine import refine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.composites import Composite, Gray, Rgb

FINE_PIXELS = 1_000_000  # of a picture: from here on half of its sides exceeds the working copy
_FOUND_IOU = 0.85  # below it the model found another subject, which refinement cannot correct
_WORSE_BY, _WORSE_BY_AT_LEAST = 1.05, 0.002


class _Measured:
    """Scores of bicubic enlargement and of refinement, by sort of coarse matte."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[str, Score, Score]]] = defaultdict(list)
        self.seconds = 0.0
        self.megapixels = 0.0

    def add(self, sort: str, name: str, rgb: Rgb, truth: Gray, coarse: Gray) -> None:
        start = time.process_time()
        alpha = refine(rgb, coarse)
        self.seconds += time.process_time() - start
        self.megapixels += truth.size / 1e6
        plain = score(enlarged(coarse, truth), truth)
        self.rows[sort].append((name, plain, score(alpha.astype(np.float32) / np.float32(255), truth)))

    def show(self) -> None:
        print(
            f"{'coarse matte':13} {'n':>3} {'method':8} {'MAE':>6} {'MSE':>6} {'gradient':>8} {'IoU':>6}   worst picture"
        )
        for sort, rows in self.rows.items():
            plain = np.array([astuple(row[1]) for row in rows])
            fine = np.array([astuple(row[2]) for row in rows])
            ratios = (fine[:, 0] + 1e-4) / (plain[:, 0] + 1e-4)
            worse = fine[:, (0, 2)] > np.maximum(
                plain[:, (0, 2)] * _WORSE_BY, plain[:, (0, 2)] + _WORSE_BY_AT_LEAST
            )
            worst = int(ratios.argmax())
            note = f"{rows[worst][0]} x{ratios[worst]:.2f}; worse in MAE {worse[:, 0].sum()}, gradient {worse[:, 1].sum()}"
            _print_row(sort, len(rows), "bicubic", plain.mean(axis=0), "")
            _print_row("", len(rows), "refine", fine.mean(axis=0), note)
            gain = 100 * (1 - fine.mean(axis=0) / plain.mean(axis=0).clip(1e-9))
            print(f"{'':17} {'gain %':8} {gain[0]:6.1f} {gain[1]:6.1f} {gain[2]:8.1f}")
        print(
            f"refine: {self.seconds / max(self.megapixels, 1e-9) * 1000:.1f} ms CPU a megapixel over all pictures"
        )


def _print_row(sort: str, count: int, method: str, mean: Gray, note: str) -> None:
    mae, mse, gradient, iou = mean
    print(f"{sort:13} {count:3} {method:8} {mae:6.4f} {mse:6.4f} {gradient:8.4f} {iou:6.4f}   {note}")


def enlarged(coarse: Gray, truth: Gray) -> Gray:
    """Enlarge a matte bicubically, as other programs do; float32 of the shape of the truth."""
    return np.clip(cv2.resize(coarse, truth.shape[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)


class U2Net:
    """The model's raw output, stretched over the picture as its authors do."""

    _MEAN = np.array([0.485, 0.456, 0.406], np.float32)
    _DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def matte(self, rgb: Rgb) -> Gray:
        """Return the output for a picture, float32 (320, 320) in 0..1."""
        small = cv2.resize(rgb, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.float32)
        small = (small / max(float(small.max()), 1e-6) - self._MEAN) / self._DEVIATION
        name = self._session.get_inputs()[0].name
        answer = self._session.run(None, {name: small.transpose(2, 0, 1)[None]})[0][0, 0]
        return np.asarray((answer - answer.min()) / max(float(np.ptp(answer)), 1e-6), np.float32)


def _coarse_mattes(
    composite: Composite, model: U2Net | None, rng: np.random.Generator
) -> Iterator[tuple[str, Gray]]:
    alpha = composite.alpha
    yield "exact", reduced(alpha, GRID)
    yield "exact/8", reduced(alpha, GRID // 8)
    yield "shaken", shaken(alpha, GRID, rng)
    if alpha.size > FINE_PIXELS:
        half = alpha.shape[1] // 2, alpha.shape[0] // 2
        yield "half", np.asarray(cv2.resize(alpha, half, interpolation=cv2.INTER_AREA), np.float32)
    if model is not None:
        matte = model.matte(composite.rgb)
        if score(enlarged(matte, alpha), alpha).iou > _FOUND_IOU:
            yield "model", matte


def _colour_error(rgb: Rgb, colour: Rgb, truth: Gray) -> float:
    soft = soft_pixels(truth)
    return float(np.abs(rgb[soft].astype(np.float32) - colour[soft]).mean() / 255) if soft.any() else 0.0


def _sample(paths: list[Path], model: U2Net) -> None:
    """Score one real picture of known alpha, as it is and enlarged twice and four times."""
    rgb, alpha, *rest = (cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2RGB) for path in paths)
    for factor in (1, 2, 4):
        picture, true, *colour = (
            np.asarray(cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8)
            for part in (rgb, alpha, *rest)
        )
        truth = true[..., 0].astype(np.float32) / np.float32(255)
        measured = _Measured()
        measured.add(f"model x{factor}", paths[0].name, picture, truth, model.matte(picture))
        measured.show()
        for known in colour:
            error = _colour_error(estimate(picture, np.ascontiguousarray(true[..., 0])), known, truth)
            print(
                f"colour in the soft band: picture {_colour_error(picture, known, truth):.4f}, estimated {error:.4f}"
            )


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, help="a folder of backgrounds (default: those of scikit-image)"
    )
    parser.add_argument("--seed", type=int, default=1, help="0 is for development, others are held out")
    parser.add_argument(
        "--model", type=Path, default=Path(__file__).parents[1] / "models" / "u2net-int8.onnx"
    )
    parser.add_argument(
        "--sample", type=Path, nargs="+", default=[], help="picture, its true alpha, its true foreground"
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    model = U2Net(arguments.model) if arguments.model.exists() else None
    measured = _Measured()
    colours: list[tuple[float, float]] = []
    rng = np.random.default_rng(arguments.seed)
    for composite in composites(backgrounds(arguments.photos), arguments.seed):
        for sort, coarse in _coarse_mattes(composite, model, rng):
            measured.add(sort, composite.name, composite.rgb, composite.alpha, coarse)
        estimated = estimate(composite.rgb, np.round(composite.alpha * 255).astype(np.uint8))
        colours.append(
            (
                _colour_error(composite.rgb, composite.colour, composite.alpha),
                _colour_error(estimated, composite.colour, composite.alpha),
            )
        )
    measured.show()
    before, after = np.mean(colours, axis=0)
    print(
        f"colour in the soft band: picture {before:.4f}, estimated {after:.4f}, over {len(colours)} pictures"
    )
    if arguments.sample and model is not None:
        _sample(arguments.sample, model)


if __name__ == "__main__":
    main()
