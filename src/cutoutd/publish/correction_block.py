"""The block ``correction`` of a sidecar: what a person drew over the cutout, written and read back.

People edit sidecars, so an invalid block counts as missing. This module must not write files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd import strokes
from cutoutd.corrections import MAX_SUGGESTIONS, Correction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.strokes import Stroke

_MAX_NUMBER: Final = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class CorrectionFacts:
    """The correction of a cutout.

    Attributes:
        number: number of the correction, among those of its source.
        version: version of the method that applied the strokes.
        changed: whether the cutout differs from the one without strokes.
        suggestion: which of the method's results was chosen.
        strokes: all strokes.
    """

    number: int
    version: int
    changed: bool
    suggestion: int
    strokes: tuple[Stroke, ...]


def correction_number(document: Mapping[str, Any]) -> int:
    """Return the number of a sidecar's correction; 0: it has none."""
    correction = correction_of(document)
    return 0 if correction is None else correction.number


def correction_of(document: Mapping[str, Any]) -> Correction | None:
    """Return a sidecar's correction; None if it has none, or an invalid one."""
    said, source = document.get("correction"), document.get("source")
    if not isinstance(said, dict) or not isinstance(source, dict):
        return None
    number, suggestion = said.get("number"), said.get("suggestion")
    if type(number) is not int or type(suggestion) is not int or not 0 < number <= _MAX_NUMBER:
        return None
    if suggestion not in range(MAX_SUGGESTIONS):
        return None
    try:
        drawn = strokes.parse([_stroke_said(one) for one in said["strokes"]])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    sha256 = source.get("sha256")
    if not drawn or not isinstance(sha256, str):
        return None
    return Correction(number=number, sha256=sha256, strokes=drawn, suggestion=suggestion)


def correction_fields(facts: CorrectionFacts) -> dict[str, object]:
    """Return the block of a sidecar."""
    return {
        "number": facts.number,
        "version": facts.version,
        "changed": facts.changed,
        "suggestion": facts.suggestion,
        "strokes": [_stroke_fields(one) for one in facts.strokes],
    }


def _stroke_fields(stroke: Stroke) -> dict[str, object]:
    """Return a stroke with its points as in SVG: with a line for each number, short strokes would make a long document."""
    (fields,) = strokes.dump([stroke])
    return fields | {"points": " ".join(f"{x},{y}" for x, y in stroke.points)}


def _stroke_said(fields: Mapping[str, Any]) -> dict[str, Any]:
    points = [[float(number) for number in point.split(",")] for point in fields["points"].split(" ")]
    return {**fields, "points": points}
