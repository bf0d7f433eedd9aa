"""The matte that Fix has made of a picture spares the passes for it when strokes are saved, and changes no bit; anything else in its place is ignored."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cutoutd.corrections import Correction
from cutoutd.engine.matting.features import FeatureModel
from cutoutd.engine.matting.matte_model import MatteModel
from cutoutd.exchange import coarse_mattes
from cutoutd.fs.disk_cache import DiskCache
from cutoutd.jobs import Cut
from cutoutd.models import catalog
from cutoutd.pipeline import kept_matte, matte, pipeline
from cutoutd.pipeline.engine import Engine
from cutoutd.pool.one_task import task_for
from cutoutd.pool.task_files import open_files
from cutoutd.previews.brush_picture import BrushPicture
from cutoutd.process import channel
from cutoutd.recipe import Recipe, RegionOfInterest
from cutoutd.strokes import Stroke, StrokeKind
from cutoutd.task_route import ClusterTask
from tests.integration.test_corrected_pictures import RECIPE
from tests.integration.test_second_opinion import spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIDTH, HEIGHT = 360, 480
MAX_PIXELS = 10**6
SPEC = catalog.find(catalog.PACKAGED)
KEEP = Stroke(kind=StrokeKind.KEEP, points=((266.0, 250.0),), radius=8.0)
REMOVE = Stroke(kind=StrokeKind.REMOVE, points=((100.0, 240.0), (110.0, 250.0)), radius=8.0)
PAINT = Stroke(kind=StrokeKind.PAINT, points=((300.0, 60.0),), radius=20.0, alpha=0.5)

Save = tuple[Cut, int]
"""A report, and how many passes of the network it took."""


def two_things() -> Image.Image:
    """Return a picture whose matte takes a closer pass."""
    image = Image.new("RGBA", (WIDTH, HEIGHT), (230, 230, 225, 255))
    draw = ImageDraw.Draw(image)
    draw.ellipse((54, 144, 144, 336), fill=(180, 40, 30))
    for strand in range(9):
        draw.line((108, 240, 18 + 18 * strand, 106), (180, 40, 30), 3)
    draw.rectangle((252, 216, 281, 288), fill=(30, 60, 150))
    draw.rectangle((0, 0, WIDTH, 48), fill=(0, 0, 0, 0))
    return image


class Saving:
    """A picture that takes a closer pass, and what a worker makes of it with and without the matte that Fix has kept."""

    def __init__(self, root: Path, engine: Engine, model: FeatureModel) -> None:
        self.root, self._engine, self._model = root, engine, model
        self.path = root / "a.png"
        two_things().save(self.path)
        self.state_dir = root / "state"
        self.clear()

    def clear(self) -> None:
        """Forget what is kept."""
        shutil.rmtree(self.state_dir, ignore_errors=True)
        self.state_dir.mkdir(mode=0o700)

    @cached_property
    def plain(self) -> Save:
        """What is saved where nothing is kept; for all tests."""
        self.clear()
        return self.save()

    @cached_property
    def own(self) -> bytes:
        """The picture's matte as a file; for all tests."""
        return self.open_in_fix()

    @property
    def sha256(self) -> str:
        """SHA-256 of the picture."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    @property
    def kept(self) -> Path:
        """The only file that is kept."""
        (path,) = (self.state_dir / coarse_mattes.DIRECTORY).iterdir()
        return path

    def made_of(self, recipe: Recipe = RECIPE) -> bytes:
        """Return the origin of the picture's matte."""
        return kept_matte.origin(self._model.model, (HEIGHT, WIDTH), recipe, self.sha256)

    def open_in_fix(self, recipe: Recipe = RECIPE) -> bytes:
        """Make the matte as the process of a brush does, and keep it."""
        data = self.path.read_bytes()
        shown = BrushPicture.of(data, self._model, recipe, max_pixels=MAX_PIXELS, allowed=("png",))
        assert shown.is_costly
        content = kept_matte.packed(shown.found, self.made_of(recipe))
        self.keep(content)
        return content

    def keep(self, content: bytes) -> None:
        """Keep something under the key of the picture."""
        cache = DiskCache(self.state_dir / coarse_mattes.DIRECTORY)
        cache.put(coarse_mattes.key(self.sha256), content)

    def save(self, *strokes: Stroke, recipe: Recipe = RECIPE, **given: Any) -> Save:  # noqa: ANN401 -- fields of a task
        """Cut the picture with strokes."""
        (output := self.root / f"out-{len(list(self.root.glob('out-*')))}").mkdir()
        task, staging = task_for(self.path, output, recipe)
        drawn = Correction(number=1, sha256=self.sha256, strokes=strokes or (KEEP, REMOVE))
        task = replace(task, correction=drawn, **given)
        files = open_files(task, self.root, staging, mattes=self.state_dir)
        passes: list[object] = []
        with pytest.MonkeyPatch.context() as patch:
            infer = MatteModel._infer  # noqa: SLF001 -- all passes of any model go through it

            def counted(*asked: Any) -> Any:  # noqa: ANN401 -- as of that method
                passes.append(asked)
                return infer(*asked)

            patch.setattr(MatteModel, "_infer", counted)
            try:
                report = pipeline.run(task, files, self._engine)
            finally:
                channel.close(files.descriptors)
        assert isinstance(report, Cut), report
        return replace(report, timings_ms={}), len(passes)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, FeatureModel]]:
    """A worker's engine with a second model, and the model of a brush's process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")
        second = spec(tmp_path_factory.mktemp("models"), "redness", dark=False)
        engine = Engine((SPEC,), provider="cpu", max_pixels=MAX_PIXELS, max_file_bytes=1 << 24, second=second)
        yield engine, FeatureModel(SPEC, SPEC.file.read_bytes())
        engine.close()


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory, loaded: tuple[Engine, FeatureModel]) -> Saving:
    """The picture of all tests."""
    return Saving(tmp_path_factory.mktemp("picture"), *loaded)


@pytest.fixture
def saving(picture: Saving) -> Saving:
    """The picture, of which nothing is kept."""
    picture.clear()
    return picture


@pytest.mark.parametrize("strokes", [(KEEP, REMOVE), (PAINT,)], ids=["followed", "painted"])
@pytest.mark.parametrize(
    "recipe",
    [RECIPE, replace(RECIPE, roi=RegionOfInterest(px=(20, 0, 340, 480))), replace(RECIPE, refine=False)],
    ids=["plain", "region", "unrefined"],
)
def test_what_is_saved_is_the_same_and_takes_only_the_passes_that_strokes_need(
    saving: Saving, recipe: Recipe, strokes: tuple[Stroke, ...]
) -> None:
    """Those at 288 pixels and of the check; none to paint."""
    plain, passes = saving.save(*strokes, recipe=recipe)
    saving.open_in_fix(recipe)
    spared, fewer = saving.save(*strokes, recipe=recipe)
    assert spared == plain
    needed = 0 if strokes == (PAINT,) else 2
    assert passes > fewer == needed


def test_where_the_second_model_is_asked_both_mattes_are_made(saving: Saving) -> None:
    """The choice between them needs more than is kept; where the first is sure enough, it is not asked."""
    doubtful, sure = (replace(RECIPE, second_below=below) for below in (1.0, 0.01))
    saving.keep(saving.own)
    both, passes = saving.save(recipe=doubtful)
    assert both.second is not None
    assert passes > 2
    one, fewer = saving.save(recipe=sure)
    assert (one.second, fewer) == (None, 2)


@pytest.mark.parametrize(
    "given", [{"tagged": True}, {"cluster": ClusterTask(folder="f")}, {"correction": None}]
)
def test_no_other_task_gets_what_the_page_has_kept(saving: Saving, given: dict[str, Any]) -> None:
    """Workers of tagged folders least of all."""
    saving.keep(saving.own)
    (output := saving.root / "out").mkdir(exist_ok=True)
    task, staging = task_for(saving.path, output, RECIPE)
    drawn = Correction(number=1, sha256=saving.sha256, strokes=(KEEP,))
    for one, is_given in (
        (replace(task, correction=drawn), True),
        (replace(task, **{"correction": drawn, **given}), False),
    ):
        files = open_files(one, saving.root, staging, mattes=saving.state_dir)
        channel.close(files.descriptors)
        assert (files.matte is not None) is is_given
        staging.remove_whole()


def _changed(content: bytes, made_of: bytes, **facts: Any) -> bytes:  # noqa: ANN401 -- JSON
    """Return a kept matte that says something else of itself."""
    line, _, values = content[len(made_of) + 1 :].partition(b"\n")
    names = ("top", "bottom", "left", "right", "side", "score")
    said = json.loads(line)
    said = [
        *(facts.get(name, value) for name, value in zip(names, said, strict=False)),
        *facts.get("reasons", said[6:]),
    ]
    return b"\n".join((made_of, json.dumps(said).encode(), values))


def _with(value: float) -> Callable[[bytes, bytes], bytes]:
    """Return a function that puts a value into a kept matte."""

    def change(content: bytes, _: bytes) -> bytes:
        return content[:-400] + np.full(100, value, "<f4").tobytes()

    return change


UNTRUE: dict[str, Callable[[bytes, bytes], bytes]] = {
    "nothing": lambda _content, _made_of: b"",
    "torn": lambda content, _: content[:-4],
    "more": lambda content, _: content + bytes(4),
    "not a number": _with(np.nan),
    "below 0": _with(-0.01),
    "above 1": _with(1.01),
    "infinite": _with(np.inf),
    "outside": lambda content, made_of: _changed(content, made_of, right=WIDTH + 1),
    "before": lambda content, made_of: _changed(content, made_of, top=-1),
    "empty": lambda content, made_of: _changed(content, made_of, top=300, bottom=300),
    "no whole number": lambda content, made_of: _changed(content, made_of, top=0.0),
    "true": lambda content, made_of: _changed(content, made_of, top=True),
    "another size": lambda content, made_of: _changed(content, made_of, side=144),
    "no size": lambda content, made_of: _changed(content, made_of, side=0),
    "no score": lambda content, made_of: _changed(content, made_of, score=float("nan")),
    "too good": lambda content, made_of: _changed(content, made_of, score=1.5),
    "a word": lambda content, made_of: _changed(content, made_of, score="1"),
    "another reason": lambda content, made_of: _changed(content, made_of, reasons=["because"]),
    "a list": lambda content, made_of: _changed(content, made_of, reasons=[[]]),
    "long": lambda content, made_of: _changed(content, made_of, reasons=["not sure in places"] * 1000),
    "nested": lambda content, made_of: made_of + b"\n" + b"[" * 100_000 + b"\n" + content[-400_000:],
    "an object": lambda content, made_of: made_of + b'\n{"a": 1}\n' + content[-400_000:],
    "no line": lambda _content, made_of: made_of + b"\n",
    "another picture": lambda content, made_of: content.replace(
        made_of, made_of.replace(b'"480"', b'"481"').replace(b"480", b"481", 1)
    ),
}


@pytest.mark.parametrize("how", UNTRUE)
def test_a_kept_matte_that_is_not_the_pictures_own_is_ignored(saving: Saving, how: str) -> None:
    """Whatever is wrong with it, the matte is made as without it."""
    content, made_of = saving.own, saving.made_of()
    model, size = saving._model.model, (HEIGHT, WIDTH)  # noqa: SLF001 -- of this module
    part = matte.part_of_interest(RECIPE, *size)
    assert kept_matte.unpacked(content, made_of, model, part) is not None
    untrue = UNTRUE[how](content, made_of)
    assert untrue != content
    assert kept_matte.unpacked(untrue, made_of, model, part) is None


def _elsewhere(path: Path) -> Path:
    return path.rename(path.with_name("elsewhere"))


def _link(path: Path) -> None:
    path.symlink_to(_elsewhere(path))


def _link_of_directory(path: Path) -> None:
    path.parent.symlink_to(path.parent.rename(path.parents[1] / "elsewhere"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _torn(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _too_large(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(coarse_mattes.MAX_BYTES))


@pytest.mark.parametrize(
    "replaced", [_link, _link_of_directory, _pipe, _directory, _torn, _too_large, Path.unlink]
)
def test_what_is_put_in_the_place_of_a_kept_matte_is_not_used(
    saving: Saving, replaced: Callable[[Path], object]
) -> None:
    """Nothing is waited for, no link is followed, and the result is the same."""
    plain = saving.plain
    saving.keep(saving.own)
    replaced(saving.kept)
    assert saving.save() == plain


def test_the_matte_of_other_bytes_or_of_another_region_is_not_used(saving: Saving) -> None:
    """Although it has this picture's name."""
    plain, own = saving.plain, saving.own
    saving.open_in_fix(replace(RECIPE, roi=RegionOfInterest(px=(20, 0, 340, 480))))
    assert saving.save() == plain
    upright = saving.path.read_bytes()
    Image.open(saving.path).rotate(180).save(saving.path)
    try:
        turned = saving.save()
        saving.keep(own)
        assert saving.save() == turned
    finally:
        saving.path.write_bytes(upright)
