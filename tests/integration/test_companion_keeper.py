"""The keeper of a companion process: it restarts the companion until that reports that it is not needed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cutoutd.cli.companions import keep_running
from cutoutd.daemon.companion_watch import CompanionWatch
from cutoutd.process.companion_exit import NOT_NEEDED
from tests.integration.parts import until

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
log = Path(sys.argv[1])
with log.open("a") as file:
    file.write("x")
codes = sys.argv[2].split(",")
sys.exit(int(codes[min(len(log.read_text()), len(codes)) - 1]))
"""


def _keep(tmp_path: Path, codes: str, starts: int) -> tuple[CompanionWatch, bool]:
    """Keep a companion running that ends with these codes. Returns whether its keeper ended by itself."""
    watch, log = CompanionWatch(), tmp_path / "log"
    log.touch()
    keepers = {}
    add = watch.add
    watch.add = lambda name, keeper: (keepers.update({name: keeper}), add(name, keeper))[1]  # type: ignore[method-assign]
    with keep_running([sys.executable, "-c", SCRIPT, str(log), codes], watch, name="cluster"):
        until(lambda: len(log.read_text()) >= starts, "its starts")
        if codes.endswith(str(NOT_NEEDED)):
            keepers["cluster"].wait(60)
        return watch, keepers["cluster"].poll() is not None


def test_a_companion_that_is_not_needed_any_more_is_not_started_again_and_not_missed(tmp_path: Path) -> None:
    """As after a reload that removes the last tag."""
    watch, has_ended = _keep(tmp_path, f"0,{NOT_NEEDED}", 2)
    assert has_ended
    assert watch.ended() == []
    assert (tmp_path / "log").read_text() == "xx"


def test_a_companion_whose_configuration_becomes_wrong_is_started_again(tmp_path: Path) -> None:
    """The file may be in the middle of an edit."""
    _, has_ended = _keep(tmp_path, "0,2,2", 3)
    assert not has_ended
