"""When its journal is damaged or missing, the daemon continues from what is in the folders."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.acceptance.conftest import PATIENCE_S
from tests.acceptance.test_fix import RIGHT_HALF
from tests.acceptance.test_review import drop_empty

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model

EXIT_FAULT = 5


def journal_of(bench: Bench) -> Path:
    """Return the path of the journal."""
    (path,) = bench.root.glob("state/**/journal.sqlite")
    return path


def contents(bench: Bench) -> dict[str, bytes]:
    """Return all files of the output folder."""
    return {name: (bench.output / name).read_bytes() for name in bench.results()}


def _damage(bench: Bench) -> None:
    """Truncate the journal."""
    path = journal_of(bench)
    path.write_bytes(path.read_bytes()[:5000])


def _lose(bench: Bench) -> None:
    """Remove the state directory."""
    shutil.rmtree(journal_of(bench).parent)


def _lose_with_marker(bench: Bench) -> None:
    """Remove the state directory and the input's hidden files, as a copy without them on another machine has neither."""
    _lose(bench)
    for path in bench.input.glob(".cutoutd-*"):
        path.unlink()


@pytest.mark.parametrize("harm", [_damage, _lose, _lose_with_marker])
def test_nothing_is_cut_again_that_has_its_sidecar(bench: Bench, harm: Callable[[Bench], None]) -> None:
    """Done, doubtful and deleted results stay as they are, failed pictures are tried once; then work goes on as usual."""
    bench.drop("sub/a.jpg")
    bench.drop("unwanted.jpg", 1)
    (bench.input / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    Image.new("RGB", (300, 200), (128, 128, 128)).save(bench.input / "grey.png")
    for name in ("broken.jpg", "grey.png"):
        os.utime(bench.input / name, (time.time() - 60,) * 2)
    assert bench.once().returncode == 1
    (bench.output / "unwanted.png").unlink()
    before = contents(bench)
    harm(bench)
    again = bench.once()
    assert again.stdout.startswith("0 cut, 0 to review, 1 failed, 0 unchanged"), again.stdout + again.stderr
    record = "failed/broken.jpg.error.json"
    assert before.keys() == contents(bench).keys()
    assert {name for name, content in contents(bench).items() if content != before[name]} == {record}
    before = contents(bench)
    assert bench.once().stdout.startswith("0 cut, 0 to review, 0 failed, 0 unchanged")
    assert contents(bench) == before
    assert {job["path"]: job["state"] for job in bench.jobs()} == {
        "sub/a.jpg": "done",
        "unwanted.jpg": "done",
        "broken.jpg": "failed",
        "grey.png": "review",
    }
    os.utime(bench.input / "sub/a.jpg", (time.time() - 30,) * 2)
    assert "1 unchanged" in bench.once().stdout
    bench.drop("sub/a.jpg", 2, age_s=20)
    assert bench.once().stdout.startswith("1 cut")
    assert set(contents(bench)) == set(before)
    assert contents(bench)["sub/a.png"] != before["sub/a.png"]


def test_the_loss_is_reported_until_a_person_resumes(bench: Bench) -> None:
    """The log and `status` report it; the damaged file is kept."""
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    _damage(bench)
    assert "journal.rebuilt" in (done := bench.once()).stdout + done.stderr
    status = json.loads(bench.call("status", *bench.pair(), "--json").stdout)
    assert (journal_of(bench).parent / status["rebuilt"]["set_aside"]).is_file()
    assert "was rebuilt" in bench.call("status", *bench.pair()).stdout
    assert bench.call("resume", *bench.pair()).returncode == 0
    assert bench.once().returncode == 0
    assert json.loads(bench.call("status", *bench.pair(), "--json").stdout)["rebuilt"] is None


def test_damage_while_it_runs_ends_it_with_a_code_of_its_own(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """A service manager restarts it; the picture that arrived meanwhile is cut then."""
    bench.drop("a.jpg")
    daemon = start()
    bench.wait_for(lambda: "a.png.json" in bench.results(), "the first cutout")
    # What it has just written it would write once more, over what we do.
    bench.wait_for(lambda: bench.states() == {"a.jpg": "done"}, "its end in the journal")
    before = contents(bench)
    path = journal_of(bench)
    path.write_bytes(b"\xff" * path.stat().st_size)
    bench.drop("b.jpg", 1)
    bench.wait_for(lambda: daemon.process.poll() is not None, "its end")
    assert daemon.process.returncode == EXIT_FAULT
    assert "sets this file aside" in (bench.root / "log").read_text()
    assert bench.once().returncode == 0
    assert {name: content for name, content in contents(bench).items() if name in before} == before
    assert bench.results() == ["a.png", "a.png.json", "b.png", "b.png.json"]


def test_a_publication_that_was_lost_half_way_is_not_doubled(bench: Bench) -> None:
    """The result has its name, the sidecar not yet: the picture is cut again, and the same bytes count as the same result."""
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    (bench.output / "a.png.json").unlink()
    result = (bench.output / "a.png").stat()
    _damage(bench)
    assert bench.once().stdout.startswith("1 cut")
    assert bench.results() == ["a.png", "a.png.json"]
    assert (bench.output / "a.png").stat().st_ino == result.st_ino


def test_the_last_runs_staged_files_are_swept_and_another_machines_are_not(bench: Bench) -> None:
    """The lock file names the run of the lost journal; nothing is known of other runs."""
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    run = (journal_of(bench).parent / "lock").read_text().split()[0]
    for name in (run, "0" * 32):
        (bench.output / ".cutoutd-staging" / name).mkdir(parents=True)
        (bench.output / ".cutoutd-staging" / name / "1-0.png").write_bytes(b"staged")
    _damage(bench)
    assert bench.once().returncode == 0
    left = [name for name in bench.results() if "staging" in name]
    assert left == [f".cutoutd-staging/{'0' * 32}/1-0.png"]


def test_times_of_any_kind_are_accepted_once(bench: Bench, start: Callable[..., Daemon]) -> None:
    """Whole and even seconds as on shares, long past, in the future; and rewritten while the daemon runs."""
    now = time.time()
    times = {"even": now // 2 * 2, "past": 1.5, "future": now + 86_400.25, "before 1970": -1000.0}
    start()
    for hue, (name, then) in enumerate(times.items()):
        bench.drop(f"{name}.jpg", hue)
        os.utime(bench.input / f"{name}.jpg", (then, then))
    wanted = sorted(f"{name}.png{end}" for name in times for end in ("", ".json"))
    bench.wait_for(lambda: bench.results() == wanted, "all cutouts")
    first = (bench.output / "even.png").read_bytes()
    time.sleep(2)  # a provisional acceptance would be repeated now
    assert sorted(job["state"] for job in bench.jobs() if job["state"] != "unchanged") == ["done"] * 4
    content = bench.drop("draft.jpg", 3).read_bytes()
    (bench.input / "draft.jpg").unlink()
    with (bench.input / "even.jpg").open("r+b") as file:
        file.truncate(0)
        assert (bench.output / "even.png").read_bytes() == first
        file.write(content)
    bench.wait_for(lambda: (bench.output / "even.png").read_bytes() != first, "the new version")
    bench.wait_for(
        lambda: [name for name in bench.results() if "draft" not in name] == wanted, "the end of publishing"
    )


def _unlink(state: Path) -> None:
    """Remove the journal."""
    (state / "journal.sqlite").unlink()


def _rename(state: Path) -> None:
    """Move the state directory away."""
    state.rename(state.with_name("elsewhere"))


def _replace(state: Path) -> None:
    """Replace the state directory by a copy."""
    shutil.copytree(state, state.with_name("copy"), ignore=shutil.ignore_patterns("wake", "*-journal"))
    _rename(state)
    state.with_name("copy").rename(state)


def _unlock(state: Path) -> None:
    """Remove the lock file."""
    (state / "lock").unlink()


@pytest.mark.parametrize("harm", [_unlink, _rename, _replace, _unlock])
def test_a_journal_that_is_taken_away_under_the_daemon_ends_it(
    bench: Bench, start: Callable[..., Daemon], harm: Callable[[Path], None]
) -> None:
    """Before, it cut nothing from then on, and reported that work goes on; the next start recognises all pictures by their sidecars."""
    bench.drop("a.jpg")
    daemon = start()
    bench.wait_for(lambda: bench.states() == {"a.jpg": "done"}, "the first")
    harm(journal_of(bench).parent)
    bench.drop("b.jpg")
    assert daemon.process.wait(PATIENCE_S) == EXIT_FAULT
    assert "removed, replaced or moved" in (bench.root / "log").read_text()
    first = (bench.output / "a.png").stat().st_ino
    again = bench.once()
    assert again.returncode == 0, again.stdout + again.stderr
    assert bench.results() == ["a.png", "a.png.json", "b.png", "b.png.json"]
    assert (bench.output / "a.png").stat().st_ino == first


def _put_back(path: Path, earlier: Path) -> None:
    """Put an earlier journal back, as from a backup."""
    draft = path.with_name("draft")
    shutil.copyfile(earlier, draft)
    draft.replace(path)


def test_what_a_person_decided_survives_that_an_earlier_journal_is_put_back(bench: Bench) -> None:
    """Before, all that was cut since was cut again: a correction was overwritten, and a rejected cutout was in review again."""
    drop_empty(bench, "accepted.jpg", 235)
    drop_empty(bench, "rejected.jpg", 240)
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    journal = journal_of(bench)
    shutil.copyfile(journal, bench.root / "backup")
    bench.drop("later.jpg", 1)
    drop_empty(bench, "later-rejected.jpg", 245)
    assert bench.once().returncode == 0
    for name in ("a.jpg", "later.jpg"):
        assert bench.call("fix", name, "--remove", RIGHT_HALF, *bench.pair()).returncode == 0
    assert bench.call("review", "accept", "accepted.jpg", *bench.pair()).returncode == 0
    assert bench.call("review", "reject", "rejected.jpg", "later-rejected.jpg", *bench.pair()).returncode == 0
    bench.once()
    before, was = contents(bench), bench.states()
    assert sorted(was.values()) == ["done", "done", "done", "failed", "failed"]
    assert bench.sidecar("later.png.json")["correction"]["number"] == 1
    _put_back(journal, bench.root / "backup")
    again = bench.once()
    assert again.stdout.startswith("0 cut, 0 to review, 0 failed, 0 unchanged"), again.stdout + again.stderr
    assert "journal.earlier" in again.stdout + again.stderr
    assert contents(bench) == before
    assert bench.states() == was
    assert "earlier journal was put back" in bench.call("status", *bench.pair()).stdout
    assert "journal.earlier" not in (second := bench.once()).stdout + second.stderr
    assert bench.call("fix", "later.jpg", "--undo", *bench.pair()).returncode == 0
    assert bench.once().stdout.startswith("1 cut")
    assert "correction" not in bench.sidecar("later.png.json")


def test_an_earlier_journal_that_is_put_back_under_the_daemon_is_used_as_its_message_says(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """The next start cuts nothing again that has a sidecar."""
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    journal = journal_of(bench)
    shutil.copyfile(journal, bench.root / "backup")
    daemon = start()
    bench.drop("b.jpg", 1)
    bench.wait_for(lambda: bench.states() == {"a.jpg": "done", "b.jpg": "done"}, "the second")
    before = contents(bench)
    _put_back(journal, bench.root / "backup")
    bench.drop("c.jpg", 2)
    assert daemon.process.wait(PATIENCE_S) == EXIT_FAULT
    assert "a sound journal in its place" in (bench.root / "log").read_text()
    assert bench.once().stdout.startswith("1 cut")
    assert {name: content for name, content in contents(bench).items() if name in before} == before


def test_what_a_person_decided_survives_that_state_and_marker_are_put_back_together(bench: Bench) -> None:
    """As by a snapshot of their disk: nothing shows that the journal is older, so the pictures are cut, and then found decided."""
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    state, marker = journal_of(bench).parent, bench.input / ".cutoutd-folder"
    shutil.copytree(state, bench.root / "backup", ignore=shutil.ignore_patterns("wake"))
    shutil.copy2(marker, bench.root / "marker")
    bench.drop("later.jpg", 1)
    drop_empty(bench, "rejected.jpg", 240)
    assert bench.once().returncode == 0
    assert bench.call("fix", "later.jpg", "--remove", RIGHT_HALF, *bench.pair()).returncode == 0
    assert bench.call("review", "reject", "rejected.jpg", *bench.pair()).returncode == 0
    bench.once()
    before = contents(bench)
    shutil.rmtree(state)
    shutil.copytree(bench.root / "backup", state)
    shutil.copy2(bench.root / "marker", marker)
    again = bench.once()
    assert "job.decided-before" in again.stdout + again.stderr
    assert contents(bench) == before
    assert bench.states() == {"a.jpg": "done", "later.jpg": "done", "rejected.jpg": "failed"}
    assert bench.call("fix", "later.jpg", "--undo", *bench.pair()).returncode == 0
    assert bench.once().stdout.startswith("1 cut")
    assert "correction" not in bench.sidecar("later.png.json")
