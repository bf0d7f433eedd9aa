"""What the limits of the quality score mean now, said to those whose configuration is older than that meaning.

The score became the probability that a cutout is right. A number does not show what it was meant for, but a folder that
limits the score and does not know `doubtful_below`, which came with that meaning, was written before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.settings.schema import Settings

_LIMITS: Final = ("review_below", "escalate_below")
_CAME_WITH: Final = "doubtful_below"


def older_limits(settings: Settings) -> Iterator[tuple[str, str]]:
    """Give the name of each folder with limits of the older meaning, and a word about it."""
    for folder in settings.folder:
        written = folder.model_fields_set
        limits = [f"{name} = {getattr(folder, name):g}" for name in _LIMITS if name in written]
        if limits and _CAME_WITH not in written:
            word = (
                f"{' and '.join(limits)}: the score is the probability that a cutout is right, 0 to 1; in "
                "configurations of earlier versions the same number meant something else. docs/quality.md says what each "
                f"value catches. Write {_CAME_WITH} as well, and this is not said again"
            )
            yield folder.name, word
