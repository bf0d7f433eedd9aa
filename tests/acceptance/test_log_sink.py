"""The destination of the log is stuck or gone, and pictures are cut all the same. For a full disk see tests/integration/test_log_disk.py."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model

PIPE_BYTES = 4096
"""The smallest capacity of a pipe, which a few lines fill."""


@contextmanager
def daemon(bench: Bench, into: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a daemon that logs everything to a descriptor."""
    config = bench.root / "c.toml"
    config.write_text(
        '[service]\nlog_level = "debug"\n[pool]\nworkers = 1\n'
        f'[[folder]]\nname = "x"\ninput = "{bench.input}"\noutput = "{bench.output}"\nsettle_s = 0.2\n',
        encoding="utf-8",
    )
    process = subprocess.Popen(
        bench.command("run", "--config", config),
        env=bench.environment,
        cwd=bench.root,
        stdout=into,
        stderr=into,
    )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()


def cut(bench: Bench, *stems: str) -> None:
    """Add pictures, and wait for their cutouts."""
    for stem in stems:
        bench.drop(f"{stem}.jpg")
    bench.wait_for(lambda: {f"{stem}.png.json" for stem in stems} <= set(bench.results()), f"{stems}")


@pytest.mark.parametrize("is_read", [True, False], ids=["stuck", "closed"])
def test_a_pipe_that_nobody_reads_or_that_is_closed_holds_up_no_picture(
    bench: Bench, *, is_read: bool
) -> None:
    """The end of the daemon is not held up either."""
    out, into = os.pipe()
    if not is_read:
        os.close(out)
    else:
        os.set_blocking(into, False)
        while True:
            try:
                os.write(into, b"\n" * PIPE_BYTES)
            except BlockingIOError:
                break
        os.set_blocking(into, True)
    with daemon(bench, into):
        os.close(into)
        cut(bench, "a", "b")
    if is_read:
        os.close(out)
