"""Metadata of a job's results, from their sidecar."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from cutoutd.fs.tree import Tree
from cutoutd.journal.listing import Listing
from cutoutd.logs import get
from cutoutd.publish.document import read, true_path
from cutoutd.publish.naming import sidecar_name
from cutoutd.publish.sidecar import SCHEMA
from cutoutd.serve.backend.jobs import find
from cutoutd.serve.backend.state import allowed, folder_of
from cutoutd.webserver.backend import journal
from cutoutd.webserver.backend.method import RefusedError, Reply
from cutoutd.webserver.backend.parameters import text, truth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.serve.backend.state import Method, ServeBackend
    from cutoutd.serve.keys import ApiKey
    from cutoutd.webserver.backend.method import Parameters

_SIDES: Final = 4


def _results(backend: ServeBackend, params: Parameters) -> Reply:
    """``job`` -> ``results``: of each output ``width``, ``height`` and ``subject`` (may be null), in their order."""
    key = allowed(backend, params)
    if truth(params, "is_preview", default=False):
        _notify_of_preview(backend, key)
    folder = folder_of(backend, key)
    with journal.required(backend) as store:
        _, job = find(backend, store, key, text(params, "job", longest=32))
        listed = [] if job is None else Listing(store).outputs([job.id]).get(job.id, [])
    targets = [os.fsdecode(one.target) for one in listed]
    said: dict[str, dict[str, Any]] = {}
    if targets:
        try:
            with Tree(folder.sidecar_dir or folder.output).entry(sidecar_name(targets[0])) as entry:
                document = read(entry, SCHEMA)
            said = {true_path(one): one for one in (document or {}).get("outputs", ())}
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise _unknown() from error
    try:
        return Reply(data={"results": [_facts(said[target]) for target in targets]})
    except (KeyError, TypeError, ValueError) as error:
        raise _unknown() from error


def _facts(output: Mapping[str, Any]) -> dict[str, Any]:
    subject = output.get("subject")
    is_known = isinstance(subject, list) and len(subject) == _SIDES
    return {
        "width": int(output["width"]),
        "height": int(output["height"]),
        "subject": [int(side) for side in subject] if is_known and isinstance(subject, list) else None,
    }


def _unknown() -> RefusedError:
    return RefusedError(503, "sidecar", "The sidecar of the result cannot be read just now.", retry_after_s=2)


class _NotifiedKeys(set[str]):
    """Ids of the keys whose owners were told."""


def _notify_of_preview(backend: ServeBackend, key: ApiKey) -> None:
    """Once for each key and run: its owner may wonder about small cutouts."""
    notified = backend.shared.get(_NotifiedKeys, _NotifiedKeys)
    if key.id not in notified:
        notified.add(key.id)
        get().warning(
            "serve.preview", key=key.name, why="its program sends no size, so it gets 0.25 megapixels"
        )


METHODS: Final[Mapping[str, Method]] = {"results": _results}
