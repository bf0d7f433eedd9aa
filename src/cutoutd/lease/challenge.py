"""The challenge in a hot folder's root: by it a machine that stands by asks whether the owner is still there.

One file for all that ask. The owner answers in the marker with the digest of what it found, whatever that is, so that
a half-written or foreign file is answered too. It must not decide when to ask; `cutoutd.lease.policy` does.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from contextlib import suppress
from typing import Final

from cutoutd.errnos import NO_FILE
from cutoutd.lease import marker

NAME: Final = f"{marker.NAME}.challenge"

_SCHEMA: Final = "cutoutd.challenge/1"
_MAX_BYTES: Final = 4096


def read_digest(directory: int) -> str | None:
    """The digest of the challenge that lies in a root, or None if there is none.

    Args:
        directory: descriptor of the root.

    Raises:
        OSError: it cannot be read.
    """
    raw = _read(directory)
    return None if raw is None else _digest(raw)


def write(directory: int, run: str, host: str) -> str:
    """Leave a new challenge, in place of any that lies there; returns its digest.

    Args:
        directory: descriptor of the root.
        run: that asks.
        host: its machine, for people.

    Raises:
        OSError: it cannot be written.
    """
    said = json.dumps({"schema": _SCHEMA, "host": host, "run": run, "nonce": secrets.token_hex(8)}).encode()
    draft = f"{NAME}.{run}{marker.DRAFT}"
    with suppress(FileNotFoundError):  # an earlier one that could not be removed
        os.unlink(draft, dir_fd=directory)
    try:
        marker.write_new(directory, draft, said)
        with suppress(FileNotFoundError):  # another machine has tidied ours away; we ask again
            os.rename(draft, NAME, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        with suppress(OSError):  # it harms nobody, and whoever claims next removes it
            os.unlink(draft, dir_fd=directory)
    return _digest(said)


def remove(directory: int, digest: str | None = None) -> None:
    """Remove the challenge.

    Args:
        directory: descriptor of the root.
        digest: only if it is still this one; None: whichever it is.

    Raises:
        OSError: it cannot be removed.
    """
    if digest is None or read_digest(directory) == digest:
        with suppress(FileNotFoundError):
            os.unlink(NAME, dir_fd=directory)


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:32]


def _read(directory: int) -> bytes | None:
    try:
        descriptor = marker.open_to_read(directory, NAME)
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        return None
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.read(descriptor, _MAX_BYTES) if regular else None
    finally:
        os.close(descriptor)
