"""Claims of epochs, the fencing tokens of a folder's lease: ``.cutoutd-folder.term-N`` holds the run that claimed epoch N.

The word in the file's name is that of earlier versions, which honour the same files. It must not decide who may claim.
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


def claim(directory: int, epoch: int, run: str) -> bool:
    """Claim an epoch; whether nobody else had.

    Args:
        directory: descriptor of the root.
        epoch: its number.
        run: that claims it.

    Raises:
        OSError: it cannot be written.
    """
    try:
        _create(directory, _name(epoch), run)
    except OSError:
        # SFTP has one word for every refusal, and NFS may say of a call that it repeated what is true of the first.
        claimant = claimant_of(directory, epoch)
        if claimant is None:
            raise
        return claimant == run
    return claimant_of(directory, epoch) == run


def claimant_of(directory: int, epoch: int) -> str | None:
    """The run that has claimed an epoch, or None; read, since a share may answer a mere look from its memory."""
    try:
        descriptor = marker.open_to_read(directory, _name(epoch))
    except FileNotFoundError:
        return None
    try:
        return os.read(descriptor, _MAX_RUN).decode("ascii", "replace")
    finally:
        os.close(descriptor)


def claimants_after(directory: int, owner: Owner | None) -> tuple[str, ...]:
    """The runs that have claimed the epochs after an owner's, without a gap."""
    epoch = owner.epoch if owner is not None else 0
    claimants: list[str] = []
    while (claimant := claimant_of(directory, epoch + 1 + len(claimants))) is not None:
        claimants.append(claimant)
    return tuple(claimants)


def end_before(directory: int, epoch: int) -> None:
    """End all earlier epochs, and what claims left half done: also where a power cut has undone their removal."""
    for name in os.listdir(directory):
        number = name.removeprefix(_PREFIX)
        is_epoch = name.startswith(_PREFIX) and number.isascii() and number.isdigit()
        if marker.is_draft(name):
            with suppress(OSError):  # it harms nobody
                os.unlink(name, dir_fd=directory)
        elif is_epoch and int(number) < epoch:
            end(directory, int(number))


def end(directory: int, epoch: int) -> None:
    """Remove the claim of an epoch."""
    with suppress(FileNotFoundError):
        os.unlink(_name(epoch), dir_fd=directory)


def _name(epoch: int) -> str:
    return f"{_PREFIX}{epoch}"


def _create(directory: int, name: str, run: str) -> None:
    """Make the file, unless another machine has.

    It is a second name for a file that is written already, so that no crash leaves it without its content. Where the file
    system has no second names it is made empty and then written: making it is all that only one machine can do there.

    Raises:
        FileExistsError: another machine has; shares may use any other word for it.
        OSError: it cannot be written.
    """
    new = f"{name}.{run}{marker.DRAFT}"
    marker.write_new(directory, new, run.encode())
    try:
        os.link(new, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return  # another machine has tidied ours away, and is about to claim for itself
    except OSError as error:
        if error.errno not in UNKNOWN_WAY:
            raise
        marker.write_new(directory, name, run.encode())
    finally:
        with suppress(OSError):  # whoever claims next removes it
            os.unlink(new, dir_fd=directory)
