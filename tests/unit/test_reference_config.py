"""The shipped configuration files are complete and correct, and load."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.recipe import Channels, Format, Profile
from cutoutd.settings import loader, reference
from cutoutd.settings.document import as_toml
from cutoutd.settings.hosted import HostedSettings
from cutoutd.settings.renditions import RenditionSettings
from cutoutd.settings.schema import (
    CommonHooks,
    Folder,
    Hooks,
    MatteSettings,
    ModelSettings,
    PoolSettings,
    Service,
    Settings,
)
from cutoutd.settings.types import Order, Originals, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

CONFIG = Path(__file__).parents[2] / "config"
REFERENCE = CONFIG / "cutoutd.toml"
EXAMPLES = ("cluster", "designer", "hosted", "marketplace", "shared-drive", "shop", "tethered")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of the test's own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    return tmp_path


def keys(table: object, prefix: str = "") -> Iterator[str]:
    """Yield every key of nested tables, those of lists of tables once."""
    if isinstance(table, dict):
        for key, value in table.items():
            yield f"{prefix}{key}"
            yield from keys(value, f"{prefix}{key}.")
    elif isinstance(table, list):
        for item in table:
            yield from keys(item, prefix)


def test_the_reference_gives_the_defaults_of_the_code(home: Path) -> None:
    """Every value in it equals the default."""
    folder = Folder(name="to-cut", input=home / "to-cut", output=home / "cutouts")
    assert loader.load(REFERENCE, {}) == Settings(folder=(folder,))


@pytest.mark.usefixtures("home")
def test_the_reference_has_every_key() -> None:
    """As when all settings are written out."""
    reference = tomllib.loads(REFERENCE.read_text(encoding="utf-8"))
    everything = tomllib.loads(as_toml(loader.load(REFERENCE, {})))
    assert sorted(keys(reference)) == sorted(keys(everything))
    assert set(everything) == set(Settings.model_fields)
    assert set(everything["folder"][0]) == set(Folder.model_fields)


def test_the_reference_explains_every_key() -> None:
    """A comment stands above each."""
    lines = REFERENCE.read_text(encoding="utf-8").splitlines()
    bare = [
        line for above, line in pairwise(lines) if re.match(r"\w+ = ", line) and not above.startswith("#")
    ]
    assert bare == []


@pytest.mark.usefixtures("home")
def test_the_page_finds_the_explanation_of_every_key() -> None:
    """The comment above it, as one text."""
    everything = tomllib.loads(as_toml(loader.load(REFERENCE, {})))
    plain = {key for key in keys(everything) if "." in key} - {
        f"folder.{table}" for table in ("matte", "hooks", "rendition")
    }
    assert set(reference.explanations()) == plain
    assert all(reference.explanations().values())
    assert reference.explanations()["folder.recursive"].endswith("made again in the output.")
    assert reference.text() == REFERENCE.read_text(encoding="utf-8")


def test_the_reference_can_be_used_as_it_is(home: Path) -> None:
    """Copied unchanged to the default place."""
    directory = home / "elsewhere"
    directory.mkdir()
    copy = directory / "cutoutd.toml"
    copy.write_bytes(REFERENCE.read_bytes())
    assert loader.load(copy, {}) == loader.load(REFERENCE, {})


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_loads(name: str) -> None:
    """Unchanged, on any machine: no directory in it is accessed."""
    assert loader.load(CONFIG / "examples" / f"{name}.toml", {}).folder


def test_there_are_no_other_examples() -> None:
    """Every example is tested."""
    assert sorted(path.stem for path in (CONFIG / "examples").iterdir()) == sorted(EXAMPLES)


@pytest.mark.usefixtures("home")
def test_the_examples_do_what_they_are_for() -> None:
    """Each has the setting that it demonstrates."""
    tethered, share, shop = (
        loader.load(CONFIG / "examples" / f"{name}.toml", {}).folder[0]
        for name in ("tethered", "shared-drive", "shop")
    )
    hosted = loader.load(CONFIG / "examples" / "hosted.toml", {})
    assert [folder.name for folder in hosted.tagged] == ["catalogue"]
    cluster = loader.load(CONFIG / "examples" / "cluster.toml", {})
    assert [folder.name for folder in cluster.clustered] == ["studio"]
    assert tethered.order is Order.NEWEST
    assert tethered.subtrees == ("Cutouts",)
    assert (share.watch, share.file_mode) == (Watch.POLL, 0o664)
    assert shop.originals is Originals.MOVE
    assert shop.review_below > 0


@pytest.mark.usefixtures("home")
def test_the_examples_with_several_renditions_make_what_they_promise() -> None:
    """Pictures for each shop and a transparent cutout; TIFFs with the camera's own profile."""
    market = loader.load(CONFIG / "examples" / "marketplace.toml", {}).folder[0]
    *shops, cutout = market.recipe().renditions
    assert [one.directory for one in shops] == ["amazon", "ebay", "google-merchant", "zalando"]
    assert all((one.format, one.colour) == (Format.JPEG, (255, 255, 255)) for one in shops)
    assert (shops[-1].quality, shops[-1].max_kb, shops[-1].canvas) == (90, 2000, (1801, 2600))
    assert market.sidecar_dir is not None
    assert not market.sidecar_dir.is_relative_to(market.output)  # a listing folder holds pictures alone
    assert (cutout.format, cutout.is_transparent, cutout.canvas) == (Format.PNG, True, None)
    layout, mask, _ = loader.load(CONFIG / "examples" / "designer.toml", {}).folder[0].recipe().renditions
    assert (layout.format, layout.profile, layout.is_transparent) == (Format.TIFF, Profile.KEEP, True)
    assert mask.channels is Channels.ALPHA


@pytest.mark.parametrize(
    "table",
    [
        Settings,
        CommonHooks,
        Hooks,
        Service,
        PoolSettings,
        ModelSettings,
        HostedSettings,
        Folder,
        MatteSettings,
        RenditionSettings,
    ],
)
def test_every_setting_has_a_description(table: type[BaseModel]) -> None:
    """For readers of the schema."""
    assert [key for key, field in table.model_fields.items() if not field.description] == []
