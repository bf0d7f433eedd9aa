"""Shop presets: rules as data with sources, over which explicit settings have priority."""

from __future__ import annotations

import json
import tomllib
from datetime import date
from typing import Any

import pytest

from cutoutd.cli import app
from cutoutd.errors import ConfigurationError
from cutoutd.recipe import Channels, Format, Profile
from cutoutd.settings import document, loader, presets
from cutoutd.settings.digest import settings_sha256
from tests.unit.test_rendition_settings import assembled, rendition

WHITE = (255, 255, 255)


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_is_a_rendition_with_a_source_for_each_rule(name: str) -> None:
    """Its keys are compatible, its own limits hold, and each source has an address and a date."""
    preset = presets.find(name)
    assert preset is not None
    wanted = rendition(preset=name)
    assert (wanted.directory, wanted.format, wanted.colour) == (name, Format.JPEG, WHITE)
    assert wanted.canvas == tuple(map(int, preset.settings["canvas"].split("x")))
    assert set(preset.ours) < set(preset.settings)
    assert preset.sources
    for source in preset.sources:
        assert source.url.startswith("https://")
        assert isinstance(source.read, date)
        assert all(source.rules)


def test_the_shops_of_the_documentation_are_there() -> None:
    """Under the names that a configuration uses."""
    assert set(presets.names()) >= {
        "amazon",
        "ebay",
        "etsy",
        "google-merchant",
        "shopify",
        "walmart",
        "zalando",
    }


def test_whatever_is_set_beside_a_preset_takes_precedence() -> None:
    """Values as well as the folder."""
    ours = rendition(preset="amazon", canvas="1200x1200", scale="70%", directory="web", background="#eee")
    assert (ours.canvas, ours.scale, ours.directory, ours.colour) == (
        (1200, 1200),
        0.7,
        "web",
        (238, 238, 238),
    )
    assert ours.profile is Profile.SRGB  # the rest is as the shop asks


@pytest.mark.parametrize(
    "written",
    [
        {"crop": True},
        {"format": "png"},
        {"format": "png", "background": "transparent"},
        {"format": "png", "channels": "alpha"},
        {"format": "tiff", "bits": 16},
        {"canvas": "300x300"},
        {"canvas": "9500x9500"},
        {"quality": 70},
        {"quality": 95, "max_kb": 100},
    ],
)
@pytest.mark.parametrize("name", presets.names())
def test_no_key_of_a_preset_is_in_the_way_of_one_that_is_set(name: str, written: dict[str, Any]) -> None:
    """Preset keys that conflict are left out instead of causing an error about keys that nobody wrote."""
    found = rendition(preset=name, **written)
    assert found.format is Format(written.get("format", "jpeg"))
    assert found.channels is Channels(written.get("channels", "rgba"))


def test_several_presets_are_one_rendition_each() -> None:
    """In their own folders, each with the explicit settings."""
    (folder,) = assembled({"preset": ["amazon", "ebay"], "shadow": 20}, {"suffix": "_cutout"}).folder
    found = [(one.preset, one.directory, one.shadow) for one in folder.rendition]
    assert found == [("amazon", "amazon", 20), ("ebay", "ebay", 20), ("", "", 0)]


def test_the_output_of_check_loads_to_the_same_settings() -> None:
    """Every key is written out beside the preset's name."""
    settings = assembled({"preset": ["amazon", "zalando"]}, {"preset": "ebay", "format": "png"})
    again = tomllib.loads(document.as_toml(settings))
    assert loader.assemble(again, {}, origin="FILE", base=None) == settings


def test_a_preset_makes_what_its_keys_written_out_make() -> None:
    """So both have the same settings digest."""
    (named,), (written,) = (
        assembled({"preset": "walmart"}).folder,
        assembled(dict(presets.filled({"preset": "walmart"})) | {"preset": ""}).folder,
    )
    assert settings_sha256(named, "m") == settings_sha256(written, "m")


def test_an_unknown_name_is_an_error_with_the_nearest_one() -> None:
    """Or with the command that lists the presets."""
    for name, said in (("amazn", 'did you mean "amazon"?'), ("x", "`cutoutd presets` lists them")):
        with pytest.raises(ConfigurationError, match="is not a preset") as caught:
            assembled({"preset": name})
        assert said in str(caught.value)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Run the command in this process."""
    monkeypatch.setattr("sys.argv", ["cutoutd", "presets", *words])
    with pytest.raises(SystemExit) as end:
        app.main()
    assert end.value.code == 0


def test_the_command_lists_them_and_shows_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With each source's address and date, and which rules are second-hand or our own."""
    run(monkeypatch)
    listed = capsys.readouterr().out
    assert all(name in listed for name in presets.names())
    run(monkeypatch, "amazon")
    shown = capsys.readouterr().out
    for words in (
        'canvas = "2000x2000"  # our choice',
        "https://",
        "second-hand",
        "read 2026-11-28",
        "at least 85%",
    ):
        assert words in shown
    run(monkeypatch, "walmart", "--json")
    (only,) = json.loads(capsys.readouterr().out)["presets"]
    assert only["sources"][0]["dated"] == "2025-07-15"
    assert only["settings"]["max_kb"] == 5000
