"""`cutoutd doctor`: exit code, JSON, with the daemon up and down, and nothing changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import alter_model
from tests.integration.share import Share

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model  # the matte is of no concern here


def findings(done: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the findings by check and subject; of several, the worst."""
    document = json.loads(done.stdout)
    assert document["schema"] == "cutoutd.doctor/1"
    assert document["healthy"] is (done.returncode == 0)
    order = ("ok", "note", "problem")
    return {
        (one["check"], one["subject"]): one
        for one in sorted(document["findings"], key=lambda one: order.index(one["level"]))
    }


@pytest.mark.new_interpreters
def test_doctor_answers_the_four_questions_of_a_running_daemon(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """With what the kernel says of its workers and of the page's keeper; folders are left unchanged."""
    bench.environment["CUTOUTD_PAGE__ENABLED"] = "true"
    bench.drop("a.jpg")
    daemon = start()
    bench.wait_for(lambda: "a.png.json" in bench.results(), "the cutout")
    before = sorted(bench.input.rglob("*")), bench.results()
    done = bench.call("doctor", *bench.pair(), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = findings(done)
    for check in (
        "provider",
        "model",
        "offline-cut",
        "telemetry",
        "sandbox-tried",
        "sandbox-running",
        "running",
    ):
        assert found[check, ""]["level"] == "ok", found[check, ""]
    assert {one["question"] for one in found.values()} == {"runs", "stored", "offline", "workers", ""}
    folder = bench.input.name
    assert found["work", folder]["level"] == found["marker", folder]["level"] == "ok"
    assert str(daemon.process.pid) in found["sandbox-running", ""]["seen"]
    assert "that keep these running: page (" in done.stdout
    assert (sorted(bench.input.rglob("*")), bench.results()) == before


def test_doctor_reports_faults_with_advice(bench: Bench) -> None:
    """A missing input, and an output that is a file: exit code 1."""
    bench.input.rmdir()
    bench.output.rmdir()
    bench.output.write_text("")
    done = bench.call("doctor", *bench.pair())
    assert done.returncode == 1, done.stdout
    assert "PROBLEM  reach" in done.stdout
    assert "PROBLEM  permissions" in done.stdout
    assert "-> Make the directory" in done.stdout


def test_doctor_examines_the_rest_where_the_configuration_is_wrong(bench: Bench) -> None:
    """The model is altered as well: both are reported, and no picture is cut with it."""
    alter_model(bench)
    config = bench.root / "c.toml"
    config.write_text("[pool]\nworkerz = 2\n", encoding="utf-8")
    done = bench.call("doctor", "--config", config, "--json")
    assert done.returncode == 1, done.stderr
    found = findings(done)
    assert "workers" in found["configuration", ""]["seen"]
    assert found["model", ""]["level"] == "problem"
    assert "not tried" in found["offline-cut", ""]["seen"]
    assert found["sandbox-tried", ""]["level"] in ("ok", "note")


def test_a_share_that_hangs_blocks_neither_doctor_nor_status(bench: Bench, tmp_path: Path) -> None:
    """Not even if it is named on the command line, where the argument parser would access it."""
    bench.drop("a.jpg")
    share = Share(tmp_path)
    share.attach()
    try:
        for name in ("in", "out"):
            (share.far / name).mkdir()
        pair = ["--input", str(share.mount / "in"), "--output", str(share.mount / "out")]
        assert bench.call("run", *pair, "--once").returncode == 0
        share.hang()
        done = bench.call("doctor", *pair, "--json")
        assert done.returncode == 1, done.stderr
        assert "no answer" in findings(done)["reach", "in"]["seen"]
        status = bench.call("status", *pair, "--json")
        assert json.loads(status.stdout)["folders"][0]["free_bytes"] is None
    finally:
        share.detach()


def test_doctors_own_picture_is_cut_whatever_formats_are_switched_off(bench: Bench) -> None:
    """The test picture is generated; the list of decoders says which formats are read."""
    config = bench.root / "cutoutd.toml"
    config.write_text(
        f'[pool]\nformats = ["jpeg"]\n[[folder]]\nname = "a"\ninput = "{bench.input}"\noutput = "{bench.output}"\n'
    )
    found = findings(bench.call("doctor", "--json", "--config", config))
    assert found["offline-cut", ""]["level"] == "ok", found["offline-cut", ""]
    assert "Formats that are read: jpeg" in found["decoders", ""]["seen"]
