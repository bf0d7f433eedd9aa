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
from cutoutd.publish.access import Access
from cutoutd.publish.directories import Directories
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
from cutoutd.publish.identity import FolderIdentity
from cutoutd.publish.naming import Form
from cutoutd.publish.plan import Move, Plan, Publication, Recovery
from cutoutd.publish.refusals import Refusals
from cutoutd.publish.restoring import ResultRestorer
from cutoutd.publish.reviews import Reviews
from cutoutd.publish.sidecar import compose_for
from cutoutd.publish.sidecar_update import SidecarUpdates
from cutoutd.publish.staging import Staging, sweep
from cutoutd.publish.targets import Claims, Targets
from cutoutd.publish.writing import DEFAULT_PERMISSIONS, Permissions

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.jobs import Staged
    from cutoutd.publish.sidecar import SidecarFacts
    from cutoutd.publish.targets import Choice, Slot
    from cutoutd.settings.types import OnConflict


_TRIAL: Final = "trial"


class Publisher:
    """Publishes for one folder; used by one thread at a time.

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
        self.identity = FolderIdentity(folder)
        self._output = output
        self._tree = Tree(output)
        self._sidecars = sidecar_dir or output
        self._on_conflict = on_conflict
        self._access = Access(permissions, Tree(inputs) if inputs is not None else None)
        self._directories = Directories()
        self.staging = Staging(output, run)
        self.has_met_a_writer = False  # a worker has kept a file of a job that it has reported
        self._own = Staging(output, run, own=True)
        # Beside where it goes, because a rename does not leave a file system.
        self._sidecar_staging = Staging(sidecar_dir, run) if sidecar_dir else self._own
        self._refusals = Refusals(output, self._own)
        self._sidecar_refusals = (
            Refusals(sidecar_dir, self._sidecar_staging) if sidecar_dir else self._refusals
        )
        self.failures = Failures(
            identity=self.identity,
            output=output,
            staging=self._own,
            directories=self._directories,
            refusals=self._refusals,
            access=self._access,
            portable=portable,
        )
        self.sidecars = SidecarUpdates(
            identity=self.identity,
            output=output,
            sidecars=self._sidecars,
            staging=self._sidecar_staging,
            directories=self._directories,
            access=self._access,
        )
        self.displaced = ResultRestorer(
            identity=self.identity,
            output=output,
            sidecars=self._sidecars,
            directories=self._directories,
            access=self._access,
        )
        self.reviews = Reviews(
            identity=self.identity,
            output=output,
            sidecars=self._sidecars,
            staging=self._own,
            directories=self._directories,
        )

    @property
    def _stagings(self) -> tuple[Staging, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys((self.staging, self._own, self._sidecar_staging)))

    def open(self) -> None:
        """Make the staging directories; again whenever the output folder was away.

        Raises:
            StorageError: the output or sidecar folder is not there or cannot be written to.
        """
        with storage_faults(self._output):
            for staging in self._stagings:
                staging.open()

    def try_writing(self) -> None:
        """Write a byte where results are staged, and remove it again.

        Raises:
            StorageError: it cannot be done.
        """
        with storage_faults(self._output):
            for staging in {self._own, self._sidecar_staging}:
                staging.write(_TRIAL, b"\0")
                staging.remove(_TRIAL)

    def close(self) -> None:
        """Remove the staging directories, unless something is left in them."""
        for staging in self._stagings:
            staging.close()

    def sweep(self, dead: frozenset[str]) -> tuple[Path, ...]:
        """Remove what dead runs left in the staging directories; only once all their plans are recovered.

        Args:
            dead: ids of the runs that are known to have ended.

        Raises:
            StorageError: the disk or share does not answer as it should.
        """
        with storage_faults(self._output):
            return tuple(
                removed
                for root in dict.fromkeys((self._output, self._sidecars))
                for removed in sweep(root, is_dead=dead.__contains__, needed=())
            )

    def discard(self, job: int) -> None:
        """Remove all that one job has staged.

        Raises:
            StorageError: the disk or share does not answer as it should.
        """
        with storage_faults(self._output):
            for staging in self._stagings:
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
            StorageError: the disk or share does not answer as it should.
        """
        started_s = time.perf_counter()
        with storage_faults(self._output):
            chosen, warnings = self._choose(publication, claims)
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
                for staging in (theirs, self._own)
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
            StorageError: the disk or share does not answer as it should. Call again later.
        """
        with storage_faults(self._output):
            unsynced: dict[tuple[Tree, str], None] = {}
            for move in plan.moves:
                tree = Tree(Path(move.root))
                place = tree, tree.relative(Path(move.target).parent)
                if unsynced and place not in unsynced:
                    # The sidecar says that the results are there: where it goes to another directory, a power
                    # cut could keep it and lose them.
                    self._directories.sync(unsynced)
                    unsynced.clear()
                self._carry_out(move)
                unsynced[place] = None
            self._directories.sync(unsynced)
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
        return self._refusals if move.root == str(self._output) else self._sidecar_refusals

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
        self._directories.make(tree, tree.relative(Path(move.target).parent))
        moves.carry_out(move, self._access)

    def recover(self, plan: Plan) -> Recovery:
        """Finish a plan that was written down by a run that died.

        Raises:
            StorageError: the disk or share does not answer as it should. Call again later.
        """
        with storage_faults(self._output):
            for move in plan.moves:  # a share that is away has lost nothing
                self._directories.make(Tree(Path(move.root)), "")
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

        Raises:
            StorageError: the disk or share does not answer as it should. Call again later.
        """
        with storage_faults(self._output):
            for move in plan.moves:
                moves.abandon(move)
            self._remove_unused(plan)
        return self.standing(plan)

    def standing(self, plan: Plan) -> tuple[Published, ...]:
        """What of a plan has its name already.

        Raises:
            StorageError: the disk or share does not answer as it should. Call again later.
        """
        with storage_faults(self._output):
            return tuple(
                published
                for published, move in zip(plan.published, plan.moves, strict=False)  # the sidecar is extra
                if self._holds(moves.stands, move)
            )

    def _remove_unused(self, plan: Plan) -> None:
        for path in plan.unused:
            with self._tree.find(self._tree.relative(path)) as entry:
                if entry is not None:
                    entry.unlink(missing_ok=True)

    def _choose(
        self, publication: Publication, claims: Claims
    ) -> tuple[list[tuple[Choice, Staged]], list[str]]:
        """Names for the results that get one, and a warning for each that gets none."""
        facts = publication.facts
        targets = Targets(
            identity=self.identity,
            sources=publication.sources,
            output=self._output,
            sidecars=self._sidecars,
            on_conflict=self._on_conflict,
            claims=claims,
            refusals=(self._refusals, self._sidecar_refusals),
            known=None if publication.known is None else {*publication.known, facts.source.sha256},
        )
        chosen: list[tuple[Choice, Staged]] = []
        warnings = []
        for result in publication.staged:
            choice = targets.choose(
                publication.names(result),
                sha256=result.sha256,
                earlier={one.sha256 for one in publication.earlier},
                with_sidecar=not chosen,
            )
            if choice is None:
                warnings.append(
                    f"nothing was published as {publication.plain_name(result)}: "
                    'the name is taken by a file that is not ours, and on_conflict = "skip"'
                )
                continue
            if not chosen and choice.sidecar is None:
                warnings.append(f"{choice.path} has no sidecar: its name is taken by a file that is not ours")
            warnings += _of_form(publication, choice.path, result)
            warnings += _of_passed(publication, choice)
            chosen.append((choice, result))
        return chosen, warnings

    def _move(self, source: str, theirs: Staging, slot: Slot, result: Staged) -> Move:
        path = self._own.path(result.name)
        meanwhile = self._access.while_staged(source)
        # One that has its name already is not staged any more.
        if not take_over(result, theirs, self._own, meanwhile) and slot.replaces_sha256 != result.sha256:
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
        written = self._sidecar_staging.write(name, content, self._access.while_staged(facts.path))
        return Move(
            staged=str(self._sidecar_staging.path(name)),
            target=str(slot.target),
            root=str(self._sidecars),
            bytes=written.bytes,
            sha256=written.sha256,
            replaces_sha256=slot.replaces_sha256,
        )


def _of_form(publication: Publication, path: str, result: Staged) -> list[str]:
    """A warning, where a name is in another form than its source's."""
    if publication.form_of(path, result) is Form.PLAIN:
        return []
    return [f"the name {publication.plain_name(result)} became {path}, which more systems take"]


def _of_passed(publication: Publication, choice: Choice) -> list[str]:
    """Why a result did not get the first of its names."""
    if choice.passed is None:
        return []
    name, has_file = choice.passed
    if not has_file:
        why = f"another cutout has the name {name}"
    elif any(one.path == name for one in publication.earlier):
        why = f"{name} was changed by hand and stays"
    else:
        why = f"a file that is not ours has the name {name}, or its sidecar's"
    return [f"{why}, so this cutout is {choice.path}"]
