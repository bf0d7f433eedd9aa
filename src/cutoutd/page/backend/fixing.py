"""Correct a cutout with a brush: load the picture, preview strokes, and save them as a request.

What is saved is a request in the journal, which the daemon carries out whenever it runs. This module must not decode anything.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from cutoutd import strokes
from cutoutd.corrections import MAX_SUGGESTIONS
from cutoutd.errors import JournalError
from cutoutd.journal.commands import Commands, Verb
from cutoutd.journal.corrections import Corrections
from cutoutd.journal.fix_request import FixAction, FixRequest
from cutoutd.journal.listing import Listing
from cutoutd.journal.state import running
from cutoutd.page.backend import requests, shown_files
from cutoutd.page.backend.brush_sessions import BrushSessions, fixable, source_changed
from cutoutd.page.backend.method import change, read
from cutoutd.page.backend.shown_files import PictureView
from cutoutd.webserver.backend import parameters
from cutoutd.webserver.backend.method import RefusedError, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.journal.store import Store
    from cutoutd.page.backend.brush_sessions import Fix
    from cutoutd.page.backend.method import Backend, Endpoint
    from cutoutd.page.backend.shown_files import ShownFile
    from cutoutd.strokes import Stroke
    from cutoutd.webserver.backend.method import Parameters


ANSWER_S: Final = 1.5
"""A running daemon is given so long to refuse what was saved."""

_LOOK_S: Final = 0.02
_MAX_STROKES: Final = 1 << 20
"""Of a request's body, in bytes: 20,000 points."""


def shared(backend: Backend) -> BrushSessions:
    """Return the brush sessions of a backend."""
    return backend.shared.get(BrushSessions, partial(BrushSessions, backend))


def _strokes(params: Parameters) -> tuple[Stroke, ...]:
    try:
        return strokes.parse(params.get("strokes"))
    except strokes.StrokesError as error:
        raise RefusedError(400, "strokes", str(error)) from error


def _suggestion(params: Parameters) -> int:
    return parameters.whole(params, "suggestion", 0, most=MAX_SUGGESTIONS - 1)


def _post(backend: Backend, request: FixRequest, name: str) -> Reply:
    """Leave a request in the journal; a running daemon that refuses it at once is listened to.

    Returns:
        ``pending``: whether the daemon has not taken it yet.

    Raises:
        RefusedError: the disk refuses it, or the daemon does.
    """
    settings, store = shown_files.configured(backend)
    commands = Commands(store, backend.clock)
    try:
        number = commands.post(Verb.FIX, request.to_argument(), name)
    except JournalError as error:
        raise RefusedError(
            503,
            "disk_full" if "full" in error.cause else "not_saved",
            f"The correction could not be saved: {error.cause}. What was drawn is still in this window; save it again.",
            why=error.cause,
        ) from error
    return _hear(commands, number, is_running=running(settings.service.state_dir) is not None)


def _hear(commands: Commands, number: int, *, is_running: bool) -> Reply:
    end_s = time.monotonic() + (ANSWER_S if is_running else 0)
    while (answer := commands.answer(number)) is None and time.monotonic() < end_s:
        time.sleep(_LOOK_S)
    if answer:
        raise RefusedError(409, "fix_refused", f"The correction was not taken: {answer}.", why=answer)
    return Reply(data={"pending": answer is None})


def _first_answer(backend: Backend, name: str) -> Reply | None:
    """Return the answer to a request of this name that is in the journal already; None: there is none. Its refusal is told again.

    Raises:
        RefusedError: the daemon refused it.
    """
    settings, store = shown_files.configured(backend)
    commands = Commands(store, backend.clock)
    number = commands.posted(Verb.FIX, name)
    if number is None:
        return None
    return _hear(commands, number, is_running=running(settings.service.state_dir) is not None)


def _check_unchanged(backend: Backend, fix: Fix) -> None:
    """A picture may be replaced while it is drawn on; one that cannot be looked at just now is for the daemon to look at.

    Raises:
        RefusedError: it is another one now, or is gone.
    """
    shown = fixable(backend, fix.job)
    if shown.sha256 != fix.sha256:
        raise source_changed()
    try:
        shared(backend).read(shown).close()
    except RefusedError as refused:
        if refused.code not in ("share_hangs", "folder_away"):
            raise


def _check_seen(store: Store, shown: ShownFile, seen: str) -> None:
    """Refuse what is about another cutout than there is.

    Args:
        store: the journal.
        shown: the picture.
        seen: SHA-256 of the cutout that the person saw; empty: there was none.

    Raises:
        RefusedError: there is another cutout.
    """
    known = {one.sha256 for one in shown_files.published(store, shown.job)}
    has_cutout = bool(known if seen else Listing(store).first_results([shown.job.id]))
    if has_cutout and seen not in known:
        raise RefusedError(
            409, "cutout_changed", "The cutout was replaced by another one meanwhile. Look at it again first."
        )


def fix_start(backend: Backend, params: Parameters) -> Reply:
    """``job``: load the picture in a worker, and begin a session."""
    shown = fixable(backend, parameters.whole(params, "job"))
    drawn = _drawn(backend, shown)
    fix, (width, height) = shared(backend).begin(shown)
    return Reply(data={"fix": fix.name, "width": width, "height": height, "version": shown.version, **drawn})


def correction(backend: Backend, params: Parameters) -> Reply:
    """``job``: the strokes that its cutout is made with, such as after an undo, and which suggestion for them."""
    return Reply(data=_drawn(backend, fixable(backend, parameters.whole(params, "job"))))


def _drawn(backend: Backend, shown: ShownFile) -> dict[str, Any]:
    _, store = shown_files.configured(backend)
    found = Corrections(store, backend.clock).of(shown.job)
    if found is None:
        return {"strokes": [], "suggestion": 0}
    return {"strokes": strokes.dump(found.strokes), "suggestion": found.suggestion}


def fix_preview(backend: Backend, params: Parameters) -> Reply:
    """``fix, strokes, suggestion``: preview the cutout after strokes, as a PNG."""
    fixing = shared(backend)
    fix = fixing.of(parameters.text(params, "fix"))
    body, changed = fixing.preview(fix, _strokes(params), _suggestion(params))
    return Reply(body=body, media_type="image/png", data={"changed": int(changed)})


def fix_save(backend: Backend, params: Parameters) -> Reply:
    """``fix, strokes, seen, suggestion``: request the cutout to be made again with these strokes."""
    fix = shared(backend).of(parameters.text(params, "fix"))
    drawn, seen = _strokes(params), parameters.text(params, "seen", "")
    name = requests.name_of(params)
    if (
        first := _first_answer(backend, name)
    ) is not None:  # what was seen then may be replaced by its result
        return first
    _check_unchanged(backend, fix)
    _, store = shown_files.configured(backend)
    shown = shown_files.find(backend, fix.job, PictureView.SOURCE)
    _check_seen(store, shown, seen)
    action = FixAction.DRAW if drawn else FixAction.CLEAR
    return _post(
        backend,
        FixRequest(job=fix.job, action=action, strokes=drawn, suggestion=_suggestion(params), seen=seen),
        name,
    )


def fix_undo(backend: Backend, params: Parameters) -> Reply:
    """``job, seen``: request the former version of the cutout."""
    shown = fixable(backend, parameters.whole(params, "job"))
    seen, name = parameters.text(params, "seen", ""), requests.name_of(params)
    if (first := _first_answer(backend, name)) is not None:
        return first
    _, store = shown_files.configured(backend)
    is_asked = any(command.verb == Verb.FIX for command in Commands(store, backend.clock).pending())
    if not is_asked and Corrections(store, backend.clock).of(shown.job) is None:
        raise RefusedError(
            409, "nothing_drawn", "There are no strokes on this cutout, so there is nothing to undo."
        )
    _check_seen(store, shown, seen)
    return _post(backend, FixRequest(job=shown.job.id, action=FixAction.UNDO, seen=seen), name)


def fix_end(backend: Backend, params: Parameters) -> Reply:
    """``fix``: end the session."""
    shared(backend).end(parameters.text(params, "fix"))
    return Reply(data={})


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "correction": read(correction, "job"),
    "fix_start": change(fix_start, "job", is_slow=True),
    "fix_preview": change(fix_preview, "fix", "strokes", "suggestion", is_slow=True, max_body=_MAX_STROKES),
    # "again" is ignored: a tab of the version before sends it, and keeps its strokes. It can go after the next release.
    "fix_save": change(
        fix_save, "fix", "strokes", "suggestion", "seen", "again", is_slow=True, max_body=_MAX_STROKES
    ),
    "fix_undo": change(fix_undo, "job", "seen"),
    "fix_end": change(fix_end, "fix"),
}
