"""`cutoutd fix`: strokes over a cutout are followed, kept, repeated and undone, and survive a kill."""

from __future__ import annotations

import hashlib
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.exchange import coarse_mattes
from cutoutd.fs.disk_cache import DiskCache, unwrapped
from tests.acceptance.test_page_beside import paired
from tests.acceptance.test_review import drop_empty
from tests.integration.test_kept_matte import two_things

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

RIGHT_HALF = "200,60,200,210,230,80,230,200,255,110,255,160"
"""A stroke over the right half of the ball that is dropped."""


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def correction(bench: Bench, name: str = "a.png.json") -> dict[str, Any]:
    """Return the correction in a sidecar."""
    found: dict[str, Any] = bench.sidecar(name)["correction"]
    return found


def fix(bench: Bench, *arguments: str, name: str = "a.jpg") -> str:
    """Run the command. Returns its output."""
    called = bench.call("fix", name, *arguments, *bench.pair())
    assert called.returncode == 0, called.stdout + called.stderr
    return called.stdout


@pytest.mark.small_model
def test_strokes_are_followed_repeated_and_undone(bench: Bench) -> None:
    """`retry` and `replay` give the same bytes; each undo restores the correction before."""
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    plain = digest(bench.output / "a.png")
    for slip in ("9999,1", "10,10,9999,1"):
        beside = bench.call("fix", "a.jpg", "--keep", slip, *bench.pair())
        assert (beside.returncode, "lies outside of the picture" in beside.stderr) == (2, True)
    assert "when it starts" in fix(bench, "--remove", RIGHT_HALF, "--radius", "9")
    fix(bench, "--keep", "130,135")  # adds to what is drawn, though nothing of it is cut yet
    assert bench.once().returncode == 0
    drawn = digest(bench.output / "a.png")
    assert drawn != plain
    document = correction(bench)
    assert (document["number"], document["changed"]) == (2, True)
    assert [stroke["kind"] for stroke in document["strokes"]] == ["remove", "keep"]
    assert document["strokes"][0]["radius"] == 9.0
    assert document["strokes"][1]["radius"] == 3.6
    assert bench.sidecar("a.png.json")["quality"]["doubtful"] is False
    assert bench.results() == ["a.png", "a.png.json"]
    assert "a person corrected it" in bench.call("jobs", "a.jpg", *bench.pair()).stdout

    replayed = bench.call("replay", bench.output / "a.png.json", *bench.pair(), "--json")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert json.loads(replayed.stdout)["differences"] == []
    assert bench.call("retry", "a.jpg", *bench.pair()).returncode == 0
    assert bench.once().returncode == 0
    assert digest(bench.output / "a.png") == drawn

    assert "as the model does" in fix(bench, "--clear")
    assert bench.once().returncode == 0
    assert digest(bench.output / "a.png") == plain
    assert "correction" not in bench.sidecar("a.png.json")
    assert "there are no strokes" in bench.call("fix", "a.jpg", "--clear", *bench.pair()).stderr
    fix(bench, "--undo")
    assert bench.once().returncode == 0
    assert digest(bench.output / "a.png") == drawn

    fix(bench, "--undo")
    assert bench.once().returncode == 0
    assert [stroke["kind"] for stroke in correction(bench)["strokes"]] == ["remove"]
    fix(bench, "--undo")
    assert bench.once().returncode == 0
    assert digest(bench.output / "a.png") == plain
    assert "correction" not in bench.sidecar("a.png.json")
    by_its_cutout = bench.output / "a.png"
    assert "there are no strokes" in bench.call("fix", by_its_cutout, "--undo", *bench.pair()).stderr


@pytest.mark.small_model
def test_a_picture_that_was_replaced_is_cut_without_its_strokes_and_its_sidecar_says_so(bench: Bench) -> None:
    """In the sidecar and in the log; and the old job number cannot be used to draw on the new picture."""
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    fix(bench, "--remove", RIGHT_HALF)
    assert bench.once().returncode == 0
    (bench.input / "a.jpg").write_bytes(b"")
    bench.drop("a.jpg", 1)
    cut = bench.once()
    assert cut.returncode == 0
    document = bench.sidecar("a.png.json")
    assert "correction" not in document
    assert any("the strokes on the cutout were dropped" in one for one in document["warnings"])
    refused = bench.call("fix", "1", "--undo", *bench.pair())
    assert (refused.returncode, "is about an older version" in refused.stderr) == (2, True)


def test_a_held_back_cutout_is_published_once_corrected_and_goes_back_if_that_is_undone(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """With a running daemon and the packaged model; a correction means that a person has looked at it."""
    drop_empty(bench, "a.jpg", 235)
    start()
    bench.wait_for(lambda: "review/a.png" in bench.results() and bench.states() == {"a.jpg": "review"}, "it")
    assert "is cut again" in fix(
        bench, "--keep", "60,60,180,60,180,120,60,120,60,90,180,90", "--radius", "15"
    )
    bench.wait_for(lambda: bench.states() == {"a.jpg": "done"}, "the corrected one")
    assert bench.results() == ["a.png", "a.png.json"]
    assert bench.sidecar("a.png.json")["quality"]["doubtful"] is False
    fix(bench, "--undo")
    bench.wait_for(lambda: bench.states() == {"a.jpg": "review"}, "the former one")
    assert not any(name.startswith("a.png") for name in bench.results())
    assert "review/a.png" in bench.results()


@pytest.mark.small_model
def test_a_daemon_that_is_killed_amid_a_correction_follows_it_after_its_next_start(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """Once: the strokes are in the journal before anything is cut."""
    bench.drop("a.jpg")
    daemon = start()
    bench.wait_for(lambda: bench.states() == {"a.jpg": "done"}, "the first cutout")
    plain = digest(bench.output / "a.png")
    fix(bench, "--remove", RIGHT_HALF)
    bench.wait_for(
        lambda: bench.states()["a.jpg"] != "done" or digest(bench.output / "a.png") != plain, "the work"
    )
    daemon.end(signal.SIGKILL)
    assert bench.once().returncode == 0
    assert correction(bench)["number"] == 1
    assert digest(bench.output / "a.png") != plain
    assert bench.states() == {"a.jpg": "done"}
    assert bench.results() == ["a.png", "a.png.json"]


REFUSED = {
    (): "say what to do",
    ("--keep", "1,2", "--undo"): "these do not go together",
    ("--keep", "1"): "is not a stroke",
    ("--keep", "1,2", "--radius", "0"): "--radius 0 is not possible",
    ("--keep", "1,2", "--suggestion", "3"): "there is no suggestion 3",
    ("--clear",): "there are no strokes",
}


@pytest.mark.small_model
def test_strokes_that_cannot_be_drawn_are_refused_and_no_command_is_sent(bench: Bench) -> None:
    """Exit code 2."""
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    for arguments, said in REFUSED.items():
        called = bench.call("fix", "a.jpg", *arguments, *bench.pair())
        assert (called.returncode, said in called.stderr) == (2, True), called.stderr


def _published(bench: Bench) -> tuple[str, dict[str, Any]]:
    """Return the cutout's SHA-256, and what its sidecar says that is not about times or the job."""
    document = bench.sidecar("a.png.json")
    told = {key: document[key] for key in ("quality", "correction", "model", "settings_sha256", "warnings")}
    return digest(bench.output / "a.png"), told


def _saved_again(bench: Bench) -> tuple[str, dict[str, Any]]:
    """Cut the picture again with its strokes. Returns what is published then."""
    before = bench.finished_us("a.png")
    assert bench.call("retry", "a.png", *bench.pair()).returncode == 0
    bench.wait_for(lambda: bench.finished_us("a.png") > before and bench.states() == {"a.png": "done"}, "it")
    return _published(bench)


def test_a_picture_that_was_opened_in_fix_is_saved_with_the_same_bytes(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """Its matte is taken from there by a worker of the daemon; what somebody else leaves in its place is not, unless it is well-formed."""
    bench.environment["CUTOUTD_PAGE__ENABLED"] = "true"
    two_things().save(bench.input / "a.png")
    daemon = start()
    bench.wait_for(lambda: bench.states().get("a.png") in ("done", "review"), "the cutout")
    fix(bench, "--remove", "100,240,110,250", "--keep", "266,250", name="a.png")
    bench.wait_for(
        lambda: bench.states() == {"a.png": "done"} and "correction" in bench.sidecar("a.png.json"), "it"
    )
    plain = _published(bench)

    (journal,) = bench.root.glob("state/**/journal.sqlite")
    sha256 = digest(bench.input / "a.png")
    assert coarse_mattes.open_for(journal.parent, sha256) is None
    browser = paired(bench, daemon)
    (job,) = (one["job"] for one in bench.jobs())
    status, begun, _ = browser.ask("/api/fix_start", data={"job": job})
    assert (status, begun["width"]) == (200, 360)
    descriptor = coarse_mattes.open_for(journal.parent, sha256)
    assert descriptor is not None
    with open(descriptor, "rb") as file:  # noqa: PTH123 -- a descriptor
        own = unwrapped(file.read())
    assert own is not None
    assert _saved_again(bench) == plain
    replayed = bench.call("replay", bench.output / "a.png.json", *bench.pair(), "--json")
    assert json.loads(replayed.stdout)["differences"] == []

    cache = DiskCache(journal.parent / coarse_mattes.DIRECTORY)
    cache.put(coarse_mattes.key(sha256), own[: -288 * 288 * 4] + bytes(288 * 288 * 4))
    assert _saved_again(bench)[0] != plain[0]
    cache.put(coarse_mattes.key(sha256), own[:-4])
    assert _saved_again(bench) == plain
