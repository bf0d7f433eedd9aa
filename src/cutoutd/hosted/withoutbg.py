"""withoutBG: its cloud, which takes and gives base64 in JSON, and a server of one's own, which takes and gives bytes.

It must not decode the matte; taking it out of its JSON is all.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.hosted.provider import HttpRequest, document
from cutoutd.hosted.rembg import detail
from cutoutd.spool import Body

if TYPE_CHECKING:
    from cutoutd.hosted.key import Key
    from cutoutd.hosted.provider import Upload


@dataclass(frozen=True, kw_only=True, slots=True)
class WithoutBg:
    """The contract.

    Attributes:
        key: for its ``X-API-Key``; None for a server that asks for none.
        is_cloud: whose contract of the two.
        full_price: credits of a picture.
    """

    key: Key | None
    is_cloud: bool
    full_price: float
    name: str = "withoutbg"

    def http_request(self, upload: Upload, boundary: str) -> HttpRequest:  # noqa: ARG002 -- neither is a form
        """For the matte alone."""
        headers = {"X-API-Key": self.key.reveal()} if self.key is not None else {}
        if not self.is_cloud:
            return HttpRequest(
                path="/v1/remove-background?output=matte",
                headers=headers | {"Content-Type": upload.media_type, "Accept": "image/png"},
                options="output=matte",
                body=Body.ALPHA,
            )
        return HttpRequest(
            path="/v1.0/alpha-channel-base64",
            headers=headers | {"Content-Type": "application/json", "Accept": "application/json"},
            head=b'{"image_base64": "',
            tail=b'"}',
            is_base64=True,
            options="alpha-channel",
            body=Body.ALPHA,
            unwrap=_alpha,
        )

    def price(self, upload: Upload) -> float:  # noqa: ARG002 -- all cost the same
        """A credit, or as its owner said."""
        return self.full_price

    def error_text(self, content: bytes) -> str:
        """Of ``{"detail"}``."""
        return detail(document(content))


def _alpha(content: bytes) -> bytes:
    found = document(content).get("alpha_base64")
    if not isinstance(found, str):
        raise ValueError("no alpha_base64 in it")  # noqa: TRY004 -- of another's text, not of a call
    try:
        return base64.b64decode(found.rpartition(",")[2], validate=True)  # it may be a data URL
    except binascii.Error as error:
        raise ValueError("its alpha_base64 is none") from error
