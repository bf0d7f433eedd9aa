"""The tiling of a large picture: levels, each half as large as the one before, and square tiles on each.

Arithmetic only: this module must not load anything that decodes, since both sides use it.
"""

from __future__ import annotations

from typing import Final

TILE: Final = 256
"""Side of a tile in pixels; those at the right and bottom may be smaller. Chromium keeps the last thousand images that it
decoded, even if they are not shown any more: 200 MB of such tiles, against 420 MB of tiles of 512 pixels."""

COARSE_SIDE: Final = 1100
"""Pixels of the longer side: levels of at most so many are there before a picture is decoded in full, where they can be."""

Size = tuple[int, int]
"""Width and height, pixels."""


def level_count(size: Size) -> int:
    """Return how many levels a picture has, including the full size. The last one is a single tile.

    Args:
        size: size of the picture, above 0.
    """
    levels = 1
    while max(level_size(size, levels - 1)) > TILE:
        levels += 1
    return levels


def level_size(size: Size, level: int) -> Size:
    """Return width and height of a level, rounded up.

    Args:
        size: size of the picture.
        level: level; 0 is the full size.
    """
    width, height = size
    return -(-width >> level), -(-height >> level)


def tile_counts(size: Size, level: int) -> tuple[int, int]:
    """Return how many tiles a level has, from left to right and from top to bottom."""
    width, height = level_size(size, level)
    return -(-width // TILE), -(-height // TILE)


def has_tile(size: Size, level: int, x: int, y: int) -> bool:
    """Whether a tile exists."""
    if not 0 <= level < level_count(size):
        return False
    columns, rows = tile_counts(size, level)
    return 0 <= x < columns and 0 <= y < rows


def first_level_within(size: Size, side: int) -> int:
    """Return the finest level with at most so many pixels on its longer side, or the last level."""
    last = level_count(size) - 1
    return next((level for level in range(last) if max(level_size(size, level)) <= side), last)
