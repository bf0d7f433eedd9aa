"""``[page]``: the listening address of the page, and who may connect.

Text only: no name is looked up and no file is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cutoutd.settings import listening, places
from cutoutd.settings.listening import Address, HostName, Listening, ProxyAddress
from cutoutd.settings.types import Place, PlaceOrNone, Table, lenient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _home() -> tuple[Path, ...]:
    """Return the home directory; empty where it is unknown."""
    try:
        return (places.absolute("~", None),)
    except ValueError:
        return ()


class PageSettings(Table):
    """``[page]``: folders, cutouts, review and settings in a browser."""

    enabled: bool = Field(default=True, description="Whether `cutoutd run` shows the page.")
    address: Address = Field(
        default=Listening(host="127.0.0.1", port=7979),
        description="IP address and port; the next free port if that one is taken.",
    )
    roots: tuple[Place, ...] = Field(
        default_factory=_home,
        strict=False,
        description="Directories within which the page lets folders be chosen.",
    )
    hosts: tuple[HostName, ...] = lenient(
        (), "Names under which browsers may ask for the page, beside those of this machine itself."
    )
    password_file: PlaceOrNone = Field(
        default=None, description="File with the password for other machines; None: only codes pair."
    )
    tls_cert: PlaceOrNone = Field(default=None, description="File with the certificate; None: no TLS.")
    tls_key: PlaceOrNone = Field(default=None, description="File with the certificate's key.")
    proxy: ProxyAddress = Field(
        default="", description="IP address of the TLS proxy; only it may connect. Empty: none."
    )
    published_on_loopback: bool = Field(
        default=False,
        description="Whether whoever runs this publishes the address on the loopback of this machine alone, as of a container.",
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Return problems between the keys of the table, by key."""
        return listening.problems(
            self,
            password="" if self.password_file is not None else "password_file",
            published_on_loopback=self.published_on_loopback,
        )
