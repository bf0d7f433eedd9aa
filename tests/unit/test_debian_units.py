"""The units of the Debian package: which there are, what they start, and that an upgrade stops all of it."""

from __future__ import annotations

import runpy
from typing import TYPE_CHECKING

import pytest

from tests.unit.unit_examples import TREE

if TYPE_CHECKING:
    from pathlib import Path

DEBIAN = TREE / "packaging" / "debian"
UNITS = [
    place.format(name)
    for name in ("cutoutd", "cutoutd-page", "cutoutd-serve")
    for place in ("user/{}.service", "system/{}@.service")
]


@pytest.fixture(scope="module", params=[252, 257])
def units(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the units that the script writes for a version of systemd."""
    directory = tmp_path_factory.mktemp("units")
    runpy.run_path(str(DEBIAN / "units.py"))["main"](directory, request.param)
    return directory


def started(unit: Path) -> list[str]:
    """Return the words of the command that a unit starts."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    (command,) = [line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart=")]
    return command.split()


def test_each_part_has_a_unit_for_users_and_one_for_the_machine(units: Path) -> None:
    """No other units exist, and no placeholder is left."""
    found = [path for path in units.rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(units)) for path in found) == sorted(UNITS)
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("INSTANCE", "CONFIGURATION", "NAME"))
        assert text.count("ConditionPathExists=") == 1


def test_the_daemon_starts_no_part_that_has_a_unit_of_its_own(units: Path) -> None:
    """The daemon's unit has no network, in which neither part could answer."""
    for place in ("user/cutoutd.service", "system/cutoutd@.service"):
        assert {"--page-apart", "--serve-apart"} <= set(started(units / place))


@pytest.mark.parametrize("unit", UNITS)
def test_an_upgrade_stops_what_a_unit_starts(units: Path, unit: str) -> None:
    """Also where a person has started it: prerm then finds the process by its command."""
    command = started(units / unit)[4]
    prerm = (DEBIAN / "prerm").read_text(encoding="utf-8")
    assert f'/opt/cutoutd/bin/python*" {command} "*' in prerm


def test_the_machines_units_may_write_in_homes(units: Path) -> None:
    """The journal lies there; of two settings for one path, systemd takes the stricter one."""
    for name in ("cutoutd", "cutoutd-page", "cutoutd-serve"):
        lines = (units / "system" / f"{name}@.service").read_text(encoding="utf-8").splitlines()
        assert "ReadWritePaths=-/home" in lines
        assert "ProtectHome=no" in lines
