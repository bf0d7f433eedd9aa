"""Refinement improves the alpha where the picture has more detail, and does no harm elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.engine.matting.refine import MatteChange, refine, refined
from cutoutd.engine.matting.tiles import ImagePyramid
from cutoutd.engine.matting.working_copy import working_copy

Gray = NDArray[np.float32]
Rgb = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scene:
    """A subject over a background with its true alpha."""

    rgb: Rgb
    alpha: Gray


def _ball(side: int, *, strands: int = 0, blur_px: float = 0.0) -> Scene:
    """Return a dark ball with strands before a light background, both with some texture."""
    rng = np.random.default_rng(3)
    canvas = np.zeros((2 * side, 2 * side), np.uint8)
    cv2.circle(canvas, (side, side), round(side * 0.6), (255,), -1, cv2.LINE_AA)
    for angle in rng.uniform(0, 2 * np.pi, strands):
        reach = side * rng.uniform(0.7, 0.85)
        tip = (round(side + reach * np.cos(angle)), round(side + reach * np.sin(angle)))
        cv2.line(canvas, (side, side), tip, (255,), 3, cv2.LINE_AA)
    alpha = np.asarray(
        cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA), np.float32
    ) / np.float32(255)
    if blur_px:
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), blur_px), np.float32)
    texture = cv2.GaussianBlur(rng.normal(size=(side, side, 3)), (0, 0), 4) * 60
    subject, ground = np.array([70, 45, 30]) + texture, np.array([150, 190, 170]) + texture[::-1]
    mixed = subject * alpha[..., None] + ground * (1 - alpha[..., None]) + rng.normal(0, 1.5, (side, side, 3))
    return Scene(rgb=np.clip(mixed, 0, 255).astype(np.uint8), alpha=alpha)


def _reduced(alpha: Gray, size: int) -> Gray:
    """Return the alpha reduced to a square of this size."""
    return np.asarray(cv2.resize(alpha, (size, size), interpolation=cv2.INTER_AREA), np.float32)


def _errors(scene: Scene, matte: Gray) -> tuple[float, float]:
    """Return the mean error near the edge of bicubic enlargement and of refinement."""
    side = scene.alpha.shape[0]
    near = (
        cv2.dilate(
            ((scene.alpha > 0.02) & (scene.alpha < 0.98)).astype(np.uint8), np.ones((21, 21), np.uint8)
        )
        > 0
    )
    plain = np.clip(cv2.resize(matte, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
    fine = refine(scene.rgb, matte).astype(np.float32) / 255
    return float(np.abs(plain - scene.alpha)[near].mean()), float(np.abs(fine - scene.alpha)[near].mean())


@pytest.mark.parametrize("size", [40, 80])
def test_strands_the_matte_never_saw_are_found_in_the_picture(size: int) -> None:
    """The method must make a quarter less error than bicubic, and makes still less here."""
    scene = _ball(480, strands=90)
    plain, fine = _errors(scene, _reduced(scene.alpha, size))
    assert fine < 0.6 * plain


def test_a_plain_edge_becomes_sharp() -> None:
    """The matte blurs a hard edge over twelve pixels, and the colours change at the edge."""
    scene = _ball(480)
    plain, fine = _errors(scene, _reduced(scene.alpha, 40))
    assert fine < 0.4 * plain


@pytest.mark.parametrize("blur_px", [0.0, 5.0])
def test_a_matte_that_is_exact_is_not_changed(blur_px: float) -> None:
    """At the picture's own size the matte is exact, whether its edge is hard or soft."""
    scene = _ball(320, strands=40, blur_px=blur_px)
    _, fine = _errors(scene, scene.alpha)
    assert fine < 0.004


def test_a_soft_edge_that_the_matte_can_show_is_left_soft() -> None:
    """A coarse matte loses nothing of an edge out of focus, so nothing may be sharpened."""
    scene = _ball(480, blur_px=9.0)
    plain, fine = _errors(scene, _reduced(scene.alpha, 160))
    assert fine < max(1.05 * plain, plain + 0.002)


@pytest.mark.parametrize(("side", "size"), [(1400, 700), (1400, 513), (1300, 500)])
def test_a_fine_matte_is_enlarged_by_the_pictures_colours(side: int, size: int) -> None:
    """For a matte finer than the working copy: a quarter less error than bicubic."""
    scene = _ball(side, strands=60)
    matte = _reduced(scene.alpha, size)
    plain, fine = _errors(scene, matte)
    assert fine < 0.75 * plain
    alpha = refine(scene.rgb, matte)
    far = cv2.blur(scene.alpha, (31, 31), borderType=cv2.BORDER_REPLICATE)
    assert (alpha[far == 0] == 0).all()
    assert (alpha[far == 1] == 255).all()


def _network(side: int, reach: float, softness: float) -> Gray:
    """Return a network's matte of a ball: a sigmoid of the distance from the middle, in shares of the side; float32 (640, 640)."""
    y, x = np.mgrid[:side, :side]
    distance = np.hypot(y - side / 2, x - side / 2) / side
    return _reduced((1 / (1 + np.exp((distance - reach) / softness))).astype(np.float32), 640)


def test_a_fine_matte_that_filled_the_gaps_between_strands_is_refined_as_a_coarse_one() -> None:
    """Over a wide undecided area the pixels of a large network have no more detail than those of a small one."""
    scene = _ball(900, strands=150)
    matte = _network(900, reach=0.36, softness=0.02)
    y, x = np.mgrid[:900, :900]
    distance = np.hypot(y - 450, x - 450) / 900
    strands = (distance > 0.25) & (distance < 0.46)
    refined, enlarged = (
        float(np.abs(refine(scene.rgb, matte, is_detailed=is_detailed) / 255 - scene.alpha)[strands].mean())
        for is_detailed in (False, True)
    )
    assert refined < 0.6 * enlarged


def test_what_a_fine_matte_shows_itself_stays_bit_for_bit() -> None:
    """A narrow edge of a network, and strands as an average of the true alpha has them."""
    scene = _ball(900, strands=150)
    for matte in (_network(900, reach=0.3, softness=0.001), _reduced(scene.alpha, 640)):
        assert (refine(scene.rgb, matte) == refine(scene.rgb, matte, is_detailed=True)).all()


def test_a_tiny_picture_is_refined_although_its_matte_has_more_pixels() -> None:
    """Where a network with a grid of 288 is undecided between strands."""
    scene = _ball(240, strands=60)
    matte = _reduced(_network(900, reach=0.34, softness=0.02), 288)
    y, x = np.mgrid[:240, :240]
    distance = np.hypot(y - 120, x - 120) / 240
    strands = (distance > 0.28) & (distance < 0.44)
    refined, resized = (
        float(np.abs(refine(scene.rgb, matte, is_detailed=is_detailed) / 255 - scene.alpha)[strands].mean())
        for is_detailed in (False, True)
    )
    assert refined < 0.7 * resized


def test_a_fine_matte_has_no_seams_between_its_tiles() -> None:
    """A soft ramp over the whole picture crosses all of them."""
    side, size = 1200, 600
    ramp = np.tile(np.linspace(0, 1, side, dtype=np.float32), (side, 1))
    grey = np.repeat((ramp * 200 + 20).astype(np.uint8)[..., None], 3, axis=2)
    alpha = refine(grey, _reduced(ramp, size)).astype(np.float32) / 255
    assert np.abs(alpha - ramp).max() < 0.01


def test_flat_background_gets_no_haze_and_solid_subject_no_holes() -> None:
    """Away from the edge, sure values become exactly 0 and 255."""
    scene = _ball(480, strands=90)
    alpha = refine(scene.rgb, _reduced(scene.alpha, 40))
    y, x = np.mgrid[:480, :480]
    distance = np.hypot(y - 240, x - 240)
    assert alpha[distance > 230].max() == 0
    assert alpha[distance < 110].min() == 255


@pytest.mark.parametrize("width", [4, 6, 8])
def test_a_rim_that_the_matte_is_sure_of_is_not_eaten(width: int) -> None:
    """A dark ball with a rim in the background's colours: the picture's edge lies inside the true one."""
    rng = np.random.default_rng(5)
    ball, rim = np.zeros((480, 480), np.uint8), np.zeros((480, 480), np.uint8)
    cv2.circle(ball, (240, 240), 120, (255,), -1)
    cv2.circle(rim, (240, 240), 120 + width, (255,), -1)
    texture = cv2.GaussianBlur(rng.normal(size=(480, 480, 3)), (0, 0), 3) * 20
    rgb = np.where(ball[..., None] > 0, [50.0, 45, 40], [215.0, 220, 225]) + texture
    rgb[(rim > 0) & (ball == 0)] += 6
    coarse = _reduced((rim > 0).astype(np.float32), 288)
    seen = cv2.resize(coarse, (480, 480), interpolation=cv2.INTER_CUBIC)
    alpha = refine(np.clip(rgb, 0, 255).astype(np.uint8), coarse)
    assert alpha[(seen > 0.98) & (rim > 0) & (ball == 0)].min() > 127


def test_gaps_between_strands_that_a_network_filled_are_cleared() -> None:
    """A matte with the long tails of a sigmoid covers half of the strands' length, and the gaps as well."""
    scene = _ball(480, strands=40)
    y, x = np.mgrid[:480, :480]
    distance = np.hypot(y - 240, x - 240)
    filled = (1 / (1 + np.exp((distance - 158) / 7))).astype(np.float32)
    gaps = (distance < 158) & (cv2.dilate((scene.alpha > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0)
    alpha = refine(scene.rgb, _reduced(filled, 288))
    assert alpha[gaps].mean() < 10
    assert alpha[scene.alpha * (distance < 140) == 1].min() > 127


def test_what_a_network_half_believes_becomes_opaque_or_absent() -> None:
    """Without detail of its own, a plain half-transparency is a guess: a part of a ball, and a smear beside it."""
    scene = _ball(480)
    y, x = np.mgrid[:480, :480]
    sure = 1 / (1 + np.exp((np.hypot(y - 240, x - 240) / 480 - 0.3) / 0.01))
    half, smear = (1 / (1 + np.exp((np.hypot(y - at, x - 240) - 30) / 4)) for at in (150, 55))
    matte = sure * (1 - 0.35 * half) + (1 - sure) * 0.3 * smear
    alpha = refine(scene.rgb, _reduced(matte.astype(np.float32), 288))
    assert alpha[np.hypot(y - 150, x - 240) < 20].mean() > 230
    assert alpha[np.hypot(y - 55, x - 240) < 20].mean() < 20


def test_an_even_half_transparency_that_is_no_networks_stays() -> None:
    """Glass in an average of the true alpha, which has no tails: it is what is there."""
    y, x = np.mgrid[:480, :480]
    glass = np.where(np.hypot(y - 240, x - 240) < 150, np.float32(0.65), np.float32(0))
    rng = np.random.default_rng(9)
    rgb = np.array([150.0, 190, 170]) + cv2.GaussianBlur(rng.normal(size=(480, 480, 3)), (0, 0), 4) * 60
    rgb = rgb * (1 - glass[..., None]) + np.array([70.0, 45, 30]) * glass[..., None]
    alpha = refine(np.clip(rgb, 0, 255).astype(np.uint8), _reduced(glass, 288))
    assert np.abs(alpha[np.hypot(y - 240, x - 240) < 120] / 255 - 0.65).mean() < 0.03


def test_a_guess_within_the_subject_makes_no_hole() -> None:
    """What most of its surroundings speak against is not lowered."""
    scene = _ball(480)
    y, x = np.mgrid[:480, :480]
    distance = np.hypot(y - 240, x - 240) / 480
    spot = np.exp(-(((y - 240) ** 2 + (x - 240) ** 2) / (2 * 9.0**2)))
    matte = ((1 - 0.65 * spot) / (1 + np.exp((distance - 0.3) / 0.01))).astype(np.float32)
    seen = cv2.resize(_reduced(matte, 288), (480, 480), interpolation=cv2.INTER_CUBIC)
    alpha = refine(scene.rgb, _reduced(matte, 288))
    assert alpha[240, 240] >= round(255 * float(seen[240, 240])) - 3


def test_no_haze_stays_beside_an_edge_of_little_contrast() -> None:
    """Only the pixels on the edge are faint."""
    rng = np.random.default_rng(5)
    truth = np.zeros((480, 480), np.float32)
    truth[120:360, 80:240], truth[230:250, 240:400] = 1, 1  # a body, and a tail in the colours of the sky
    texture = cv2.GaussianBlur(rng.normal(size=(480, 480, 3)), (0, 0), 3) * 30
    rgb = np.array([215.0, 220, 225]) + texture + rng.normal(0, 3, texture.shape)
    rgb[120:360, 80:240] -= 170
    alpha = refine(np.clip(rgb, 0, 255).astype(np.uint8), _reduced(truth, 72))
    faint = np.count_nonzero((alpha > 0) & (alpha < 16))
    assert faint < 750


def test_a_large_picture_is_refined_as_a_small_one() -> None:
    """Above the working size the result is computed in tiles, without seams or shift."""
    scene = _ball(800)
    plain, fine = _errors(scene, _reduced(scene.alpha, 100))
    assert fine < 0.5 * plain


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (50, 3), (2, 900), (700, 5), (33, 47)])
@pytest.mark.parametrize("matte", [np.zeros((1, 1)), np.ones((3, 3)), np.full((5, 2), 0.5), np.eye(4)])
def test_any_shape_gives_an_alpha_of_the_picture(shape: tuple[int, int], matte: NDArray[np.float64]) -> None:
    """For the shortest sides, odd proportions and plain mattes."""
    rgb = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    alpha = refine(rgb, matte.astype(np.float32))
    assert alpha.shape == shape
    assert alpha.dtype == np.uint8


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0), (1.0, 255)])
def test_a_decided_matte_stays_as_it_is(value: float, expected: int) -> None:
    """All subject or all background leaves nothing to refine, whatever the picture shows."""
    rgb = np.random.default_rng(2).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    assert (refine(rgb, np.full((320, 320), value, np.float32)) == expected).all()


def test_a_random_matte_gives_valid_numbers() -> None:
    """A random matte gives no NaN."""
    rng = np.random.default_rng(4)
    rgb = rng.integers(0, 256, (200, 300, 3)).astype(np.uint8)
    alpha = refine(rgb, rng.random((200, 300), np.float32))
    assert 0 < alpha.mean() < 255


@pytest.mark.parametrize(
    ("rgb", "matte"),
    [
        (np.zeros((4, 4), np.uint8), np.zeros((2, 2), np.float32)),
        (np.zeros((4, 4, 3), np.float32), np.zeros((2, 2), np.float32)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2), np.uint8)),
        (np.zeros((0, 4, 3), np.uint8), np.zeros((2, 2), np.float32)),
    ],
)
def test_other_arrays_are_refused_by_name(rgb: NDArray[np.uint8], matte: NDArray[np.float32]) -> None:
    """The message has the expected and the given shapes."""
    with pytest.raises(ValueError, match=r"uint8|float32"):
        refine(rgb, matte)


def test_arguments_are_not_changed() -> None:
    """The picture's colours and the matte's score are still needed."""
    scene = _ball(200)
    matte = _reduced(scene.alpha, 50)
    rgb, before = scene.rgb.copy(), matte.copy()
    refine(scene.rgb, matte)
    assert (scene.rgb == rgb).all()
    assert (matte == before).all()


@pytest.mark.parametrize("side", [1, 2])
def test_a_picture_of_one_row_takes_no_more_memory_than_another(side: int) -> None:
    """A matte of a pixel or two covers 65,535 pixels; windows of that width need not be as high."""
    rgb = np.random.default_rng(3).integers(0, 256, (1, 65_535, 3), dtype=np.uint8)
    assert refine(rgb, np.full((side, side), 0.5, np.float32)).shape == rgb.shape[:2]


def _corner(side: int) -> tuple[Gray, Gray]:
    """Return what a stroke has changed in a corner, and the share that is wanted there; float32 (side, side), 0..1."""
    changed = np.zeros((side, side), np.float32)
    cv2.circle(changed, (side // 5, side // 5), side // 12, (1.0,), -1, cv2.LINE_AA)
    return changed, (cv2.blur(changed, (side // 4,) * 2) > 0).astype(np.float32)


@pytest.mark.parametrize("size", [80, 640])
def test_of_a_change_only_what_is_near_it_is_looked_at(size: int) -> None:
    """A correction costs as much as it changes, and not the whole refinement once more."""
    scene = _ball(1400, strands=60)
    changed, share = _corner(size)
    matte = np.maximum(_reduced(scene.alpha, size), changed)
    whole, part = (working_copy(ImagePyramid(scene.rgb), matte, one) for one in (None, share))
    assert part.hold.size < 0.5 * whole.hold.size
    there = cv2.resize(share, (1400, 1400), interpolation=cv2.INTER_NEAREST) > 0
    alpha = refined(scene.rgb, matte, change=MatteChange(share=share)).alpha
    assert np.abs(alpha.astype(int) - refine(scene.rgb, matte))[there].mean() < 2


def test_what_a_stroke_has_not_changed_is_refined_to_what_it_was() -> None:
    """Near it as well, although how a matte is refined depends on all of it."""
    scene = _ball(1400, strands=60)
    before = _reduced(scene.alpha, 160)
    changed, share = _corner(160)
    after = np.maximum(before, np.roll(changed, (70, 8), (0, 1)))  # on the ball's edge
    share = np.roll(share, (70, 8), (0, 1))
    same = (cv2.blur((after != before).astype(np.float32), (15, 15)) == 0) & (share > 0)
    there = cv2.resize(same.astype(np.uint8), (1400, 1400), interpolation=cv2.INTER_NEAREST) > 0
    was = refined(scene.rgb, before)
    alone, as_it_was = (
        refined(scene.rgb, after, change=MatteChange(share=share, overall=one)).alpha
        for one in (None, was.overall)
    )
    soft = there & (was.alpha > 0) & (was.alpha < 255)
    assert soft.sum() > 1000
    moved, kept = (float(np.abs(one.astype(int) - was.alpha)[soft].mean()) for one in (alone, as_it_was))
    assert kept < 0.5 * moved
    assert kept < 3
