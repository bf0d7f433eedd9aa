"""``[serve]``: the API for programs, its listening address and its limits.

Text only: no name is looked up and no file is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cutoutd.settings import listening
from cutoutd.settings.listening import Address, HostName, Listening, ProxyAddress
from cutoutd.settings.types import PlaceOrNone, Table, lenient

if TYPE_CHECKING:
    from collections.abc import Iterator


class ServeSettings(Table):
    """``[serve]``: an API by which programs upload pictures and download cutouts."""

    enabled: bool = Field(default=False, description="Whether `cutoutd run` serves the API.")
    address: Address = Field(
        default=Listening(host="127.0.0.1", port=7980),
        description="IP address and port; the next free port if that one is taken.",
    )
    hosts: tuple[HostName, ...] = lenient(
        (), "Names under which programs may ask, beside those of this machine itself."
    )
    tls_cert: PlaceOrNone = Field(default=None, description="File with the certificate; None: no TLS.")
    tls_key: PlaceOrNone = Field(default=None, description="File with the certificate's key.")
    proxy: ProxyAddress = Field(
        default="", description="IP address of the TLS proxy; only it may connect. Empty: none."
    )
    max_file_mb: int = Field(default=64, ge=1, le=4096, description="Largest upload, MiB.")
    max_uploads: int = Field(default=100, ge=1, le=400, description="Uploads at a time.")
    max_wait_s: int = Field(
        default=60, ge=1, le=300, description="Seconds that a request may wait for its cutout."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Return problems between the keys of the table, by key."""
        return listening.problems(self)
