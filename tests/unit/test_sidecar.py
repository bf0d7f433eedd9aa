"""The documents written to folders: the sidecar and the failure record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.clock import nanoseconds, rfc3339, rfc3339_ns
from cutoutd.errors import FailureCode
from cutoutd.fs.tree import Entry
from cutoutd.jobs import Failure, Quality, SourceFacts, Staged
from cutoutd.publish.correction_block import CorrectionFacts
from cutoutd.publish.failures import FailureFacts, compose_failure
from cutoutd.publish.sidecar import (
    ModelFacts,
    PublishingFacts,
    RuntimeFacts,
    SidecarFacts,
    SidecarRecord,
    compose,
    read_sidecar,
)
from cutoutd.strokes import MAX_POINTS, MAX_STROKES, Stroke, StrokeKind

ACCEPTED_US = 1_700_000_000_000_000
MTIME_NS = 1_699_999_999_123_456_789


def _facts(path: str = "sub/a.jpg", **changes: Any) -> SidecarFacts:  # noqa: ANN401 - any field may be changed
    """Return the facts of a cutout, with changes."""
    fields: dict[str, Any] = {
        "job": 7,
        "folder": "shop",
        "route": "local",
        "path": path,
        "mtime_ns": MTIME_NS,
        "source": SourceFacts(bytes=10, sha256="aa", width=40, height=30, format="jpeg", orientation=6),
        "model": ModelFacts(name="u2net-int8", sha256="bb", provider="cpu"),
        "settings_sha256": "cc",
        "runtime": RuntimeFacts(cutoutd="0.1.0", onnxruntime="1.20", python="3.11.7"),
        "sandbox": ("rlimits", "seccomp"),
        "quality": Quality(score=0.98765, reasons=("soft edge",)),
        "timings_ms": {"decode": 1.0, "infer": 20.04, "total": 30.0},
        "attempts": 1,
        "warnings": ("no profile",),
        "accepted_us": ACCEPTED_US,
    }
    return SidecarFacts(**(fields | changes))


def _result(**changes: Any) -> Staged:  # noqa: ANN401 - any field may be changed
    """Return a staged result, with changes."""
    fields: dict[str, Any] = {
        "name": "7-0.png",
        "rendition": 0,
        "bytes": 20,
        "sha256": "dd",
        "width": 40,
        "height": 30,
        "format": "png",
    }
    return Staged(**(fields | changes))


def _compose(facts: SidecarFacts, path: str = "sub/a.png") -> bytes:
    """Return the sidecar of one result."""
    publishing = PublishingFacts(
        outputs=[(path, _result())],
        warnings=["renamed"],
        publish_ms=2.5,
        published_us=ACCEPTED_US + 1_500_000,
    )
    return compose(facts, publishing)


def test_a_sidecar_has_the_fields_of_its_schema() -> None:
    """All of them, and no other."""
    assert json.loads(_compose(_facts())) == {
        "schema": "cutoutd.sidecar/1",
        "job": 7,
        "folder": "shop",
        "route": "local",
        "source": {
            "path": "sub/a.jpg",
            "bytes": 10,
            "sha256": "aa",
            "mtime": "2023-11-14T22:13:19.123456789Z",
            "width": 40,
            "height": 30,
            "format": "jpeg",
            "orientation": 6,
        },
        "outputs": [
            {"path": "sub/a.png", "bytes": 20, "sha256": "dd", "width": 40, "height": 30, "format": "png"}
        ],
        "model": {"name": "u2net-int8", "sha256": "bb", "provider": "cpu"},
        "settings_sha256": "cc",
        "runtime": {"cutoutd": "0.1.0", "onnxruntime": "1.20", "python": "3.11.7"},
        "egress": None,
        "sandbox": ["rlimits", "seccomp"],
        "quality": {"score": 0.9877, "doubtful": False, "reasons": ["soft edge"]},
        "timings_ms": {"decode": 1.0, "infer": 20.0, "publish": 2.5, "total": 32.5},
        "attempts": 1,
        "warnings": ["no profile", "renamed"],
        "accepted_at": "2023-11-14T22:13:20.000000Z",
        "published_at": "2023-11-14T22:13:21.500000Z",
    }


DRAWN = CorrectionFacts(
    number=3,
    version=1,
    changed=True,
    suggestion=1,
    strokes=(
        Stroke(kind=StrokeKind.KEEP, points=((1.0, 2.5), (-3.25, 4.0)), radius=6.0),
        Stroke(kind=StrokeKind.PAINT, points=((7.0, 8.0),), radius=1.5, alpha=0.5),
    ),
)


def test_a_sidecar_tells_what_a_person_drew_and_it_can_be_read_back(tmp_path: Path) -> None:
    """To the last stroke, since the sidecar alone suffices to cut again."""
    path = tmp_path / "sidecar.json"
    path.write_bytes(_compose(_facts(correction=DRAWN)))
    document = json.loads(path.read_bytes())["correction"]
    assert document["strokes"][0] == {"kind": "keep", "points": "1.0,2.5 -3.25,4.0", "radius": 6.0}
    record = read_sidecar(Entry.at(path))
    assert record is not None
    assert record.correction is not None
    assert (record.correction.number, record.correction.suggestion) == (3, 1)
    assert record.correction.strokes == DRAWN.strokes
    assert record.correction.sha256 == record.sha256


def test_the_most_that_can_be_drawn_fits_into_a_sidecar(tmp_path: Path) -> None:
    """A larger file would not be recognised as ours."""
    points = tuple((100_000.25 + number, 99_999.75) for number in range(MAX_POINTS // MAX_STROKES))
    most = tuple(Stroke(kind=StrokeKind.REMOVE, points=points, radius=9.25) for _ in range(MAX_STROKES))
    path = tmp_path / "sidecar.json"
    path.write_bytes(_compose(_facts(correction=replace(DRAWN, strokes=most))))
    record = read_sidecar(Entry.at(path))
    assert record is not None
    assert record.correction is not None
    assert record.correction.strokes == most


@pytest.mark.parametrize(
    "content",
    [
        None,
        7,
        {},
        {"number": 1},
        {"number": 1, "suggestion": 0, "strokes": "keep"},
        {"number": 1, "suggestion": 0, "strokes": [{"kind": "keep", "points": "1,2 x", "radius": 2.0}]},
        {"number": 1, "suggestion": 9, "strokes": [{"kind": "keep", "points": "1,2", "radius": 2.0}]},
        {"number": 1, "suggestion": 0, "strokes": [{"kind": "keep", "points": "1,2", "radius": -2.0}]},
        {"number": True, "suggestion": 0, "strokes": [{"kind": "keep", "points": "1,2", "radius": 2.0}]},
    ],
)
def test_an_invalid_correction_is_ignored(tmp_path: Path, content: object) -> None:
    """The rest of the sidecar is still valid."""
    path = tmp_path / "sidecar.json"
    path.write_text(json.dumps(json.loads(_compose(_facts())) | {"correction": content}), encoding="utf-8")
    record = read_sidecar(Entry.at(path))
    assert record is not None
    assert record.correction is None


def test_the_manual_explains_every_field() -> None:
    """In docs/sidecar.md."""
    manual = (Path(__file__).parents[2] / "docs" / "sidecar.md").read_text(encoding="utf-8")
    sidecar = json.loads(_compose(_facts("caf\udce9.jpg", correction=DRAWN, is_model_asked=True)))
    failure = json.loads(_compose_failure("caf\udce9.jpg"))
    for document in (sidecar, failure):
        nested = [field for value in document.values() if isinstance(value, dict) for field in value]
        assert [field for field in (*document, *nested) if f"`{field}`" not in manual] == []


def test_a_sidecar_lists_the_metadata_that_the_cutout_does_not_carry() -> None:
    """Only if there is any."""
    facts = replace(_facts(), dropped=("EXIF: GPS", "IPTC: city"))
    assert json.loads(_compose(facts))["metadata_dropped"] == ["EXIF: GPS", "IPTC: city"]


def test_a_total_that_the_worker_did_not_give_is_the_sum_of_its_steps() -> None:
    """The figures add up to the total."""
    timings = json.loads(_compose(_facts(timings_ms={"decode": 1.5, "infer": 20.0})))["timings_ms"]
    assert timings == {"decode": 1.5, "infer": 20.0, "publish": 2.5, "total": 24.0}


def test_a_name_that_is_not_utf8_is_text_for_people_and_base64_for_programs() -> None:
    """The document stays valid UTF-8, also where a message contains the name."""
    document = json.loads(_compose(_facts("caf\udce9\n.jpg", warnings=("caf\udce9",))).decode())
    assert document["source"]["path"] == "caf\N{REPLACEMENT CHARACTER}\n.jpg"
    assert document["source"]["path_bytes"] == "Y2Fm6QouanBn"
    assert document["warnings"][0] == "caf\N{REPLACEMENT CHARACTER}"
    assert "path_bytes" not in document["outputs"][0]


@given(
    source=st.binary(min_size=1).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    output=st.binary(min_size=1).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    mtime_ns=st.integers(min_value=-(2**62), max_value=2**63 - 1),
)
def test_a_sidecar_can_be_read_back(
    tmp_path_factory: pytest.TempPathFactory, source: str, output: str, mtime_ns: int
) -> None:
    """The source's identity is exact to the nanosecond, so that a lost journal can be rebuilt."""
    path = tmp_path_factory.getbasetemp() / "sidecar.json"
    path.write_bytes(_compose(_facts(source, mtime_ns=mtime_ns), output))
    assert read_sidecar(Entry.at(path)) == SidecarRecord(
        job=7,
        folder="shop",
        path=source,
        bytes=10,
        mtime_ns=mtime_ns,
        sha256="aa",
        outputs={output: "dd"},
        published_us=ACCEPTED_US + 1_500_000,
        model="u2net-int8",
        score=0.9877,
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"schema": "other/1"}',
        b'{"schema": "cutoutd.sidecar/1"}',
        b'{"schema": "cutoutd.sidecar/1", "job": 1, "folder": "f", "source": 3}',
        b"[" * 200_000,
        b" " * (1 << 20) + b"{}",
    ],
)
def test_other_files_are_not_taken_for_sidecars(tmp_path: Path, content: bytes) -> None:
    """Whatever file a user has under such a name."""
    path = tmp_path / "a.png.json"
    path.write_bytes(content)
    assert read_sidecar(Entry.at(path)) is None


def test_a_sidecar_is_not_read_through_a_link(tmp_path: Path) -> None:
    """A directory and a missing file give nothing either."""
    (tmp_path / "real").write_bytes(_compose(_facts()))
    (tmp_path / "link").symlink_to("real")
    assert [read_sidecar(Entry.at(tmp_path / name)) for name in ("link", ".", "missing")] == [
        None,
        None,
        None,
    ]


def _compose_failure(path: str, sha256: str | None = None) -> bytes:
    """Return the failure record of a picture."""
    failure = Failure(
        code=FailureCode.PICTURE,
        title="Not a usable picture",
        cause="cut short",
        advice="Export it.",
        permanent=True,
    )
    return compose_failure(
        FailureFacts(
            job=9,
            folder="shop",
            path=path,
            bytes=10,
            mtime_ns=1_234_567_890,
            sha256=sha256,
            failure=failure,
            attempts=2,
            at_us=ACCEPTED_US,
        )
    )


def test_a_failure_has_its_cause_and_advice() -> None:
    """With the error's title and advice."""
    assert json.loads(_compose_failure("sub/a.jpg", "ee")) == {
        "schema": "cutoutd.error/1",
        "job": 9,
        "folder": "shop",
        "source": {
            "path": "sub/a.jpg",
            "bytes": 10,
            "mtime": "1970-01-01T00:00:01.234567890Z",
            "sha256": "ee",
        },
        "code": "Picture",
        "title": "Not a usable picture",
        "cause": "cut short",
        "advice": "Export it.",
        "attempts": 2,
        "at": "2023-11-14T22:13:20.000000Z",
    }


def test_a_failure_over_an_unread_file_has_no_hash() -> None:
    """The field is left out instead of empty."""
    assert json.loads(_compose_failure("a\udcff.jpg"))["source"] == {
        "path": "a\N{REPLACEMENT CHARACTER}.jpg",
        "path_bytes": "Yf8uanBn",
        "bytes": 10,
        "mtime": "1970-01-01T00:00:01.234567890Z",
    }


def test_times_are_in_utc_and_never_fail() -> None:
    """A file's time may be any 64-bit number."""
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"
    assert rfc3339_ns(-1) == "1969-12-31T23:59:59.999999999Z"
    assert rfc3339_ns(2**80).startswith("9999-12-31T23:59:59.")
    assert rfc3339_ns(-(2**80)).startswith("0001-01-01T00:00:00.")
    assert nanoseconds("1970-01-01T00:00:01Z") == 1_000_000_000
    assert nanoseconds("1970-01-01T00:00:00.5Z") == 500_000_000
