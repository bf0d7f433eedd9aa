"""Restores displaced results whose picture was not found: they get a name again, their own or the next free one.

An interrupted step is repeated: a result that has its name already counts as restored. The kept sidecar contains the names, so it
is removed last. This module must not decide what is restored, nor when.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cutoutd.jobs import Published
from cutoutd.publish.digest import examine, has_bytes
from cutoutd.publish.displaced import DIRECTORY, has, kept_path, reached, tidy
from cutoutd.publish.document import encode, path_fields, read, true_path
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.naming import numbered, placed, sidecar_name, split_name
from cutoutd.publish.rename import rename_new
from cutoutd.publish.sidecar import SCHEMA, read_sidecar
from cutoutd.publish.targets import claim_on
from cutoutd.publish.verified import end_removal
from cutoutd.publish.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cutoutd.fs.tree import Entry
    from cutoutd.publish.places import Places


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoredResults:
    """Results that have a name again.

    Attributes:
        results: the results under these names, without kept files that were lost.
        claims: keys of the names.
    """

    results: tuple[Published, ...]
    claims: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultRestorer:
    """Restores the displaced results of one folder.

    Each method raises StorageError if the disk or share fails, and may be called again then.

    Attributes:
        places: places of the folder.
    """

    places: Places

    def are_under_their_names(self, source: str, results: Sequence[Published], kept: str) -> bool:
        """Whether all results are where they were published, with their sidecar, which loses its name before they do.

        Args:
            source: former path of their picture in the input.
            results: the results under their own names.
            kept: the private name of their sidecar.
        """
        with storage_faults(self.places.output.root):
            return all(has(self.places.output, one.path, one.sha256) for one in results) and all(
                self._has_sidecar(source, sidecar_name(one.path))
                for one in results
                if sidecar_name(kept_path(source, one)) == kept
            )

    def are_whole(self, kept: Sequence[Published]) -> bool:
        """Whether any of the files exists, and all that exist are unchanged."""
        with storage_faults(self.places.output.root):
            there = [one for one in kept if reached(self.places.output, one.path).exists(one.path)]
            return bool(there) and all(has(self.places.output, one.path, one.sha256) for one in there)

    def are_gone(self, kept: Sequence[Published]) -> bool:
        """Whether none of the files exists."""
        with storage_faults(self.places.output.root):
            return not any(reached(self.places.output, one.path).exists(one.path) for one in kept)

    def strays(self) -> list[str]:
        """Return the kept files in the output that have no sidecar."""
        with storage_faults(self.places.output.root):
            try:
                _, names = reached(self.places.output, DIRECTORY).list(DIRECTORY)
                _, beside = reached(self.places.sidecars, DIRECTORY).list(DIRECTORY)
            except (FileNotFoundError, NotADirectoryError):
                return []
        recorded = {name.removesuffix(".json") for name in beside if name.endswith(".json")}
        return [
            f"{DIRECTORY}/{name}" for name in names if not name.endswith(".json") and name not in recorded
        ]

    def restore(
        self, source: str, kept: Sequence[Published], reserve: Callable[[Sequence[bytes]], bool]
    ) -> RestoredResults:
        """Give results a name again; to be followed by `forget`.

        Args:
            source: former path of their picture in the input.
            kept: the results, under their private names.
            reserve: reserves names for them; returns False, and reserves none, if another source has one.
        """
        with storage_faults(self.places.output.root):
            document, holder = self._document(kept)
            named = _names(source, document)
            results: dict[str, Published] = {}
            claims: list[bytes] = []
            for one in kept:
                own = named.get(one.path) or _fallback(source, one)
                found = self._give_name(source, one, own, reserve, with_sidecar=one.path == holder)
                if found is not None:
                    results[one.path] = replace(one, path=found[0])
                    claims += found[1]
            self.places.directories.sync(
                dict.fromkeys((self.places.output, one.path.rpartition("/")[0]) for one in results.values())
            )
            if document is not None and named and holder in results:
                renamed = {named[before]: now.path for before, now in results.items() if before in named}
                self._write_sidecar(source, holder, sidecar_name(results[holder].path), document, renamed)
        return RestoredResults(results=tuple(results.values()), claims=tuple(claims))

    def forget(self, kept: Sequence[Published]) -> None:
        """Remove the private names of results that have their names."""
        with storage_faults(self.places.output.root):
            for one in kept:
                for tree, path in (
                    (self.places.output, one.path),
                    (self.places.sidecars, _fresh(one.path)),
                    (self.places.sidecars, sidecar_name(one.path)),
                ):
                    with reached(tree, path).find(path) as entry:
                        if entry is not None:
                            entry.unlink(missing_ok=True)
        self.tidy()

    def tidy(self) -> None:
        """Remove the directory if nothing is kept."""
        with storage_faults(self.places.output.root):
            tidy(self.places)

    def _document(self, kept: Sequence[Published]) -> tuple[dict[str, Any] | None, str]:
        """Return the sidecar, and the private name of the result that it belongs to."""
        for one in kept:
            with reached(self.places.sidecars, one.path).find(sidecar_name(one.path)) as entry:
                document = read(entry, SCHEMA) if entry is not None else None
            if document is not None:
                return document, one.path
        return None, ""

    def _give_name(
        self,
        source: str,
        one: Published,
        own: str,
        reserve: Callable[[Sequence[bytes]], bool],
        *,
        with_sidecar: bool,
    ) -> tuple[str, tuple[bytes, ...]] | None:
        """Rename a result to the first name that it can have; returns it, or None if the file is gone."""
        for name in numbered(own):
            keys: tuple[bytes, ...] = (claim_on(self.places.output.root / name),)
            if with_sidecar:
                keys = (*keys, claim_on(self.places.sidecars.root / sidecar_name(name)))
            if not reserve(keys) or (with_sidecar and not self._is_free(source, sidecar_name(name))):
                continue
            self.places.directories.make(self.places.output, name.rpartition("/")[0])
            with (
                self.places.output.entry(name) as target,
                reached(self.places.output, one.path).find(one.path) as kept,
            ):
                end_removal(target, partial(has_bytes, sha256=one.sha256))
                found = examine(target)
                is_kept = kept is not None and kept.exists()
                if found is not None and found.sha256 == one.sha256:
                    return name, keys  # renamed before an interruption; leftovers are removed at the end
                if found is not None:
                    continue
                if kept is None or not is_kept:
                    return None
                if self._rename(kept, target):
                    return name, keys
        return None

    def _rename(self, kept: Entry, target: Entry) -> bool:
        """Rename a file; returns False if the name is taken."""
        self.places.access.fit(kept, target)
        try:
            rename_new(kept, target)
        except FileExistsError:
            return False
        return True

    def _is_free(self, source: str, path: str) -> bool:
        """Whether a sidecar may have a name: it is free, or a sidecar of the same source has it."""
        with self.places.sidecars.find(path) as entry:
            return entry is None or not entry.exists() or self._is_sidecar(source, entry)

    def _has_sidecar(self, source: str, path: str) -> bool:
        with self.places.sidecars.find(path) as entry:
            return entry is not None and entry.exists() and self._is_sidecar(source, entry)

    def _is_sidecar(self, source: str, entry: Entry) -> bool:
        record = read_sidecar(entry)
        return record is not None and record.path == source and self.places.owns(record.folder, record.marker)

    def _write_sidecar(
        self, source: str, holder: str, path: str, document: dict[str, Any], renamed: dict[str, str]
    ) -> None:
        """Write the sidecar beside the results, with their current names, unless it exists."""
        outputs = [
            {**path_fields(renamed.get(before, before)), **_without_path(one)}
            for one in document["outputs"]
            for before in (true_path(one),)
        ]
        directory = path.rpartition("/")[0]
        self.places.directories.make(self.places.sidecars, directory)
        with (
            reached(self.places.sidecars, holder).entry(_fresh(holder)) as fresh,
            self.places.sidecars.entry(path) as target,
        ):
            end_removal(target, partial(self._is_sidecar, source))
            if target.exists():
                return
            write_whole(fresh, encode({**document, "outputs": outputs}))
            if not self._rename(fresh, target):
                fresh.unlink(missing_ok=True)
        self.places.directories.sync([(self.places.sidecars, directory)])


def _names(source: str, document: dict[str, Any] | None) -> dict[str, str]:
    """Return the former names of results by their private ones, as far as the sidecar has them."""
    try:
        said = [(true_path(one), str(one["sha256"])) for one in document["outputs"]] if document else []
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}
    results = (Published(rendition=0, path=path, sha256=sha256, review=False) for path, sha256 in said)
    return {kept_path(source, one): one.path for one in results if not one.path.startswith(f"{DIRECTORY}/")}


def _fallback(source: str, one: Published) -> str:
    """Return a name based on the source's, for a result whose former name is unknown."""
    place = placed(source, directory="", review=one.review)
    parent, _, name = place.rpartition("/")
    stem, extension = split_name(name)[0], one.path.rpartition(".")[2]
    return f"{parent}/{stem}.{extension}" if parent else f"{stem}.{extension}"


def _fresh(kept: str) -> str:
    """Return the path at which a sidecar is written before it gets its name."""
    return f"{sidecar_name(kept)}.new"


def _without_path(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in {"path", "path_bytes"}}
