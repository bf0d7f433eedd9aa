"""Which provider a configuration means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.hosted.rembg import Rembg
from cutoutd.hosted.removebg import RemoveBg
from cutoutd.hosted.withoutbg import WithoutBg
from cutoutd.settings import address
from cutoutd.settings.types import HostedProvider

if TYPE_CHECKING:
    from cutoutd.hosted.key import Key
    from cutoutd.hosted.provider import Provider
    from cutoutd.settings.hosted import HostedSettings


def provider_of(hosted: HostedSettings, key: Key | None) -> Provider:
    """The contract that is spoken.

    Args:
        hosted: the settings.
        key: the service's; None for none.
    """
    price = hosted.expected_credits
    match hosted.provider:
        case HostedProvider.REMOVEBG:
            return RemoveBg(key=key, full_price=price, is_by_size=hosted.credits_per_picture is None)
        case HostedProvider.REMBG:
            return Rembg(full_price=price, model=hosted.model, fields=hosted.fields)
        case HostedProvider.WITHOUTBG:
            usual = address.parse(address.USUAL[HostedProvider.WITHOUTBG])
            return WithoutBg(key=key, is_cloud=hosted.address == usual, full_price=price)
