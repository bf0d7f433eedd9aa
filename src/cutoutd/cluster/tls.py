"""The certificates of a process of the cluster: one authority, one certificate, one key. All connections are encrypted.

This module must not open connections. It imports `distributed` only on call, after the process was confined.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cutoutd.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Self

    from distributed import Security

    from cutoutd.settings.cluster import ClusterSettings

_OTHERS = 0o077


class Certificates(NamedTuple):
    """The files of a process: certificate of the authority that signs its peers, its own certificate, and the key of that."""

    ca_file: Path
    cert: Path
    key: Path

    @classmethod
    def of(cls, settings: ClusterSettings) -> Self | None:
        """Return the files that the settings name; None: not all of them are named."""
        ca_file, cert, key = settings.tls_ca_file, settings.tls_cert, settings.tls_key
        return None if ca_file is None or cert is None or key is None else cls(ca_file, cert, key)


def check_files(certificates: Certificates) -> None:
    """Check that the files can be read, and that nobody else can read the key.

    Raises:
        ConfigurationError: a file cannot be used; with advice.
    """
    for path in certificates:
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise ConfigurationError(
                f"it cannot be read ({error.strerror})",
                path=path,
                advice="`cutoutd cluster certs DIR` makes certificates; `cutoutd docs cluster` says which goes where.",
            ) from error
    key = certificates.key
    status = key.stat()
    if stat.S_IMODE(status.st_mode) & _OTHERS:
        raise ConfigurationError(
            "others can read this key, and whoever has it can run programs on all machines of the cluster",
            path=key,
            advice=f"chmod 600 {key}",
        )
    for place in filter(None, sys.path):
        if Path(os.path.realpath(key)).is_relative_to(os.path.realpath(place)):
            raise ConfigurationError(
                f"this key lies in {place}, which workers that read pictures may read",
                path=key,
                advice="Move it elsewhere.",
            )


def security(certificates: Certificates) -> Security:
    """Return Dask's security settings: encryption, and a peer certificate of the same authority, are required."""
    from distributed import Security  # noqa: PLC0415 -- only after the process was confined

    ca, own, secret = map(str, certificates)
    return Security(
        require_encryption=True,
        tls_ca_file=ca,
        **{
            f"tls_{role}_{what}": path
            for role in ("client", "worker", "scheduler")
            for what, path in (("cert", own), ("key", secret))
        },
    )
