"""The contracts of the supported services, and the choice of one by the configuration.

- remove.bg v1.0, as in its public description and in the servers that copy it.
- rembg: the owner's server, started with `rembg s`: no key, no credits, and errors in FastAPI's format.
- withoutBG: its cloud, with base64 in JSON, and the owner's server, with bytes.

It must not ask for anything that changes the picture, such as a crop or a new background: that is done here. It must not
choose the model of a server, which its owner does, by ``[hosted] model`` or when starting it. It must not decode a matte;
extracting it from its JSON is all.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cutoutd.exchange.spool import Body
from cutoutd.hosted.provider import PNG, PNG_END, ZIP, HttpRequest, document, multipart, one_line
from cutoutd.settings.hosted import USUAL
from cutoutd.settings.types import HostedProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.hosted.key import Key
    from cutoutd.hosted.provider import Provider, Upload
    from cutoutd.settings.hosted import HostedSettings


def provider_of(hosted: HostedSettings, key: Key | None) -> Provider:
    """Return the contract of the configured service.

    Args:
        hosted: the settings.
        key: key of the service; None for none.
    """
    price = hosted.expected_credits
    match hosted.provider:
        case HostedProvider.REMOVEBG:
            return RemoveBg(key=key, full_price=price, is_by_size=hosted.credits_per_picture is None)
        case HostedProvider.REMBG:
            return Rembg(full_price=price, model=hosted.model, fields=hosted.fields)
        case HostedProvider.WITHOUTBG:
            is_cloud = hosted.address == USUAL[HostedProvider.WITHOUTBG]
            return WithoutBg(key=key, is_cloud=is_cloud, full_price=price)


# Up to this size "preview" is the full size, for a quarter of the price; a PNG may have 10 megapixels, and "full" 25.
_PREVIEW_PIXELS: Final = 250_000
_PNG_PIXELS: Final = 10_000_000
_FULL_PIXELS: Final = 25_000_000
_PREVIEW_PRICE: Final = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveBg:
    """The contract of remove.bg.

    Attributes:
        key: key for ``X-Api-Key``; None for a server that needs none.
        full_price: credits for a picture in full size.
        is_by_size: whether a small picture costs a quarter.
    """

    key: Key | None
    full_price: float
    is_by_size: bool = True
    name: str = "removebg"

    def http_request(self, upload: Upload, boundary: str) -> HttpRequest:
        """Ask for a transparent PNG, or above 10 megapixels for its two parts in an archive."""
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
        """Return the current price."""
        is_small = self.is_by_size and upload.pixels <= _PREVIEW_PIXELS
        return self.full_price * _PREVIEW_PRICE if is_small else self.full_price

    def error_text(self, content: bytes) -> str:
        """Return the first error of ``{"errors": [{"title", "code", "detail"}]}``."""
        errors = document(content).get("errors")
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
        return one_line(first.get("title"), first.get("detail"))


def _size(pixels: int) -> str:
    if pixels <= _PREVIEW_PIXELS:
        return "preview"
    return "full" if pixels <= _FULL_PIXELS else "50MP"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rembg:
    """The contract of rembg.

    Attributes:
        full_price: credits of a picture; 0 unless the owner wants them counted.
        model: model to request; empty: the server's choice.
        fields: further fields of the form, from the configuration.
    """

    full_price: float
    model: str = ""
    fields: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    name: str = "rembg"

    def http_request(self, upload: Upload, boundary: str) -> HttpRequest:
        """Ask for the matte alone ("only mask"): the colours at its edges are better estimated here, in full size."""
        fields = {"om": "true"}
        if self.model:
            fields["model"] = self.model
        fields |= {name: _form_value(value) for name, value in sorted(self.fields.items())}
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
        """Return the configured price."""
        return self.full_price

    def error_text(self, content: bytes) -> str:
        """Return the text of ``{"detail": text}``, ``{"detail": [{"msg"}]}`` or ``{"error": text}``."""
        said = document(content)
        return _detail(said) or one_line(said.get("error"))


def _form_value(value: str | float | bool) -> str:  # noqa: FBT001 -- a form's value, of any kind
    return str(value).lower() if isinstance(value, bool) else str(value)


def _detail(said: dict[str, object]) -> str:
    """Return FastAPI's error message: a text, or the first of a list."""
    found = said.get("detail")
    if isinstance(found, list):
        first = found[0] if found and isinstance(found[0], dict) else {}
        return one_line(first.get("msg"))
    return one_line(found) if isinstance(found, str) else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class WithoutBg:
    """The contract of withoutBG.

    Attributes:
        key: key for ``X-API-Key``; None for a server that needs none.
        is_cloud: whether it is the contract of the cloud, or that of the server.
        full_price: credits of a picture.
    """

    key: Key | None
    is_cloud: bool
    full_price: float
    name: str = "withoutbg"

    def http_request(self, upload: Upload, boundary: str) -> HttpRequest:  # noqa: ARG002 -- neither is a form
        """Ask for the matte alone."""
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
        """Return the price: one credit, or the configured one."""
        return self.full_price

    def error_text(self, content: bytes) -> str:
        """Return the text of ``{"detail"}``."""
        return _detail(document(content))


def _alpha(content: bytes) -> bytes:
    found = document(content).get("alpha_base64")
    if not isinstance(found, str):
        raise ValueError("it has no alpha_base64")  # noqa: TRY004 -- of another's text, not of a call
    try:
        return base64.b64decode(found.rpartition(",")[2], validate=True)  # it may be a data URL
    except binascii.Error as error:
        raise ValueError("its alpha_base64 is not valid base64") from error
