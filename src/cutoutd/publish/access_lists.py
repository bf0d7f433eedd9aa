"""POSIX access lists: parsing, packing, and the part of one that another one grants.

acl(5); the layout is that of Linux's posix_acl_xattr.h. It must not touch a file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADER: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<HHI")
_VERSION: Final = 2
_NOBODY: Final = 0xFFFFFFFF
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
READ: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessList:
    """The permissions of one file, three bits for each party.

    Attributes:
        owner, group, other: permissions of the owner, the group, and all that are not named.
        mask: upper bound for named users, named groups and the group; None: there is none.
        named: permissions of further users and groups, by tag (`USER`, `GROUP`) and numeric id.
    """

    owner: int
    group: int
    other: int
    mask: int | None
    named: Mapping[tuple[int, int], int]

    @property
    def of_group(self) -> int:
        """The group's effective permissions."""
        return self.group if self.mask is None else self.group & self.mask

    @property
    def mode(self) -> int:
        """The permissions as a mode."""
        return self.owner << 6 | (self.group if self.mask is None else self.mask) << 3 | self.other

    def reads(self, who: tuple[int, int]) -> bool:
        """Whether a named user or group may read."""
        return bool(self.named.get(who, 0) & (7 if self.mask is None else self.mask) & READ)


def of_mode(mode: int) -> AccessList:
    """Return a mode as an access list."""
    return AccessList(owner=mode >> 6 & 7, group=mode >> 3 & 7, other=mode & 7, mask=None, named={})


def parsed(raw: bytes) -> AccessList:
    """Parse an access list in the kernel's format."""
    entries = {(tag, who): held for tag, held, who in _ENTRY.iter_unpack(raw[_HEADER.size :])}
    first = {tag: held for (tag, _), held in entries.items() if tag not in (USER, GROUP)}
    return AccessList(
        owner=first.get(USER_OBJ, 0),
        group=first.get(GROUP_OBJ, 0),
        other=first.get(OTHER, 0),
        mask=first.get(MASK),
        named={who: held for who, held in entries.items() if who[0] in (USER, GROUP)},
    )


def packed(one: AccessList) -> bytes | None:
    """Return an access list in the kernel's format; None: its mode is complete."""
    if not one.named:
        return None
    mask = one.mask if one.mask is not None else 7
    users = sorted((who for tag, who in one.named if tag == USER))
    groups = sorted((who for tag, who in one.named if tag == GROUP))
    entries = [
        (USER_OBJ, one.owner, _NOBODY),
        *((USER, one.named[USER, who], who) for who in users),
        (GROUP_OBJ, one.group, _NOBODY),
        *((GROUP, one.named[GROUP, who], who) for who in groups),
        (MASK, mask, _NOBODY),
        (OTHER, one.other, _NOBODY),
    ]
    return _HEADER.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries)


def masked(raw: bytes, mode: int) -> bytes:
    """Return an access list in the kernel's format without the bits that a mode lacks; the group's are those of the mask, if any."""
    entries = list(_ENTRY.iter_unpack(raw[_HEADER.size :]))
    group = MASK if any(tag == MASK for tag, _, _ in entries) else GROUP_OBJ
    bits = {USER_OBJ: mode >> 6 & 7, group: mode >> 3 & 7, OTHER: mode & 7}
    limited = (_ENTRY.pack(tag, held & bits.get(tag, 7), who) for tag, held, who in entries)
    return raw[: _HEADER.size] + b"".join(limited)


def reading(one: AccessList) -> AccessList:
    """Return an access list with the same readers, and no other rights except the owner's to write."""
    effective = 7 if one.mask is None else one.mask
    named = {who: READ for who, held in one.named.items() if held & effective & READ}
    return AccessList(
        owner=6,
        group=one.of_group & READ,
        other=one.other & READ,
        mask=READ if named else None,
        named=named,
    )


def granted(wanted: AccessList, original: AccessList, *, group: int) -> AccessList:
    """Return a list limited to those who may read the original, without others.

    Args:
        wanted: the list to limit.
        original: the list of the original.
        group: the group of both files.
    """
    reads_group = original.of_group & READ
    named = {
        who: held
        for who, held in wanted.named.items()
        if original.reads(who) or (who == (GROUP, group) and reads_group)
    }
    # Without named entries, a mask would be shown as the group's permissions.
    return AccessList(
        owner=wanted.owner,
        group=(wanted.group if named else wanted.of_group) if reads_group else 0,
        other=0,
        mask=wanted.mask if named else None,
        named=named,
    )
