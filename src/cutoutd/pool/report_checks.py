"""Checks that the messages of a worker are plausible: their size, the ranges of numbers, and whether they fit the task.

A hostile picture may have taken over its worker, whose messages go into sidecars, the journal and the log. It must not read
anything but the values that are passed in.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.jobs import Cut, Exported, Failure, Moved, NeedsRoom, SourceFacts, Staged, Unchanged
from cutoutd.recipe import largest_result_bytes
from cutoutd.sha256 import is_sha256
from cutoutd.task_route import Returned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.corrections import Corrected
    from cutoutd.jobs import Report, Task
    from cutoutd.recipe import Rendition
    from cutoutd.task_route import RemoteFacts

MAX_TEXT: Final = 2000
"""Characters of one text; a correct worker shortens its own."""

MAX_ITEMS: Final = 200
"""Entries of one list or table: 20 renditions, and some warnings about each."""

MAX_VALUES: Final = 5000
"""Values of one message in total."""

MAX_DEPTH: Final = 6
"""Levels of nesting; a correct message has a table in a list in a table."""

SLACK_MS: Final = 1000.0
"""Tolerance between the clock of a worker and that of the supervisor."""

MAX_DELAY_S: Final = 3600.0
"""Longest delay of a temporary failure."""

MAX_VERSION: Final = 1000
"""Version of the method that follows strokes."""

MAX_FRAME: Final = 1e9
"""Pixels by which a picture may reach beyond a result that shows a small part of it, enlarged."""

MAX_WORD: Final = 200
"""Characters of a machine's address or of a version."""

_INTEGERS: Final = range(-(1 << 63), 1 << 63)
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]{8,15}Z")
_STEP: Final = re.compile(r"[a-z][a-z_-]{0,39}")


@dataclass(frozen=True, kw_only=True, slots=True)
class AssignedTask:
    """The task that a worker has.

    Attributes:
        task: the task.
        max_pixels: limit for a picture and for a result, as set for the worker.
        since_ms: milliseconds since the worker got the task.
    """

    task: Task
    max_pixels: int
    since_ms: float


def fault_of_message(message: object) -> str:
    """Return why no correct worker sends such a message, judged by its size alone; empty if it is acceptable.

    Args:
        message: parsed JSON.
    """
    left = MAX_VALUES
    values: list[tuple[object, int]] = [(message, 0)]
    while values:
        value, depth = values.pop()
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            return "it has more values than a valid report can have"
        if isinstance(value, dict | list):
            if len(value) > MAX_ITEMS:
                return f"it has a list of {len(value)} entries"
            inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            values += [(one, depth + 1) for one in inner]
        elif isinstance(value, str) and (len(value) > MAX_TEXT or not _is_text(value)):
            return "it has a text that is too long, or cannot be shown"
        elif isinstance(value, int) and value not in _INTEGERS:
            return "it has a number that is too large"
    return ""


def shortened(value: Any) -> Any:  # noqa: ANN401 -- any JSON value, and the same kind comes back
    """Shorten the texts and lists of a JSON value so that `fault_of_message` accepts it."""
    if isinstance(value, str):
        text = _as_text(value)
        return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    if isinstance(value, dict):
        return {key: shortened(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [shortened(one) for one in value[:MAX_ITEMS]]
    return value


def fault_of_report(report: Report, assigned: AssignedTask) -> str:
    """Return why a report cannot be true of its task; empty if it can.

    Args:
        report: a report whose values have the right types.
        assigned: the task that the report is about.
    """
    return next(_faults(report, assigned), "")


def _faults(report: Report, assigned: AssignedTask) -> Iterator[str]:
    match report:
        case Cut():
            yield from _faults_of_cut(report, assigned)
        case Exported():
            yield from _faults_of_export(report, assigned)
        case Unchanged():
            yield from _faults_of_hash(report.sha256, report.image_sha256)
        case Moved():
            yield from _faults_of_hash(report.sha256)
        case NeedsRoom():
            if not 0 < report.pixels <= assigned.max_pixels:
                yield f"it reports a picture of {report.pixels} pixels"
        case Failure():
            yield from _faults_of_failure(report)
        case Returned() if assigned.task.cluster is None:
            yield "it gives a task back that is for this machine"


def _faults_of_export(report: Exported, assigned: AssignedTask) -> Iterator[str]:
    yield from _faults_of_source(report.source, assigned)
    yield from _faults_of_hash(report.sha256)
    export = assigned.task.export
    if export is not None:
        yield from _faults_of_size(report.width, report.height, export.max_pixels)
        yield from _faults_of_bytes(report.bytes, export.max_bytes)


def _faults_of_cut(report: Cut, assigned: AssignedTask) -> Iterator[str]:
    yield from _faults_of_source(report.source, assigned)
    for staged in report.staged:
        yield from _faults_of_staged(staged, report.source, assigned)
    scores = (report.quality.score, *((report.second.score,) if report.second is not None else ()))
    if not all(0 <= score <= 1 for score in scores):
        yield "it reports a score that is not between 0 and 1"
    if report.remote is not None:
        yield from _faults_of_remote(report.remote, assigned)
    if report.corrected is not None:
        yield from _faults_of_corrected(report.corrected, assigned)
    for step, ms in report.timings_ms.items():
        if not _STEP.fullmatch(step) or not 0 <= ms <= assigned.since_ms + SLACK_MS:
            yield f"it reports a step of {ms:.0f} ms, {assigned.since_ms:.0f} ms after it was given the task"
    if sum(ms for step, ms in report.timings_ms.items() if step != "total") > assigned.since_ms + SLACK_MS:
        yield "it reports steps that took longer than the task"


def _faults_of_remote(remote: RemoteFacts, assigned: AssignedTask) -> Iterator[str]:
    if assigned.task.cluster is None:
        yield "it reports another machine, and its task is for this one"
    yield from _faults_of_hash(remote.sha256)
    if remote.bytes < assigned.task.size or not _MOMENT.fullmatch(remote.at):
        yield "it reports a picture that was sent in part, or at no time"
    words = (remote.host, remote.cutoutd, remote.onnxruntime, remote.python, remote.provider, *remote.layers)
    if not all(len(word) <= MAX_WORD and word.isprintable() for word in words):
        yield "it reports a machine in words that are none"


def _faults_of_corrected(corrected: Corrected, assigned: AssignedTask) -> Iterator[str]:
    correction = assigned.task.correction
    if correction is None or corrected.number != correction.number:
        yield "it reports a correction that nobody drew"
    if not 0 < corrected.version <= MAX_VERSION:
        yield f"it reports version {corrected.version} of the method"


def _faults_of_source(source: SourceFacts, assigned: AssignedTask) -> Iterator[str]:
    if source.bytes != assigned.task.size:
        yield f"it reports a source of {source.bytes} bytes, and its task is one of {assigned.task.size}"
    yield from _faults_of_size(source.width, source.height, assigned.max_pixels)
    yield from _faults_of_hash(source.sha256, source.image_sha256)
    if not 1 <= source.orientation <= 8:  # noqa: PLR2004 -- EXIF's
        yield f"it reports an orientation of {source.orientation}"
    if not (0 < len(source.format) <= 40 and source.format.isprintable()):  # noqa: PLR2004 -- a name's length
        yield "it reports a format that is none"


def _faults_of_staged(staged: Staged, source: SourceFacts, assigned: AssignedTask) -> Iterator[str]:
    renditions = assigned.task.recipe.renditions
    if not staged.is_overlay and not 0 <= staged.rendition < len(renditions):
        yield f"it reports a result of rendition {staged.rendition}"
        return
    width, height = source.width, source.height
    if not staged.is_overlay:
        width, height = largest_size(renditions[staged.rendition], width, height)
    if staged.width > width or staged.height > height:
        yield f"it reports a result of {staged.width} x {staged.height} pixels, and there can be {width} x {height}"
    yield from _faults_of_size(staged.width, staged.height, assigned.max_pixels)
    most = largest_result_bytes(staged.width * staged.height, source_bytes=assigned.task.size)
    yield from _faults_of_bytes(staged.bytes, most)
    yield from _faults_of_hash(staged.sha256, staged.background_sha256)
    if staged.subject is not None and not _lies_in(staged.subject, staged):
        yield "it reports a subject outside of its result"
    if staged.frame is not None and not _is_frame(staged.frame):
        yield "it reports a frame that no picture has"
    if staged.quality is not None and not 0 <= staged.quality <= 100:  # noqa: PLR2004 -- every encoder's scale
        yield f"it reports a quality of {staged.quality}"


def _lies_in(box: tuple[int, int, int, int], staged: Staged) -> bool:
    left, top, width, height = box
    return min(box) >= 0 and left + width <= staged.width and top + height <= staged.height


def _is_frame(frame: tuple[float, float, float, float]) -> bool:
    left, top, width, height = frame
    return max(abs(left), abs(top), width, height) < MAX_FRAME and min(width, height) > 0


def largest_size(rendition: Rendition, width: int, height: int) -> tuple[int, int]:
    """Return the greatest width and height that a result of a rendition can have, in pixels.

    Args:
        rendition: the rendition.
        width: width of the picture, pixels.
        height: height of the picture, pixels.
    """
    if rendition.canvas is not None:
        return rendition.canvas
    if rendition.crop is not None and rendition.scale is None:
        # A margin may reach beyond the picture, and so does a shadow, by less than the longer side.
        shadow = 2 * max(width, height) if rendition.shadow else 0
        across, down = width + shadow, height + shadow
        top, right, bottom, left = zip(rendition.crop.px, rendition.crop.share, strict=True)
        width = across + sum(math.ceil(px + share * width) for px, share in (left, right))
        height = down + sum(math.ceil(px + share * height) for px, share in (top, bottom))
    if rendition.max_px is not None:
        return min(width, rendition.max_px), min(height, rendition.max_px)
    return width, height


def _faults_of_failure(failure: Failure) -> Iterator[str]:
    if not 0 <= failure.delay_s <= MAX_DELAY_S:
        yield f"it reports a failure that rests for {failure.delay_s:.0f} s"


def _faults_of_size(width: int, height: int, max_pixels: int) -> Iterator[str]:
    if min(width, height) < 1 or width * height > max_pixels:
        yield f"it reports a picture of {width} x {height} pixels"


def _faults_of_bytes(size: int, most: int) -> Iterator[str]:
    if not 0 < size <= most:
        yield f"it reports a result of {size} bytes, which no such picture has"


def _faults_of_hash(*sums: str | None) -> Iterator[str]:
    if not all(one is None or is_sha256(one) for one in sums):
        yield "it reports a SHA-256 that is none"


def _is_text(value: str) -> bool:
    """Whether a text can be shown in a terminal, a log and a hook, and written as UTF-8.

    Lone surrogates, which a file name may hold, cannot.
    """
    return value.isprintable() or value.replace("\n", "").isprintable()


def _as_text(value: str) -> str:
    """Escape the characters that cannot be shown."""
    if _is_text(value):
        return value
    return "".join(one if one == "\n" or one.isprintable() else repr(one)[1:-1] for one in value)
