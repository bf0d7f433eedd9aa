"""What the uploader knows of a provider's contract: how to ask, what a picture costs, and what an answer means.

A provider is values and pure functions; it must not send anything, nor decode a picture.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cutoutd.exchange.spool import Body, Request

PNG: Final = b"\x89PNG\r\n\x1a\n"
PNG_END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
ZIP: Final = b"PK\x03\x04"

_MAX_WORDS: Final = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A picture that is to be sent, as far as a contract is concerned.

    Attributes:
        name: random; says nothing.
        bytes: of the file.
        width, height: pixels.
    """

    name: str
    bytes: int
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """How many."""
        return self.width * self.height

    @property
    def media_type(self) -> str:
        """By its name, which is ours."""
        return "image/png" if self.name.endswith(".png") else "image/jpeg"


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpRequest:
    """A POST, but for the picture itself.

    Attributes:
        path: below the base address, with its query.
        headers: but for length and host; they hold the key, and so are not shown.
        head, tail: what stands before and after the picture in the body.
        is_base64: the picture is written as text.
        options: all that may change the answer, for telling whether the same was asked before.
        body: what the answer's body is.
        starts, ends: with which bytes a whole one starts, and which stand near its end.
        unwrap: takes the picture out of an answer that is not the picture itself; ValueError if there is none.
    """

    path: str
    headers: Mapping[str, str] = field(repr=False)
    head: bytes = b""
    tail: bytes = b""
    is_base64: bool = False
    options: str
    body: Body
    starts: bytes = PNG
    ends: bytes = PNG_END
    unwrap: Callable[[bytes], bytes] | None = field(default=None)

    def length(self, picture_bytes: int) -> int:
        """Bytes of the whole body."""
        middle = -(-picture_bytes // 3) * 4 if self.is_base64 else picture_bytes
        return len(self.head) + middle + len(self.tail)


class Provider(Protocol):
    """A hosted service's contract."""

    @property
    def name(self) -> str:
        """As in ``[hosted] provider``."""
        ...

    def http_request(self, upload: Upload, boundary: str) -> HttpRequest:
        """How to ask for a picture's cutout; the boundary occurs in no picture."""
        ...

    def price(self, upload: Upload) -> float:
        """Credits it is expected to cost."""
        ...

    def error_text(self, content: bytes) -> str:
        """What an answer that is an error says, in the provider's own words; empty if nothing can be made of it."""
        ...


def upload_of(request: Request) -> Upload:
    """A request's picture, as a contract sees it."""
    return Upload(name=request.file, bytes=request.bytes, width=request.width, height=request.height)


def multipart(
    boundary: str, field_name: str, upload: Upload, fields: Mapping[str, str]
) -> tuple[bytes, bytes, str]:
    """Head, tail and media type of a form with one file (RFC 7578).

    Args:
        boundary: occurs in no field, and not in the file.
        field_name: of the file.
        upload: the file.
        fields: the others.
    """
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field_name}"; filename="{upload.name}"\r\n'
        f"Content-Type: {upload.media_type}\r\n\r\n"
    )
    return (
        "".join(parts).encode("ascii"),
        f"\r\n--{boundary}--\r\n".encode("ascii"),
        f"multipart/form-data; boundary={boundary}",
    )


def document(content: bytes) -> dict[str, Any]:
    """A JSON object; empty if it is none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def words(*said: object) -> str:
    """What somebody else said, on one printable line of bounded length."""
    # A text is said; of anything else nothing is made, since it may be nested without end.
    text = ": ".join(str(one) for one in said if one and isinstance(one, str | int | float))
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _MAX_WORDS else f"{line[:_MAX_WORDS]}..."
