"""The contract of `rembg s`: what its parameters ask for, and how it words a refusal, after its public source.

Its answer is always a PNG of the picture's size. `docs/serve.md` has a table of every parameter. Values turned into values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.job_options import TRANSPARENT, JobOptions
from cutoutd.recipe import Channels, Format
from cutoutd.serve.contract.refusals import ContractRefusalError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE: Final = "file"
URL: Final = "url"

_TRUE: Final = frozenset({"true", "1", "on", "yes", "y", "t"})
_FALSE: Final = frozenset({"false", "0", "off", "no", "n", "f"})
_FLAGS: Final = ("a", "om", "ppm")
_NUMBERS: Final = {"af": 255, "ab": 255, "ae": None}
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,9}")
_WHOLE_OR_ZEROS: Final = re.compile(r"[+-]?[0-9]{1,9}(\.0{1,9})?")  # as pydantic reads a whole number
_CHANNELS: Final = 4
_OPAQUE: Final = 255

NO_FETCHING: Final = "Nothing is fetched from anywhere here. POST the picture itself, in the field file."


class RembgError(ContractRefusalError):
    """A request that the contract refuses.

    Args:
        detail: a text, or a list in FastAPI's form.
        status: HTTP status.
    """

    def __init__(self, detail: object, *, status: int = 422) -> None:
        super().__init__(str(detail), status=status)
        self.detail = detail

    @property
    def body(self) -> dict[str, Any]:
        """The response body in the form of the contract."""
        return {"detail": self.detail}


@dataclass(frozen=True, kw_only=True, slots=True)
class RembgRequest:
    """A parsed request.

    Attributes:
        options: options of the job.
        model: requested model, which may not be installed.
    """

    options: JobOptions
    model: str


def parse_request(fields: Mapping[str, str], query: Mapping[str, str], *, has_file: bool) -> RembgRequest:
    """Parse a request.

    Args:
        fields: text fields of the form.
        query: query of the URL, with ``bgc`` and ``extras``.
        has_file: the form has the picture.

    Raises:
        RembgError: the request is invalid or unsupported.
    """
    given = {name: text.strip() for name, text in fields.items() if text.strip()}  # an empty one is none
    faults, flags = [], {}
    for name in _FLAGS:
        text = given.get(name, "false").lower()
        if text not in _TRUE | _FALSE:
            faults.append(
                _fault(
                    "bool_parsing", name, "Input should be a valid boolean, unable to interpret input", text
                )
            )
        flags[name] = text in _TRUE
    for name, most in _NUMBERS.items():
        faults += _faults_of_number(name, given.get(name, "0"), most)
    model = given.get("model", "u2net")
    if not _NAME.fullmatch(model):
        faults.append(_fault("string_pattern_mismatch", "model", "String should be a model's name", model))
    if not has_file:
        faults.append(_fault("missing", FILE, "Field required", None))
    if faults:
        raise RembgError(faults)
    options = JobOptions(
        format=Format.PNG,
        channels=Channels.ALPHA if flags["om"] else Channels.RGBA,
        background=_background(query.get("bgc", "")),
    )
    return RembgRequest(options=options, model=model)


def failed(job: Mapping[str, Any]) -> RembgError:
    """Return the error for a finished job without a result.

    Args:
        job: the job, as a JSON object.
    """
    is_senders = job["state"] == "refused" or job.get("code") in ("Picture", "Limit")
    why = str(job.get("why") or "The picture could not be cut.")
    return RembgError(why, status=400 if is_senders else 500)


def _background(text: str) -> str | None:
    if not text:
        return None
    parts = [part.strip() for part in text.split(",")]
    numbers = [int(part) for part in parts if _WHOLE.fullmatch(part)]
    if (
        len(numbers) != len(parts)
        or len(parts) != _CHANNELS
        or not all(0 <= one <= _OPAQUE for one in numbers)
    ):
        raise RembgError(
            [_fault("value_error", "bgc", "Four numbers of 0 to 255: red, green, blue, alpha", text, "query")]
        )
    red, green, blue, alpha = numbers
    if alpha not in (0, _OPAQUE):
        said = "A background is opaque (alpha 255) or transparent (0) here, nothing in between"
        raise RembgError([_fault("value_error", "bgc", said, text, "query")])
    return f"#{red:02x}{green:02x}{blue:02x}" if alpha else TRANSPARENT


def _faults_of_number(name: str, text: str, most: int | None) -> list[dict[str, Any]]:
    if not _WHOLE_OR_ZEROS.fullmatch(text):
        said = "Input should be a valid integer, unable to parse string as an integer"
        return [_fault("int_parsing", name, said, text)]
    number = int(text.partition(".")[0])
    if number < 0:
        return [_fault("greater_than_equal", name, "Input should be greater than or equal to 0", text)]
    if most is not None and number > most:
        return [_fault("less_than_equal", name, f"Input should be less than or equal to {most}", text)]
    return []


def _fault(kind: str, name: str, text: str, given: object, place: str = "body") -> dict[str, Any]:
    return {"type": kind, "loc": [place, name], "msg": text, "input": given}
