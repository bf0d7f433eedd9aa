"""What an output folder says was done: its sidecars and failure records, read back.

They are input from outside: whoever can write there can put anything under their names. So a record speaks
for its own source alone, and only of names that this source could have been given. This module must not
look at a source, or at a result: whether they are as the record says is for others to see.
"""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import DENIED, IMPOSSIBLE_NAME, NO_WAY
from cutoutd.faults.isolation import is_expected, report
from cutoutd.fs.tree import Tree
from cutoutd.job_options import JobOptions
from cutoutd.jobs import Published
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cutoutd.corrections import Correction
    from cutoutd.publish.failures import FailureRecord
    from cutoutd.publish.places import FolderIdentity
    from cutoutd.publish.sidecar import SidecarRecord

MAX_OUTPUTS: Final = 64  # of one sidecar; a folder has a few renditions
MAX_PATH: Final = 4000  # characters, as a scan of the input has it
KNOWN_NAMES: Final = 100  # candidates among which an output's name is looked for
MAX_WORDS: Final = 2000  # characters of a failure's texts

_OVERLAY: Final = Rendition(format=Format.PNG, suffix=OVERLAY_SUFFIX)

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NOT_TO_BE_READ: Final = NO_WAY | DENIED | IMPOSSIBLE_NAME


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What one sidecar or failure record says.

    Attributes:
        path: of the source, relative to the folder's input.
        size, mtime_ns: the version of the source.
        at_us: when it was published or given up, UTC microseconds.
        sha256: of the source's bytes; None in a failure that does not say so.
        image_sha256: of its data apart from metadata; None where that is not known.
        published: results, with the names they got.
        claims: keys of these names and their sidecar's.
        outputs: absolute paths of the results, for people.
        review: the results are doubtful.
        doubtful: they may well be wrong, and no person has accepted them.
        model: name of the model that cut it; empty where that is not known.
        score: probability that the cutout is right; None where that is not known.
        failure: code, title, cause and advice; None where the picture was cut.
        correction: what a person drew over the cutout; None: nothing.
        options: what a request asked of the picture.
        are_all: `published` has all results that the sidecar names; others do not fit the settings any more.
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


class Records:
    """The records of one folder.

    Args:
        identity: the folder's; others' records are passed over.
        output: its output folder, absolute.
        sidecar_dir: where its sidecars lie, if not beside the results.
        renditions: by which a result's name tells what it is.
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
        """Walk through the output folder, and through the sidecars' where that is another.

        Raises:
            OSError: the disk or share does not answer as it should.
        """
        for root in dict.fromkeys((self._output, self._sidecars)):
            tree = Tree(root)
            for path in _json_files(tree):
                record = self._read(tree, path)
                if record is not None:
                    yield record

    def kept(self) -> Iterator[tuple[str, Record]]:
        """What sidecars say whose results were displaced, each with its private name in the folder for sidecars.

        Raises:
            OSError: the disk or share does not answer as it should.
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
            sha256=said.sha256 if _SHA256.fullmatch(said.sha256) else None,
            failure={key: text[:MAX_WORDS] for key, text in said.failure.items()},
        )

    def _of_sidecar(self, said: SidecarRecord) -> Record | None:
        if (
            not self._identity.owns(said.folder, said.marker)
            or not _is_path(said.path)
            or not _SHA256.fullmatch(said.sha256)
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
            image_sha256=said.image_sha256 if _SHA256.fullmatch(said.image_sha256) else None,
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
        )


def _result(source: str, path: str, sha256: str, renditions: Sequence[Rendition]) -> Published | None:
    """A result that this source could have got under this name by its renditions."""
    if not _SHA256.fullmatch(sha256):
        return None
    for review in (False, True):
        forms = list(enumerate(renditions))
        if review:
            forms.append((-1, _OVERLAY))
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
    """What is named like a record; no link is followed, and what may not be read is passed over."""
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
    """Whether it stays inside a folder, and is a name that a file can have."""
    try:
        os.fsencode(path)
    except ValueError:
        return False
    parts = path.split("/")
    return len(path) <= MAX_PATH and "\0" not in path and {"", ".", ".."}.isdisjoint(parts)
