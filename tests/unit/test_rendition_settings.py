"""A rendition's keys: each alone, and which of them are compatible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cutoutd.errors import ConfigurationError
from cutoutd.recipe import Channels, Format, Margin, Profile, Rendition
from cutoutd.settings import document, loader
from cutoutd.settings.digest import settings_sha256, with_backgrounds
from cutoutd.settings.schema import Folder, Settings


def assembled(*renditions: dict[str, Any], base: Path | None = Path("/etc/cutoutd")) -> Settings:
    """Return the settings of one folder with these renditions."""
    folder = {"name": "a", "input": "/in", "output": "/out", "rendition": list(renditions)}
    return loader.assemble({"folder": [folder]}, {}, origin="FILE", base=base)


def rendition(**written: object) -> Rendition:
    """Return the one rendition of a configuration with these keys."""
    (only,) = assembled(written).folder[0].recipe().renditions
    return only


def refused(*renditions: dict[str, Any]) -> str:
    """Return the error about these renditions."""
    with pytest.raises(ConfigurationError) as caught:
        assembled(*renditions)
    return str(caught.value)


def test_omitted_keys_mean_the_pictures_own_pixels() -> None:
    """A transparent PNG of the same size, lossless, not placed."""
    assert rendition() == Rendition(format=Format.PNG, suffix="")
    assert rendition().is_transparent


def test_a_shops_four_keys_mean_what_they_say() -> None:
    """2000x2000, white, the subject 85 % of it, centred."""
    found = rendition(format="jpeg", canvas="2000x2000", background="white", scale="85%", position="center")
    assert found == Rendition(
        format=Format.JPEG,
        suffix="",
        canvas=(2000, 2000),
        colour=(255, 255, 255),
        scale=0.85,
        position=(0.5, 0.5),
        max_enlargement=3.0,
    )


@pytest.mark.parametrize(
    ("written", "colour"),
    [
        ("white", (255, 255, 255)),
        ("Grey", (128, 128, 128)),
        ("#f5F5f5", (245, 245, 245)),
        ("#0af", (0, 170, 255)),
        ("transparent", None),
    ],
)
def test_a_colour_is_written_as_on_the_web(written: str, colour: tuple[int, int, int] | None) -> None:
    """By name, or with three or six hexadecimal digits."""
    assert rendition(background=written).colour == colour
    assert rendition(background=written).picture is None


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("paper.jpg", "/etc/cutoutd/paper.jpg"),
        ("/srv/./paper.jpg", "/srv/paper.jpg"),
        ("whit", "/etc/cutoutd/whit"),
    ],
)
def test_any_other_background_is_the_path_of_a_picture(written: str, path: str) -> None:
    """Relative to the configuration's directory; its existence is checked elsewhere."""
    assert rendition(background=written).picture == path


@pytest.mark.parametrize(
    ("written", "margin"),
    [
        ("0%", Margin()),
        ("10%", Margin(share=(0.1, 0.1, 0.1, 0.1))),
        ("30px", Margin(px=(30, 30, 30, 30))),
        ("7", Margin(px=(7, 7, 7, 7))),
        ("10% 30px", Margin(px=(0, 30, 0, 30), share=(0.1, 0.0, 0.1, 0.0))),
        ("1px 2px 3px 4px", Margin(px=(1, 2, 3, 4))),
    ],
)
def test_a_margin_has_one_two_or_four_sides(written: str, margin: Margin) -> None:
    """Top, right, bottom, left, as in style sheets."""
    assert rendition(crop=True, margin=written).crop == margin


@pytest.mark.parametrize(
    ("written", "position"),
    [
        ("auto", (0.5, 0.5)),
        ("center", (0.5, 0.5)),
        ("50% 100%", (0.5, 1.0)),
        ("0%", (0.0, 0.0)),
        ("original", None),
    ],
)
def test_a_position_is_a_share_of_the_free_room(written: str, position: tuple[float, float] | None) -> None:
    """From the left and from the top."""
    assert rendition(scale="50%", position=written).position == position


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "directory",
            "../web",
            '"../web" is not possible; it takes a folder inside the output, such as "web"',
        ),
        ("directory", "/web", "it takes a folder inside the output"),
        ("directory", "web/", "it takes a folder inside the output"),
        ("directory", "Review/web", "none of those that cutoutd itself makes there"),
        ("directory", 3, "it takes a folder inside the output"),
        (
            "canvas",
            "2000",
            '"2000" is not possible; it takes width and height in pixels, such as "2000x2000"',
        ),
        ("canvas", 2000, "2000 is not possible; it takes width and height"),
        ("canvas", "0x100", "it takes width and height"),
        ("scale", 85, '85 is not possible; it takes "auto", or "1%" to "100%"'),
        ("scale", "101%", 'it takes "auto", or "1%" to "100%"'),
        ("scale", "0%", 'it takes "auto", or "1%" to "100%"'),
        ("margin", "1px 2px 3px", "two of them for top and bottom"),
        ("margin", "501%", "each up to 500% or 10000px"),
        ("margin", "-1px", "each up to 500%"),
        ("position", "top", 'it takes "auto", "original", "center", "50%"'),
        ("position", "101%", 'it takes "auto"'),
        ("background", "#12345", "a colour has 3 or 6 hexadecimal digits"),
        ("background", "", "or the path of a picture"),
        ("background", ["a"], "or the path of a picture"),
        ("shadow", 101, "it takes a whole number from 0 to 100"),
        ("shadow", True, "true is not possible; it takes a whole number"),
        ("quality", 0, 'it takes a whole number from 1 to 100, or "auto"'),
        ("bits", 12, "12 is not possible; it takes 8 or 16"),
        ("format", "gif", 'it takes one of "png", "webp", "tiff", "avif", "jpeg"'),
        ("channels", "rgb", 'it takes one of "rgba", "alpha"'),
        ("profile", "none", 'it takes one of "keep", "srgb"'),
    ],
)
def test_a_value_that_means_nothing_is_refused(key: str, value: object, message: str) -> None:
    """With table, key, and the allowed values."""
    reason = refused({key: value})
    assert f'FILE: [[folder.rendition]] number 1 of "a" {key}: ' in reason
    assert message in reason


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"format": "jpeg"}, 'background: is "transparent", which JPEG cannot be'),
        ({"channels": "alpha", "background": "white"}, 'background: has no place beside channels = "alpha"'),
        ({"format": "jpeg", "channels": "alpha", "background": "/x.jpg"}, "background: has no place beside"),
        ({"channels": "alpha", "shadow": 20}, 'shadow: has no place beside channels = "alpha"'),
        ({"format": "png", "quality": 90}, "quality: is of no use: png loses nothing"),
        ({"format": "tiff", "quality": 90}, "quality: is of no use: tiff loses nothing"),
        ({"format": "webp", "bits": 16}, "bits: is 16, and webp has 8 here"),
        ({"format": "jpeg", "background": "white", "bits": 16}, "bits: is 16, and jpeg has 8 here"),
        ({"bits": 16, "profile": "srgb"}, 'profile: is "srgb", and colours are converted in 8 bits'),
        ({"margin": "5%"}, "margin: is the room that crop leaves, and crop is false"),
        ({"crop": True, "scale": "80%"}, "scale: says how large the subject is"),
        ({"crop": True, "scale": "80%", "canvas": "100x100"}, "scale: says how large the subject is"),
        ({"position": "center"}, "position: moves the subject on a canvas"),
        ({"crop": True, "position": "center"}, "position: moves the subject on a canvas"),
        (
            {"canvas": "100x100", "position": "original"},
            'position: is "original", which only a subject with a scale',
        ),
        ({"canvas": "20000x20000"}, "canvas: has more pixels than [pool] max_pixels = 120_000_000 allows"),
        (
            {"format": "avif", "canvas": "8000x6000"},
            "canvas: is too large: avif is made up to 40_000_000 pixels",
        ),
        ({"canvas": "100x150mm"}, "canvas: is a size on paper, and how many pixels that is, dpi says"),
        ({"format": "webp", "canvas": "16384x10"}, "canvas: is too large: webp holds 16_383 pixels a side"),
    ],
)
def test_incompatible_keys_are_refused(written: dict[str, Any], message: str) -> None:
    """Before any picture is cut."""
    reason = refused({"suffix": "_ok"}, written)
    assert f'FILE: [[folder.rendition]] number 2 of "a" {message}' in reason


@pytest.mark.parametrize(
    "written",
    [
        {"format": "jpeg", "channels": "alpha"},
        {"format": "jpeg", "background": "white", "quality": 90},
        {"format": "webp", "quality": 80},
        {"format": "webp", "canvas": "16383x100"},
        {"crop": True, "margin": "5% 30px", "canvas": "500x500", "position": "50% 100%"},
        {"scale": "80%", "position": "original"},
        {"shadow": 50, "background": "/x.jpg"},
        {"bits": 16, "format": "tiff", "crop": True},
        {"bits": 16, "channels": "alpha"},
    ],
)
def test_compatible_keys_are_accepted_and_written_out_unchanged(
    written: dict[str, Any], tmp_path: Path
) -> None:
    """The output of `check` loads to the same settings."""
    settings = assembled(written)
    file = tmp_path / "cutoutd.toml"
    file.write_text(document.as_toml(settings), encoding="utf-8")
    assert loader.load(file, {}).folder == settings.folder


@pytest.mark.parametrize(
    ("one", "other"), [("-A", "-a"), ("-\u00e9", "-e\u0301"), ("", "")], ids=["case", "accent", "same"]
)
def test_two_renditions_may_not_have_one_name(one: str, other: str) -> None:
    """Nor names that some file system treats as equal."""
    message = refused({"suffix": one}, {"suffix": other})
    assert 'number 2 of "a" suffix: gives the same file name as number 1; write another one' in message
    assert len(assembled({"suffix": one}, {"suffix": other, "format": "webp"}).folder) == 1


def test_two_renditions_of_one_name_may_be_in_two_directories() -> None:
    """The directory does not change how they look, so the digest is the same."""
    folder = assembled({}, {"directory": "web"}, {"directory": "web/small"}).folder[0]
    assert [one.directory for one in folder.recipe().renditions] == ["", "web", "web/small"]
    assert "number 2" in refused({"directory": "Web"}, {"directory": "web"})
    here, there = (settings_sha256(assembled(one).folder[0], "m") for one in ({}, {"directory": "web"}))
    assert here == there


def test_more_renditions_than_a_sidecar_is_read_back_with_are_refused() -> None:
    """The limit is twenty."""
    assert "20 are the most" in refused(*({"suffix": str(number)} for number in range(21)))


@pytest.mark.parametrize(
    "change",
    [
        {"format": "webp"},
        {"format": "webp", "quality": 80},
        {"bits": 16},
        {"channels": "alpha"},
        {"background": "white"},
        {"background": "/x.jpg"},
        {"crop": True},
        {"crop": True, "margin": "1px"},
        {"canvas": "100x100"},
        {"scale": "80%"},
        {"scale": "80%", "position": "original"},
        {"shadow": 1},
        {"profile": "srgb"},
    ],
)
def test_the_digest_counts_every_key(change: dict[str, Any]) -> None:
    """And two different renditions never have the same digest."""
    seen = {
        settings_sha256(assembled(one).folder[0], "m")
        for one in (change, {}, {"suffix": "x"}, change | {"suffix": "x"})
    }
    assert len(seen) == 4


def test_the_digest_covers_a_backgrounds_content_and_not_its_path() -> None:
    """A changed background picture changes the digest; a moved one does not."""
    here, there = (
        settings_sha256(assembled({"background": path}).folder[0], "m") for path in ("/x.jpg", "/y.jpg")
    )
    assert here == there
    assert with_backgrounds(here, ["a" * 64]) != with_backgrounds(here, ["b" * 64])
    assert with_backgrounds(here, ["a" * 64, None]) != with_backgrounds(here, [None, "a" * 64])
    assert with_backgrounds(here, [None]) == here


def test_a_folder_knows_its_background_pictures() -> None:
    """Each once: workers get access to these files."""
    folder = assembled(
        {"background": "/x.jpg"},
        {"background": "/x.jpg", "suffix": "b"},
        {"background": "white", "suffix": "c"},
    ).folder[0]
    assert folder.backgrounds == (Path("/x.jpg"),)
    assert Folder(name="a", input=Path("/in"), output=Path("/out")).backgrounds == ()


def test_every_value_of_a_rendition_is_known_to_the_engine() -> None:
    """The configuration and the engine use the same values."""
    assert {rendition(format=one.value, background="white").format for one in Format} == set(Format)
    assert {rendition(channels=one.value).channels for one in Channels} == set(Channels)
    assert {rendition(profile=one.value).profile for one in Profile} == set(Profile)


@pytest.mark.parametrize(
    ("canvas", "dpi", "pixels"),
    [
        ("210x297mm", 300, (2480, 3508)),
        ("4 x 6 in", 300, (1200, 1800)),
        ("10.5x14.8cm", 150, (620, 874)),
        ("100x100", 300, (100, 100)),
    ],
)
def test_a_canvas_on_paper_is_as_many_pixels_as_dpi_makes_of_it(
    canvas: str, dpi: int, pixels: tuple[int, int]
) -> None:
    """Rounded to the nearest; a canvas in pixels is unchanged."""
    wanted = rendition(canvas=canvas, dpi=dpi)
    assert (wanted.canvas, wanted.dpi) == (pixels, dpi)


def test_limits_are_kept_or_named() -> None:
    """Each is a number, and contradicting ones are an error."""
    found = rendition(format="jpeg", background="white", max_kb=500, min_px=300, max_px=1000)
    assert (found.max_kb, found.min_quality, found.min_px, found.max_px) == (500, 60, 300, 1000)
    assert found.max_enlargement is None  # nothing is enlarged without canvas and scale
    assert rendition(canvas="10x10", max_enlargement=0).max_enlargement is None
    assert "above quality = 50" in refused({"format": "webp", "quality": 50, "max_kb": 9})
    assert "above max_px" in refused({"min_px": 20, "max_px": 16})
    assert "larger than max_px" in refused({"canvas": "20x2000", "max_px": 1000})
    assert "smaller than min_px" in refused({"canvas": "20x90", "min_px": 100})
