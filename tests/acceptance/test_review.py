"""`cutoutd review`: doubtful pictures are listed with their overlay, accepted and rejected, with and without a running daemon."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from cutoutd.clock import Clock
from cutoutd.journal.batches import Batches
from cutoutd.journal.decisions import BatchItem, Decision
from cutoutd.journal.store import FILE_NAME, Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model


def drop_empty(bench: Bench, name: str, grey: int) -> Path:
    """Add a picture without a subject, whose cutout is certainly doubtful."""
    path = bench.input / name
    draft = bench.root / "draft.jpg"
    Image.new("RGB", (240, 180), (grey, grey, grey)).save(draft, format="JPEG")
    then = time.time() - 60
    os.utime(draft, (then, then))
    draft.rename(path)
    return path


def waiting(bench: Bench) -> list[dict[str, Any]]:
    """Return what the command lists."""
    listed = bench.call("review", "list", *bench.pair(), "--json")
    assert listed.returncode == 0, listed.stderr
    document = json.loads(listed.stdout)
    assert document["schema"] == "cutoutd.review/1"
    found: list[dict[str, Any]] = document["jobs"]
    return found


def test_doubtful_pictures_are_decided_about_with_the_daemon_up_and_down(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """One is accepted by a running daemon, one rejected while none runs; the originals stay untouched."""
    kept = [drop_empty(bench, name, grey) for name, grey in (("a.jpg", 235), ("b.jpg", 240))]
    before = [path.read_bytes() for path in kept]
    daemon = start()
    bench.wait_for(lambda: len(bench.published("*.json")) == 2, "both")
    bench.wait_for(lambda: len(waiting(bench)) == 2, "the journal")
    first, second = sorted(waiting(bench), key=lambda one: str(one["path"]))
    (overlay,), (cutout,) = first["overlay"], first["outputs"]
    with Image.open(overlay) as picture:
        assert picture.size == (240, 180)
    seen = hashlib.sha256((bench.output / "review" / "a.png").read_bytes()).hexdigest()
    assert cutout == str(bench.output / "review" / "a.png")
    assert "subject" in first["why"]

    accepted = bench.call("review", "accept", str(first["job"]), *bench.pair())
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert f"published as {bench.output}/a.png" in accepted.stdout
    assert hashlib.sha256((bench.output / "a.png").read_bytes()).hexdigest() == seen
    assert bench.sidecar("a.png.json")["outputs"][0]["sha256"] == seen
    assert [one["path"] for one in waiting(bench)] == ["b.jpg"]

    daemon.end()
    rejected = bench.call("review", "reject", str(second["job"]), *bench.pair())
    assert (rejected.returncode, "when it starts, 1 picture is rejected" in rejected.stdout) == (0, True)
    assert bench.once().returncode == 1  # a rejected picture counts as failed
    assert bench.results() == ["a.png", "a.png.json", "failed/b.jpg.error.json"]
    assert "Nothing waits" in bench.call("review", "list", *bench.pair()).stdout
    assert [path.read_bytes() for path in kept] == before
    assert "0 failed, 1 rejected" in bench.call("status", *bench.pair()).stdout
    (bench.input / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    os.utime(bench.input / "torn.jpg", (0, 0))
    assert bench.once().returncode == 1
    again = bench.call("retry", "--failed", *bench.pair()).stdout
    assert "1 picture is cut again" in again
    assert "What you rejected (1) is left as it is" in again
    listed = bench.call("jobs", "--state", "failed", "--reason", "rejected", *bench.pair()).stdout
    assert ("b.jpg" in listed, "torn.jpg" in listed) == (True, False)


def test_decisions_are_taken_back(bench: Bench, start: Callable[..., Daemon]) -> None:
    """The accepted one is in review/ again, as the help says without its overlay; the rejected one is cut again. Both wait again."""
    for name in ("a.jpg", "b.jpg"):
        drop_empty(bench, name, 235)
    start()
    bench.wait_for(lambda: set(bench.states().values()) == {"review"} and len(bench.states()) == 2, "both")
    seen = [
        hashlib.sha256((bench.output / "review" / name).read_bytes()).hexdigest()
        for name in ("a.png", "b.png")
    ]
    bench.call("review", "accept", "a.jpg", *bench.pair())
    bench.call("review", "reject", "b.jpg", *bench.pair())
    assert bench.states() == {"a.jpg": "done", "b.jpg": "failed"}
    undone = bench.call("review", "undo", "a.jpg", "b.jpg", *bench.pair())
    assert undone.returncode == 0, undone.stderr
    bench.wait_for(lambda: bench.states() == {"a.jpg": "review", "b.jpg": "review"}, "both again")
    bench.wait_for(lambda: not any(name.startswith("failed") for name in bench.results()), "the record to go")
    again = [
        hashlib.sha256((bench.output / "review" / name).read_bytes()).hexdigest()
        for name in ("a.png", "b.png")
    ]
    assert again == seen
    again_waiting = {one["path"]: len(one["overlay"]) for one in waiting(bench)}
    assert again_waiting == {"a.jpg": 0, "b.jpg": 1}
    assert "without their overlay" in " ".join(bench.call("review", "undo", "--help").stdout.split())
    refused = bench.call("review", "undo", "c.jpg", *bench.pair())
    assert refused.returncode == 2


@pytest.mark.parametrize("first", [Decision.REJECT, Decision.ACCEPT])
@pytest.mark.parametrize("undone_by", ["batch", "undecided", "command"])
def test_a_published_cutout_is_as_it_was_after_its_decision_is_undone(
    bench: Bench, start: Callable[..., Daemon], first: Decision, undone_by: str
) -> None:
    """Published, doubtful for its reasons, and not held back: its sidecar and `jobs` say what they said before."""
    config = bench.root / "cutoutd.toml"
    config.write_text(
        f'[service]\nstate_dir = "{bench.root}/state"\n[page]\nenabled = false\n[[folder]]\nname = "shop"\n'
        f'input = "{bench.input}"\noutput = "{bench.output}"\nreview_below = 0.0\ndoubtful_below = 1.0\n',
        encoding="utf-8",
    )
    bench.drop("a.jpg")
    start("--config", config)

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            bench.call("jobs", "--json", "--config", config).stdout or '{"jobs": []}'
        )["jobs"]
        return found

    bench.wait_for(lambda: [one["state"] for one in listed()] == ["done"], "the cutout")
    before, (job,) = bench.sidecar("a.png.json"), listed()
    assert before["quality"]["doubtful"]
    store = Store(bench.root / "state" / FILE_NAME)
    batches, clock = Batches(store), Clock()
    item = BatchItem(job=int(job["job"]), seen=before["outputs"][0]["sha256"])
    batch = batches.decide(first, [item], clock).batch
    after = (
        (lambda: listed()[0]["state"] == "failed")
        if first is Decision.REJECT
        else (lambda: not bench.sidecar("a.png.json")["quality"]["doubtful"])
    )
    bench.wait_for(after, "the decision")
    if undone_by == "batch":
        batches.undo(batch, clock)
    elif undone_by == "command":
        undone = bench.call("review", "undo", "a.jpg", "--config", config)
        assert undone.returncode == 0, undone.stderr
        assert ("again, as before" in undone.stdout or "busy" in undone.stdout) == (first is Decision.REJECT)
    else:
        seen = "" if first is Decision.REJECT else item.seen
        batches.decide(Decision.UNDECIDED, [replace(item, seen=seen)], clock)
    bench.wait_for(
        lambda: listed()[0]["state"] == "done" and listed()[0]["detail"].get("doubtful"), "the undo"
    )
    bench.wait_for(lambda: bench.sidecar("a.png.json")["quality"]["doubtful"], "the sidecar")
    store.close()
    changing = {"published_at", "timings_ms", "attempts"}
    document = bench.sidecar("a.png.json")
    assert {key: value for key, value in document.items() if key not in changing} == {
        key: value for key, value in before.items() if key not in changing
    }
    times = {"finished_at", "at", "attempts", "seconds"}
    (again,) = listed()
    assert {key: value for key, value in again.items() if key not in times} == {
        key: value for key, value in job.items() if key not in times
    }


def test_a_picture_that_waits_for_no_decision_is_reported_as_such(bench: Bench) -> None:
    """A job that is done, and a command without a picture: exit code 2, and nothing is sent to the daemon."""
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    done, unnamed = (
        bench.call("review", "accept", "1", *bench.pair()),
        bench.call("review", "reject", *bench.pair()),
    )
    assert done.returncode == unnamed.returncode == 2
    assert "is done" in done.stderr
    undone = bench.call("review", "undo", "1", *bench.pair())
    assert undone.returncode == 2
    assert "the journal knows no decision about it" in undone.stderr
    assert "a.png" in bench.results()
    assert "Nothing waits" in bench.call("review", "accept", "--all", *bench.pair()).stdout


def test_a_picture_that_is_touched_while_it_waits_goes_on_waiting(bench: Bench) -> None:
    """A copy of the folder, a rating, a new time: its bytes are the same. Its original stays until the decision."""
    config = bench.root / "cutoutd.toml"
    config.write_text(
        f'[[folder]]\nname = "shop"\ninput = "{bench.input}"\noutput = "{bench.output}"\noriginals = "delete"\n',
        encoding="utf-8",
    )
    original = drop_empty(bench, "a.jpg", 235)
    assert bench.call("run", "--once", "--config", config).returncode == 0
    (bench.output / "review" / "a.png").stat()
    os.utime(original)
    assert bench.call("run", "--once", "--config", config).returncode == 0
    assert original.exists()
    listed = bench.call("review", "list", "--json", "--config", config)
    (still,) = json.loads(listed.stdout)["jobs"]
    assert "subject" in still["why"]
    assert bench.call("review", "accept", "a.jpg", "--config", config).returncode == 0
    assert bench.call("run", "--once", "--config", config).returncode == 0
    assert (bench.output / "a.png").exists()
    assert not original.exists()


def test_nothing_is_asked_for_a_picture_whose_folder_is_not_in_the_configuration(bench: Bench) -> None:
    """The commands say so instead of promising what the daemon would not do, and do it once the folder is back."""
    with_it, without_it = bench.root / "with.toml", bench.root / "without.toml"
    other = bench.root / "other"
    other.mkdir()
    state = f'[service]\nstate_dir = "{bench.root}/journal"\n'
    folders = [
        f'[[folder]]\nname = "{name}"\ninput = "{directory}"\noutput = "{bench.root}/out-{name}"\n'
        for name, directory in (("shop", bench.input), ("other", other))
    ]
    with_it.write_text(state + "".join(folders))
    without_it.write_text(state + folders[1])
    drop_empty(bench, "a.jpg", 235)
    bench.call("run", "--once", "--config", with_it)
    for command in (["review", "accept"], ["review", "undo"], ["retry"], ["fix", "--keep", "1,1"]):
        refused = bench.call(*command, "a.jpg", "--config", without_it)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "a folder that is not in the configuration" in " ".join(refused.stderr.split())
        assert "Put the folder 'shop' back" in " ".join(refused.stderr.split())
    none = bench.call("review", "accept", "--all", "--config", without_it)
    assert "1 picture is of folders that are not in the configuration" in none.stdout
    assert "Nothing waits for a decision." in none.stdout
    accepted = bench.call("review", "accept", "a.jpg", "--config", with_it)
    assert "when it starts, 1 picture is published" in accepted.stdout
