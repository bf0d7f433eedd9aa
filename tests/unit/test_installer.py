"""Advice on missing packages fits the tool that installed cutoutd."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from cutoutd.cli import egress
from cutoutd.errors import UsageError
from cutoutd.process import installer
from cutoutd.process.installer import Installer

if TYPE_CHECKING:
    from pathlib import Path

CLUSTER = ("distributed", "cryptography")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment of its own with cutoutd's metadata."""
    facts = tmp_path / "cutoutd-0.1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.4\nName: cutoutd\nVersion: 0.1.0\n", "utf-8")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/my env/python")
    monkeypatch.setattr(metadata, "distribution", lambda _name: metadata.Distribution.at(facts))
    return facts


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("pip", "Install it with `'{}/my env/python' -m pip install \"cutoutd[cluster]\"`"),
        ("uv", "Install it with `uv pip install --python '{}/my env/python' \"cutoutd[cluster]\"`"),
        ("deb", 'The Debian package does not bring it: install cutoutd with `pipx install "cutoutd[cluster]"` instead'),
        ("bundle", 'The one-file bundle does not bring it: install cutoutd with `pipx install "cutoutd[cluster]"` instead'),
    ],
)  # fmt: skip
def test_an_extra_is_added_as_the_installation_takes_it(installed: Path, word: str, advice: str) -> None:
    """A system package does not see what pip installs elsewhere."""
    (installed / "INSTALLER").write_text(f"{word}\n", "utf-8")
    assert installer.how_to_add("cluster", CLUSTER) == advice.format(installed.parent)


@pytest.mark.parametrize(
    ("file", "advice"),
    [
        ("pipx_metadata.json", "Install it with `pipx inject cutoutd distributed cryptography`"),
        ("uv-receipt.toml", 'Install it with `uv tool install "cutoutd[cluster]"`'),
    ],
)
def test_tools_that_make_an_environment_leave_a_marker_beside_it(
    installed: Path, file: str, advice: str
) -> None:
    """The package's own INSTALLER file names pip or uv, as they have installed it there."""
    (installed / "INSTALLER").write_text("pip\n", "utf-8")
    (installed.parent / file).touch()
    assert installer.how_to_add("cluster", CLUSTER) == advice


@pytest.mark.parametrize("word", [Installer.DEB, Installer.ARCH, Installer.CONTAINER, Installer.BUNDLE])
def test_a_package_that_lacks_what_it_brings_is_to_be_installed_again(installed: Path, word: str) -> None:
    """Such a package has no pip."""
    (installed / "INSTALLER").write_text(word, "utf-8")
    assert installer.how_to_add("hosted", ("httpcore",)).endswith("brings it: install that again")
    assert "pip" not in installer.how_to_repair()


@pytest.mark.parametrize("word", ["", "conda", None])
def test_any_other_installer_is_taken_for_pip(installed: Path, word: str | None) -> None:
    """Pip works in the environments of all such tools."""
    if word is not None:
        (installed / "INSTALLER").write_text(word, "utf-8")
    assert installer.installer() is Installer.PIP
    assert "pipx" in installer.how_to_repair()


def test_a_command_without_its_extra_gives_the_install_command(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the advice for that installation."""
    (installed / "INSTALLER").write_text("deb\n", "utf-8")
    monkeypatch.setattr(egress, "find_spec", lambda _name: None)
    with pytest.raises(UsageError) as told:
        egress.require_cluster()
    assert told.value.advice.startswith("The Debian package does not bring it")
