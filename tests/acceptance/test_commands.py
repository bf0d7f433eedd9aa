"""Exit codes and messages of the commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.lease import marker
from tests.acceptance.conftest import own_installation
from tests.acceptance.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon


@pytest.mark.small_model
def test_a_second_daemon_on_the_same_state_exits_with_its_own_code(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """The first daemon goes on."""
    daemon = start()
    bench.wait_for(lambda: "pid" in bench.call("status", *bench.pair(), "--json").stdout, "the daemon")
    second = bench.once()
    assert second.returncode == 3
    assert "Already running" in second.stderr
    assert daemon.process.poll() is None


@pytest.mark.small_model
def test_a_second_signal_ends_at_once(bench: Bench, start: Callable[..., Daemon]) -> None:
    """Even while the daemon is stopping in order."""
    for n in range(8):
        bench.drop(f"{n}.jpg", n)
    daemon = start()
    bench.wait_for(lambda: len(bench.published()) >= 2, "the first result")
    daemon.process.send_signal(signal.SIGINT)
    assert daemon.end(signal.SIGINT) in (0, 128 + signal.SIGINT)


def test_a_wrong_configuration_names_file_table_key_and_what_is_right(bench: Bench) -> None:
    """Exit code 2, and nothing is started."""
    config = bench.root / "c.toml"
    config.write_text('[[folder]]\nname = "x"\ninput = "in"\noutput = "out"\nsetle_s = 2\n', encoding="utf-8")
    wrong = bench.call("check", "--config", config)
    assert wrong.returncode == 2
    for part in ("c.toml", "setle_s", "settle_s"):
        assert part in wrong.stderr
    assert bench.call("run", "--config", config).returncode == 2


def test_check_prints_the_configuration_and_counts_what_waits(bench: Bench) -> None:
    """With --all its output is a valid configuration; without, it says what a person asked, into a pipe as well."""
    bench.drop("a.jpg")
    (bench.input / "letter.txt").write_text("Dear all", encoding="ascii")
    (bench.input / "poster.psd").write_bytes(b"8BPS")
    assert "[[folder]]" not in bench.call("check", *bench.pair()).stdout
    checked = bench.call("check", "--all", *bench.pair())
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.startswith("# The configuration is right.\n")
    assert "1 picture and 1 file that is not a picture that can be read are there" in checked.stdout
    again = bench.root / "again.toml"
    again.write_text(checked.stdout, encoding="utf-8")
    assert bench.call("check", "--all", "--config", again).stdout == checked.stdout


def test_check_is_not_content_with_folders_that_are_missing(bench: Bench) -> None:
    """Exit code 1, the verdict first, and advice; without the settings, which would scroll it away."""
    config = bench.root / "c.toml"
    folder = '[[folder]]\nname = "{0}"\ninput = "{1}"\noutput = "{2}"\n'
    places = (("gone", "nowhere", "made"), ("file", "c.toml", "un/made"))
    config.write_text("".join(folder.format(*one) for one in places), encoding="utf-8")
    checked = bench.call("check", "--config", config)
    assert checked.returncode == 1, checked.stderr
    first, *lines = checked.stdout.splitlines()
    assert first == "# The configuration is right, but 3 things are to be done first:"
    for line, said in zip(
        lines, ("nowhere is not there. Make it (mkdir -p", "is a file", "un/made is not"), strict=False
    ):
        assert said in line
    assert "[service]" not in checked.stdout
    assert "[service]" in bench.call("check", "--all", "--config", config).stdout
    with Terminal(bench.command("check", "--config", config), bench.environment, bench.root) as terminal:
        assert terminal.end() == 1
    assert "things are to be done first" in terminal.text
    assert "[service]" not in terminal.text


def _swap(bench: Bench) -> None:
    """Have input and output change places."""
    bench.input.rename(bench.root / "between")
    bench.output.rename(bench.input)
    (bench.root / "between").rename(bench.output)


def _replace(bench: Bench) -> None:
    """Put a directory in the input's place that was there before the first start."""
    bench.input.rename(bench.root / "away")
    (bench.root / "older").rename(bench.input)


def _mark_as_another(bench: Bench) -> None:
    """Put another folder's marker into the input."""
    there = bench.input / marker.NAME
    there.write_text(there.read_text().replace(marker.read(str(bench.input)) or "", "2" * 36))


@pytest.mark.small_model
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_swap, "/cutouts has a .cutoutd-folder, as an input has"),
        (_replace, "a start would stand by, since the folder is empty, and is another directory than before"),
        (_mark_as_another, "a start would stand by, since another folder is here"),
    ],
)
def test_check_says_that_a_start_would_stand_by(
    bench: Bench, harm: Callable[[Bench], None], words: str
) -> None:
    """It writes nothing. Before, it called the configuration right, and counted pictures that a start would not cut."""
    (bench.root / "older").mkdir()
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    assert bench.call("check", *bench.pair()).returncode == 0
    harm(bench)
    before = {path: path.read_bytes() for path in bench.root.rglob("*") if path.is_file()}
    checked = bench.call("check", *bench.pair())
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert words in " ".join(checked.stdout.replace("\n# ", " ").split())
    assert {path: path.read_bytes() for path in bench.root.rglob("*") if path.is_file()} == before


def test_an_unknown_variable_is_refused(bench: Bench) -> None:
    """A misspelt variable must not be ignored silently."""
    bench.environment["CUTOUTD_POOL__WORKER"] = "1"
    refused = bench.call("check", *bench.pair())
    assert refused.returncode == 2
    assert "CUTOUTD_POOL__WORKERS" in refused.stderr


def test_an_altered_model_is_refused(bench: Bench) -> None:
    """Exit code 4, before any picture is touched."""
    (model,) = (own_installation(bench) / "weights").glob("*.onnx")
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    bench.drop("a.jpg")
    refused = bench.once()
    assert refused.returncode == 4, refused.stderr
    assert "u2net-int8.onnx" in refused.stderr
    assert bench.results() == []


def test_a_missing_input_is_reported_at_once(bench: Bench) -> None:
    """The daemon does not wait for a folder whose name was misspelt."""
    missing = bench.call("run", "--input", bench.root / "nowhere", "--output", bench.output)
    assert missing.returncode == 2
    assert "nowhere" in missing.stderr


def test_models_are_listed_verified_and_found(bench: Bench) -> None:
    """Without a network."""
    assert "u2net-int8" in bench.call("models", "list").stdout
    assert bench.call("models", "verify").returncode == 0
    path = bench.call("models", "path", "u2net-int8").stdout.strip()
    assert Path(path).is_file()


def test_the_module_is_the_command() -> None:
    """``python -m cutoutd`` and the installed script behave alike."""
    assert Path(sys.executable).with_name("cutoutd").exists()


@pytest.mark.small_model
def test_a_reader_that_has_read_enough_is_no_failure(bench: Bench) -> None:
    """As in ``cutoutd jobs | head``: exit code 0 and no message."""
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    for command in (["jobs"], ["jobs", "--json"], ["status"]):
        out, into = os.pipe()
        os.close(out)
        ended = subprocess.run(
            bench.command(*command, *bench.pair()),
            env=bench.environment,
            stdout=into,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
        os.close(into)
        assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.small_model
def test_a_run_that_ends_by_itself_does_not_say_that_it_watches(bench: Bench) -> None:
    """On a terminal, before it has found anything to cut and at its end."""
    with Terminal(bench.command("run", *bench.pair(), "--once"), bench.environment, bench.root) as terminal:
        assert terminal.end() == 0
        assert "cutting what is in" in terminal.text
        assert "watching" not in terminal.text


@pytest.mark.small_model
def test_retry_reports_what_it_cannot_do(bench: Bench) -> None:
    """A missing job, and one that a newer version has replaced: exit code 2, and the number of the newer one."""
    bench.drop("a.jpg", 0)
    assert bench.once().returncode == 0
    bench.drop("a.jpg", 1, age_s=20)
    assert bench.once().returncode == 0
    unknown, older = bench.call("retry", "99", *bench.pair()), bench.call("retry", "1", *bench.pair())
    assert unknown.returncode == older.returncode == 2
    assert "no job 99" in unknown.stderr
    assert "job 2" in older.stderr
    assert "No picture has failed" in bench.call("retry", "--failed", *bench.pair()).stdout
