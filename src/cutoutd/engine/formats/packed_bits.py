"""Samples of fewer bits than a byte or two, packed one after the other, as TIFF stores them in any byte order.

TIFF 6.0, section 3 (FillOrder 1, and rows that begin at a byte).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_A_TIME: Final = 1 << 20
"""Samples whose bits are taken apart at a time: each bit needs a byte for that."""


def unpacked(raw: bytes, *, bits: int, row_samples: int) -> NDArray[np.unsignedinteger[Any]]:
    """Return the samples of whole rows, spread over all values of their type.

    Args:
        raw: the rows; each begins at a byte, and its highest bits come first.
        bits: of a sample, 1 to 16.
        row_samples: samples of a row.

    Returns:
        (rows, samples), uint8 for up to 8 bits, uint16 for more.

    Raises:
        ValueError: these are not whole rows.
    """
    kind: type[np.uint8 | np.uint16] = np.uint8 if bits <= 8 else np.uint16  # noqa: PLR2004 -- a byte
    depth, top = 8 * np.dtype(kind).itemsize, (1 << bits) - 1
    full = (1 << depth) - 1
    spread = ((np.arange(top + 1) * full + top // 2) // top).astype(kind)
    rows = np.frombuffer(raw, np.uint8).reshape(-1, -(-row_samples * bits // 8))
    samples = np.empty((len(rows), row_samples), kind)
    step = max(1, _AT_A_TIME // row_samples)
    for begin in range(0, len(rows), step):
        part = rows[begin : begin + step]
        ones = np.unpackbits(part, axis=1, count=row_samples * bits).reshape(len(part), row_samples, bits)
        padded = np.packbits(ones, axis=2)  # zeros follow the bits
        values = np.zeros(padded.shape[:2], np.intp)
        for place in range(padded.shape[2]):
            values = (values << 8) | padded[..., place]
        samples[begin : begin + step] = spread[values >> (depth - bits)]
    return samples
