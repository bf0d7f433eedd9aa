"""A second model runs where the first one is unsure: whose matte is used, and what happens if it cannot run."""

from __future__ import annotations

import io
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from cutoutd.engine.matting import quality
from cutoutd.engine.matting.matte_model import MatteModel
from cutoutd.engine.matting.subject_search import Detection, Region
from cutoutd.errors import ModelError
from cutoutd.jobs import Cut
from cutoutd.models.known import checksums
from cutoutd.pipeline import engine as engine_module
from cutoutd.pipeline import pipeline
from cutoutd.pipeline.engine import Engine, SecondGoneError
from cutoutd.pipeline.matte import choose
from cutoutd.pool import capacity
from cutoutd.pool.capacity import MEMORY_PER_WORKER
from cutoutd.pool.one_task import task_for
from cutoutd.protocols import ModelSpec, Scale
from cutoutd.recipe import Format, Metadata, Recipe, Rendition
from tests.integration import small_models
from tests.integration.opened import files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECIPE = Recipe(
    renditions=(Rendition(format=Format.PNG, suffix=""),),
    refine=False,
    decontaminate=False,
    metadata=Metadata.NONE,
    review_below=0.0,
    second_below=0.6,
)
RED, BLUE, PALE = (200, 40, 30), (30, 40, 200), (226, 228, 230)


def spec(directory: Path, name: str, *, dark: bool) -> ModelSpec:
    """Return a small model with its file."""
    file = small_models.save(directory / f"{name}.onnx", dark=dark)
    return ModelSpec(
        name=name,
        file=file,
        sha256=checksums(file).sha256,
        bytes=file.stat().st_size,
        input_size=small_models.SIDE,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        licence="MIT",
        source="here",
        scale=Scale.BYTE,
        min_max=False,
    )


@pytest.fixture
def second(tmp_path: Path) -> ModelSpec:
    """A model that takes dark or strongly coloured things for the subject."""
    return spec(tmp_path, "darkness", dark=True)


@pytest.fixture
def engine(tmp_path: Path, second: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The engine of a worker whose first model finds red things."""
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    first = spec(tmp_path, "redness", dark=False)
    created = Engine([first], provider="cpu", max_pixels=10**6, max_file_bytes=10**6, second=second)
    yield created
    created.close()


@pytest.fixture
def cut(tmp_path: Path, engine: Engine) -> Callable[..., Cut]:
    """A function that cuts a disc of a colour on a pale background, and returns the report."""

    def run(colour: tuple[int, int, int], *, second_below: float = 0.6, model: str = "") -> Cut:
        y, x = np.mgrid[0:96, 0:128]
        rgb = np.where((np.hypot(x - 64, y - 48) < 30)[..., np.newaxis], colour, PALE).astype(np.uint8)
        data = io.BytesIO()
        Image.fromarray(rgb).save(data, format="PNG")
        path = tmp_path / "a.png"
        path.write_bytes(data.getvalue())
        output = Path(tempfile.mkdtemp(dir=tmp_path))
        task, staging = task_for(path, output, replace(RECIPE, second_below=second_below))
        with files_of(task, staging) as files:
            report = pipeline.run(replace(task, model=model), files, engine)
        assert isinstance(report, Cut)
        return report

    return run


def test_a_picture_without_doubt_is_cut_by_one_model_alone(cut: Callable[..., Cut], engine: Engine) -> None:
    """The second model is not even loaded; nor is it for a folder that does not use it."""
    assert cut(RED).second is None
    assert cut(BLUE, second_below=0.0).second is None
    loader = engine.second_for("redness")
    assert loader is not None
    assert loader._model is None  # noqa: SLF001 -- nothing else tells whether it was loaded


def test_the_second_models_matte_is_taken_where_the_first_sees_nothing(cut: Callable[..., Cut]) -> None:
    """With the reason; if neither finds anything, the first matte stays."""
    found = cut(BLUE)
    assert found.second is not None
    assert (found.second.taken, found.second.score) == (True, 0.0)
    assert found.quality.score > 0
    nothing = cut(PALE)
    assert nothing.second is not None
    assert (nothing.second.taken, nothing.second.why) == (False, "the second model sees no subject")
    assert nothing.quality.score == 0.0


def test_the_same_model_does_not_run_twice(engine: Engine) -> None:
    """A folder whose own model is the second one has no second opinion."""
    assert engine.second_for("darkness") is None
    assert engine.second_for("") is not None


def test_a_second_model_that_is_missing_or_altered_keeps_a_worker_from_starting(
    tmp_path: Path, second: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like the first model."""
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    first = spec(tmp_path, "redness", dark=False)
    for wrong in (replace(second, sha256="0" * 64), replace(second, file=tmp_path / "nowhere")):
        with pytest.raises(ModelError):
            Engine([first], provider="cpu", max_pixels=1, max_file_bytes=1, second=wrong)


def test_a_second_model_that_does_not_load_keeps_no_pictures(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, its error held what every doubtful picture's job had in hand, until the worker had no memory left."""

    def refused(*_: object, **__: object) -> None:
        raise ModelError("it does not load")

    monkeypatch.setattr(engine_module, "MatteModel", refused)
    loader = engine.second_for("")
    assert loader is not None
    seen: list[weakref.ref[np.ndarray]] = []

    def doubt() -> str:
        picture = np.zeros((8, 8, 3), np.uint8)
        seen.append(weakref.ref(picture))
        try:
            loader.model()
        except ModelError as error:
            return error.cause
        return f"it has loaded for {picture.shape}"

    assert [doubt() for _ in range(3)] == 3 * ["it does not load"]
    # A thread of Dask's, left from another test, looks at this one's frames, and may hold the last that it has seen.
    assert sum(one() is not None for one in seen) <= 1


def test_a_second_model_altered_later_ends_the_worker_and_blames_no_picture(
    cut: Callable[..., Cut], second: ModelSpec
) -> None:
    """The next worker reports the reason. A file that replaces it is not read."""
    content = second.file.read_bytes()
    second.file.write_bytes(content[:-1] + b"!")
    with pytest.raises(SecondGoneError):
        cut(BLUE)
    second.file.write_bytes(content)
    second.file.rename(second.file.with_name("kept"))
    second.file.write_bytes(b"another")
    assert cut(BLUE).second is not None


def test_a_second_model_without_memory_costs_its_opinion_and_not_the_picture(
    cut: Callable[..., Cut], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first model's cutout is made, with a warning."""

    def no_room(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("cutoutd.engine.matting.matte_model.MatteModel.__init__", no_room)
    report = cut(BLUE)
    assert report.second is None
    assert report.quality.score == 0.0
    assert "darkness, could not be run: not enough memory" in report.warnings[0]


@pytest.mark.parametrize("part", ["__init__", "predict"])
def test_a_second_model_that_does_not_work_costs_its_opinion_and_not_the_picture(
    cut: Callable[..., Cut],
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    part: str,
) -> None:
    """The model does not load beside the first, or fails on a picture.

    The worker goes on, and reports the reason once.
    """
    usual = MatteModel.predict
    tries: list[str] = []

    def fails(model: MatteModel, *given: Any, **named: Any) -> Any:  # noqa: ANN401 -- in place of either
        if model is engine.usual:
            return usual(model, *given, **named)
        tries.append(part)
        raise ModelError("CUDA failure 2: out of memory")

    monkeypatch.setattr(MatteModel, part, fails)
    for _ in range(2):
        report = cut(BLUE)
        assert report.second is None
        assert report.warnings == (
            "the second model, darkness, could not be run: CUDA failure 2: out of memory",
        )
    assert len(tries) == (1 if part == "__init__" else 2)
    assert capsys.readouterr().err.count("Traceback") == 1


def test_the_number_of_workers_leaves_room_for_a_second_model_in_each(
    second: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the memory of its trial, or by an estimate."""
    monkeypatch.setattr(capacity, "_cores", lambda: 16)
    monkeypatch.setattr(capacity, "_groups", list)
    monkeypatch.setattr(capacity, "_physical_memory", lambda: int(4 * MEMORY_PER_WORKER))
    assert capacity.worker_count(0) == 4
    assert capacity.worker_count(0, replace(second, memory_mb=1536).room_mb) == 2
    assert capacity.worker_count(3, 10_000) == 3
    large = replace(second, bytes=178_648_008, input_size=1024)
    assert 2000 < large.room_mb < 2500
    assert replace(large, memory_mb=965).room_mb == 965 + 170


def look_at(share_sure: float, *, inside: int = 40) -> Detection:
    """Return the detection of a square in 100 x 100 pixels, with this share of certain pixels."""
    raw = np.zeros((100, 100), np.float32)
    raw[10 : 10 + inside, 10 : 10 + inside] = 0.6
    raw[10 : 10 + round(inside * share_sure), 10 : 10 + inside] = 1.0
    whole = Region(top=0, bottom=100, left=0, right=100)
    return Detection(region=whole, raw=raw, signs=quality.signs(raw))


def test_the_more_decided_matte_is_taken_whatever_the_scores() -> None:
    """A single pass of another model scores too high by itself: it is scored together with the first one."""
    surer = choose(look_at(0.5), look_at(0.9), 100, 100)
    assert surer.is_second
    assert surer.why == "the second model's matte is more decided (0.90 against 0.50)"
    assert surer.quality.score < 0.9
    assert choose(look_at(0.6), look_at(0.5), 100, 100).is_second is False
    apart = choose(look_at(0.5, inside=80), look_at(0.9), 100, 100)
    assert apart.quality.score < surer.quality.score
    assert "a part may be missing" in apart.quality.reasons


def test_a_person_can_have_the_second_model_alone_cut_a_picture(cut: Callable[..., Cut]) -> None:
    """The second model is loaded for that if necessary, and no other model runs."""
    assert cut(BLUE, second_below=0.0).quality.score == 0
    asked = cut(BLUE, second_below=0.0, model="darkness")
    assert asked.quality.score > 0
    assert asked.second is None
