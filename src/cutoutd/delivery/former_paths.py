"""What moved pictures left at their earlier paths: names, and entries in ``review/`` and ``failed/``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.errnos import NO_WAY
from cutoutd.errors import CutoutdError
from cutoutd.fs.tree import Tree
from cutoutd.intake.scan import scan_file
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.naming import claim_key

if TYPE_CHECKING:
    from cutoutd.delivery.context import Context
    from cutoutd.delivery.failure_records import FailureRecords
    from cutoutd.jobs import Job


@dataclass(frozen=True, kw_only=True, slots=True)
class FormerPaths:
    """What the pictures of one folder left at their earlier paths.

    Attributes:
        context: context of the folder's delivery.
        failures: the failure records.
    """

    context: Context
    failures: FailureRecords

    def give_up_names(self, job: Job) -> None:
        """Release the earlier names of a result that has its new ones, unless they were changed by hand."""
        origin = self.context.journal.moves.planned(job)
        if origin is None:
            return
        given = {claim_key(path): path for path in self.context.journal.moves.given(job)}
        earlier = self.context.published(origin.path, origin.generation)
        try:
            shown = [one for one in earlier if not self._is_one(one.path, given.get(claim_key(one.path)))]
            self.context.publisher.reviews.clear(origin.path, shown)
        except CutoutdError as error:
            # As with a failure's record: the refusal of a full disk does not undo the publication.
            self.context.log.warning("move.not-cleared", job=job.id, path=origin.path, why=str(error))

    def clear_entries(self, job: Job) -> None:
        """Remove what the picture of an ended job left for its earlier path in ``review/`` and ``failed/``.

        If the bytes it had are known, they are compared.
        """
        for other in self.context.journal.moves.left_behind(job):
            try:
                if other.sha256 is not None and not self.context.has_bytes(job, other.sha256):
                    continue
                with storage_faults(self.context.folder.input):
                    is_gone = self._is_gone(job, other.path)
            except CutoutdError as error:
                self.context.log.warning("move.not-cleared", job=job.id, path=other.path, why=str(error))
                continue
            if is_gone:
                self.drop(job, other)

    def drop(self, job: Job, other: Job) -> None:
        """Remove the entries of a doubtful or failed job whose picture is another job's now."""
        earlier = self.context.published(other.path, other.generation)
        try:
            self.context.publisher.reviews.clear(other.path, [one for one in earlier if one.review])
        except CutoutdError as error:
            self.context.log.warning("move.not-cleared", job=job.id, path=other.path, why=str(error))
            return
        self.failures.clear(other)
        self.context.journal.moves.close(job, other)

    def _is_one(self, before: str, after: str | None) -> bool:
        """Whether a result's earlier and later name are the same file, as on a case-insensitive file system.

        Raises:
            StorageError: the output cannot be read.
        """
        if after is None or before == after:
            return after is not None
        directory, _, name = before.rpartition("/")
        with storage_faults(self.context.folder.output):
            try:
                directories, others = Tree(self.context.folder.output).list(directory)
            except OSError as error:
                if error.errno in NO_WAY and self.context.folder.output.is_dir():
                    return False  # its directory is gone, and the name with it
                raise
        return name not in (*directories, *others)

    def _is_gone(self, job: Job, before: str) -> bool:
        """Whether there is no file at the earlier path; on some file systems both paths are the same.

        Raises:
            OSError: it cannot be found out now.
        """
        is_one = claim_key(before) == claim_key(job.path)
        return is_one or scan_file(str(self.context.folder.input), before) is None
