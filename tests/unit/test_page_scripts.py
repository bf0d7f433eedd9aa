"""The page's scripts that use no document: their own tests, run by Node where it is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node")
FOLDER = Path(__file__).with_name("page_js")


@pytest.mark.skipif(NODE is None, reason="needs Node")
@pytest.mark.parametrize(
    "script", sorted(FOLDER.glob("*.test.mjs")), ids=lambda path: path.name.removesuffix(".test.mjs")
)
def test_a_script_keeps_its_promises(script: Path) -> None:
    """One test for each file, so that a failure names it."""
    assert NODE is not None
    ran = subprocess.run([NODE, "--test", script], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stdout
