"""What supervisor and workers say to each other: one JSON object a line, over a channel to the worker and a pipe back.

A task comes with its files, opened (`cutoutd.process.channel`), and says which is which.

No pickle: a worker reads hostile pictures, so what it says is parsed, typed and checked like any other
outside input. Paths are text by ``os.fsdecode``; JSON's ASCII escapes carry their surrogates unharmed.

Each side decodes as its trust asks. The supervisor checks a worker's reports by pydantic, field by field. A worker decodes the
supervisor's set-up and tasks by hand, in some forty lines: pydantic would cost 0.1 s of each worker's start, and cattrs would be
one more library beside hostile pictures. Surrogates stay as they are either way.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.corrections import Correction
from cutoutd.jobs import Cut, Export, Exported, Failure, Moved, NeedsRoom, Received, Report, Task, Unchanged
from cutoutd.pool import report_checks
from cutoutd.protocols import Files, ModelSpec, Scale, Step, WorkerFacts
from cutoutd.recipe import (
    Channels,
    Format,
    Margin,
    Metadata,
    Profile,
    Recipe,
    RegionOfInterest,
    Rendition,
)
from cutoutd.strokes import Stroke, StrokeKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic import TypeAdapter

    from cutoutd.pool.report_checks import Asked

MAX_LINE_BYTES: Final = 1 << 20
"""No honest message comes near it; a worker that says more is ended."""

MAX_FAULT: Final = 300
"""Characters of what is wrong with a message, for the log."""

_REPORTS: Final[dict[str, type[Report]]] = {
    "cut": Cut,
    "exported": Exported,
    "unchanged": Unchanged,
    "moved": Moved,
    "needs-room": NeedsRoom,
    "failure": Failure,
}
# Patterns made anew for each job would stay in memory by the hundred.
_RESULT: Final = re.compile(r"([0-9]+)-[0-9a-z]+\.[0-9a-z]+", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_ADAPTERS: Final[dict[type[Any], TypeAdapter[Any]]] = {}
_KINDS: Final = {kind: name for name, kind in _REPORTS.items()}


class WireError(ValueError):
    """The other side said something that is no message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """A worker goes on with its task."""

    job: int
    step: Step


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """What a worker needs to know once, before its first task.

    Attributes:
        parent: the supervisor's process id.
        models: to load; the first is for tasks that name none.
        provider: execution provider by name, or ``auto``.
        memory_mb: its address space at most.
        nice: how far it steps back behind other programs.
        max_pixels: of a picture.
        max_file_bytes: of a picture's file.
        formats: that are switched on, as ``[pool] formats`` names them; None: all.
        sandbox_required: it must not work behind fewer layers than there are.
        second: a model that is asked where the usual one leaves doubt; None: there is none.
        self_test: it must have cut a picture of its own before it says that it is ready.
    """

    parent: int
    models: tuple[ModelSpec, ...]
    provider: str
    memory_mb: int
    nice: int
    max_pixels: int
    max_file_bytes: int
    formats: tuple[str, ...] | None = None
    sandbox_required: bool = False
    self_test: bool = False
    second: ModelSpec | None = None


def encode_setup(setup: Setup) -> bytes:
    """A set-up as a line."""
    return _line({"setup": asdict(setup)})


def decode_setup(line: bytes) -> Setup:
    """A set-up from a line of the supervisor's."""
    from pathlib import Path  # noqa: PLC0415 -- only the worker needs it at run time

    fields: dict[str, Any] = _tuples(_load(line)["setup"])

    def spec(fields: dict[str, Any]) -> ModelSpec:
        one = _tuples(fields) | {"inputs": tuple(map(tuple, fields["inputs"]))}
        return ModelSpec(**(one | {"file": Path(one["file"]), "scale": Scale(one["scale"])}))

    models = tuple(map(spec, fields.pop("models")))
    second = fields.pop("second")
    return Setup(**fields, models=models, second=None if second is None else spec(second))


def encode_task(task: Task, files: Files) -> bytes:
    """A task as a line, which goes with the descriptors of its files, in their order."""
    places = {descriptor: place for place, descriptor in enumerate(files.descriptors)}
    return _line(
        {
            "task": asdict(task),
            "files": {
                "source": places[files.source],
                "results": [places[one] for one in files.results],
                "backgrounds": [places[one] for one in files.backgrounds],
                "copy": None if files.copy is None else places[files.copy],
                "reply": None if files.reply is None else places[files.reply],
                "preview": None if files.preview is None else places[files.preview],
            },
        }
    )


def decode_files(line: bytes, descriptors: Sequence[int]) -> Files:
    """The files of a task from a line of the supervisor's, and from what came with it.

    Raises:
        WireError: they are not as many as the line says.
    """
    said = _load(line)["files"]
    try:
        return Files(
            source=descriptors[said["source"]],
            results=tuple(descriptors[one] for one in said["results"]),
            backgrounds=tuple(descriptors[one] for one in said["backgrounds"]),
            copy=None if said["copy"] is None else descriptors[said["copy"]],
            reply=None if said["reply"] is None else descriptors[said["reply"]],
            preview=None if said["preview"] is None else descriptors[said["preview"]],
        )
    except IndexError as error:
        raise WireError(f"a task came with {len(descriptors)} files") from error


def decode_task(line: bytes) -> Task:
    """A task from a line of the supervisor's."""
    fields = _load(line)["task"]
    recipe = fields.pop("recipe")
    renditions = tuple(_rendition(entry) for entry in recipe.pop("renditions"))
    metadata, roi = Metadata(recipe.pop("metadata")), recipe.pop("roi")
    export, received = fields.pop("export"), fields.pop("received")
    moved, correction = tuple(fields.pop("moved_sha256s")), fields.pop("correction")
    return Task(
        **fields,
        recipe=Recipe(
            **recipe,
            renditions=renditions,
            metadata=metadata,
            roi=None if roi is None else RegionOfInterest(**_tuples(roi)),
        ),
        moved_sha256s=moved,
        export=None if export is None else Export(**export),
        received=None if received is None else Received(**received),
        correction=None if correction is None else _correction(correction),
    )


def _correction(fields: dict[str, Any]) -> Correction:
    strokes = tuple(
        Stroke(
            kind=StrokeKind(one["kind"]),
            points=tuple((x, y) for x, y in one["points"]),
            radius=one["radius"],
            alpha=one["alpha"],
        )
        for one in fields.pop("strokes")
    )
    return Correction(**fields, strokes=strokes)


def _rendition(entry: dict[str, Any]) -> Rendition:
    fields = _tuples(entry)
    crop = fields.pop("crop")
    return Rendition(
        format=Format(fields.pop("format")),
        channels=Channels(fields.pop("channels")),
        profile=Profile(fields.pop("profile")),
        crop=None if crop is None else Margin(**_tuples(crop)),
        **fields,
    )


def encode_report(job: int, report: Report) -> bytes:
    """A report as a line."""
    return _line(
        {"job": job, "kind": _KINDS[type(report)], "report": report_checks.shortened(asdict(report))}
    )


def encode_progress(job: int, step: Step) -> bytes:
    """Where a task stands, as a line."""
    return _line({"job": job, "step": step})


def encode_ready(facts: WorkerFacts) -> bytes:
    """A worker's first words."""
    return _line({"ready": asdict(facts)})


def encode_unusable(failure: Failure) -> bytes:
    """A worker's last words, when it cannot load the model."""
    return _line({"unusable": report_checks.shortened(asdict(failure))})


def decode_message(line: bytes) -> WorkerFacts | Failure | Progress | tuple[int, Report]:
    """What a worker said: ready, unusable, how a job goes, or a job and its report.

    Raises:
        WireError: it is none of these, or its values are not what they should be.
    """
    message = _load(line)
    if fault := report_checks.fault_of_message(message):
        raise WireError(f"not a message of a worker's: {fault}")
    try:
        if "ready" in message:
            facts: WorkerFacts = _checked(WorkerFacts, message["ready"])
            return facts
        if "unusable" in message:
            failure: Failure = _checked(Failure, message["unusable"])
            return failure
        job = _whole(message["job"])
        if "step" in message:
            return Progress(job=job, step=Step(message["step"]))
        report: Report = _checked(_REPORTS[message["kind"]], message["report"])
    except (KeyError, TypeError, ValueError) as error:  # pydantic's own error is a ValueError
        raise WireError(f"not a message of a worker's: {_first(error)}") from error
    if isinstance(report, Cut):
        _check_names(job, report)
    return job, report


def _checked(kind: type[Any], fields: object) -> Any:  # noqa: ANN401 -- a value of the kind
    """Nothing is taken for what it is not: a number in a text is a text."""
    return _adapter(kind).validate_json(json.dumps(fields), strict=True)


def _first(error: Exception) -> str:
    """The first of its messages: there may be one about each value, with the value, and this goes into the log."""
    from pydantic import ValidationError  # noqa: PLC0415 -- as in `_adapter`

    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"[:MAX_FAULT]
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:MAX_FAULT]


def _whole(number: object) -> int:
    if type(number) is not int:  # True is an int, and no number
        raise WireError("a number that is none")
    return number


def _check_names(job: int, report: Cut) -> None:
    # The supervisor renames what is named here: nothing but this job's own staged files may be.
    if len({staged.name for staged in report.staged}) != len(report.staged):
        raise WireError(f"job {job} reports one result twice")
    for staged in report.staged:
        sums = (staged.sha256, staged.background_sha256 or staged.sha256)
        named = _RESULT.fullmatch(staged.name)
        if named is None or named[1] != str(job) or not all(map(_SHA256.fullmatch, sums)):
            raise WireError(f"job {job} reports a result of another name")


def check(report: Report, asked: Asked) -> None:
    """See that a report can be true of the task it is about.

    Args:
        report: of a worker.
        asked: what it is about.

    Raises:
        WireError: it cannot.
    """
    if fault := report_checks.fault_of_report(report, asked):
        raise WireError(fault)


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415 -- 0.1 s that workers, who only speak, are spared

    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON knows only lists; our values are frozen."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, default=_as_text).encode("ascii") + b"\n"


def _as_text(value: Path) -> str:
    return str(value)


def _load(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise WireError("not JSON") from error
    if not isinstance(message, dict):
        raise WireError("not a JSON object")
    return message


def _finite(text: str) -> float:
    """A number that JSON knows; Python's reader takes others, which no other reader would."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number")
    return number
