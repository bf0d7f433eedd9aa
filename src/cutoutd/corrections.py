"""What a person drew over a cutout, and what became of it: values that journal, workers and sidecars share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cutoutd.strokes import Stroke  # noqa: TC001 -- the channel to a worker reads the annotations

MAX_SUGGESTIONS: Final = 2
"""So many results of one correction can be chosen from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """What a person drew over a cutout.

    Attributes:
        number: of it, among those of its source.
        sha256: of the source's bytes that it is about.
        strokes: all that hold; none: they were cleared.
        suggestion: which of the method's results was chosen: 0, the first, or 1.
    """

    number: int
    sha256: str
    strokes: tuple[Stroke, ...]
    suggestion: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Corrected:
    """That what a person drew was followed.

    Attributes:
        number: of the correction.
        version: of the method.
        changed: the cutout is other than without it.
    """

    number: int
    version: int
    changed: bool
