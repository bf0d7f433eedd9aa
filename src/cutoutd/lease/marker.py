"""The marker in a hot folder's root: its contents, and the files beside it, accessed by a descriptor of the root.

What follows from it is decided in `cutoutd.folder.identity` and `cutoutd.lease.policy`. This module must not scan the folder or
touch the journal.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import NO_DIRECTORY_SYNC, UNKNOWN_WAY
from cutoutd.errors import StorageError
from cutoutd.fs.birth_time import born_us
from cutoutd.lease.invalid_marker import InvalidMarkerError
from cutoutd.lease.policy import owner_from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cutoutd.lease.policy import Owner


NAME: Final = ".cutoutd-folder"
SCHEMA: Final = "cutoutd.folder/1"
HELD_SCHEMA: Final = "cutoutd.folder/2"
"""The schema while the owner writes only when asked: an earlier version, which would take the folder over after a minute without
writes, does not know this schema and stands by."""

_MAX_BYTES: Final = 4096
_BYTES: Final = 1024
"""The size of every marker: it is renewed in place, and if a share caches the size, it is never read in part."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RootState:
    """The state of a folder's root.

    Attributes:
        uuid: UUID of the marker in the root; None: there is none.
        device: st_dev of the root.
        inode: st_ino of the root.
        born_us: when a root without a marker was created, UTC microseconds; None: the file system does not tell.
        empty: whether the root has no entries at all.
        network: whether the root is on a file system that may be unreachable for a while.
        damage: error about a damaged marker, which counts as none; None: there is no such file.
    """

    uuid: str | None
    device: int
    inode: int
    born_us: int | None
    empty: bool
    network: bool
    damage: InvalidMarkerError | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Marker:
    """The contents of a marker.

    Attributes:
        uuid: UUID of the folder.
        owner: the machine that works on it; None in an older marker, and before the first owner.
    """

    uuid: str
    owner: Owner | None = None


def text(uuid: str, owner: Owner | None = None) -> str:
    """Return the text of a marker."""
    if owner is None:
        return json.dumps({"schema": SCHEMA, "uuid": uuid})
    schema = HELD_SCHEMA if owner.is_silent else SCHEMA
    return json.dumps({"schema": schema, "uuid": uuid, "owner": owner.to_json()})


def find(root: str, *, network: bool) -> RootState:
    """Return the state of a root, all from one descriptor, so that nothing can be mounted in between.

    Args:
        root: path of the folder's input.
        network: as in its ``Mode``.

    Raises:
        StorageError: there is something of that name that is neither a marker nor a damaged one.
        OSError: the root or its marker cannot be read.
    """
    with opened(root) as directory:
        marker, damage = _read_or_damage(directory, root)
        with os.scandir(directory) as entries:
            empty = next(entries, None) is None
        status = os.fstat(directory)
        return RootState(
            uuid=marker.uuid if marker is not None else None,
            device=status.st_dev,
            inode=status.st_ino,
            born_us=None if marker is not None else born_us(directory),
            empty=empty,
            network=network,
            damage=damage,
        )


def read(root: str) -> str | None:
    """Return the UUID of a folder's marker; None if it has no marker.

    Raises:
        StorageError: there is something of that name that is not a valid marker.
        OSError: the root or the marker cannot be read.
    """
    with opened(root) as directory:
        marker = read_in(directory, root)
    return marker.uuid if marker is not None else None


def create(root: str, uuid: str) -> str:
    """Write a folder's marker, atomically, unless it has one already.

    Args:
        root: path of the folder's input.
        uuid: UUID for the marker.

    Returns:
        The UUID that is in the marker now, which another machine may have written.

    Raises:
        StorageError: as from ``read``.
        OSError: it cannot be written: EROFS or EACCES if the input is read-only.
    """
    tidy(root)
    with opened(root) as directory:
        _replace(directory, uuid, _padded(text(uuid)), name=_give_name)
        there = read_in(directory, root)
    if there is None:
        raise FileNotFoundError(errno.ENOENT, "the marker vanished as soon as it was written", root)
    return there.uuid


def replace_damaged(root: str, uuid: str) -> None:
    """Replace a damaged marker by a new one, atomically; nothing is done if it is not damaged any more.

    Args:
        root: path of the folder's input.
        uuid: UUID for the marker.

    Raises:
        StorageError: there is something of that name that is neither a marker nor a damaged one.
        OSError: it cannot be written: EROFS or EACCES if the input is read-only.
    """
    tidy(root)
    with opened(root) as directory:
        _, damage = _read_or_damage(directory, root)
        if damage is not None:
            _replace(directory, uuid, _padded(text(uuid)), name=_take_name)


def renew(root: str, before: str, after: str, *, is_free: Callable[[Owner | None], bool]) -> bool:
    """Give a folder another UUID, because its marker is a copy of another folder's.

    Args:
        root: path of the folder's input.
        before: UUID that the marker must have.
        after: UUID that it gets.
        is_free: whether the owner in the marker allows that.

    Returns:
        Whether the marker was replaced.

    Raises:
        StorageError: as from ``read``.
        OSError: it cannot be written: EROFS or EACCES if the input is read-only.
    """
    with opened(root) as directory:
        there = read_in(directory, root)
        if there is None or there.uuid != before or not is_free(there.owner):
            return False
        # The files beside it, which were copied too, go by this owner's epoch.
        _replace(directory, after, _padded(text(after, there.owner)), name=_take_name)
    return True


def write_owner(directory: int, root: str, uuid: str, owner: Owner) -> None:
    """Write the owner into a folder's marker.

    In place if the size fits, which is one small write and one event; a concurrent reader finds the old or the new text. It is not
    synced: a heartbeat need not survive a power failure.

    Args:
        directory: descriptor of the root.
        root: path of the folder's input, for messages.
        uuid: UUID that the marker must have.
        owner: the owner to write.

    Raises:
        StorageError: the marker is missing, or another one.
        OSError: it cannot be written.
    """
    there = read_in(directory, root)
    if there is None or there.uuid != uuid:
        raise StorageError("the folder's marker has changed", path=Path(root, NAME))
    said = _padded(text(uuid, owner))
    if not _overwrite(directory, said):  # an older marker, or another user's
        _replace(directory, owner.run, said, name=_take_name)


def tidy(root: str) -> bool:
    """Remove drafts that a crash or a refusal has left.

    Returns:
        Whether none is left; else to be called again.

    Raises:
        OSError: the root cannot be listed.
    """
    is_tidy = True
    with opened(root) as directory:
        for name in filter(is_draft, os.listdir(directory)):  # noqa: PTH208 -- of a descriptor
            try:
                os.unlink(name, dir_fd=directory)
            except FileNotFoundError:
                continue
            except OSError:
                is_tidy = False  # it does no harm
    return is_tidy


def is_draft(name: str) -> bool:
    """Whether a file is a draft, which is written first and named later."""
    return name.startswith(f"{NAME}.") and name.endswith(DRAFT)


@contextmanager
def opened(root: str) -> Iterator[int]:
    """Open a descriptor of a folder's root: what is done through it cannot affect another volume.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_in(directory: int, root: str) -> Marker | None:
    """Read the marker, with its owner, by a descriptor of the root; None if there is none.

    Raises:
        StorageError: as from ``read``.
        OSError: the marker cannot be read.
    """
    try:
        descriptor = open_to_read(directory, NAME)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        regular = stat.S_ISREG(status.st_mode)
        raw = os.read(descriptor, _MAX_BYTES) if regular else b""
    finally:
        os.close(descriptor)
    try:
        held = json.loads(raw)
    except (ValueError, RecursionError):
        held = None
    if (
        isinstance(held, dict)
        and held.get("schema") in (SCHEMA, HELD_SCHEMA)
        and isinstance(held.get("uuid"), str)
    ):
        return Marker(uuid=held["uuid"], owner=owner_from_json(held.get("owner")))
    schema = held.get("schema") if isinstance(held, dict) else None
    is_of_another_version = isinstance(schema, str) and schema not in (SCHEMA, HELD_SCHEMA)
    is_small = regular and status.st_nlink == 1 and status.st_size <= _MAX_BYTES
    raise InvalidMarkerError(Path(root, NAME), is_damaged=is_small and not is_of_another_version)


def _read_or_damage(directory: int, root: str) -> tuple[Marker | None, InvalidMarkerError | None]:
    try:
        return read_in(directory, root), None
    except InvalidMarkerError as error:
        if not error.is_damaged:
            raise
        return None, error


def _padded(said: str) -> bytes:
    return said.encode().ljust(_BYTES - 1) + b"\n"


def _overwrite(directory: int, said: bytes) -> bool:
    """Overwrite the marker in place; returns False if its size differs or we may not write it.

    The open file is checked: a hard link to a user's file may have replaced the marker since it was read.
    """
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(NAME, flags, dir_fd=directory)
    except PermissionError:
        return False
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or status.st_size != len(said):
            return False
        os.pwrite(descriptor, said, 0)
    finally:
        os.close(descriptor)
    return True


def _replace(directory: int, mark: str, said: bytes, *, name: Callable[[int, str], None]) -> None:
    new = f"{NAME}.{mark}{DRAFT}"
    try:
        write_new(directory, new, said)
        name(directory, new)
    finally:
        with suppress(OSError):  # it does no harm, and `tidy` removes it at the next look
            os.unlink(new, dir_fd=directory)
    _sync(directory)


def _give_name(directory: int, new: str) -> None:
    """Name the marker, without replacing an existing one."""
    try:
        os.link(new, NAME, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except (FileExistsError, FileNotFoundError):
        return  # another machine was first, and may have removed our draft
    except OSError as error:
        if error.errno not in UNKNOWN_WAY:
            raise
        # A file system without hard links: two machines that begin at the same moment can only read afterwards which marker
        # is there.
        if NAME not in os.listdir(directory):
            os.rename(new, NAME, src_dir_fd=directory, dst_dir_fd=directory)


def _take_name(directory: int, new: str) -> None:
    """Name the marker, replacing the existing one."""
    os.rename(new, NAME, src_dir_fd=directory, dst_dir_fd=directory)


def _sync(directory: int) -> None:
    try:
        os.fsync(directory)
    except OSError as error:
        # Some shares do not sync directories; a marker that is lost in a power failure is only created again.
        if error.errno not in NO_DIRECTORY_SYNC:
            raise


DRAFT: Final = ".new"
"""Suffix of drafts: files that are written first and named later."""

_NO_ACCESS_TIME: Final = getattr(os, "O_NOATIME", 0)  # Linux has it


def open_to_read(directory: int, name: str) -> int:
    """Open a file beside the marker for reading; no link is followed, and a FIFO does not block.

    Raises:
        OSError: it is missing, or cannot be opened.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        # Updating the access time would wake a disk; only a file's owner may suppress that.
        return os.open(name, flags | _NO_ACCESS_TIME, dir_fd=directory)
    except PermissionError:
        if _NO_ACCESS_TIME == 0:
            raise
        return os.open(name, flags, dir_fd=directory)


def write_new(directory: int, name: str, said: bytes) -> None:
    """Create a file beside the marker, synced.

    Raises:
        FileExistsError: the name is taken.
        OSError: it cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o666, dir_fd=directory)
    try:
        os.write(descriptor, said)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
