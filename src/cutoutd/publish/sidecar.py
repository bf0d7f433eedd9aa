"""The sidecar: the JSON file beside a cutout that records how it was made.

Schema ``cutoutd.sidecar/1``, fields in this order (docs/sidecar.md explains each)::

    schema, job, folder, [folder_id], route
    source           {path, [path_bytes], bytes, sha256, mtime, [mtime_ns], width, height, format, orientation}
    outputs          [{path, [path_bytes], bytes, sha256, width, height, format, [quality]}]
    model            {name, sha256, provider, [asked]}
    [second_opinion] {other {name, sha256, provider}, taken, first_score, why}
    [correction]     {number, version, changed, suggestion, strokes}
    settings_sha256
    runtime          {cutoutd, onnxruntime, python}
    egress           null: nothing left this machine
    sandbox          [active layers]
    quality          {score, reasons}
    timings_ms       {the worker's steps, publish, total}
    [metadata_dropped] names of metadata that the cutout does not carry
    attempts, warnings, accepted_at, published_at

Paths are relative: the source's to the folder's input, an output's to the folder's output.

This module must not write files or look at a clock; it turns values into bytes and back.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cutoutd import job_options
from cutoutd.clock import rfc3339
from cutoutd.job_options import JobOptions
from cutoutd.publish.correction_block import correction_fields, correction_of
from cutoutd.publish.document import (
    encode,
    marker_of,
    microseconds,
    path_fields,
    read,
    source_fields,
    time_fields,
    true_ns,
    true_path,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cutoutd.corrections import Correction
    from cutoutd.fs.tree import Entry
    from cutoutd.jobs import Quality, SourceFacts, Staged
    from cutoutd.publish.correction_block import CorrectionFacts

SCHEMA = "cutoutd.sidecar/1"

_MAX_MODEL = 64  # characters of a model's name


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """The model that made the matte, and its execution provider."""

    name: str
    sha256: str
    provider: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondFacts:
    """The use of two models on a picture.

    Attributes:
        other: the model whose matte was not used.
        taken: whether the second model's matte was used.
        first_score: score of the first model's matte.
        why: the reason, in words.
    """

    other: ModelFacts
    taken: bool
    first_score: float
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeFacts:
    """Versions of the software that ran."""

    cutoutd: str
    onnxruntime: str
    python: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SidecarFacts:
    """The contents of a sidecar, without the outputs' names and the time.

    Attributes:
        job: id of the job.
        folder: name of the folder.
        marker: UUID of the folder's marker; empty: it has none.
        route: how it was cut; ``local`` means that nothing left this machine.
        egress: what left this machine, to whom and why; None with ``local``.
        webhooks: hosts that are notified, and what is included.
        path: path of the source in the folder's input, with ``/`` between parts.
        mtime_ns: modification time of the source, as accepted.
        source, quality, timings_ms, warnings, dropped: from the worker's report.
        settings_sha256: hash of the settings that affect a cutout's look.
        sandbox: layers that were active in the worker.
        attempts: number of times the job was started, this time included.
        accepted_us: when the source was accepted, UTC microseconds.
        doubtful: whether the result may be wrong.
        second: the use of a second model; None: it was not used.
        correction: what a person drew; None: nothing.
        is_model_asked: whether a person asked for this model, whatever the settings name.
        options: what a request asked of the picture, as `cutoutd.job_options` writes it; empty: nothing.
    """

    job: int
    folder: str
    route: str
    path: str
    mtime_ns: int
    source: SourceFacts
    model: ModelFacts
    settings_sha256: str
    runtime: RuntimeFacts
    sandbox: tuple[str, ...]
    quality: Quality
    timings_ms: Mapping[str, float]
    attempts: int
    warnings: tuple[str, ...]
    accepted_us: int
    egress: Mapping[str, object] | None = None
    webhooks: Sequence[Mapping[str, str]] = ()
    marker: str = ""
    doubtful: bool = False
    dropped: tuple[str, ...] = ()
    second: SecondFacts | None = None
    correction: CorrectionFacts | None = None
    is_model_asked: bool = False
    options: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishingFacts:
    """What publishing adds to how a cutout was made.

    Attributes:
        outputs: path in the folder's output, and the result at that path, in order.
        warnings: warnings of publishing, in addition to the worker's.
        publish_ms: time taken to choose names and look at what is there; the renames come after the sidecar.
        published_us: UTC microseconds.
    """

    outputs: Sequence[tuple[str, Staged]]
    warnings: Sequence[str]
    publish_ms: float
    published_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SidecarRecord:
    """A sidecar on the disk: its source, and the results it belongs to.

    Attributes:
        job: id of the job in the journal of that time.
        folder, path: name of the folder, and path of the source.
        marker: UUID of the folder's marker; empty: the sidecar has none.
        bytes, mtime_ns, sha256: the version of the source.
        image_sha256: SHA-256 of its data without metadata; empty: the sidecar has none.
        outputs: SHA-256 of the results by their paths in the folder's output.
        published_us: when it was published, UTC microseconds; 0: the sidecar has no valid time.
        model: name of the model; empty: the sidecar has none.
        doubtful: whether the results may be wrong, and no person has accepted them.
        score: probability that they are right; None: the sidecar has none.
        correction: what a person drew over them; None: nothing, or an invalid block.
        options: what a request asked of the picture, likewise.
    """

    job: int
    folder: str
    path: str
    bytes: int
    mtime_ns: int
    sha256: str
    outputs: Mapping[str, str]
    published_us: int
    model: str = ""
    marker: str = ""
    doubtful: bool = False
    image_sha256: str = ""
    score: float | None = None
    correction: Correction | None = None
    options: JobOptions = field(default_factory=JobOptions)


def compose(facts: SidecarFacts, publishing: PublishingFacts) -> bytes:
    """Return the sidecar of a cutout.

    Returns:
        JSON in UTF-8, whatever bytes the names have.
    """
    document = {
        "schema": SCHEMA,
        "job": facts.job,
        "folder": facts.folder,
        **({"folder_id": facts.marker} if facts.marker else {}),
        "route": facts.route,
        "source": source_fields(facts.path, facts.mtime_ns, facts.source),
        "outputs": [_output_fields(path, result) for path, result in publishing.outputs],
        "model": asdict(facts.model) | ({"asked": True} if facts.is_model_asked else {}),
        **({"second_opinion": asdict(facts.second)} if facts.second is not None else {}),
        **({"correction": correction_fields(facts.correction)} if facts.correction is not None else {}),
        "settings_sha256": facts.settings_sha256,
        **({"options": json.loads(facts.options)} if facts.options else {}),
        "runtime": asdict(facts.runtime),
        "egress": facts.egress,
        **({"webhooks": [*facts.webhooks]} if facts.webhooks else {}),
        "sandbox": facts.sandbox,
        "quality": {
            "score": round(facts.quality.score, 4),
            "doubtful": facts.doubtful,
            "reasons": facts.quality.reasons,
        },
        "timings_ms": _timings(facts.timings_ms, publishing.publish_ms),
        **({"metadata_dropped": facts.dropped} if facts.dropped else {}),
        "attempts": facts.attempts,
        "warnings": [*facts.warnings, *publishing.warnings],
        "accepted_at": rfc3339(facts.accepted_us),
        "published_at": rfc3339(publishing.published_us),
    }
    return encode(document)


def amend(document: Mapping[str, Any], publishing: PublishingFacts, *, decided: bool | None) -> bytes:
    """Return an existing sidecar with other names for its results.

    Args:
        document: the sidecar as read.
        publishing: its warnings are added to the existing ones.
        decided: whether the results are good (True) or may be wrong (False), by what a person decided or undid; None: as before.
    """
    before, quality = document.get("warnings"), document.get("quality")
    if decided is not None and isinstance(quality, dict):
        quality = {**quality, "doubtful": not decided}
    return encode(
        {
            **document,
            "quality": quality,
            "outputs": [_output_fields(path, result) for path, result in publishing.outputs],
            "warnings": [*(before if isinstance(before, list) else []), *publishing.warnings],
            "published_at": rfc3339(publishing.published_us),
        }
    )


def with_source(
    document: Mapping[str, Any], *, path: str, size: int, mtime_ns: int, sha256: str
) -> dict[str, Any]:
    """Return a sidecar for the same picture at another path, with another time or other metadata.

    Args:
        document: the sidecar as read, with a source.
        path: path of the picture in the folder's input.
        size: size of the picture in bytes.
        mtime_ns: modification time of the picture.
        sha256: SHA-256 of its bytes.
    """
    place = ("path", "path_bytes", "mtime", "mtime_ns")
    source = {key: value for key, value in document["source"].items() if key not in place}
    now = {**path_fields(path), **source, **time_fields("mtime", mtime_ns)}
    return {**document, "source": now | {"bytes": size, "sha256": sha256}}


def read_sidecar(entry: Entry) -> SidecarRecord | None:
    """Read a sidecar; returns None if there is none, or it is not one of ours or invalid.

    Raises:
        OSError: the disk or share fails.
    """
    document = read(entry, SCHEMA)
    if document is None:
        return None
    try:
        source = document["source"]
        return SidecarRecord(
            job=int(document["job"]),
            folder=str(document["folder"]),
            path=true_path(source),
            bytes=int(source["bytes"]),
            mtime_ns=true_ns(source, "mtime"),
            sha256=str(source["sha256"]),
            outputs={true_path(output): str(output["sha256"]) for output in document["outputs"]},
            published_us=microseconds(document.get("published_at")),
            model=model_name(document),
            marker=marker_of(document),
            doubtful=says_doubtful(document),
            image_sha256=str(source.get("image_sha256", "")),
            score=_score(document),
            correction=correction_of(document),
            options=options_of(document),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def options_of(document: Mapping[str, Any]) -> JobOptions:
    """Return a sidecar's options, what a request asked of the picture; none if they are invalid."""
    said = document.get("options")
    return job_options.of_text(json.dumps(said)) if isinstance(said, dict) else JobOptions()


def model_name(document: Mapping[str, Any]) -> str:
    """Return the name of a sidecar's model; empty if it has no valid one."""
    model = document.get("model")
    return str(model.get("name", ""))[:_MAX_MODEL] if isinstance(model, dict) else ""


def _score(document: Mapping[str, Any]) -> float | None:
    quality = document.get("quality")
    score = quality.get("score") if isinstance(quality, dict) else None
    if not isinstance(score, int | float) or isinstance(score, bool) or not 0 <= score <= 1:
        return None
    return float(score)


def says_doubtful(document: Mapping[str, Any]) -> bool:
    """Whether a sidecar marks its results as doubtful."""
    quality = document.get("quality")
    return isinstance(quality, dict) and quality.get("doubtful") is True


def _output_fields(path: str, result: Staged) -> dict[str, object]:
    return {
        **path_fields(path),
        "bytes": result.bytes,
        "sha256": result.sha256,
        "width": result.width,
        "height": result.height,
        "format": result.format,
        **({"quality": result.quality} if result.quality is not None else {}),
        **({"subject": list(result.subject)} if result.subject is not None else {}),
        **({"frame": list(result.frame)} if result.frame is not None else {}),
    }


def _timings(worked_ms: Mapping[str, float], publish_ms: float) -> dict[str, float]:
    steps = {name: ms for name, ms in worked_ms.items() if name != "total"}
    total_ms = worked_ms.get("total", sum(steps.values())) + publish_ms
    return {name: round(ms, 1) for name, ms in (steps | {"publish": publish_ms, "total": total_ms}).items()}
