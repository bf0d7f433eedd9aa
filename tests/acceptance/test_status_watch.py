"""`cutoutd status --watch` on several kinds of terminals and into a pipe; `cutoutd metrics` into a file."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import time
from fcntl import ioctl
from termios import TIOCSWINSZ
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import PATIENCE_S, small_bench_in

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(bench: Bench, *, columns: int, seconds: float, **environment: str) -> str:
    """Return what a terminal of this width receives, until Ctrl-C."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        bench.command("status", *bench.pair(), "--watch", "--every", "0.5"),
        env={key: value for key, value in bench.environment.items() if key not in ("COLUMNS", "NO_COLOR")}
        | {"TERM": "xterm-256color"}
        | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    received = b""
    end = time.monotonic() + 60
    shown_s: float | None = None
    while time.monotonic() < end and (shown_s is None or time.monotonic() < shown_s + seconds):
        if select.select([ours], [], [], 0.1)[0]:
            received += os.read(ours, 65536)
        if shown_s is None and b"cut today" in received:
            shown_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    while select.select([ours], [], [], 5)[0]:
        try:
            received += os.read(ours, 65536)
        except OSError:  # the other end is gone
            break
    assert process.wait(PATIENCE_S) == 0, received
    os.close(ours)
    return received.decode("utf-8", "replace")


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory, small_models_dir: Path) -> Bench:
    """A bench on which one picture was cut."""
    bench = small_bench_in(tmp_path_factory.mktemp("watch"), small_models_dir)
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    return bench


def test_the_status_can_be_watched_on_a_narrow_terminal_and_without_colours(cut: Bench) -> None:
    """The text is redrawn in place, wrapped to the width, and the screen is restored."""
    output = on_terminal(cut, columns=38, seconds=1.2)
    assert output.count("cut today") >= 2
    assert "\x1b[?1049h" in output
    assert "\x1b[?1049l" in output
    assert "\x1b[?25h" in output  # the cursor is back
    bare = ESCAPES.sub("\n", output)
    assert max(len(line) for line in re.split(r"[\r\n]+", bare)) <= 38
    plain = on_terminal(cut, columns=80, seconds=0.1, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)


def test_a_pipe_gets_plain_text_or_a_line_of_json_at_each_interval(cut: Bench) -> None:
    """A reader may close the pipe, and no error is printed."""
    for words, check in (([], "cut today"), (["--json"], '"schema"')):
        process = subprocess.Popen(
            cut.command("status", *cut.pair(), "--watch", "--every", "0.5", *words),
            env=cut.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        seen = 0
        while seen < 2:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            assert "\x1b" not in line
            seen += check in line
            if words:
                assert json.loads(line)["folders"][0]["done_today"] == 1
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr.read() == ""
        process.stderr.close()


def test_figures_are_written_to_a_file(cut: Bench) -> None:
    """While no daemon runs, and before one ever ran."""
    pair = ["--input", str(cut.input), "--output-dir", str(cut.output)]
    file = cut.root / "cutoutd.prom"
    assert cut.call("metrics", *pair, "--output", file).returncode == 0
    figures = file.read_text(encoding="utf-8")
    assert "cutoutd_up 0" in figures
    assert f'cutoutd_pictures{{folder="{cut.input.name}",state="done"}} 1' in figures
    fresh = cut.call("metrics", "--input", cut.root / "new", "--output-dir", cut.root / "out")
    assert (fresh.returncode, "cutoutd_up 0" in fresh.stdout) == (0, True), fresh.stderr
