"""The real model on pictures with and without a subject, and whether the score distinguishes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from bench.nothing import nothing
from bench.scenes import Kind, draw
from numpy.typing import NDArray

from cutoutd.engine.matting.matte_model import MatteModel, normalise
from cutoutd.engine.matting.quality import assess
from cutoutd.engine.matting.refine import refine
from cutoutd.engine.matting.subject_search import find_subject
from cutoutd.models import catalog

if TYPE_CHECKING:
    from collections.abc import Callable

Rgb = NDArray[np.uint8]
HEIGHT, WIDTH = 480, 640


@pytest.fixture(scope="module")
def model() -> MatteModel:
    """The packaged model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")
        return MatteModel(catalog.find("u2net-int8"), provider="cpu")


def sky() -> Rgb:
    """Return a blue sky, brighter towards the horizon, with a sensor's noise."""
    down = np.linspace(0, 1, HEIGHT)[:, np.newaxis, np.newaxis]
    clear = (1 - down) * np.array([70, 130, 200]) + down * np.array([190, 220, 245])
    noise = np.random.default_rng(0).normal(0, 3, (HEIGHT, WIDTH, 3))
    return np.asarray(np.clip(clear + noise, 0, 255), np.uint8)


def grey_card() -> Rgb:
    """Return an evenly lit 18 % grey."""
    return np.full((HEIGHT, WIDTH, 3), 119, np.uint8)


def noise() -> Rgb:
    """Return random pixels."""
    return np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def gradient() -> Rgb:
    """Return the backdrop of a studio."""
    across = np.linspace(60, 220, WIDTH)[np.newaxis, :, np.newaxis]
    return np.broadcast_to(across, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def ball(radius: float, height: int, width: int) -> Rgb:
    """Return a shaded red ball in the middle of a pale background."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    y, x = rows - height / 2, columns - width / 2
    light = np.clip(1.1 - np.hypot(y + radius / 3, x + radius / 3) / (1.5 * radius), 0.1, 1)[..., np.newaxis]
    inside = np.clip(radius - np.hypot(y, x) + 0.5, 0, 1)[..., np.newaxis]
    shaded = inside * light * np.array([220, 40, 30]) + (1 - inside) * np.array([225, 228, 230])
    return np.asarray(shaded, np.uint8)


def disc(radius: float, height: int, width: int) -> NDArray[np.bool_]:
    """Return the mask of that ball."""
    rows, columns = np.mgrid[0:height, 0:width]
    inside: NDArray[np.bool_] = np.hypot(rows - height / 2, columns - width / 2) < radius
    return inside


def leaves_on_a_table(height: int, width: int, side: int) -> tuple[Rgb, NDArray[np.float32]]:
    """Return green leaves around a core on brown wood, and their alpha, 0..255."""
    chance = np.random.default_rng(5)
    grain = chance.normal(0, 12, (height, 1, 1)) + chance.normal(0, 4, (height, width, 1))
    table = np.clip(np.array([150, 120, 95]) + grain, 0, 255)
    paint = np.full((side, side, 3), (40, 120, 45), np.uint8)
    leaves = draw(Kind.LEAVES, (side, side), paint, chance)
    alpha = np.zeros((height, width), np.float32)
    colour = np.zeros((height, width, 3), np.float32)
    place = (slice(height // 3, height // 3 + side), slice(width // 2, width // 2 + side))
    alpha[place], colour[place] = leaves.alpha, leaves.colour
    share = alpha[..., np.newaxis]
    return np.asarray(colour * share + table * (1 - share), np.uint8), alpha * np.float32(255)


@pytest.mark.parametrize("picture", [grey_card, noise, sky, gradient])
def test_a_picture_of_nothing_has_no_subject(model: MatteModel, picture: Callable[[], Rgb]) -> None:
    """Its matte would be a random mask if it were stretched."""
    assert assess(model.predict(picture())).reasons == ("no subject",)


def test_an_object_on_a_plain_ground_is_a_subject(model: MatteModel) -> None:
    """The matte is certain, and covers only the thing."""
    raw = model.predict(ball(110, HEIGHT, HEIGHT))
    assert assess(raw).score > 0.8
    found, truth = raw > 0.5, disc(110 * len(raw) / HEIGHT, *raw.shape)
    assert np.count_nonzero(found & truth) / np.count_nonzero(found | truth) > 0.95


def test_a_closer_pass_over_a_small_object_gives_a_better_edge(model: MatteModel) -> None:
    """A wheel of leaves on a thirtieth of the frame: the error of its outline is less than half."""
    rgb, truth = leaves_on_a_table(1200, 1600, 260)
    found = find_subject(rgb, model.predict, model.sides)
    closer = np.zeros(truth.shape, np.uint8)
    closer[found.region.slices] = refine(rgb[found.region.slices], normalise(found.raw))
    first = refine(rgb, normalise(model.predict(rgb)))
    assert np.abs(closer - truth).mean() < 0.5 * np.abs(first - truth).mean()


@pytest.mark.parametrize("side", [128, 224, 288, 320])
def test_the_model_finds_the_same_object_at_each_of_its_sizes(model: MatteModel, side: int) -> None:
    """One file serves all of them."""
    raw = model.predict(ball(110, HEIGHT, HEIGHT), side)
    assert raw.shape == (side, side)
    assert side in {*model.sides, model.check_side}
    found, truth = raw > 0.5, disc(110 * side / HEIGHT, side, side)
    assert np.count_nonzero(found & truth) / np.count_nonzero(found | truth) > 0.95


def test_most_pages_screens_textures_and_landscapes_have_no_subject_or_are_doubtful(
    model: MatteModel,
) -> None:
    """One of each kind, by a seed that was not used for fitting. Before, a page of text scored 1."""
    scores = {
        name: find_subject(rgb, model.predict, model.sides, model.check_side).quality.score
        for name, rgb in nothing(seed=77, each=1)
    }
    assert sum(score < 0.5 for score in scores.values()) >= 0.8 * len(scores), scores
