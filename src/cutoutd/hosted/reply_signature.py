"""A reply's body, by its first and last bytes: nothing is decoded here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.hosted.provider import HttpRequest

_NEAR_THE_END: Final = 1024


def flaw_of(http_request: HttpRequest, draft: Path) -> str:
    """Take the picture out of what it came in; returns what is wrong with it, or nothing.

    Args:
        http_request: that it answers.
        draft: a file with the body; the picture afterwards.

    Raises:
        OSError: the disk refuses.
    """
    return _unwrapped(http_request, draft) or _flaw(http_request, draft)


def _unwrapped(http_request: HttpRequest, draft: Path) -> str:
    """Take the picture out of what it came in; returns what is wrong, or nothing."""
    if http_request.unwrap is None:
        return ""
    try:
        picture = http_request.unwrap(draft.read_bytes())
    except ValueError as error:
        return f"there is {error}"
    draft.write_bytes(picture)
    return ""


def _flaw(http_request: HttpRequest, draft: Path) -> str:
    """What is wrong with a reply's body, by its first and last bytes: nothing is decoded here."""
    with draft.open("rb") as file:
        start = file.read(len(http_request.starts))
        size = file.seek(0, 2)
        file.seek(max(0, size - _NEAR_THE_END))
        end = file.read()
    if start != http_request.starts:
        return "a web page came" if start.lstrip()[:1] == b"<" else "what came is nothing of the kind"
    return "" if http_request.ends in end else "its end is missing"
