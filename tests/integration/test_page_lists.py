"""What the page reads: lists, one picture, the overview, what was sent; with a journal that is away, rebuilt or of another version."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.daemon.status_file import StatusFile
from cutoutd.exchange.webhooks import WebhookMessage
from cutoutd.folder.status import FolderStatus, closed_by_system
from cutoutd.folder_trouble import FolderTrouble
from cutoutd.hosted.entries import AttemptEnd, AttemptOutcome
from cutoutd.hosted.ledger import Ledger
from cutoutd.jobs import JobState, Reason
from cutoutd.journal.journal import Journal
from cutoutd.journal.state import StateDirectory
from cutoutd.journal.store import FILE_NAME, SCHEMA_VERSION
from cutoutd.page.backend.folder_condition import condition_of
from cutoutd.page.backend.news import News, NewsWatch
from cutoutd.webserver.backend.method import RefusedError
from cutoutd.webserver.backend.open_journal import OpenJournal
from tests.integration.page_backend import PageBackend
from tests.unit.test_hosted_ledger import CONTENT, entry, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.journal.store import Store
    from tests.conftest import FakeClock


@pytest.fixture
def page_backend(tmp_path: Path, clock: FakeClock) -> Iterator[PageBackend]:
    """A room without a daemon."""
    opened = PageBackend(tmp_path, clock)
    yield opened
    opened.close()


def test_a_list_has_what_a_person_needs(page_backend: PageBackend) -> None:
    """The reasons as codes, the version that is shown, and its size."""
    number = page_backend.cut(
        "a/b.jpg",
        JobState.REVIEW,
        score=0.4,
        reasons=[Reason.MISSING, "too large"],
        why="w",
        width=30,
        height=20,
    )
    found = page_backend.ask("jobs", state=["review"])
    assert found["total"] == 1
    (job,) = found["jobs"]
    assert job == {
        "job": number, "folder": "shop", "path": "a/b.jpg", "name": "b.jpg", "state": "review", "doubtful": True,
        "score": 0.4, "corrected": False, "reasons": [{"code": "missing", "text": Reason.MISSING}, {"code": "other", "text": "too large"}],
        "why": "w", "advice": "", "at": job["at"], "seconds": None, "seen": f"{number:064x}", "width": 30, "height": 20,
        "outputs": ["review/a/b.jpg.png"], "decision": "", "decision_in_force": "", "refused": "", "fixable": True,
    }  # fmt: skip


def test_a_cutout_that_a_person_corrected_is_called_so(page_backend: PageBackend) -> None:
    """Its score is that of the model's result before."""
    page_backend.cut("a.jpg", score=0.2, corrected=2)
    (job,) = page_backend.ask("jobs", state=["done"])["jobs"]
    assert (job["corrected"], job["score"]) == (True, 0.2)


def test_lists_are_selected_by_name(page_backend: PageBackend) -> None:
    """Each word selects what the overview counts under it."""
    page_backend.cut("a.jpg")
    page_backend.cut("b.jpg", doubtful=True, score=0.3)
    page_backend.cut("c.jpg", JobState.REVIEW)
    page_backend.end(
        "d.jpg", JobState.FAILED, failure={"code": "Unreadable", "cause": "cut off", "advice": "Copy it."}
    )
    page_backend.end("e.jpg", JobState.FAILED, failure={"code": "Rejected"})
    page_backend.end("f.jpg", JobState.QUEUED)
    page_backend.end("g.jpg", JobState.SKIPPED, folder="studio")
    expected = {"done": 2, "doubtful": 1, "review": 1, "failed": 1, "rejected": 1, "waiting": 1, "skipped": 0}
    (shop, _) = page_backend.ask("overview")["folders"]
    for word, number in expected.items():
        assert page_backend.ask("jobs", state=word, folder="shop")["total"] == shop[word] == number
    assert page_backend.ask("jobs")["total"] == 7
    assert [job["state"] for job in page_backend.ask("jobs", sort="oldest")["jobs"]][3:] == [
        "failed",
        "rejected",
        "waiting",
        "skipped",
    ]
    failed = page_backend.ask("jobs", state="failed")["jobs"][0]
    assert (failed["why"], failed["advice"], failed["seen"], failed["fixable"]) == (
        "cut off",
        "Copy it.",
        "",
        False,
    )


def test_all_matches_are_numbered_with_the_shown_versions(page_backend: PageBackend) -> None:
    """In the order of the list."""
    numbers = [page_backend.cut(f"{number}.jpg", JobState.REVIEW, score=number / 10) for number in (5, 3, 4)]
    found = page_backend.ask("job_ids", state="review", sort="score")
    assert found["ids"] == [numbers[1], numbers[2], numbers[0]]
    assert found["seen"] == [f"{number:064x}" for number in found["ids"]]


@pytest.mark.parametrize(
    "params",
    [
        {"sort": "best"},
        {"state": ["odd"]},
        {"reason": "odd"},
        {"limit": 201},
        {"limit": "x"},
        {"offset": -1},
        {"score_below": "low"},
        {"q": "x" * 201},
        {"folder": [1]},
    ],
)
def test_invalid_parameters_are_refused(page_backend: PageBackend, params: dict[str, object]) -> None:
    """The process that answers browsers may be compromised."""
    with pytest.raises(RefusedError) as refused:
        page_backend.ask("jobs", **params)
    assert refused.value.status == 400


def test_half_a_character_is_in_no_name(page_backend: PageBackend) -> None:
    """JSON can contain a lone surrogate, and the journal cannot."""
    page_backend.cut("a.jpg")
    assert page_backend.ask("jobs", q="\ud800")["total"] == 0
    assert sum(page_backend.ask("throughput", folder="\ud800")["minutes"]) == 0
    assert page_backend.ask("jobs", folder="\ud800")["total"] == 0


def test_no_answer_holds_the_journal_open(page_backend: PageBackend) -> None:
    """Otherwise the daemon could not commit."""
    number = page_backend.cut("a.jpg")
    asked: dict[str, dict[str, Any]] = {
        "session": {},
        "overview": {},
        "throughput": {},
        "jobs": {"q": "a"},
        "job_ids": {},
        "job": {"job": number},
        "egress": {},
    }
    for method, params in asked.items():
        page_backend.ask(method, **params)
        with closing(sqlite3.connect(page_backend.state_dir / FILE_NAME, timeout=0.0)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            connection.rollback()


def test_one_picture_is_shown_with_its_sidecar_and_its_history(page_backend: PageBackend) -> None:
    """Only of its own source; also without a sidecar."""
    number = page_backend.cut("a.jpg", model="m", warnings=["w"])
    shown = page_backend.ask("job", job=number)
    assert (shown["model"], shown["warnings"], shown["sidecar"], shown["timings_ms"]) == (
        "m",
        ["w"],
        False,
        None,
    )
    document = {
        "schema": "cutoutd.sidecar/1",
        "source": {"path": "a.jpg", "width": 40, "height": 30},
        "timings_ms": {"total": 5},
        "outputs": [{"path": "a.jpg.png", "bytes": 9, "width": 3, "height": 2, "format": "png"}],
    }
    (page_backend.root / "out").mkdir()
    (page_backend.root / "out/a.jpg.png.json").write_text(json.dumps(document))
    shown = page_backend.ask("job", job=str(number))
    assert (shown["sidecar"], shown["timings_ms"], shown["sizes"][0]["bytes"]) == (True, {"total": 5}, 9)
    assert (shown["width"], shown["height"]) == (40, 30)
    document["source"] = {"path": "b.jpg"}
    (page_backend.root / "out/a.jpg.png.json").write_text(json.dumps(document))
    assert not page_backend.ask("job", job=number)["sidecar"]
    page_backend.ask("decide", verb="undecided", items=page_backend.seen(number))
    assert [one["what"] for one in page_backend.ask("job", job=number)["history"]] == ["undecided"]
    with pytest.raises(RefusedError) as refused:
        page_backend.ask("job", job=77)
    assert refused.value.status == 404


def test_the_models_of_this_machine_are_named(page_backend: PageBackend) -> None:
    """To cut a picture again with another model than its folder's."""
    named = page_backend.ask("models")
    assert named["chosen"] == "u2net-int8"
    assert named["chosen"] in named["models"]


def test_names_that_are_no_text_are_shown(page_backend: PageBackend) -> None:
    """JSON carries them in ASCII; the page decides how to show them."""
    name = os.fsdecode(b"bad-\xff\xe2\x80\xae<b>.jpg")
    page_backend.cut(name)
    (job,) = page_backend.ask("jobs", q="bad")["jobs"]
    assert job["name"] == name
    assert json.loads(json.dumps(job))["name"] == name


def test_an_hour_is_listed_by_minutes(page_backend: PageBackend) -> None:
    """The oldest first, over all folders or for one."""
    page_backend.cut("a.jpg")
    page_backend.clock.advance(120.0)
    page_backend.cut("b.jpg", folder="studio")
    page_backend.end("c.jpg", JobState.FAILED)
    found = page_backend.ask("throughput")
    assert (len(found["minutes"]), sum(found["minutes"]), sum(found["failed"])) == (60, 2, 1)
    assert found["minutes"][-1] == 1
    assert sum(page_backend.ask("throughput", folder="studio")["minutes"]) == 1


def test_a_running_daemon_reports_the_states_of_its_folders(tmp_path: Path, clock: FakeClock) -> None:
    """In its words, with a code and advice; without a daemon, that it does not run."""
    page_backend = PageBackend(tmp_path, clock)
    assert {one["trouble"] for one in page_backend.ask("overview")["folders"]} == {"down"}
    assert not page_backend.ask("session")["running"]
    with StateDirectory(page_backend.state_dir) as state:
        status = FolderStatus().closed(closed_by_system(FileNotFoundError(errno.ENOENT, ""), "/in"))
        StatusFile(page_backend.state_dir, state.session).show(
            {"shop": status}, workers=2, facts=None, paused=False
        )
        found = page_backend.ask("overview")
        assert (found["running"], found["workers"]) == (True, 2)
        shop, studio = found["folders"]
        assert (shop["watching"], shop["trouble"]) == ("standing by", "away")
        assert "Connect" in shop["advice"]
        assert (studio["watching"], studio["trouble"]) == (None, "unheard")
        assert page_backend.ask("session")["running"]
    page_backend.close()


@pytest.mark.parametrize("trouble", FolderTrouble)
def test_each_trouble_has_an_advice(trouble: FolderTrouble) -> None:
    """By the code that the daemon gives beside its words."""
    found = condition_of(
        {"watching": "standing by", "why": "because", "trouble": trouble.value}, running=True
    )
    assert (found.trouble, found.why, bool(found.advice)) == (trouble, "because", True)


def test_the_words_of_a_path_are_taken_for_no_trouble() -> None:
    """Before, a full disk with an output below a directory that is called "journal" was shown as trouble with the journal."""
    why = "less than min_free_disk_mb = 500 MiB are free at /srv/journal/out: free some space; work goes on by itself"
    found = condition_of({"watching": "paused", "why": why, "trouble": "disk_full"}, running=True)
    assert found.trouble == "disk_full"


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        ({"watching": "native", "why": ""}, ""),
        ({"watching": "poll", "why": "it is a share", "trouble": None}, ""),
        ({"watching": "starting", "why": ""}, ""),
        ({"watching": "standing by", "why": "the folder is empty"}, "standing_by"),
        ({"watching": "standing by", "why": "the folder is empty", "trouble": "of-later"}, "standing_by"),
        ({"watching": "paused", "why": "the disk is full"}, "paused"),
        ({"watching": "paused", "why": "the disk is full", "trouble": "of-later"}, "paused"),
    ],
)
def test_a_trouble_without_a_known_code_is_shown_by_the_status_alone(
    said: dict[str, str | None], trouble: str
) -> None:
    """As of a daemon of an earlier or later version, while the page's own process is of this one."""
    found = condition_of(said, running=True)
    assert (found.trouble, found.why, bool(found.advice)) == (trouble, said["why"], bool(trouble))


def test_without_a_journal_there_is_nothing_and_no_fault(page_backend: PageBackend) -> None:
    """As before the first start; a decision is refused, since it cannot be stored."""
    (page_backend.state_dir / FILE_NAME).unlink()
    assert page_backend.ask("jobs") == {"total": 0, "jobs": []}
    assert page_backend.ask("job_ids") == {"ids": [], "seen": []}
    assert page_backend.ask("overview")["folders"][0]["done"] == 0
    assert sum(page_backend.ask("throughput")["minutes"]) == 0
    assert page_backend.ask("egress")["bytes"] == 0
    for method, params in (
        ("job", {"job": 1}),
        ("decide", {"verb": "accept", "items": [[1, ""]]}),
        ("pause", {"paused": True}),
    ):
        with pytest.raises(RefusedError) as refused:
            page_backend.ask(method, **params)
        assert (refused.value.status, refused.value.code) == (503, "no_journal")


def test_a_recreated_journal_is_read_as_soon_as_it_exists(page_backend: PageBackend) -> None:
    """With its own counts, whatever those of the former one were."""
    page_backend.cut("a.jpg")
    assert page_backend.ask("jobs")["total"] == 1
    page_backend.journal.close()
    (page_backend.state_dir / FILE_NAME).unlink()
    page_backend.journal = Journal(page_backend.state_dir, session="s", clock=page_backend.clock)
    assert page_backend.ask("jobs")["total"] == 0
    page_backend.cut("b.jpg")
    assert [job["name"] for job in page_backend.ask("jobs")["jobs"]] == ["b.jpg"]


@pytest.mark.parametrize(("version", "code"), [(SCHEMA_VERSION + 1, "journal_newer"), (1, "journal_older")])
def test_a_journal_of_another_version_is_named(page_backend: PageBackend, version: int, code: str) -> None:
    """After an upgrade with the page open; the first query is answered all the same."""
    with closing(sqlite3.connect(page_backend.state_dir / FILE_NAME)) as connection:
        connection.execute("CREATE TABLE later (x)")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()
    with pytest.raises(RefusedError) as refused:
        page_backend.ask("jobs")
    assert (refused.value.status, refused.value.code) == (503, code)
    assert page_backend.ask("session")["trouble"]["code"] == code


def test_a_damaged_journal_is_named(page_backend: PageBackend) -> None:
    """The answer is no internal error."""
    (page_backend.state_dir / FILE_NAME).write_bytes(b"no journal at all" * 1000)
    with pytest.raises(RefusedError) as refused:
        page_backend.ask("jobs")
    assert refused.value.code == "journal_damaged"


def test_uploads_are_listed_from_the_ledger(page_backend: PageBackend) -> None:
    """Nothing since the first folder was watched; then what its rows say."""
    found = page_backend.ask("egress")
    assert (found["bytes"], found["uploads"], found["ledger"], found["trouble"]) == (0, 0, [], "")
    assert [one["code"] for one in found["questions"]] == ["where_runs", "where_stored", "offline", "workers"]
    assert "SHA-256" in found["questions"][1]["evidence"][0]
    hosted = page_backend.state_dir / "hosted"
    hosted.mkdir(mode=0o700)
    with Ledger(hosted / "ledger.sqlite", create=True) as ledger:
        row = ledger.begin(entry(request(folder="shop")))
        found = page_backend.ask("egress")
        assert (found["uploads"], found["bytes"]) == (1, len(CONTENT))
        assert (found["ledger"][0]["status"], found["ledger"][0]["folder"]) == ("under_way", "shop")
        end = AttemptEnd(end=AttemptOutcome.OK, status=200, sent=7, credits=1.5, took_ms=1)
        ledger.close(row, end)
        (last,) = page_backend.ask("egress")["ledger"]
        assert (last["status"], last["bytes"], last["credits"], last["host"]) == ("done", 7, 1.5, "h")
        message = WebhookMessage(
            id="1" * 32,
            webhook="a" * 16,
            folder="shop",
            job=1,
            type="picture.done",
            what="result",
            number=1,
            about="p",
            bytes=11,
            sha256="s",
            made_us=1,
            settings="",
        )
        ledger.begin_webhook(message, host="cms.example", now_us=2_000_000_000_000_000)
        found = page_backend.ask("egress")
        assert (found["uploads"], found["messages"], found["bytes"]) == (1, 1, 18)
        first, _ = found["ledger"]
        assert (first["host"], first["why"]) == ("cms.example", "picture.done, result")
    (hosted / "ledger.sqlite").unlink()
    assert "uploads were recorded" in page_backend.ask("egress")["trouble"]
    (hosted / "ledger.sqlite").write_bytes(b"no ledger" * 500)
    assert "ledger" in page_backend.ask("egress")["trouble"].lower()


def test_a_journal_that_is_removed_under_an_open_page_is_reported_until_there_is_another(
    page_backend: PageBackend,
) -> None:
    """With advice. Before, it counted as one that never existed, and a tab showed its last state as if it were current."""
    page_backend.backend.open_store = OpenJournal(page_backend.state_dir).open
    watch = NewsWatch(page_backend.backend)
    watch.poll()
    assert [event for event, _ in page_backend.events] == ["jobs", "overview"]
    page_backend.events.clear()
    page_backend.journal.close()
    (page_backend.state_dir / FILE_NAME).unlink()
    for _ in range(2):
        watch.poll()
    ((event, data),) = page_backend.events
    assert (event, data["code"]) == ("trouble", "journal_damaged")
    assert "cutoutd makes it anew when it starts" in data["text"]
    for method, params in (("jobs", {}), ("decide", {"verb": "accept", "items": [[1, ""]]})):
        with pytest.raises(RefusedError) as refused:
            page_backend.ask(method, **params)
        assert (refused.value.status, refused.value.code) == (503, "journal_damaged")
    assert page_backend.ask("session")["trouble"]["code"] == "journal_damaged"
    page_backend.events.clear()
    page_backend.journal = Journal(page_backend.state_dir, session="s", clock=page_backend.clock)
    watch.poll()
    assert page_backend.events[-1] == ("trouble", None)
    assert page_backend.ask("session")["trouble"] is None


def test_a_page_without_files_to_open_tells_of_it_and_of_changes_after_it(page_backend: PageBackend) -> None:
    """Before, the thread that looks for changes ended, and every tab stayed as it was until the page was started again."""
    watch = NewsWatch(page_backend.backend)
    open_store = page_backend.backend.open_store

    def refused() -> Store | None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    page_backend.backend.open_store = refused
    for _ in range(2):
        watch.poll()
    why = "Too many open files"
    told = {
        "code": "unavailable",
        "text": f"The page cannot look for changes: {why}",
        "named": {"why": why},
    }
    assert page_backend.events == [("trouble", told)]
    page_backend.backend.open_store = open_store
    watch.poll()
    assert page_backend.events[-1] == ("trouble", None)


def test_news_are_sent_once_they_exist(page_backend: PageBackend) -> None:
    """Ended jobs with all that a list shows of them, and an overview; nothing if nothing has changed."""
    news = News(page_backend.backend)
    news.poll()
    assert [event for event, _ in page_backend.events] == ["jobs", "overview"]
    page_backend.events.clear()
    news.poll()
    assert page_backend.events == []
    number = page_backend.cut("a.jpg", score=0.5)
    failed = page_backend.end("b.jpg", JobState.FAILED, failure={"cause": "odd"})
    news.poll()
    (event, data) = page_backend.events[0]
    assert (event, data["folders"], data["more"]) == ("jobs", ["shop"], False)
    assert [job["job"] for job in data["ended"]] == [number, failed]
    page_backend.events.clear()
    for name in range(60):
        page_backend.cut(f"{name}.jpg")
    news.poll()
    assert (len(page_backend.events[0][1]["ended"]), page_backend.events[0][1]["more"]) == (50, True)
    assert page_backend.events[0][1]["ended"][-1]["name"] == "59.jpg"
    page_backend.events.clear()
    page_backend.cut("z.jpg")
    news.poll()
    assert [job["name"] for job in page_backend.events[0][1]["ended"]] == ["z.jpg"]
