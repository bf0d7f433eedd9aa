"""Corrections through the page: sessions, previews by a real worker, and the commands to the daemon."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cutoutd import strokes
from cutoutd.corrections import Correction
from cutoutd.engine.matting import features
from cutoutd.errors import JournalError
from cutoutd.exchange import coarse_mattes
from cutoutd.fs.disk_cache import peek
from cutoutd.job_options import JobOptions
from cutoutd.journal.commands import Commands, Verb
from cutoutd.journal.corrections import Corrections
from cutoutd.journal.reader import Reader
from cutoutd.models.catalog import PACKAGED
from cutoutd.page.backend import brush_sessions, fixing
from cutoutd.recipe import RegionOfInterest
from tests.integration.served_folder import ServedFolder, jpeg, png

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

DRAWS = """
import json, os, sys, time
from cutoutd.pool import request_worker
KEPT = 0
def work(setup, questions):
    def answer():
        key = ""
        while (asked := questions.receive()) is not None:
            document, files = asked
            if document["do"] == "start":
                key, recipe = document["key"], document["recipe"]
                request_worker.say({"width": len(files), "height": 7}, bytes(KEPT))
            elif key != document["key"]:
                request_worker.say({"missing": True})
            elif document["suggestion"]:
                sys.exit(1)
            else:
                strokes = json.dumps([os.getpid(), document["strokes"], recipe]).encode()
                request_worker.say({"changed": True}, b"\\x89PNG" + strokes)
    return answer
request_worker.serve(work)
"""

KEEP = {"kind": "keep", "points": [[100.0, 100.0]], "radius": 9.0}
PAINT = {"kind": "paint", "points": [[10.0, 10.0], [60.0, 60.0]], "radius": 20.0, "alpha": 1.0}


@pytest.fixture
def served_folder(tmp_path: Path) -> Iterator[ServedFolder]:
    """A folder for one test."""
    served_folder = ServedFolder(tmp_path)
    yield served_folder
    served_folder.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the worker by one that draws nothing and reports its process id."""
    monkeypatch.setattr(brush_sessions, "COMMAND", (sys.executable, "-c", DRAWS))


def _pid(served_folder: ServedFolder, fix: str) -> int:
    """Return the process id of a session's worker, from its preview."""
    body = served_folder.write("fix_preview", fix=fix, strokes=[KEEP]).body
    return int(json.loads(body.removeprefix(b"\x89PNG"))[0])


def _asked(served_folder: ServedFolder) -> list[dict[str, object]]:
    """Return the corrections that wait for the daemon."""
    commands = Commands(served_folder.journal.store, served_folder.backend.clock).pending()
    assert all(one.verb == Verb.FIX for one in commands)
    return [json.loads(one.argument) for one in commands]


def test_strokes_are_tried_and_saved_as_a_request(served_folder: ServedFolder) -> None:
    """By the real worker with the embedded model: the preview is a small grey PNG."""
    job = served_folder.cut("a.jpg", _two_discs(), png(1500, 1200), model=PACKAGED)
    begun = served_folder.write("fix_start", job=job).data
    assert (begun["width"], begun["height"], begun["strokes"]) == (1500, 1200, [])

    def preview(*drawn: object, suggestion: int = 0) -> tuple[NDArray[np.uint8], bool]:
        reply = served_folder.write(
            "fix_preview", fix=begun["fix"], strokes=list(drawn), suggestion=suggestion
        )
        assert reply.media_type == "image/png"
        with Image.open(io.BytesIO(reply.body)) as image:
            assert (image.mode, image.size) == ("L", (1024, 819))
            return np.asarray(image), bool(reply.data["changed"])

    plain, changed = preview()
    assert not changed
    painted, changed = preview(PAINT)
    assert changed
    assert painted[20, 20] == 255
    assert (painted[100:] == plain[100:]).all()
    for suggestion in (0, 1):
        kept, changed = preview(_click("remove", 450), _click("keep", 1050), suggestion=suggestion)
        assert changed
        assert kept[410, 307] == 0
        assert kept[410, 717] == 255
    seen = served_folder.seen(job)
    served_folder.write("fix_save", fix=begun["fix"], strokes=[PAINT, KEEP], seen=seen, suggestion=1)
    assert _asked(served_folder) == [
        {"job": job, "action": "draw", "seen": seen, "strokes": [PAINT, KEEP], "suggestion": 1}
    ]


def test_the_model_that_draws_is_the_one_in_the_package() -> None:
    """Only for its cutouts the matte is computed again, and not read from the cutout."""
    assert features.MODEL == PACKAGED


def _two_discs() -> bytes:
    """Return a picture of two things."""
    image = Image.new("RGB", (1500, 1200), (230, 230, 225))
    draw = ImageDraw.Draw(image)
    draw.ellipse((250, 400, 650, 800), fill=(180, 40, 30))
    draw.ellipse((850, 400, 1250, 800), fill=(30, 60, 150))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def _click(kind: str, x: float) -> dict[str, object]:
    """Return a stroke of one point, as the page sends it."""
    return {"kind": kind, "points": [[x, 600.0]], "radius": 30.0}


@pytest.mark.usefixtures("quick")
def test_two_pictures_are_drawn_on_at_once_and_a_third_is_refused_until_one_rests(
    served_folder: ServedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own process; a session that lost its process gets another one with its next stroke."""
    jobs = [served_folder.cut(f"{number}.jpg", jpeg(60 + number, 40)) for number in range(3)]
    first, second = (served_folder.write("fix_start", job=job).data["fix"] for job in jobs[:2])
    pids = [_pid(served_folder, one) for one in (first, second)]
    assert len(set(pids)) == 2
    refused = served_folder.refused_write("fix_start", job=jobs[2])
    assert (refused.status, refused.code) == (503, "too_many_fixes")
    served_folder.write("fix_end", fix=first)
    third = served_folder.write("fix_start", job=jobs[2]).data["fix"]
    assert _pid(served_folder, third) == pids[0]
    assert served_folder.refused_write("fix_preview", fix=first, strokes=[]).code == "fix_ended"
    monkeypatch.setattr(brush_sessions, "REST_S", 0.0)
    again = served_folder.write("fix_start", job=jobs[0]).data["fix"]
    assert _pid(served_folder, again) == pids[1]
    assert _pid(served_folder, second) == pids[0]
    assert _pid(served_folder, third) == pids[1]


@pytest.mark.parametrize("size", [0, 1000, coarse_mattes.MAX_BYTES, coarse_mattes.MAX_BYTES + 1])
def test_what_a_picture_has_taken_to_open_is_kept_for_who_cuts_it_again(
    served_folder: ServedFolder, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Within a bound, by the SHA-256 of the picture."""
    draws = DRAWS.replace("KEPT = 0", f"KEPT = {size}")
    monkeypatch.setattr(brush_sessions, "COMMAND", (sys.executable, "-c", draws))
    content = jpeg(60, 40)
    served_folder.write("fix_start", job=served_folder.cut("a.jpg", content))
    kept = peek(served_folder.backend.cache, coarse_mattes.key(hashlib.sha256(content).hexdigest()))
    assert kept == (bytes(size) if 0 < size <= coarse_mattes.MAX_BYTES else None)


@pytest.mark.usefixtures("quick")
def test_a_worker_that_dies_costs_one_preview(served_folder: ServedFolder) -> None:
    """The next worker gets the picture again, and all strokes."""
    job = served_folder.cut("a.jpg", jpeg(60, 40))
    fix = served_folder.write("fix_start", job=job).data["fix"]
    first = _pid(served_folder, fix)
    assert (
        served_folder.refused_write("fix_preview", fix=fix, strokes=[KEEP], suggestion=1).code
        == "cannot_show"
    )
    assert _pid(served_folder, fix) != first


@pytest.mark.usefixtures("quick")
def test_an_idle_worker_of_a_session_is_ended(
    served_folder: ServedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is not: its next stroke starts another one."""
    monkeypatch.setattr(brush_sessions, "IDLE_S", 0.1)
    job = served_folder.cut("a.jpg", jpeg(60, 40))
    fix = served_folder.write("fix_start", job=job).data["fix"]
    for _ in range(1000):
        if not fixing.shared(served_folder.backend).pids:
            break
        threading.Event().wait(0.02)
    assert not fixing.shared(served_folder.backend).pids
    assert _pid(served_folder, fix)


@pytest.mark.usefixtures("quick")
def test_a_preview_is_made_as_the_folder_and_the_request_want_the_cutout(tmp_path: Path) -> None:
    """Else it shows what will not be published."""
    served_folder = ServedFolder(tmp_path, matte={"refine": False})
    try:
        job = served_folder.cut("a.jpg", jpeg(60, 40), png(60, 40), model=PACKAGED)
        asked = JobOptions(semitransparency=False, roi=RegionOfInterest(px=(1, 2, 50, 40)))
        store = served_folder.journal.store
        with store.transaction():
            store.write("UPDATE job SET options = :options WHERE id = :job", options=asked.text(), job=job)
        fix = served_folder.write("fix_start", job=job).data["fix"]
        body = served_folder.write("fix_preview", fix=fix, strokes=[KEEP]).body
        roi = {"px": [1, 2, 50, 40], "share": [0.0] * 4}
        recipe = {"refine": False, "is_solid": True, "roi": roi}
        assert json.loads(body.removeprefix(b"\x89PNG"))[2] == recipe
    finally:
        served_folder.close()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("model", "files"), [(PACKAGED, 1), ("isnet", 2)])
def test_the_cutout_of_another_model_is_what_strokes_correct(
    served_folder: ServedFolder, model: str, files: int
) -> None:
    """For the packaged model, the matte is computed again instead."""
    job = served_folder.cut("a.jpg", jpeg(60, 40), png(60, 40), model=model)
    assert served_folder.write("fix_start", job=job).data["width"] == files


@pytest.mark.usefixtures("quick")
def test_a_picture_that_was_replaced_while_it_was_drawn_on_is_not_corrected(
    served_folder: ServedFolder, tmp_path: Path
) -> None:
    """Neither previewed nor saved, since the strokes belong to another picture. A removed one is reported as gone."""
    job = served_folder.cut("a.jpg", jpeg(60, 40), png(60, 40))
    fix = served_folder.write("fix_start", job=job).data["fix"]
    (tmp_path / "in" / "a.jpg").write_bytes(jpeg(61, 40))
    refused = served_folder.refused_write("fix_save", fix=fix, strokes=[KEEP], seen=served_folder.seen(job))
    assert (refused.status, refused.code) == (409, "source_changed")
    assert served_folder.refused_write("fix_start", job=job).code == "source_changed"
    newer = served_folder.cut("a.jpg", jpeg(61, 40), png(60, 40))
    assert (
        served_folder.refused_write("fix_save", fix=fix, strokes=[KEEP], seen=served_folder.seen(job)).code
        == "source_changed"
    )
    assert served_folder.write("fix_start", job=newer).data["fix"]
    (tmp_path / "in" / "a.jpg").unlink()
    assert served_folder.refused_write("fix_start", job=newer).code == "original_gone"
    assert not _asked(served_folder)


@pytest.mark.usefixtures("quick")
def test_a_correction_that_is_sent_again_is_made_once(served_folder: ServedFolder) -> None:
    """Whether the first request waits or was carried out; the cutout may be another one by then. Other strokes are saved."""
    job = served_folder.cut("a.jpg", jpeg(60, 40), png(60, 40))
    fix = served_folder.write("fix_start", job=job).data["fix"]
    seen = served_folder.seen(job)
    name = "a" * 32
    served_folder.write("fix_save", fix=fix, strokes=[KEEP], seen=seen, request=name)
    again = served_folder.write("fix_save", fix=fix, strokes=[KEEP], seen=seen, request=name)
    assert again.data == {"pending": True}
    assert len(_asked(served_folder)) == 1
    commands = Commands(served_folder.journal.store, served_folder.backend.clock)
    row = Reader(served_folder.journal.store).job(job)
    assert row is not None
    corrections = Corrections(served_folder.journal.store, served_folder.backend.clock)
    with served_folder.journal.store.transaction():
        corrections.add_within(row, strokes.parse([KEEP]))
    for command in commands.pending():
        commands.done(command)
    later = served_folder.write("fix_save", fix=fix, strokes=[KEEP], seen="0" * 64, request=name)
    assert later.data == {"pending": False}
    assert not _asked(served_folder)
    served_folder.write("fix_save", fix=fix, strokes=[PAINT], seen=seen, request="b" * 32)
    assert len(_asked(served_folder)) == 1
    served_folder.write("fix_undo", job=job, seen=seen, request="c" * 32)
    served_folder.write("fix_undo", job=job, seen=seen, request="c" * 32)
    assert len(_asked(served_folder)) == 2


@pytest.mark.usefixtures("quick")
def test_a_disk_that_is_full_loses_no_strokes(
    served_folder: ServedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says that they are not saved, and where they still are."""
    job = served_folder.cut("a.jpg", jpeg(60, 40), png(60, 40))
    fix = served_folder.write("fix_start", job=job).data["fix"]

    def full(*_: object) -> int:
        raise JournalError("SQLite says: database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Commands, "post", full)
        refused = served_folder.refused_write(
            "fix_save", fix=fix, strokes=[KEEP], seen=served_folder.seen(job)
        )
    assert (refused.status, refused.code) == (503, "disk_full")
    assert "still in this window" in refused.text
    served_folder.write("fix_save", fix=fix, strokes=[KEEP], seen=served_folder.seen(job))
    assert len(_asked(served_folder)) == 1


@pytest.mark.usefixtures("quick")
def test_earlier_strokes_are_shown_again_and_can_be_undone(served_folder: ServedFolder) -> None:
    """With and without a running daemon; without strokes there is nothing to undo, and saving none removes all."""
    job = served_folder.cut("a.jpg", jpeg(60, 40), png(60, 40))
    assert served_folder.refused_write("fix_undo", job=job).code == "nothing_drawn"
    assert served_folder.write("correction", job=job).data == {"strokes": [], "suggestion": 0}
    row = Reader(served_folder.journal.store).job(job)
    assert row is not None
    corrections = Corrections(served_folder.journal.store, served_folder.backend.clock)
    begun = served_folder.write("fix_start", job=job).data
    seen = served_folder.seen(job)
    served_folder.write("fix_save", fix=begun["fix"], strokes=[KEEP], seen=seen, suggestion=1)
    (asked,) = _asked(served_folder)
    with served_folder.journal.store.transaction():
        corrections.add_within(row, strokes.parse(asked["strokes"]), suggestion=1)
    assert isinstance(corrections.of(row), Correction)
    begun = served_folder.write("fix_start", job=job).data
    assert (begun["strokes"], begun["suggestion"]) == ([KEEP], 1)
    assert served_folder.write("correction", job=job).data == {"strokes": [KEEP], "suggestion": 1}
    served_folder.write("fix_undo", job=job, seen=seen)
    served_folder.write("fix_save", fix=begun["fix"], strokes=[], seen=seen)
    assert [one["action"] for one in _asked(served_folder)] == ["draw", "undo", "clear"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("shown", ["0" * 64, "", None])
def test_a_correction_is_about_the_cutout_that_was_shown(
    served_folder: ServedFolder, shown: str | None
) -> None:
    """So is its undo: another cutout than the person saw stays, also one that came where there was none."""
    job = served_folder.cut("a.jpg", jpeg(60, 40), png(60, 40))
    seen = {} if shown is None else {"seen": shown}
    row = Reader(served_folder.journal.store).job(job)
    assert row is not None
    with served_folder.journal.store.transaction():
        Corrections(served_folder.journal.store, served_folder.backend.clock).add_within(
            row, strokes.parse([KEEP])
        )
    fix = served_folder.write("fix_start", job=job).data["fix"]
    for refused in (
        served_folder.refused_write("fix_undo", job=job, **seen),
        served_folder.refused_write("fix_save", fix=fix, strokes=[PAINT], **seen),
    ):
        assert (refused.status, refused.code) == (409, "cutout_changed")
    assert not _asked(served_folder)
    served_folder.write("fix_undo", job=job, seen=served_folder.seen(job))
    (asked,) = _asked(served_folder)
    assert (asked["action"], asked["seen"]) == ("undo", served_folder.seen(job))


@pytest.mark.usefixtures("quick")
def test_a_refusal_by_the_daemon_is_reported_at_once(
    served_folder: ServedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the daemon's reason."""
    job = served_folder.cut("a.jpg", jpeg(60, 40), png(60, 40))
    fix = served_folder.write("fix_start", job=job).data["fix"]
    monkeypatch.setattr(Commands, "answer", lambda _self, _number: "the folder is leaving")
    refused = served_folder.refused_write("fix_save", fix=fix, strokes=[KEEP], seen=served_folder.seen(job))
    assert (refused.status, refused.code, refused.named) == (
        409,
        "fix_refused",
        {"why": "the folder is leaving"},
    )


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "drawn",
    [None, "x", [{}], [KEEP] * 501, [{**KEEP, "radius": -1}], [{**KEEP, "points": [[1e9, 0]]}]],
)
def test_invalid_strokes_are_refused_before_a_worker_gets_them(
    served_folder: ServedFolder, drawn: object
) -> None:
    """For a preview and for saving."""
    job = served_folder.cut("a.jpg", jpeg(60, 40), png(60, 40))
    fix = served_folder.write("fix_start", job=job).data["fix"]
    for method in ("fix_preview", "fix_save"):
        assert served_folder.refused_write(method, fix=fix, strokes=drawn).status == 400
    for suggestion in (2, -1, "x", 0.5):
        wrong = served_folder.refused_write("fix_preview", fix=fix, strokes=[KEEP], suggestion=suggestion)
        assert wrong.status == 400
    assert not _asked(served_folder)


def test_a_picture_that_was_not_cut_cannot_be_corrected(served_folder: ServedFolder) -> None:
    """Neither can a missing one; each has its message."""
    (tmp,) = served_folder.waiting("b.jpg")
    assert served_folder.refused_write("fix_start", job=tmp).code == "not_cut"
    assert served_folder.refused_write("fix_start", job=99).code == "no_job"
    assert served_folder.refused_write("fix_undo", job="x").status == 400
