"""A home with a configured folder and a daemon, for tests of the page in Chromium."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.acceptance.browsing import visit
from tests.acceptance.conftest import PATIENCE_S, bench_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.acceptance.browsing import Visitor
    from tests.acceptance.conftest import Bench

CONFIGURATION = """\
# The studio's.
[service]
min_free_disk_mb = 1

[[folder]]
name = "to-cut"
input = "~/to-cut"
output = "~/cutouts"
settle_s = 0.1   # the camera is quick
review_below = 0.0
"""


def studio_in(root: Path, models: Path) -> Bench:
    """Return a home whose configuration is that of the user, with a small model."""
    bench = bench_in(root)
    for name in ("CUTOUTD_PAGE__ENABLED", "DISPLAY", "WAYLAND_DISPLAY"):
        bench.environment.pop(name, None)
    bench.environment.update(
        {
            "HOME": os.fspath(root),
            "XDG_DATA_HOME": os.fspath(models),
            "CUTOUTD_MODEL__NAME": "darkness",
        }
    )
    return bench


def configured_studio(root: Path, models: Path) -> Bench:
    """Return a configured home with a few pictures, one of which cannot be cut."""
    bench = studio_in(root, models)
    config = bench.root / "config" / "cutoutd" / "cutoutd.toml"
    config.parent.mkdir(parents=True)
    config.write_text(CONFIGURATION, encoding="utf-8")
    config.chmod(0o600)
    for hue in range(3):
        bench.drop(f"ball-{hue}.jpg", hue)
    bench.drop("<b>bold\u202e.jpg")
    (bench.input / "layers.psd").write_bytes(b"8BPS\x00\x01" + bytes(200))
    return bench


@contextmanager
def running(bench: Bench) -> Iterator[subprocess.Popen[bytes]]:
    """Run `cutoutd run` as at home: with the user's configuration, or without one."""
    with (bench.root / "log").open("ab") as log:
        daemon = subprocess.Popen(
            bench.command("run"),
            env=bench.environment,
            cwd=bench.root,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield daemon
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(PATIENCE_S)


@contextmanager
def again(browser: Browser, kept: tuple[str, str, object], **window: object) -> Iterator[Visitor]:
    """Open the paired browser's page in another window."""
    address, token, cookies = kept
    with visit(browser, address, kept=cookies, token=token, **window) as visitor:  # type: ignore[arg-type] # as of `visit`
        visitor.page.locator("#main h1").wait_for(state="attached")
        yield visitor
