"""Messages between supervisor and workers, and what the supervisor refuses to accept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cutoutd.corrections import Corrected, Correction
from cutoutd.errors import FailureCode
from cutoutd.folder_trouble import FolderTrouble
from cutoutd.jobs import Cut, Failure, NeedsRoom, Quality, SourceFacts, Staged, Task, Unchanged
from cutoutd.pool import wire
from cutoutd.protocols import Files, ModelSpec, Step, WorkerFacts
from cutoutd.recipe import Format, Metadata, Recipe, Rendition
from cutoutd.strokes import Stroke, StrokeKind

if TYPE_CHECKING:
    from cutoutd.jobs import Report

SHA256 = "0123456789abcdef" * 4
NOT_UTF8 = b'caf\xe9/\xff\n"\\ \xf0\x9f\x98\x80.jpg'.decode("utf-8", "surrogateescape")
MODEL = ModelSpec(
    name="m",
    file=Path("/models/m.onnx"),
    sha256=SHA256,
    bytes=5,
    input_size=320,
    mean=(0.1, 0.2, 0.3),
    std=(1.0, 2.0, 3.0),
    licence="MIT",
    source="here",
)
CORRECTION = Correction(
    number=2,
    sha256=SHA256,
    strokes=(
        Stroke(kind=StrokeKind.KEEP, points=((1.5, 2.0), (3.0, 4.25)), radius=5.0),
        Stroke(kind=StrokeKind.PAINT, points=((6.0, 7.0),), radius=1.0, alpha=0.5),
    ),
    suggestion=1,
)
FAILURE = Failure(
    code=FailureCode.PICTURE,
    title="t",
    cause="c",
    advice="a",
    permanent=True,
    delay_s=2.5,
    trouble=FolderTrouble.DISK_FULL,
)

# Any name a file can have: bytes that are not UTF-8 are surrogates.
file_names = st.binary(max_size=80).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
quick = settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def cut(name: str = "7-0.png", **staged: Any) -> Cut:  # noqa: ANN401 -- any field of a result
    """Return a report of a finished cutout with one result."""
    fields: dict[str, Any] = {
        "name": name,
        "rendition": 0,
        "bytes": 12,
        "sha256": SHA256,
        "width": 4,
        "height": 3,
        "format": "png",
    }
    return Cut(
        source=SourceFacts(bytes=9, sha256=SHA256, width=4, height=3, format="JPEG", orientation=6),
        staged=(Staged(**{**fields, **staged}),),
        quality=Quality(score=0.5, reasons=("undecided matte",)),
        review=False,
        timings_ms={"decode": 1.5, "total": 3.0},
        warnings=("one", "two"),
    )


def message(report: Report, *, job: int = 7) -> dict[str, Any]:
    """Return a report's JSON object, for a test to alter."""
    parsed: dict[str, Any] = json.loads(wire.encode_report(job, report))
    return parsed


def line(content: object) -> bytes:
    """Return any value as a line."""
    return json.dumps(content).encode()


def test_a_setup_arrives_as_it_was_sent() -> None:
    """Frozen values, with their paths."""
    setup = wire.Setup(
        parent=12,
        models=(MODEL,),
        provider="auto",
        memory_mb=1024,
        nice=5,
        max_pixels=10,
        max_file_bytes=20,
        formats=("jpeg", "raw"),
        second=replace(MODEL, name="second", letterbox=True, inputs=(("ratio", 0.25), ("r1", 0.0))),
    )
    assert wire.decode_setup(wire.encode_setup(setup)) == setup


@quick
@given(source=file_names, suffix=st.text(max_size=8), metadata=st.sampled_from(Metadata), alone=st.booleans())
def test_a_task_arrives_as_it_was_sent_whatever_its_name(
    source: str, suffix: str, metadata: Metadata, *, alone: bool
) -> None:
    """On one line of ASCII, even with line breaks and surrogates in the name."""
    recipe = Recipe(
        renditions=(Rendition(format=Format.PNG, suffix=suffix),),
        refine=False,
        decontaminate=True,
        metadata=metadata,
        review_below=0.25,
    )
    task = Task(
        job=7,
        source=source,
        size=1 << 40,
        mtime_ns=-1,
        staging=source,
        published_sha256=None,
        recipe=recipe,
        alone=alone,
        held=alone,
        correction=CORRECTION,
    )
    files = Files(source=9, results=(3, 7), backgrounds=(5,), reply=4, matte=2)
    sent = wire.encode_task(task, files)
    assert wire.decode_task(sent) == task
    assert wire.decode_files(sent, files.descriptors) == files
    assert sent.isascii()
    assert sent.index(b"\n") == len(sent) - 1


@pytest.mark.parametrize(
    "report",
    [
        cut(),
        cut("7-1.png", rendition=-1),
        replace(cut(), corrected=Corrected(number=2, version=1, changed=False)),
        Unchanged(sha256=SHA256),
        NeedsRoom(pixels=60_000_000),
        FAILURE,
    ],
)
def test_a_report_arrives_as_it_was_sent(report: Report) -> None:
    """Each of its kinds, with its job."""
    assert wire.decode_message(wire.encode_report(7, report)) == (7, report)


def test_progress_and_a_starting_worker_are_distinguished() -> None:
    """From reports, and from each other."""
    for step in Step:
        assert wire.decode_message(wire.encode_progress(7, step)) == wire.Progress(job=7, step=step)


@pytest.mark.parametrize(
    "content", [{"job": 7, "step": "rest"}, {"job": "7", "step": "read"}, {"job": True, "step": "read"}]
)
def test_progress_that_makes_no_sense_is_refused(content: dict[str, Any]) -> None:
    """With the same error as other messages."""
    with pytest.raises(wire.WireError):
        wire.decode_message(json.dumps(content).encode())


def test_a_worker_introduces_itself_or_says_why_it_cannot_work() -> None:
    """Both differ from a report."""
    facts = WorkerFacts(layers=("rlimits", "seccomp"), provider="cpu", onnxruntime="1.20")
    assert wire.decode_message(wire.encode_ready(facts)) == facts
    assert wire.decode_message(wire.encode_unusable(FAILURE)) == FAILURE


@pytest.mark.parametrize(
    "name",
    [
        "8-0.png",
        "77-0.png",
        "7-0.png/../../x.png",
        "../7-0.png",
        "/etc/7-0.png",
        "sub/7-0.png",
        "7-0",
        "7-.png",
        "7-0.png\n",
        "7-0.PNG",
        "7.json",
        "",
        "7-0.p\x00ng",
        "7-\u0663.png",
    ],
)
def test_a_result_under_another_name_than_the_jobs_own_is_refused(name: str) -> None:
    """The supervisor renames the file of that name."""
    with pytest.raises(wire.WireError):
        wire.decode_message(wire.encode_report(7, cut(name)))


def test_every_result_is_checked_and_not_only_the_first() -> None:
    """A valid first result does not vouch for the others."""
    altered = message(cut())
    altered["report"]["staged"].append({**altered["report"]["staged"][0], "name": "8-1.png"})
    with pytest.raises(wire.WireError, match="another name"):
        wire.decode_message(line(altered))


@pytest.mark.parametrize(
    "sha256", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "../" + "0" * 61, "0" * 64 + "\n"]
)
def test_a_result_without_a_proper_hash_is_refused(sha256: str) -> None:
    """Later comparisons need a valid hash."""
    with pytest.raises(wire.WireError):
        wire.decode_message(wire.encode_report(7, cut(sha256=sha256)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"not json",
        b"{",
        b"\xff\xfe\x00",
        b"\x00" * 50,
        b'"a text"',
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"job": 1' + b"0" * 5000 + b', "kind": "unchanged", "report": {"sha256": "0"}}',
    ],
)
def test_an_invalid_message_is_refused(content: bytes) -> None:
    """Invalid JSON, no object, or an object of no known kind."""
    with pytest.raises(wire.WireError):
        wire.decode_message(content)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"ready":['])
def test_a_message_that_is_nested_without_end_is_refused(opening: bytes) -> None:
    """Such a message fits a line, and would exhaust the reader's stack."""
    with pytest.raises(wire.WireError):
        wire.decode_message(opening * 100_000)


@pytest.mark.parametrize("job", [b"Infinity", b"-Infinity", b"1e999"])
def test_a_job_without_end_is_refused(job: bytes) -> None:
    """JSON has no Infinity, but Python's reader accepts it."""
    with pytest.raises(wire.WireError):
        wire.decode_message(b'{"job": ' + job + b', "kind": "unchanged", "report": {"sha256": "0"}}')


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_know_is_refused(number: float) -> None:
    """Such a number would make the sidecar unreadable."""
    altered = message(cut())
    altered["report"]["timings_ms"]["total"] = number
    with pytest.raises(wire.WireError):
        wire.decode_message(line(altered))


def test_half_a_character_is_refused() -> None:
    """No report has a file name, so honest ones are valid text; logs and terminals fail on surrogates."""
    with pytest.raises(wire.WireError):
        wire.decode_message(
            line({**message(FAILURE), "report": {**message(FAILURE)["report"], "cause": "\ud800"}})
        )


@pytest.mark.parametrize("kind", ["p/../ng", "exe", "", "png\x00"])
def test_a_result_of_an_unknown_format_is_refused(kind: str) -> None:
    """The format decides the published file's extension."""
    with pytest.raises(wire.WireError):
        wire.decode_message(wire.encode_report(7, cut(format=kind)))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("job",), None),
        (("job",), "seven"),
        (("job",), []),
        (("job",), {}),
        (("kind",), "published"),
        (("kind",), None),
        (("kind",), []),
        (("kind",), {}),
        (("report",), None),
        (("report",), []),
        (("report",), "cut"),
        (("report", "staged"), None),
        (("report", "staged"), {}),
        (("report", "staged"), ["7-0.png"]),
        (("report", "staged", 0), None),
        (("report", "staged", 0, "name"), 7),
        (("report", "staged", 0, "name"), ["7-0.png"]),
        (("report", "staged", 0, "bytes"), "many"),
        (("report", "staged", 0, "rendition"), 0.5),
        (("report", "source"), None),
        (("report", "source", "width"), {}),
        (("report", "quality"), 1.0),
        (("report", "quality", "score"), "good"),
        (("report", "quality", "reasons"), "no subject"),
        (("report", "review"), "perhaps"),
        (("report", "timings_ms"), [1.0]),
        (("report", "timings_ms", "total"), "long"),
        (("report", "warnings"), 3),
        (("report", "warnings"), [[]]),
        (("report", "second"), {"taken": "perhaps", "score": 0.1, "why": ""}),
        (("report", "second"), {"taken": True, "why": ""}),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(place: tuple[str | int, ...], value: object) -> None:
    """At any place in the report."""
    altered: Any = message(cut())
    holder = altered
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    with pytest.raises(wire.WireError):
        wire.decode_message(line(altered))


@pytest.mark.parametrize("report", [cut(), Unchanged(sha256=SHA256), NeedsRoom(pixels=1), FAILURE])
def test_a_report_without_one_of_its_parts_is_refused(report: Report) -> None:
    """Except parts that have a default."""
    whole = message(report)
    for key in ("job", "kind", "report"):
        with pytest.raises(wire.WireError):
            wire.decode_message(line({name: value for name, value in whole.items() if name != key}))
    for key in whole["report"].keys() - {
        "delay_s",
        "trouble",
        "image_sha256",
        "dropped",
        "doubts",
        "second",
        "corrected",
        "remote",
    }:
        less = {name: value for name, value in whole["report"].items() if name != key}
        with pytest.raises(wire.WireError):
            wire.decode_message(line({**whole, "report": less}))


@pytest.mark.parametrize(
    "content", [{"ready": {}}, {"ready": None}, {"unusable": []}, {"unusable": {"code": "x"}}]
)
def test_a_worker_that_introduces_itself_badly_is_refused(content: dict[str, Any]) -> None:
    """No trust is given before the first task either."""
    with pytest.raises(wire.WireError):
        wire.decode_message(line(content))


@quick
@given(content=st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_and_never_worse(content: bytes) -> None:
    """Only the one error is raised."""
    with pytest.raises(wire.WireError):
        wire.decode_message(content)


@quick
@given(
    key=st.sampled_from(["job", "kind", "report", "staged", "source", "quality", "name", "sha256", "width"]),
    value=json_values,
)
def test_a_tampered_report_is_taken_whole_or_refused(key: str, value: object) -> None:
    """An accepted report has the right types and only the job's own names."""
    altered = message(cut())
    for holder in (altered, altered["report"], altered["report"]["staged"][0], altered["report"]["source"]):
        if key in holder:
            holder[key] = value
    try:
        taken = wire.decode_message(line(altered))
    except wire.WireError:
        return
    assert isinstance(taken, tuple)
    job, report = taken
    assert isinstance(job, int)
    if isinstance(report, Cut):
        assert all(isinstance(one, Staged) for one in report.staged)
        assert all(one.name.startswith(f"{job}-") and "/" not in one.name for one in report.staged)
        assert all(isinstance(one.width, int) for one in report.staged)
