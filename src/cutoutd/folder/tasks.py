"""The tasks of a hot folder's jobs: where the picture is, how it is to be cut, and what is already known of it.

It reads the journal and touches no file.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd import job_options
from cutoutd.jobs import Task, Wanted
from cutoutd.journal.moves import Candidates
from cutoutd.publish.staging import job_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.corrections import Correction
    from cutoutd.jobs import Job
    from cutoutd.journal.corrections import Corrections
    from cutoutd.journal.moves import PictureMoves
    from cutoutd.journal.reservations import Reservations
    from cutoutd.settings.schema import Folder


class TaskFactory:
    """Makes the tasks of one hot folder.

    Args:
        folder: settings of the folder.
        staging: directory for the workers' files.
        reservations: names and publications in the journal.
        moves: moved pictures in the journal; None: moves are not looked for.
        corrections: people's corrections in the journal; None: there are none.
        model: name of the model that cuts its pictures; empty: the first that workers have.
        has_model: whether workers have a model of a name, which a person may ask for.
        backgrounds: directory of the background pictures that requests ask for.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        staging: Path,
        reservations: Reservations,
        moves: PictureMoves | None = None,
        corrections: Corrections | None = None,
        model: str = "",
        has_model: Callable[[str], bool] = lambda _: False,
        backgrounds: Path = Path(),
    ) -> None:
        self._folder = folder
        self.staging = staging
        self._reservations = reservations
        self._moves = moves
        self._corrections = corrections
        self._model = model
        self.has_model = has_model
        self._backgrounds = backgrounds

    def task(self, job: Job) -> Task:
        """Return a job's task for a worker."""
        # A retry or a request may ask for another form of a picture that is published.
        is_new = job.forced or job.options
        published = None if is_new else self._reservations.last_published(job.folder, job.path)
        moved = self._candidates(job)
        asked = job_options.of_text(job.options)
        recipe, model = asked.recipe(self._folder.recipe(), self._backgrounds), self._model
        if (wanted := job.model or asked.model) and self.has_model(wanted):
            # A person who asks for a model wants its matte, not that of the second model where the first is doubtful.
            recipe, model = replace(recipe, second_below=0.0), wanted
        return Task(
            job=job.id,
            source=os.fspath(Path(self._folder.input, job.path)),
            size=job.size,
            mtime_ns=job.mtime_ns,
            staging=os.fspath(self.staging / job_directory(job.id)),
            published_sha256=None if published is None else published.sha256,
            published_image_sha256=None if published is None else published.image_sha256,
            put_away_sha256=job.sha256 if job.forced else None,
            moved_sha256s=moved.sha256s,
            asks_sha256=not moved.are_all,
            recipe=recipe,
            alone=job.alone,
            model=model,
            held=None if job.wanted is None else job.wanted is not Wanted.PUBLISHED,
            correction=self._correction(job),
        )

    def _candidates(self, job: Job) -> Candidates:
        if self._moves is None or job.forced or job.options or job.detail.get("moved") is False:
            return Candidates()
        return self._moves.candidates(job)

    def _correction(self, job: Job) -> Correction | None:
        """Return the newest correction of a job's source, whatever its bytes; None if it has no strokes."""
        if self._corrections is None:
            return None
        last = self._corrections.last(job.folder, job.path, job.generation)
        return last if last is not None and last.strokes else None
