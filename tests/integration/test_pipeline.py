"""One job from start to end in this process, with every report that a worker can make; with the real model where the matte matters."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cutoutd.engine.colour import code_points
from cutoutd.engine.matting import quality
from cutoutd.engine.matting.refine import refine
from cutoutd.errors import CutoutdError, ModelError
from cutoutd.failure import failure_of
from cutoutd.jobs import OVERLAY, Cut, Failure, NeedsRoom, Report, Task, Unchanged
from cutoutd.models import catalog
from cutoutd.pipeline import pipeline
from cutoutd.pipeline.engine import Engine
from cutoutd.pool.one_task import task_for
from cutoutd.protocols import Step
from cutoutd.publish.staging import Staging
from cutoutd.recipe import Format, Metadata, Recipe, Rendition
from cutoutd.task_route import Received
from tests.integration import small_models
from tests.integration.opened import files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

MAX_PIXELS = 1_000_000
MAX_BYTES = 1 << 20
WIDTH, HEIGHT = 200, 150
RECIPE = Recipe(
    renditions=(Rendition(format=Format.PNG, suffix=""),),
    refine=True,
    decontaminate=True,
    metadata=Metadata.NO_LOCATION,
    review_below=0.0,
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine of a worker with a small model, loaded once for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(small_models.data_directory(tmp_path_factory.mktemp("data"))))
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")
        created = engine_of("darkness")
        yield created
        created.close()


@pytest.fixture(scope="module")
def u2net() -> Iterator[Engine]:
    """An engine with the packaged model, for pictures that are too complex for the small one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")
        created = engine_of("u2net-int8")
        yield created
        created.close()


def engine_of(model: str) -> Engine:
    """Return an engine with one model of the catalog."""
    return Engine([catalog.find(model)], provider="cpu", max_pixels=MAX_PIXELS, max_file_bytes=MAX_BYTES)


@pytest.fixture
def drop(tmp_path: Path) -> Callable[..., Task]:
    """A function that puts a file into the folder, and returns its task."""
    (tmp_path / "out").mkdir()

    def make(content: bytes, *, name: str = "a.jpg", recipe: Recipe = RECIPE) -> Task:
        path = tmp_path / name
        path.write_bytes(content)
        task, _ = task_for(path, tmp_path / "out", recipe)
        return replace(task, job=7, alone=False)

    return make


def run(task: Task, engine: Engine, tell: Callable[[Step], None] = lambda _: None) -> Report:
    """Run a task as a folder's thread and a worker do: files are opened, used and closed, and only those of a cutout stay."""
    directory = Path(task.staging)
    staging = Staging(directory.parents[2], directory.parent.name).of_job(directory.name)
    try:
        with files_of(task, staging) as files:
            report = pipeline.run(task, files, engine, tell)
    except CutoutdError as error:
        return failure_of(error)
    if not isinstance(report, Cut):
        staging.remove_whole()
    return report


def ball() -> NDArray[np.uint8]:
    """Return a shaded red ball on a pale background, a subject that the model finds with certainty; uint8 (H, W, 3)."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    radius = 0.33 * HEIGHT
    away = np.hypot(x - WIDTH / 2, y - HEIGHT / 2)
    light = np.clip(1.2 - np.hypot(x - WIDTH * 0.43, y - HEIGHT * 0.4) / (1.8 * radius), 0.2, 1.0)
    inside = np.clip(radius - away, 0, 1)[..., np.newaxis]
    red = np.array([200, 40, 30], np.float32) * light[..., np.newaxis]
    ground = np.array([225, 228, 230], np.float32) - 20 * (y / HEIGHT)[..., np.newaxis]
    return np.asarray(red * inside + ground * (1 - inside), np.uint8)


def encoded(pixels: NDArray[np.uint8], kind: str = "JPEG", **more: object) -> bytes:
    """Return the file of a picture."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format=kind, **more)
    return out.getvalue()


def staged(task: Task) -> list[str]:
    """Return the names in the staging directory."""
    return sorted(path.name for path in Path(task.staging).glob("*"))


def test_the_model_sees_the_colours_that_the_file_means(u2net: Engine, drop: Callable[..., Task]) -> None:
    """A picture with linear light, which looks dark if its gamma is ignored, gets the matte of the same picture in sRGB."""
    light = code_points.decoded(np.asarray(ball() * 0.5, np.uint8))  # so dark that it matters
    linear = np.rint(light * 255).astype(np.uint8)
    chunks = PngInfo()
    chunks.add(b"gAMA", (100_000).to_bytes(4, "big"))
    mattes = []
    for name, content in (
        ("same.png", encoded(code_points.encoded((linear / 255).astype(np.float32)), "PNG")),
        ("linear.png", encoded(linear, "PNG", pnginfo=chunks)),
    ):
        task = drop(content, name=name, recipe=replace(RECIPE, refine=False))
        report = run(task, u2net)
        assert isinstance(report, Cut)
        cutout = Image.open(Path(task.staging, report.staged[0].name))
        mattes.append(np.asarray(cutout)[..., 3].astype(int))
    assert np.abs(mattes[0] - mattes[1]).max() <= 3


def test_a_picture_becomes_a_whole_staged_cutout(u2net: Engine, drop: Callable[..., Task]) -> None:
    """As large as the source, transparent outside, opaque inside, with a matching report."""
    source = encoded(ball())
    task = drop(source)
    report = run(task, u2net)
    assert isinstance(report, Cut)
    (result,) = report.staged
    content = Path(task.staging, result.name).read_bytes()
    assert (result.name, result.rendition, result.format) == ("7-0.png", 0, Format.PNG)
    assert (result.bytes, result.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (result.width, result.height) == (WIDTH, HEIGHT)
    cutout = np.asarray(Image.open(io.BytesIO(content)))
    assert cutout.shape == (HEIGHT, WIDTH, 4)
    assert cutout[HEIGHT // 2, WIDTH // 2, 3] == 255
    assert cutout[0, 0].tolist() == [0, 0, 0, 0]
    decoded = np.asarray(Image.open(io.BytesIO(source)))
    solid = cutout[..., 3] == 255
    assert np.array_equal(cutout[solid][:, :3], decoded[solid])
    assert report.source.sha256 == hashlib.sha256(source).hexdigest()
    assert (report.source.bytes, report.source.format, report.source.orientation) == (len(source), "JPEG", 1)
    assert report.quality.score > 0
    assert not report.review
    assert staged(task) == ["7-0.png"]


def test_the_report_has_the_time_of_each_step(engine: Engine, drop: Callable[..., Task]) -> None:
    """By step, in milliseconds; the sum of the steps is no more than the total."""
    report = run(drop(encoded(ball())), engine)
    assert isinstance(report, Cut)
    spent = dict(report.timings_ms)
    total = spent.pop("total")
    assert set(spent) == {"decode", "infer", "refine", "encode"}
    assert all(step > 0 for step in spent.values())
    assert sum(spent.values()) <= total + 1


def test_the_reported_size_is_that_of_the_upright_picture(engine: Engine, drop: Callable[..., Task]) -> None:
    """After the orientation is applied."""
    exif = Image.Exif()
    exif[0x0112] = 6
    report = run(drop(encoded(ball(), exif=exif)), engine)
    assert isinstance(report, Cut)
    assert (report.source.width, report.source.height, report.source.orientation) == (HEIGHT, WIDTH, 6)
    assert (report.staged[0].width, report.staged[0].height) == (HEIGHT, WIDTH)


def test_every_rendition_is_staged(engine: Engine, drop: Callable[..., Task]) -> None:
    """Each under a name of the job."""
    two = (RECIPE.renditions[0], Rendition(format=Format.PNG, suffix="_2"))
    task = drop(encoded(ball()), recipe=replace(RECIPE, renditions=two))
    report = run(task, engine)
    assert isinstance(report, Cut)
    assert [(one.name, one.rendition) for one in report.staged] == [("7-0.png", 0), ("7-1.png", 1)]
    assert staged(task) == ["7-0.png", "7-1.png"]


def test_a_disk_is_waited_for_from_before_its_first_byte_is_written(
    engine: Engine, drop: Callable[..., Task]
) -> None:
    """A share may hang at that already, and the supervisor must see that the share is the cause."""
    task = drop(encoded(ball()))
    seen: list[tuple[Step, int]] = []
    run(task, engine, lambda step: seen.append((step, Path(task.staging, "7-0.png").stat().st_size)))
    assert next(size for step, size in seen if step is Step.WRITE) == 0
    steps = [step for step, _ in seen]
    assert steps[0] is Step.READ
    assert steps[-1] is Step.SYNC


@pytest.mark.parametrize("orientation", [1, 6])
def test_sixteen_bits_go_all_the_way(engine: Engine, drop: Callable[..., Task], orientation: int) -> None:
    """From a rotated TIFF with transparency to one of 16 bits: the subject's samples are those of the file."""
    deep = ball().astype(np.uint16) * 257 + np.random.default_rng(1).integers(
        0, 100, (HEIGHT, WIDTH, 3), np.uint16
    )
    own = np.full((HEIGHT, WIDTH), 65535, np.uint16)
    own[: HEIGHT // 2] = 30000
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        np.dstack((deep, own)),
        photometric="rgb",
        extrasamples=["unassalpha"],
        extratags=[(274, "H", 1, orientation, True)],
        metadata=None,
    )
    wanted = tuple(
        Rendition(format=kind, suffix=suffix, bits=bits)
        for kind, suffix, bits in ((Format.TIFF, "", 16), (Format.PNG, "-8", 8))
    )
    task = drop(file.getvalue(), name="a.tif", recipe=replace(RECIPE, renditions=wanted))
    report = run(task, engine)
    assert isinstance(report, Cut)
    cutout = tifffile.imread(Path(task.staging, "7-0.tif"))
    upright = np.rot90(deep, -1) if orientation == 6 else deep
    assert cutout.dtype == np.uint16
    assert cutout.shape == (*upright.shape[:2], 4)
    solid = cutout[..., 3] == 65535
    assert 0.05 < solid.mean() < 0.5
    assert np.array_equal(cutout[solid][:, :3], upright[solid])
    assert not cutout[cutout[..., 3] == 0].any()
    seen_through = np.rot90(own, -1) == 30000 if orientation == 6 else own == 30000
    assert 110 * 257 < cutout[seen_through][:, 3].max() <= 118 * 257
    plain = np.asarray(Image.open(Path(task.staging, "7-1.png")))
    assert np.abs(cutout / 257 - plain)[plain[..., 3] > 20].max() < 1.5
    assert report.warnings == ("its 16-bit samples were rounded to 8 bits",)


def test_a_picture_without_a_subject_goes_to_review_with_an_overlay(
    u2net: Engine, drop: Callable[..., Task]
) -> None:
    """Its matte is not stretched into a random mask."""
    task = drop(encoded(np.full((HEIGHT, WIDTH, 3), 119, np.uint8)))
    report = run(task, u2net)
    assert isinstance(report, Cut)
    assert report.review
    assert (report.quality.score, report.quality.reasons) == (0.0, ("no subject",))
    assert [one.rendition for one in report.staged] == [0, OVERLAY]
    assert len(staged(task)) == 2


def test_a_score_below_the_folders_own_measure_goes_to_review(
    engine: Engine, drop: Callable[..., Task]
) -> None:
    """Whatever the picture."""
    off_centre = np.roll(ball(), WIDTH // 2, axis=1)  # cut in two by the border
    report = run(drop(encoded(off_centre), recipe=replace(RECIPE, review_below=1.0)), engine)
    assert isinstance(report, Cut)
    assert 0 <= report.quality.score < 1
    assert report.review


def test_bytes_that_are_published_already_are_not_cut_again(
    engine: Engine, drop: Callable[..., Task]
) -> None:
    """Only the hash is reported."""
    source = encoded(ball())
    task = replace(drop(source), published_sha256=hashlib.sha256(source).hexdigest())
    assert run(task, engine) == Unchanged(sha256=hashlib.sha256(source).hexdigest())
    assert staged(task) == []


def test_a_huge_picture_asks_for_room_before_it_is_decoded(
    engine: Engine, drop: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture is cut when it runs alone."""
    monkeypatch.setattr(pipeline, "ROOMY_PIXELS", WIDTH * HEIGHT - 1)
    task = drop(encoded(ball()))
    assert run(task, engine) == NeedsRoom(pixels=WIDTH * HEIGHT)
    assert staged(task) == []
    assert isinstance(run(replace(task, alone=True), engine), Cut)


def failed(task: Task, engine: Engine, code: str) -> Failure:
    """Return the failure of a task, which leaves nothing staged."""
    report = run(task, engine)
    assert isinstance(report, Failure), report
    assert report.code == code
    assert report.cause
    assert report.advice.endswith(".")
    assert staged(task) == []
    return report


@pytest.mark.parametrize("change", ["longer", "later", "removed"])
def test_a_source_that_is_another_version_is_gone(
    engine: Engine, drop: Callable[..., Task], change: str
) -> None:
    """Its newer version has its own job."""
    task = drop(encoded(ball()))
    source = Path(task.source)
    if change == "longer":
        source.write_bytes(source.read_bytes() + b"\0")
        os.utime(source, ns=(task.mtime_ns, task.mtime_ns))
    elif change == "later":
        os.utime(source, ns=(task.mtime_ns, task.mtime_ns + 1))
    else:
        source.unlink()
    assert not failed(task, engine, "SourceGone").permanent


def test_a_fifo_in_the_place_of_a_source_does_not_hang(engine: Engine, drop: Callable[..., Task]) -> None:
    """The accepted file is gone."""
    task = drop(encoded(ball()))
    Path(task.source).unlink()
    os.mkfifo(task.source)
    failed(task, engine, "SourceGone")


@pytest.mark.parametrize("other", ["directory", "link"])
def test_something_else_in_the_place_of_a_source_means_that_it_is_gone(
    engine: Engine, drop: Callable[..., Task], other: str
) -> None:
    """No later attempt can find the accepted file there."""
    task = drop(encoded(ball()))
    source = Path(task.source)
    moved = source.rename(source.with_name("moved.jpg"))
    source.mkdir() if other == "directory" else source.symlink_to(moved)
    failed(task, engine, "SourceGone")


def test_a_picture_with_too_many_pixels_is_refused(engine: Engine, drop: Callable[..., Task]) -> None:
    """By its header, with both numbers."""
    bomb = encoded(np.zeros((1, MAX_PIXELS + 1, 3), np.uint8), "PNG")
    failure = failed(drop(bomb), engine, "Limit")
    assert failure.permanent
    assert "1000001 x 1" in failure.cause


def test_a_format_that_is_switched_off_is_refused(
    engine: Engine, drop: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its first bytes, before any decoder sees it; the failure names the setting, and other pictures are cut."""
    monkeypatch.setattr(engine, "formats", ("jpeg", "raw"))
    failure = failed(drop(encoded(ball(), "PNG")), engine, "Limit")
    assert failure.permanent
    assert "it is a PNG file" in failure.cause
    assert "[pool] formats" in failure.cause
    assert '"png"' in failure.advice
    assert isinstance(run(drop(encoded(ball())), engine), Cut)


def test_a_file_with_too_many_bytes_is_refused(engine: Engine, drop: Callable[..., Task]) -> None:
    """The refusal comes before any byte is read."""
    failure = failed(drop(encoded(ball()) + bytes(MAX_BYTES)), engine, "Limit")
    assert failure.permanent
    assert "max_file_mb" in failure.cause


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "Picture"),
        (b"plain text that is called a picture", "Limit"),
        (bytes(5000), "Picture"),
        (encoded(ball())[:-400], "Picture"),
        (encoded(ball(), "PNG")[:600], "Picture"),
        (b"\xff\xd8\xff\xe0" + bytes(300), "Picture"),
        (b"%PDF-1.7 and so on, which is not for us to open", "Limit"),
    ],
)
def test_an_unusable_picture_is_reported(
    engine: Engine, drop: Callable[..., Task], content: bytes, code: str
) -> None:
    """Empty, text, zeros, incomplete, damaged, or of a format that is not read."""
    assert failed(drop(content), engine, code).permanent


def test_a_name_that_is_not_utf8_is_read_like_any_other(engine: Engine, drop: Callable[..., Task]) -> None:
    """The staged name is that of the job, whatever the source's is."""
    task = drop(encoded(ball()), name=os.fsdecode(b"caf\xe9\n.jpg"))
    assert isinstance(run(task, engine), Cut)
    Path(task.source).unlink()
    assert failed_only(task, engine).code == "SourceGone"


def failed_only(task: Task, engine: Engine) -> Failure:
    """Return the failure of a task, whatever is staged."""
    report = run(task, engine)
    assert isinstance(report, Failure)
    return report


def test_a_staging_directory_that_is_gone_is_a_fault_of_the_disks(
    engine: Engine, drop: Callable[..., Task]
) -> None:
    """The source is there, and waits until the output is as well."""
    task = drop(encoded(ball()))
    Path(task.staging).parent.rmdir()
    failure = failed_only(task, engine)
    assert (failure.code, failure.permanent) == ("Output", False)


def test_an_internal_error_is_reported_and_ends_nothing(
    engine: Engine,
    drop: Callable[..., Task],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """With its trace on standard error; the next picture is cut."""
    task = drop(encoded(ball()))
    with monkeypatch.context() as patch:
        patch.setattr(quality, "signs", lambda *_: 1 // 0)
        failure = failed(task, engine, "Fault")
    assert failure.permanent
    assert "ZeroDivisionError" in failure.cause
    assert "ZeroDivisionError" in capfd.readouterr().err
    assert isinstance(run(task, engine), Cut)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("Failed to allocate memory for requested buffer"),
        ValueError("std::bad_alloc"),
    ],
)
def test_too_little_memory_is_reported_as_a_limit(
    engine: Engine, drop: Callable[..., Task], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whichever of Python, onnxruntime and OpenCV reports it."""
    task = drop(encoded(ball()))

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(quality, "signs", refuse)
    assert "worker_memory_mb" in failed(task, engine, "Limit").advice


def test_an_altered_model_is_not_loaded(tmp_path: Path) -> None:
    """Before onnxruntime sees a byte of it."""
    model = catalog.find("u2net-int8")
    altered = tmp_path / "altered.onnx"
    altered.write_bytes(b"not the model")
    with pytest.raises(ModelError, match="not the one of the catalog"):
        Engine([replace(model, file=altered)], provider="cpu", max_pixels=1, max_file_bytes=1)


def test_a_matte_of_a_hosted_service_keeps_its_own_detail(
    tmp_path: Path, drop: Callable[..., Task], engine: Engine
) -> None:
    """It is enlarged by the picture's colours, also where a model's would be refined."""
    y, x = np.mgrid[0:800, 0:1200].astype(np.float32)
    away = np.hypot(x - 600, y - 400)
    noise = np.random.default_rng(2).normal(0, 6, (200, 300, 3)).repeat(4, axis=0).repeat(4, axis=1)
    rgb = np.clip(np.where(away[..., None] < 250, 60, 190) + noise, 0, 255).astype(np.uint8)
    alpha = np.round(255 / (1 + np.exp((away - 290) / 25))).astype(np.uint8)[::2, ::2]
    Image.fromarray(alpha).save(tmp_path / "reply", format="PNG")
    data = io.BytesIO()
    Image.fromarray(rgb).save(data, format="PNG")
    received = Received(file=str(tmp_path / "reply"), body="alpha", width=600, height=400)
    task = replace(drop(data.getvalue(), name="a.png"), received=received)
    report = run(task, engine)
    assert isinstance(report, Cut), report
    done = np.asarray(Image.open(Path(task.staging, report.staged[0].name)))[..., 3]
    matte = alpha.astype(np.float32) / np.float32(255)
    assert (done == refine(rgb, matte, is_detailed=True)).all()
    assert (done != refine(rgb, matte)).any()
