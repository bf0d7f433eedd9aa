"""What was done without this journal's knowing, as sidecars and failure records tell, taken over row by row.

It must not read those, nor look at a source.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.jobs import JobState
from cutoutd.journal.integers import restored, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.jobs import Published, Version
    from cutoutd.journal.store import Store

_IN_HAND: Final = frozenset({JobState.WORKING, JobState.PUBLISHING})


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted:
    """What a sidecar or failure record says was done, as far as it was found to be so.

    Attributes:
        version: of the source.
        stands: this version lies there now.
        latest: it is the last publication of its source that is known of.
        gone: the source is not there any more: a file that comes to its path is another one.
        state: DONE, REVIEW or FAILED.
        sha256: of the source's bytes.
        image_sha256: of its data apart from metadata: a picture that only got a rating since is known by it.
        at_us: when it was published or given up.
        published: results under their names.
        claims: keys of the names that are the source's from then on.
        detail: for the row.
    """

    version: Version
    stands: bool
    latest: bool
    gone: bool = False
    state: JobState
    sha256: str
    image_sha256: str | None = None
    at_us: int
    published: tuple[Published, ...]
    claims: tuple[bytes, ...]
    detail: dict[str, Any]


def take_over(
    store: Store, folder: str, one: Adopted, *, now_us: int, retire: Callable[[str, bytes, int], int]
) -> bool:
    """Write one down, inside a transaction of the caller's.

    Args:
        store: the journal's file.
        folder: the folder's name.
        one: what is said.
        now_us: UTC microseconds.
        retire: makes the newest version of a source one of the older ones.

    Returns:
        Whether a version counts as ended by it that did not before.
    """
    path = os.fsencode(one.version.path)
    newest = store.row(
        "SELECT id, generation, size, mtime_ns, state, forced, finished_us FROM job "
        "WHERE folder = ? AND path = ? AND newest = 1",
        (folder, path),
    )
    at_us = min(one.at_us, now_us)  # another machine's clock, or anybody's word
    overtaken = newest is not None and (newest["finished_us"] or 0) >= at_us > 0
    generation = newest["generation"] if newest is not None else 0
    latest = one.latest and not overtaken
    _own(store, folder, path, one, latest=latest, generation=generation, now_us=now_us)
    if not one.stands or overtaken:
        return False
    known = None if newest is None else (newest["size"], restored(newest["mtime_ns"]))
    if newest is None or known != (one.version.size, one.version.mtime_ns):
        if newest is not None and newest["state"] in _IN_HAND:
            return False
        retire(folder, path, now_us)
        store.insert(
            "INSERT INTO job (folder, path, generation, size, mtime_ns, state, accepted_us, finished_us, sha256, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                folder,
                path,
                generation,
                one.version.size,
                stored(one.version.mtime_ns),
                one.state,
                at_us,
                at_us,
                one.sha256,
                json.dumps(one.detail),
            ),
        )
        return True
    # What a person has asked for is done even so.
    if newest["state"] in _IN_HAND or newest["forced"]:
        return False
    store.write(
        "UPDATE job SET state = ?, finished_us = ?, sha256 = ?, detail = ? WHERE id = ?",
        (one.state, at_us, one.sha256, json.dumps(one.detail), newest["id"]),
    )
    return newest["finished_us"] is None


def _own(
    store: Store, folder: str, path: bytes, one: Adopted, *, latest: bool, generation: int, now_us: int
) -> None:
    """Names and results of a source; of a publication that is not the last, only what no other one says."""
    for key in one.claims:
        store.write(
            "INSERT OR IGNORE INTO reservation (key, folder, path, generation) VALUES (?, ?, ?, ?)",
            (key, folder, path, generation),
        )
    if one.state is JobState.FAILED:
        return
    verb = "REPLACE" if latest else "IGNORE"
    store.write(
        f"INSERT OR {verb} INTO published (folder, path, generation, sha256, image_sha256, gone, published_us,"  # noqa: S608 -- a literal
        " size, mtime_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            folder,
            path,
            generation,
            one.sha256,
            one.image_sha256,
            one.gone,
            now_us,
            one.version.size,
            stored(one.version.mtime_ns),
        ),
    )
    for result in one.published:
        store.write(
            f"INSERT OR {verb} INTO output (folder, path, generation, rendition, review, target, sha256)"  # noqa: S608 -- a literal
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                folder,
                path,
                generation,
                result.rendition,
                result.review,
                os.fsencode(result.path),
                result.sha256,
            ),
        )
