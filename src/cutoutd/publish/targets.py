"""Which name a result gets, given what is on the disk and who has which name.

This module must not change anything on the disk: what it finds may be different a moment later, so every
decision says what it relies on, and the rename checks that again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from cutoutd.publish.digest import examine
from cutoutd.publish.faults import NameRefusedError, leases
from cutoutd.publish.naming import NameForm, claim_key, sidecar_name
from cutoutd.publish.sidecar import read_sidecar
from cutoutd.settings.types import OnConflict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from cutoutd.jobs import Staged
    from cutoutd.publish.digest import Found
    from cutoutd.publish.places import Places
    from cutoutd.publish.plan import Publication


class Claims(Protocol):
    """Who has which name, over all folders, as one source sees it."""

    def reserve(self, keys: Sequence[bytes]) -> bool:
        """Keep all of these names for this source; False, and none is kept, if another source has one.

        Names it has from earlier versions are its own. What is kept here but is not in the plan in the end
        need not be kept any longer.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """A name, and what giving it to a result means.

    Attributes:
        target: absolute path.
        replaces_sha256: of the file that has the name now, hex; None where nothing has it.
        ours: it is free, or the file there is of our making and unaltered.
        is_file: it is free, or a file is there that can be replaced, and no directory, link or the like.
    """

    target: Path
    replaces_sha256: str | None
    ours: bool
    is_file: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenName:
    """The name for one result.

    Attributes:
        path: in the folder's output, with ``/`` between parts.
        slot: what giving it means.
        sidecar: the same for the sidecar's name; None if none was asked for, or if the result has its name already
            and somebody else's file came to stand where the sidecar was to go.
        claims: keys of these names.
        passed: the first name that it could not get, and whether a file has it; None if it got the first.
    """

    path: str
    slot: Slot
    sidecar: Slot | None
    claims: tuple[bytes, ...]
    passed: tuple[str, bool] | None = None


class Targets:
    """The choice of names for the results of one version of one source.

    Args:
        places: of the folder.
        sources: paths in the input at which the source lies, and at which it lay before it was moved.
        on_conflict: what to do about files that are not ours.
        claims: who has which name.
        known: SHA-256 of the source's own bytes, as they are now and as they are published: a sidecar that tells of
            others is that of an earlier source of this path. None: this is not known, and the path alone counts.
    """

    def __init__(
        self,
        places: Places,
        *,
        sources: Collection[str],
        on_conflict: OnConflict,
        claims: Claims,
        known: Collection[str] | None,
    ) -> None:
        self._places = places
        self._sources = sources
        self._known = known
        self._on_conflict = on_conflict
        self._claims = claims
        self._given: set[bytes] = set()
        self._recorded: dict[
            str, str
        ] = {}  # path in the output and SHA-256, from our sidecars that were seen

    def choose(
        self, names: Iterable[Iterable[str]], *, sha256: str, earlier: Collection[str], with_sidecar: bool
    ) -> ChosenName | None:
        """Take the first of these names that the result may have; None if it is to be skipped.

        Args:
            names: paths in the folder's output, the best first, in groups: of one that the disk refuses, the rest is
                not tried.
            sha256: of the result. A file with these very bytes is the result itself, from a plan that was
                carried out in part; it stays where it is, lest it be published twice.
            earlier: SHA-256 of what was published for the source before.
            with_sidecar: the sidecar's name must be free or ours as well.

        Raises:
            NameRefusedError: the disk takes none of them.
            OSError: the disk or share does not answer as it should.
        """
        refused: NameRefusedError | None = None
        passed: tuple[str, bool] | None = None
        for paths in names:
            for path in paths:
                keys = self._keys(path, with_sidecar=with_sidecar)
                # A later result of the same source may not have it either: of a.jpg, the suffix "-jpg" gives the very
                # name that the other rendition gets where a.png is another picture's.
                if not self._given.isdisjoint(keys) or not self._claims.reserve(keys):
                    passed = passed or (path, False)
                    continue
                try:
                    slot, sidecar = self._look_at(path, {*earlier, sha256}, with_sidecar=with_sidecar)
                except NameRefusedError as error:
                    refused = error
                    break
                slots = [slot, sidecar] if sidecar is not None else [slot]
                can_be_replaced = self._on_conflict is OnConflict.OVERWRITE and all(
                    one.is_file for one in slots
                )
                if can_be_replaced or all(one.ours for one in slots):
                    self._given.update(keys)
                    return ChosenName(path=path, slot=slot, sidecar=sidecar, claims=keys, passed=passed)
                if slot.replaces_sha256 == sha256:
                    self._given.update(keys[:1])
                    return ChosenName(path=path, slot=slot, sidecar=None, claims=keys[:1])
                if self._on_conflict is OnConflict.SKIP:
                    return None
                passed = passed or (path, True)
        if refused is not None:
            raise refused
        return None

    def _keys(self, path: str, *, with_sidecar: bool) -> tuple[bytes, ...]:
        key = claim_on(self._places.output.root / path)
        return (key, claim_on(self._places.sidecars.root / sidecar_name(path))) if with_sidecar else (key,)

    def _look_at(self, path: str, ours: Collection[str], *, with_sidecar: bool) -> tuple[Slot, Slot | None]:
        """What has a name, and its sidecar's, now.

        Raises:
            NameRefusedError: the disk does not take one of them.
            TargetHeldError: another program has a lease on one.
            OSError: the disk or share does not answer as it should.
        """
        for_output, for_sidecar = self._places.refusals, self._places.sidecar_refusals
        sidecar = None
        if with_sidecar:
            beside = sidecar_name(path)
            look = partial(self._look_at_sidecar, beside, frozenset(ours))
            with leases(self._places.sidecars.root / beside):
                sidecar = for_sidecar.attempt(look, self._places.sidecars.root / beside)
        with leases(self._places.output.root / path):
            slot = for_output.attempt(
                partial(self._look_at_output, path, ours), self._places.output.root / path
            )
        return slot, sidecar

    def _look_at_output(self, path: str, ours: Collection[str]) -> Slot:
        target = self._places.output.root / path
        with self._places.output.find(path) as entry:
            found = examine(entry) if entry is not None else None
        if found is None:
            self._places.refusals.try_name(path)
        is_ours = found is not None and found.sha256 in {*ours, self._recorded.get(path, "")}
        return _slot(target, found, is_ours=is_ours)

    def _look_at_sidecar(self, path: str, earlier: frozenset[str]) -> Slot:
        target = self._places.sidecars.root / path
        with self._places.sidecars.find(path) as entry:
            found = examine(entry) if entry is not None else None
            record = read_sidecar(entry) if entry is not None and found is not None else None
        if found is None:
            self._places.sidecar_refusals.try_name(path)
        is_ours = (
            record is not None
            and record.path in self._sources
            and self._places.owns(record.folder, record.marker)
            and (
                self._known is None
                or record.sha256 in self._known
                or not earlier.isdisjoint(record.outputs.values())
            )
        )
        if record is not None and is_ours:
            self._recorded |= record.outputs
        return _slot(target, found, is_ours=is_ours)


def choose_names(
    places: Places, publication: Publication, claims: Claims, on_conflict: OnConflict
) -> tuple[list[tuple[ChosenName, Staged]], list[str]]:
    """Names for the results that get one, and a warning for each that gets none.

    Raises:
        NameRefusedError: the disk takes no name for one.
        OSError: the disk or share does not answer as it should.
    """
    facts = publication.facts
    targets = Targets(
        places,
        sources=publication.sources,
        on_conflict=on_conflict,
        claims=claims,
        known=None if publication.known is None else {*publication.known, facts.source.sha256},
    )
    chosen: list[tuple[ChosenName, Staged]] = []
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


def _of_form(publication: Publication, path: str, result: Staged) -> list[str]:
    """A warning, where a name is in another form than its source's."""
    if publication.form_of(path, result) is NameForm.PLAIN:
        return []
    return [f"the name {publication.plain_name(result)} became {path}, which more systems take"]


def _of_passed(publication: Publication, choice: ChosenName) -> list[str]:
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


def _slot(target: Path, found: Found | None, *, is_ours: bool) -> Slot:
    return Slot(
        target=target,
        replaces_sha256=None if found is None else found.sha256,
        ours=found is None or (is_ours and found.sha256 is not None),
        is_file=found is None or found.sha256 is not None,
    )


def claim_on(target: Path) -> bytes:
    """The claim on a name, wherever links in the way to it lead."""
    return claim_key(os.path.join(os.path.realpath(target.parent), target.name))  # noqa: PTH118 - text, not a Path
