"""A worker's report is accepted only if it can be true of its task."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutoutd.corrections import Corrected, Correction
from cutoutd.engine.render.placement import Box, place, whole
from cutoutd.errors import FailureCode
from cutoutd.jobs import (
    Cut,
    Exported,
    Failure,
    Moved,
    NeedsRoom,
    Quality,
    SecondOpinion,
    SourceFacts,
    Staged,
    Task,
    Unchanged,
)
from cutoutd.pool import wire
from cutoutd.pool.report_checks import (
    MAX_ITEMS,
    MAX_TEXT,
    AssignedTask,
    fault_of_report,
    largest_size,
)
from cutoutd.recipe import Format, Margin, Metadata, Recipe, Rendition
from cutoutd.task_route import Export

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.jobs import Report

SHA256 = "0123456789abcdef" * 4
SIZE = 900
TASK = Task(
    job=7,
    source="/in/a.jpg",
    size=SIZE,
    mtime_ns=1,
    staging="/s",
    published_sha256=None,
    recipe=Recipe(
        renditions=(Rendition(format=Format.PNG, suffix=""),),
        refine=False,
        decontaminate=False,
        metadata=Metadata.NONE,
        review_below=0.0,
    ),
    export=Export(file="/o/1.jpg", max_side=100, max_pixels=10_000, max_bytes=5000),
)
ASKED = AssignedTask(task=TASK, max_pixels=1000, since_ms=500.0)
SOURCE = SourceFacts(
    bytes=SIZE, sha256=SHA256, width=4, height=3, format="JPEG", orientation=1, image_sha256=SHA256
)
STAGED = Staged(
    name="7-0.png",
    rendition=0,
    bytes=12,
    sha256=SHA256,
    width=4,
    height=3,
    format=Format.PNG,
    background_sha256=SHA256,
    quality=80,
    frame=(-1.5, 0.0, 6.25, 3.0),
)
CUT = Cut(
    source=SOURCE,
    staged=(STAGED,),
    quality=Quality(score=0.5, reasons=("undecided matte",)),
    review=False,
    timings_ms={"decode": 1.5, "total": 3.0},
    warnings=("one",),
    dropped=("EXIF: GPS",),
    doubts=("small",),
    second=SecondOpinion(taken=True, score=0.4, why="more decided"),
)
REPORTS: tuple[Report, ...] = (
    CUT,
    Exported(source=SOURCE, bytes=5, sha256=SHA256, width=4, height=3),
    Unchanged(sha256=SHA256, image_sha256=SHA256),
    Moved(sha256=SHA256),
    NeedsRoom(pixels=60),
    Failure(code=FailureCode.PICTURE, title="t", cause="c", advice="a", permanent=False, delay_s=2.5),
)

extremes = st.sampled_from(
    [-1, 10**12, 2**63, -(2**63) - 1, 10**4000, 1.7e308, -1e-9, math.nan, math.inf, True, "5", "9" * 4000]
)
texts = st.sampled_from(
    ["", "x" * 65, "A" * 64, "\x1b]0;owned\x07", "a" * (MAX_TEXT + 1), "\ud800", SHA256[:-1]]
)
quick = settings(deadline=None, max_examples=150, derandomize=True, database=None)


def decoded_report(message: dict[str, Any]) -> Report:
    """Decode and check a message; return its report.

    Raises:
        WireError: the report is not accepted.
    """
    decoded = wire.decode_message(json.dumps(message).encode())
    assert isinstance(decoded, tuple)
    wire.check(decoded[1], ASKED)
    return decoded[1]


def message_of(report: Report) -> dict[str, Any]:
    """Return the message of a report."""
    message: dict[str, Any] = json.loads(wire.encode_report(7, report))
    return message


def numbers(value: object, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each number in a report."""
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from numbers(one, (*place, key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place


def put(message: dict[str, Any], place: tuple[Any, ...], value: object) -> None:
    """Change one value of a report."""
    holder: Any = message["report"]
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value


@pytest.mark.parametrize("report", REPORTS)
def test_an_honest_report_is_accepted(report: Report) -> None:
    """Each kind of report."""
    assert decoded_report(message_of(report)) == report


@quick
@given(data=st.data(), report=st.sampled_from(REPORTS))
def test_no_impossible_number_is_accepted(data: st.DataObject, report: Report) -> None:
    """At any place in a report: none of these values fits any field."""
    message = message_of(report)
    places = list(numbers(message["report"]))
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    value = data.draw(extremes)
    if place == ("staged", 0, "rendition") and value == -1:
        return  # the overlay of a doubtful result
    if place[:3] == ("staged", 0, "frame") and place[3] in (0, 1) and value in (-1, -1e-9):
        return  # a picture may begin outside of its result
    put(message, place, value)
    with pytest.raises(wire.WireError):
        decoded_report(message)


@quick
@given(
    value=texts,
    where=st.sampled_from(
        [
            (CUT, ("source", "sha256")),
            (CUT, ("source", "image_sha256")),
            (CUT, ("staged", 0, "background_sha256")),
            (REPORTS[1], ("sha256",)),
            (REPORTS[2], ("sha256",)),
            (REPORTS[2], ("image_sha256",)),
            (REPORTS[3], ("sha256",)),
        ]
    ),
)
def test_no_other_text_is_accepted_as_a_hash(value: str, where: tuple[Report, tuple[Any, ...]]) -> None:
    """Journal and sidecar store it, and it is compared with others."""
    report, place = where
    message = message_of(report)
    put(message, place, value)
    with pytest.raises(wire.WireError):
        decoded_report(message)


@pytest.mark.parametrize(
    ("report", "place", "value"),
    [
        (CUT, ("source", "format"), "\x1b[31mRED\0"),
        (CUT, ("source", "format"), "J" * 41),
        (CUT, ("source", "bytes"), SIZE + 1),
        (CUT, ("staged", 0, "rendition"), 1),
        (CUT, ("timings_ms",), {"a": 1000.0, "b": 1000.0}),
        (CUT, ("timings_ms",), {"\x1b": 1.0}),
        (CUT, ("timings_ms",), {f"s{'a' * one}": 0.0 for one in range(MAX_ITEMS + 1)}),
        (CUT, ("warnings",), ["w"] * (MAX_ITEMS + 1)),
        (CUT, ("dropped",), ["w" * (MAX_TEXT + 1)]),
        (REPORTS[5], ("code",), "C" * 41),
        (REPORTS[5], ("code",), "Picture\x1b[2J"),
        (REPORTS[5], ("cause",), "c" * (MAX_TEXT + 1)),
        *(
            (REPORTS[5], (where,), f"a{one}b")
            for where in ("cause", "title", "advice")
            for one in "\0\x1b\r\u202e\ud800"
        ),
        (CUT, ("warnings", 0), "\x1b[2J"),
    ],
)
def test_texts_that_are_too_long_or_of_another_task_are_not_accepted(
    report: Report, place: tuple[Any, ...], value: object
) -> None:
    """Texts, lists and names are checked."""
    message = message_of(report)
    put(message, place, value)
    with pytest.raises(wire.WireError) as caught:
        decoded_report(message)
    assert len(str(caught.value)) < 500


def test_an_honest_workers_long_texts_are_shortened_before_sending() -> None:
    """A picture with a thousand odd parts causes no failure."""
    odd = Failure(code=FailureCode.PICTURE, title="t", cause="a\0b\nc\x1b\u202e", advice="", permanent=True)
    shortened = decoded_report(message_of(odd))
    assert isinstance(shortened, Failure)
    assert shortened.cause == "a\\x00b\nc\\x1b\\u202e"
    report = replace(CUT, warnings=("w" * 5000,) * 1000)
    taken = decoded_report(message_of(report))
    assert isinstance(taken, Cut)
    assert len(taken.warnings) == MAX_ITEMS
    assert len(taken.warnings[0]) == MAX_TEXT
    assert asdict(taken) | {"warnings": ()} == asdict(report) | {"warnings": ()}


@pytest.mark.parametrize(
    ("rendition", "size", "believed"),
    [
        ({}, (40, 30), True),
        ({}, (41, 30), False),
        ({"canvas": (60, 60)}, (60, 60), True),
        ({"canvas": (60, 60)}, (60, 61), False),
        ({"max_px": 20}, (20, 15), True),
        ({"max_px": 20}, (21, 15), False),
        ({"crop": Margin(px=(5, 5, 5, 5), share=(0.1, 0.1, 0.1, 0.1))}, (58, 46), True),
        ({"crop": Margin(px=(5, 5, 5, 5), share=(0.1, 0.1, 0.1, 0.1))}, (59, 46), False),
    ],
)
def test_a_result_is_no_larger_than_picture_and_recipe_make_it(
    rendition: dict[str, Any], size: tuple[int, int], *, believed: bool
) -> None:
    """The limit for 40 x 30 pixels is not that of the largest allowed picture."""
    recipe = replace(TASK.recipe, renditions=(Rendition(format=Format.PNG, suffix="", **rendition),))
    asked = AssignedTask(task=replace(TASK, recipe=recipe), max_pixels=100_000, since_ms=500.0)
    source, staged = replace(SOURCE, width=40, height=30), replace(STAGED, width=size[0], height=size[1])
    report = replace(CUT, source=source, staged=(staged,))
    assert (fault_of_report(report, asked) == "") is believed


def test_a_result_of_a_small_picture_has_little_beside_its_pixels() -> None:
    """Metadata comes from the picture, so its size is bounded by the picture's."""
    asked = AssignedTask(task=replace(TASK, size=15_000), max_pixels=1000, since_ms=500.0)
    source = replace(SOURCE, bytes=15_000)
    for size, believed in ((8 << 20, True), (10 << 20, False)):
        report = replace(CUT, source=source, staged=(replace(STAGED, bytes=size),))
        assert (fault_of_report(report, asked) == "") is believed


boxes = st.tuples(st.integers(0, 30), st.integers(0, 20), st.integers(1, 10), st.integers(1, 10)).map(
    lambda one: Box(left=one[0], top=one[1], right=one[0] + one[2], bottom=one[1] + one[3])
)
margins = st.builds(
    Margin,
    px=st.tuples(*[st.integers(0, 30)] * 4),
    share=st.tuples(*[st.floats(0, 2, allow_nan=False)] * 4),
)


@quick
@given(
    found=boxes,
    crop=st.none() | margins,
    canvas=st.none() | st.tuples(st.integers(1, 90), st.integers(1, 90)),
    scale=st.none() | st.floats(0.01, 1),
    max_px=st.none() | st.integers(1, 90),
)
def test_results_of_the_engine_are_accepted(
    found: Box, crop: Margin | None, canvas: tuple[int, int] | None, scale: float | None, max_px: int | None
) -> None:
    """For any recipe: no honest result exceeds the bound."""
    rendition = Rendition(format=Format.PNG, suffix="", crop=crop, canvas=canvas, scale=scale, max_px=max_px)
    placed = place(rendition, whole(30, 40), found, shown=found)
    width, height = largest_size(rendition, 40, 30)
    assert placed.width <= width
    assert placed.height <= height


@pytest.mark.parametrize(
    ("corrected", "is_true"),
    [
        (Corrected(number=2, version=1, changed=True), True),
        (Corrected(number=3, version=1, changed=True), False),
        (Corrected(number=2, version=0, changed=True), False),
        (Corrected(number=2, version=10**9, changed=True), False),
    ],
)
def test_only_the_correction_of_its_task_is_reported(corrected: Corrected, *, is_true: bool) -> None:
    """Its number goes into the sidecar, and refers to strokes in the journal."""
    task = replace(TASK, export=None, correction=Correction(number=2, sha256=SHA256, strokes=()))
    report = replace(CUT, corrected=corrected)
    assert (fault_of_report(report, replace(ASKED, task=task)) == "") is is_true
    assert fault_of_report(report, replace(ASKED, task=replace(task, correction=None)))
