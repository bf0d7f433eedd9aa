"""Lists of pictures, and a single picture with all details."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import rfc3339
from cutoutd.failure import to_valid_utf8
from cutoutd.job_detail import JobResult, cause_in, failure_in
from cutoutd.jobs import JobState
from cutoutd.journal.batches import Batches
from cutoutd.journal.listing import Listing, Selection, Sort
from cutoutd.journal.reader import Reader
from cutoutd.page.backend.counts import counts
from cutoutd.page.backend.job_view import FILTERS, STATES, described, is_meant, reason_of
from cutoutd.page.backend.method import read
from cutoutd.page.backend.sidecars import sidecar_of
from cutoutd.webserver.backend.journal import journal, required
from cutoutd.webserver.backend.method import RefusedError, Reply
from cutoutd.webserver.backend.parameters import number, text, texts, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.jobs import Job
    from cutoutd.journal.listing import JobGroup
    from cutoutd.journal.store import Store
    from cutoutd.page.backend.method import Backend, Endpoint
    from cutoutd.webserver.backend.method import Parameters

MOST_ON_A_PAGE: Final = 200
MOST_NUMBERS: Final = 50_000
"""As many as one decision may be about."""

_EARLIER: Final = 20
_MOST_OFFSET: Final = 10_000_000
_LONGEST_NAME: Final = 200


def jobs(backend: Backend, params: Parameters) -> Reply:
    """Return a page of a list.

    Raises:
        RefusedError: 400; a parameter is wrong.
    """
    sort = _sort(params)
    offset = whole(params, "offset", 0, most=_MOST_OFFSET)
    limit = whole(params, "limit", 100, least=1, most=MOST_ON_A_PAGE)
    with journal(backend) as store:
        if store is None:
            _selection(params, {})
            return Reply(data={"total": 0, "jobs": []})
        kinds = counts(backend, store)
        listing = Listing(store)
        total, numbers = listing.page(
            _selection(params, kinds), sort, counts=kinds, offset=offset, limit=limit
        )
        return Reply(data={"total": total, "jobs": described(store, listing.jobs(numbers))})


def job_ids(backend: Backend, params: Parameters) -> Reply:
    """Return the numbers of a whole list, and the version of each that a decision refers to.

    Raises:
        RefusedError: 400; a parameter is wrong.
    """
    sort = _sort(params)
    with journal(backend) as store:
        if store is None:
            return Reply(data={"ids": [], "seen": []})
        listing = Listing(store)
        numbers = listing.numbers(_selection(params, counts(backend, store)), sort, limit=MOST_NUMBERS)
        seen = listing.first_results(numbers)
        return Reply(data={"ids": numbers, "seen": [seen.get(one, "") for one in numbers]})


def job(backend: Backend, params: Parameters) -> Reply:
    """Return one picture, with its sidecar's values where they can be read within the timeout.

    Raises:
        RefusedError: 404; there is no job of this number.
    """
    asked = whole(params, "job")
    with required(backend) as store:
        found = Reader(store).job(asked)
        if found is None:
            raise RefusedError(404, "no_job", "This picture is not in the journal any more.", job=asked)
        (shown,) = described(store, [found])
        outputs = Listing(store).outputs([asked]).get(asked, [])
        history = _history(store, found)
    result, failure = JobResult.of(found), failure_in(found)
    sidecar = sidecar_of(backend, found, outputs)
    if shown["width"] is None:  # an earlier version did not write it into the journal
        shown |= sidecar.pop("source_size")
    sidecar.pop("source_size", None)
    return Reply(
        data=shown
        | sidecar
        | {
            "bytes": found.size,
            "accepted_at": rfc3339(found.accepted_us),
            "model": result.model,
            "warnings": [to_valid_utf8(one) for one in result.warnings],
            "failure": None
            if failure is None
            else {
                "title": to_valid_utf8(failure.title),
                "cause": to_valid_utf8(failure.cause),
                "advice": to_valid_utf8(failure.advice),
                "permanent": failure.permanent,
            },
            "history": history,
        }
    )


def _history(store: Store, job: Job) -> list[dict[str, Any]]:
    """Return the decisions about a picture and its earlier versions, the latest first."""
    decided = [
        {"at": rfc3339(one.at_us), "what": one.verb, "batch": one.batch, "undone": one.is_undone}
        for one in Batches(store).about(job.id)
    ]
    earlier = [
        {
            "at": rfc3339(one.finished_us or one.accepted_us),
            "what": STATES[one.state],
            "why": to_valid_utf8(cause_in(one) or JobResult.of(one).why),
        }
        for one in Listing(store).earlier(job, _EARLIER)
    ]
    return decided + earlier


def _sort(params: Parameters) -> Sort:
    asked = text(params, "sort", Sort.NEWEST.value)
    if asked not in set(Sort):
        raise _unknown("sort", asked, tuple(Sort))
    return Sort(asked)


def _selection(params: Parameters, kinds: Mapping[JobGroup, int]) -> Selection:
    folders, words = set(texts(params, "folder")), texts(params, "state")
    for word in words:
        if word not in FILTERS:
            raise _unknown("state", word, FILTERS)
    code = text(params, "reason", "")
    reason = reason_of(code) if code else None
    if code and reason is None:
        raise RefusedError(400, "unknown_choice", f"There is no reason {code!r}.", name="reason", value=code)
    below = params.get("score_below")
    return Selection(
        kinds=tuple(
            kind
            for kind in kinds
            if (not folders or kind.folder in folders)
            and (
                any(is_meant(word, kind.state, kind.mark) for word in words)
                if words
                else kind.state is not JobState.GONE
            )
        ),
        reason=reason,
        score_below=None if below in (None, "") else number(params, "score_below", least=0.0, most=2.0),
        name=to_valid_utf8(text(params, "q", "", longest=_LONGEST_NAME)),
    )


def _unknown(name: str, value: str, choices: tuple[str, ...]) -> RefusedError:
    said = f"The parameter {name} must be one of {', '.join(choices)}."
    return RefusedError(400, "unknown_choice", said, name=name, value=value)


_CHOSEN: Final = ("folder", "state", "reason", "score_below", "q", "sort")

ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "jobs": read(jobs, *_CHOSEN, "offset", "limit"),
    "job_ids": read(job_ids, *_CHOSEN),
    "job": read(job, "job"),
}
