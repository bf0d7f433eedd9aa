"""Adoption: results that sidecars and failure records describe but this journal does not know, written into its tables.

It must not read sidecars or records itself, nor look at a source.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cutoutd.database import restored, stored
from cutoutd.jobs import IN_HAND, JobState
from cutoutd.journal.reservations import put_output
from cutoutd.journal.store import SQL
from cutoutd.strokes import dump

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.corrections import Correction
    from cutoutd.jobs import Published, Version
    from cutoutd.journal.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted:
    """A result that a sidecar or failure record describes, as far as it was verified.

    Attributes:
        version: the version of the source.
        is_present: whether this version is at its path now.
        latest: whether it is the last known publication of its source.
        gone: whether the source is gone: a file that appears at its path is then another source.
        state: DONE, REVIEW or FAILED.
        sha256: SHA-256 of the source's bytes, hex.
        image_sha256: SHA-256 of the picture's data without its metadata, which recognises a picture that only got a rating since;
            None: not known.
        at_us: when it was published or failed, UTC microseconds.
        published: the results under their names.
        claims: keys of the names that belong to the source from now on.
        detail: the detail of the job's row.
        correction: what a person drew over the cutout; None: nothing.
        options: what a request asked of the picture, as `cutoutd.job_options` writes it; empty: nothing.
    """

    version: Version
    is_present: bool
    latest: bool
    gone: bool = False
    state: JobState
    sha256: str
    image_sha256: str | None = None
    at_us: int
    published: tuple[Published, ...]
    claims: tuple[bytes, ...]
    detail: dict[str, Any]
    correction: Correction | None = None
    options: str = ""


def take_over(
    store: Store, folder: str, one: Adopted, *, now_us: int, retire: Callable[[str, bytes, int], int]
) -> bool:
    """Write an adopted result into the journal, inside a transaction of the caller's.

    Args:
        store: the journal's file.
        folder: name of the folder.
        one: the adopted result.
        now_us: the time now, UTC microseconds.
        retire: function that makes the newest version of a source an older one.

    Returns:
        Whether a version counts as ended now that did not before.
    """
    path = os.fsencode(one.version.path)
    newest = store.row(SQL.newest_version, folder=folder, path=path)
    at_us = min(one.at_us, now_us)  # it may come from another machine's clock, or be edited
    overtaken = newest is not None and (newest["finished_us"] or 0) >= at_us > 0
    generation = newest["generation"] if newest is not None else 0
    latest = one.latest and not overtaken
    _write_results(store, folder, path, one, latest=latest, generation=generation, now_us=now_us)
    if not one.is_present or overtaken:
        return False
    known = None if newest is None else (newest["size"], restored(newest["mtime_ns"]))
    if newest is None or known != (one.version.size, one.version.mtime_ns):
        if newest is not None and newest["state"] in IN_HAND:
            return False
        retire(folder, path, now_us)
        job = store.insert(
            SQL.insert_job,
            folder=folder,
            path=path,
            generation=generation,
            size=one.version.size,
            mtime_ns=stored(one.version.mtime_ns),
            stamp=None,
            provisional=False,
            state=one.state,
            accepted_us=at_us,
            finished_us=at_us,
            sha256=one.sha256,
            detail=json.dumps(one.detail),
        )
        store.write(SQL.set_options, job=job, options=one.options)
        return True
    # A retry that a person asked for is still carried out.
    if newest["state"] in IN_HAND or newest["forced"]:
        return False
    store.write(
        SQL.adopt,
        state=one.state,
        at_us=at_us,
        sha256=one.sha256,
        detail=json.dumps(one.detail),
        job=newest["id"],
    )
    return newest["finished_us"] is None


def _write_results(
    store: Store, folder: str, path: bytes, one: Adopted, *, latest: bool, generation: int, now_us: int
) -> None:
    """Write a source's names and results; an earlier publication only adds what is not known yet."""
    source = {"folder": folder, "path": path, "generation": generation}
    for key in one.claims:
        store.write(SQL.reserve, key=key, **source)
    if one.state is JobState.FAILED:
        return
    store.write(
        SQL.adopt_publication if latest else SQL.adopt_earlier_publication,
        sha256=one.sha256,
        image_sha256=one.image_sha256,
        gone=one.gone,
        now_us=now_us,
        size=one.version.size,
        mtime_ns=stored(one.version.mtime_ns),
        **source,
    )
    if latest and one.correction is not None:
        store.write(
            SQL.adopt_correction,
            number=one.correction.number,
            sha256=one.correction.sha256,
            suggestion=one.correction.suggestion,
            strokes=json.dumps(dump(one.correction.strokes), separators=(",", ":")),
            now_us=now_us,
            **source,
        )
    for result in one.published:
        put_output(store, SQL.put_output if latest else SQL.add_output, source, result)
