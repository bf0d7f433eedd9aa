"""Allowed peers and host names: any host name can be made to resolve to this machine (DNS rebinding)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(kw_only=True, slots=True)
class AllowedHosts:
    """Allowed peers and host names.

    Attributes:
        hosts: names of this machine that the Host header may have, beside loopback's, in lower case, without a port.
        proxy: only IP address that may connect; empty: any.
    """

    hosts: frozenset[str]
    proxy: str

    def knows_host(self, host: str) -> bool:
        """Whether a Host header names this machine."""
        name, _, port = host.lower().rpartition(":") if _has_port(host) else (host.lower(), "", "")
        return (name in LOOPBACK or name in self.hosts) and (not port or (port.isascii() and port.isdigit()))

    def knows_peer(self, address: str) -> bool:
        """Whether a connection comes from an allowed address."""
        return not self.proxy or address.removeprefix("::ffff:") == self.proxy


def _has_port(host: str) -> bool:
    return ":" in host and not host.endswith("]")
