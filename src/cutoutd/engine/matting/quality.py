"""How probably a cutout is right, from the model's own mattes: before any of it is stretched, enlarged or refined.

Right is what has an intersection over union of 0.9 with what a person would cut. The score is that probability: a logistic
function of how decided the matte is, how far other passes agree with it, and whether it looks like a page. There are two such
functions: one for mattes that a small pass over the picture has checked, and one for others. `models/train_score.py` fits them
to pictures of known alpha (`score.json`; `docs/quality.md` has the figures). Without a subject, the score is 0.

Reasons tell a person what to look for and do not affect the score. This module must not change the matte, and must not
read the picture.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.jobs import Quality, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matte = NDArray[np.float32]

# A value above SURE is the model's yes, one above FAINT at least a perhaps.
_SURE: Final = 0.9
_FAINT: Final = 0.1
_INSIDE: Final = 0.5

# No subject: hardly any yes at all, or one that drowns in perhaps. Photos have at least 0.10 of the frame
# sure, and 0.69 of what is faint; a subject on 0.001 of the frame 0.0003 and 0.25.
_MIN_SURE: Final = 1e-4
_MIN_DECIDED: Final = 0.12

# From here on a closer pass shows the same: an outline that is finer has some other pixels inside.
_HELD: Final = 0.8

# Log odds of shares of 0 and 1 are not numbers; nearer to them than this, shares differ by chance.
_MARGIN: Final = 0.01

# A check at less than half the size finds no edge as exactly as the matte does: disagreement counts from this distance on, as a
# share of the matte's sides. Less than the smaller share of the subject is chance; more than the larger one says nothing more.
_EDGE_SHARE: Final = 0.0105
_CHANCE: Final = 0.005
_MUCH: Final = 0.5

# A page, a table or a screenshot comes out as a block: large, and with a box that it fills. So do few photos' subjects.
_BLOCK_FILL: Final = (0.85, 0.93)
_BLOCK_SHARE: Final = (0.3, 0.5)
_WALL_SHARE: Final = (0.72, 0.8)

# A blob counts from this share of the largest one on; below, it is a crumb.
_BLOB_SHARE: Final = 0.05

# From here on each reason is worth a word. Set on the pictures that the score is fitted to: `docs/quality.md` says how
# often each one is right.
_LARGEST: Final = 0.75
_OTHER_PART: Final = 0.06
_VEIL: Final = 0.12
_BORDER: Final = 0.02
_SMALL: Final = 0.02
_BLOCK: Final = 0.5
_UNSURE: Final = 0.85
# A check finds most of what is wrong, and differs in many a right cutout as well: it gives a reason to what is doubted anyway.
_DOUBT: Final = 0.6
_SEEN_OTHERWISE: Final = 0.1


_EXPLAIN: Final = {Reason.MISSING, Reason.KEPT, Reason.VEIL, Reason.PAGE}


@dataclass(frozen=True, kw_only=True, slots=True)
class Signs:
    """Features that tell a right matte from a wrong one, in 0..1 unless stated otherwise.

    Attributes:
        decided: share of the at least faint pixels that is sure; 0 without a subject.
        agreement: intersection over union with the next most decided pass over the whole; None without one.
        missing: area that only the other pass calls the subject, divided by this pass's subject area; 0 and up.
        kept: area that only this pass calls the subject, divided by the same.
        held: intersection over union with a closer pass over the subject's surroundings; None without one.
        seen_more: alpha that a check of the whole frame adds outside the subject, away from its edge, divided by the subject's
            area; 0 and up; None without a check.
        seen_less: alpha that it lacks inside the subject, likewise.
        inside: share of the frame that is the subject.
        fill: share of the subject's box that is the subject.
        border: share of the frame's four sides that the subject touches.
        largest: share of the subject's largest connected part, crumbs not counted.
        veil: share of the at least faint pixels with a value between a quarter and three quarters.
    """

    decided: float
    agreement: float | None
    missing: float
    kept: float
    held: float | None
    seen_more: float | None
    seen_less: float | None
    inside: float
    fill: float
    border: float
    largest: float
    veil: float

    @property
    def contradicted(self) -> float | None:
        """Return how much a check differs, divided by the subject's area; None without one."""
        if self.seen_more is None or self.seen_less is None:
            return None
        return self.seen_more + self.seen_less


class ScoreFunction(Enum):
    """A score function, by what is known of a matte; the values are keys of `score.json`."""

    UNCHECKED = "unchecked"  # by a model without a small size for the check
    CHECKED = "checked"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Logistic:
    """A logistic function, by `models/train_score.py`."""

    bias: float
    weights: tuple[float, ...]


def assess(
    raw: Matte, other: Matte | None = None, held: float | None = None, check: Matte | None = None
) -> Quality:
    """Return the score of a matte, and reasons for doubt.

    Args:
        raw: float32 (h, w) in 0..1, the model's raw matte; never a stretched one, in which noise looks sure.
        other: raw matte of another pass over the same frame, of any size; None: there was none.
        held: intersection over union with a closer pass; None: there was none.
        check: raw matte of a small pass over the same frame, of any size; None: there was none.

    Returns:
        A score of 0, with one reason, where there is no subject; else the probability that it is right.
    """
    return judge(signs(raw, other, held, check))


def signs(
    raw: Matte, other: Matte | None = None, held: float | None = None, check: Matte | None = None
) -> Signs:
    """Compute the signs of a matte; arguments as of `assess`."""
    inside = raw > _INSIDE
    area = max(1, int(np.count_nonzero(inside)))
    agreement, missing, kept = None, 0.0, 0.0
    if other is not None:
        also = _as_large(other, raw.shape) > _INSIDE
        both = int(np.count_nonzero(inside & also))
        seen = int(np.count_nonzero(also))
        agreement = both / max(1, area + seen - both)
        missing, kept = (seen - both) / area, (area - both) / area
    more, less = (None, None) if check is None else _differences(raw, inside, check)
    between = int(np.count_nonzero((raw > 0.25) & (raw < 0.75)))  # noqa: PLR2004 -- a quarter, three quarters
    return Signs(
        decided=decided(raw),
        agreement=agreement,
        missing=missing,
        kept=kept,
        held=held,
        seen_more=more,
        seen_less=less,
        inside=float(inside.mean()),
        fill=_fill(inside),
        border=_border_share(inside),
        largest=_largest(inside.astype(np.uint8)),
        veil=between / max(1, int(np.count_nonzero(raw > _FAINT))),
    )


def judge(found: Signs) -> Quality:
    """Return the probability that a matte with these signs is right, and what to look for."""
    if found.decided == 0:
        return Quality(score=0.0, reasons=(Reason.NO_SUBJECT.value,))
    function, inputs = features(found)
    fit = _score_functions()[function]
    odds = fit.bias + sum(weight * value for weight, value in zip(fit.weights, inputs, strict=True))
    # A subject was found: 0 is for none.
    score = max(0.001, round(1 / (1 + math.exp(-odds)), 3))
    return Quality(score=score, reasons=tuple(reason.value for reason in _reasons(found, score)))


def features(found: Signs) -> tuple[ScoreFunction, tuple[float, ...]]:
    """Return the score function for what is known of a matte, and its inputs, in the order of `score.json`."""
    share = (found.decided + _MARGIN) / (1 - found.decided + _MARGIN)
    held = 0.0 if found.held is None else max(0.0, _HELD - found.held)
    if found.contradicted is None:
        alone, disagreement = (1.0, 0.0) if found.agreement is None else (0.0, 1 - found.agreement)
        return ScoreFunction.UNCHECKED, (math.log(share), alone, disagreement, held, _block(found))
    contradicted = math.log(min(_MUCH, found.contradicted) + _CHANCE)
    return ScoreFunction.CHECKED, (math.log(share), held, _block(found), contradicted)


def decided(raw: Matte) -> float:
    """Return the share of at least faint pixels that is sure; 0 for a matte without a subject."""
    sure, faint = float(np.mean(raw > _SURE)), float(np.mean(raw > _FAINT))
    share = sure / faint if faint > 0 else 0.0
    return 0.0 if sure < _MIN_SURE or share < _MIN_DECIDED else share


def overlap(other: Matte, raw: Matte) -> float:
    """Return the intersection over union of the subjects of two mattes of the same frame, at the size of the second."""
    inside, also = raw > _INSIDE, _as_large(other, raw.shape) > _INSIDE
    union = int(np.count_nonzero(inside | also))
    return int(np.count_nonzero(inside & also)) / max(1, union)


@functools.cache
def _score_functions() -> dict[ScoreFunction, _Logistic]:
    """Read the score functions; call this once before the sandbox closes the file system."""
    text = resources.files("cutoutd.engine.matting").joinpath("score.json").read_text(encoding="utf-8")
    stored = json.loads(text)
    return {
        one: _Logistic(
            bias=float(stored[one.value]["bias"]), weights=tuple(map(float, stored[one.value]["weights"]))
        )
        for one in ScoreFunction
    }


def _reasons(found: Signs, score: float) -> list[Reason]:
    is_doubted = score < _DOUBT
    said = {
        Reason.MISSING: found.missing > _OTHER_PART
        or (is_doubted and (found.seen_more or 0) > _SEEN_OTHERWISE),
        Reason.KEPT: found.kept > _OTHER_PART or (is_doubted and (found.seen_less or 0) > _SEEN_OTHERWISE),
        Reason.EQUALS: found.largest < _LARGEST,
        Reason.VEIL: found.veil > _VEIL,
        Reason.PAGE: _block(found) > _BLOCK,
        Reason.TOUCHING_BORDER: found.border > _BORDER,
        Reason.SMALL: found.inside < _SMALL,
    }
    found_ones = [reason for reason, is_said in said.items() if is_said]
    if (is_doubted or found.decided < _UNSURE) and not set(found_ones) & _EXPLAIN:
        found_ones.append(Reason.UNSURE)
    return found_ones


def _block(found: Signs) -> float:
    """Return how much a matte looks like that of a page or a wall, 0..1."""
    block = _ramp(found.fill, *_BLOCK_FILL) * _ramp(found.inside, *_BLOCK_SHARE)
    return max(block, _ramp(found.inside, *_WALL_SHARE))


def _differences(raw: Matte, inside: NDArray[np.bool_], check: Matte) -> tuple[float, float]:
    """Return how much alpha a check adds outside the subject and lacks inside, away from the edge, per pixel of the subject."""
    reach = 2 * max(1, round(_EDGE_SHARE * max(raw.shape))) + 1
    kernel = np.ones((reach, reach), np.uint8)
    subject = inside.astype(np.uint8)
    seen = _as_large(check, raw.shape)
    beyond, within = cv2.dilate(subject, kernel) == 0, cv2.erode(subject, kernel) > 0
    area = max(1, int(np.count_nonzero(inside)))
    return float(seen[beyond].sum()) / area, float((1 - seen[within]).sum()) / area


def _as_large(matte: Matte, shape: tuple[int, ...]) -> Matte:
    if matte.shape == shape:
        return matte
    return np.asarray(cv2.resize(matte, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _fill(inside: NDArray[np.bool_]) -> float:
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if rows.size == 0:
        return 0.0
    return float(inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean())


def _largest(inside: NDArray[np.uint8]) -> float:
    _, _, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]  # the first is the background
    largest = int(areas.max(initial=1))
    return largest / max(1, int(areas[areas >= _BLOB_SHARE * largest].sum()))


def _border_share(inside: NDArray[np.bool_]) -> float:
    sides = (inside[0], inside[-1], inside[:, 0], inside[:, -1])
    return sum(int(np.count_nonzero(side)) for side in sides) / sum(side.size for side in sides)


def _ramp(value: float, low: float, high: float) -> float:
    """Return 0 up to ``low``, 1 from ``high`` on, linear between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
