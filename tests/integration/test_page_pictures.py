"""Pictures for the page, by real confined workers, from real folders."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from cutoutd.exchange.cutout_previews import PreviewStore
from cutoutd.jobs import JobState
from cutoutd.journal.reader import Reader
from cutoutd.page.backend import picture_methods, pictures, shown_files
from cutoutd.pipeline.preview import ReducedRendition
from cutoutd.publish.sidecar import SCHEMA
from cutoutd.settings.schema import PoolSettings
from tests.integration.served_folder import ServedFolder, jpeg, png
from tests.integration.share import Share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.exchange.cutout_previews import CutoutPreview
    from cutoutd.page.backend.shown_files import ShownFile
    from cutoutd.previews.file_reader import FileReader, ReadFile
    from cutoutd.webserver.backend.method import RefusedError

HANGS = """
import json, os, sys, time
from cutoutd.pool import request_worker
def work(setup, questions):
    def answer():
        while (asked := questions.receive()) is not None:
            how = os.read(asked[1][0], 10).decode() if asked[1] else ""
            if how.startswith("hang"): time.sleep(60)
            if how.startswith("die"): sys.exit(1)
            if how.startswith("flood"): os.write(1, b"x" * 3_000_000)
            if how.startswith("lie"): request_worker.say({"sizes": [10 ** 9], "width": "x"}, b"RIFF")
            else: request_worker.say({"width": 9, "height": 9, "sizes": [5]}, b"RIFFx")
    return answer
request_worker.serve(work)
"""


@pytest.fixture
def served_folder(tmp_path: Path) -> Iterator[ServedFolder]:
    """A folder for one test."""
    served_folder = ServedFolder(tmp_path)
    yield served_folder
    served_folder.close()


def read(body: bytes) -> Image.Image:
    """Return the pixels of a WebP."""
    image = Image.open(io.BytesIO(body))
    image.load()
    assert image.format == "WEBP"
    return image


def test_original_cutout_and_matte_are_shown_in_tiles(served_folder: ServedFolder) -> None:
    """Each level, to its last tile; browsers may cache a request for an exact version for ever."""
    job = served_folder.cut("a.jpg", jpeg(), png())
    for kind in ("source", "cutout", "matte"):
        seen = served_folder.ask("look", job, kind).data
        assert (seen["width"], seen["height"], seen["tile"], seen["levels"]) == (2400, 1600, 256, 5)
        assert seen["laid_out"] is False
        first = served_folder.ask("tile", job, kind, level=4, x=0, y=0, v=seen["version"])
        assert (read(first.body).size, first.immutable, first.media_type) == ((150, 100), True, "image/webp")
        last = served_folder.ask("tile", job, kind, level="0", x="9", y="6")
        assert (read(last.body).size, last.immutable) == ((96, 64), False)
        small = served_folder.ask("thumb", job, kind, v=seen["version"])
        assert (read(small.body).size, small.immutable) == ((320, 213), True)
    middle = read(served_folder.ask("tile", job, "cutout", level=1, x=1, y=0).body)
    assert middle.mode == "RGBA"
    for level, x, y in ((0, 10, 0), (0, 0, 7), (5, 0, 0), (10**9, 0, 0)):
        assert served_folder.refused("tile", job, "cutout", level=level, x=x, y=y).code == "no_such_tile"
    assert read(served_folder.ask("tile", job, "cutout", level=0, x=0, y=0).body).size == (256, 256)


def test_a_cutout_says_whether_it_is_laid_out_otherwise_than_the_picture(tmp_path: Path) -> None:
    """As on a canvas: nobody can aim at a part of the picture on that, also where the two are of one size."""
    rendition = {"canvas": "2400x1600", "scale": "50%"}
    served_folder = ServedFolder(tmp_path, rendition=[rendition])
    try:
        job = served_folder.cut("a.jpg", jpeg(), png())
        assert served_folder.ask("look", job, "cutout").data["laid_out"] is True
        assert served_folder.ask("look", job, "source").data["laid_out"] is False
    finally:
        served_folder.close()


def test_a_cutout_says_where_in_it_the_picture_lies(served_folder: ServedFolder) -> None:
    """Its sidecar tells, also where the folder's settings are others by now; a damaged one tells nothing."""
    cutout = png()
    job = served_folder.cut("a.jpg", jpeg(), cutout)
    sidecar = served_folder.folders[0].output / "a.jpg.png.json"
    for frame, said in (
        ([-60.5, 30, 700, 500], (-60.5, 30.0, 700.0, 500.0)),
        ([0, 0, 0, 5], None),
        ([float("nan"), 0, 9, 5], None),
        ("wide", None),
    ):
        output = {"sha256": hashlib.sha256(cutout).hexdigest(), "frame": frame}
        document = {"schema": SCHEMA, "source": {"path": "a.jpg"}, "outputs": [output]}
        sidecar.write_text(json.dumps(document), encoding="utf-8")
        seen = served_folder.ask("look", job, "cutout").data
        assert (seen["frame"], seen["laid_out"]) == (said, said is not None)
    assert served_folder.ask("look", job, "source").data["frame"] is None


def test_whoever_asks_for_several_cutouts_at_once_learns_of_each_where_the_picture_lies(
    served_folder: ServedFolder,
) -> None:
    """As Review does, for those that come next: two sidecars of a folder are read at a time, and the others wait for that."""
    cutout = png(60, 40)
    jobs = [served_folder.cut(f"{number}.jpg", jpeg(60, 40), cutout) for number in range(8)]
    for job in jobs:
        served_folder.ask("look", job, "cutout")  # from now on its size is known
    for number in range(8):
        output = {"sha256": hashlib.sha256(cutout).hexdigest(), "frame": [0, 0, 9, 9]}
        source = {"path": f"{number}.jpg"}
        document = {"schema": SCHEMA, "source": source, "outputs": [output], "much": [1] * 200_000}
        sidecar = served_folder.folders[0].output / f"{number}.jpg.png.json"
        sidecar.write_text(json.dumps(document), encoding="utf-8")
    with ThreadPoolExecutor(8) as people:
        found = list(people.map(lambda job: served_folder.ask("look", job, "cutout").data["frame"], jobs))
    assert found == [(0.0, 0.0, 9.0, 9.0)] * 8


def test_a_cached_picture_is_shown_again_without_a_worker(
    served_folder: ServedFolder, tmp_path: Path
) -> None:
    """Also by the next process; a large view starts with the levels that its small picture has left in the cache."""
    job = served_folder.cut("a.jpg", jpeg(), png())
    served_folder.ask("look", served_folder.cut("b.jpg", jpeg(60, 40)), "source")
    small = served_folder.ask("thumb", job, "cutout").body
    served_folder.restart()
    (tmp_path / "out" / "a.jpg.png").unlink()
    assert served_folder.ask("thumb", job, "cutout").body == small
    seen = served_folder.ask("look", job, "cutout").data
    assert seen["levels"] == 5
    for level, x, y in ((2, 0, 0), (2, 1, 0), (3, 0, 0)):
        assert served_folder.ask("tile", job, "cutout", level=level, x=x, y=y, v=seen["version"]).immutable
    assert served_folder.refused("tile", job, "cutout", level=0, x=0, y=0).code == "cutout_gone"


def test_another_cutout_of_a_picture_is_another_version(served_folder: ServedFolder) -> None:
    """Nothing cached of the former one is shown for it."""
    job = served_folder.cut("a.jpg", jpeg(), png())
    before = served_folder.ask("look", job, "cutout").data
    again = served_folder.cut("a.jpg", jpeg(2401), png(1200, 800))
    after = served_folder.ask("look", again, "cutout").data
    assert (after["width"], after["version"] != before["version"]) == (1200, True)
    reply = served_folder.ask("tile", again, "cutout", level=0, x=4, y=3, v=before["version"])
    assert (read(reply.body).size, reply.immutable) == ((176, 32), False)


def test_a_file_that_was_changed_by_hand_is_shown_and_not_kept(
    served_folder: ServedFolder, tmp_path: Path
) -> None:
    """Its bytes are not those that were published."""
    job = served_folder.cut("a.jpg", jpeg(), png())
    (tmp_path / "out" / "a.jpg.png").write_bytes(png(600, 400))
    seen = served_folder.ask("look", job, "cutout").data
    assert seen["width"] == 600
    assert not served_folder.ask("tile", job, "cutout", level=0, x=0, y=0, v=seen["version"]).immutable
    assert not served_folder.ask("thumb", job, "cutout", v=seen["version"]).immutable
    served_folder.restart()
    (tmp_path / "out" / "a.jpg.png").write_bytes(png())
    assert served_folder.ask("look", job, "cutout").data["width"] == 2400


def test_a_cutout_that_is_held_back_is_shown_from_review(served_folder: ServedFolder) -> None:
    """In review/."""
    job = served_folder.cut("a.jpg", jpeg(), png(), state=JobState.REVIEW)
    assert served_folder.ask("look", job, "cutout").data["width"] == 2400


def test_an_original_that_was_moved_away_is_found(tmp_path: Path) -> None:
    """By its bytes, among those that had its name; a deleted one is reported as deleted."""
    (tmp_path / "originals").mkdir()
    served_folder = ServedFolder(tmp_path, originals="move", originals_dir=tmp_path / "originals")
    first, second = jpeg(600, 400, "red"), jpeg(800, 600, "blue")
    jobs = []
    for number, source in enumerate((first, second), 1):
        jobs.append(served_folder.cut("a.jpg", source, png(600, 400)))
        job = Reader(served_folder.journal.store).job(jobs[-1])
        assert job is not None
        served_folder.journal.removed_original(job)
        (tmp_path / "in" / "a.jpg").rename(tmp_path / "originals" / f"a{'-2' * (number > 1)}.jpg")
    assert [served_folder.ask("look", job, "source").data["width"] for job in jobs] == [600, 800]
    (tmp_path / "originals" / "a.jpg").unlink()
    assert served_folder.refused("thumb", jobs[0], "source").code == "original_gone"
    assert served_folder.ask("thumb", jobs[1], "source", v="x").immutable is False
    served_folder.close()


def test_an_original_that_was_deleted_is_reported_as_deleted(tmp_path: Path) -> None:
    """As the folder's settings say."""
    served_folder = ServedFolder(tmp_path, originals="delete")
    job = served_folder.cut("a.jpg", jpeg(), png())
    (tmp_path / "in" / "a.jpg").unlink()
    assert served_folder.refused("look", job, "source").code == "original_deleted"
    assert served_folder.ask("look", job, "cutout").data["width"] == 2400
    served_folder.close()


def test_a_picture_that_cannot_be_shown_has_a_reason(served_folder: ServedFolder, tmp_path: Path) -> None:
    """Each reason has a code; the next picture is shown."""
    good = served_folder.cut("good.jpg", jpeg(600, 400), jpeg(600, 400))
    torn = served_folder.cut("torn.jpg", jpeg()[:20_000], None, state=JobState.FAILED)
    assert served_folder.refused("look", good, "matte").code == "no_matte"
    assert served_folder.refused("thumb", good, "matte").code == "no_matte"
    for method in ("look", "thumb", "thumb"):
        refused = served_folder.refused(method, torn, "source")
        assert (refused.code, refused.status) == ("cannot_show", 422)
        assert "ends too early" in refused.text
    assert served_folder.refused("look", torn, "cutout").code == "no_cutout"
    assert served_folder.refused("look", 999, "source").code == "no_job"
    assert served_folder.ask("thumb", good, "source").body
    (tmp_path / "in" / "good.jpg").unlink()
    (tmp_path / "in" / "good.jpg").symlink_to("/etc/hostname")
    served_folder.backend.cache = tmp_path / "another"
    served_folder.restart()
    assert served_folder.refused("thumb", good, "source").code == "cannot_show"
    (tmp_path / "in").rename(tmp_path / "away")
    assert served_folder.refused("thumb", good, "source").code == "folder_away"


@pytest.mark.parametrize("job", [-1, 1.5, True, None, "1x", "", [1], 1 << 80, "9" * 30, "\u0661"])
def test_an_invalid_number_is_refused(served_folder: ServedFolder, job: object) -> None:
    """Before anything is looked up."""
    assert served_folder.refused("look", job, "source").status == 400
    number = served_folder.cut("a.jpg", jpeg(60, 40))
    assert served_folder.refused("tile", number, "source", level=job, x=0, y=0).status == 400
    assert served_folder.refused("look", number, "../source").status == 400


def test_many_at_once_open_a_picture_once(
    served_folder: ServedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a browser requests the tiles of a view."""
    job = served_folder.cut("a.jpg", jpeg(), png())
    reads: list[object] = []
    real = shown_files.read

    def counted(reader: FileReader, shown: ShownFile) -> ReadFile:
        reads.append(shown)
        return real(reader, shown)

    monkeypatch.setattr(shown_files, "read", counted)
    bodies: list[bytes] = []
    threads = [
        threading.Thread(
            target=lambda x=x: bodies.append(served_folder.ask("tile", job, "source", level=0, x=x, y=0).body)
        )
        for x in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(bodies), len(reads)) == (5, 1)


@pytest.mark.parametrize("how", ["hang", "die", "lie", "flood"])
def test_a_worker_that_hangs_dies_or_lies_costs_one_picture(
    served_folder: ServedFolder, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """No worker gets that picture again for a while, and a new worker makes the next."""
    monkeypatch.setattr(pictures, "ANSWER_S", 2.0)
    monkeypatch.setattr(pictures, "BACKGROUND_S", 2.0)
    monkeypatch.setattr(pictures, "COMMAND", (sys.executable, "-c", HANGS))
    bad, good = served_folder.cut("bad.jpg", how.encode()), served_folder.cut("good.jpg", b"good")
    assert served_folder.refused("thumb", bad, "source").code == "cannot_show"
    assert served_folder.refused("look", bad, "source").code == "cannot_show"
    assert served_folder.ask("thumb", good, "source").body == b"RIFFx"


def test_an_idle_worker_of_the_page_is_ended(
    served_folder: ServedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next request starts another one."""
    monkeypatch.setattr(pictures, "IDLE_S", 0.2)
    job = served_folder.cut("a.jpg", jpeg(600, 400), png(600, 400))
    served_folder.ask("thumb", job, "source")
    views = picture_methods.shared(served_folder.backend)
    end_s = time.monotonic() + 60
    while views.pids:
        assert time.monotonic() < end_s
        threading.Event().wait(0.02)
    assert served_folder.ask("thumb", job, "cutout").body


def test_a_share_that_hangs_delays_no_other_folder(served_folder: ServedFolder, tmp_path: Path) -> None:
    """A request for it is answered after seconds, the next one at once; pictures of another folder are served all the while."""
    share = Share(tmp_path)
    share.attach()
    try:
        served_folder.also("far", share.mount)
        names = [f"{number}.jpg" for number in range(6)]
        far = [
            served_folder.cut(name, jpeg(60 + int(name[0]), 40), folder="far", far=share.far)
            for name in names
        ]
        near = served_folder.cut("near.jpg", jpeg(), png())
        assert served_folder.ask("thumb", far[0], "source").body
        share.hang("open,read")
        refused: list[RefusedError] = []
        waiting = [
            threading.Thread(
                target=lambda job=job: refused.append(served_folder.refused("thumb", job, "source"))
            )
            for job in far[1:5]
        ]
        for thread in waiting:
            thread.start()
        for kind in ("source", "cutout"):
            assert served_folder.ask("look", near, kind).data["width"] == 2400
            assert served_folder.ask("tile", near, kind, level=0, x=0, y=0).body
        for thread in waiting:
            thread.join(60)
        assert [one.code for one in refused] == ["share_hangs"] * 4
        started_s = time.monotonic()
        refused.append(served_folder.refused("thumb", far[5], "source"))
        assert time.monotonic() < started_s + shown_files.WAIT_S
        assert (refused[-1].status, refused[-1].named) == (503, {"folder": "far"})
        assert sum(thread.name == "reads" for thread in threading.enumerate()) <= 2 * shown_files.AT_ONCE
        share.heal()
        end_s = time.monotonic() + 60
        while any(thread.name == "reads" for thread in threading.enumerate()):
            assert time.monotonic() < end_s
            threading.Event().wait(0.02)
        assert served_folder.ask("thumb", far[5], "source").body
    finally:
        share.detach()


def test_an_inbox_that_fills_holds_no_more_than_some_connections(
    served_folder: ServedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further small pictures are refused, and large ones are served all the while."""
    monkeypatch.setattr(pictures, "COMMAND", (sys.executable, "-c", HANGS))
    monkeypatch.setattr(pictures, "BACKGROUND_S", 5.0)
    monkeypatch.setattr(pictures, "BACKGROUND_WAIT_S", 0.1)
    jobs = [served_folder.cut(f"{number}.jpg", f"hang{number}".encode()) for number in range(6)]
    refused: list[RefusedError] = []
    threads = [
        threading.Thread(target=lambda job=job: refused.append(served_folder.refused("thumb", job, "source")))
        for job in jobs
    ]
    for thread in threads:
        thread.start()
    good = served_folder.cut("good.jpg", b"good")
    while len(refused) < len(jobs) - 1:
        threading.Event().wait(0.01)
    assert served_folder.ask("look", good, "source").data["width"] == 9
    for thread in threads:
        thread.join()
    assert sorted(one.code for one in refused) == ["busy"] * 5 + ["cannot_show"]


def test_a_page_that_ends_waits_for_no_picture(
    served_folder: ServedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting requests are answered, and no worker is started any more."""
    monkeypatch.setattr(pictures, "COMMAND", (sys.executable, "-c", HANGS))
    jobs = [served_folder.cut(name, name.encode()) for name in ("hang", "good")]
    served_folder.ask("thumb", jobs[1], "source")
    refused: list[RefusedError] = []
    waiting = threading.Thread(
        target=lambda: refused.append(served_folder.refused("thumb", jobs[0], "source"))
    )
    waiting.start()
    views = picture_methods.shared(served_folder.backend)
    while not views.is_busy:
        threading.Event().wait(0.01)
    started_s = time.monotonic()
    views.close()
    waiting.join()
    assert time.monotonic() < started_s + 20
    assert [one.status for one in refused] == [422]
    assert not views.pids
    job = served_folder.cut("other", b"other")
    assert served_folder.refused("thumb", job, "source").code == "busy"


def test_the_workers_are_locked_in_and_few(served_folder: ServedFolder) -> None:
    """At most two, with lower priority than the others, which cannot open files."""
    job = served_folder.cut("a.jpg", jpeg(600, 400), png(600, 400))
    served_folder.ask("thumb", job, "source")
    served_folder.ask("look", job, "cutout")
    views = picture_methods.shared(served_folder.backend)
    assert len(views.pids) == 2
    assert sorted(os.getpriority(os.PRIO_PROCESS, pid) for pid in views.pids) == [
        PoolSettings().nice,
        19,
    ]
    if Path("/proc/self/autogroup").exists():  # where sessions share the cores, theirs step back
        groups = [Path(f"/proc/{pid}/autogroup").read_text() for pid in views.pids]
        assert any("nice 15" in one for one in groups)


def _left_in_small(served_folder: ServedFolder, cutout: bytes) -> CutoutPreview:
    """Return the preview that the worker of a cutout leaves."""
    pixels = np.asarray(Image.open(io.BytesIO(cutout)))
    reduced = ReducedRendition((pixels.shape[1], pixels.shape[0]))
    assert len([*reduced.watched([pixels])]) == 1
    preview = reduced.preview(None)
    store = PreviewStore(served_folder.root / "state", min_free_mb=0)
    draft = store.open_draft("1-a")
    assert draft is not None
    os.write(draft, preview.packed())
    os.close(draft)
    store.keep("1-a", hashlib.sha256(cutout).hexdigest())
    return preview


def test_a_workers_preview_is_shown_without_the_cutout_itself(served_folder: ServedFolder) -> None:
    """At once, in tiles of the coarse levels; the cutout is read for the fine ones only."""
    job = served_folder.cut("a.jpg", jpeg(), png())
    preview = _left_in_small(served_folder, png())
    assert preview.alpha
    (served_folder.root / "out" / "a.jpg.png").rename(served_folder.root / "away.png")
    small = served_folder.ask("thumb", job, "cutout", v=served_folder.seen(job))
    assert (small.body, small.immutable) == (preview.small, True)
    assert picture_methods.shared(served_folder.backend).pids == []  # nothing was decoded
    for kind in ("cutout", "matte"):
        seen = served_folder.ask("look", job, kind).data
        assert (seen["width"], seen["height"], seen["levels"]) == (2400, 1600, 5)
        for level, x, y, size in ((2, 2, 1, (88, 144)), (3, 0, 0, (256, 200)), (4, 0, 0, (150, 100))):
            reply = served_folder.ask("tile", job, kind, level=level, x=x, y=y, v=seen["version"])
            assert (read(reply.body).size, reply.immutable) == (size, True)
        assert read(served_folder.ask("thumb", job, kind).body).size == (320, 213)
        assert served_folder.refused("tile", job, kind, level=2, x=9, y=0).code == "no_such_tile"
        assert served_folder.refused("tile", job, kind, level=1, x=0, y=0).code == "cutout_gone"
    (served_folder.root / "away.png").rename(served_folder.root / "out" / "a.jpg.png")
    assert read(served_folder.ask("tile", job, "cutout", level=1, x=0, y=0).body).size == (256, 256)
    assert read(served_folder.ask("tile", job, "matte", level=0, x=9, y=6).body).size == (96, 64)


def test_a_process_is_ready_before_anything_is_requested(served_folder: ServedFolder) -> None:
    """Its start takes longer than a first tile."""
    served_folder.write("prepare")
    while not (started := picture_methods.shared(served_folder.backend).pids):
        threading.Event().wait(0.02)
    job = served_folder.cut("a.jpg", jpeg(600, 400), png(600, 400))
    assert served_folder.ask("look", job, "cutout").data["width"] == 600
    assert picture_methods.shared(served_folder.backend).pids == started


def test_a_preview_that_is_damaged_costs_itself(served_folder: ServedFolder) -> None:
    """A hostile worker may write such a preview."""
    job = served_folder.cut("a.jpg", jpeg(), png())
    kept = _left_in_small(served_folder, png())
    store = PreviewStore(served_folder.root / "state", min_free_mb=0)
    for wrong in (
        replace(kept, width=240),
        replace(kept, colours=kept.colours[:300]),
        replace(kept, alpha=kept.alpha[:60]),
        replace(kept, level=0),
    ):
        draft = store.open_draft("2-a")
        assert draft is not None
        os.write(draft, wrong.packed())
        os.close(draft)
        store.keep("2-a", served_folder.seen(job))
        error = served_folder.refused("tile", job, "cutout", level=4, x=0, y=0)
        assert error.code in ("cannot_show", "no_such_tile")
        served_folder.restart()
