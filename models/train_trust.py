"""Makes `trust.npz`, by which refinement weighs matte against picture, from composites of known alpha.

    python models/train_trust.py PHOTOS CUTOUTS [--out FILE] [--pictures N] [--minutes M] [--seed S]

PHOTOS is a folder of backgrounds; CUTOUTS one of RGBA PNGs whose alpha is taken for true once they lie on another
photo (closed-form mattes of photos with estimated foreground colours serve well). Half as many subjects again are
drawn by `bench.scenes`. Needs torch, which nothing else here does; run it from the root of the tree. It is no part of
the package and must not be imported by it.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from bench.composites import GRID, backgrounds, cropped, over, reduced, shaken, worn
from bench.matte import U2Net, enlarged
from bench.scenes import Kind, Subject, draw
from bench.scores import score

from cutoutd.engine.matting.candidates import make_candidates, new_guide
from cutoutd.engine.matting.evidence import evidence_of, overall_of
from cutoutd.engine.matting.tiles import ImagePyramid
from cutoutd.engine.matting.working_copy import working_copy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

CROP_PX = 96
BATCH = 16
HIDDEN = (32, 16)
LIMIT = 5.0
FOUND_IOU = 0.92
# How often a sort of matte is drawn: the model's own answers are what will come, the others what may.
SORTS = {"exact": 1.5, "coarse": 0.5, "shaken": 0.8, "model": 2.5}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sample:
    """A crop of a working copy: what the network sees, and what it should have made of it.

    Attributes:
        evidence: float16 (k, CROP_PX, CROP_PX).
        overall: float32 (m,).
        answer: float16 (9, CROP_PX, CROP_PX): five candidates, truth, hold, target, band.
        sort: of the coarse matte.
    """

    evidence: NDArray[np.float16]
    overall: Plane
    answer: NDArray[np.float16]
    sort: str


def subjects(cutouts: Sequence[Path], photos: Sequence[Path], rng: np.random.Generator) -> Iterator[Subject]:
    """Yield cutouts and drawn subjects without end, turned, cut and tinted at random, at working size."""
    while True:
        pixels, ratio = rng.uniform(90_000, 240_000), float(np.exp(rng.uniform(-0.4, 0.4)))
        shape = (int((pixels * ratio) ** 0.5), int((pixels / ratio) ** 0.5))
        if rng.random() < 0.38:  # noqa: PLR2004 - a share
            kind = list(Kind)[int(rng.integers(len(Kind)))]
            subject = draw(kind, shape, cropped(photos[int(rng.integers(len(photos)))], shape, rng), rng)
        else:
            subject = _turned(cutouts[int(rng.integers(len(cutouts)))], pixels, rng)
        if rng.random() < 0.12:  # noqa: PLR2004 - a share: subjects out of focus
            soft = np.asarray(cv2.GaussianBlur(subject.alpha, (0, 0), float(rng.uniform(1, 6))), np.float32)
            subject = Subject(alpha=soft, colour=subject.colour)
        yield subject


def _turned(path: Path, pixels: float, rng: np.random.Generator) -> Subject:
    bgra = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.float32)[
        :, :: 1 - 2 * int(rng.integers(2))
    ]
    if rng.integers(2):
        height, width = bgra.shape[:2]
        top, left = int(rng.integers(0, height // 3 + 1)), int(rng.integers(0, width // 3 + 1))
        bgra = bgra[
            top : top + int(rng.integers(height // 2, height)),
            left : left + int(rng.integers(width // 2, width)),
        ]
    factor = (pixels / (bgra.shape[0] * bgra.shape[1])) ** 0.5
    share = bgra[..., 3:] / 255
    size = (max(CROP_PX, round(bgra.shape[1] * factor)), max(CROP_PX, round(bgra.shape[0] * factor)))
    laid = np.dstack([bgra[..., 2::-1] * share, share])
    small = np.asarray(
        cv2.resize(laid, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    )
    alpha = np.clip(small[..., 3], 0, 1)
    colour = small[..., :3] / np.maximum(alpha, 1e-3)[..., None]
    if rng.integers(2):
        colour = colour * rng.uniform(0.6, 1.3) + rng.normal(0, 15, 3)
    return Subject(alpha=alpha.astype(np.float32), colour=np.clip(colour, 0, 255).astype(np.uint8))


def samples(subject: Subject, photo: Path, model: U2Net, rng: np.random.Generator) -> Iterator[Sample]:
    """Lay a subject on a photo, make coarse mattes of it, and cut two samples out of each."""
    truth = np.round(subject.alpha * 255).astype(np.float32) / np.float32(255)
    ground = cropped(photo, (truth.shape[0], truth.shape[1]), rng)
    if rng.random() < 0.6:  # noqa: PLR2004 - a share: backgrounds out of focus
        ground = np.asarray(cv2.GaussianBlur(ground, (0, 0), float(rng.uniform(0.5, 8))), np.uint8)
    rgb = worn(over(subject.colour, ground, truth), rng)
    for sort, matte in _coarse(rgb, truth, model, rng):
        # Some mattes come through an 8-bit file.
        seen = np.round(matte * 255).astype(np.float32) / np.float32(255) if rng.random() < 0.4 else matte  # noqa: PLR2004
        yield from _cut(rgb, truth, seen, sort, rng)


def _coarse(
    rgb: NDArray[np.uint8], truth: Plane, model: U2Net, rng: np.random.Generator
) -> Iterator[tuple[str, Plane]]:
    small = reduced(truth, int(rng.choice([40, 64, 80, 107])))
    grown = (min(truth.shape[1], GRID), min(truth.shape[0], GRID))
    given = [
        ("exact", reduced(truth, GRID)),
        ("coarse", reduced(truth, int(rng.choice([40, 64, 107, 160])))),
        (
            "coarse",
            np.clip(np.asarray(cv2.resize(small, grown, interpolation=cv2.INTER_CUBIC), np.float32), 0, 1),
        ),
        ("shaken", shaken(truth, int(rng.choice([160, GRID, GRID])), rng)),
    ]
    yield from (pair for pair in given if rng.random() < 0.6)  # noqa: PLR2004 - a share, for variety
    answer = model.matte(rgb)
    if score(enlarged(answer, truth), truth).iou > FOUND_IOU:
        yield "model", answer


def _cut(
    rgb: NDArray[np.uint8], truth: Plane, matte: Plane, sort: str, rng: np.random.Generator
) -> Iterator[Sample]:
    small = working_copy(ImagePyramid(rgb), matte)
    guide = new_guide(small)
    candidates = make_candidates(small, guide)
    evidence = evidence_of(small, guide, candidates)
    (top, left), (height, width) = small.origin, small.coarse.shape
    whole = np.asarray(cv2.resize(truth, small.whole[::-1], interpolation=cv2.INTER_AREA), np.float32)
    true = whole[top : top + height, left : left + width]
    soft = ((true > 0.02) & (true < 0.98)).astype(np.uint8)  # noqa: PLR2004 - as bench.scores has it
    band = np.asarray(cv2.dilate(soft, np.ones((13, 13), np.uint8)), np.float32)
    rows, columns = np.nonzero(soft)
    if min(height, width) < CROP_PX or rows.size == 0:
        return
    answer = np.stack([*candidates.alphas, true, small.hold, small.target, band])
    for pick in rng.integers(rows.size, size=2):
        y = int(np.clip(rows[pick] - CROP_PX // 2, 0, height - CROP_PX))
        x = int(np.clip(columns[pick] - CROP_PX // 2, 0, width - CROP_PX))
        part = (slice(None), slice(y, y + CROP_PX), slice(x, x + CROP_PX))
        seen = np.stack(evidence)[part].astype(np.float16)
        overall = overall_of(evidence, small)
        yield Sample(evidence=seen, overall=overall, answer=answer[part].astype(np.float16), sort=sort)


def train(data: Sequence[Sample], minutes: float, rng: np.random.Generator) -> dict[str, Plane]:
    """Fit the network to the samples; return what `trust.npz` holds."""
    flat = np.concatenate(
        [sample.evidence[:, ::5, ::5].reshape(len(sample.evidence), -1) for sample in data], axis=1
    )
    overall = np.stack([sample.overall for sample in data])
    mean = np.concatenate([flat.mean(axis=1, dtype=np.float64), overall.mean(axis=0)]).astype(np.float32)
    spread = (
        np.concatenate([flat.std(axis=1, dtype=np.float64), overall.std(axis=0)]).astype(np.float32) + 1e-3
    )
    sizes = (mean.size, *HIDDEN, 5)
    layers = [torch.nn.Conv2d(a, b, 1) for a, b in pairwise(sizes)]
    step = torch.optim.Adam([weight for layer in layers for weight in layer.parameters()], 3e-3)
    odds = np.array([SORTS[sample.sort] for sample in data])
    odds /= odds.sum()
    start = time.monotonic()
    while (done := (time.monotonic() - start) / (60 * minutes)) < 1:
        for group in step.param_groups:
            group["lr"] = 3e-3 * (1 - done) + 5e-5
        picked = [data[i] for i in rng.choice(len(data), BATCH, p=odds)]
        # First learn to gain, then not to harm as well: the other way round it learns to do nothing.
        loss = _loss(*_batch(picked, mean, spread), layers, harm=0.0 if done < 1 / 3 else 2.0)
        step.zero_grad()
        loss.backward()
        step.step()
    stored: dict[str, Plane] = {"mean": mean, "scale": np.asarray(1 / spread, np.float32)}
    for i, layer in enumerate(layers):
        stored[f"weight{i}"] = layer.weight.detach().numpy()[:, :, 0, 0].T.copy()
        stored[f"bias{i}"] = layer.bias.detach().numpy()
    return stored


def _batch(picked: Sequence[Sample], mean: Plane, spread: Plane) -> tuple[Any, Any]:
    values = [
        np.concatenate(
            [
                sample.evidence.astype(np.float32),
                np.broadcast_to(sample.overall[:, None, None], (sample.overall.size, CROP_PX, CROP_PX)),
            ]
        )
        for sample in picked
    ]
    scaled = (np.stack(values) - mean[:, None, None]) / spread[:, None, None]
    answers = np.stack([sample.answer for sample in picked]).astype(np.float32)
    return torch.from_numpy(np.clip(scaled, -LIMIT, LIMIT)), torch.from_numpy(answers)


def _loss(values: Any, answers: Any, layers: Sequence[Any], harm: float) -> Any:  # noqa: ANN401 - torch is not there to be named
    """Return errors of value and slope in the band, relative to those of the coarse matte, and `harm` times what is worse."""
    for layer in layers[:-1]:
        values = torch.relu(layer(values))
    alpha = (torch.softmax(layers[-1](values), 1) * answers[:, :5]).sum(1)
    truth, hold, target, band = answers[:, 5:].unbind(1)
    alpha = alpha + hold * (target - alpha)
    count = band.sum((1, 2)) + 1
    inner = band[:, 1:-1, 1:-1]
    (ax, ay), (tx, ty), (gx, gy) = (_sobel(plane) for plane in (alpha, truth, answers[:, 0]))
    error, given_error = (
        ((plane - truth).abs() * band).sum((1, 2)) / count for plane in (alpha, answers[:, 0])
    )
    turn = ((((ax - tx) ** 2 + (ay - ty) ** 2 + 1e-6).sqrt()) * inner).sum((1, 2)) / count
    slope, given_slope = (
        (((x * x + y * y + 1e-8).sqrt() - (tx * tx + ty * ty + 1e-8).sqrt()).abs() * inner).sum((1, 2))
        / count
        for x, y in ((ax, ay), (gx, gy))
    )
    worse = torch.relu(error - 1.02 * given_error - 0.0008) / (given_error + 0.008)
    rougher = torch.relu(slope - 1.02 * given_slope - 0.001) / (given_slope + 0.03)
    gained = error / (given_error + 0.008) + 0.3 * (turn + slope) / (given_slope + 0.03)
    return (gained + harm * (worse + 0.4 * rougher)).mean()


def _sobel(plane: Any) -> tuple[Any, Any]:  # noqa: ANN401 - torch is not there to be named
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])[None, None]
    one = plane[:, None]
    return torch.conv2d(one, kernel)[:, 0], torch.conv2d(one, kernel.transpose(2, 3))[:, 0]


def main() -> None:
    """Compose, train, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("cutouts", type=Path)
    parser.add_argument("--out", type=Path, default=Path("src/cutoutd/engine/matting/trust.npz"))
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--minutes", type=float, default=14)
    parser.add_argument("--seed", type=int, default=41)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    photos = [*backgrounds(arguments.photos), *backgrounds(None)]
    model = U2Net(Path(__file__).parent / "u2net-int8.onnx")
    source = subjects(sorted(arguments.cutouts.glob("*.png")), photos, rng)
    data: list[Sample] = []
    for subject, _ in zip(source, range(arguments.pictures), strict=False):
        data += samples(subject, photos[int(rng.integers(len(photos)))], model, rng)
    print(f"{len(data)} samples of {arguments.pictures} pictures")
    np.savez(arguments.out, allow_pickle=False, **train(data, arguments.minutes, rng))


if __name__ == "__main__":
    main()
