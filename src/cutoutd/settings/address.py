"""Where a hosted service is: a base address as it is written, taken apart, and how far away it lies.

Text only: no name is looked up, so a name counts as private only where plain http would have to be allowed for it; to
what it leads is seen when it is used.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cutoutd.settings.types import HostedProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

USUAL: Final[Mapping[HostedProvider, str]] = {
    HostedProvider.REMOVEBG: "https://api.remove.bg",
    HostedProvider.REMBG: "http://127.0.0.1:7000",
    HostedProvider.WITHOUTBG: "https://api.withoutbg.com",
}
"""Where each provider's service usually is."""

_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>(?:/[A-Za-z0-9._~-]+)*)/?"
)
_PRIVATE: Final = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"),
    )
)
"""Networks of one's own: RFC 1918, RFC 4193, and link-local ones (RFC 3927, RFC 4291). Python's ``is_private`` counts
whatever is not to be routed: tunnels that lead out (Teredo), and ranges for documentation and benchmarks."""

_PORTS: Final = {"http": 80, "https": 443}
_HIGHEST_PORT: Final = 65_535
_RIGHT: Final = (
    "it takes an address such as https://api.remove.bg or http://127.0.0.1:7000, without anything after it"
)


class Reach(StrEnum):
    """How far away an address is."""

    THIS_MACHINE = "this machine"  # the loopback
    PRIVATE = "private"  # a network of one's own
    NAMED = "named"  # a name, which may lead anywhere
    ELSEWHERE = "elsewhere"  # the internet


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a hosted service is.

    Attributes:
        scheme: http or https.
        host: a name or a number, in small letters, without brackets.
        port: 1..65535.
        path: what stands before the contract's own; empty, or from its slash on and without one at the end.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_encrypted(self) -> bool:
        """Whether only the service can read what is sent."""
        return self.scheme == "https"

    @property
    def reach(self) -> Reach:
        """How far away it is, as far as its text tells."""
        if self.host == "localhost":
            return Reach.THIS_MACHINE
        try:
            number = ipaddress.ip_address(self.host)
        except ValueError:
            return Reach.NAMED
        return reach_of(number)

    @property
    def authority(self) -> str:
        """Host and port, as a ``Host`` header has them; the usual port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def reach_of(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Reach:
    """How far away a number is."""
    mapped = getattr(number, "ipv4_mapped", None)
    number = mapped if mapped is not None else number
    if number.is_loopback:
        return Reach.THIS_MACHINE
    return Reach.PRIVATE if any(number in network for network in _PRIVATE) else Reach.ELSEWHERE


def parse(written: str) -> Address:
    """Take a base address apart.

    Raises:
        ValueError: it is none; says what would be right.
    """
    found = _URL.fullmatch(written)
    if found is None:
        raise ValueError(f"{_shown(written)} is not possible; {_RIGHT}")
    port = int(found["port"] or _PORTS[found["scheme"]])
    host = found["host"].strip("[]").lower()
    if not 1 <= port <= _HIGHEST_PORT or (":" in host and not _is_number(host)):
        raise ValueError(f"{_shown(written)} is not possible; {_RIGHT}")
    return Address(scheme=found["scheme"], host=host, port=port, path=found["path"])


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _shown(written: str) -> str:
    """What was written, unless it holds a name and a password, which are nobody's business."""
    if "@" in written:
        return "an address with a name or password in it"
    return f'"{written}"' if written.isprintable() else "an address with unprintable characters"
