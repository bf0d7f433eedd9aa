"""The jobs that a filter selects in lists, in exports, and in `retry --model`."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.cli import app
from cutoutd.cli.printing import path_fields, paths_fields
from cutoutd.cli.selection import JobFilter, JobOrder, in_order, since
from cutoutd.clock import Clock
from cutoutd.errors import UsageError
from cutoutd.jobs import JobState, Published, Version
from cutoutd.journal import predecessor
from cutoutd.journal.commands import Commands
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from tests.integration.parts import states

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FakeClock

FAILURE = {
    "code": "Picture",
    "title": "Not a usable picture",
    "cause": "it is cut short",
    "advice": "Export it again.",
}
HOUR_US = 3600 * 1_000_000


@pytest.fixture
def journal(tmp_path: Path, clock: FakeClock) -> Journal:
    """A journal with four pictures in different states, an hour apart, in two folders."""
    (tmp_path / "state").mkdir(mode=0o700)
    journal = Journal(tmp_path / "state", session="r", clock=clock)
    fates: tuple[tuple[str, str, JobState, dict[str, Any]], ...] = (
        (
            "a",
            "old.jpg",
            JobState.DONE,
            {"model": "old", "outputs": ["/out/old.png"], "seconds": 1.5, "score": 0.91},
        ),
        ("a", "bad.jpg", JobState.FAILED, {"failure": FAILURE}),
        ("b", "=1+1.jpg", JobState.DONE, {"model": "new", "score": 0.5, "doubtful": True}),
        ("b", "doubt.jpg", JobState.REVIEW, {"model": "old", "why": "no subject", "score": 0.0}),
    )
    for folder, path, state, detail in fates:
        (job,) = journal.sources.accept(folder, [Version(path=path, size=1, mtime_ns=1)])
        journal.queue.finish(job, state, detail=detail)
        clock.advance(3600)
    return journal


def paths(journal: Journal, **asked: Any) -> list[str]:  # noqa: ANN401 -- of a Selection
    """Return the paths of the selected jobs."""
    return [job.path for job in JobFilter(**asked).of(Reader(journal.store))]


def test_jobs_are_chosen_by_what_they_are(journal: Journal, clock: FakeClock) -> None:
    """Each condition alone, and several together."""
    assert len(paths(journal)) == 4
    assert paths(journal, states=[JobState.FAILED]) == ["bad.jpg"]
    assert paths(journal, states=[JobState.FAILED, JobState.REVIEW]) == ["bad.jpg", "doubt.jpg"]
    assert paths(journal, folder="b") == ["=1+1.jpg", "doubt.jpg"]
    assert paths(journal, reason="CUT SHORT") == ["bad.jpg"]
    assert paths(journal, reason="no subject") == ["doubt.jpg"]
    assert paths(journal, model="old") == ["old.jpg", "doubt.jpg"]
    assert paths(journal, since_us=clock.now_us() - 2 * HOUR_US) == ["=1+1.jpg", "doubt.jpg"]
    assert paths(journal, model="old", folder="b") == ["doubt.jpg"]


def test_a_time_is_understood_as_people_write_it() -> None:
    """And any other text is refused."""
    now = 1_800_000_000_000_000
    assert since("2h", now) == now - 2 * HOUR_US
    assert since("30m", now) == since("30 min", now) == now - HOUR_US // 2
    assert since(" 1W", now) == now - 7 * 24 * HOUR_US
    assert now - 24 * HOUR_US < since("today", now) <= now
    here = datetime.fromisoformat("2026-11-24T10:00:00").astimezone(UTC)
    assert since("2026-11-24 10:00", now) == int(here.timestamp()) * 1_000_000
    assert since("2026-11-24T10:00:00Z", now) == 1_795_514_400_000_000
    for wrong in ("yesterday", "2", "-2h", ""):
        with pytest.raises(UsageError):
            since(wrong, now)


def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str, renditions: str = "", code: int = 0
) -> None:
    """Run one of our commands in this process."""
    config = tmp_path / "c.toml"
    config.write_text(
        f'[service]\nstate_dir = "{tmp_path}/state"\n'
        '[[folder]]\nname = "a"\ninput = "/in"\noutput = "/out"\n' + renditions,
        encoding="utf-8",
    )
    monkeypatch.setattr(sys, "argv", ["cutoutd", *words[0].split(), "--config", str(config), *words[1:]])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == code


def test_the_export_is_a_table_that_a_spreadsheet_takes_for_text(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Including a name that begins like a formula."""
    journal.close()
    run(tmp_path, monkeypatch, "export")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["path"] for row in rows] == ["old.jpg", "bad.jpg", "'=1+1.jpg", "doubt.jpg"]
    assert (rows[0]["seconds"], rows[0]["model"], rows[0]["outputs"]) == ("1.5", "old", "/out/old.png")
    assert "cut short" in rows[1]["reason"]
    run(tmp_path, monkeypatch, "export", "--state", "failed", "--state", "review", "--reason", "subject")
    assert [row["path"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))] == ["doubt.jpg"]


def test_all_that_a_model_has_cut_is_cut_again(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one command, carried out when the daemon reads it; no other model's pictures, and no failures."""
    run(tmp_path, monkeypatch, "retry", "--model", "old")
    run(tmp_path, monkeypatch, "retry", "--model", "unheard-of")
    assert "No cutout is known" in capsys.readouterr().out
    (command,) = Commands(journal.store, Clock()).pending()
    assert journal.queue.retry_asked(command.argument) == 2
    assert states(journal) == {
        "old.jpg": JobState.QUEUED,
        "bad.jpg": JobState.FAILED,
        "=1+1.jpg": JobState.DONE,
        "doubt.jpg": JobState.QUEUED,
    }
    journal.close()


def test_scores_are_shown_and_the_least_certain_come_first_on_request(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the list, in its JSON and in the export."""
    journal.close()
    run(tmp_path, monkeypatch, "jobs", "--sort", "score")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1].partition("/")[2] for line in lines if "(" not in line] == [
        "=1+1.jpg",
        "old.jpg",
    ]
    assert ["doubt.jpg" in lines[0], "0.00" in lines[0], "0.91" in lines[2], "bad.jpg" in lines[3]] == [
        True
    ] * 4
    run(tmp_path, monkeypatch, "jobs", "--json")
    document = json.loads(capsys.readouterr().out)["jobs"]
    assert [one["detail"].get("score") for one in document] == [0.91, None, 0.5, 0.0]
    assert document[2]["detail"]["doubtful"] is True
    run(tmp_path, monkeypatch, "export", "--sort", "score")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["score"] for row in rows] == ["0.0", "0.5", "0.91", ""]


def test_the_outcome_of_one_picture_is_shown_by_its_name(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also by a part of its path, its number, or several; with the cutout's place or advice."""
    journal.close()
    run(tmp_path, monkeypatch, "jobs", "old.jpg", "2", "doubt")
    first, second, third = (part for part in re.split(r"(?m)^(?= {5}\d)", capsys.readouterr().out) if part)
    assert "a/old.jpg" in first
    assert re.search(r"arrived +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n +ended ", first)
    assert "cutout   /out/old.png" in first
    assert "bad.jpg  (it is cut short)" in second
    assert "to do    Export it again." in second
    assert "`cutoutd review accept 4`" in third
    run(tmp_path, monkeypatch, "jobs", "old.jpg", "--json")
    assert [one["path"] for one in json.loads(capsys.readouterr().out)["jobs"]] == ["old.jpg"]
    run(tmp_path, monkeypatch, "jobs", "nobody.jpg", code=2)
    assert "there is no picture 'nobody.jpg'" in capsys.readouterr().err
    run(tmp_path, monkeypatch, "jobs", "old.jpg", "--state", "done", code=2)


def test_published_cutouts_that_are_doubtful_are_listed(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither those held back for review, nor an earlier version of a recut picture."""
    (job,) = journal.sources.accept("a", [Version(path="mended.jpg", size=1, mtime_ns=1)])
    journal.queue.finish(job, JobState.DONE, detail={"doubtful": True})
    journal.sources.accept("a", [Version(path="mended.jpg", size=2, mtime_ns=2)])
    assert paths(journal, doubtful=True) == ["=1+1.jpg"]
    assert paths(journal, doubtful=True, folder="a") == []
    journal.close()
    run(tmp_path, monkeypatch, "jobs", "--doubtful")
    assert [line.split("/")[-1] for line in capsys.readouterr().out.splitlines()] == ["=1+1.jpg"]
    run(tmp_path, monkeypatch, "export", "--doubtful")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["path"] for row in rows] == ["'=1+1.jpg"]


def test_a_daemon_that_is_down_is_reported_with_the_start_command(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a command to copy, options included."""
    journal.close()
    run(tmp_path, monkeypatch, "status")
    output = capsys.readouterr().out
    assert "is not running" in output
    assert f"`cutoutd run --config {tmp_path}/c.toml` starts it" in output


def test_names_are_in_the_order_that_a_person_expects(journal: Journal) -> None:
    """Numbers by value, letters regardless of case, one folder after the other."""
    names = ["IMG_10.jpg", "img_9.jpg", "b/1.jpg", "IMG_010.jpg", "²3.jpg", "7.jpg"]
    journal.sources.accept("c", [Version(path=name, size=1, mtime_ns=1) for name in names])
    jobs = in_order(JobFilter(folder="c").of(Reader(journal.store)), JobOrder.NAME)
    assert [job.path for job in jobs] == [
        "7.jpg",
        "b/1.jpg",
        "img_9.jpg",
        "IMG_010.jpg",
        "IMG_10.jpg",
        "²3.jpg",
    ]


def test_the_manifest_lists_source_and_shop_of_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clock: FakeClock
) -> None:
    """From the journal, at any time: only files published now, each once."""
    (tmp_path / "state").mkdir(mode=0o700)
    journal = Journal(tmp_path / "state", session="r", clock=clock)
    cut, torn = journal.sources.accept(
        "a", [Version(path=one, size=1, mtime_ns=1) for one in ("-1.jpg", "b.jpg")]
    )
    job = Reader(journal.store).job(cut)
    assert job is not None
    published = tuple(
        Published(rendition=number, path=path, sha256=f"sum-{number}", review=False)
        for number, path in enumerate(("amazon/-1.jpg", "ebay/-1.jpg", "-1.png"))
    )
    journal.finish_publishing(job, JobState.DONE, sha256="source", published=published, detail={"score": 0.9})
    journal.queue.finish(torn, JobState.FAILED, detail={"failure": FAILURE})
    journal.close()
    renditions = '[[folder.rendition]]\npreset = ["amazon", "ebay"]\n[[folder.rendition]]\n'
    run(tmp_path, monkeypatch, "export", "--files", renditions=renditions)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["preset"], row["output"], row["output_sha256"]) for row in rows] == [
        ("amazon", "/out/amazon/-1.jpg", "sum-0"),
        ("ebay", "/out/ebay/-1.jpg", "sum-1"),
        ("", "/out/-1.png", "sum-2"),
    ]
    assert {(row["source"], row["source_sha256"], row["score"]) for row in rows} == {
        ("'-1.jpg", "source", "0.9")
    }
    run(tmp_path, monkeypatch, "export", "--files", "--json", renditions=renditions)
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["files"][0]["source"], document["files"][0]["doubtful"]) == (
        "cutoutd.manifest/1",
        "-1.jpg",
        False,
    )


def test_a_path_in_json_is_its_own() -> None:
    """Unescaped; its bytes are given where it is not UTF-8, and only there."""
    odd = os.fsdecode(b"\xff\xe2\x80\xaf.jpg")
    assert path_fields("source", "Shot 1\u202fPM.jpg") == {"source": "Shot 1\u202fPM.jpg"}
    assert base64.b64decode(path_fields("output", odd)["output_bytes"]) == os.fsencode(odd)
    assert paths_fields("outputs", ["a\u00a0b"]) == {"outputs": ["a\u00a0b"]}
    assert [base64.b64decode(one) for one in paths_fields("outputs", ["a", odd])["outputs_bytes"]] == [
        b"a",
        os.fsencode(odd),
    ]


def test_json_for_programs_names_the_very_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clock: FakeClock
) -> None:
    """A macOS screenshot has U+202F in its name; no JSON escapes it as for a terminal."""
    (tmp_path / "state").mkdir(mode=0o700)
    journal = Journal(tmp_path / "state", session="r", clock=clock)
    odd, torn = "Screenshot 1\u202fPM.jpg", os.fsdecode(b"caf\xe9.jpg")
    for source in (odd, torn):
        (cut,) = journal.sources.accept("a", [Version(path=source, size=1, mtime_ns=1)])
        job = Reader(journal.store).job(cut)
        assert job is not None
        published = (Published(rendition=0, path=source, sha256="s", review=True),)
        journal.finish_publishing(job, JobState.REVIEW, sha256="s", published=published, detail={})
    journal.close()

    def listed(*command: str) -> list[dict[str, Any]]:
        run(tmp_path, monkeypatch, *command)
        document = json.loads(capsys.readouterr().out)
        return sorted(
            document.get("files") or document["jobs"],
            key=lambda one: "path_bytes" in one or "source_bytes" in one,
        )

    first, second = listed("export", "--files", "--json")
    assert (first["source"], first["output"]) == (odd, f"/out/{odd}")
    assert base64.b64decode(second["source_bytes"]) == b"caf\xe9.jpg"
    assert base64.b64decode(second["output_bytes"]) == b"/out/caf\xe9.jpg"
    first, second = listed("review list", "--json")
    assert (first["path"], first["outputs"]) == (odd, [f"/out/{odd}"])
    assert base64.b64decode(second["outputs_bytes"][0]) == b"/out/caf\xe9.jpg"


def test_a_start_cuts_what_the_journal_has_not_finished(tmp_path: Path, clock: FakeClock) -> None:
    """300 pictures that waited at the stop are reported as to be cut, not as known."""
    (tmp_path / "state").mkdir(mode=0o700)
    journal = Journal(tmp_path / "state", session="r", clock=clock)
    done, _, failed = journal.sources.accept(
        "a", [Version(path=one, size=1, mtime_ns=1) for one in ("done", "waits", "failed")]
    )
    journal.queue.finish(done, JobState.DONE, detail={})
    journal.queue.finish(failed, JobState.FAILED, detail={"failure": FAILURE})
    journal.close()
    known = predecessor.known(tmp_path / "state", frozenset({"a"}))
    assert {path for path, _, _ in known} == {"done", "failed"}
