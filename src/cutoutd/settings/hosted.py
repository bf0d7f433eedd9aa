"""``[hosted]``: where pictures of tagged folders may be sent, and what that may cost. Values alone, as in `cutoutd.settings.schema`."""

from __future__ import annotations

from pydantic import Field

from cutoutd.settings import address, spelling
from cutoutd.settings.table import Table
from cutoutd.settings.types import HostedProvider


class HostedSettings(Table):
    """``[hosted]``: the service that pictures of tagged folders may be sent to; no other folder's are."""

    enabled: bool = Field(default=False, description="Whether anything may be sent at all.")
    provider: HostedProvider = Field(
        default=HostedProvider.REMOVEBG, strict=False, description="Whose contract the service speaks."
    )
    base_url: spelling.BaseUrl = Field(
        default="", max_length=1000, description="Where the service is; empty: the provider's usual address."
    )
    allow_private_http: bool = Field(
        default=False, description="Plain http is possible to private addresses, not to this machine alone."
    )
    api_key_file: spelling.PlaceOrNone = Field(
        default=None,
        description="File with the service's key; None: from the uploader's environment, or none.",
    )
    model: str = Field(
        default="",
        max_length=200,
        pattern=r"^[ -~]*$",
        description="Model that a rembg server is asked for; empty: its own choice.",
    )
    fields: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Further form fields that a rembg server is sent, by name."
    )
    max_credits_per_day: float = Field(
        default=0.0,
        ge=0,  # 0: none are spent
        le=1_000_000,
        description="Credits that all folders together may spend in a day (UTC).",
    )
    credits_per_picture: spelling.NumberOrAuto = Field(
        default=None,
        ge=0,  # 0: a server that charges nothing
        le=1000,
        description="Credits a picture is expected to cost; None: by provider and size.",
    )
    max_upload_px: int = Field(
        default=0,
        ge=0,  # 0: full size
        le=100_000,
        description="Pixels of the longer side of what is sent; 0 sends the full size.",
    )
    concurrency: int = Field(
        default=4,
        ge=1,
        le=64,  # no service allows more at once
        description="Pictures that are under way at the same time.",
    )
    megapixels_per_minute: int = Field(
        default=500,
        ge=0,  # 0: no limit
        le=1_000_000,
        description="Megapixels sent in a minute; 0: as many as go.",
    )
    timeout_s: float = Field(
        default=120.0,
        ge=0.1,
        le=3600,
        description="Seconds without a word from the service after which an upload is given up.",
    )
    keep_replies_days: int = Field(
        default=30,
        ge=0,  # 0: none is kept
        le=36_500,
        description="Days for which what was paid for is kept, so that it is never paid again.",
    )

    @property
    def address(self) -> address.Address:
        """Where pictures are sent."""
        return address.parse(self.base_url or address.USUAL[self.provider])

    @property
    def expected_credits(self) -> float:
        """What a picture in full size is expected to cost: nothing, where the server can only be one's own."""
        if self.credits_per_picture is not None:
            return self.credits_per_picture
        is_usual = self.address == address.parse(address.USUAL[self.provider])
        charges = self.provider is HostedProvider.REMOVEBG or (
            self.provider is HostedProvider.WITHOUTBG and is_usual
        )
        return 1.0 if charges else 0.0
