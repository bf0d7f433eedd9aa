"""remove.bg v1.0, as its public description and the servers that copy it have it.

It must not ask for anything that changes the picture, such as a crop or a new background: those are made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.hosted.provider import PNG, PNG_END, ZIP, HttpRequest, document, multipart, words
from cutoutd.spool import Body

if TYPE_CHECKING:
    from cutoutd.hosted.key import Key
    from cutoutd.hosted.provider import Upload

# Up to so many pixels "preview" is the full size, for a quarter of the price; a PNG ends at 10 megapixels, and
# "full" at 25.
_PREVIEW_PIXELS: Final = 250_000
_PNG_PIXELS: Final = 10_000_000
_FULL_PIXELS: Final = 25_000_000
_PREVIEW_PRICE: Final = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveBg:
    """The contract.

    Attributes:
        key: for its ``X-Api-Key``; None for a server that asks for none.
        full_price: credits of a picture in full size.
        is_by_size: a small one costs a quarter.
    """

    key: Key | None
    full_price: float
    is_by_size: bool = True
    name: str = "removebg"

    def http_request(self, upload: Upload, boundary: str) -> HttpRequest:
        """By pixels; a transparent PNG, or above 10 megapixels its two parts in an archive."""
        kind = "png" if upload.pixels <= _PNG_PIXELS else "zip"
        fields = {"size": _size(upload.pixels), "format": kind}
        head, tail, media = multipart(boundary, "image_file", upload, fields)
        headers = {"Content-Type": media, "Accept": "image/png" if kind == "png" else "application/zip"}
        if self.key is not None:
            headers["X-Api-Key"] = self.key.reveal()
        return HttpRequest(
            path="/v1.0/removebg",
            headers=headers,
            head=head,
            tail=tail,
            options=f"size={fields['size']} format={kind}",
            body=Body.CUTOUT if kind == "png" else Body.PARTS,
            starts=PNG if kind == "png" else ZIP,
            ends=PNG_END if kind == "png" else b"",
        )

    def price(self, upload: Upload) -> float:
        """As it charges now."""
        is_small = self.is_by_size and upload.pixels <= _PREVIEW_PIXELS
        return self.full_price * _PREVIEW_PRICE if is_small else self.full_price

    def error_text(self, content: bytes) -> str:
        """Of ``{"errors": [{"title", "code", "detail"}]}`` the first."""
        errors = document(content).get("errors")
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
        return words(first.get("title"), first.get("detail"))


def _size(pixels: int) -> str:
    if pixels <= _PREVIEW_PIXELS:
        return "preview"
    return "full" if pixels <= _FULL_PIXELS else "50MP"
