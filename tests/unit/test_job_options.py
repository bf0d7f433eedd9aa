"""A request's options: their text, their bounds, and the recipe that they make of a folder's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cutoutd.job_options import MAX_TEXT, JobOptions, JobOptionsError
from cutoutd.recipe import Channels, Format, Margin, Metadata, Recipe, RegionOfInterest, Rendition

BACKGROUNDS = Path("/state/backgrounds")
SHA256 = "a" * 64
BASE = Rendition(format=Format.PNG, suffix="-x", directory="web", crop=Margin(px=(1, 1, 1, 1)), bits=16)
RECIPE = Recipe(
    renditions=(BASE, replace(BASE, suffix="-y")),
    refine=True,
    decontaminate=True,
    metadata=Metadata.KEEP,
    review_below=0.1,
)
ALL = JobOptions(
    format=Format.WEBP,
    quality=80,
    channels=Channels.RGBA,
    max_pixels=1000,
    crop=True,
    margin=Margin(px=(1, 2, 3, 4), share=(0.1, 0.2, 0.3, 0.4)),
    scale=0.5,
    position=(0.0, 1.0),
    background="#0a0b0c",
    roi=RegionOfInterest(px=(1, 2, 0, 0), share=(0.0, 0.0, 1.0, 1.0)),
    shadow=30,
    semitransparency=False,
    model="u2net-int8",
)


def rendition_of(**asked: object) -> Rendition:
    """Return the one rendition of a job with options."""
    (rendition,) = JobOptions.model_validate(asked).recipe(RECIPE, BACKGROUNDS).renditions
    return rendition


@pytest.mark.parametrize(
    "options", [JobOptions(), ALL, JobOptions(scale="original", position="original", crop=False)]
)
def test_text_gives_the_same_options_again(options: JobOptions) -> None:
    """Journal and sidecars store this text."""
    assert JobOptions.parse(options.text()) == options


def test_a_request_without_options_is_the_empty_text() -> None:
    """The row shows that the folder's settings apply."""
    assert JobOptions().text() == ""


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"unknown": 1}',
        '{"quality": 0}',
        '{"quality": "80"}',
        '{"format": "gif"}',
        '{"max_pixels": 0}',
        '{"scale": 0}',
        '{"scale": NaN}',
        '{"position": [0, 2]}',
        '{"background": "/etc/passwd"}',
        '{"background": "../../x"}',
        '{"shadow": 101}',
        '{"margin": {"px": [-1, 0, 0, 0]}}',
        '{"margin": {"share": [9, 0, 0, 0]}}',
        '{"roi": {"px": [0, 0, 999999, 0]}}',
        '{"model": "../x"}',
        " " * (MAX_TEXT + 1),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_a_reason(text: str) -> None:
    """An edited journal must not lead to a path or to an endless picture."""
    with pytest.raises(JobOptionsError, match=r"\w"):
        JobOptions.parse(text)


def test_without_an_option_about_the_form_all_of_the_folders_results_are_made() -> None:
    """A region or a model affects the matte, which all renditions share."""
    assert (
        JobOptions(roi=RegionOfInterest(), model="m").recipe(RECIPE, BACKGROUNDS).renditions
        == RECIPE.renditions
    )


def test_one_result_of_the_folders_name_and_place() -> None:
    """Options that are not given have the folder's values."""
    rendition = rendition_of(format=Format.TIFF)
    assert (rendition.format, rendition.suffix, rendition.directory) == (Format.TIFF, "-x", "web")
    assert rendition.crop == BASE.crop
    assert rendition.bits == 16


def test_a_jpeg_without_a_background_is_on_white() -> None:
    """JPEG has no transparency, and 8 bits."""
    rendition = rendition_of(format=Format.JPEG)
    assert (rendition.colour, rendition.bits) == ((255, 255, 255), 8)


@pytest.mark.parametrize(
    ("asked", "crop"),
    [
        ({"crop": False}, None),
        ({"crop": True}, BASE.crop),
        ({"crop": True, "margin": Margin(px=(9, 9, 9, 9))}, Margin(px=(9, 9, 9, 9))),
        ({"crop": False, "margin": Margin(px=(9, 9, 9, 9))}, None),
    ],
)
def test_crop_and_its_margin(asked: dict[str, object], crop: Margin | None) -> None:
    """A margin alone keeps the folder's crop."""
    assert rendition_of(**asked).crop == crop


def test_each_kind_of_background_can_be_requested() -> None:
    """A colour, none, or a stored picture, always below the directory of backgrounds."""
    assert rendition_of(background="#0a0b0c").colour == (10, 11, 12)
    assert rendition_of(background="transparent").is_transparent
    assert rendition_of(background=SHA256).picture == f"/state/backgrounds/{SHA256}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"scale": 0}',
            'scale: this value is not possible; it takes a number from 0.01 to 1, or "original"',
        ),
        (
            '{"background": "redd"}',
            'background: this value is not possible; it takes "transparent", a colour such as',
        ),
        (
            '{"margin": {"px": "a"}}',
            "margin: this value is not possible; it takes an object with px and share",
        ),
        ('{"size": 3}', "size: there is no such option; there are format, quality,"),
        ("[1]", "options are a JSON object"),
    ],
)
def test_a_refusal_says_what_an_option_takes(text: str, said: str) -> None:
    """In words for people, not in those of a library."""
    with pytest.raises(JobOptionsError) as raised:
        JobOptions.parse(text)
    assert str(raised.value).startswith(said)


def test_what_each_option_takes_is_said() -> None:
    """Also of an option that is added later."""
    for name in JobOptions.model_fields:
        with pytest.raises(JobOptionsError, match=f"^{name}: this value is not possible; it takes"):
            JobOptions.parse(f'{{"{name}": {{"odd": []}}}}')
