"""A worker applies the strokes of a person, whatever made the matte, and only to the same picture."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from cutoutd.corrections import Corrected, Correction
from cutoutd.jobs import Cut
from cutoutd.pipeline import pipeline
from cutoutd.pipeline.correction import DROPPED
from cutoutd.pipeline.engine import Engine
from cutoutd.pool.one_task import task_for
from cutoutd.recipe import Format, Metadata, Recipe, Rendition
from cutoutd.strokes import Stroke, StrokeKind
from cutoutd.task_route import Received
from tests.integration.opened import files_of
from tests.integration.test_second_opinion import spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

RECIPE = Recipe(
    renditions=(Rendition(format=Format.PNG, suffix=""),),
    refine=True,
    decontaminate=True,
    metadata=Metadata.NONE,
    review_below=0.0,
)
RED, BLUE, PALE = (200, 40, 30), (30, 40, 200), (226, 228, 230)
WIDTH, HEIGHT = 320, 240
LEFT, RIGHT = (100, 120), (225, 120)
RADIUS = 45


def two_discs() -> NDArray[np.uint8]:
    """Return a red disc on the left and a blue one on the right, on a pale background; uint8 (H, W, 3)."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rgb = np.full((HEIGHT, WIDTH, 3), PALE, np.uint8)
    for (across, down), colour in ((LEFT, RED), (RIGHT, BLUE)):
        rgb[np.hypot(x - across, y - down) < RADIUS] = colour
    return rgb


def line(kind: StrokeKind, centre: tuple[int, int], **more: Any) -> Stroke:  # noqa: ANN401 -- fields of a stroke
    """Return a stroke across a disc."""
    x, y = centre
    return Stroke(kind=kind, points=((x - 25.0, float(y)), (x + 25.0, float(y))), radius=6.0, **more)


KEEP_BLUE = line(StrokeKind.KEEP, RIGHT)
REMOVE_RED = line(StrokeKind.REMOVE, LEFT)
ALL_AWAY = Stroke(kind=StrokeKind.REMOVE, points=((160.0, 120.0),), radius=200.0)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine of a worker with a user's model that finds red things."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")
        first = spec(tmp_path_factory.mktemp("models"), "redness", dark=False)
        created = Engine([first], provider="cpu", max_pixels=10**6, max_file_bytes=10**7)
        yield created
        created.close()


def cut_of(
    engine: Engine,
    path: Path,
    *strokes: Stroke,
    recipe: Recipe = RECIPE,
    sha256: str | None = None,
    suggestion: int = 0,
    **given: Any,  # noqa: ANN401 -- fields of a task
) -> tuple[Cut, Path]:
    """Cut a picture with strokes. Returns the report and the first cutout."""
    (output := path.with_name(f"out-{len(list(path.parent.glob('out-*')))}")).mkdir()
    task, staging = task_for(path, output, recipe)
    if strokes:
        own = sha256 or hashlib.sha256(path.read_bytes()).hexdigest()
        task = replace(
            task, correction=Correction(number=4, sha256=own, strokes=strokes, suggestion=suggestion)
        )
    task = replace(task, **given)
    with files_of(task, staging) as files:
        report = pipeline.run(task, files, engine)
    assert isinstance(report, Cut), report
    return report, Path(task.staging, report.staged[0].name)


@pytest.fixture
def cut(tmp_path: Path, engine: Engine) -> Callable[..., tuple[Cut, NDArray[np.uint8]]]:
    """A function that cuts the two discs by a task, and returns the report and the cutout's alpha."""
    path = tmp_path / "a.png"
    Image.fromarray(two_discs()).save(path)

    def run(*strokes: Stroke, **given: Any) -> tuple[Cut, NDArray[np.uint8]]:  # noqa: ANN401 -- as of `cut_of`
        report, made = cut_of(engine, path, *strokes, **given)
        return report, np.asarray(Image.open(made))[..., 3]

    return run


def at(alpha: NDArray[np.uint8], centre: tuple[int, int]) -> float:
    """Return the opacity in the middle of a disc, 0 to 1."""
    x, y = centre
    return float(alpha[y - 20 : y + 20, x - 20 : x + 20].mean()) / 255


def test_kept_parts_come_into_the_cutout_and_removed_ones_leave_it(cut: Callable[..., Any]) -> None:
    """Although the model that cut it finds none of the one and all of the other."""
    _, before = cut()
    assert (at(before, LEFT) > 0.95, at(before, RIGHT) < 0.05) == (True, True)
    report, alpha = cut(KEEP_BLUE, REMOVE_RED)
    assert at(alpha, RIGHT) > 0.95
    assert at(alpha, LEFT) < 0.05
    assert report.corrected == Corrected(number=4, version=report.corrected.version, changed=True)
    assert "correct" in report.timings_ms
    assert report.quality.reasons == ()
    again, _ = cut(KEEP_BLUE, REMOVE_RED)
    assert again.staged[0].sha256 == report.staged[0].sha256


def test_far_from_what_strokes_have_changed_the_cutout_stays_bit_for_bit(cut: Callable[..., Any]) -> None:
    """Although how a matte is refined depends on all of it."""
    _, before = cut()
    _, alpha = cut(KEEP_BLUE)
    assert ((before > 0) & (before < 255))[:, : WIDTH // 2].any()
    assert np.array_equal(alpha[:, : WIDTH // 2], before[:, : WIDTH // 2])


VEIL = Stroke(kind=StrokeKind.PAINT, points=((225.0, 120.0),), radius=40.0, alpha=0.5)


@pytest.mark.parametrize("mode", ["RGBA", "RGB16"])
@pytest.mark.parametrize("stroke", [KEEP_BLUE, VEIL], ids=["keep", "paint"])
def test_far_from_a_stroke_colours_stay_bit_for_bit(
    tmp_path: Path, engine: Engine, mode: str, stroke: Stroke
) -> None:
    """A picture with transparency is soft everywhere: its colours moved by up to 11 of 255 at its other end; in 16 bits, all did."""
    path = tmp_path / "a.png"
    half_clear = np.dstack([two_discs(), np.tile(np.linspace(40, 255, WIDTH), (HEIGHT, 1)).astype(np.uint8)])
    deep = half_clear[..., :3].astype(np.uint16) * 257
    cv2.imwrite(
        str(path), cv2.cvtColor(half_clear, cv2.COLOR_RGBA2BGRA) if mode == "RGBA" else deep[..., ::-1]
    )
    recipe = replace(RECIPE, renditions=(Rendition(format=Format.PNG, suffix="", bits=16),))
    found = []
    for strokes in ((), (stroke,)):
        _, cutout = cut_of(engine, path, *strokes, recipe=recipe)
        made = cv2.imread(str(cutout), cv2.IMREAD_UNCHANGED)
        assert made is not None
        found.append(made)
    before, after = found
    assert before.dtype == np.uint16
    is_changed = np.asarray(before != after)
    is_near = np.asarray(cv2.dilate(is_changed[..., 3].astype(np.uint8), np.ones((53, 53), np.uint8))) > 0
    is_soft = (before[..., 3] > 0) & (before[..., 3] < 65535)
    assert (is_soft & ~is_near).any()
    assert is_changed[is_near].any()
    assert not is_changed[~is_near].any()


def test_strokes_that_change_nothing_leave_the_reasons_to_hold_it_back(
    tmp_path: Path, engine: Engine
) -> None:
    """It stayed in review without any reason."""
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 40), PALE).save(path)
    before, _ = cut_of(engine, path)
    after, _ = cut_of(engine, path, Stroke(kind=StrokeKind.KEEP, points=((-9.0, -9.0),), radius=1.0))
    assert after.corrected is not None
    assert not after.corrected.changed
    assert after.quality.reasons == before.quality.reasons != ()


def test_the_second_suggestion_is_followed_where_it_was_chosen(cut: Callable[..., Any]) -> None:
    """It also does what the stroke says."""
    report, alpha = cut(KEEP_BLUE, suggestion=1)
    assert at(alpha, RIGHT) > 0.9
    assert report.corrected.changed


def test_a_matte_of_a_hosted_service_is_corrected_as_well(
    tmp_path: Path, cut: Callable[..., Any], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The features for the strokes come from the embedded model, and no service is asked."""
    pixels = np.dstack([two_discs(), np.where(two_discs()[..., 2] == RED[2], 255, 0).astype(np.uint8)])
    Image.fromarray(pixels, "RGBA").save(tmp_path / "reply", format="PNG")
    monkeypatch.setattr(engine, "model", lambda _: pytest.fail("a model was asked"))
    received = Received(file=str(tmp_path / "reply"), body="cutout", width=WIDTH, height=HEIGHT)
    _, before = cut(received=received)
    report, alpha = cut(KEEP_BLUE, received=received)
    assert at(before, RIGHT) < 0.05
    assert at(alpha, RIGHT) > 0.95
    assert at(alpha, LEFT) > 0.95
    assert report.corrected.changed


def test_an_exact_brush_sets_the_alpha_that_it_says(cut: Callable[..., Any]) -> None:
    """At full size, after refinement, also where the model finds nothing; nothing else changes."""
    _, before = cut()
    report, alpha = cut(line(StrokeKind.PAINT, RIGHT, alpha=0.5))
    x, y = RIGHT
    assert set(alpha[y - 3 : y + 3, x - 20 : x + 20].flat) <= {127, 128}
    assert np.array_equal(alpha[:, : WIDTH // 2], before[:, : WIDTH // 2])
    assert report.corrected.changed


def test_strokes_that_agree_with_the_matte_change_nothing(cut: Callable[..., Any]) -> None:
    """The person is told so, and the bytes stay the same."""
    before, _ = cut()
    report, _ = cut(line(StrokeKind.KEEP, LEFT))
    assert report.corrected.changed is False
    assert report.staged[0].sha256 == before.staged[0].sha256


def test_strokes_over_another_picture_are_not_followed_and_the_sidecar_says_so(
    cut: Callable[..., Any],
) -> None:
    """The other picture has the same name, size and date, but other bytes."""
    before, _ = cut()
    report, _ = cut(KEEP_BLUE, sha256="0" * 64)
    assert report.corrected is None
    assert report.warnings == (DROPPED,)
    assert report.staged[0].sha256 == before.staged[0].sha256


@pytest.mark.parametrize(
    ("held", "strokes", "review"),
    [
        (None, (), True),
        (None, (KEEP_BLUE,), False),
        (None, (ALL_AWAY,), True),
        (True, (KEEP_BLUE,), True),
        (False, (), False),
    ],
)
def test_a_corrected_cutout_is_published_unless_nothing_is_left_or_a_person_wants_it_held(
    cut: Callable[..., Any], strokes: tuple[Stroke, ...], *, held: bool | None, review: bool
) -> None:
    """Whatever its score, since a person has looked at it."""
    report, _ = cut(*strokes, held=held, recipe=replace(RECIPE, review_below=1.0))
    assert report.review is review
