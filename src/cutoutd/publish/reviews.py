"""The files of doubtful results in ``review/``, once a person has decided about them.

An accepted result is staged again, from exactly the bytes that the person saw; the files of a decided one are removed, unless they
were changed. This module must not decide, and gives no names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cutoutd.errors import FailureCode, PermanentError
from cutoutd.jobs import Quality, SourceFacts, Staged
from cutoutd.publish.digest import has_bytes, open_regular
from cutoutd.publish.displaced import keep, kept_path, possible_paths, reached, tidy
from cutoutd.publish.document import read
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.naming import sidecar_name
from cutoutd.publish.sidecar import SCHEMA, read_sidecar
from cutoutd.publish.staging import result_name
from cutoutd.publish.verified import Removal, remove
from cutoutd.publish.writing import write_whole
from cutoutd.recipe import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cutoutd.fs.tree import Entry, Tree
    from cutoutd.jobs import Published
    from cutoutd.publish.places import Places
    from cutoutd.publish.sidecar import SidecarRecord


class NotAcceptableError(PermanentError):
    """The files in ``review/`` are not as they were put there."""

    code = FailureCode.NOT_ACCEPTABLE
    title = "The cutout cannot be accepted"
    advice = "`cutoutd retry` cuts the picture again. What was changed by hand is left as it is."


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubtful:
    """A doubtful result, read back.

    Attributes:
        document: its sidecar.
        source, quality: facts from the sidecar.
        staged: its renditions, staged again, and the overlay if requested.
    """

    document: Mapping[str, Any]
    source: SourceFacts
    quality: Quality
    staged: tuple[Staged, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reviews:
    """The doubtful results of one folder.

    Each method raises StorageError if the disk or share fails, and may be called again then.

    Attributes:
        places: places of the folder.
    """

    places: Places

    def take(
        self,
        job: int,
        source: str,
        sha256: str | None,
        shown: Sequence[Published],
        *,
        with_overlay: bool = False,
    ) -> Doubtful:
        """Read a doubtful result back, and stage it again; after an error, a part may be staged: see `discard`.

        Args:
            job: id of the job, for the staged names.
            source: path of the picture in the input.
            sha256: SHA-256 of its bytes, from the journal; None: the sidecar may have another one, since only the picture's
                metadata may have changed.
            shown: what was published as doubtful for it.
            with_overlay: whether to stage the overlay as well.

        Raises:
            NotAcceptableError: a part is missing, or was changed.
        """
        with storage_faults(self.places.output.root):
            document = self._document(source, sha256, shown)
            if document is None:
                raise NotAcceptableError("its sidecar is not there, or was changed")
            try:
                source_facts, quality = _source(document), _quality(document)
                said = {
                    str(one["sha256"]): (int(one["width"]), int(one["height"]), _chosen(one))
                    for one in document["outputs"]
                }
            except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
                raise NotAcceptableError("its sidecar cannot be understood") from error
            wanted = sorted(
                (one for one in shown if with_overlay or not one.is_overlay),
                key=lambda one: (one.is_overlay, one.rendition),  # the overlay last, as from workers
            )
            staged = tuple(
                self._stage(job, number, source, one, said.get(one.sha256, (0, 0, None)))
                for number, one in enumerate(wanted)
            )
        return Doubtful(document=document, source=source_facts, quality=quality, staged=staged)

    def discard(self, job: int) -> None:
        """Remove what `take` has staged for a job."""
        with storage_faults(self.places.output.root):
            self.places.own.discard(job)

    def clear(self, source: str, shown: Sequence[Published]) -> None:
        """Remove the doubtful results of a source, and their sidecar; changed files stay."""
        with storage_faults(self.places.output.root):
            kept = self._clear(source, shown, names=lambda one: possible_paths(source, one))
            if any(path == kept_path(source, one) for one in shown for path in kept):
                tidy(self.places)

    def displace(self, source: str, shown: Sequence[Published]) -> tuple[Published, ...]:
        """Rename results to private names, to be kept until their picture is found elsewhere.

        Args:
            source: former path of their picture in the input.
            shown: what was published for it.

        Returns:
            The results under their private names; none, and nothing is changed, if a file was changed by hand.
        """
        with storage_faults(self.places.output.root):
            if self._document(source, None, shown) is None or not keep(
                self.places, source, shown, is_sidecar=partial(self._is_sidecar, source=source)
            ):
                return ()
            self._clear(source, shown, names=lambda one: (one.path,))
        return tuple(replace(one, path=kept_path(source, one)) for one in shown)

    def _clear(
        self, source: str, shown: Sequence[Published], *, names: Callable[[Published], Sequence[str]]
    ) -> list[str]:
        """Remove results under some of their names, and their sidecars; returns the removed paths."""
        places: dict[tuple[Tree, str], None] = {}
        removed = []
        is_sidecar = partial(self._is_sidecar, source=source)
        for sha256, name in ((one.sha256, name) for one in shown for name in names(one)):
            is_result = partial(has_bytes, sha256=sha256)
            for tree, path, is_ours in (
                (self.places.sidecars, sidecar_name(name), is_sidecar),
                (self.places.output, name, is_result),
            ):
                with reached(tree, path).find(path) as entry:
                    if entry is not None and remove(entry, is_ours) is Removal.REMOVED:
                        places[tree, path.rpartition("/")[0]] = None
                        removed.append(path)
        self.places.directories.sync(places)
        return removed

    def _is_sidecar(self, entry: Entry, *, source: str) -> bool:
        record = read_sidecar(entry)
        return record is not None and self._is_of(record, source)

    def _is_of(self, record: SidecarRecord, source: str) -> bool:
        return record.path == source and self.places.owns(record.folder, record.marker)

    def _document(self, source: str, sha256: str | None, shown: Sequence[Published]) -> dict[str, Any] | None:
        for name in (name for one in shown for name in possible_paths(source, one)):
            with reached(self.places.sidecars, name).find(sidecar_name(name)) as entry:
                record = read_sidecar(entry) if entry is not None else None
                if (
                    entry is not None
                    and record is not None
                    and self._is_of(record, source)
                    and sha256 in (None, record.sha256)
                ):
                    return read(entry, SCHEMA)
        return None

    def _stage(
        self, job: int, number: int, source: str, one: Published, said: tuple[int, int, int | None]
    ) -> Staged:
        path = self.places.output.root / one.path
        extension = Format.of_extension(path.suffix.removeprefix("."))
        if extension is None:
            raise NotAcceptableError("its extension is not that of a known format", path=path)
        file = None
        for name in possible_paths(source, one):
            with reached(self.places.output, name).find(name) as entry:
                file = file or (open_regular(entry) if entry is not None and entry.exists() else None)
        if file is None:
            raise NotAcceptableError("it is not there any more", path=path)

        name = result_name(job, number, extension)
        with file, self.places.own.entry(name) as staged:
            written = write_whole(staged, file)
        if written.sha256 != one.sha256:
            raise NotAcceptableError("it was changed since it was put there", path=path)
        return Staged(
            name=name,
            rendition=one.rendition,
            bytes=written.bytes,
            sha256=written.sha256,
            width=said[0],
            height=said[1],
            format=extension,
            quality=said[2],
        )


def _chosen(output: Mapping[str, Any]) -> int | None:
    """Return the quality that a result was lowered to; None if it was not."""
    quality = output.get("quality")
    return None if quality is None else int(quality)


def _source(document: Mapping[str, Any]) -> SourceFacts:
    source = document["source"]
    return SourceFacts(
        bytes=int(source["bytes"]),
        sha256=str(source["sha256"]),
        width=int(source["width"]),
        height=int(source["height"]),
        format=str(source["format"]),
        orientation=int(source["orientation"]),
    )


def _quality(document: Mapping[str, Any]) -> Quality:
    quality = document["quality"]
    return Quality(score=float(quality["score"]), reasons=tuple(map(str, quality["reasons"])))
