"""The certificates of a process of the cluster: one authority, one certificate, one key. All connections are encrypted.

This module must not open connections. It imports `distributed` only on call, after the process was confined.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.errors import ConfigurationError

if TYPE_CHECKING:
    from distributed import Security

_OTHERS = 0o077


def check_files(ca_file: Path, cert: Path, key: Path) -> None:
    """Check that the files can be read, and that nobody else can read the key.

    Raises:
        ConfigurationError: a file cannot be used; with advice.
    """
    for path in (ca_file, cert, key):
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise ConfigurationError(
                f"it cannot be read ({error.strerror})",
                path=path,
                advice="`cutoutd cluster certs DIR` makes certificates; `cutoutd docs cluster` says which goes where.",
            ) from error
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


def security(ca_file: Path, cert: Path, key: Path) -> Security:
    """Return Dask's security settings: encryption, and a peer certificate of the same authority, are required."""
    from distributed import Security  # noqa: PLC0415 -- only after the process was confined

    ca, own, secret = map(str, (ca_file, cert, key))
    return Security(
        require_encryption=True,
        tls_ca_file=ca,
        **{
            f"tls_{role}_{what}": path
            for role in ("client", "worker", "scheduler")
            for what, path in (("cert", own), ("key", secret))
        },
    )
