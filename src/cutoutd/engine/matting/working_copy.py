"""A picture and its matte at working size: what is sure there, what is open, and how fine the matte really is.

This module decides nothing about the open pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cutoutd.engine.matting.guided_filter import Plane, box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.matting.tiles import ImagePyramid

# Colours explain an edge as well at this size as at the full one, at a cost that does not grow with the picture.
_WORK_PIXELS = 150_000
_SURE_SUBJECT = 0.94
_SURE_BACKGROUND = 0.04
_MARGIN = 1 / 40  # of the shorter side: radius of the surroundings of which a held pixel is surely one
# Share of its surroundings up to which a sure pixel is not held at all: for a matte that may be wrong, and for one that
# is believed.
_FULLY_FREE, _NEARLY_HELD = 0.7, 0.4
_UNDECIDED_UP_TO, _DECIDED_SLOPE = 0.82, 8.0
_WINDOW = 1 / 38  # of the shorter side: radius of the windows in which colours explain the matte
_REACH_WINDOWS = 8  # how far, in window radii, an open pixel's result depends on its surroundings
_NEAR_WINDOWS = (
    3  # likewise of one of which only a part is wanted; more made no difference that could be measured
)
_SAME = 0.02  # mean difference below which a matte counts as an enlargement of a smaller one
_COARSEST = 16


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WorkingCopy:
    """The part of a picture that holds open pixels, at working size.

    Attributes:
        rgb: float32 (h, w, 3) in 0..1.
        coarse: float32 (h, w) in 0..1, the matte as given, enlarged or reduced.
        hold: float32 (h, w), 1 deep inside a sure area, 0 where the matte may be wrong.
        near_hold: float32 (h, w), the same for a matte that is trusted: 1 up to nearer the edge.
        is_wanted: bool (h, w), the open pixels whose alpha is wanted.
        target: float32 (h, w), alpha of held pixels: 1 subject, 0 background.
        origin: (top, left) of this part in the whole copy, in working pixels.
        whole: (height, width) of the whole copy.
        radius: of the colour windows, in working pixels.
        cell: side, in working pixels, of the finest detail the matte shows.
        judged: float32, the whole matte at the smaller of its own size and the working size.
        finer: whether the matte has more pixels than the copy.
    """

    rgb: Plane
    coarse: Plane
    hold: Plane
    near_hold: Plane
    is_wanted: NDArray[np.bool_]
    target: Plane
    origin: tuple[int, int]
    whole: tuple[int, int]
    radius: int
    cell: float
    judged: Plane
    finer: bool


def working_size(shape: tuple[int, int]) -> tuple[int, int]:
    """Return width and height of the working copy of a picture of this height and width."""
    height, width = shape
    factor = max(1, round(math.sqrt(height * width / _WORK_PIXELS)))
    return max(1, round(width / factor)), max(1, round(height / factor))


def working_copy(rgb: ImagePyramid[np.uint8], matte: Plane, share: Plane | None = None) -> WorkingCopy:
    """Reduce a picture and its matte to working size and cut out the part that has open pixels.

    Args:
        rgb: of a picture of uint8 (H, W, 3).
        matte: float32 (h, w) in 0..1.
        share: float32 (h, w) of the same frame: only where it is above 0 the alpha is wanted; None: everywhere.

    Returns:
        The part with open pixels whose alpha is wanted, and what they depend on; without pixels where there are none.
    """
    size = working_size(rgb.shape)
    finer = matte.shape[0] > size[1] and matte.shape[1] > size[0]
    method = cv2.INTER_AREA if finer else cv2.INTER_CUBIC
    coarse = np.clip(np.asarray(cv2.resize(matte, size, interpolation=method), np.float32), 0, 1)
    subject, ground = _sure(coarse)
    hold = _held(coarse, subject, _FULLY_FREE) + _held(1 - coarse, ground, _FULLY_FREE)
    near_hold = _held(coarse, subject, _NEARLY_HELD) + _held(1 - coarse, ground, _NEARLY_HELD)
    radius = max(1, round(min(size) * _WINDOW))
    wanted = hold < 1
    if share is not None:
        wanted &= cv2.resize(share, size, interpolation=cv2.INTER_LINEAR) > 0
    part = _part_around(wanted, radius * (_REACH_WINDOWS if share is None else _NEAR_WINDOWS))
    judged = coarse if finer else matte
    return WorkingCopy(
        rgb=rgb.reduced(size)[part].astype(np.float32) * np.float32(1 / 255),
        coarse=coarse[part].copy(),
        hold=hold[part].copy(),
        near_hold=near_hold[part].copy(),
        is_wanted=wanted[part],
        target=(subject > ground)[part].astype(np.float32),
        origin=(part[0].start, part[1].start),
        whole=(size[1], size[0]),
        radius=radius,
        cell=_native_cell(judged) * max(size[0] / judged.shape[1], size[1] / judged.shape[0]),
        judged=judged,
        finer=finer,
    )


def _sure(coarse: Plane) -> tuple[Plane, Plane]:
    """Return the shares of sure subject and sure background in the window around each pixel."""
    margin = max(1, round(min(coarse.shape) * _MARGIN))
    subject = box((coarse > _SURE_SUBJECT).astype(np.float32), margin)
    ground = box((coarse < _SURE_BACKGROUND).astype(np.float32), margin)
    return subject, ground


def _held(likeness: Plane, share: Plane, free_up_to: float) -> Plane:
    """Hold what is sure and surrounded by its like: softly, for a hard limit would show as a seam."""
    surrounded = np.clip((share - np.float32(free_up_to)) * np.float32(1 / (1 - free_up_to)), 0, 1)
    # A pixel that is itself undecided is never held, however solid its surroundings: it may be a hole or a strand.
    decided = np.clip((likeness - np.float32(_UNDECIDED_UP_TO)) * np.float32(_DECIDED_SLOPE), 0, 1)
    return np.asarray(surrounded * decided, np.float32)


def _part_around(wanted: NDArray[np.bool_], reach: int) -> tuple[slice, slice]:
    if not wanted.any():
        return slice(0, 0), slice(0, 0)
    rows, columns = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - reach), min(wanted.shape[0], int(rows[-1]) + reach + 1)),
        slice(max(0, int(columns[0]) - reach), min(wanted.shape[1], int(columns[-1]) + reach + 1)),
    )


def _native_cell(matte: Plane) -> int:
    """Find how many of its own pixels a matte's finest detail spans: more than 1 if it was enlarged already."""
    undecided = (matte > _SURE_BACKGROUND) & (matte < 1 - _SURE_BACKGROUND)
    height, width = matte.shape
    cell, step = 1, 2
    while undecided.any() and step <= min(_COARSEST, height // 4, width // 4):
        small = cv2.resize(matte, (round(width / step), round(height / step)), interpolation=cv2.INTER_AREA)
        again = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
        if np.abs(again - matte)[undecided].mean() > _SAME:
            break
        cell, step = 2 * step, 2 * step
    return cell
