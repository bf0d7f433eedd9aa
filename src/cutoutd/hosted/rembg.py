"""A server of one's own, started with `rembg s`: no key, no credits, and errors as FastAPI words them.

It must not choose the server's model; that is its owner's, by ``[hosted] model`` or by how the server was started.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cutoutd.hosted.provider import HttpRequest, document, multipart, words
from cutoutd.spool import Body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.hosted.provider import Upload


@dataclass(frozen=True, kw_only=True, slots=True)
class Rembg:
    """The contract.

    Attributes:
        full_price: credits of a picture; none, unless its owner wants them counted.
        model: that the server is asked for; empty: its own choice.
        fields: further ones of the form, as its owner has them.
    """

    full_price: float
    model: str = ""
    fields: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    name: str = "rembg"

    def http_request(self, upload: Upload, boundary: str) -> HttpRequest:
        """The matte alone ("only mask"): the colours at its edges are better estimated here, in full size."""
        fields = {"om": "true"}
        if self.model:
            fields["model"] = self.model
        fields |= {name: _written(value) for name, value in sorted(self.fields.items())}
        head, tail, media = multipart(boundary, "file", upload, fields)
        return HttpRequest(
            path="/api/remove",
            headers={"Content-Type": media, "Accept": "image/png"},
            head=head,
            tail=tail,
            options=" ".join(f"{name}={value}" for name, value in fields.items()),
            body=Body.ALPHA,
        )

    def price(self, upload: Upload) -> float:  # noqa: ARG002 -- all cost the same
        """As its owner said."""
        return self.full_price

    def error_text(self, content: bytes) -> str:
        """Of ``{"detail": text}``, ``{"detail": [{"msg"}]}`` or ``{"error": text}``."""
        said = document(content)
        return detail(said) or words(said.get("error"))


def _written(value: str | float | bool) -> str:  # noqa: FBT001 -- a form's value, of any kind
    return str(value).lower() if isinstance(value, bool) else str(value)


def detail(said: dict[str, object]) -> str:
    """What FastAPI says is wrong: a text, or the first of a list."""
    found = said.get("detail")
    if isinstance(found, list):
        first = found[0] if found and isinstance(found[0], dict) else {}
        return words(first.get("msg"))
    return words(found) if isinstance(found, str) else ""
