"""How fast a folder's pictures are cut while any are: measured over the time that work took, not over idle minutes.

Pure: values in, figures out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

GAP_S: Final = 3.0
"""Between two pictures of one stretch: a result gets its name, the next picture its worker."""


def per_minute(done: Iterable[tuple[int, float]]) -> float:
    """Pictures a minute of work.

    Args:
        done: of each picture, when it was published in UTC microseconds, and how many seconds work on it took; any order.

    Returns:
        0 if nothing was done.
    """
    spans = sorted((end_us / 1e6 - seconds, end_us / 1e6) for end_us, seconds in done)
    if not spans:
        return 0.0
    busy_s, (begin_s, end_s) = 0.0, spans[0]
    for next_begin_s, next_end_s in spans[1:]:
        if next_begin_s > end_s + GAP_S:
            busy_s += end_s - begin_s
            begin_s = next_begin_s
        end_s = max(end_s, next_end_s)
    busy_s += end_s - begin_s
    return 60 * len(spans) / busy_s if busy_s > 0 else 0.0
