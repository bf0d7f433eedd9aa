"""The contract of a provider: its requests, its prices, and its error messages.

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
    """A picture to send, as far as a contract is concerned.

    Attributes:
        name: random name, which reveals nothing.
        bytes: size of the file.
        width, height: size in pixels.
    """

    name: str
    bytes: int
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    @property
    def media_type(self) -> str:
        """Media type, from the suffix of the name."""
        return "image/png" if self.name.endswith(".png") else "image/jpeg"


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpRequest:
    """A POST request without the picture itself.

    Attributes:
        path: path below the base address, with its query.
        headers: headers except length and host; they hold the key, and so are not shown.
        head, tail: bytes before and after the picture in the body.
        is_base64: whether the picture is encoded as base64.
        options: everything that may change the answer, to recognise the same request.
        body: kind of the answer's body.
        starts, ends: first bytes of a complete body, and bytes near its end.
        unwrap: function that extracts the picture from an answer that is not the picture itself; ValueError if there is
            none.
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
        """Return the length of the whole body, in bytes."""
        middle = -(-picture_bytes // 3) * 4 if self.is_base64 else picture_bytes
        return len(self.head) + middle + len(self.tail)


class Provider(Protocol):
    """The contract of a hosted service."""

    @property
    def name(self) -> str:
        """Name, as in ``[hosted] provider``."""
        ...

    def http_request(self, upload: Upload, boundary: str) -> HttpRequest:
        """Return the request for the cutout of a picture; the boundary occurs in no picture."""
        ...

    def price(self, upload: Upload) -> float:
        """Return the credits that a picture is expected to cost."""
        ...

    def error_text(self, content: bytes) -> str:
        """Return the message of an error answer, in the provider's words; empty if there is none."""
        ...


def upload_of(request: Request) -> Upload:
    """Return the picture of a request, as a contract sees it."""
    return Upload(name=request.file, bytes=request.bytes, width=request.width, height=request.height)


def multipart(
    boundary: str, field_name: str, upload: Upload, fields: Mapping[str, str]
) -> tuple[bytes, bytes, str]:
    """Return head, tail and media type of a form with one file (RFC 7578).

    Args:
        boundary: separator that occurs in no field, and not in the file.
        field_name: name of the file's field.
        upload: the file.
        fields: the other fields.
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
    """Parse a JSON object; empty if it is none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def one_line(*said: object) -> str:
    """Return a foreign text on one printable line of bounded length."""
    # Only texts and numbers are used: other values may be nested without end.
    text = ": ".join(str(one) for one in said if one and isinstance(one, str | int | float))
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _MAX_WORDS else f"{line[:_MAX_WORDS]}..."
