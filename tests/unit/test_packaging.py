"""The packaging scripts: their prerequisites, the licences that they count, complete dependencies."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from cutoutd.engine.formats import versions
from cutoutd.process.installer import Installer
from tests.unit.unit_examples import TREE

if TYPE_CHECKING:
    from pathlib import Path

PACKAGING = TREE / "packaging"
ORDINARY = ("bash", "dirname", "id", "uname", "sed")
NEEDS = {
    "build-deb": "dpkg-dev apt-utils",
    "build-bundle": "gcc",
    "try-deb": "util-linux",
    "try-container": "buildah runc",
    "matrix": "debootstrap",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two packages as pip installs them; one has its licence beside its code."""
    for name, licence in (("cutoutd", "cutoutd-1.dist-info/licenses/LICENSE"), ("thing", "thing/LICENSE")):
        facts = tmp_path / f"{name}-1.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1\nLicense-Expression: MIT\n", "utf-8"
        )
        (facts / "INSTALLER").write_text("pip\n", "utf-8")
        (tmp_path / licence).parent.mkdir()
        (tmp_path / licence).write_text("MIT", "utf-8")
        (facts / "RECORD").write_text(f"{licence},,\n{name}-1.dist-info/LICENSE-gone,,\n", "utf-8")
    return tmp_path


def licences(site: Path) -> subprocess.CompletedProcess[str]:
    """Run the script that lists the licences."""
    command = [sys.executable, str(PACKAGING / "licences.py"), str(site)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def trim(site: Path) -> None:
    """Remove from the packages what the Debian package leaves out."""
    subprocess.run([PACKAGING / "trim", site, "deb"], check=True)


def test_licence_files_are_counted_after_unneeded_files_are_removed(site: Path) -> None:
    """Only the files that are left count."""
    trim(site)
    found = licences(site)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[2:] == ["| cutoutd | 1 | MIT | 1 |", "| thing | 1 | MIT | 1 |"]


def test_without_a_list_of_files_no_count_is_given_for_true(site: Path) -> None:
    """A count of none must not be confused with no count."""
    (site / "thing-1.dist-info" / "RECORD").unlink()
    found = licences(site)
    assert found.returncode == 1
    assert "thing: without RECORD" in found.stderr


def test_each_package_leaves_a_marker_that_cutoutd_knows(site: Path) -> None:
    """This word lets advice fit the package."""
    trim(site)
    assert (site / "cutoutd-1.dist-info" / "INSTALLER").read_text("utf-8") == "deb\n"
    texts = [
        path.read_text("utf-8")
        for path in PACKAGING.rglob("*")
        if path.is_file() and path.name != "trim" and path.suffix != ".pyc"
    ]
    words = [
        word
        for text in texts
        for word in re.findall(r'packaging/trim "\$site"(.*)|echo (\w+) > .*INSTALLER', text)
    ]
    left = {(one or other).split()[0] for one, other in words}
    assert left == {Installer.DEB, Installer.ARCH, Installer.CONTAINER, Installer.BUNDLE}


@pytest.mark.parametrize(("script", "packages"), NEEDS.items())
def test_missing_programs_are_reported_before_anything_is_built(
    tmp_path: Path, script: str, packages: str
) -> None:
    """At once instead of after minutes, with the packages to install."""
    if script.startswith("try-") and os.geteuid() != 0:
        pytest.skip("it asks for root first")
    for name in ORDINARY:
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    environment = {"PATH": str(tmp_path), "TMPDIR": str(tmp_path)}
    ended = subprocess.run(
        [tmp_path / "bash", PACKAGING / script, "trixie"],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert ended.returncode == 2
    assert f"sudo apt install {packages}" in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(ORDINARY)


def test_the_flake_has_each_dependency() -> None:
    """Nix installs nothing by itself: a program without one of them does not start."""
    project = tomllib.loads((TREE / "pyproject.toml").read_text("utf-8"))["project"]
    flake = (PACKAGING / "flake.nix").read_text("utf-8")
    listed = re.search(r"\n +dependencies = with [^[]*\[([^]]*)\]", flake)
    assert listed is not None
    assert sorted(listed[1].split()) == sorted(
        re.split(r"[><=; ]", one)[0] for one in project["dependencies"]
    )


def test_the_list_of_parts_has_each_library_that_a_wheel_carries() -> None:
    """With its version, where it is known."""
    parts = runpy.run_path(str(PACKAGING / "sbom.py"))["carried"]({"decoders": versions.bundled()})
    known = {part["bom-ref"]: part.get("version", "0") for part in parts}
    assert {"pillow/libtiff", "pillow-heif/libheif", "rawpy/LibRaw", "simplejpeg/libjpeg-turbo"} <= set(known)
    assert all(re.match(r"\d", version) for version in known.values())
    assert not any(name in known for name in ("pillow/pillow", "rawpy/rawpy"))
