"""Publishes one folder's results: exactly once, complete, and never over another program's file.

    plan = publisher.plan(...)      looks at what is there; stages the sidecar
    (the plan is recorded)
    publisher.carry_out(plan)       renames, the sidecar last; syncs the directories
    (the job is recorded as done)

After a crash in between, ``recover`` finishes a recorded plan, or returns that it cannot be finished.

This module must not know the journal, and keeps nothing in memory that is not in the plan.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import HELD
from cutoutd.fs.tree import Tree
from cutoutd.jobs import Published
from cutoutd.publish import moves
from cutoutd.publish.failures import Failures
from cutoutd.publish.faults import (
    NameRefusedError,
    ResultLostError,
    TargetHeldError,
    TargetTakenError,
    leases,
    storage_faults,
)
from cutoutd.publish.handover import is_kept_open, take_over
from cutoutd.publish.plan import Move, Plan, Publication, Recovery
from cutoutd.publish.restoring import ResultRestorer
from cutoutd.publish.reviews import Reviews
from cutoutd.publish.sidecar import PublishingFacts
from cutoutd.publish.sidecar_update import SidecarUpdates
from cutoutd.publish.staging import sweep
from cutoutd.publish.targets import choose_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.exchange.cutout_previews import PreviewStore
    from cutoutd.jobs import Staged
    from cutoutd.publish.places import Places
    from cutoutd.publish.refusals import Refusals
    from cutoutd.publish.sidecar import SidecarFacts
    from cutoutd.publish.staging import Staging
    from cutoutd.publish.targets import Claims, Slot
    from cutoutd.settings.types import OnConflict


_TRIAL: Final = "trial"


class Publisher:
    """Publishes for one folder; used by one thread at a time.

    Each method raises StorageError if the disk or share fails, and may be called again then.

    Args:
        places: directories of the folder's results.
        on_conflict: what to do about other programs' files.
        previews: store for previews of the results; None: no previews are made.

    Attributes:
        run: id of this session of the daemon.
        identity: identity of the folder.
        staging: staging directory of the workers' results.
    """

    def __init__(
        self, places: Places, *, on_conflict: OnConflict, previews: PreviewStore | None = None
    ) -> None:
        self._on_conflict = on_conflict
        self._previews = previews
        self._places = places
        self._output = places.output.root
        self.run = places.run
        self.identity = places.identity
        self.staging = places.staging
        self.failures = Failures(places=places)
        self.sidecars = SidecarUpdates(places=places)
        self.displaced = ResultRestorer(places=places)
        self.reviews = Reviews(places=places)
        self.was_file_kept_open = False  # a worker has kept a file open after its report

    def open(self) -> None:
        """Create the staging directories; again whenever the output folder was away.

        Raises:
            StorageError: the output or sidecar folder is missing, or cannot be written to.
        """
        with storage_faults(self._output):
            for staging in self._places.stagings:
                staging.open()

    def try_writing(self) -> None:
        """Write a byte into the staging directories, and remove it again.

        Raises:
            StorageError: that fails.
        """
        with storage_faults(self._output):
            for staging in {self._places.own, self._places.sidecar_staging}:
                staging.write(_TRIAL, b"\0")
                staging.remove(_TRIAL)

    @property
    def has_left_over(self) -> bool:
        """Whether something is staged that could not be removed."""
        return any(staging.left_over for staging in self._places.stagings)

    def remove_left_over(self) -> None:
        """Remove what could not be removed before, as far as the disk allows now."""
        for staging in self._places.stagings:
            staging.remove_left_over()

    def close(self) -> None:
        """Remove the staging directories, unless they contain files."""
        for staging in self._places.stagings:
            staging.close()

    def sweep(self, dead: frozenset[str]) -> tuple[Path, ...]:
        """Remove what ended sessions left in the staging directories; only once all their plans are recovered.

        Args:
            dead: ids of the ended sessions.
        """
        with storage_faults(self._output):
            return tuple(
                removed
                for root in dict.fromkeys((self._output, self._places.sidecars.root))
                for removed in sweep(root, is_dead=dead.__contains__)
            )

    def discard(self, job: int) -> None:
        """Remove all staged files of one job."""
        with storage_faults(self._output):
            for staging in self._places.stagings:
                staging.discard(job)

    def plan(self, publication: Publication, claims: Claims, *, now_us: int) -> Plan:
        """Choose the names and stage the sidecar. No file that a user sees is changed.

        If it is called again for the same publication, after ``TargetTakenError``, results that have names keep them.

        Args:
            publication: the publication.
            claims: reservations of names.
            now_us: UTC microseconds, for ``published_at``.

        Raises:
            NameRefusedError: the disk refuses all names of a result, while it accepts others.
            ResultLostError: a staged result is missing, or not as reported.
        """
        started_s = time.perf_counter()
        with storage_faults(self._output):
            chosen, warnings = choose_names(self._places, publication, claims, self._on_conflict)
            theirs = self.staging.of_job(publication.directory)
            if publication.directory and is_kept_open(theirs):
                self.was_file_kept_open = True
            planned = [
                self._move(publication.facts.path, theirs, choice.slot, result) for choice, result in chosen
            ]
            if publication.directory:
                theirs.remove_whole()
            kept = {result.name for _, result in chosen}
            sidecar = chosen[0][0].sidecar if chosen else None
            if sidecar is not None:
                publishing = PublishingFacts(
                    outputs=[(choice.path, result) for choice, result in chosen],
                    warnings=warnings,
                    publish_ms=(time.perf_counter() - started_s) * 1000,
                    published_us=now_us,
                )
                content = publication.sidecar(publishing)
                planned.append(self._sidecar_move(publication.facts, sidecar, content))
        return Plan(
            moves=tuple(planned),
            unused=tuple(
                str(staging.path(one.name))
                for one in publication.staged
                if one.name not in kept
                for staging in (theirs, self._places.own)
            ),
            published=tuple(
                Published(
                    rendition=result.rendition,
                    path=choice.path,
                    sha256=result.sha256,
                    review=publication.review,
                )
                for choice, result in chosen
            ),
            claims=tuple(key for choice, _ in chosen for key in choice.claims),
            warnings=tuple(warnings),
        )

    def keep_preview(self, publication: Publication) -> None:
        """Keep the result of a worker in small, now that `plan` has found it to be the one that was reported."""
        first = next((one for one in publication.staged if one.rendition == 0), None)
        if self._previews is None or not publication.directory or first is None:
            return
        if self._previews.keep(publication.directory, first.sha256):
            self.was_file_kept_open = True

    def carry_out(self, plan: Plan) -> None:
        """Carry out a plan, which must be recorded already.

        It may be called again after an error or a crash: results that have their names count as done.

        Raises:
            NameRefusedError: the disk refuses a name, or its sub-folder, while it accepts others.
            TargetHeldError: a file that is to be replaced cannot be replaced now. Call again later.
            TargetTakenError: another program's file has one of the names. Plan again.
            ResultLostError: a result is neither staged nor under its name. Compute again.
        """
        with storage_faults(self._output):
            unsynced: dict[tuple[Tree, str], None] = {}
            for move in plan.moves:
                tree = Tree(Path(move.root))
                place = tree, tree.relative(Path(move.target).parent)
                if unsynced and place not in unsynced:
                    # The sidecar says that the results exist: if it is in another directory, a power failure could keep it and lose
                    # them.
                    self._places.directories.sync(unsynced)
                    unsynced.clear()
                self._carry_out(move)
                unsynced[place] = None
            self._places.directories.sync(unsynced)
            self._remove_unused(plan)

    def _holds(self, question: Callable[[Move], bool], move: Move) -> bool:
        """Answer a question about a move; False if the disk refuses the name, so that no file can have it."""
        try:
            return question(move)
        except OSError as error:
            if self._refusals_of(move).is_of_name(error):
                return False
            raise

    def _refusals_of(self, move: Move) -> Refusals:
        return self._places.refusals if move.root == str(self._output) else self._places.sidecar_refusals

    def _carry_out(self, move: Move) -> None:
        refusals = self._refusals_of(move)
        try:
            with leases(Path(move.target)):
                refusals.attempt(partial(self._give_name, move), Path(move.target))
        except NameRefusedError as error:
            cause = error.__cause__
            if move.replaces_sha256 is not None and isinstance(cause, OSError) and cause.errno in HELD:
                raise TargetHeldError(f"it cannot be replaced ({cause.strerror})", path=error.path) from cause
            raise

    def _give_name(self, move: Move) -> None:
        tree = Tree(Path(move.root))
        self._places.directories.make(tree, tree.relative(Path(move.target).parent))
        moves.carry_out(move, self._places.access)

    def recover(self, plan: Plan) -> Recovery:
        """Finish the recorded plan of an ended session."""
        with storage_faults(self._output):
            for move in plan.moves:  # if a share is not mounted, nothing is lost
                self._places.directories.make(Tree(Path(move.root)), "")
            if all(self._holds(moves.can_be_finished, move) for move in plan.moves):
                try:
                    self.carry_out(plan)
                except (TargetTakenError, ResultLostError, NameRefusedError):
                    pass  # treated as if it had been found unfinishable
                else:
                    return Recovery(is_finished=True, published=plan.published)
        return Recovery(is_finished=False, published=self.abandon(plan))

    def abandon(self, plan: Plan) -> tuple[Published, ...]:
        """Remove what a plan has staged.

        Returns:
            The results that have their names.
        """
        with storage_faults(self._output):
            for move in plan.moves:
                moves.abandon(move)
            self._remove_unused(plan)
        return self.published_results(plan)

    def published_results(self, plan: Plan) -> tuple[Published, ...]:
        """Return the results of a plan that have their names."""
        with storage_faults(self._output):
            return tuple(
                published
                for published, move in zip(plan.published, plan.moves, strict=False)  # not the sidecar's
                if self._holds(moves.has_its_name, move)
            )

    def _remove_unused(self, plan: Plan) -> None:
        for path in plan.unused:
            with self._places.output.find(self._places.output.relative(path)) as entry:
                if entry is not None:
                    entry.unlink(missing_ok=True)

    def _move(self, source: str, theirs: Staging, slot: Slot, result: Staged) -> Move:
        path = self._places.own.path(result.name)
        meanwhile = self._places.access.while_staged(source)
        # A result that has its name is not staged any more.
        if (
            not take_over(result, theirs, self._places.own, meanwhile)
            and slot.replaces_sha256 != result.sha256
        ):
            raise ResultLostError("the staged result is not there as it was reported", path=path)
        return Move(
            staged=str(path),
            target=str(slot.target),
            root=str(self._output),
            bytes=result.bytes,
            sha256=result.sha256,
            replaces_sha256=slot.replaces_sha256,
        )

    def _sidecar_move(self, facts: SidecarFacts, slot: Slot, content: bytes) -> Move:
        name = f"{facts.job}.json"
        written = self._places.sidecar_staging.write(
            name, content, self._places.access.while_staged(facts.path)
        )
        return Move(
            staged=str(self._places.sidecar_staging.path(name)),
            target=str(slot.target),
            root=str(self._places.sidecars.root),
            bytes=written.bytes,
            sha256=written.sha256,
            replaces_sha256=slot.replaces_sha256,
        )
