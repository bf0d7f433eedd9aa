"""What `cutoutd check` says of a folder's places that are there and may not be used."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.namespaces import in_namespace

if TYPE_CHECKING:
    from pathlib import Path

ASK = """
import json, sys
from pathlib import Path
from cutoutd.cli.check import obstacles
from cutoutd.settings import loader
print(json.dumps(list(obstacles(loader.load(Path(sys.argv[1]), {}), ()))))
"""


def obstacles(root: Path, output: Path, **more: str) -> list[str]:
    """Return the lines of `check` about a folder, for a user who has to keep to permissions."""
    places = {"input": root / "in", "output": output, **more}
    lines = [f"{key} = {json.dumps(str(value))}" for key, value in places.items()]
    configuration = root / "c.toml"
    configuration.write_text("\n".join(['[[folder]]\nname = "shop"', *lines]) + "\n")
    # In a user namespace of its own even root has to keep to the permissions.
    found: list[str] = json.loads(in_namespace("-U", sys.executable, "-c", ASK, str(configuration)))
    return found


@pytest.fixture
def shut(tmp_path: Path) -> Path:
    """A directory in which nothing may be made, as /srv is for most people; the input is beside it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "shut").mkdir(mode=0o555)
    return tmp_path / "shut"


def test_an_output_that_may_not_be_written_in_is_an_obstacle(tmp_path: Path, shut: Path) -> None:
    """Before, the configuration was called right, and every picture waited."""
    (line,) = obstacles(tmp_path, shut)
    assert line.startswith(f"shop: output {shut} may not be written in by you")


def test_an_output_that_cannot_be_made_is_an_obstacle(tmp_path: Path, shut: Path) -> None:
    """One that the daemon makes is none."""
    (line,) = obstacles(tmp_path, shut / "out")
    assert line.startswith(f"shop: output {shut / 'out'} is not there, and you may make nothing in {shut}")
    assert obstacles(tmp_path, tmp_path / "out") == []


def test_an_input_is_written_in_only_where_originals_leave_it(tmp_path: Path) -> None:
    """Pictures may lie on a disk that is read-only."""
    (tmp_path / "in").mkdir(mode=0o555)
    assert obstacles(tmp_path, tmp_path / "out") == []
    (line,) = obstacles(tmp_path, tmp_path / "out", originals="delete")
    assert line.startswith(f"shop: input {tmp_path / 'in'} may not be written in")
