"""The block ``correction`` of a sidecar: what a person drew over the cutout, written and read back.

People edit sidecars: what cannot be meant counts as missing. It must not write files.
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
    """That a person drew over the cutout, and what.

    Attributes:
        number: of the correction, among those of its source.
        version: of the method that followed the strokes.
        changed: the cutout is other than without them.
        suggestion: which of the method's results was chosen.
        strokes: all of them.
    """

    number: int
    version: int
    changed: bool
    suggestion: int
    strokes: tuple[Stroke, ...]


def correction_number(document: Mapping[str, Any]) -> int:
    """Number of the correction that a sidecar tells of; 0: of none."""
    correction = correction_of(document)
    return 0 if correction is None else correction.number


def correction_of(document: Mapping[str, Any]) -> Correction | None:
    """What a person drew, as a sidecar says; None where it says nothing, or was edited by hand into what is none."""
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
    """The block of a sidecar."""
    return {
        "number": facts.number,
        "version": facts.version,
        "changed": facts.changed,
        "suggestion": facts.suggestion,
        "strokes": [_stroke_fields(one) for one in facts.strokes],
    }


def _stroke_fields(stroke: Stroke) -> dict[str, object]:
    """A stroke with its points as in SVG: one line for each number would make a long document of a short line."""
    (fields,) = strokes.dump([stroke])
    return fields | {"points": " ".join(f"{x},{y}" for x, y in stroke.points)}


def _stroke_said(fields: Mapping[str, Any]) -> dict[str, Any]:
    points = [[float(number) for number in point.split(",")] for point in fields["points"].split(" ")]
    return {**fields, "points": points}
