"""The contract of remove.bg, field by field: what is requested, and what is refused in its own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.job_options import JobOptions
from cutoutd.recipe import Channels, Format, Margin, RegionOfInterest
from cutoutd.serve.contract import removebg, removebg_answers
from cutoutd.serve.contract.removebg_answers import ResponseFacts
from cutoutd.serve.contract.removebg_error import RemoveBgError

if TYPE_CHECKING:
    from cutoutd.serve.contract.removebg import RemoveBgRequest

FILE = {"image_file"}
SHA = "a" * 64


def parse(files: set[str] | None = None, **fields: str) -> RemoveBgRequest:
    """Parse a request with these fields and a picture."""
    return removebg.parse_request(fields, files or FILE)


def options(files: set[str] | None = None, **fields: str) -> JobOptions:
    """Return the job options of a request in full size."""
    return parse(files, **{"size": "auto", **fields}).options


def test_a_request_without_options_gives_a_preview_as_png_with_a_warning() -> None:
    """As at remove.bg."""
    request = parse()
    assert request.options == JobOptions(format=Format.PNG, max_pixels=250_000, locates_subject=True)
    assert (request.is_zip, request.says_type, request.note) == (False, True, removebg.NO_SIZE)
    assert parse(size="preview").note == ""


@pytest.mark.parametrize(
    ("size", "pixels"),
    [
        ("preview", 250_000),
        ("small", 250_000),
        ("regular", 250_000),
        ("medium", 1_500_000),
        ("hd", 4_000_000),
        ("full", None),
        ("4k", None),
        ("50MP", None),
        ("auto", None),
        ("AUTO", None),
    ],
)
def test_requested_sizes(size: str, pixels: int | None) -> None:
    """By current and former names."""
    assert parse(size=size).options.max_pixels == pixels


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"format": "png"}, {"format": Format.PNG}),
        ({"format": "jpg"}, {"format": Format.JPEG}),
        ({"format": "webp"}, {"format": Format.WEBP}),
        ({"format": "auto"}, {"format": Format.PNG}),
        ({"format": "auto", "bg_color": "fff"}, {"format": Format.JPEG, "background": "#ffffff"}),
        (
            {"format": "auto", "bg_color": "fff", "channels": "alpha"},
            {"format": Format.PNG, "background": "#ffffff", "channels": Channels.ALPHA},
        ),
        ({"channels": "rgba"}, {"channels": Channels.RGBA}),
        ({"channels": "alpha"}, {"channels": Channels.ALPHA}),
        ({"crop": "true"}, {"crop": True}),
        ({"crop": "false"}, {"crop": False}),
        ({"crop_margin": "30px"}, {"margin": Margin(px=(30, 30, 30, 30))}),
        ({"crop_margin": "10%"}, {"margin": Margin(share=(0.1, 0.1, 0.1, 0.1))}),
        ({"crop_margin": "10% 20px"}, {"margin": Margin(px=(0, 20, 0, 20), share=(0.1, 0, 0.1, 0))}),
        ({"crop_margin": "1px 2px 3px 4px"}, {"margin": Margin(px=(1, 2, 3, 4))}),
        ({"crop_margin": "0"}, {"margin": Margin()}),
        ({"scale": "80%"}, {"scale": 0.8, "position": (0.5, 0.5)}),
        ({"scale": "original"}, {"scale": "original"}),
        ({"scale": "50%", "position": "original"}, {"scale": 0.5, "position": "original"}),
        ({"position": "center"}, {"position": (0.5, 0.5)}),
        ({"position": "20%"}, {"position": (0.2, 0.2)}),
        ({"position": "0% 100%"}, {"position": (0.0, 1.0)}),
        ({"position": "original"}, {"position": "original"}),
        ({"bg_color": "81d4fa"}, {"format": Format.JPEG, "background": "#81d4fa"}),
        ({"bg_color": "#81D4FA"}, {"format": Format.JPEG, "background": "#81d4fa"}),
        ({"bg_color": "81d4faff"}, {"format": Format.JPEG, "background": "#81d4fa"}),
        ({"bg_color": "81d4fa00"}, {"background": "transparent"}),
        ({"bg_color": "green"}, {"format": Format.JPEG, "background": "#008000"}),
        ({"bg_color": "transparent"}, {"background": "transparent"}),
        ({"roi": "0% 0% 50% 100%"}, {"roi": RegionOfInterest(share=(0.0, 0.0, 0.5, 1.0))}),
        (
            {"roi": "10px 0% 100px 100%"},
            {"roi": RegionOfInterest(px=(10, 0, 100, 0), share=(0.0, 0.0, 0.0, 1.0))},
        ),
        ({"add_shadow": "true"}, {"shadow": 40}),
        ({"add_shadow": "false"}, {"shadow": 0}),
        ({"shadow_type": "drop", "shadow_opacity": "70"}, {"shadow": 70}),
        ({"shadow_type": "none"}, {"shadow": 0}),
        ({"semitransparency": "false"}, {"semitransparency": False}),
        ({"semitransparency": "true"}, {"semitransparency": True}),
        ({"type": "car"}, {}),
        ({"type_level": "2"}, {}),
        ({"an_unknown_field": "x"}, {}),
        ({"crop": "", "roi": " "}, {}),
    ],
)
def test_each_field_has_its_effect(fields: dict[str, str], expected: dict[str, Any]) -> None:
    """Each field, by its effect on the job."""
    whole = {"format": Format.PNG, "locates_subject": True, **expected}
    assert options(None, **fields) == JobOptions.model_validate(whole)


def test_a_background_picture_makes_a_jpeg() -> None:
    """Where the request leaves the format open: nothing is transparent any more."""
    assert options({"image_file", "bg_image_file"}).format is Format.JPEG
    assert options({"image_file_b64", "bg_image_file_b64"}).format is Format.JPEG


def test_an_archive_has_colours_and_matte() -> None:
    """Whatever channels are requested."""
    request = parse(format="zip", size="full", channels="alpha")
    assert request.is_zip
    assert request.options == JobOptions(has_separate_matte=True, locates_subject=True)


@pytest.mark.parametrize(
    ("fields", "files", "code"),
    [
        ({}, set(), "missing_source"),
        ({"image_file": "no file"}, set(), "missing_source"),
        ({}, {"image_file", "image_file_b64"}, "multiple_sources"),
        ({"image_url": "http://x"}, {"image_file"}, "multiple_sources"),
        ({"image_url": "http://x"}, set(), "invalid_image_url"),
        ({"bg_image_url": "http://x"}, FILE, "invalid_bg_image_url"),
        ({"bg_color": "fff"}, {"image_file", "bg_image_file"}, "multiple_bg_sources"),
        ({"size": "huge"}, FILE, "invalid_size"),
        ({"format": "gif"}, FILE, "invalid_format"),
        ({"channels": "rgb"}, FILE, "invalid_channels"),
        ({"type": "house"}, FILE, "invalid_type"),
        ({"type_level": "9"}, FILE, "invalid_type_level"),
        ({"crop": "maybe"}, FILE, "invalid_crop"),
        ({"crop_margin": "1px 2px 3px"}, FILE, "invalid_crop_margin"),
        ({"crop_margin": "-1px"}, FILE, "invalid_crop_margin"),
        ({"crop_margin": "51%"}, FILE, "invalid_crop_margin"),
        ({"crop_margin": "501px"}, FILE, "invalid_crop_margin"),
        ({"scale": "9%"}, FILE, "invalid_scale"),
        ({"scale": "101%"}, FILE, "invalid_scale"),
        ({"scale": "half"}, FILE, "invalid_scale"),
        ({"position": "101%"}, FILE, "invalid_position"),
        ({"position": "1% 2% 3%"}, FILE, "invalid_position"),
        ({"bg_color": "blurple"}, FILE, "invalid_bg_color"),
        ({"bg_color": "81d4fa77"}, FILE, "invalid_bg_color"),
        ({"bg_color": "fff7"}, FILE, "invalid_bg_color"),
        ({"roi": "0 0 50%"}, FILE, "invalid_roi"),
        ({"roi": "0% 0% 101% 100%"}, FILE, "roi_exceeds_bounds"),
        ({"roi": "50% 0% 50% 100%"}, FILE, "roi_region_empty"),
        ({"add_shadow": "dark"}, FILE, "invalid_add_shadow"),
        ({"shadow_type": "4D"}, FILE, "invalid_shadow_type"),
        ({"shadow_type": "drop", "shadow_opacity": "101"}, FILE, "invalid_shadow_opacity"),
        ({"semitransparency": "yes!"}, FILE, "invalid_semitransparency"),
    ],
)
def test_refusals(fields: dict[str, str], files: set[str], code: str) -> None:
    """With the codes that clients know, as JSON with status 400."""
    with pytest.raises(RemoveBgError) as refused:
        removebg.parse_request(fields, files)
    (error,) = refused.value.body["errors"]
    assert (refused.value.status, error["code"]) == (400, code)
    assert error["title"]


def test_headers_of_a_result() -> None:
    """Nothing is charged; the type of subject is not detected, and is left out for level none."""
    facts = ResponseFacts(width=20, height=10, subject=(1, 2, 3, 4))
    assert removebg_answers.headers_of(parse(size="full"), facts) == {
        "X-Credits-Charged": "0",
        "X-Width": "20",
        "X-Height": "10",
        "X-Type": "other",
        "X-Foreground-Top": "2",
        "X-Foreground-Left": "1",
        "X-Foreground-Width": "3",
        "X-Foreground-Height": "4",
    }
    quiet = removebg_answers.headers_of(
        parse(type_level="none"), ResponseFacts(width=1, height=1, subject=None)
    )
    assert set(quiet) == {"X-Credits-Charged", "X-Width", "X-Height", "X-Cutoutd-Note"}
    assert removebg_answers.json_tail(facts) == {
        "foreground_top": 2,
        "foreground_left": 1,
        "foreground_width": 3,
        "foreground_height": 4,
    }


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "key", (403, "auth_failed")),
        (413, "too_large", (400, "file_too_large")),
        (429, "rate", (429, "rate_limit_exceeded")),
        (507, "disk_full", (503, "disk_full")),
        (503, "down", (503, "down")),
    ],
)
def test_our_own_refusals_use_remove_bgs_codes(status: int, code: str, expected: tuple[int, str]) -> None:
    """With codes that clients look for."""
    error = removebg_answers.refused(status, code, "text")
    assert (error.status, error.code, error.title) == (*expected, "text")


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ({"state": "refused", "why": "it is not a picture"}, (400, "invalid_file_type")),
        ({"state": "failed", "code": "Picture", "why": "torn"}, (400, "invalid_file_type")),
        ({"state": "failed", "code": "Limit", "why": "large", "advice": "a"}, (400, "limit_exceeded")),
        ({"state": "failed", "code": "Lost", "why": "died"}, (500, "failed")),
        ({"state": "gone", "code": None}, (500, "failed")),
    ],
)
def test_why_there_is_no_result(job: dict[str, Any], expected: tuple[int, str]) -> None:
    """The status tells the sender's faults from ours."""
    error = removebg_answers.failed(job)
    assert (error.status, error.code) == expected
    assert error.title


def test_an_account_owes_nothing() -> None:
    """In the form that clients read."""
    attributes = removebg_answers.account(50)["data"]["attributes"]
    assert attributes["credits"]["total"] == 0
    assert attributes["api"] == {"free_calls": 50, "sizes": "all"}
