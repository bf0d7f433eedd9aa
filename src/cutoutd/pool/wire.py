"""The protocol between supervisor and workers: one JSON object a line, over a channel to the worker and a pipe back.

A task comes with its open files (`cutoutd.process.channel`), and names each by its place.

There is no pickle: a worker reads hostile pictures, so its messages are parsed and checked like any other outside input.
Paths are text by ``os.fsdecode``; the ASCII escapes of JSON keep their surrogates.

The supervisor checks the reports of a worker with pydantic, field by field. A worker decodes the set-up and tasks of the
supervisor by hand, in about forty lines: pydantic would add 0.1 s to each start, and cattrs another library beside hostile
pictures. Surrogates stay as they are either way.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.corrections import Correction
from cutoutd.jobs import Cut, Exported, Failure, Moved, NeedsRoom, Report, Task, Unchanged
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
from cutoutd.sha256 import is_sha256
from cutoutd.strokes import Stroke, StrokeKind
from cutoutd.task_route import ClusterTask, Export, Received, Returned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic import TypeAdapter

    from cutoutd.pool.report_checks import AssignedTask

MAX_LINE_BYTES: Final = 1 << 20
"""No correct message comes near it; a worker that sends more is ended."""

MAX_FAULT: Final = 300
"""Characters of the fault of a message, for the log."""

_REPORTS: Final[dict[str, type[Report]]] = {
    "cut": Cut,
    "exported": Exported,
    "unchanged": Unchanged,
    "moved": Moved,
    "needs-room": NeedsRoom,
    "failure": Failure,
    "returned": Returned,
}
# Compiled once: patterns that are built for each job would pile up in the cache.
_RESULT: Final = re.compile(r"([0-9]+)-[0-9a-z]+\.[0-9a-z]+", re.ASCII)
_ADAPTERS: Final[dict[type[Any], TypeAdapter[Any]]] = {}
_KINDS: Final = {kind: name for name, kind in _REPORTS.items()}


class WireError(ValueError):
    """The other side sent something that is not a valid message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Progress of a worker with its task."""

    job: int
    step: Step


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """What a worker needs to know before its first task.

    Attributes:
        parent: process id of the supervisor.
        models: models to load; the first is for tasks that name none.
        provider: name of an execution provider, or ``auto``.
        memory_mb: limit of its address space, in MiB.
        nice: niceness, as in nice(1).
        max_pixels: limit for a picture.
        max_file_bytes: limit for the file of a picture.
        formats: enabled formats, as in ``[pool] formats``; None: all.
        sandbox_required: whether the worker must refuse to work if a layer of the sandbox is missing.
        second: second model, used where the first is in doubt; None: there is none.
        self_test: whether the worker must pass the self-test before it is ready.
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
    """Encode a set-up as a line."""
    return _line({"setup": asdict(setup)})


def decode_setup(line: bytes) -> Setup:
    """Decode a set-up from a line of the supervisor."""
    from pathlib import Path  # noqa: PLC0415 -- only the worker needs it at run time

    fields: dict[str, Any] = _tuples(_load(line)["setup"])

    def spec(fields: dict[str, Any]) -> ModelSpec:
        one = _tuples(fields) | {"inputs": tuple(map(tuple, fields["inputs"]))}
        return ModelSpec(**(one | {"file": Path(one["file"]), "scale": Scale(one["scale"])}))

    models = tuple(map(spec, fields.pop("models")))
    second = fields.pop("second")
    return Setup(**fields, models=models, second=None if second is None else spec(second))


def encode_task(task: Task, files: Files) -> bytes:
    """Encode a task as a line, which is sent with the descriptors of its files in their order."""
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
                "matte": None if files.matte is None else places[files.matte],
            },
        }
    )


def decode_files(line: bytes, descriptors: Sequence[int]) -> Files:
    """Return the files of a task, from the line of the supervisor and the descriptors that came with it.

    Raises:
        WireError: there are fewer descriptors than the line names.
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
            matte=None if said["matte"] is None else descriptors[said["matte"]],
        )
    except IndexError as error:
        raise WireError(f"a task came with {len(descriptors)} files") from error


def decode_task(line: bytes) -> Task:
    """Decode a task from a line of the supervisor."""
    fields = _load(line)["task"]
    recipe = fields.pop("recipe")
    renditions = tuple(_rendition(entry) for entry in recipe.pop("renditions"))
    metadata, roi = Metadata(recipe.pop("metadata")), recipe.pop("roi")
    export, received = fields.pop("export"), fields.pop("received")
    moved, correction = tuple(fields.pop("moved_sha256s")), fields.pop("correction")
    cluster = fields.pop("cluster")
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
        cluster=None if cluster is None else ClusterTask(**cluster),
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
    """Encode a report as a line."""
    return _line(
        {"job": job, "kind": _KINDS[type(report)], "report": report_checks.shortened(asdict(report))}
    )


def encode_progress(job: int, step: Step) -> bytes:
    """Encode the progress of a task as a line."""
    return _line({"job": job, "step": step})


def encode_ready(facts: WorkerFacts) -> bytes:
    """Encode the first message of a worker that is ready."""
    return _line({"ready": asdict(facts)})


def encode_unusable(failure: Failure) -> bytes:
    """Encode the last message of a worker that cannot work."""
    return _line({"unusable": report_checks.shortened(asdict(failure))})


def decode_message(line: bytes) -> WorkerFacts | Failure | Progress | tuple[int, Report]:
    """Decode a message of a worker: ready, unusable, progress, or a job and its report.

    Raises:
        WireError: it is none of these, or a value is invalid.
    """
    message = _load(line)
    if fault := report_checks.fault_of_message(message):
        raise WireError(f"not a message of a worker's: {fault}")
    try:
        if "ready" in message:
            facts: WorkerFacts = _validate(WorkerFacts, message["ready"])
            return facts
        if "unusable" in message:
            failure: Failure = _validate(Failure, message["unusable"])
            return failure
        job = _whole(message["job"])
        if "step" in message:
            return Progress(job=job, step=Step(message["step"]))
        report: Report = _validate(_REPORTS[message["kind"]], message["report"])
    except (KeyError, TypeError, ValueError) as error:  # pydantic's own error is a ValueError
        raise WireError(f"not a message of a worker's: {_first(error)}") from error
    if isinstance(report, Cut):
        _check_names(job, report)
    return job, report


def _validate(kind: type[Any], fields: object) -> Any:  # noqa: ANN401 -- a value of the kind
    """Validate in strict mode: a text is never taken for a number."""
    return _adapter(kind).validate_json(json.dumps(fields), strict=True)


def _first(error: Exception) -> str:
    """Return the first message of an error, for the log: pydantic has one for each value, and includes the value."""
    from pydantic import ValidationError  # noqa: PLC0415 -- as in `_adapter`

    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"[:MAX_FAULT]
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:MAX_FAULT]


def _whole(number: object) -> int:
    if type(number) is not int:  # not isinstance: True is an int
        raise WireError("a number that is none")
    return number


def _check_names(job: int, report: Cut) -> None:
    # The supervisor renames the files that are named here: only staged files of this job are allowed.
    if len({staged.name for staged in report.staged}) != len(report.staged):
        raise WireError(f"job {job} reports one result twice")
    for staged in report.staged:
        sums = (staged.sha256, staged.background_sha256 or staged.sha256)
        named = _RESULT.fullmatch(staged.name)
        if named is None or named[1] != str(job) or not all(map(is_sha256, sums)):
            raise WireError(f"job {job} reports a result of another name")


def check(report: Report, assigned: AssignedTask) -> None:
    """Check that a report can be true of its task.

    Args:
        report: report of a worker.
        assigned: the task that it is about.

    Raises:
        WireError: it cannot be true.
    """
    if fault := report_checks.fault_of_report(report, assigned):
        raise WireError(fault)


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415 -- 0.1 s that workers, who only speak, are spared

    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """Turn lists into tuples: JSON has only lists, and our values are frozen."""
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
    """Parse a number that JSON allows; the reader of Python also accepts NaN and infinities."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number")
    return number
