"""The challenge in a hot folder's root, by which a waiting machine asks whether the owner is still there.

There is one file for all machines that ask. The owner answers in the marker with the digest of the file's contents, whatever
they are, so that a half-written or foreign file is answered too. This module must not decide when to ask;
`cutoutd.lease.policy` does.
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
    """Return the digest of the challenge in a root; None if there is none.

    Args:
        directory: descriptor of the root.

    Raises:
        OSError: it cannot be read.
    """
    raw = _read(directory)
    return None if raw is None else _digest(raw)


def write(directory: int, run: str, host: str) -> str:
    """Write a new challenge, in place of an existing one; returns its digest.

    Args:
        directory: descriptor of the root.
        run: id of the session that asks.
        host: name of its machine, for people.

    Raises:
        OSError: it cannot be written.
    """
    said = json.dumps({"schema": _SCHEMA, "host": host, "run": run, "nonce": secrets.token_hex(8)}).encode()
    draft = f"{NAME}.{run}{marker.DRAFT}"
    with suppress(FileNotFoundError):  # a draft that could not be removed before
        os.unlink(draft, dir_fd=directory)
    try:
        marker.write_new(directory, draft, said)
        with suppress(FileNotFoundError):  # another machine has removed the draft; we ask again later
            os.rename(draft, NAME, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        with suppress(OSError):  # it does no harm, and the next claimant removes it
            os.unlink(draft, dir_fd=directory)
    return _digest(said)


def remove(directory: int, digest: str | None = None) -> None:
    """Remove the challenge.

    Args:
        directory: descriptor of the root.
        digest: digest of the challenge to remove; None: any.

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
