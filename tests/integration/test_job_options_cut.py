"""Each option of a request has its effect, measured by the pixels of the result."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from cutoutd import backgrounds
from cutoutd.job_options import JobOptions
from cutoutd.jobs import Cut, Failure
from cutoutd.pipeline.engine import Engine
from cutoutd.pool import report_checks, wire
from cutoutd.pool.report_checks import AssignedTask
from cutoutd.recipe import Channels, Format, RegionOfInterest, Rendition
from tests.integration.test_pipeline import (  # noqa: F401 -- fixtures
    HEIGHT,
    MAX_PIXELS,
    RECIPE,
    WIDTH,
    ball,
    drop,
    encoded,
    run,
)
from tests.integration.test_second_opinion import spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from cutoutd.jobs import Task

RADIUS = 0.33 * HEIGHT


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine of a worker with a small model, loaded once for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")
        model = spec(tmp_path_factory.mktemp("models"), "darkness", dark=True)
        created = Engine([model], provider="cpu", max_pixels=MAX_PIXELS, max_file_bytes=1 << 20)
        yield created
        created.close()


@pytest.fixture
def cut(
    engine: Engine,
    drop: Callable[..., Task],  # noqa: F811 -- the fixture
    tmp_path: Path,
) -> Callable[..., list[Image.Image]]:
    """A function that cuts the ball with options, and returns the opened results."""

    def make(pixels: NDArray[np.uint8] | None = None, **asked: Any) -> list[Image.Image]:  # noqa: ANN401 -- options
        options = JobOptions(locates_subject=True, **asked)
        recipe = options.recipe(RECIPE, tmp_path / "kept")
        task = drop(encoded(ball() if pixels is None else pixels), recipe=recipe)
        report = run(task, engine)
        assert isinstance(report, Cut), report
        assert not report_checks.fault_of_report(
            report, AssignedTask(task=task, max_pixels=MAX_PIXELS, since_ms=1e9)
        )
        make.report = report  # type: ignore[attr-defined]
        return [Image.open(io.BytesIO(Path(task.staging, one.name).read_bytes())) for one in report.staged]

    return make


def alpha_of(image: Image.Image) -> NDArray[np.uint8]:
    """Return the last channel."""
    return np.asarray(image)[..., 3]


def test_size_is_in_pixels_of_the_result(cut: Callable[..., list[Image.Image]]) -> None:
    """Reduced with its proportions, never enlarged."""
    (small,) = cut(max_pixels=7_500)
    assert small.size == (100, 75)
    (whole,) = cut(max_pixels=10_000_000)
    assert whole.size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("kind", [Format.PNG, Format.WEBP, Format.JPEG, Format.TIFF])
def test_each_format_can_be_requested(cut: Callable[..., list[Image.Image]], kind: Format) -> None:
    """A JPEG is on white."""
    (image,) = cut(format=kind)
    assert image.format == kind.value.upper()
    if kind is Format.JPEG:
        assert np.asarray(image)[:5, :5].min() > 250
    else:
        assert alpha_of(image)[0, 0] == 0


def test_the_matte_alone_has_no_background(cut: Callable[..., list[Image.Image]]) -> None:
    """Whatever else was requested."""
    (image,) = cut(channels=Channels.ALPHA, background="#ff0000", shadow=50)
    assert image.mode == "L"
    assert np.asarray(image)[0, 0] == 0


def test_colours_and_matte_are_separate_files(cut: Callable[..., list[Image.Image]]) -> None:
    """Together they are the cutout; the colours have no transparency."""
    colours, matte = cut(has_separate_matte=True)
    assert (colours.format, colours.mode) == ("JPEG", "RGB")
    assert (matte.format, matte.mode) == ("PNG", "L")
    assert colours.size == matte.size == (WIDTH, HEIGHT)
    middle = np.asarray(colours)[HEIGHT // 2, WIDTH // 2]
    assert middle[0] > middle[2]
    assert np.asarray(matte)[HEIGHT // 2, WIDTH // 2] == 255
    (cutout,) = cut()
    assert (np.asarray(matte) == alpha_of(cutout)).all()


def test_colour_and_picture_behind(cut: Callable[..., list[Image.Image]], tmp_path: Path) -> None:
    """The background picture is one that is kept by its hash."""
    (red,) = cut(background="#ff0000")
    assert tuple(np.asarray(red)[2, 2]) == (255, 0, 0)
    (tmp_path / "green.png").write_bytes(encoded(np.full((30, 40, 3), (0, 200, 0), np.uint8), "PNG"))
    with (tmp_path / "green.png").open("rb") as file:
        sha256 = backgrounds.keep(tmp_path, file.fileno())
    (tmp_path / "kept").symlink_to(backgrounds.directory_in(tmp_path))
    (green,) = cut(background=sha256)
    assert tuple(np.asarray(green)[2, 2]) == (0, 200, 0)


def test_a_background_that_cannot_be_used_fails_its_own_job_alone(
    engine: Engine,
    drop: Callable[..., Task],  # noqa: F811 -- the fixture
    tmp_path: Path,
) -> None:
    """One request must not pause the folder, as a refusing output would."""
    (tmp_path / "kept").mkdir()
    content = b"no picture at all"
    sha256 = hashlib.sha256(content).hexdigest()
    for is_there in (False, True):
        if is_there:
            (tmp_path / "kept" / sha256).write_bytes(content)
        recipe = JobOptions(background=sha256).recipe(RECIPE, tmp_path / "kept")
        report = run(drop(encoded(ball()), recipe=recipe), engine)
        assert isinstance(report, Failure)
        assert (report.permanent, report.code) == (True, "Limit")
        assert "the background picture that was asked for" in report.cause


def test_position_and_scale(cut: Callable[..., list[Image.Image]]) -> None:
    """The position of the subject in the result is reported."""
    (moved,) = cut(position=(0.0, 0.0))
    assert alpha_of(moved)[int(RADIUS), int(RADIUS)] == 255
    (left, top, width, height) = cut.report.staged[0].subject  # type: ignore[attr-defined]
    assert (left, top) == (0, 0)
    assert abs(width - 2 * RADIUS) < 8
    assert abs(height - 2 * RADIUS) < 8
    (scaled,) = cut(scale=1.0)
    assert alpha_of(scaled)[HEIGHT // 2, WIDTH // 2] == 255
    assert cut.report.staged[0].subject[3] == HEIGHT  # type: ignore[attr-defined]


def test_everything_outside_the_region_of_interest_is_background(
    cut: Callable[..., list[Image.Image]],
) -> None:
    """Of two balls the one inside is the subject."""
    two = np.concatenate([ball(), ball()], axis=1)
    region = RegionOfInterest(px=(0, 0, WIDTH, 0), share=(0.0, 0.0, 0.0, 1.0))
    (image,) = cut(two, roi=region)
    assert image.size == (2 * WIDTH, HEIGHT)
    alpha = alpha_of(image)
    assert alpha[HEIGHT // 2, WIDTH // 2] == 255
    assert alpha[:, WIDTH:].max() == 0


def test_an_empty_region_is_refused_with_the_reason(
    engine: Engine,
    drop: Callable[..., Task],  # noqa: F811 -- the fixture
) -> None:
    """A region may be outside of this picture only."""
    options = JobOptions(roi=RegionOfInterest(px=(900, 900, 950, 950)))
    report = run(drop(encoded(ball()), recipe=options.recipe(RECIPE, Path())), engine)
    assert isinstance(report, Failure)
    assert "region of interest" in report.cause


def test_a_task_with_every_option_passes_through_the_channel(drop: Callable[..., Task]) -> None:  # noqa: F811 -- the fixture
    """The worker receives what the supervisor sends."""
    recipe = replace(
        RECIPE,
        roi=RegionOfInterest(px=(1, 2, 3, 4), share=(0.0, 0.1, 0.2, 0.3)),
        is_solid=True,
        locates_subject=True,
        renditions=(
            Rendition(
                format=Format.JPEG,
                suffix="",
                max_pixels=5,
                is_opaque=True,
                picture="/x",
                is_picture_asked=True,
            ),
        ),
    )
    task = drop(encoded(ball()), recipe=recipe)
    from cutoutd.protocols import Files  # noqa: PLC0415 -- here alone

    line = wire.encode_task(task, Files(source=3, results=(4, 5), backgrounds=(6,)))
    assert wire.decode_task(line) == task
