"""Users' decisions in the page: review of cutouts, cutting again, and pausing.

Each becomes a command in the journal, which the daemon carries out, now or when it starts. Nothing is changed here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from cutoutd.journal.batches import Batches
from cutoutd.journal.commands import Commands, Verb
from cutoutd.journal.decisions import BatchItem, Decision, UnknownBatchError
from cutoutd.page.backend import requests
from cutoutd.page.backend.jobs import MOST_NUMBERS
from cutoutd.page.backend.method import change
from cutoutd.sha256 import is_sha256
from cutoutd.webserver.backend.journal import required
from cutoutd.webserver.backend.method import RefusedError, Reply
from cutoutd.webserver.backend.parameters import text, truth, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.journal.decisions import Decided
    from cutoutd.page.backend.method import Backend, Endpoint
    from cutoutd.webserver.backend.method import Parameters

_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}|", re.ASCII)
_LARGEST: Final = 2**53
_PARTS: Final = (2, 3)
_MAX_ITEMS: Final = 5 << 20
"""Of a request's body, in bytes: 50,000 pictures, each with a SHA-256 and what is decided anew."""


def decide(backend: Backend, params: Parameters) -> Reply:
    """Accept or reject cutouts, or undo such a decision; cutouts that have changed since they were shown are skipped.

    Raises:
        RefusedError: 400; a parameter is wrong.
    """
    verb = text(params, "verb")
    if verb not in set(Decision):
        raise RefusedError(400, "unknown_choice", f"There is no decision {verb!r}.", name="verb", value=verb)
    items = _items(params.get("items"))
    name = requests.name_of(params)
    with required(backend) as store:
        decided = Batches(store).decide(Decision(verb), items, backend.clock, name)
    backend.tell("decided", {"batch": decided.batch})
    return _reply(decided)


def undo(backend: Backend, params: Parameters) -> Reply:
    """Undo a whole batch of decisions; cutouts that have changed since they were decided about are skipped.

    Raises:
        RefusedError: 409; the batch was undone already.
    """
    batch = whole(params, "batch")
    name = requests.name_of(params)
    with required(backend) as store:
        try:
            decided = Batches(store).undo(batch, backend.clock, name)
        except UnknownBatchError as error:
            raise RefusedError(409, "undone", f"{error.title}. {error.advice}", batch=batch) from error
    backend.tell("decided", {"batch": batch})
    return _reply(decided)


def retry(backend: Backend, params: Parameters) -> Reply:
    """Request that pictures are cut again, possibly by another model; those whose cutout has changed since it was shown are skipped.

    Raises:
        RefusedError: 400; a parameter is wrong.
    """
    items, model = _items(params.get("items")), text(params, "model", "")
    if not _MODEL.fullmatch(model):
        raise RefusedError(400, "unknown_choice", "No model has such a name.", name="model", value=model)
    name = requests.name_of(params)
    with required(backend) as store:
        decided = Batches(store).retry(items, model, backend.clock, name)
    backend.tell("decided", {"batch": 0})
    return _reply(decided)


def pause(backend: Backend, params: Parameters) -> Reply:
    """Pause new work, or resume it."""
    paused = truth(params, "paused")
    name = requests.name_of(params)
    with required(backend) as store:
        verb = Verb.PAUSE if paused else Verb.RESUME
        Commands(store, backend.clock).post(verb, request=name)
    return Reply(data={"paused": paused})


def _reply(decided: Decided) -> Reply:
    conflicts = [{"job": one.job, "code": one.code.value, "text": one.text} for one in decided.conflicts]
    return Reply(data={"batch": decided.batch, "done": decided.done, "conflicts": conflicts})


def _items(given: Any) -> list[BatchItem]:  # noqa: ANN401 -- JSON of a stranger
    if not isinstance(given, list) or not 0 < len(given) <= MOST_NUMBERS:
        raise _wrong_items(f"be a list of 1 to {MOST_NUMBERS} pictures")
    items: dict[int, BatchItem] = {}
    for one in given:
        if not isinstance(one, list) or len(one) not in _PARTS:
            raise _wrong_items("have a number and a SHA-256 for each picture")
        job, seen, over = one if len(one) == max(_PARTS) else (*one, "")
        is_number = isinstance(job, int) and not isinstance(job, bool) and 0 < job <= _LARGEST
        if not is_number or not (seen == "" or is_sha256(seen)) or over not in ("", *Decision):
            raise _wrong_items("have a number and a SHA-256 for each picture")
        items[job] = BatchItem(job=job, seen=seen, over=over)
    return list(items.values())


def _wrong_items(right: str) -> RefusedError:
    return RefusedError(400, "parameter", f"The parameter items must {right}.", name="items", right=right)


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "decide": change(decide, "verb", "items", max_body=_MAX_ITEMS),
    "undo": change(undo, "batch"),
    "retry": change(retry, "items", "model", max_body=_MAX_ITEMS),
    "pause": change(pause, "paused"),
}
