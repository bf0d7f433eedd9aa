"""Writing a picture as one rendition whose subject fills the whole frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cutoutd.jobs import Task
from cutoutd.pipeline import renditions
from cutoutd.recipe import Metadata, Recipe
from cutoutd.settings.renditions import RenditionSettings
from tests.integration.opened import results_of

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.engine.picture import Picture
    from cutoutd.pipeline.renditions import Stage


def rendered(
    picture: Picture, directory: Path, policy: Metadata = Metadata.NO_LOCATION, **written: object
) -> tuple[Path, Stage]:
    """Write the rendition; return its file and the stage's report.

    Args:
        picture: the decoded picture, all of which is opaque.
        directory: where the file is written.
        policy: which metadata the file keeps.
        written: keys of the rendition's settings.
    """
    given: dict[str, Any] = {"background": "white"} if written["format"] == "jpeg" else {}
    wanted = RenditionSettings.model_validate(given | written).rendition()
    recipe = Recipe(renditions=(wanted,), refine=True, decontaminate=True, metadata=policy, review_below=0.0)
    task = Task(
        job=1,
        source="/nowhere",
        size=1,
        mtime_ns=1,
        staging=str(directory),
        published_sha256=None,
        recipe=recipe,
    )
    alpha = np.full(picture.rgb.shape[:2], 255, np.uint8)
    with results_of(task) as files:
        stage = renditions.stage(
            task, files, picture, alpha, review=False, max_pixels=1_000_000, tell=lambda _: None
        )
    return directory / stage.staged[0].name, stage
