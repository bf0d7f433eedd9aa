"""``[cluster]``: machines of one's own that cut the pictures of tagged folders, by a Dask scheduler.

Text only: no name is looked up, no file is opened.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, Field

from cutoutd.settings.types import PlaceOrNone, ReadBy, Table, format_value, number

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADDRESS: Final = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?):(?P<port>[0-9]{1,5})"
)
_MAX_ADDRESS: Final = 300
_HIGHEST_PORT: Final = 65_535
_MAX_PORTS: Final = 32
_RIGHT: Final = "it takes an address with its port, such as tls://10.0.0.2:8786"
NEEDED: Final = ("scheduler", "tls_ca_file", "tls_cert", "tls_key")
"""Keys without which there is no cluster."""


def scheduler_address(written: object) -> str:
    """The address of a Dask scheduler; empty for none.

    Raises:
        ValueError: it is none, or pictures would be sent so that others can read them; says what would be right.
    """
    if written in ("", None):
        return ""
    found = _ADDRESS.fullmatch(written) if isinstance(written, str) and len(written) <= _MAX_ADDRESS else None
    if found is None or not 1 <= int(found["port"]) <= _HIGHEST_PORT:
        raise ValueError(f"{format_value(written)} is not possible; {_RIGHT}")
    if found["scheme"] != "tls":
        raise ValueError(
            f"{format_value(written)} is not encrypted: everybody in the network could read the pictures, and run programs on "
            f"all machines of the cluster; {_RIGHT}, and `cutoutd cluster certs` makes the certificates"
        )
    return str(written)


def port_of(address: str) -> int:
    """The port of a scheduler's address."""
    return int(address.rpartition(":")[2])


def _scheduler(written: object, _: object) -> str:
    return scheduler_address(written)


def _ports(written: object) -> object:
    """One port, or a list of them."""
    ports = written if isinstance(written, list | tuple) else [written]
    if not all(type(one) is int and 1 <= one <= _HIGHEST_PORT for one in ports):
        raise ValueError(
            f"{format_value(written)} is not possible; it takes a port such as 8790, or a list of them"
        )
    if not 1 <= len(ports) <= _MAX_PORTS:
        raise ValueError(f"has {len(ports)} ports; it takes 1 to {_MAX_PORTS} of them")
    return tuple(dict.fromkeys(ports))


Ports = Annotated[tuple[int, ...], BeforeValidator(_ports)]


class ClusterSettings(Table):
    """``[cluster]``: machines of one's own that cut the pictures of tagged folders."""

    enabled: bool = Field(default=False, description="Whether pictures may be sent to them at all.")
    scheduler: Annotated[str, ReadBy(_scheduler)] = Field(
        default="", description="Address of the Dask scheduler; TLS alone."
    )
    tls_ca_file: PlaceOrNone = Field(
        default=None, description="Certificate of the authority (CA) that all machines share."
    )
    tls_cert: PlaceOrNone = Field(default=None, description="This machine's certificate.")
    tls_key: PlaceOrNone = Field(default=None, description="Its key; only its owner may read it.")
    worker_port: Ports = Field(
        default=(8790,), description="Port that the machines' workers listen on, or a list of them."
    )
    max_in_flight: int = number(
        8,
        (1, 128),  # each is a process of some 40 MB beside the supervisor
        "Pictures that are on other machines at the same time, at most.",
    )
    fallback_after_s: float = number(
        30.0,
        (1, 86_400),
        'Seconds for which the cluster may be away before "cluster-then-local" cuts here.',
    )
    max_result_mb: int = number(
        512, (1, 4096), "MiB that all results of one picture may have together; more is not sent back."
    )

    @property
    def scheduler_port(self) -> int:
        """Port of the scheduler; only where there is one."""
        return port_of(self.scheduler)

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of authority, certificate and key, as far as they are named."""
        return tuple(str(one) for one in (self.tls_ca_file, self.tls_cert, self.tls_key) if one is not None)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Keys that are missing for a cluster that is enabled, each with what is wrong."""
        for key in NEEDED if self.enabled else ():
            if not getattr(self, key):
                yield (
                    key,
                    "is missing; a cluster that is enabled needs it. `cutoutd docs cluster` says how to make it",
                )

    def digested(self) -> dict[str, Any]:
        """What two processes must agree on, as JSON takes it."""
        return self.model_dump(mode="json")
