"""``[page]``: where the page is served, and who may come.

Text only: no name is looked up and no file is read.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BeforeValidator, Field

from cutoutd.settings import places
from cutoutd.settings.types import Place, PlaceOrNone, ReadBy, Table, lenient, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ADDRESS: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[0-9.]+):(?P<port>[0-9]{1,5})")
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\]")
_HIGHEST_PORT: Final = 65_535


@dataclass(frozen=True, kw_only=True, slots=True)
class Listening:
    """Where the page is served.

    Attributes:
        host: an IP address of this machine, without brackets.
        port: 1..65535.
    """

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can come."""
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
        f"{shown(written)} is not possible; it takes an IP address of this machine and a port, such as "
        '"127.0.0.1:7979" or "[::1]:7979"'
    )


def _host(written: object) -> object:
    if isinstance(written, str):
        written = written.lower()
        if not _HOST.fullmatch(written):
            raise ValueError(
                f"{shown(written)} is not possible; it takes a name without a port, such as "
                '"studio.example.net", as it stands in the address of the browser'
            )
    return written


def _proxy(written: object) -> object:
    if isinstance(written, str) and written:
        try:
            return str(ipaddress.ip_address(written))
        except ValueError:
            raise ValueError(f'{shown(written)} is no IP address, such as "192.168.1.10"') from None
    return written


def _home() -> tuple[Path, ...]:
    """The home directory; nothing where none is known."""
    try:
        return (places.absolute("~", None),)
    except ValueError:
        return ()


class PageSettings(Table):
    """``[page]``: folders, cutouts, review and settings in a browser."""

    enabled: bool = Field(default=True, description="Whether `cutoutd run` shows the page.")
    address: Annotated[Listening, ReadBy(_listening)] = Field(
        default=Listening(host="127.0.0.1", port=7979),
        description="IP address and port; the next free port if that one is taken.",
    )
    roots: tuple[Place, ...] = Field(
        default_factory=_home,
        strict=False,
        description="Directories within which the page lets folders be chosen.",
    )
    hosts: tuple[Annotated[str, BeforeValidator(_host)], ...] = lenient(
        (), "Names under which browsers may ask for the page, beside those of this machine itself."
    )
    password_file: PlaceOrNone = Field(
        default=None, description="File with the password for other machines; None: only codes pair."
    )
    tls_cert: PlaceOrNone = Field(default=None, description="File with the certificate; None: no TLS.")
    tls_key: PlaceOrNone = Field(default=None, description="File with the certificate's key.")
    proxy: Annotated[str, BeforeValidator(_proxy)] = Field(
        default="", description="IP address of the proxy that encrypts, which alone may come; empty: none."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with it as a whole, by key."""
        if (self.tls_cert is None) != (self.tls_key is None):
            missing = "tls_key" if self.tls_key is None else "tls_cert"
            yield missing, "is missing; tls_cert and tls_key go together"
        if self.address.is_loopback:
            return
        reach = f'address = "{self.address}" lets other machines come'
        if self.password_file is None:
            yield "password_file", f"is missing; {reach}, which takes a password"
        if not self.hosts:
            yield "hosts", f"is missing; {reach}, under the names that are listed there alone"
        if self.tls_cert is None and not self.proxy:
            text = f"is missing; {reach}, which takes TLS (tls_cert and tls_key), or the IP address of a proxy (proxy)"
            yield "tls_cert", text
