"""The renditions of one cutout, staged from an artificial matte."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from cutoutd.engine.colour import icc_transform
from cutoutd.engine.formats import decode
from cutoutd.engine.picture import Picture
from cutoutd.engine.render import codecs, compose
from cutoutd.errors import LimitError, OutputError
from cutoutd.jobs import OVERLAY, Reason
from cutoutd.pipeline import renditions
from cutoutd.pool.one_task import task_for
from cutoutd.protocols import Step
from cutoutd.recipe import Format, Metadata, Recipe
from cutoutd.settings.renditions import RenditionSettings
from tests.integration.opened import files_of
from tests.unit.colour_profiles import wide_profile

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

HEIGHT, WIDTH = 120, 200
MAX_PIXELS = 1_000_000


def subject() -> tuple[Picture, NDArray[np.uint8]]:
    """Return a box of grey noise, 40 x 60 pixels, left of the middle, with soft sides; the green around it must never show."""
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rgb[..., 1] = 255
    rgb[30:90, 50:90] = np.random.default_rng(9).integers(90, 160, (60, 40, 1), np.uint8)
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[30:90, 50:90] = 255
    alpha[30:90, 50] = alpha[30:90, 89] = 128
    picture = Picture(
        rgb=rgb, alpha=None, icc=None, exif=None, xmp=None, format="JPEG", orientation=1, warnings=()
    )
    return picture, alpha


class Staging:
    """Stages renditions, and opens what was staged."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.directory = root
        self.steps: list[Step] = []
        (root / "a.jpg").write_bytes(b"")

    def stage(
        self,
        *written: dict[str, Any],
        icc: bytes | None = None,
        review: bool = False,
        deep: NDArray[np.uint16] | None = None,
    ) -> renditions.Stage:
        """Stage these renditions of the subject."""
        wanted = tuple(
            RenditionSettings.model_validate({"suffix": f"-{number}"} | one).rendition()
            for number, one in enumerate(written)
        )
        recipe = Recipe(
            renditions=wanted, refine=True, decontaminate=True, metadata=Metadata.NONE, review_below=0.0
        )
        task, staging = task_for(self._root / "a.jpg", self._root, recipe)
        task, self.directory = replace(task, job=7), staging.directory
        picture, alpha = subject()
        with files_of(task, staging) as files:
            return renditions.stage(
                task,
                files,
                replace(picture, icc=icc, deep=deep, rounded="" if deep is None else "it was rounded"),
                alpha,
                review=review,
                max_pixels=MAX_PIXELS,
                tell=self.steps.append,
            )

    def pixels(self, stage: renditions.Stage, number: int = 0) -> NDArray[np.uint8]:
        """Return the pixels of one staged rendition."""
        return np.asarray(Image.open(self.directory / stage.staged[number].name))

    @property
    def names(self) -> list[str]:
        """Return the staged names."""
        return sorted(path.name for path in self.directory.glob("*"))


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    """An empty staging directory."""
    return Staging(tmp_path)


def test_every_format_is_staged_as_it_was_reported(staging: Staging) -> None:
    """Names, sizes, hashes; lossless formats show the same pixels."""
    kinds = [one.value for one in Format if one is not Format.JPEG]
    stage = staging.stage(*({"format": kind} for kind in kinds), {"format": "jpeg", "background": "white"})
    assert staging.names == ["7-0.png", "7-1.webp", "7-2.tif", "7-3.avif", "7-4.jpg"]
    picture, alpha = subject()
    for result in stage.staged:
        content = (staging.directory / result.name).read_bytes()
        assert (result.bytes, result.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert (result.width, result.height) == (WIDTH, HEIGHT)
        opened = decode.decode(content, max_pixels=MAX_PIXELS)
        assert opened.format.lower() == result.format.value
    for number in range(3):
        assert np.array_equal(staging.pixels(stage, number), compose.rgba(picture.rgb, alpha))
    assert np.array_equal(staging.pixels(stage, 3)[..., 3], alpha)
    assert stage.warnings == ()


def test_a_shops_square_has_the_subject_where_it_belongs(staging: Staging) -> None:
    """White all around, the box 80 % of the height, in the middle, nothing green."""
    stage = staging.stage({"canvas": "300x300", "background": "white", "scale": "80%", "max_enlargement": 4})
    seen = staging.pixels(stage)
    assert seen.shape == (300, 300, 3)
    inked = seen.max(axis=2) < 200
    rows, columns = np.nonzero(inked.any(axis=1))[0], np.nonzero(inked.any(axis=0))[0]
    assert (rows[0], rows[-1]) == pytest.approx((30, 269), abs=1)
    assert (columns[0], columns[-1]) == pytest.approx((70, 229), abs=5)
    assert (seen[:20] == 255).all()
    assert np.ptp(seen, axis=2).max() <= 2
    assert stage.warnings == ('PNG "-0": the subject was enlarged 4.00 times',)


def test_crop_keeps_every_pixel(staging: Staging) -> None:
    """Of the subject, with 5 transparent pixels around it."""
    stage = staging.stage({"crop": True, "margin": "5px"})
    picture, alpha = subject()
    assert np.array_equal(staging.pixels(stage), compose.rgba(picture.rgb, alpha)[25:95, 45:95])


def test_a_result_says_where_in_it_the_whole_picture_lies(staging: Staging) -> None:
    """Each pixel of the subject is where that says, cropped or enlarged; a result that shows just the picture says nothing."""
    stage = staging.stage(
        {"crop": True, "margin": "5px"},
        {"canvas": "300x300", "scale": "80%", "max_enlargement": 4},
        {"max_px": 60},
    )
    cropped, enlarged, reduced = (one.frame for one in stage.staged)
    assert (cropped, reduced) == ((-45, -25, WIDTH, HEIGHT), None)
    assert enlarged is not None
    left, top, width, height = enlarged
    assert (width / WIDTH, height / HEIGHT) == pytest.approx((4, 4))
    _, alpha = subject()
    rows, columns = (np.nonzero(alpha.max(axis=axis) > 100)[0] for axis in (1, 0))
    shown = staging.pixels(stage, 1)[..., 3] > 100
    down, across = np.nonzero(shown.any(axis=1))[0], np.nonzero(shown.any(axis=0))[0]
    assert (across[0], down[0]) == pytest.approx((left + columns[0] * 4, top + rows[0] * 4), abs=3)


def test_the_mask_alone_is_the_matte(staging: Staging) -> None:
    """Grey, as large as the picture, or placed like it."""
    stage = staging.stage({"channels": "alpha"}, {"channels": "alpha", "format": "tiff", "crop": True})
    assert np.array_equal(staging.pixels(stage), subject()[1])
    assert np.array_equal(staging.pixels(stage, 1), subject()[1][30:90, 50:90])


def test_a_background_picture_is_behind_the_subject(staging: Staging, tmp_path: Path) -> None:
    """The background fills the canvas, and the report names its file."""
    ground = tmp_path / "paper.png"
    Image.new("RGB", (40, 40), (10, 20, 200)).save(ground)
    stage = staging.stage({"background": str(ground)}, {"background": "white"})
    seen = staging.pixels(stage)
    assert seen[5, 5].tolist() == [10, 20, 200]
    assert np.array_equal(seen[30:90, 51:89], subject()[0].rgb[30:90, 51:89])
    assert stage.staged[0].background_sha256 == hashlib.sha256(ground.read_bytes()).hexdigest()
    assert stage.staged[1].background_sha256 is None


@pytest.mark.parametrize("content", [None, b"", b"\xff\xd8\xff no picture"])
def test_a_background_that_cannot_be_used_is_no_fault_of_the_picture(
    staging: Staging, tmp_path: Path, content: bytes | None
) -> None:
    """The folder waits until it is repaired, and staged files are removed."""
    ground = tmp_path / "paper.jpg"
    if content is not None:
        ground.write_bytes(content)
    with pytest.raises(OutputError, match="background picture") as caught:
        staging.stage({}, {"background": str(ground)})
    assert caught.value.path == ground
    assert staging.names == []


def test_a_background_that_is_a_pipe_blocks_nothing(staging: Staging, tmp_path: Path) -> None:
    """No process may ever write to the pipe."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="is not a file"):
        staging.stage({"background": str(tmp_path / "pipe")})


def test_a_colour_profile_is_kept_or_converted(staging: Staging) -> None:
    """Converted pixels are reported; a background's colour means the same in both."""
    wide = wide_profile()
    stage = staging.stage(
        {"background": "#c83c28"},
        {"background": "#c83c28", "profile": "srgb", "format": "tiff"},
        {"channels": "alpha", "profile": "srgb"},
        icc=wide,
    )
    kept, converted, mask = (Image.open(staging.directory / one.name) for one in stage.staged)
    for image in (kept, converted, mask):
        image.load()
    assert kept.info["icc_profile"] == wide
    assert converted.info["icc_profile"] == icc_transform.srgb()
    assert "icc_profile" not in mask.info
    assert np.asarray(converted)[5, 5].tolist() == [0xC8, 0x3C, 0x28]
    assert np.asarray(kept)[5, 5].tolist() != [0xC8, 0x3C, 0x28]
    solid = (slice(31, 89), slice(52, 88))
    assert np.array_equal(np.asarray(kept)[solid], subject()[0].rgb[solid])
    assert not np.array_equal(np.asarray(converted)[solid], subject()[0].rgb[solid])
    assert stage.warnings == (
        'TIFF "-1": its colours were converted to sRGB, so its pixels are not the picture\'s own',
    )


def test_a_shadow_needs_no_background(staging: Staging) -> None:
    """Below the feet, black and half-transparent; crop leaves room for it."""
    stage = staging.stage({"shadow": 60}, {"shadow": 60, "crop": True}, {"crop": True})
    seen = staging.pixels(stage)
    assert 30 < seen[91, 70, 3] < 200
    assert seen[91, 70, :3].max() == 0
    picture, alpha = subject()
    assert np.array_equal(seen[31:89, 52:88], compose.rgba(picture.rgb, alpha)[31:89, 52:88])
    assert stage.staged[1].height > stage.staged[2].height


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"crop": True, "margin": "10000px"}, "more than the limit of 1"),
        ({"format": "webp", "crop": True, "margin": "0px 8200px"}, "the format holds 16383 a side"),
    ],
)
def test_a_result_that_is_too_large_is_refused_before_anything_is_written(
    staging: Staging, written: dict[str, Any], message: str
) -> None:
    """The size depends on the subject, so the configuration cannot exclude it."""
    with pytest.raises(LimitError, match=message):
        staging.stage({}, written)
    assert staging.names == []


def test_all_or_none_is_staged(staging: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the third cannot be made, the first two are removed."""

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(codecs, "encode", fail)
    with pytest.raises(MemoryError):
        staging.stage({}, {"format": "tiff"}, {"format": "webp"})
    assert staging.names == []


def test_a_long_encoding_is_no_disk_that_hangs(staging: Staging) -> None:
    """While a frame is encoded, the worker reports that it computes."""
    staging.stage({"format": "avif"})
    assert staging.steps == [Step.WRITE, Step.CUT, Step.WRITE, Step.SYNC]


def test_a_doubtful_cutout_gets_one_overlay(staging: Staging) -> None:
    """Whatever the number of renditions."""
    stage = staging.stage({}, {"format": "webp"}, review=True)
    assert [one.rendition for one in stage.staged] == [0, 1, OVERLAY]
    assert stage.staged[-1].format is Format.PNG


def deep_colours() -> NDArray[np.uint16]:
    """Return the subject's colours in 16 bits, each between two of 8 bits."""
    between = np.random.default_rng(10).integers(-120, 121, (HEIGHT, WIDTH, 3), np.int32)
    colours: NDArray[np.uint16] = np.clip(subject()[0].rgb.astype(np.int32) * 257 + between, 0, 65535).astype(
        np.uint16
    )
    return colours


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_are_the_sources_own(staging: Staging, kind: str) -> None:
    """Where it is opaque, bit for bit; invisible pixels are zero; the matte uses the whole range."""
    stage = staging.stage({"format": kind, "bits": 16}, {"format": kind, "bits": 8}, deep=deep_colours())
    alpha = subject()[1]
    found = wide_pixels(staging, stage, 0)
    assert found.dtype == np.uint16
    assert np.array_equal(found[..., 3], alpha.astype(np.uint16) * 257)
    assert np.array_equal(found[alpha > 0][:, :3], deep_colours()[alpha > 0])
    assert not found[alpha == 0].any()
    assert wide_pixels(staging, stage, 1).dtype == np.uint8
    assert stage.warnings == ("it was rounded",)


def test_nothing_was_rounded_where_all_renditions_are_deep(staging: Staging) -> None:
    """So there is no warning."""
    assert staging.stage({"bits": 16}, {"format": "tiff", "bits": 16}, deep=deep_colours()).warnings == ()


def test_a_picture_of_8_bits_is_widened_with_a_warning(staging: Staging) -> None:
    """White stays white; the matte alone loses nothing, and has no warning."""
    stage = staging.stage({"bits": 16}, {"bits": 16, "channels": "alpha"})
    picture, alpha = subject()
    found = wide_pixels(staging, stage, 0)
    assert np.array_equal(found, compose.rgba(picture.rgb, alpha).astype(np.uint16) * 257)
    assert np.array_equal(wide_pixels(staging, stage, 1), alpha.astype(np.uint16) * 257)
    assert len(stage.warnings) == 1
    assert "has only 8" in stage.warnings[0]


@pytest.mark.parametrize(
    "written",
    [
        {"crop": True, "margin": "10%"},
        {"canvas": "150x150", "scale": "85%"},
        {"canvas": "400x300"},
        {"background": "#d9e4ec"},
        {"shadow": 60},
        {"shadow": 60, "background": "white", "canvas": "150x150"},
    ],
)
def test_every_form_has_one_of_16_bits(staging: Staging, written: dict[str, Any]) -> None:
    """It differs from that of 8 bits only by rounding: of alpha, and by more of colours where alpha is small."""
    colours = subject()[0].rgb.astype(np.uint16) * np.uint16(257)
    stage = staging.stage(written | {"bits": 16}, written, deep=colours)
    deep, plain = (wide_pixels(staging, stage, number) for number in range(2))
    assert deep.shape == plain.shape
    difference = np.abs(deep / 257 - plain)
    if deep.shape[2] == 4:
        assert difference[..., 3].max() <= 0.51
        difference = difference[plain[..., 3] > 8]
    assert difference.max() <= 1.2


def wide_pixels(staging: Staging, stage: renditions.Stage, number: int) -> NDArray[Any]:
    """Return the pixels of a PNG or TIFF with all bits, red first."""
    found = cv2.imread(os.fspath(staging.directory / stage.staged[number].name), cv2.IMREAD_UNCHANGED)
    assert found is not None
    if found.ndim == 2:
        return found
    return found[..., [2, 1, 0, 3][: found.shape[2]]]


LIMITED: dict[str, Any] = {"background": "white", "canvas": "400x400", "scale": "85%", "max_enlargement": 0}


@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
def test_quality_is_lowered_until_a_file_is_small_enough(staging: Staging, kind: str) -> None:
    """To the highest that fits; the sidecar's output and a warning give the value."""
    plain = staging.stage({"format": kind} | LIMITED)
    assert plain.staged[0].quality is None
    most = plain.staged[0].bytes * 6 // 10 // 1000
    stage = staging.stage({"format": kind, "max_kb": most, "min_quality": 20} | LIMITED)
    (result,) = stage.staged
    assert result.bytes <= most * 1000
    assert result.quality is not None
    assert any(f"to {result.quality}, so that it has no more than {most} KB" in one for one in stage.warnings)
    if kind != "webp":  # which was lossless, so that the highest of all may fit
        higher = staging.stage({"format": kind, "quality": result.quality + 1} | LIMITED)
        assert higher.staged[0].bytes > most * 1000


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff"])
def test_a_rendition_that_cannot_be_made_small_enough_fails_and_leaves_nothing(
    staging: Staging, kind: str
) -> None:
    """Never below the lowest allowed quality; the message gives the size."""
    with pytest.raises(LimitError, match=r"more than max_kb = 1") as caught:
        staging.stage({"format": "png"}, {"format": kind, "max_kb": 1} | LIMITED)
    assert "larger max_kb" in caught.value.advice
    assert staging.names == []


def test_a_tiny_subject_is_enlarged_no_further_than_is_allowed(staging: Staging) -> None:
    """The subject then takes less of the canvas, and the result is doubtful.

    Before, the result was published with a full score.
    """
    shop = {"format": "jpeg", "background": "white", "canvas": "600x600", "scale": "85%"}
    stage = staging.stage(shop)  # 40 x 60 pixels to 510: 8.5 times
    assert stage.doubts == (Reason.FEW_FOR_CANVAS,)
    assert "the subject was enlarged 3.00 times instead of 8.5" in stage.warnings[0]
    rows = np.nonzero((staging.pixels(stage) < 200).any(axis=(1, 2)))[0]
    assert 170 <= rows[-1] - rows[0] + 1 <= 190
    assert staging.stage(shop | {"max_enlargement": 0}).doubts == ()
    assert staging.stage(shop | {"canvas": "200x200"}).doubts == ()  # 2.8 times, with a warning as ever


def test_the_longer_side_has_no_more_pixels_than_are_allowed(staging: Staging) -> None:
    """A larger result is reduced, a smaller one stays and is doubtful."""
    stage = staging.stage({"max_px": 100}, {"max_px": 100, "crop": True}, {"max_px": 100, "scale": "50%"})
    assert [(one.width, one.height) for one in stage.staged] == [(100, 60), (40, 60), (100, 60)]
    assert stage.doubts == ()
    small = staging.stage({"crop": True, "min_px": 61}, {"min_px": 200})
    assert [(one.width, one.height) for one in small.staged] == [(40, 60), (WIDTH, HEIGHT)]
    assert small.doubts == (Reason.FEW_PIXELS,)
    assert [one for one in small.warnings if "60 pixels, fewer than min_px = 61" in one]
