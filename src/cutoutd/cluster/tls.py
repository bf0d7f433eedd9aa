"""Certificates as a process of the cluster uses them: one authority, one certificate, one key, and nothing in the clear.

It must not open a connection. `distributed` is imported by whoever calls, after it was confined.
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
    """Check that the files are there, and that nobody else can read the key.

    Raises:
        ConfigurationError: not so; says what to do.
    """
    for path in (ca_file, cert, key):
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise ConfigurationError(
                f"it cannot be read ({error.strerror})",
                path=path,
                advice="`cutoutd cluster certs DIR` makes certificates; docs/cluster.md says which goes where.",
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
    """As Dask wants it: encrypted, and the other side must have a certificate of the same authority."""
    from distributed import Security  # noqa: PLC0415 -- see above

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
