"""Claims of epochs, the fencing tokens of a folder's lease: ``.cutoutd-folder.term-N`` contains the session that claimed epoch N.

The file name has the word of earlier versions, which honour the same files. This module must not decide who may claim.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import UNKNOWN_WAY
from cutoutd.lease import marker

if TYPE_CHECKING:
    from cutoutd.lease.policy import Owner

_PREFIX: Final = f"{marker.NAME}.term-"
_MAX_RUN: Final = 64
_MAX_EPOCH: Final = 1 << 52
"""No folder changes its owner as often; a file with a higher number is no claim, or the next epoch would not fit into a marker."""


def claim(directory: int, epoch: int, run: str) -> bool:
    """Claim an epoch; returns whether the claim is ours.

    Args:
        directory: descriptor of the root.
        epoch: number of the epoch.
        run: id of the session that claims it.

    Raises:
        OSError: it cannot be written.
    """
    try:
        _create(directory, _name(epoch), run)
    except OSError:
        # SFTP has one error for every refusal, and NFS may report a repeated call's error for a call that succeeded.
        claimant = claimant_of(directory, epoch)
        if claimant is None:
            raise
        return claimant == run
    return claimant_of(directory, epoch) == run


def claimant_of(directory: int, epoch: int) -> str | None:
    """Return the session that has claimed an epoch, or None; the file is read, since a share may answer a stat from its cache."""
    try:
        descriptor = marker.open_to_read(directory, _name(epoch))
    except FileNotFoundError:
        return None
    try:
        return os.read(descriptor, _MAX_RUN).decode("ascii", "replace")
    finally:
        os.close(descriptor)


def next_claims(directory: int, owner: Owner | None) -> tuple[tuple[int, str], ...]:
    """Return the claims of the epochs after an owner's up to the first gap, without listing the folder."""
    epoch = owner.epoch if owner is not None else 0
    claims: list[tuple[int, str]] = []
    while (claimant := claimant_of(directory, epoch + 1 + len(claims))) is not None:
        claims.append((epoch + 1 + len(claims), claimant))
    return tuple(claims)


def all_claims(directory: int, owner: Owner | None = None) -> tuple[tuple[int, str], ...]:
    """Return the claims of all epochs after an owner's, in order; the folder is listed."""
    first = owner.epoch + 1 if owner is not None else 0
    claimed = sorted(
        epoch for name in os.listdir(directory) if (epoch := _epoch_of(name)) is not None and epoch >= first
    )
    claims = ((epoch, claimant_of(directory, epoch)) for epoch in claimed)
    return tuple((epoch, claimant) for epoch, claimant in claims if claimant is not None)


def end_before(directory: int, epoch: int) -> None:
    """Remove the claims of all earlier epochs, and drafts; even if a power failure has undone an earlier removal."""
    for name in os.listdir(directory):
        number = _epoch_of(name)
        if marker.is_draft(name):
            with suppress(OSError):  # it does no harm
                os.unlink(name, dir_fd=directory)
        elif number is not None and number < epoch:
            end(directory, number)


def end(directory: int, epoch: int) -> None:
    """Remove the claim of an epoch."""
    with suppress(FileNotFoundError):
        os.unlink(_name(epoch), dir_fd=directory)


def _epoch_of(name: str) -> int | None:
    """Return the epoch that a file claims; None if it is no claim."""
    number = name.removeprefix(_PREFIX)
    if not (name.startswith(_PREFIX) and number.isascii() and number.isdigit()):
        return None
    epoch = int(number)
    return epoch if name == _name(epoch) and epoch <= _MAX_EPOCH else None


def _name(epoch: int) -> str:
    return f"{_PREFIX}{epoch}"


def _create(directory: int, name: str, run: str) -> None:
    """Create the file of a claim, unless another machine has.

    It is a second name for a file with contents, so that a crash cannot leave it empty. On a file system without hard links it is
    created empty and then written: only the creation is exclusive there.

    Raises:
        FileExistsError: another machine has claimed it; shares may report another error.
        OSError: it cannot be written.
    """
    new = f"{name}.{run}{marker.DRAFT}"
    marker.write_new(directory, new, run.encode())
    try:
        os.link(new, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return  # another machine has removed our draft, and is about to claim for itself
    except OSError as error:
        if error.errno not in UNKNOWN_WAY:
            raise
        marker.write_new(directory, name, run.encode())
    finally:
        with suppress(OSError):  # the next claimant removes it
            os.unlink(new, dir_fd=directory)
