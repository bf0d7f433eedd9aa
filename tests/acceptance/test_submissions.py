"""A picture that a program submits is cut with the requested options, also if the daemon was killed or does not run."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from cutoutd.clock import Clock
from cutoutd.intake import incoming
from cutoutd.job_options import JobOptions
from cutoutd.journal.store import FILE_NAME, Store
from cutoutd.journal.submissions import Submission, Submissions
from cutoutd.recipe import Format
from cutoutd.submitting import FolderReplacedError, submit
from tests.acceptance.conftest import picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model


def journal_of(bench: Bench) -> Path:
    """Return the path of the journal."""
    (path,) = bench.root.glob(f"state/**/{FILE_NAME}")
    return path


def hand_in(bench: Bench, key: str, options: JobOptions) -> None:
    """Submit a picture as another program does."""
    with closing(Store(journal_of(bench))) as store, incoming.new_file(bench.input) as file:
        with os.fdopen(file.descriptor, "wb", closefd=False) as whole:
            picture(1).save(whole, format="JPEG")
        (name,) = folder_names(store)
        wanted = Submission(key=key, folder=name, spool=file.name, name="b.jpg", options=options)
        submit(store, Clock(), bench.input, file, wanted)


def folder_names(store: Store) -> list[str]:
    """Return the names of the folders in the journal."""
    return [str(row["name"]) for row in store.rows("SELECT name FROM folder")]


def submission_of(bench: Bench, key: str) -> Submission | None:
    """Return a submission."""
    with closing(Store(journal_of(bench))) as store:
        return Submissions(store, Clock()).find(key)


def is_suspended_without_lock(bench: Bench, daemon: Daemon) -> bool:
    """Suspend a daemon; let it go on if that was amid a transaction, whose lock would refuse every other program."""
    os.kill(daemon.process.pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{daemon.process.pid}/task")
    bench.wait_for(lambda: states_of(tasks) == {"T"}, "all threads to stop")
    with closing(sqlite3.connect(journal_of(bench), timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            os.kill(daemon.process.pid, signal.SIGCONT)
            return False
    return True


def states_of(tasks: Path) -> set[str]:
    """Return the letters of the states of the threads that live, as in proc(5)."""
    states = set()
    for task in tasks.iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            states.add((task / "stat").read_text().rpartition(")")[2].split()[0])
    return states


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_requested_options_are_applied_recorded_and_repeated(bench: Bench) -> None:
    """By the run, the sidecar, a replay, a retry, and a retry after the journal was lost."""
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    asked = JobOptions(format=Format.JPEG, background="#ff0000", max_pixels=10_000, locates_subject=True)
    hand_in(bench, "one", asked)
    assert bench.once().returncode == 0
    result = bench.output / "b.jpg"
    with Image.open(result) as image:
        assert image.size == (115, 86)
        red, green, blue = image.convert("RGB").getpixel((3, 3))  # type: ignore[misc]
        assert red > 240
        assert max(green, blue) < 20
    document = bench.sidecar("b.jpg.json")
    assert JobOptions.parse(json.dumps(document["options"])) == asked
    assert len(document["outputs"][0]["subject"]) == 4
    assert "options" not in bench.sidecar("a.png.json")
    created = digest(result)
    replayed = bench.call("replay", bench.output / "b.jpg.json", *bench.pair())
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    result.unlink()
    assert bench.call("retry", "b.jpg", *bench.pair()).returncode == 0
    assert bench.once().returncode == 0
    assert digest(result) == created
    journal_of(bench).unlink()
    assert bench.once().returncode == 0
    assert bench.call("retry", "b.jpg", *bench.pair()).returncode == 0
    assert bench.once().returncode == 0
    assert digest(result) == created
    assert bench.results() == ["a.png", "a.png.json", "b.jpg", "b.jpg.json"]


def test_pictures_are_submitted_while_it_runs_after_a_kill_and_before_the_start(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """Each is cut once; another key is another picture, the same key is the same one."""
    bench.drop("a.jpg")
    daemon = start()
    bench.wait_for(lambda: bench.states().get("a.jpg") == "done", "the first picture")
    hand_in(bench, "one", JobOptions())
    bench.wait_for(lambda: bench.states().get("b.jpg") == "done", "the picture that was handed in")
    bench.wait_for(lambda: is_suspended_without_lock(bench, daemon), "a moment without a transaction")
    hand_in(bench, "two", JobOptions())
    daemon.end(signal.SIGKILL)
    hand_in(bench, "two", JobOptions())
    hand_in(bench, "three", JobOptions())
    assert bench.once().returncode == 0
    assert {key: (submission_of(bench, key) or pytest.fail(key)).path for key in ("one", "two", "three")} == {
        "one": "b.jpg",
        "two": "b-2.jpg",
        "three": "b-3.jpg",
    }
    assert sorted(bench.states()) == ["a.jpg", "b-2.jpg", "b-3.jpg", "b.jpg"]
    assert set(bench.states().values()) == {"done"}
    assert not list((bench.input / incoming.DIRECTORY).iterdir())
    for name in ("b", "b-2", "b-3"):
        with Image.open(bench.output / f"{name}.png") as image:
            assert image.mode == "RGBA"


ASKED = JobOptions(format=Format.JPEG, background="#ff0000")


def away(bench: Bench) -> Path:
    """Return where the folder's own directory is moved to."""
    return bench.root / "away"


def replace_input(bench: Bench) -> None:
    """Put an empty directory in the folder's place."""
    bench.input.rename(away(bench))
    bench.input.mkdir()


def restore_input(bench: Bench) -> None:
    """Put the folder's own directory back."""
    bench.input.rename(bench.root / "other")
    away(bench).rename(bench.input)


def status(bench: Bench) -> dict[str, str]:
    """Return what `cutoutd status` says of the folder."""
    document = json.loads(bench.call("status", "--json", *bench.pair()).stdout)
    folder: dict[str, str] = document["folders"][0]
    return folder


def is_as_asked(path: Path) -> bool:
    """Return whether a cutout has the requested format."""
    with Image.open(path) as image:
        return image.format == "JPEG"


def queue_two(bench: Bench) -> None:
    """Submit two pictures that wait, after one that is cut."""
    bench.wait_for(lambda: bench.states().get("a.jpg") == "done", "the first picture")
    assert bench.call("pause", *bench.pair()).returncode == 0
    for key in ("one", "two"):
        hand_in(bench, key, ASKED)
    bench.wait_for(lambda: list(bench.states().values()).count("queued") == 2, "the two pictures")


def test_an_empty_directory_in_the_folders_place_costs_no_submission(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """The folder stands by, and the submitted pictures keep their options until it is back."""
    bench.drop("a.jpg")
    start()
    queue_two(bench)
    replace_input(bench)
    with pytest.raises(FolderReplacedError):
        hand_in(bench, "three", ASKED)
    assert bench.call("resume", *bench.pair()).returncode == 0
    bench.wait_for(
        lambda: (
            "2 accepted pictures are not finished" in status(bench)["why"]
        ),  # amid the exchange, it is not there
        "the reason",
    )
    assert status(bench)["watching"] == "standing by"
    assert not (bench.input / ".cutoutd-folder").exists()
    assert list(bench.states().values()).count("queued") == 2
    restore_input(bench)
    bench.wait_for(lambda: set(bench.states().values()) == {"done"}, "the pictures")
    assert bench.results() == ["a.png", "a.png.json", "b-2.jpg", "b-2.jpg.json", "b.jpg", "b.jpg.json"]
    assert all(is_as_asked(bench.output / name) for name in ("b.jpg", "b-2.jpg"))


def test_an_empty_directory_between_two_runs_costs_no_submission(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """One picture is accepted, the other only submitted."""
    bench.drop("a.jpg")
    daemon = start()
    queue_two(bench)
    daemon.end(signal.SIGKILL)
    hand_in(bench, "three", ASKED)
    replace_input(bench)
    assert bench.call("resume", *bench.pair()).returncode == 0
    assert bench.once().returncode == 1
    restore_input(bench)
    assert bench.once().returncode == 0
    assert set(bench.states().values()) == {"done"}
    assert all(is_as_asked(bench.output / name) for name in ("b.jpg", "b-2.jpg", "b-3.jpg"))


def test_an_adopted_directory_is_used_and_the_former_one_can_come_back(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """Jobs of the former directory keep their options until it is back."""
    bench.drop("a.jpg")
    start()
    queue_two(bench)
    before = submission_of(bench, "one")
    replace_input(bench)
    assert bench.call("resume", *bench.pair()).returncode == 0
    bench.wait_for(lambda: status(bench)["watching"] == "standing by", "the folder to stand by")
    adopted = bench.call("adopt", *bench.pair())
    assert adopted.returncode == 0, adopted.stderr
    assert "2 pictures are not finished" in adopted.stdout
    bench.wait_for(lambda: list(bench.states().values()).count("gone") == 2, "the pictures to be given up")
    bench.drop("c.jpg", 3)
    bench.wait_for(lambda: bench.states().get("c.jpg") == "done", "a picture in the new place")
    assert "nothing is to be done" in bench.call("adopt", *bench.pair()).stdout
    restore_input(bench)
    bench.wait_for(lambda: set(bench.states().values()) == {"done"}, "the pictures of the former place")
    assert all(is_as_asked(bench.output / name) for name in ("b.jpg", "b-2.jpg"))
    assert submission_of(bench, "one") == before


def test_what_cannot_be_adopted_is_told(bench: Bench) -> None:
    """A folder that was never worked on, one that is not there, and one without its directory; and nothing is done without a daemon."""
    before = bench.call("adopt", *bench.pair())
    assert (before.returncode, "has not run" in before.stderr) == (2, True), before.stderr
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    assert "nothing is to be done" in bench.call("adopt", *bench.pair()).stdout
    unknown = bench.call("adopt", "other", *bench.pair())
    assert (unknown.returncode, "there is no folder" in unknown.stderr) == (2, True), unknown.stderr
    replace_input(bench)
    later = bench.call("adopt", *bench.pair())
    assert (later.returncode, "when it starts" in later.stdout) == (0, True), later.stderr
    bench.input.rmdir()
    missing = bench.call("adopt", *bench.pair())
    assert (missing.returncode, "cannot be looked at" in missing.stderr) == (2, True), missing.stderr
