"""`cutoutd replay`: cuts a picture again as its sidecar describes, to check whether the result is identical to the byte.

The result goes to a temporary directory; nothing that is published is touched. This module must not decide what a difference
means: versions of libraries, the processor, or a person who retouched the result.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd import backgrounds
from cutoutd.daemon.assembly import confine, setup_of
from cutoutd.errors import CutoutdError, UsageError
from cutoutd.fs.tree import Entry
from cutoutd.job_options import JobOptions
from cutoutd.jobs import Cut, Failure
from cutoutd.models import catalog
from cutoutd.pool.local import LocalPool
from cutoutd.pool.one_task import run_task, task_for
from cutoutd.protocols import Finished
from cutoutd.publish.correction_block import correction_of
from cutoutd.publish.digest import examine
from cutoutd.publish.document import read, true_path
from cutoutd.publish.records import MAX_OUTPUTS, MAX_PATH, MAX_WORDS
from cutoutd.publish.sidecar import SCHEMA
from cutoutd.settings.digest import settings_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.clock import Clock
    from cutoutd.corrections import Correction
    from cutoutd.protocols import ModelSpec, PoolEvent, WorkerFacts
    from cutoutd.recipe import Recipe
    from cutoutd.settings.schema import Folder, Settings

START_S: Final = 60.0

_VERSIONS: Final = ("cutoutd", "onnxruntime", "python")


class ReplayError(CutoutdError):
    """The picture could not be cut again."""

    title = "The picture could not be cut again"
    advice = "`cutoutd doctor` says whether this installation can cut at all."


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """The outcome of a replay.

    Attributes:
        source: absolute path of the original.
        outputs: by path of each result in the sidecar, whether the same bytes were made.
        differences: what has changed since, in words: versions, provider.
    """

    source: str
    outputs: Mapping[str, bool]
    differences: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether every result is identical to the byte."""
        return all(self.outputs.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Described:
    """How a sidecar's results were made.

    Attributes:
        folder: name of the folder.
        source, sha256: path of the original, relative to the folder's input, and SHA-256 of its bytes.
        outputs: SHA-256 of each result by its path.
        first: name of the model that was used first.
        models: SHA-256 of each model that was used, by its name.
        settings_sha256: hash of the settings that affect a cutout's look.
        correction: what a person drew; None: nothing.
        version: version of the method that applied it.
        is_model_asked: whether a person asked for the model, so that no second one was used.
        options: what a request asked of the picture.
        runtime: versions, and the model's provider.
    """

    folder: str
    source: str
    sha256: str
    outputs: Mapping[str, str]
    first: str
    models: Mapping[str, str]
    settings_sha256: str
    runtime: Mapping[str, str]
    correction: Correction | None = None
    version: int = 0
    is_model_asked: bool = False
    options: JobOptions = field(default_factory=JobOptions)


def replay(sidecar: Path, settings: Settings, clock: Clock) -> Replay:
    """Cut a picture again as a sidecar describes.

    Args:
        sidecar: path of the sidecar.
        settings: the configuration, with the sidecar's folder.
        clock: clock for monotonic times.

    Raises:
        UsageError: input, model or settings have changed; the message says which.
        ReplayError: it could not be cut.
    """
    described = _read(sidecar)
    folder = next((one for one in settings.folder if one.name == described.folder), None)
    if folder is None:
        raise UsageError(
            f"its folder {described.folder!r} is not in this configuration",
            path=sidecar,
            advice="Name the configuration it was made with: --config, or --input and --output.",
        )
    source = _source(folder, described)
    model = _model(described.first, described)
    second_name = "" if described.is_model_asked else settings.model.second
    second = _model(second_name, described) if second_name else None
    if settings_sha256(folder, model.name, second_name) != described.settings_sha256:
        raise UsageError(
            f"the folder {folder.name!r} has other settings now than when it was made",
            path=sidecar,
            advice="Rendition, refine, decontaminate, metadata, review_below and the second model must be the same as then.",
        )
    confine(settings)
    recipe = described.options.recipe(folder.recipe(), backgrounds.directory_in(settings.service.state_dir))
    cut, facts = _cut(source, recipe, model, second, described.correction, settings=settings, clock=clock)
    made = {staged.sha256 for staged in cut.staged}
    return Replay(
        source=os.fspath(source),
        outputs={path: sha256 in made for path, sha256 in described.outputs.items()},
        differences=(*_differences(described, facts), *_method_differs(described, cut)),
    )


def _read(sidecar: Path) -> _Described:
    try:
        document = read(Entry.at(sidecar), SCHEMA)
    except OSError as error:
        raise UsageError(f"it cannot be read ({error.strerror})", path=sidecar) from error
    try:
        if document is not None and document.get("egress"):
            raise UsageError("it was cut by a hosted service, and cannot be cut again here", path=sidecar)
        if document is not None:
            return _parse(document)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass  # another program's file, or edited by hand
    if not os.path.lexists(sidecar):
        raise UsageError("there is no such file", path=sidecar, advice="Name the .json file beside a cutout.")
    raise UsageError(
        "this is not a sidecar of cutoutd, or it was changed",
        path=sidecar,
        advice="Name the .json file that lies beside a cutout.",
    )


def _parse(document: Mapping[str, Any]) -> _Described:
    """Parse a sidecar's document, whose values may have any type.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: it is not as we write it.
    """
    source, model, runtime = document["source"], document["model"], document["runtime"]
    second = document.get("second_opinion") or {}
    other = second.get("other") or {}
    path = true_path(source)
    parts = path.split("/")
    if len(path) > MAX_PATH or "\0" in path or not {"", ".", ".."}.isdisjoint(parts):
        raise ValueError("the source is outside its folder")
    os.fsencode(path)  # a lone surrogate cannot be in a file's name
    outputs = {true_path(one): _text(one["sha256"]) for one in document["outputs"]}
    if not 0 < len(outputs) <= MAX_OUTPUTS:
        raise ValueError("it has too many results, or none")
    for output in outputs:
        os.fsencode(output)
    return _Described(
        folder=_text(document["folder"]),
        source=path,
        sha256=_text(source["sha256"]),
        outputs=outputs,
        first=_text((other if second.get("taken") else model)["name"]),
        models={_text(one["name"]): _text(one["sha256"]) for one in (model, other) if one},
        settings_sha256=_text(document["settings_sha256"]),
        runtime={name: _text(runtime.get(name, "")) for name in _VERSIONS}
        | {"provider": _text(model.get("provider", ""))},
        correction=_parse_correction(document),
        version=int(document["correction"]["version"]) if "correction" in document else 0,
        is_model_asked=model.get("asked") is True,
        options=_parse_options(document),
    )


def _parse_options(document: Mapping[str, Any]) -> JobOptions:
    """Return the options in a sidecar; raises a ValueError if they are invalid."""
    return JobOptions.parse(json.dumps(document["options"]) if "options" in document else "")


def _parse_correction(document: Mapping[str, Any]) -> Correction | None:
    correction = correction_of(document)
    if correction is None and "correction" in document:
        raise ValueError("its correction is invalid")
    return correction


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_WORDS:
        raise TypeError("this is not a valid text")
    return value


def _source(folder: Folder, described: _Described) -> Path:
    """Return the path of the original, if its bytes are unchanged."""
    path, found = described.source, False
    for place in filter(None, (folder.input, folder.originals_dir)):
        try:
            there = examine(Entry.at(place / path))
        except OSError as error:
            raise UsageError(f"the original cannot be read ({error.strerror})", path=place / path) from error
        if there is not None:
            found = True
            if there.sha256 == described.sha256:
                return place / path
    if found:
        raise UsageError("the original was changed since", path=folder.input / path)
    raise UsageError("the original is not there any more", path=folder.input / path)


def _model(name: str, described: _Described) -> ModelSpec:
    model = catalog.find(name)
    catalog.verify(model)
    if model.sha256 != described.models.get(name, model.sha256):
        raise UsageError(f"the model {model.name} has changed since it was made")
    return model


def _cut(
    source: Path,
    recipe: Recipe,
    first: ModelSpec,
    second: ModelSpec | None,
    correction: Correction | None,
    *,
    settings: Settings,
    clock: Clock,
) -> tuple[Cut, WorkerFacts | None]:
    with tempfile.TemporaryDirectory(prefix="cutoutd-replay-") as directory:
        pool = LocalPool(
            size=1,
            setup=lambda: setup_of(settings, [first], second),
            job_timeout_s=settings.pool.job_timeout_s,
            clock=clock,
        )
        try:
            task, staging = task_for(source, Path(directory), recipe)
            if correction is not None:
                task = replace(task, correction=correction)
            if second is None:
                task = replace(task, recipe=replace(task.recipe, second_below=0.0))
            end_s = clock.monotonic_s() + START_S + settings.pool.job_timeout_s
            report = _report(run_task(pool, task, staging, clock, end_s))
            _check(report, staging.directory)
        finally:
            pool.close()
    return report, pool.facts


def _report(event: PoolEvent | None) -> Cut:
    if isinstance(event, Finished) and isinstance(event.report, Cut):
        return event.report
    if isinstance(event, Finished) and isinstance(event.report, Failure):
        raise ReplayError(event.report.cause, advice=event.report.advice)
    if event is None:
        raise ReplayError("no worker finished in time")
    raise ReplayError(getattr(event, "why", "the worker's report is impossible"))


def _check(cut: Cut, staging: Path) -> None:
    """Check that the results are as reported by the worker, which has read an untrusted picture."""
    for staged in cut.staged:
        content = (staging / Path(staged.name).name).read_bytes()
        if hashlib.sha256(content).hexdigest() != staged.sha256:
            raise ReplayError("the worker's report is impossible")


def _method_differs(described: _Described, cut: Cut) -> tuple[str, ...]:
    now = 0 if cut.corrected is None else cut.corrected.version
    if now == described.version:
        return ()
    return (f"the method that follows strokes had version {described.version}, and has {now}",)


def _differences(described: _Described, facts: WorkerFacts | None) -> list[str]:
    now = {
        "cutoutd": version("cutoutd"),
        "onnxruntime": facts.onnxruntime if facts is not None else "",
        "python": platform.python_version(),
    }
    then = described.runtime
    now["provider"] = facts.provider if facts is not None else ""
    return [
        f"{name} was {then.get(name)}, and is {value}"
        for name, value in now.items()
        if then.get(name) != value
    ]
