"""``[hosted]``: the service that pictures of tagged folders may be sent to, its costs, and the network scope of its address.

Text only: no name is looked up, so a name counts as private only where plain http would have to be allowed for it; to
what it leads is seen when it is used.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from cutoutd.settings.types import (
    HostedProvider,
    NumberOrAuto,
    PlaceOrNone,
    ReadBy,
    Table,
    format_value,
    lenient,
    number,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>(?:/[A-Za-z0-9._~-]+)*)/?"
)
_PRIVATE: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
            *("fc00::/7", "fe80::/10", "fec0::/10"),
        ),
    )
)
"""Networks of one's own: RFC 1918, RFC 4193, link-local ones (RFC 3927, RFC 4291), and the earlier site-local ones (RFC 3879). Python's ``is_private`` counts
whatever is not to be routed: tunnels that lead out (Teredo), and ranges for documentation and benchmarks."""

_PORTS: Final = {"http": 80, "https": 443}
_HIGHEST_PORT: Final = 65_535
_MAX_ADDRESS: Final = 1000
_RIGHT: Final = (
    "it takes an address such as https://api.remove.bg or http://127.0.0.1:7000, without anything after it"
)


class AddressScope(StrEnum):
    """The network scope of an address."""

    LOOPBACK = "loopback"  # this machine
    PRIVATE = "private"  # a private network
    NAMED = "named"  # a host name, which may resolve to any address
    PUBLIC = "public"  # the internet


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """The base address of a hosted service.

    Attributes:
        scheme: http or https.
        host: host name or IP address, in lower case, without brackets.
        port: 1..65535.
        path: path prefix; empty, or with a leading slash and no trailing one.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection is encrypted (https)."""
        return self.scheme == "https"

    @property
    def scope(self) -> AddressScope:
        """The network scope, as far as the text of the address shows it."""
        if self.host == "localhost":
            return AddressScope.LOOPBACK
        try:
            return scope_of(ipaddress.ip_address(self.host))
        except ValueError:
            return AddressScope.NAMED

    @property
    def authority(self) -> str:
        """Host and port, as in a ``Host`` header; the default port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def stays_here(authority: str) -> bool:
    """Whether a host and port, as in `Address.authority`, are on this machine."""
    host = re.sub(r":[0-9]+$", "", authority).strip("[]")
    return Address(scheme="http", host=host, port=80, path="").scope is AddressScope.LOOPBACK


def scope_of(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> AddressScope:
    """Return the network scope of an IP address."""
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        return AddressScope.LOOPBACK
    return AddressScope.PRIVATE if any(ip in network for network in _PRIVATE) else AddressScope.PUBLIC


def parse(written: object) -> Address:
    """Parse a base address.

    An expression says what is right. pydantic's `Url` reads as browsers do: it takes names and passwords, a port 0 and a
    backslash for a slash, and passes over the end of a line.

    Raises:
        ValueError: it is none; says what would be right.
    """
    return parse_with(written, _URL, _RIGHT)


def parse_with(written: object, form: re.Pattern[str], right: str) -> Address:
    """Parse an address of another form than `parse` does.

    Args:
        written: text of the configuration.
        form: pattern of such addresses, with groups for scheme, host, port and path.
        right: description of a valid address, for the message.

    Raises:
        ValueError: it is none; says what would be right.
    """
    found = form.fullmatch(written) if isinstance(written, str) and len(written) <= _MAX_ADDRESS else None
    if found is not None:
        port = int(found["port"] or _PORTS[found["scheme"]])
        host = found["host"].strip("[]").lower()
        if 1 <= port <= _HIGHEST_PORT and (":" not in host or _is_ip(host)):
            return Address(scheme=found["scheme"], host=host, port=port, path=found["path"] or "")
    raise ValueError(f"{_printable(written)} is not possible; {right}")


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _printable(written: object) -> str:
    """Return the text for a message, unless it holds user name and password."""
    if isinstance(written, str) and "@" in written:
        return "an address with a name or password in it"
    if isinstance(written, str) and ("?" in written or "#" in written):
        return "an address with more than a host and a path in it"  # often a key
    if isinstance(written, str) and not written.isprintable():
        return "an address with unprintable characters"
    return format_value(written)


def _base_url(written: object, _: object) -> Address | None:
    if written is None or isinstance(written, Address):
        return written
    return parse(written) if written != "" else None


USUAL: Final[Mapping[HostedProvider, Address]] = {
    HostedProvider.REMOVEBG: parse("https://api.remove.bg"),
    HostedProvider.REMBG: parse("http://127.0.0.1:7000"),
    HostedProvider.WITHOUTBG: parse("https://api.withoutbg.com"),
}
"""Where each provider's service usually is."""


class HostedSettings(Table):
    """``[hosted]``: the service that pictures of tagged folders may be sent to; no other folder's are."""

    enabled: bool = Field(default=False, description="Whether anything may be sent at all.")
    provider: HostedProvider = lenient(HostedProvider.REMOVEBG, "Whose contract the service speaks.")
    base_url: Annotated[Address | None, ReadBy(_base_url)] = Field(
        default=None, description="Where the service is; None: the provider's usual address."
    )
    allow_private_http: bool = Field(
        default=False,
        description="Plain http is also possible to private addresses, and not only to this machine.",
    )
    api_key_file: PlaceOrNone = Field(
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
    max_credits_per_day: float = number(
        0.0, (0, 1_000_000), "Credits that all folders together may spend in a day (UTC); 0: none."
    )
    credits_per_picture: NumberOrAuto = number(
        None, (0, 1000), "Credits a picture is expected to cost; None: by provider and size."
    )
    max_upload_px: int = number(
        0, (0, 100_000), "Pixels of the longer side of what is sent; 0 sends the full size."
    )
    concurrency: int = number(
        4,
        (1, 64),  # no service allows more at once
        "Pictures that are under way at the same time.",
    )
    megapixels_per_minute: int = number(500, (0, 1_000_000), "Megapixels sent in a minute; 0: as many as go.")
    timeout_s: float = number(
        120.0, (0.1, 3600), "Seconds without an answer from the service after which an upload is given up."
    )
    keep_replies_days: int = number(
        30,
        (0, 36_500),
        "Days for which paid responses are kept, so that nothing is paid twice; 0: not at all.",
    )

    @property
    def address(self) -> Address:
        """The address that pictures are sent to."""
        return self.base_url or USUAL[self.provider]

    @property
    def expected_credits(self) -> float:
        """The expected cost of a picture in full size, in credits: 0 where the server can only be the user's own."""
        if self.credits_per_picture is not None:
            return self.credits_per_picture
        is_usual = self.address == USUAL[self.provider]
        charges = self.provider is HostedProvider.REMOVEBG or (
            self.provider is HostedProvider.WITHOUTBG and is_usual
        )
        return 1.0 if charges else 0.0
