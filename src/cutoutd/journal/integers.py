"""Integers that SQLite cannot hold: a file's time may lie before 1677 or after 2262, counted in nanoseconds.

Those that fit in 64 bits are stored as they are, others as a BLOB, so that each comes back as it was. A BLOB sorts after
every number. It must not know what an integer means.
"""

from __future__ import annotations

from typing import Final

_LEAST: Final = -(1 << 63)
_GREATEST: Final = (1 << 63) - 1


def fits(number: int) -> bool:
    """Whether SQLite can hold it as an integer."""
    return _LEAST <= number <= _GREATEST


def stored(number: int) -> int | bytes:
    """As it is stored in a column of the type INTEGER."""
    if fits(number):
        return number
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def restored(value: int | bytes) -> int:
    """The inverse of `stored`."""
    return int.from_bytes(value, "big", signed=True) if isinstance(value, bytes) else int(value)
