"""Formats an overview: lines for a person, with colours on a terminal, and without them everywhere else.

It only formats; its values were looked up elsewhere. Lines are wrapped to the width of the terminal, and not wrapped where
there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cutoutd.cli.closing import rate, time_left
from cutoutd.cli.printing import printable
from cutoutd.clock import local
from cutoutd.daemon.companion_watch import ADVICE, MISSED
from cutoutd.folder.status import OPEN, FolderState
from cutoutd.job_detail import JobResult, cause_in
from cutoutd.jobs import JobState
from cutoutd.overview.overview import RATE_WINDOW_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cutoutd.jobs import Job
    from cutoutd.overview.overview import FolderView, Overview

Part = tuple[str, str]
"""A text, and its style as in rich."""

Line = tuple[Part, ...]

_INDENT: Final = "  "
_GOOD, _DOUBT, _BAD, _FAINT, _STRONG = "green", "yellow", "bold red", "dim", "bold"
_GB: Final = 10**9
_STATUS_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    FolderState.NATIVE: ("watching", _GOOD),
    FolderState.POLL: ("watching by polling", _GOOD),
    FolderState.STARTING: ("starting", _DOUBT),
    FolderState.STANDING_BY: ("STANDING BY", _BAD),
    FolderState.PAUSED: ("PAUSED", _BAD),
}
_UNHEARD: Final = "not known to the cutoutd that is running: end it and start it again"


def lines(overview: Overview) -> Iterator[Line]:
    """Yield all lines of an overview."""
    yield _headline(overview)
    if overview.rebuilt is not None:
        told = overview.rebuilt
        if told["set_aside"]:
            said = f"The journal was damaged and was rebuilt at {told['at']}; the old one is {told['set_aside']} in {overview.state_dir}"
        else:
            said = f"An earlier journal was put back; what it did not know was taken from the sidecars at {told['at']}"
        said += ". `cutoutd resume` ends this notice."
        yield ((said, _DOUBT),)
    if (trouble := overview.state_trouble) is not None:
        said = printable(str(trouble))
        yield ((f"{said[0].upper()}{said[1:]}", _BAD),)
    if why := overview.refused_configuration:
        yield (
            (
                f"The changed configuration is refused; the earlier one stays in force: {printable(why)}",
                _DOUBT,
            ),
        )
    for name in overview.ended_companions:
        said = MISSED.get(name, f"{name} has ended")
        yield ((f"{printable(said[0].upper() + said[1:])}. {ADVICE}", _BAD),)
    for folder in overview.folders:
        yield ()
        goes_on = overview.running and not overview.paused
        yield from _folder(folder, running=overview.running, goes_on=goes_on, at_us=overview.at_us)


def cluster(
    said: Mapping[str, Any], away: Mapping[str, int] | None, falls_back: Sequence[str], at_us: int
) -> Iterator[Line]:
    """The route to the cluster, where a folder is tagged for it.

    Args:
        said: the gateway's own status; empty if none runs.
        away: since when the cluster is away, and from when on pictures are cut here; None: it is not, or no daemon runs.
        falls_back: folders whose pictures are cut here then.
        at_us: now, UTC microseconds.
    """
    yield ()
    if not said:
        yield (("Cluster: ", _STRONG), ("the gateway does not run; no picture is sent there.", _DOUBT))
    else:
        yield from _gateway(said)
    if away and falls_back:
        from_us = away["cut_here_from_us"]
        word = "are cut" if from_us <= at_us else "will be cut"
        names = printable(", ".join(falls_back))
        yield ((f"{_INDENT}pictures of {names} {word} here from {local(from_us):%H:%M}", _DOUBT),)


def _gateway(said: Mapping[str, Any]) -> Iterator[Line]:
    is_open = said.get("route") == "open"
    why = f": {printable(str(said['why']))}" if said.get("why") else ""
    yield (
        ("Cluster: ", _STRONG),
        ("open" if is_open else str(said.get("route", "away")).upper(), _GOOD if is_open else _BAD),
        (f" at {printable(str(said.get('scheduler', '')))}{why}", ""),
    )
    machines = [one for one in said.get("machines") or () if isinstance(one, dict)]
    slots = sum(int(one.get("slots", 0)) for one in machines)
    now = f"{said.get('in_flight', 0)} being sent, {said.get('waiting', 0)} waiting"
    count = f"{_count(len(machines), 'machine')} with {_count(slots, 'slot')}"
    yield ((f"{_INDENT}{count} when last asked; {now}", ""),)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def hosted(said: Mapping[str, Any]) -> Iterator[Line]:
    """Yield the status of the hosted route, where a folder is tagged: whether it is open, and what was sent today.

    Args:
        said: status of the uploader; empty if none runs.
    """
    yield ()
    if not said:
        yield (("Hosted route: ", _STRONG), ("the uploader does not run; no picture leaves.", _DOUBT))
        return
    is_open = said.get("route") == "open"
    why = "" if is_open else f": {printable(str(said.get('why', '')))}"
    state = "open" if is_open else str(said.get("route", "closed")).upper()
    yield (
        ("Hosted route: ", _STRONG),
        (state, _GOOD if is_open else _BAD),
        (f" to {printable(str(said.get('host', '')))}{why}", ""),
    )
    today = said.get("today") or {}
    now = f"{said.get('in_flight', 0)} being sent, {said.get('waiting', 0)} waiting"
    sent = f"{today.get('uploads', 0)} uploads, {today.get('bytes', 0) / 1e6:.1f} MB"
    yield ((f"{_INDENT}{now}; today {sent}, {today.get('credits', 0):g} credits", ""),)
    for name, folder in (said.get("folders") or {}).items():
        if folder.get("why"):
            yield ((f"{_INDENT}{printable(str(name))}: {printable(str(folder['why']))}", _DOUBT),)


def page(address: str | None) -> Line:
    """Return the line about the page.

    Args:
        address: address of the page; None: it is not served.
    """
    if address is None:
        return (("The page is not served; `cutoutd page` serves and opens it.", _FAINT),)
    return (("The page: ", _STRONG), (address, _GOOD), (" (`cutoutd page` opens it)", _FAINT))


def api(address: str | None) -> Line:
    """Where the API is, or that nobody serves it.

    Args:
        address: where; None: it is not served.
    """
    if address is None:
        return (("The API is not served; `cutoutd run` serves it, or `cutoutd serve`.", _FAINT),)
    return (
        ("The API: ", _STRONG),
        (address, _GOOD),
        (" (`cutoutd serve keys list` shows which programs may use it)", _FAINT),
    )


def webhooks(said: Mapping[str, Any]) -> Iterator[Line]:
    """Yield what waits for webhooks, and what was given up.

    Args:
        said: status of the uploader; empty if none runs.
    """
    yield ()
    if not said:
        yield (("Webhooks: ", _STRONG), ("the uploader does not run; no webhook is called.", _DOUBT))
    for one in said.get("webhooks") or ():
        is_bad = bool(one.get("off") or one.get("dead"))
        words = [f"{one.get('waiting', 0)} waiting"]
        if one.get("dead"):
            words.append(f"{one['dead']} GIVEN UP (`cutoutd webhook list`)")
        if one.get("off"):
            words.append("the receiver answered 410: it wants no more messages")
        elif one.get("why"):
            words.append(printable(str(one["why"])))
        style = _BAD if is_bad else _DOUBT if one.get("failures") else ""
        name = printable(f"{one.get('folder')} -> {one.get('host')}: ")
        yield (("Webhook ", _STRONG), (name, ""), ("; ".join(words), style))


def plain(line: Line) -> str:
    """Return a line without its styles."""
    return "".join(text for text, _ in line)


def _headline(overview: Overview) -> Line:
    clock = (f"  {_time(overview.at_us)}", _FAINT)
    if not overview.running:
        return (("cutoutd is not running.", _BAD), clock)
    if overview.pid is None:
        return (("cutoutd is starting.", _DOUBT), clock)
    who = f" (process {overview.pid}, {_count(overview.workers or 0, 'worker')})"
    if overview.paused:
        return (("cutoutd is paused", _BAD), (f"{who}: `cutoutd resume` continues.", ""), clock)
    return (("cutoutd is running", _GOOD), (f"{who}.", ""), clock)


def _folder(folder: FolderView, *, running: bool, goes_on: bool, at_us: int) -> Iterator[Line]:
    where = f"  {printable(folder.input)} -> {printable(folder.output)}"
    yield ((printable(folder.name), _STRONG), (where, _FAINT))
    if running:
        words, style = _STATUS_WORDS.get(folder.watching or "", (_UNHEARD, _DOUBT))
        why = f": {printable(folder.why)}" if folder.why else ""
        yield ((_INDENT, ""), (words, style), (why, ""))
    if folder.note:
        yield ((f"{_INDENT}note: {printable(folder.note)}", _DOUBT),)
    if folder.links:
        yield ((f"{_INDENT}links skipped: {folder.links} (links are never followed)", _FAINT),)
    if folder.unreadable:
        yield ((f"{_INDENT}cannot be read: {folder.unreadable} (see the log for which)", _DOUBT),)
    yield _counts(folder)
    yield from _to_look_at(folder)
    yield _pace(folder, goes_on=goes_on and folder.watching in OPEN)
    for why, count in folder.skipped.items():
        reason = printable(why) or "an earlier version did not record why"
        yield ((f"{_INDENT}skipped: {count} ({reason})", _FAINT),)
    for file in folder.held_up:
        yield ((f"{_INDENT}not taken yet: {printable(file['path'])} ({printable(file['why'])})", _DOUBT),)
    for job in folder.last_failed:
        yield ((f"{_INDENT}failed: {printable(job.path)} ({printable(cause_in(job))})", _BAD),)
    if len(folder.last_failed) < folder.failed - folder.rejected and folder.last_failed:
        yield ((f"{_INDENT}`cutoutd jobs --state failed` lists all that failed", _FAINT),)
    if folder.last is not None:
        yield _last(folder.last, at_us)


def _counts(folder: FolderView) -> Line:
    unanswered = folder.states.get(JobState.UNKNOWN, 0)
    failed = folder.failed - folder.rejected
    counts: list[tuple[int, str, str]] = [
        (folder.waiting - folder.resting, "waiting", ""),
        (folder.at_work, "in work", ""),
        (folder.settling, "arriving", ""),
        (folder.done_today, "cut today", ""),
        (folder.review, "to review", _DOUBT if folder.review else ""),
        (failed, "failed", _BAD if failed else ""),
    ]
    if folder.resting:
        counts.insert(1, (folder.resting, "to be tried again", _DOUBT))
    if folder.rejected:
        counts.append((folder.rejected, "rejected", ""))
    if unanswered:
        counts.append((unanswered, "without an answer, perhaps billed", _BAD))
    parts: list[Part] = [(_INDENT, "")]
    for number, (count, words, style) in enumerate(counts):
        parts += [(", " if number else "", ""), (f"{count} {words}", style)]
    return tuple(parts)


def _to_look_at(folder: FolderView) -> Iterator[Line]:
    """Yield what needs a look, each with the command that lists it."""
    if folder.doubtful:
        many = "1 published cutout is" if folder.doubtful == 1 else f"{folder.doubtful} published cutouts are"
        yield ((f"{_INDENT}{many} doubtful (`cutoutd jobs --doubtful`)", _DOUBT),)
    if folder.review:
        many = "1 is" if folder.review == 1 else f"{folder.review} are"
        yield ((f"{_INDENT}{many} held back for review (`cutoutd review list`)", _DOUBT),)
    if folder.originals_to_go:
        many = "1 original is" if folder.originals_to_go == 1 else f"{folder.originals_to_go} originals are"
        why = "where one stays, the log says why: original.stays"
        yield ((f"{_INDENT}{many} still to be moved or deleted ({why})", _DOUBT),)


def _pace(folder: FolderView, *, goes_on: bool) -> Line:
    """Return the rate, the number of recent pictures, and the remaining time while work goes on."""
    said = [f"{folder.recent} in the last {RATE_WINDOW_S // 60} minutes"]
    if folder.per_minute:
        said.insert(0, f"about {rate(folder.per_minute)} a minute while it works")
    if goes_on and folder.eta_s is not None:
        said.insert(0, f"about {time_left(folder.eta_s)} left")
    if folder.median_s is not None:
        said.insert(0, f"{folder.median_s:.1f} s a picture")
    if folder.free_bytes is not None:
        said.append(f"{folder.free_bytes / _GB:.1f} GB free")
    return ((f"{_INDENT}{', '.join(said)}", ""),)


def _last(job: Job, at_us: int) -> Line:
    result = JobResult.of(job)
    name = printable(result.outputs[0].rsplit("/", 1)[-1] if result.outputs else job.path)
    finished = job.finished_us or 0
    same_day = _day(finished) == _day(at_us)
    when = _time(finished) if same_day else f"{_day(finished)} {_time(finished)}"
    doubtful = ", to review" if job.state == "review" else ", doubtful" if result.doubtful else ""
    return ((f"{_INDENT}last: ", _FAINT), (name, ""), (f" at {when}{doubtful}", _FAINT))


def _time(us: int) -> str:
    return f"{local(us):%H:%M:%S}"


def _day(us: int) -> str:
    return f"{local(us):%Y-%m-%d}"
