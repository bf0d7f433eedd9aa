"""The listening address of the page or the API, its host names, and access from other machines.

Text only: no name is looked up and no file is read.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Protocol, TypeAlias

from pydantic import BeforeValidator

from cutoutd.settings.types import ReadBy, format_value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ADDRESS: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[0-9.]+):(?P<port>[0-9]{1,5})")
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\]")
_HIGHEST_PORT: Final = 65_535


@dataclass(frozen=True, kw_only=True, slots=True)
class Listening:
    """A listening address.

    Attributes:
        host: an IP address of this machine, without brackets.
        port: 1..65535.
    """

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can connect."""
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _listening(written: object, _: object) -> Listening:
    if isinstance(written, Listening):
        return written
    found = _ADDRESS.fullmatch(written) if isinstance(written, str) else None
    if found is not None and 1 <= int(found["port"]) <= _HIGHEST_PORT:
        try:
            host = str(ipaddress.ip_address(found["host"].strip("[]")))
        except ValueError:
            pass
        else:
            return Listening(host=host, port=int(found["port"]))
    raise ValueError(
        f"{format_value(written)} is not possible; it takes an IP address of this machine and a port, such as "
        '"127.0.0.1:7979" or "[::1]:7979"'
    )


def _host(written: object) -> object:
    if isinstance(written, str):
        written = written.lower()
        if not _HOST.fullmatch(written):
            raise ValueError(
                f"{format_value(written)} is not possible; it takes a name without a port, such as "
                '"studio.example.net", as it stands in the address of the browser'
            )
    return written


def _proxy(written: object) -> object:
    if isinstance(written, str) and written:
        try:
            return str(ipaddress.ip_address(written))
        except ValueError:
            raise ValueError(
                f'{format_value(written)} is not an IP address, such as "192.168.1.10"'
            ) from None
    return written


Address: TypeAlias = Annotated[Listening, ReadBy(_listening)]
HostName: TypeAlias = Annotated[str, BeforeValidator(_host)]
ProxyAddress: TypeAlias = Annotated[str, BeforeValidator(_proxy)]


class Reachable(Protocol):
    """A configuration table with a listening address."""

    @property
    def address(self) -> Listening:
        """IP address and port to listen at."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Host names beside those of this machine."""

    @property
    def tls_cert(self) -> Path | None:
        """File with the certificate."""

    @property
    def tls_key(self) -> Path | None:
        """File with the certificate's key."""

    @property
    def proxy(self) -> str:
        """IP address of the TLS proxy; empty: none."""


def problems(
    table: Reachable, *, password: str = "", published_on_loopback: bool = False
) -> Iterator[tuple[str, str]]:
    """Return problems between the keys of a table, by key.

    Args:
        table: table to check.
        password: key that must be set for access from other machines, and is not; empty: none is required.
        published_on_loopback: the address is published on the host's loopback only, as of a container.
    """
    if (table.tls_cert is None) != (table.tls_key is None):
        missing = "tls_key" if table.tls_key is None else "tls_cert"
        yield missing, "is missing; tls_cert and tls_key go together"
    if table.address.is_loopback:
        return
    reach = f'address = "{table.address}" lets other machines come'
    if password:
        yield password, f"is missing; {reach}, which takes a password"
    if published_on_loopback:
        # The Host header has to be one of loopback's names then, so a port that was published wider by mistake answers
        # nobody by its machine's own name or address.
        return
    if not table.hosts:
        yield "hosts", f"is missing; {reach}, under the names that are listed there alone"
    if table.tls_cert is None and not table.proxy:
        text = f"is missing; {reach}, which takes TLS (tls_cert and tls_key), or the IP address of a proxy (proxy)"
        yield "tls_cert", text
