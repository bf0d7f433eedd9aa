"""How a large picture is shown in parts: levels, each half as large as the one before, and square tiles on each.

Arithmetic alone: this module must load nothing that decodes, as both sides use it.
"""

from __future__ import annotations

from typing import Final

TILE: Final = 256
"""Pixels of a tile's side; those at the right and at the bottom may be smaller. Chromium keeps the last thousand images that it
decoded, whoever shows them still: 200 MB of such tiles, where those of 512 pixels were 420 MB."""

COARSE_SIDE: Final = 1100
"""Pixels of the longer side: levels of at most so many are there before a picture is decoded in full, where they can be."""

Size = tuple[int, int]
"""Width and height, pixels."""


def level_count(size: Size) -> int:
    """How many levels a picture has, the full size included: the last one is a single tile.

    Args:
        size: of the picture, above 0.
    """
    levels = 1
    while max(level_size(size, levels - 1)) > TILE:
        levels += 1
    return levels


def level_size(size: Size, level: int) -> Size:
    """Width and height of a level, rounded up.

    Args:
        size: of the picture.
        level: 0 is the full size.
    """
    width, height = size
    return -(-width >> level), -(-height >> level)


def tile_counts(size: Size, level: int) -> tuple[int, int]:
    """How many tiles a level has, from left to right and from top to bottom."""
    width, height = level_size(size, level)
    return -(-width // TILE), -(-height // TILE)


def has_tile(size: Size, level: int, x: int, y: int) -> bool:
    """Whether there is such a tile."""
    if not 0 <= level < level_count(size):
        return False
    columns, rows = tile_counts(size, level)
    return 0 <= x < columns and 0 <= y < rows


def first_level_within(size: Size, side: int) -> int:
    """The finest level whose longer side has at most so many pixels, or the last one."""
    last = level_count(size) - 1
    return next((level for level in range(last) if max(level_size(size, level)) <= side), last)
