"""The rating of the units by systemd itself."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from cutoutd.service import systemd
from cutoutd.service.systemd import SystemdManager
from tests.integration.tools import need
from tests.unit.unit_examples import HOSTED, PAGED, SERVED, SYSTEM, TREE, UPLOADING

AT_MOST = 0.5
AT_MOST_WITH_NETWORK = 1.5


def score(unit: str, directory: Path) -> float:
    """Return the exposure from 0 (none) to 10, by ``systemd-analyze security``."""
    need("systemd-analyze")
    path = directory / "cutoutd.service"
    path.write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)],
        check=False,
        capture_output=True,
        text=True,
    )
    found = re.search(r"Overall exposure level .*: ([\d.]+)", done.stdout)
    assert found, done.stderr
    return float(found[1])


def test_the_unit_is_exposed_as_little_as_promised(tmp_path: Path) -> None:
    """Also if its folders are in a home directory."""
    unit = systemd.render(SYSTEM, SystemdManager(version=252))
    assert score(unit, tmp_path) <= AT_MOST
    assert score(unit.replace("ProtectHome=yes", "ProtectHome=read-only"), tmp_path) <= AT_MOST


@pytest.mark.parametrize("line", ["PrivateNetwork=yes", "CapabilityBoundingSet=", "ProtectSystem=strict"])
def test_the_judgement_is_worse_without(tmp_path: Path, line: str) -> None:
    """A score that never changes would prove nothing."""
    unit = systemd.render(SYSTEM, SystemdManager(version=252))
    assert f"\n{line}\n" in unit
    assert score(unit.replace(f"\n{line}\n", "\n"), tmp_path) > score(unit, tmp_path)


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """The service manager would skip an unknown line, with a complaint in the log."""
    need("systemd-analyze")
    path = tmp_path / "cutoutd.service"
    path.write_text(
        systemd.render(SYSTEM, SystemdManager(version=252)).replace(SYSTEM.command[0], "/bin/true")
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", str(path)], check=False, capture_output=True, text=True
    )
    assert [line for line in done.stderr.splitlines() if "cutoutd.service" in line] == []


def uploader_unit() -> str:
    """Return the uploader's unit for the same example."""
    return systemd.render_uploader(HOSTED, UPLOADING, SystemdManager(version=252))


def test_the_uploader_s_unit_is_exposed_by_its_network_alone(tmp_path: Path) -> None:
    """The uploader needs the network; everything else is restricted."""
    unit = uploader_unit()
    assert score(unit, tmp_path) <= AT_MOST_WITH_NETWORK
    assert score(unit.replace("\nProtectSystem=strict\n", "\n"), tmp_path) > score(unit, tmp_path)
    closed = unit.replace("\nSocketBindDeny=any\n", "\nPrivateNetwork=yes\nIPAddressDeny=any\n")
    assert score(closed, tmp_path) < score(unit, tmp_path)


def test_systemd_understands_every_line_of_the_uploader_s(tmp_path: Path) -> None:
    """The service manager would skip an unknown line."""
    need("systemd-analyze")
    path = tmp_path / "cutoutd-hosted.service"
    path.write_text(uploader_unit().replace(SYSTEM.command[0], "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(path)], check=False, capture_output=True, text=True
    )
    assert [line for line in done.stderr.splitlines() if "cutoutd-hosted.service" in line] == []


def answering_units() -> dict[str, str]:
    """Return the units of the page and the API by their names, for the same example."""
    manager = SystemdManager(version=252)
    return {
        "cutoutd-page.service": systemd.render_page(PAGED, manager),
        "cutoutd-serve.service": systemd.render_serve(SERVED, manager),
    }


def test_units_that_answer_are_exposed_by_their_network_alone(tmp_path: Path) -> None:
    """These units accept connections from this machine; everything else is restricted."""
    for unit in answering_units().values():
        assert score(unit, tmp_path) <= AT_MOST_WITH_NETWORK
        assert score(unit.replace("\nProtectSystem=strict\n", "\n"), tmp_path) > score(unit, tmp_path)
        assert score(unit.replace("\nIPAddressDeny=any\n", "\n"), tmp_path) > score(unit, tmp_path)


@pytest.mark.parametrize("name", sorted(answering_units()))
def test_systemd_understands_every_line_of_units_that_answer(tmp_path: Path, name: str) -> None:
    """The service manager would skip an unknown line."""
    need("systemd-analyze")
    path = tmp_path / name
    path.write_text(answering_units()[name].replace(SYSTEM.command[0], "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(path)], check=False, capture_output=True, text=True
    )
    assert [line for line in done.stderr.splitlines() if name in line] == []


def test_a_colon_in_a_path_is_a_part_of_it(tmp_path: Path) -> None:
    """In BindPaths= and similar settings an unescaped colon separates source and target."""
    need("systemd-analyze")
    uploader = replace(UPLOADING, sees=(Path("/srv/a:b/venv"), Path("/srv/c d:e")))
    unit = replace(HOSTED, state_dir=Path("/var/lib/my:state"), uploader=uploader)
    text = systemd.render_uploader(unit, uploader, SystemdManager(version=252))
    path = tmp_path / "cutoutd-hosted.service"
    path.write_text(text.replace(SYSTEM.command[0], "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(path)], check=False, capture_output=True, text=True
    )
    assert [line for line in done.stderr.splitlines() if "cutoutd-hosted.service" in line] == []
    assert "BindPaths=/var/lib/my\\:state/hosted\n" in text
    assert 'TemporaryFileSystem="/var/lib/my\\\\:state":ro\n' in text


@pytest.mark.parametrize(("name", "limit"), [("user/cutoutd.service", 0.9), ("cutoutd-once.service", 0.9)])
def test_a_user_s_units_are_exposed_as_the_documentation_says(
    tmp_path: Path, name: str, limit: float
) -> None:
    """Rated as if they ran as root, since they name no user."""
    unit = (TREE / "systemd" / name).read_text(encoding="utf-8")
    assert score(unit, tmp_path) <= limit
    assert f"unit {limit}" in (TREE / "docs/service.md").read_text(encoding="utf-8")
