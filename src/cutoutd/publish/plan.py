"""What is going to be renamed to what: written down before the first rename, so that a crash can be repaired.

Values only: this module must not touch files. A plan survives in the journal as JSON text of plain ASCII;
names that are not UTF-8 survive in it as escaped surrogates.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from cutoutd.jobs import Published
from cutoutd.publish.correction_block import correction_number
from cutoutd.publish.naming import OVERLAY_SUFFIX, NameForm, candidates, formed, placed
from cutoutd.publish.sidecar import model_name
from cutoutd.settings.types import Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cutoutd.jobs import Origin, Staged
    from cutoutd.publish.sidecar import SidecarFacts
    from cutoutd.recipe import Rendition

_KNOWN_NAMES = 1000  # candidates among which an earlier result's name is looked for


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """One staged file on its way to its name.

    Attributes:
        staged: absolute path it is renamed from.
        target: absolute path it is renamed to.
        root: the folder in which sub-folders may be made for the target.
        bytes: size.
        sha256: of the staged file, hex.
        replaces_sha256: of the file that goes, hex; None where nothing may have the name.
    """

    staged: str
    target: str
    root: str
    bytes: int
    sha256: str
    replaces_sha256: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """The results of one version of a source, on the way to their names.

    Attributes:
        facts: for the sidecar; also which source it is.
        staged: from the worker's report; a result's format is its extension.
        renditions: of the recipe.
        review: the results are doubtful, and go to ``review/``.
        earlier: what is published for this source now, in its ordinary place and in ``review/``.
        document: the sidecar these results had before, where they are not fresh from a worker; it is kept but for
            names, times and warnings.
        moved_from: where the picture lay before, if its result follows it.
        known: SHA-256 of the source's bytes that are published; None: it is not known which they are.
        again: another picture had the source's name before, and was told apart by no kind in its result's.
        forms: that its names may have; each further one is for a disk that refuses the one before.
        named: the name that a person gave its first result; it has no other. Empty: names go by the source.
        directory: the job's own, of `staging.job_directory`, in which the worker's results lie; empty: none does, or not
            in a directory of its own.
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

    @property
    def model(self) -> str:
        """Name of the model that made them."""
        return self.facts.model.name if self.document is None else model_name(self.document)

    @property
    def corrected(self) -> int:
        """Number of the correction that they were cut by; 0: none."""
        if self.document is not None:
            return correction_number(self.document)
        return 0 if self.facts.correction is None else self.facts.correction.number

    @property
    def is_hosted(self) -> bool:
        """Their matte is a hosted service's."""
        route = self.facts.route if self.document is None else self.document.get("route")
        return route == Route.HOSTED

    @property
    def sources(self) -> frozenset[str]:
        """Paths at which the source lies, and at which it lay before it was moved: the sidecar may tell of either."""
        before = () if self.moved_from is None else (self.moved_from.path,)
        return frozenset({self.facts.path, *before})

    def names(self, result: Staged) -> Iterator[Iterable[str]]:
        """Names for one result, the best first: the one it has, where that still fits the configuration.

        Yields:
            Names of one form. Where a disk refuses one of them, it would refuse the others of that form as well.
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
        """The best name of all for one result, whatever the disk takes."""
        return next(self._candidates(result, NameForm.PLAIN))

    def form_of(self, path: str, result: Staged) -> NameForm | None:
        """The form of a name; None if the result could not have got it by today's settings."""
        return next((form for form in NameForm if self._is_candidate(path, result, form)), None)

    def _fits(self, path: str, result: Staged) -> bool:
        return any(self._is_candidate(path, result, form) for form in self.forms)

    def _is_candidate(self, path: str, result: Staged, form: NameForm) -> bool:
        return any(
            path in itertools.islice(self._candidates(result, form, again=again), _KNOWN_NAMES)
            for again in (self.again, not self.again)
        )

    def _candidates(self, result: Staged, form: NameForm, *, again: bool | None = None) -> Iterator[str]:
        if self.named and result.rendition == 0:
            yield placed(self.named, directory="", review=self.review)
            return
        is_overlay = result.rendition < 0
        suffix = OVERLAY_SUFFIX if is_overlay else self.renditions[result.rendition].suffix
        directory = "" if is_overlay else self.renditions[result.rendition].directory
        path = placed(self.facts.path, directory=directory, review=self.review)
        is_again = self.again if again is None else again
        for name in candidates(path, suffix=suffix, extension=result.format.extension, again=is_again):
            yield formed(name, form)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How the results of one job get their names.

    Attributes:
        moves: in this order; the sidecar is the last. Empty if every name was a stranger's and the folder
            says ``on_conflict = "skip"``.
        unused: absolute paths of staged results that get no name.
        published: what will be under its name once the plan is carried out.
        claims: keys of all names the plan uses, to be written down together with it.
        warnings: for the user; they are in the sidecar too, if there is one.
    """

    moves: tuple[Move, ...]
    unused: tuple[str, ...]
    published: tuple[Published, ...]
    claims: tuple[bytes, ...]
    warnings: tuple[str, ...]

    @property
    def staged(self) -> tuple[str, ...]:
        """Absolute paths of all staged files it speaks of."""
        return (*(move.staged for move in self.moves), *self.unused)

    def to_json(self) -> str:
        """As text for the journal."""
        fields = asdict(self)
        fields["claims"] = [key.decode("utf-8", "surrogateescape") for key in self.claims]
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote.

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
    """What became of a plan after a crash.

    Attributes:
        is_finished: every result has its name. Else not all can get theirs, and the job is to be computed again.
        standing: results that have their names. If it is not finished they belong among the ``earlier`` ones when the job is
            planned again, so that nothing is published twice.
    """

    is_finished: bool
    standing: tuple[Published, ...]
