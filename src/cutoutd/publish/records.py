"""The records in an output folder: sidecars and failure records, read back.

They are untrusted input: whoever can write there can put anything under their names. So a record is valid only for its own
source, and only with names that this source could have got. This module must not look at a source or a result: the
caller checks them.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errnos import DENIED, IMPOSSIBLE_NAME, NO_WAY
from cutoutd.errors import FailureCode
from cutoutd.faults.isolation import is_expected, report
from cutoutd.fs.tree import Tree
from cutoutd.job_options import JobOptions
from cutoutd.jobs import OVERLAY, JobState, Published
from cutoutd.logs import get
from cutoutd.publish.displaced import DIRECTORY, reached
from cutoutd.publish.failures import read_failure
from cutoutd.publish.naming import (
    OVERLAY_SUFFIX,
    RECORD_SUFFIX,
    REVIEW,
    NameForm,
    candidates,
    formed,
    placed,
    sidecar_name,
)
from cutoutd.publish.sidecar import read_sidecar
from cutoutd.publish.staging import STAGING_NAME
from cutoutd.publish.targets import claim_on
from cutoutd.recipe import Format, Rendition
from cutoutd.sha256 import is_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cutoutd.corrections import Correction
    from cutoutd.publish.failures import FailureRecord
    from cutoutd.publish.places import FolderIdentity
    from cutoutd.publish.sidecar import SidecarRecord

MAX_OUTPUTS: Final = 64  # of one sidecar; a folder has a few renditions
MAX_PATH: Final = 4000  # characters, as for a scan of the input
KNOWN_NAMES: Final = 100  # candidates among which an output's name is searched
MAX_WORDS: Final = 2000  # characters of each text of a failure

_TAKEN_OVER: Final = "taken over from an earlier run, by its sidecar"

_OVERLAY: Final = Rendition(format=Format.PNG, suffix=OVERLAY_SUFFIX)

_NOT_TO_BE_READ: Final = NO_WAY | DENIED | IMPOSSIBLE_NAME


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """The contents of one sidecar or failure record.

    Attributes:
        path: path of the source, relative to the folder's input.
        size, mtime_ns: the version of the source.
        at_us: when it was published or failed, UTC microseconds.
        sha256: SHA-256 of the source's bytes; None: a failure record without it.
        image_sha256: SHA-256 of its data without metadata; None: not known.
        published: the results with their names.
        claims: keys of these names and their sidecar's.
        outputs: absolute paths of the results, for people.
        review: whether the results are doubtful and in ``review/``.
        doubtful: whether they may be wrong, and no person has accepted them.
        model: name of the model that cut it; empty: not known.
        score: probability that the cutout is right; None: not known.
        failure: code, title, cause and advice; None: the picture was cut.
        correction: what a person drew over the cutout; None: nothing.
        options: what a request asked of the picture.
        are_all: whether `published` has all results of the sidecar; others do not fit the settings any more.
        marker: UUID of the marker of the source's folder; empty: the record has none.
    """

    path: str
    size: int
    mtime_ns: int
    at_us: int
    sha256: str | None = None
    image_sha256: str | None = None
    published: tuple[Published, ...] = ()
    claims: tuple[bytes, ...] = ()
    outputs: tuple[str, ...] = ()
    review: bool = False
    doubtful: bool = False
    model: str = ""
    score: float | None = None
    failure: Mapping[str, str] | None = None
    correction: Correction | None = None
    options: JobOptions = field(default_factory=JobOptions)
    are_all: bool = True
    marker: str = ""

    @property
    def is_rejection(self) -> bool:
        """Whether a person has rejected the cutout."""
        return self.failure is not None and self.failure.get("code") == FailureCode.REJECTED

    def outcome(self) -> tuple[JobState, dict[str, Any]]:
        """Return the state of a job with this record, and the detail of its row."""
        if self.failure is not None:
            return JobState.FAILED, {"failure": {**self.failure, "permanent": True, "delay_s": 0.0}}
        known: dict[str, Any] = {"model": self.model} if self.model else {}
        if self.score is not None:
            known["score"] = self.score
        why = _TAKEN_OVER
        if self.doubtful and not self.review:
            known["doubtful"] = True
            doubt = "doubtful" if self.score is None else f"doubtful, score {self.score:.2f}"
            why = f"{doubt}; {why}"
        state = JobState.REVIEW if self.review else JobState.DONE
        return state, {"outputs": list(self.outputs), "why": why} | known


class Records:
    """The records of one folder.

    Args:
        identity: identity of the folder; records of other folders are skipped.
        output: absolute path of its output folder.
        sidecar_dir: the folder for its sidecars; None: beside the results.
        renditions: renditions by which a result's name is recognised.
    """

    def __init__(
        self,
        identity: FolderIdentity,
        *,
        output: Path,
        sidecar_dir: Path | None,
        renditions: Sequence[Rendition],
    ) -> None:
        self._identity = identity
        self._output = output
        self._sidecars = sidecar_dir or output
        self._renditions = renditions

    def __iter__(self) -> Iterator[Record]:
        """Walk through the output folder, and through the folder for sidecars if that is another.

        Raises:
            OSError: the disk or share fails.
        """
        for root in dict.fromkeys((self._output, self._sidecars)):
            tree = Tree(root)
            for path in _json_files(tree):
                record = self._read(tree, path)
                if record is not None:
                    yield record

    def at(self, names: Iterable[str], records: Iterable[str] = ()) -> Iterator[Record]:
        """Read the sidecars of these results, and these failure records, as far as they exist; all by paths in the output.

        Raises:
            OSError: the disk or share fails.
        """
        places = [(self._sidecars, sidecar_name(name)) for name in names]
        for root, path in (*places, *((self._output, path) for path in records)):
            record = self._read(Tree(root), path)
            if record is not None:
                yield record

    def kept(self) -> Iterator[tuple[str, Record]]:
        """Yield the sidecars of displaced results, each with its private name in the folder for sidecars.

        Raises:
            OSError: the disk or share fails.
        """
        tree = reached(Tree(self._sidecars), DIRECTORY)
        try:
            _, names = tree.list(DIRECTORY)
        except OSError as error:
            if error.errno in _NOT_TO_BE_READ and self._sidecars.is_dir():
                return
            raise
        for path in (f"{DIRECTORY}/{name}" for name in names if name.endswith(".json")):
            record = self._read(tree, path)
            if record is not None and record.failure is None:
                yield path, record

    def _read(self, tree: Tree, path: str) -> Record | None:
        try:
            with tree.entry(path) as entry:
                if path.endswith(RECORD_SUFFIX):
                    failed = read_failure(entry)
                    return None if failed is None else self._of_failure(failed)
                cut = read_sidecar(entry)
                return None if cut is None else self._of_sidecar(cut)
        except OSError as error:
            if error.errno in _NOT_TO_BE_READ:
                return None
            raise
        except Exception as error:
            if is_expected(error):
                raise
            report(get(folder=self._identity.name), error, over="a record", path=str(path))
            return None

    def _of_failure(self, said: FailureRecord) -> Record | None:
        if not self._identity.owns(said.folder, said.marker) or not _is_path(said.path):
            return None
        return Record(
            path=said.path,
            size=said.bytes,
            mtime_ns=said.mtime_ns,
            at_us=said.at_us,
            sha256=said.sha256 if is_sha256(said.sha256) else None,
            failure={key: text[:MAX_WORDS] for key, text in said.failure.items()},
            marker=said.marker,
        )

    def _of_sidecar(self, said: SidecarRecord) -> Record | None:
        if (
            not self._identity.owns(said.folder, said.marker)
            or not _is_path(said.path)
            or not is_sha256(said.sha256)
        ):
            return None
        if not 0 < len(said.outputs) <= MAX_OUTPUTS:
            return None
        renditions = said.options.renditions(self._renditions, Path())
        published = tuple(
            one
            for path, sha256 in said.outputs.items()
            if (one := _result(said.path, path, sha256, renditions))
        )
        names = [(self._output, one.path) for one in published]
        if published:  # the sidecar is named after the first
            names.append((self._sidecars, sidecar_name(published[0].path)))
        return Record(
            path=said.path,
            size=said.bytes,
            mtime_ns=said.mtime_ns,
            at_us=said.published_us,
            sha256=said.sha256,
            image_sha256=said.image_sha256 if is_sha256(said.image_sha256) else None,
            published=published,
            claims=tuple(claim_on(root / path) for root, path in names),
            outputs=tuple(str(self._output / one.path) for one in published),
            review=all(path.startswith(f"{REVIEW}/") for path in said.outputs),
            doubtful=said.doubtful,
            model=said.model,
            score=said.score,
            correction=said.correction,
            options=said.options,
            are_all=len(published) == len(said.outputs),
            marker=said.marker,
        )


def _result(source: str, path: str, sha256: str, renditions: Sequence[Rendition]) -> Published | None:
    """Return the result that this source could have got under this name by its renditions; None: it could not."""
    if not is_sha256(sha256):
        return None
    for review in (False, True):
        forms = list(enumerate(renditions))
        if review:
            forms.append((OVERLAY, _OVERLAY))
        for index, one in forms:
            place = placed(source, directory=one.directory, review=review)
            extension = one.format.extension
            known = tuple(
                name
                for again in (False, True)
                for name in itertools.islice(
                    candidates(place, suffix=one.suffix, extension=extension, again=again), KNOWN_NAMES
                )
            )
            if path in known or any(path == formed(name, form) for form in NameForm for name in known):
                return Published(rendition=index, path=path, sha256=sha256, review=review)
    return None


def _json_files(tree: Tree) -> Iterator[str]:
    """Yield the paths ending in ``.json``; links are not followed, and unreadable directories are skipped."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            directories, others = tree.list(below)
        except OSError as error:
            if error.errno not in _NOT_TO_BE_READ:
                raise
            continue
        prefix = f"{below}/" if below else ""
        waiting += [
            prefix + name for name in directories if name != STAGING_NAME and len(prefix + name) <= MAX_PATH
        ]
        yield from (prefix + name for name in others if name.endswith(".json"))


def _is_path(path: str) -> bool:
    """Whether a path stays inside a folder, and a file can have it."""
    try:
        os.fsencode(path)
    except ValueError:
        return False
    parts = path.split("/")
    return len(path) <= MAX_PATH and "\0" not in path and {"", ".", ".."}.isdisjoint(parts)
