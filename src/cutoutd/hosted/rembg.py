"""A server of one's own, started with `rembg s`: no key, no credits, and errors as FastAPI words them.

It must not choose the server's model; that is its owner's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.egress import Body
from cutoutd.hosted.provider import Question, document, multipart, words

if TYPE_CHECKING:
    from cutoutd.hosted.provider import Upload


@dataclass(frozen=True, kw_only=True, slots=True)
class Rembg:
    """The contract.

    Attributes:
        full_price: credits of a picture; none, unless its owner wants them counted.
    """

    full_price: float
    name: str = "rembg"

    def question(self, upload: Upload, boundary: str) -> Question:
        """The matte alone ("only mask"): the colours at its edges are better estimated here, in full size."""
        head, tail, media = multipart(boundary, "file", upload, {"om": "true"})
        return Question(
            path="/api/remove",
            headers={"Content-Type": media, "Accept": "image/png"},
            head=head,
            tail=tail,
            options="om=true",
            body=Body.ALPHA,
        )

    def price(self, upload: Upload) -> float:  # noqa: ARG002 -- all cost the same
        """As its owner said."""
        return self.full_price

    def complaint(self, content: bytes) -> str:
        """Of ``{"detail": text}``, ``{"detail": [{"msg"}]}`` or ``{"error": text}``."""
        said = document(content)
        return detail(said) or words(said.get("error"))


def detail(said: dict[str, object]) -> str:
    """What FastAPI says is wrong: a text, or the first of a list."""
    found = said.get("detail")
    if isinstance(found, list):
        first = found[0] if found and isinstance(found[0], dict) else {}
        return words(first.get("msg"))
    return words(found) if isinstance(found, str) else ""
