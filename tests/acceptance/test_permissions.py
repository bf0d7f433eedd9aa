"""Permissions that are missing, for one who is not above them: each costs its own files alone, until it is given."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from tests.integration.tools import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon

# With these root is refused like anybody else, and can still read its own Python wherever that is installed.
LOST_RIGHTS = "-dac_override,-dac_read_search"


def unprivileged(*command: str) -> list[str]:
    """The command as one whom permissions concern."""
    if os.geteuid() != 0:
        return list(command)
    need("setpriv")
    return ["setpriv", f"--bounding-set={LOST_RIGHTS}", *command]


def test_what_may_not_be_read_or_written_waits_and_the_rest_is_done(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """A picture, a sub-folder, then the output, each without permission; all are cut once it is given."""
    for number, name in enumerate(("good.jpg", "secret.jpg", "sub/inside.jpg")):
        bench.drop(name, number)
    (bench.input / "secret.jpg").chmod(0)
    (bench.input / "sub").chmod(0)
    daemon = start(within=unprivileged)
    bench.wait_for(lambda: "good.png.json" in bench.results(), "the good one")

    def log() -> str:
        return (bench.root / "log").read_text(encoding="utf-8")

    bench.wait_for(lambda: "file.unreadable" in log() and "scan.unreadable" in log(), "the reasons")
    assert bench.results() == ["good.png", "good.png.json"]
    (bench.input / "secret.jpg").chmod(0o644)
    bench.wait_for(lambda: "secret.png.json" in bench.results(), "the secret one")
    bench.output.chmod(0o500)
    for staging in bench.output.glob(".cutoutd-staging/*"):
        staging.chmod(0o500)
    shutil.copy(bench.input / "good.jpg", bench.input / "again.jpg")
    bench.wait_for(lambda: "folder.rests" in log(), "the pause")
    assert "Permission" in log()
    assert (bench.input / "again.jpg").exists()
    bench.output.chmod(0o755)
    for staging in bench.output.glob(".cutoutd-staging/*"):
        staging.chmod(0o700)
    bench.wait_for(lambda: "again.png.json" in bench.results(), "the one that waited")
    (bench.input / "sub").chmod(0o755)
    assert daemon.end() == 0
    once = bench.call_any(unprivileged(*bench.command("run", *bench.pair(), "--once")))
    assert once.returncode == 0, once.stdout + once.stderr
    assert "sub/inside.png" in bench.results()
