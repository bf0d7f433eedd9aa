"""A picture dropped into a folder gets a cutout."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.acceptance.conftest import bench_in, picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon


@pytest.mark.small_model
def test_once_cuts_what_is_there_and_nothing_a_second_time(bench: Bench) -> None:
    """Every picture gets a cutout and a sidecar; sub-folders are mirrored; a second run finds nothing to do."""
    bench.drop("a.jpg")
    bench.drop("shoot/b.jpg", 1)
    first = bench.once()
    assert first.returncode == 0, first.stderr
    assert bench.results() == ["a.png", "a.png.json", "shoot/b.png", "shoot/b.png.json"]
    before = {name: (bench.output / name).stat().st_mtime_ns for name in bench.results()}
    second = bench.once()
    assert second.returncode == 0, second.stderr
    assert second.stdout.startswith("0 cut")
    assert {name: (bench.output / name).stat().st_mtime_ns for name in bench.results()} == before


@pytest.fixture(scope="module")
def cut_by_the_model(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A folder that the packaged model has cut: two balls, and a picture without a subject."""
    bench = bench_in(tmp_path_factory.mktemp("model"))
    bench.drop("a.jpg")
    picture(1).save(bench.input / "ball.png")
    Image.new("RGB", (300, 200), (128, 128, 128)).save(bench.input / "grey.png")
    for name in ("ball.png", "grey.png"):
        os.utime(bench.input / name, (time.time() - 60,) * 2)
    done = bench.once()
    assert done.returncode == 0, done.stderr
    return bench


def test_the_cutout_is_the_subject_and_nothing_else(cut_by_the_model: Bench) -> None:
    """Opaque pixels are those of the source, the corners are transparent, invisible pixels have no colour."""
    bench = cut_by_the_model
    cut = np.asarray(Image.open(bench.output / "ball.png"))
    original = np.asarray(Image.open(bench.input / "ball.png"))
    assert cut.shape == (*original.shape[:2], 4)
    opaque = cut[..., 3] == 255
    assert opaque[135, 180]
    assert 0.1 < opaque.mean() < 0.5
    assert np.array_equal(cut[opaque][:, :3], original[opaque])
    assert not cut[cut[..., 3] == 0].any()
    assert not cut[:20, :20].any()


def test_the_sidecar_describes_the_cut(cut_by_the_model: Bench) -> None:
    """Every field of the schema is present and correct."""
    bench = cut_by_the_model
    document = bench.sidecar("a.png.json")
    assert document["schema"] == "cutoutd.sidecar/1"
    assert document["source"]["path"] == "a.jpg"
    assert document["source"]["bytes"] == (bench.input / "a.jpg").stat().st_size
    assert (document["source"]["width"], document["source"]["height"]) == (360, 270)
    assert document["route"] == "local"
    assert document["egress"] is None
    assert document["model"]["name"] == "u2net-int8"
    assert "seccomp-tsync" in document["sandbox"]
    assert document["quality"]["score"] > 0.5
    assert {"decode", "infer", "refine", "encode", "publish", "total"} <= set(document["timings_ms"])
    assert document["outputs"][0]["bytes"] == (bench.output / "a.png").stat().st_size


def test_a_picture_without_a_subject_goes_to_review(cut_by_the_model: Bench) -> None:
    """Its matte is not stretched into a random mask."""
    bench = cut_by_the_model
    assert "review/grey.png" in bench.results()
    assert "grey.png" not in bench.results()
    assert bench.sidecar("review/grey.png.json")["quality"]["score"] == 0
    assert bench.states() == {"a.jpg": "done", "ball.png": "done", "grey.png": "review"}


@pytest.mark.small_model
def test_a_picture_that_lands_in_a_watched_folder_is_cut(bench: Bench, start: Callable[..., Daemon]) -> None:
    """Copied slowly or moved in; SIGTERM ends the daemon with exit code 0."""
    bench.drop("first.jpg")
    daemon = start()
    bench.wait_for(lambda: "first.png.json" in bench.results(), "the first cutout")
    shutil.copy(bench.input / "first.jpg", bench.input / "second.jpg")
    bench.wait_for(lambda: "second.png.json" in bench.results(), "the second cutout")
    assert daemon.end() == 0
    assert not list(bench.output.glob(".cutoutd-staging"))


@pytest.mark.small_model
def test_a_touched_file_is_not_cut_again_but_a_changed_one_is(bench: Bench) -> None:
    """A, touched A, B, then A again under one name: cut, not cut, cut, cut."""
    source = bench.drop("a.jpg", 0)
    first = source.read_bytes()
    assert bench.once().stdout.startswith("1 cut")
    os.utime(source, (time.time() - 30,) * 2)
    touched = bench.once()
    assert touched.stdout.startswith("0 cut")
    assert "1 unchanged" in touched.stdout
    bench.drop("a.jpg", 1, age_s=20)
    assert bench.once().stdout.startswith("1 cut")
    blue = np.asarray(Image.open(bench.output / "a.png"))[135, 180]
    assert blue[2] > blue[0]
    source.write_bytes(first)
    os.utime(source, (time.time() - 10,) * 2)
    assert bench.once().stdout.startswith("1 cut")
    red = np.asarray(Image.open(bench.output / "a.png"))[135, 180]
    assert red[0] > red[2]
    assert bench.results() == ["a.png", "a.png.json"]


@pytest.mark.small_model
def test_two_sources_that_want_one_name_get_two(bench: Bench) -> None:
    """a.jpg and a.tif give two outputs and two sidecars; the first keeps the plain name."""
    bench.drop("a.jpg", 0, age_s=60)
    assert bench.once().returncode == 0
    picture(1).save(bench.input / "a.tif")
    os.utime(bench.input / "a.tif", (time.time() - 30,) * 2)
    assert bench.once().returncode == 0
    assert bench.results() == ["a-tif.png", "a-tif.png.json", "a.png", "a.png.json"]


@pytest.mark.small_model
def test_a_retouched_cutout_is_never_overwritten(bench: Bench) -> None:
    """The retouched file belongs to the user now; the new version gets another name."""
    bench.drop("a.jpg", 0)
    assert bench.once().returncode == 0
    (bench.output / "a.png").write_bytes(b"retouched by hand")
    bench.drop("a.jpg", 1, age_s=20)
    assert bench.once().returncode == 0
    assert (bench.output / "a.png").read_bytes() == b"retouched by hand"
    assert "a-jpg.png" in bench.results()


@pytest.mark.small_model
def test_a_deleted_cutout_is_not_made_again(bench: Bench) -> None:
    """Its owner did not want it; only `retry` makes it again."""
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    (bench.output / "a.png").unlink()
    assert bench.once().stdout.startswith("0 cut")
    (job,) = bench.jobs()
    assert bench.call("retry", str(job["job"]), *bench.pair()).returncode == 0
    assert bench.once().stdout.startswith("1 cut")
    assert "a.png" in bench.results()


@pytest.mark.small_model
def test_named_files_are_cut_without_a_daemon(bench: Bench) -> None:
    """`cut` needs no folder, and leaves no state behind."""
    source = bench.drop("a.jpg").rename(bench.root / "a.jpg")
    done = bench.call("cut", source, "-o", "here")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (bench.root / "here").iterdir()) == ["a.png", "a.png.json"]
    assert not (bench.root / "state").exists()


@pytest.mark.small_model
def test_cut_refuses_to_write_into_a_hot_folder(bench: Bench) -> None:
    """Its results would be cut again."""
    source = bench.drop("a.jpg")
    assert bench.once().returncode == 0
    refused = bench.call("cut", source, "-o", bench.input / "sub")
    assert refused.returncode == 2
    assert "hot folder" in refused.stderr


@pytest.mark.small_model
def test_status_and_jobs_tell_what_happened(bench: Bench, start: Callable[..., Daemon]) -> None:
    """While the daemon runs, and while it does not."""
    bench.drop("a.jpg")
    daemon = start()
    bench.wait_for(lambda: bench.states() == {"a.jpg": "done"}, "the cutout")
    status = json.loads(bench.call("status", *bench.pair(), "--json").stdout)
    assert status["running"] is True
    assert status["folders"][0]["watching"] in ("native", "poll")
    assert status["folders"][0]["states"] == {"done": 1}
    daemon.end()
    down = bench.call("status", *bench.pair())
    assert down.returncode == 0
    assert "is not running" in down.stdout


@pytest.mark.small_model
def test_pause_holds_new_work_back_until_resume(bench: Bench, start: Callable[..., Daemon]) -> None:
    """New files are noticed meanwhile."""
    start()
    bench.wait_for(lambda: bench.call("pause", *bench.pair()).returncode == 0, "the journal")
    bench.wait_for(
        lambda: json.loads(bench.call("status", *bench.pair(), "--json").stdout)["paused"], "the pause"
    )
    bench.drop("a.jpg")
    bench.wait_for(lambda: bench.states() == {"a.jpg": "queued"}, "the job")
    assert bench.results() == []
    assert bench.call("resume", *bench.pair()).returncode == 0
    bench.wait_for(lambda: "a.png.json" in bench.results(), "the cutout")


@pytest.mark.small_model
def test_an_unreadable_file_delays_no_other(bench: Bench, start: Callable[..., Daemon]) -> None:
    """A file that another program keeps open is waited for, and listed; the others are cut."""
    held = bench.drop("held.jpg")
    with held.open("r+b"):
        start()
        bench.drop("a.jpg", 1)
        bench.wait_for(lambda: "a.png.json" in bench.results(), "the other one's cutout")
        bench.wait_for(
            lambda: "held.jpg" in bench.call("status", *bench.pair()).stdout, "its name in the status"
        )
    bench.wait_for(lambda: "held.png.json" in bench.results(), "its cutout once it is closed")


@pytest.mark.small_model
def test_the_output_removed_while_running_costs_one_repetition(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """The folder is created again, and the picture is cut into it; no result is recorded as deleted."""
    bench.drop("a.jpg")
    start()
    bench.wait_for(lambda: "a.png.json" in bench.results(), "the first cutout")
    shutil.rmtree(bench.output)
    bench.drop("b.jpg", 1)
    bench.wait_for(lambda: "b.png.json" in bench.results(), "the second cutout")
    bench.wait_for(lambda: set(bench.states().values()) == {"done"}, "the end of both")
    assert sorted(job["state"] for job in bench.jobs()) == ["done", "done"]


@pytest.mark.small_model
def test_files_get_the_configured_mode(bench: Bench) -> None:
    """The cutout as well as its sidecar."""
    config = bench.root / "c.toml"
    config.write_text(
        f'[[folder]]\nname = "x"\ninput = "{bench.input}"\noutput = "{bench.output}"\nmode = "0600"\n',
        encoding="utf-8",
    )
    bench.drop("a.jpg")
    assert bench.call("run", "--config", config, "--once").returncode == 0
    assert {(bench.output / name).stat().st_mode & 0o777 for name in bench.results()} == {0o600}


@pytest.mark.small_model
def test_originals_are_moved_once_their_cutout_is_published(bench: Bench) -> None:
    """Also a second original with the same bytes."""
    config = bench.root / "c.toml"
    config.write_text(
        f'[[folder]]\nname = "x"\ninput = "{bench.input}"\noutput = "{bench.output}"\n'
        f'originals = "move"\noriginals_dir = "{bench.root / "kept"}"\n',
        encoding="utf-8",
    )
    bench.drop("sub/a.jpg")
    assert bench.call("run", "--config", config, "--once").returncode == 0
    assert bench.results() == ["sub/a.png", "sub/a.png.json"]
    assert (bench.root / "kept" / "sub" / "a.jpg").is_file()
    bench.drop("sub/a.jpg", age_s=30)
    again = bench.call("run", "--config", config, "--once")
    assert "1 unchanged" in again.stdout
    assert not list(bench.input.rglob("*.jpg"))
