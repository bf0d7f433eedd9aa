"""POSIX access lists: what they say, and as much of one as another one grants.

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
    """Permissions of one file, each of three bits.

    Attributes:
        owner, group, other: of its owner, its group and all who are not named.
        mask: what named users, named groups and the group have at most; None: there is none.
        named: of further users and groups, by tag (`USER`, `GROUP`) and number.
    """

    owner: int
    group: int
    other: int
    mask: int | None
    named: Mapping[tuple[int, int], int]

    @property
    def of_group(self) -> int:
        """What its group really has."""
        return self.group if self.mask is None else self.group & self.mask

    @property
    def mode(self) -> int:
        """As the mode shows it."""
        return self.owner << 6 | (self.group if self.mask is None else self.mask) << 3 | self.other

    def reads(self, who: tuple[int, int]) -> bool:
        """Whether a further user or group is named, and may read."""
        return bool(self.named.get(who, 0) & (7 if self.mask is None else self.mask) & READ)


def of_mode(mode: int) -> AccessList:
    """What a mode says, where there is no list."""
    return AccessList(owner=mode >> 6 & 7, group=mode >> 3 & 7, other=mode & 7, mask=None, named={})


def parsed(raw: bytes) -> AccessList:
    """What a list says, as the kernel gives it."""
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
    """As the kernel takes it; None: its mode says all."""
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


def reading(one: AccessList) -> AccessList:
    """Who may read, and nothing else; its owner may write as well."""
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
    """As much of a list as the original lets the same people read; others may read neither.

    Args:
        wanted: to be reduced.
        original: whose readers count; nobody reads it who is not named.
        group: both files' group.
    """
    reads_group = original.of_group & READ
    named = {
        who: held
        for who, held in wanted.named.items()
        if original.reads(who) or (who == (GROUP, group) and reads_group)
    }
    # Without named entries a mask would be the group's permissions.
    return AccessList(
        owner=wanted.owner,
        group=(wanted.group if named else wanted.of_group) if reads_group else 0,
        other=0,
        mask=wanted.mask if named else None,
        named=named,
    )
