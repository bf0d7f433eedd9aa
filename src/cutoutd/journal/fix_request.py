"""The argument of the command ``fix``: written by the page or the command line, parsed and checked by the daemon."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self

from cutoutd import strokes
from cutoutd.corrections import MAX_SUGGESTIONS
from cutoutd.sha256 import is_sha256
from cutoutd.strokes import StrokesError

if TYPE_CHECKING:
    from cutoutd.strokes import Stroke

MAX_CHARACTERS: Final = 1 << 20
"""The most characters of an argument; more than the longest valid list of strokes takes."""

_MAX_JOB: Final = 10**18


class FixAction(StrEnum):
    """What to do about the corrections of a picture."""

    DRAW = "draw"  # these strokes replace all earlier ones
    UNDO = "undo"  # the correction before the newest holds again
    CLEAR = "clear"  # no strokes hold any more


class FixRequestError(ValueError):
    """The text is not a valid request; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FixRequest:
    """A request about the corrections of one cutout.

    Attributes:
        job: id of the job.
        action: what to do.
        strokes: for `DRAW`: all strokes that hold from then on.
        suggestion: which of the method's results is meant: 0, the first, or 1.
        seen: SHA-256 of the first result that the person saw; empty: whichever there is.
    """

    job: int
    action: FixAction = FixAction.DRAW
    strokes: tuple[Stroke, ...] = ()
    suggestion: int = 0
    seen: str = ""

    def to_argument(self) -> str:
        """Return the request as text for `cutoutd.journal.commands.Commands.post`."""
        fields: dict[str, Any] = {"job": self.job, "action": self.action.value, "seen": self.seen}
        if self.action is FixAction.DRAW:
            fields |= {"strokes": strokes.dump(self.strokes), "suggestion": self.suggestion}
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_argument(cls, argument: str) -> Self:
        """Parse an argument; any process of this user may have written it.

        Raises:
            FixRequestError: the text is not a valid request.
        """
        if len(argument) > MAX_CHARACTERS:
            raise FixRequestError("it is larger than any picture's strokes")
        try:
            fields = json.loads(argument)
        except (ValueError, RecursionError) as error:
            raise FixRequestError("it is not JSON") from error
        if not isinstance(fields, dict) or not fields.keys() <= {
            "job", "action", "seen", "strokes", "suggestion",
        }:  # fmt: skip
            raise FixRequestError("it has unknown fields, or is not an object")
        job, suggestion, seen = (fields.get(key) for key in ("job", "suggestion", "seen"))
        if type(job) is not int or not 0 < job < _MAX_JOB:
            raise FixRequestError("it has no valid job")
        action = next((one for one in FixAction if one.value == fields.get("action")), None)
        if action is None:
            raise FixRequestError("it has no valid action")
        suggestion = 0 if suggestion is None else suggestion
        if type(suggestion) is not int or suggestion not in range(MAX_SUGGESTIONS):
            raise FixRequestError("there is no such suggestion")
        try:
            drawn = strokes.parse(fields.get("strokes", []))
        except StrokesError as error:
            raise FixRequestError(str(error)) from error
        if action is FixAction.DRAW and not drawn:
            raise FixRequestError("nothing was drawn")
        return cls(
            job=job,
            action=action,
            strokes=drawn,
            suggestion=suggestion,
            seen=_parse_seen(seen),
        )


def _parse_seen(said: object) -> str:
    if said in (None, ""):
        return ""
    if is_sha256(said):
        return said
    raise FixRequestError("the result that was seen is not given as a SHA-256")
