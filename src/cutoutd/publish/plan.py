"""The plan of a publication: which files are renamed to what, recorded before the first rename, so that a crash can be repaired.

Values only: this module must not touch files. A plan is stored in the journal as JSON text in ASCII; names that are not UTF-8 are
stored as escaped surrogates.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from cutoutd.jobs import Published
from cutoutd.publish.correction_block import correction_number
from cutoutd.publish.naming import OVERLAY_SUFFIX, NameForm, candidates, formed, placed
from cutoutd.publish.sidecar import amend, compose, model_name
from cutoutd.publish.staging import STAGING_NAME
from cutoutd.settings.types import Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cutoutd.jobs import Origin, Staged
    from cutoutd.publish.sidecar import PublishingFacts, SidecarFacts
    from cutoutd.recipe import Rendition

_KNOWN_NAMES = 1000  # candidates among which an earlier result's name is searched


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """The rename of one staged file to its name.

    Attributes:
        staged: absolute path of the staged file.
        target: absolute path of the target.
        root: the folder in which sub-folders may be created for the target.
        bytes: size in bytes.
        sha256: SHA-256 of the staged file, hex.
        replaces_sha256: SHA-256 of the file that is replaced, hex; None: the name must be free.
    """

    staged: str
    target: str
    root: str
    bytes: int
    sha256: str
    replaces_sha256: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """The results of one version of a source, to be published.

    Attributes:
        facts: facts for the sidecar, including the source.
        staged: the results of the worker's report; a result's format is its extension.
        renditions: renditions of the recipe.
        review: whether the results are doubtful, and go to ``review/``.
        earlier: what is published for this source now, in its ordinary place and in ``review/``.
        document: the earlier sidecar of results that are not fresh from a worker; it is kept except for names, times and
            warnings. None: they are fresh.
        moved_from: where the picture was before, if its result moves along.
        known: SHA-256 of the source's bytes that are published; None: not known.
        again: whether another picture had the source's name before, and its result's name contains no kind.
        forms: forms that names may have; each further one is for a disk that refuses the one before.
        named: name that a person gave the first result, which has no other; empty: results are named after the source.
        directory: name, from `staging.job_directory`, of the directory with the worker's results; empty: they are not in a
            directory of their own.
        is_restored: whether a decision was undone, so that earlier results are published as they were: as doubtful as `facts` say.
        keeps_names: whether results keep the names that they have, of whatever source, as long as they fit the renditions.
    """

    facts: SidecarFacts
    staged: tuple[Staged, ...]
    renditions: tuple[Rendition, ...]
    review: bool
    earlier: tuple[Published, ...]
    document: Mapping[str, Any] | None = None
    known: frozenset[str] | None = None
    moved_from: Origin | None = None
    again: bool = False
    forms: tuple[NameForm, ...] = tuple(NameForm)
    named: str = ""
    directory: str = ""
    is_restored: bool = False
    keeps_names: bool = False

    @property
    def model(self) -> str:
        """Name of the model that made the results."""
        return self.facts.model.name if self.document is None else model_name(self.document)

    @property
    def corrected(self) -> int:
        """Number of the correction that was applied; 0: none."""
        if self.document is not None:
            return correction_number(self.document)
        return 0 if self.facts.correction is None else self.facts.correction.number

    @property
    def is_hosted(self) -> bool:
        """Whether a hosted service made the matte."""
        route = self.facts.route if self.document is None else self.document.get("route")
        return route == Route.HOSTED

    @property
    def sources(self) -> frozenset[str]:
        """The source's path, and its path before it was moved: the sidecar may contain either."""
        before = () if self.moved_from is None else (self.moved_from.path,)
        return frozenset({self.facts.path, *before})

    def sidecar(self, publishing: PublishingFacts) -> bytes:
        """Return the sidecar: of a new cut, or of an earlier result under new names."""
        if self.document is None:
            return compose(self.facts, publishing)
        is_good = not (self.facts.doubtful if self.is_restored else self.review)
        return amend(
            self.document,
            replace(publishing, warnings=[*self.facts.warnings, *publishing.warnings]),
            decided=None if self.moved_from is not None else is_good,
        )

    def names(self, result: Staged) -> Iterator[Iterable[str]]:
        """Yield names for one result, the best first: its current one, if that still fits the configuration.

        Yields:
            Groups of names of one form. If a disk refuses one, it would refuse the others of the same form as well.
        """
        place = (result.rendition, self.review)
        for one in self.earlier:
            if (one.rendition, one.review) == place and self._fits(one.path, result):
                yield (one.path,)
        firsts: set[str] = set()
        for form in self.forms:
            first = next(self._candidates(result, form))
            if first not in firsts:
                firsts.add(first)
                yield self._candidates(result, form)

    def plain_name(self, result: Staged) -> str:
        """Return the best name for one result, whatever the disk accepts."""
        return next(self._candidates(result, NameForm.PLAIN))

    def form_of(self, path: str, result: Staged) -> NameForm | None:
        """Return the form of a name; None if the result cannot have got it under the current settings."""
        if self._is_kept(path, result):
            return NameForm.PLAIN
        return next((form for form in NameForm if self._is_candidate(path, result, form)), None)

    def _fits(self, path: str, result: Staged) -> bool:
        return self._is_kept(path, result) or any(
            self._is_candidate(path, result, form) for form in self.forms
        )

    def _is_kept(self, path: str, result: Staged) -> bool:
        """Whether a name is an earlier one that stays although the source has another name since."""
        if not self.keeps_names or self.review or result.rendition < 0:
            return False
        rendition = self.renditions[result.rendition]
        ending = f"{rendition.suffix}.{result.format.extension}"
        directory = f"{rendition.directory}/" if rendition.directory else ""
        return (
            any(one.path == path and not one.review for one in self.earlier)
            and not path.startswith(f"{STAGING_NAME}/")  # a displaced result has no name of its own
            and path.startswith(directory)
            and path.endswith(ending)
        )

    def _is_candidate(self, path: str, result: Staged, form: NameForm) -> bool:
        return any(
            path in itertools.islice(self._candidates(result, form, again=again), _KNOWN_NAMES)
            for again in (self.again, not self.again)
        )

    def _candidates(self, result: Staged, form: NameForm, *, again: bool | None = None) -> Iterator[str]:
        if self.named and result.rendition == 0:
            yield placed(self.named, directory="", review=self.review)
            return
        suffix = OVERLAY_SUFFIX if result.is_overlay else self.renditions[result.rendition].suffix
        directory = "" if result.is_overlay else self.renditions[result.rendition].directory
        path = placed(self.facts.path, directory=directory, review=self.review)
        is_again = self.again if again is None else again
        for name in candidates(path, suffix=suffix, extension=result.format.extension, again=is_again):
            yield formed(name, form)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How the results of one job get their names.

    Attributes:
        moves: the renames in order, the sidecar last; empty if other files have all names and the folder has
            ``on_conflict = "skip"``.
        unused: absolute paths of staged results that get no name.
        published: the results that have names once the plan is carried out.
        claims: keys of all names in the plan, to be recorded together with it.
        warnings: warnings for the user; also in the sidecar, if there is one.
    """

    moves: tuple[Move, ...]
    unused: tuple[str, ...]
    published: tuple[Published, ...]
    claims: tuple[bytes, ...]
    warnings: tuple[str, ...]

    @property
    def staged(self) -> tuple[str, ...]:
        """Absolute paths of all staged files in the plan."""
        return (*(move.staged for move in self.moves), *self.unused)

    def to_json(self) -> str:
        """Return the plan as text for the journal."""
        fields = asdict(self)
        fields["claims"] = [key.decode("utf-8", "surrogateescape") for key in self.claims]
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text of ``to_json``.

        Raises:
            ValueError: the text is not a plan.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            return cls(
                moves=tuple(Move(**move) for move in fields["moves"]),
                unused=tuple(fields["unused"]),
                published=tuple(Published(**one) for one in fields["published"]),
                claims=tuple(key.encode("utf-8", "surrogateescape") for key in fields["claims"]),
                warnings=tuple(fields["warnings"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a plan: {error}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """The result of recovering a plan after a crash.

    Attributes:
        is_finished: whether every result has its name. If not, some cannot get theirs, and the job has to be computed again.
        published: results that have their names. If the plan is not finished, they are among the ``earlier`` ones of the next plan,
            so that nothing is published twice.
    """

    is_finished: bool
    published: tuple[Published, ...]
