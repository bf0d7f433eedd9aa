"""Every form of one cutout, staged: from the picture and its matte to whole, synced files.

All forms come from one decode and one matte. It gives no file its name, and must not change picture or matte.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.engine import compose, metadata, overlay, png
from cutoutd.jobs import Format, Staged
from cutoutd.ports import Step
from cutoutd.publish.staging import result_name
from cutoutd.publish.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from cutoutd.engine.picture import Picture
    from cutoutd.jobs import Task
    from cutoutd.publish.writing import Sink

OVERLAY: Final = -1
"""In a rendition's place: the picture that shows a doubtful matte over its source."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """What came of it.

    Attributes:
        staged: the results, in the recipe's order; the overlay of a doubtful cutout comes last.
        warnings: what was changed or lost, in words for the user.
    """

    staged: tuple[Staged, ...]
    warnings: tuple[str, ...]


def stage(
    task: Task,
    picture: Picture,
    alpha: NDArray[np.uint8],
    *,
    review: bool,
    tell: Callable[[Step], None],
) -> Stage:
    """Write every rendition into the staging directory.

    Args:
        task: the job.
        picture: in its soft pixels perhaps with the subject's own colour.
        alpha: uint8 (H, W), the matte at full size.
        review: the cutout is doubtful, and gets an overlay.
        tell: is told of progress.

    Raises:
        OSError: the disk or share does not answer as it should.
    """
    height, width = alpha.shape
    kept = metadata.kept(picture.exif, picture.xmp, task.recipe.metadata)
    extras = png.Extras(icc=picture.icc, exif=kept.exif, xmp=kept.xmp)
    layout = png.Layout(width=width, height=height, channels=4)
    staged = [
        _write(
            task,
            number,
            layout,
            lambda sink: png.write(sink, _told(compose.strips(picture.rgb, alpha), tell), layout, extras),
        )
        for number, _ in enumerate(task.recipe.renditions)
    ]
    if review:
        veiled = overlay.overlay(picture.rgb, alpha)
        small = png.Layout(width=veiled.shape[1], height=veiled.shape[0], channels=3)
        staged.append(
            _write(
                task,
                OVERLAY,
                small,
                lambda sink: png.write(sink, _told([veiled], tell), small, png.Extras(icc=picture.icc)),
            )
        )
    return Stage(staged=tuple(staged), warnings=kept.warnings)


def _told(strips: Iterable[NDArray[np.uint8]], tell: Callable[[Step], None]) -> Iterator[NDArray[np.uint8]]:
    """The strips of a result; it is told when one is asked for, and when the last was taken."""
    for strip in strips:
        tell(Step.WRITE)
        yield strip
    tell(Step.SYNC)


def _write(task: Task, rendition: int, layout: png.Layout, encode: Callable[[Sink], None]) -> Staged:
    number = rendition if rendition != OVERLAY else len(task.recipe.renditions)
    name = result_name(task.job, number, Format.PNG)
    written = write_whole(Path(task.staging, name), encode)
    return Staged(
        name=name,
        rendition=rendition,
        bytes=written.bytes,
        sha256=written.sha256,
        width=layout.width,
        height=layout.height,
        format=Format.PNG,
    )
