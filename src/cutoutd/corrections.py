"""Corrections of cutouts by a person, and their results: values that journal, workers and sidecars share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cutoutd.strokes import Stroke  # noqa: TC001 -- the channel to a worker reads the annotations

MAX_SUGGESTIONS: Final = 2
"""The number of results of one correction to choose from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """What a person drew over a cutout.

    Attributes:
        number: number of the correction, among those of its source.
        sha256: SHA-256 of the source's bytes that it belongs to.
        strokes: all strokes; none: they were cleared.
        suggestion: which of the method's results was chosen: 0, the first, or 1.
    """

    number: int
    sha256: str
    strokes: tuple[Stroke, ...]
    suggestion: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Corrected:
    """The application of a correction to a cutout.

    Attributes:
        number: number of the correction.
        version: version of the method.
        changed: whether the cutout differs from the one without it.
    """

    number: int
    version: int
    changed: bool
