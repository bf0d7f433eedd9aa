"""Gives one folder's results their names: exactly once, whole, and never over a file that is not ours.

    plan = publisher.plan(...)      looks at what is there; stages the sidecar
    (the plan is written down)
    publisher.carry_out(plan)       renames, the sidecar last; syncs the directories
    (the job is written down as done)

After a crash in between, ``recover`` finishes a plan that was written down, or says that it cannot be.

This module must not know the journal, and keeps nothing in memory that the plan does not say.
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
from cutoutd.publish.places import Places
from cutoutd.publish.plan import Move, Plan, Publication, Recovery
from cutoutd.publish.restoring import ResultRestorer
from cutoutd.publish.reviews import Reviews
from cutoutd.publish.sidecar import compose_for
from cutoutd.publish.sidecar_update import SidecarUpdates
from cutoutd.publish.staging import sweep
from cutoutd.publish.targets import choose_names
from cutoutd.publish.writing import DEFAULT_PERMISSIONS, Permissions

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.jobs import Staged
    from cutoutd.publish.refusals import Refusals
    from cutoutd.publish.sidecar import SidecarFacts
    from cutoutd.publish.staging import Staging
    from cutoutd.publish.targets import Claims, Slot
    from cutoutd.settings.types import OnConflict


_TRIAL: Final = "trial"


class Publisher:
    """Publishes for one folder; used by one thread at a time.

    Each call raises a StorageError where the disk or share does not answer as it should; it may be made again then.

    Args:
        folder: its name.
        output: its output folder, absolute; it must exist.
        sidecar_dir: where sidecars go instead of beside the results, absolute; it must exist. None: beside.
        on_conflict: what to do about files that are not ours.
        permissions: whom results belong to, as far as the owner has set it.
        inputs: the folder's input; a result is not shown to those who may not read its original. None: not known.
        portable: the records of failures get names that Windows takes.
        run: the id of this run of the daemon.
    """

    def __init__(
        self,
        *,
        folder: str,
        output: Path,
        sidecar_dir: Path | None,
        on_conflict: OnConflict,
        run: str,
        permissions: Permissions = DEFAULT_PERMISSIONS,
        inputs: Path | None = None,
        portable: bool = False,
    ) -> None:
        self._on_conflict = on_conflict
        self._places = Places.of(
            folder,
            output,
            sidecar_dir,
            run,
            permissions=permissions,
            inputs=inputs,
            portable=portable,
        )
        self._output = output
        self.identity = self._places.identity
        self.staging = self._places.staging
        self.failures = Failures(places=self._places)
        self.sidecars = SidecarUpdates(places=self._places)
        self.displaced = ResultRestorer(places=self._places)
        self.reviews = Reviews(places=self._places)
        self.has_met_a_writer = False  # a worker has kept a file of a job that it has reported

    def open(self) -> None:
        """Make the staging directories; again whenever the output folder was away.

        Raises:
            StorageError: the output or sidecar folder is not there or cannot be written to.
        """
        with storage_faults(self._output):
            for staging in self._places.stagings:
                staging.open()

    def try_writing(self) -> None:
        """Write a byte where results are staged, and remove it again.

        Raises:
            StorageError: it cannot be done.
        """
        with storage_faults(self._output):
            for staging in {self._places.own, self._places.sidecar_staging}:
                staging.write(_TRIAL, b"\0")
                staging.remove(_TRIAL)

    def close(self) -> None:
        """Remove the staging directories, unless something is left in them."""
        for staging in self._places.stagings:
            staging.close()

    def sweep(self, dead: frozenset[str]) -> tuple[Path, ...]:
        """Remove what dead runs left in the staging directories; only once all their plans are recovered.

        Args:
            dead: ids of the runs that are known to have ended.
        """
        with storage_faults(self._output):
            return tuple(
                removed
                for root in dict.fromkeys((self._output, self._places.sidecars.root))
                for removed in sweep(root, is_dead=dead.__contains__, needed=())
            )

    def discard(self, job: int) -> None:
        """Remove all that one job has staged."""
        with storage_faults(self._output):
            for staging in self._places.stagings:
                staging.discard(job)

    def plan(self, publication: Publication, claims: Claims, *, now_us: int) -> Plan:
        """Find the names and stage the sidecar. Nothing that a user sees is changed.

        Called again for the same publication, after ``TargetTakenError``, it keeps what has its name already.

        Args:
            publication: what is to be published.
            claims: who has which name.
            now_us: UTC microseconds, for ``published_at``.

        Raises:
            NameRefusedError: the disk takes no name for a result, while it takes others.
            ResultLostError: a staged result is not there, or not as it was reported.
        """
        started_s = time.perf_counter()
        with storage_faults(self._output):
            chosen, warnings = choose_names(self._places, publication, claims, self._on_conflict)
            theirs = self.staging.of_job(publication.directory)
            if publication.directory and is_kept_open(theirs):
                self.has_met_a_writer = True
            planned = [
                self._move(publication.facts.path, theirs, choice.slot, result) for choice, result in chosen
            ]
            if publication.directory:
                theirs.remove_whole()
            kept = {result.name for _, result in chosen}
            sidecar = chosen[0][0].sidecar if chosen else None
            if sidecar is not None:
                content = compose_for(
                    publication,
                    [(choice.path, result) for choice, result in chosen],
                    warnings=warnings,
                    publish_ms=(time.perf_counter() - started_s) * 1000,
                    published_us=now_us,
                )
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

    def carry_out(self, plan: Plan) -> None:
        """Give the results their names; the plan must have been written down before.

        It may be called again after an error or a crash: what has its name already counts as done.

        Raises:
            NameRefusedError: the disk does not take a name, or its sub-folder, while it takes others.
            TargetHeldError: what is to be replaced cannot be just now. Call again later.
            TargetTakenError: a file that is not ours has come to stand under a name. Plan again.
            ResultLostError: a result is neither staged nor under its name. Compute again.
        """
        with storage_faults(self._output):
            unsynced: dict[tuple[Tree, str], None] = {}
            for move in plan.moves:
                tree = Tree(Path(move.root))
                place = tree, tree.relative(Path(move.target).parent)
                if unsynced and place not in unsynced:
                    # The sidecar says that the results are there: where it goes to another directory, a power
                    # cut could keep it and lose them.
                    self._places.directories.sync(unsynced)
                    unsynced.clear()
                self._carry_out(move)
                unsynced[place] = None
            self._places.directories.sync(unsynced)
            self._remove_unused(plan)

    def _holds(self, question: Callable[[Move], bool], move: Move) -> bool:
        """The answer to a question about a move; where no file can have such a name, there is none."""
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
        """Finish a plan that was written down by a run that died."""
        with storage_faults(self._output):
            for move in plan.moves:  # a share that is away has lost nothing
                self._places.directories.make(Tree(Path(move.root)), "")
            if all(self._holds(moves.can_be_finished, move) for move in plan.moves):
                try:
                    self.carry_out(plan)
                except (TargetTakenError, ResultLostError, NameRefusedError):
                    pass  # as if it had been found so at first
                else:
                    return Recovery(is_finished=True, standing=plan.published)
        return Recovery(is_finished=False, standing=self.abandon(plan))

    def abandon(self, plan: Plan) -> tuple[Published, ...]:
        """Throw away what a plan has staged.

        Returns:
            What has its name already.
        """
        with storage_faults(self._output):
            for move in plan.moves:
                moves.abandon(move)
            self._remove_unused(plan)
        return self.standing(plan)

    def standing(self, plan: Plan) -> tuple[Published, ...]:
        """What of a plan has its name already."""
        with storage_faults(self._output):
            return tuple(
                published
                for published, move in zip(plan.published, plan.moves, strict=False)  # the sidecar is extra
                if self._holds(moves.stands, move)
            )

    def _remove_unused(self, plan: Plan) -> None:
        for path in plan.unused:
            with self._places.output.find(self._places.output.relative(path)) as entry:
                if entry is not None:
                    entry.unlink(missing_ok=True)

    def _move(self, source: str, theirs: Staging, slot: Slot, result: Staged) -> Move:
        path = self._places.own.path(result.name)
        meanwhile = self._places.access.while_staged(source)
        # One that has its name already is not staged any more.
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
