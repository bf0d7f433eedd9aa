"""What becomes of a picture that was renamed or moved: its result follows it, or stays where it is, and nothing is cut.

    worker: these bytes are those of a source that vanished -> staged from the result's own bytes -> published like any
    other, with its sidecar -> the earlier names are given up

A doubtful result follows as well, whatever the setting, and so does a person's rejection. What else failed is tried where
it lies now. What is left of doubtful and failed pictures under their earlier paths goes.

Used by the folder's delivery thread alone. A result that was changed by hand is left alone, and the picture is cut.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cutoutd.delivery.reservations import is_another
from cutoutd.errnos import NO_WAY
from cutoutd.errors import CutoutdError, StorageError
from cutoutd.fs.tree import Tree
from cutoutd.intake.scan import look
from cutoutd.intake.verification import has_bytes, sha256_of
from cutoutd.jobs import Cut, Failure
from cutoutd.logs import get
from cutoutd.publish.displaced import DIRECTORY
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.naming import claim_key, forms
from cutoutd.publish.plan import Publication
from cutoutd.publish.reviews import NotAcceptableError
from cutoutd.publish.sidecar import with_source
from cutoutd.settings.types import Moves

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.delivery.sidecar_factory import SidecarFactory
    from cutoutd.jobs import Job, Origin
    from cutoutd.journal.journal import Journal
    from cutoutd.publish.reviews import Reviews
    from cutoutd.settings.schema import Folder

NOT_MOVED = {"moved": False}
"""In the detail of a job whose result cannot follow: it is cut."""


class MovedPictures:
    """The moved pictures of one folder.

    Args:
        folder: its settings.
        files: reads results back, and removes them.
        journal: knows the moves.
        sidecar_factory: knows what a sidecar says.
        publish: has a publication carried out.
        keep: has a result left where it is.
        fail: has a job given up, with the SHA-256 of its bytes.
        clear_failure: has the record of a failure removed.
        displace_for: has the results set aside of pictures that had a job's path before.
        has_taken: whether we have put the original at a path away, and the journal does not know it yet.
    """

    def __init__(  # noqa: PLR0913 -- its parts, each by its name, put together in one place
        self,
        folder: Folder,
        files: Reviews,
        *,
        journal: Journal,
        sidecar_factory: SidecarFactory,
        publish: Callable[[Job, Cut, Publication], None],
        keep: Callable[[Job, Origin, str], None],
        fail: Callable[[Job, Failure, str], None],
        clear_failure: Callable[[Job], None],
        displace_for: Callable[[Job, Origin], None],
        has_taken: Callable[[str], bool],
    ) -> None:
        self._folder = folder
        self._files = files
        self._journal = journal
        self._provenance = sidecar_factory
        self._publish = publish
        self._keep = keep
        self._fail = fail
        self._clear_failure = clear_failure
        self._make_way = displace_for
        self._has_taken = has_taken
        self._log = get(folder=folder.name)

    def take(self, job: Job, sha256: str) -> None:
        """See to a picture whose bytes are those of a vanished one; what cannot follow is queued again, to be cut.

        Raises:
            StorageError: the disk or share does not answer as it should; to be called again.
        """
        moves = self._journal.moves
        if not self._has(job, sha256):
            # The worker has read this picture, and may speak for it: another's result is no matter of its word alone.
            self._cut(job)
            return
        with storage_faults(self._folder.input):
            origin = next(
                (one for one in moves.origins(job, sha256) if self._has_left(job, one, sha256)), None
            )
            candidates = moves.rejected(job, sha256) if origin is None else []
            rejected = next(
                (one for one in candidates if self._is_elsewhere(job, one.job.path, sha256)), None
            )
        if rejected is not None:
            self._fail(job, Failure(**rejected.job.detail["failure"]), sha256)
            if rejected.vanished:
                self._drop(job, rejected.job)
            else:  # what lies under its names may be another picture's
                moves.end_rejected(job, rejected.job)
        elif origin is not None and self._is_to_stay(job, origin):
            self._keep(job, origin, sha256)
        elif origin is None or not self._follow(job, origin, sha256):
            self._cut(job)

    def _cut(self, job: Job) -> None:
        """Have it cut, as a picture that was never seen."""
        self._files.discard(job.id)
        self._journal.queue.plan(job.id, job.detail | NOT_MOVED)

    def _has(self, job: Job, sha256: str) -> bool:
        """Whether a job's picture has these bytes.

        Raises:
            StorageError: the disk or share does not answer as it should.
        """
        with storage_faults(self._folder.input):
            return has_bytes(str(self._folder.input), job.version, sha256) is True

    def _is_to_stay(self, job: Job, origin: Origin) -> bool:
        """Whether a picture's result keeps its names; one that has none any more gets new ones, whatever the setting."""
        if self._folder.moves is not Moves.KEEP or origin.review:
            return False
        shown = self._journal.reservations.earlier(job.folder, origin.path, origin.generation)
        return not any(one.path.startswith(f"{DIRECTORY}/") for one in shown)

    def _follow(self, job: Job, origin: Origin, sha256: str) -> bool:
        """Have a picture's result published under its new names; False if it has to be cut.

        Raises:
            StorageError: the disk or share does not answer as it should; to be called again.
        """
        earlier = self._journal.reservations.earlier(job.folder, origin.path, origin.generation)
        shown = tuple(one for one in earlier if one.review is origin.review)
        renditions = self._folder.recipe().renditions
        if sorted(one.rendition for one in shown if one.rendition >= 0) != list(range(len(renditions))):
            return False
        if origin.review and shown != earlier:
            return False  # an earlier version of it has a good result
        try:
            result = self._files.take(job.id, origin.path, None, shown, with_overlay=origin.review)
        except NotAcceptableError as error:
            self._log.info("move.not-followed", job=job.id, path=job.path, why=str(error))
            return False
        except StorageError:
            # Many wait where a disk is full, and none may take more of it meanwhile.
            with suppress(CutoutdError):
                self._files.discard(job.id)
            raise
        if any(one.format != renditions[one.rendition].format for one in result.staged if one.rendition >= 0):
            return False
        cut = Cut(
            source=replace(result.source, bytes=job.size, sha256=sha256),
            staged=result.staged,
            quality=result.quality,
            review=origin.review,
            timings_ms={},
            warnings=(),
        )
        self._make_way(job, origin)
        facts = self._provenance.sidecar_facts(job, cut)
        publication = Publication(
            facts=facts,
            staged=cut.staged,
            renditions=renditions,
            review=origin.review,
            # What could not be set aside, as some of it was changed by hand, is replaced where it was not.
            earlier=(*shown, *self._journal.reservations.earlier(job.folder, job.path, job.generation)),
            known=frozenset({sha256}),
            document=_at(job, sha256, dict(result.document), facts.marker),
            moved_from=origin,
            again=is_another(self._journal, job),
            forms=forms(portable=self._folder.has_portable_names),
        )
        self._log.info("job.moved", job=job.id, path=job.path, before=origin.path)
        self._publish(job, cut, publication)
        return True

    def _has_left(self, job: Job, origin: Origin, sha256: str) -> bool:
        if origin.generation < 0:
            return True
        return not self._has_taken(origin.path) and self._is_elsewhere(job, origin.path, sha256)

    def _is_elsewhere(self, job: Job, before: str, sha256: str) -> bool:
        """Whether a picture does not lie at its earlier path any more: nothing does, or other bytes do.

        On some file systems both names are one.

        Raises:
            OSError: it cannot be told now.
        """
        if claim_key(before) == claim_key(job.path):
            return True
        root = str(self._folder.input)
        seen = look(root, before)
        return seen is None or seen.size != job.size or sha256_of(root, before) not in (None, sha256)

    def _is_gone(self, job: Job, before: str) -> bool:
        """Whether nothing lies at the earlier path; on some file systems both names are one.

        Raises:
            OSError: it cannot be told now.
        """
        is_one = claim_key(before) == claim_key(job.path)
        return is_one or look(str(self._folder.input), before) is None

    def clear(self, job: Job) -> None:
        """The result has its new names: the earlier ones are given up, unless they were changed by hand."""
        origin = self._journal.moves.planned(job)
        if origin is None:
            return
        given = {claim_key(path): path for path in self._journal.moves.given(job)}
        earlier = self._journal.reservations.earlier(job.folder, origin.path, origin.generation)
        try:
            shown = [one for one in earlier if not self._is_one(one.path, given.get(claim_key(one.path)))]
            self._files.clear(origin.path, shown)
        except CutoutdError as error:
            # As with a failure's record: that it is published cannot be undone by a full disk.
            self._log.warning("move.not-cleared", job=job.id, path=origin.path, why=str(error))

    def clear_entries(self, job: Job) -> None:
        """A job is over, whatever came of it: what its picture has left where it lay before, goes.

        That is in ``review/`` and ``failed/``. Where it is known which bytes it had, they are looked at.
        """
        for other in self._journal.moves.left_behind(job):
            try:
                if other.sha256 is not None and not self._has(job, other.sha256):
                    continue
                with storage_faults(self._folder.input):
                    is_gone = self._is_gone(job, other.path)
            except CutoutdError as error:
                self._log.warning("move.not-cleared", job=job.id, path=other.path, why=str(error))
                continue
            if is_gone:
                self._drop(job, other)

    def _drop(self, job: Job, other: Job) -> None:
        """Remove the entries of a doubtful or failed picture that is a job's now."""
        earlier = self._journal.reservations.earlier(other.folder, other.path, other.generation)
        try:
            self._files.clear(other.path, [one for one in earlier if one.review])
        except CutoutdError as error:
            self._log.warning("move.not-cleared", job=job.id, path=other.path, why=str(error))
            return
        self._clear_failure(other)
        self._journal.moves.close(job, other)

    def _is_one(self, before: str, after: str | None) -> bool:
        """Whether a result's earlier and later name are one, as where capitals and small letters are the same.

        Raises:
            StorageError: the output cannot be read.
        """
        if after is None or before == after:
            return after is not None
        directory, _, name = before.rpartition("/")
        with storage_faults(self._folder.output):
            try:
                directories, others = Tree(self._folder.output).list(directory)
            except OSError as error:
                if error.errno in NO_WAY and self._folder.output.is_dir():
                    return False  # its directory is gone, and the name with it
                raise
        return name not in (*directories, *others)


def _at(job: Job, sha256: str, document: dict[str, Any], marker: str) -> dict[str, Any]:
    """A sidecar of the picture where it lies now."""
    now = with_source(document, path=job.path, size=job.size, mtime_ns=job.mtime_ns, sha256=sha256)
    now |= {"job": job.id, "folder": job.folder}
    return now | ({"folder_id": marker} if marker else {})
