"""How remove.bg v1.0 words an answer: its headers, what stands beside a result, its errors, and its account.

Values turned into values; it sends nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cutoutd.serve.contract.removebg_error import RemoveBgError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.serve.contract.removebg import RemoveBgRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class ResponseFacts:
    """Metadata of a result.

    Attributes:
        width, height: of the result, pixels.
        subject: left, top, width and height of the subject in it; None: not known.
    """

    width: int
    height: int
    subject: tuple[int, int, int, int] | None


def headers_of(asked: RemoveBgRequest, facts: ResponseFacts) -> dict[str, str]:
    """Return the headers of a response with a result; nothing is charged, and the type of subject is not classified."""
    headers = {"X-Credits-Charged": "0", "X-Width": str(facts.width), "X-Height": str(facts.height)}
    if asked.says_type:
        headers["X-Type"] = "other"
    for name, value in _foreground(facts).items():
        headers["-".join(["X", *(part.capitalize() for part in name.split("_"))])] = str(value)
    if asked.note:
        headers["X-Cutoutd-Note"] = asked.note
    return headers


def json_tail(facts: ResponseFacts) -> dict[str, int]:
    """Return the values beside ``result_b64`` in ``data``."""
    return _foreground(facts)


def account(calls: int) -> dict[str, Any]:
    """Return the account response: there are no credits, and no limit.

    Args:
        calls: number of free calls to report.
    """
    none = {"total": 0, "subscription": 0, "payg": 0, "enterprise": 0}
    return {"data": {"attributes": {"credits": none, "api": {"free_calls": calls, "sizes": "all"}}}}


def refused(status: int, code: str, text: str) -> RemoveBgError:
    """Translate a refusal of ours to the contract's form."""
    known = {
        401: ("auth_failed", 403),
        413: ("file_too_large", 400),
        429: ("rate_limit_exceeded", 429),
        507: ("disk_full", 503),
    }
    name, as_status = known.get(status, (code, status))
    return RemoveBgError(name, text, status=as_status)


def failed(job: Mapping[str, Any]) -> RemoveBgError:
    """Return the error for a finished job without a result.

    Args:
        job: the job, as a JSON object.
    """
    why = str(job.get("why") or "The picture could not be cut.")
    if job["state"] == "refused" or job.get("code") == "Picture":
        return RemoveBgError("invalid_file_type", why)
    if job.get("code") == "Limit":
        return RemoveBgError("limit_exceeded", why, detail=str(job.get("advice", "")))
    return RemoveBgError("failed", why, status=500, detail=str(job.get("advice", "")))


def unknown_foreground() -> RemoveBgError:
    """Return the error for a picture without a subject."""
    return RemoveBgError("unknown_foreground", "Could not identify foreground in image.")


def _foreground(facts: ResponseFacts) -> dict[str, int]:
    if facts.subject is None:
        return {}
    names = ("foreground_left", "foreground_top", "foreground_width", "foreground_height")
    found = dict(zip(names, facts.subject, strict=True))
    order = ("foreground_top", "foreground_left", "foreground_width", "foreground_height")
    return {name: found[name] for name in order}
