"""The choice of a result's name, given what is on the disk and which names are reserved.

This module must not change anything on the disk. What it finds may be different a moment later, so every decision records what it
relies on, and the rename checks that again.
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
    """Reservations of names over all folders, for one source."""

    def reserve(self, keys: Sequence[bytes]) -> bool:
        """Reserve all of these names for this source; returns False, and reserves none, if another source has one.

        Names of the source's earlier versions are its own. A reserved name that the plan does not use in the end may be released.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """A name, and the file that has it now.

    Attributes:
        target: absolute path.
        replaces_sha256: SHA-256 of the file that has the name now, hex; None: the name is free.
        ours: whether the name is free, or its file is one of ours and unchanged.
        is_file: whether the name is free, or has a file that can be replaced, and no directory, link or the like.
    """

    target: Path
    replaces_sha256: str | None
    ours: bool
    is_file: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenName:
    """The chosen name of one result.

    Attributes:
        path: path in the folder's output, with ``/`` between parts.
        slot: the name and its current file.
        sidecar: the same for the sidecar; None: no sidecar was requested, or the result has its name already and another
            program's file has the sidecar's.
        claims: keys of these names.
        passed: the first name that it could not get, and whether a file has it; None: it got the first.
    """

    path: str
    slot: Slot
    sidecar: Slot | None
    claims: tuple[bytes, ...]
    passed: tuple[str, bool] | None = None


class Targets:
    """Chooses names for the results of one version of one source.

    Args:
        places: places of the folder.
        sources: the source's path in the input, and its path before it was moved.
        on_conflict: what to do about other programs' files.
        claims: reservations of names.
        known: SHA-256 of the source's bytes, as they are now and as published: a sidecar with other bytes belongs to an earlier
            source of this path. None: not known, and the path alone decides.
        keeps_names: as in `Publication`.
    """

    def __init__(
        self,
        places: Places,
        *,
        sources: Collection[str],
        on_conflict: OnConflict,
        claims: Claims,
        known: Collection[str] | None,
        keeps_names: bool = False,
    ) -> None:
        self._places = places
        self._sources = sources
        self._known = known
        self._on_conflict = on_conflict
        self._claims = claims
        self._keeps_names = keeps_names
        self._given: set[bytes] = set()
        self._recorded: dict[str, str] = {}  # SHA-256 by path in the output, from our sidecars that were read

    def choose(
        self, names: Iterable[Iterable[str]], *, sha256: str, earlier: Collection[str], with_sidecar: bool
    ) -> ChosenName | None:
        """Choose the first of these names that the result may have; returns None if it is to be skipped.

        Args:
            names: paths in the folder's output, the best first, in groups: if the disk refuses one, the rest of its group is not
                tried.
            sha256: SHA-256 of the result. A file with the same bytes is the result itself, from a partly carried out plan; it keeps
                its name, so that it is not published twice.
            earlier: SHA-256 of what was published for the source before.
            with_sidecar: whether the sidecar's name must be free or ours as well.

        Raises:
            NameRefusedError: the disk refuses all of them.
            OSError: the disk or share fails.
        """
        refused: NameRefusedError | None = None
        passed: tuple[str, bool] | None = None
        for paths in names:
            for path in paths:
                keys = self._keys(path, with_sidecar=with_sidecar)
                # Nor may a later result of the same source have it: of a.jpg, the suffix "-jpg" gives the name that the other
                # rendition gets if a.png is another picture's.
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
        """Look at what has a name, and its sidecar's, now.

        Raises:
            NameRefusedError: the disk refuses one of them.
            TargetHeldError: another program has a lease on one.
            OSError: the disk or share fails.
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
        is_earlier = record is not None and not earlier.isdisjoint(record.outputs.values())
        is_ours = (
            record is not None
            and self._places.owns(record.folder, record.marker)
            # With `moves = "keep"` it has the path where the picture was when it was cut.
            and (record.path in self._sources or (self._keeps_names and is_earlier))
            and (self._known is None or record.sha256 in self._known or is_earlier)
        )
        if record is not None and is_ours:
            self._recorded |= record.outputs
        return _slot(target, found, is_ours=is_ours)


def choose_names(
    places: Places, publication: Publication, claims: Claims, on_conflict: OnConflict
) -> tuple[list[tuple[ChosenName, Staged]], list[str]]:
    """Return names for the results that get one, and warnings.

    Raises:
        NameRefusedError: the disk refuses all names of a result.
        OSError: the disk or share fails.
    """
    facts = publication.facts
    targets = Targets(
        places,
        sources=publication.sources,
        on_conflict=on_conflict,
        claims=claims,
        known=None if publication.known is None else {*publication.known, facts.source.sha256},
        keeps_names=publication.keeps_names,
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
    """Return a warning if a name has another form than its source's."""
    if publication.form_of(path, result) is NameForm.PLAIN:
        return []
    return [f"the name {publication.plain_name(result)} became {path}, which more systems accept"]


def _of_passed(publication: Publication, choice: ChosenName) -> list[str]:
    """Return a warning if a result did not get the first of its names, with the reason."""
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
    """Return the key for reserving a path, with links in its directory resolved."""
    return claim_key(os.path.join(os.path.realpath(target.parent), target.name))  # noqa: PTH118 - text, not a Path
