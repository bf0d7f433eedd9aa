"""Names that the output refuses: each affects its own picture only, which mostly gets a safe form of the name."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.delivery import failures
from cutoutd.errors import StorageError
from cutoutd.jobs import JobState, Version
from cutoutd.journal.commands import ReviewDecision
from cutoutd.journal.reader import Reader
from cutoutd.publish.places import FolderIdentity
from cutoutd.publish.records import Records
from tests.integration.desk import FAILURE, NEW, Desk
from tests.integration.parts import JPEG, NAME
from tests.integration.share import Share
from tests.integration.tools import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.jobs import Job

BAD = [
    "a 10:30.jpg",
    "what?.jpg",
    "CON.jpg",
    "com1.tar.jpg",
    "<b>.jpg",
    'say "hi".jpg',
    "back\\slash.jpg",
    "tab\t.jpg",
]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Share]]:
    """A function that mounts shares that refuse names; they are unmounted with the test."""
    shares: list[Share] = []

    def attach(names: str) -> Share:
        shares.append(Share(tmp_path, f"share-{len(shares)}", names=names))
        shares[-1].attach()
        return shares[-1]

    yield attach
    for share in shares:
        share.detach()


def sidecar_of(desk: Desk, source: str) -> dict[str, Any]:
    """Return the sidecar of a source."""
    for path in desk.folder.output.rglob("*.json"):
        document: dict[str, Any] = json.loads(path.read_bytes())
        if document.get("source", {}).get("path") == source:
            return document
    raise AssertionError(source)


def test_names_that_windows_refuses_are_published_in_a_portable_form(
    mount: Callable[[str], Share], make: Callable[..., Desk]
) -> None:
    """Twenty of them before ten good ones: none waits, and each sidecar has the intended name."""
    desk = make(output=str(mount("windows").mount / "out"))
    bad = [desk.deliver(name, NEW + name.encode()) for name in BAD]
    bad += [desk.deliver(f"12:{number}.jpg", NEW) for number in range(12)]
    good = [desk.deliver(f"good {number}.jpg", NEW) for number in range(10)]
    assert {desk.job(job).state for job in (*bad, *good)} == {JobState.DONE}
    assert desk.delivery.breaker.why == ""
    assert {"a 10_30.png", "what_.png", "CON_.png", "com1_.tar.png", "_b_.png", "back_slash.png"} <= set(
        desk.files()
    )
    document = sidecar_of(desk, "a 10:30.jpg")
    assert document["outputs"][0]["path"] == "a 10_30.png"
    assert any("a 10:30.png" in warning for warning in document["warnings"])
    assert sidecar_of(desk, "good 1.jpg")["warnings"] == []
    assert desk.staged() == []


def test_sources_whose_portable_names_meet_get_a_result_each(
    mount: Callable[[str], Share], make: Callable[..., Desk]
) -> None:
    """By case, by a replaced character, by the end of a directory's name: none replaces another."""
    desk = make(output=str(mount("windows").mount / "out"))
    sources = ["a:b.jpg", "a?b.jpg", "A_B.jpg", "d:/x.jpg", "d?/x.jpg", "D_/X.jpg", "e./x.jpg", "e/x.jpg"]
    jobs = [desk.deliver(source, NEW + source.encode()) for source in sources]
    assert {desk.job(job).state for job in jobs} == {JobState.DONE}
    assert sorted(desk.files().values()) == sorted(NEW + source.encode() for source in sources)


def test_a_later_version_replaces_the_result_that_has_a_portable_name(
    mount: Callable[[str], Share], make: Callable[..., Desk]
) -> None:
    """The result keeps its name, also in the mirrored directory."""
    desk = make(output=str(mount("windows").mount / "out"))
    desk.deliver("10:30/a?.jpg", b"first")
    desk.deliver("10:30/a?.jpg", b"second", source=JPEG * 2)
    assert desk.files() == {"10_30/a_.png": b"second"}


@pytest.mark.parametrize("rule", ["ascii", "short"])
def test_a_name_that_a_disk_refuses_in_its_portable_form_gets_a_safe_one(
    mount: Callable[[str], Share], make: Callable[..., Desk], rule: str
) -> None:
    """Old character sets and disks with short names: letters and digits, with a hash if some were lost."""
    desk = make(output=str(mount(rule).mount / "out"))
    sources = {
        "ascii": [f"\u65e5\u672c/{letter}.jpg" for letter in "\u00e9\u65e5\u672c"],
        "short": [f"{'d' * 150}/{letter * 150}.jpg" for letter in "ab"],
    }[rule]
    jobs = [desk.deliver(source, NEW + source.encode()) for source in sources]
    assert {desk.job(job).state for job in jobs} == {JobState.DONE}
    assert sorted(desk.files().values()) == sorted(NEW + source.encode() for source in sources)


def test_portable_names_are_used_wherever_the_output_is(make: Callable[..., Desk]) -> None:
    """`names = "portable"`: on any disk, also for directories, for results, review and failures."""
    desk = make(names="portable")
    desk.deliver("aux/a 10:30.jpg", NEW)
    desk.deliver("end. /b?.jpg", NEW, review=True)
    job = desk.begin("aux/c|.jpg")
    desk.delivery.fail(job, FAILURE)
    desk.settle()
    assert set(desk.files()) == {"aux_/a 10_30.png", "review/end__/b_.png"}
    (record,) = (desk.folder.output / "failed").rglob("*.json")
    assert record.relative_to(desk.folder.output).as_posix().startswith("failed/aux_/c_.jpg~")
    assert "a 10:30" in sidecar_of(desk, "aux/a 10:30.jpg")["warnings"][0]


def test_a_result_published_under_another_form_is_adopted(
    mount: Callable[[str], Share], make: Callable[..., Desk]
) -> None:
    """A new journal recognises it by its sidecar, and nothing is cut twice."""
    desk = make(output=str(mount("windows").mount / "out"))
    desk.deliver("10:30/a?.jpg", NEW)
    records = Records(
        FolderIdentity(NAME),
        output=desk.folder.output,
        sidecar_dir=None,
        renditions=desk.folder.recipe().renditions,
    )
    assert [(one.path, [result.path for result in one.published]) for one in records] == [
        ("10:30/a?.jpg", ["10_30/a_.png"])
    ]


def test_a_failures_record_whose_name_is_refused_is_left_under_another(
    mount: Callable[[str], Share], make: Callable[..., Desk]
) -> None:
    """The record is removed when the picture is cut at last."""
    desk = make(output=str(mount("windows").mount / "out"))
    job = desk.begin("10:30/a?.jpg")
    desk.delivery.fail(job, FAILURE)
    desk.settle()
    (record,) = (desk.folder.output / "failed").rglob("*.json")
    assert json.loads(record.read_bytes())["source"]["path"] == "10:30/a?.jpg"
    assert desk.folder.output / desk.results[-1].record == record  # as a hook is told
    assert desk.journal.queue.cleanup_pending(NAME) == []
    desk.deliver("10:30/a?.jpg", NEW, source=JPEG * 2)
    assert not record.exists()


def test_a_doubtful_result_with_a_refused_name_is_reviewed_and_accepted(
    mount: Callable[[str], Share], make: Callable[..., Desk]
) -> None:
    """Its name in `review/` and its name afterwards are both safe."""
    desk = make(output=str(mount("windows").mount / "out"))
    job = desk.deliver("10:30/a?.jpg", NEW, review=True)
    assert set(desk.files()) == {"review/10_30/a_.png"}
    decided = desk.journal.review_decisions.decide(job.id, ReviewDecision.ACCEPT)
    assert decided is not None
    desk.delivery.carry_out_decision(decided)
    desk.settle()
    assert set(desk.files()) == {"10_30/a_.png"}


@pytest.mark.parametrize("in_the_way", ["file", "broken-link", "link-in-a-ring"])
def test_a_file_in_place_of_a_mirrored_directory_affects_its_pictures_alone(
    make: Callable[..., Desk], in_the_way: str
) -> None:
    """Those pictures fail with the reason; the folder is not paused."""
    desk = make()
    place = desk.folder.output / "shoot"
    if in_the_way == "file":
        place.write_bytes(b"theirs")
    else:
        place.symlink_to(place if in_the_way == "link-in-a-ring" else "nowhere")
    refused = [desk.deliver(f"shoot/{number}.jpg", NEW) for number in range(3)]
    good = desk.deliver("good.jpg", NEW)
    assert {desk.job(job).state for job in refused} == {JobState.FAILED}
    assert (desk.job(good).state, desk.delivery.breaker.why) == (JobState.DONE, "")
    assert {job.detail["failure"]["code"] for job in map(desk.job, refused)} == {"NameRefused"}


@pytest.mark.parametrize("reserved", ["review", "failed"])
def test_a_file_in_the_place_of_review_or_failed_affects_only_its_own_files(
    make: Callable[..., Desk], reserved: str
) -> None:
    """Doubtful pictures fail; a failure whose record has no place is in the journal."""
    desk = make()
    (desk.folder.output / reserved).write_bytes(b"theirs")
    job = desk.deliver("a.jpg", NEW, review=True) if reserved == "review" else desk.begin("a.jpg")
    if reserved == "failed":
        desk.delivery.fail(job, FAILURE)
        desk.settle()
    good = desk.deliver("good.jpg", NEW)
    assert desk.job(job).state is JobState.FAILED
    assert (desk.job(good).state, desk.delivery.breaker.why) == (JobState.DONE, "")


def test_a_path_that_is_too_long_on_the_output_side_is_shortened_or_fails_alone(
    make: Callable[..., Desk], tmp_path: Path
) -> None:
    """4,096 bytes including the output: shortened where that helps; a record is written where there is room for it."""
    deep = tmp_path / "o" / "/".join(["o" * 200] * 8)
    deep.mkdir(parents=True)
    desk = make(output=str(deep / "out"))
    shortened = _deliver_unseen(desk, "/".join(["i" * 200] * 12) + "/a.jpg")
    refused = _deliver_unseen(desk, "/".join(["i" * 60] * 40) + "/a.jpg")
    good = desk.deliver("good.jpg", NEW)
    assert [desk.job(job).state for job in (shortened, refused, good)] == [
        JobState.DONE,
        JobState.FAILED,
        JobState.DONE,
    ]
    assert desk.delivery.breaker.why == ""
    assert len(list((desk.folder.output / "failed").glob("picture~*.json"))) == 1


def _deliver_unseen(desk: Desk, source: str) -> Job:
    """Deliver a picture that is not on the disk any more."""
    desk.journal.sources.accept(NAME, [Version(path=source, size=len(JPEG), mtime_ns=1)])
    job = next(job for job in Reader(desk.journal.store).jobs() if job.path == source)
    desk.journal.queue.claim(job)
    desk.delivery.deliver(job, desk.cut(job, NEW))
    desk.settle()
    return job


def test_a_directory_that_may_not_be_written_affects_its_pictures_alone(make: Callable[..., Desk]) -> None:
    """An inode flag forbids it, also to root, while plain names work beside it."""
    need("chattr")
    desk = make()
    closed = desk.folder.output / "closed"
    closed.mkdir()
    if subprocess.run(["chattr", "+i", closed], check=False, capture_output=True).returncode:
        pytest.skip("this file system has no such attribute")
    try:
        refused = desk.deliver("closed/a.jpg", NEW)
        good = desk.deliver("good.jpg", NEW)
    finally:
        subprocess.run(["chattr", "-i", closed], check=True)
    assert desk.job(refused).state is JobState.FAILED
    assert (desk.job(good).state, desk.delivery.breaker.why) == (JobState.DONE, "")


def test_a_disk_that_refuses_plain_names_too_is_no_fault_of_a_name(
    mount: Callable[[str], Share], make: Callable[..., Desk]
) -> None:
    """The folder is paused, and the result gets its name when the disk works again."""
    share = mount("windows")
    desk = make(output=str(share.mount / "out"))
    job = desk.begin("a:.jpg")
    cut = desk.cut(job, NEW)
    share.fail(22, "create,rename,mkdir")
    desk.delivery.deliver(job, cut)
    desk.settle()
    assert desk.job(job).state is JobState.RETRY
    assert desk.delivery.breaker.why != ""
    share.heal()
    desk.clock.advance(60)
    desk.journal.queue.queue_due()
    again = desk.deliver("a:.jpg", NEW)
    assert (desk.job(again).state, set(desk.files())) == (JobState.DONE, {"a_.png"})


def test_a_retried_plan_does_not_lengthen_a_folders_pause(make: Callable[..., Desk]) -> None:
    """A plan that is refused again and again: the folder was paused once for it, and goes on after that."""
    desk = make(faults=[StorageError("it does not answer") for _ in range(40)])
    desk.deliver("a.jpg", NEW)
    for _ in range(20):
        desk.clock.advance(StorageError.delay_s + 1)
        desk.poke()
        desk.settle()
    assert not desk.delivery.breaker.is_open


def test_a_result_that_another_program_holds_waits_alone(
    mount: Callable[[str], Share], make: Callable[..., Desk]
) -> None:
    """An image editor on a Windows share keeps it open: EACCES for that file only; the others are published."""
    share = mount("windows")
    desk = make(output=str(share.mount / "out"))
    desk.deliver("a.jpg", b"first")
    share.fail(13, "rename", only="/out/a.png")
    job = desk.begin("a.jpg", JPEG * 2)
    desk.delivery.deliver(job, desk.cut(job, b"second", source=JPEG * 2))
    desk.settle()
    good = desk.deliver("good.jpg", NEW)
    assert (desk.job(job).state, desk.job(good).state) == (JobState.PUBLISHING, JobState.DONE)
    assert desk.delivery.breaker.why == ""
    share.heal()
    desk.clock.advance(11)
    desk.poke()
    desk.settle()
    assert (desk.job(job).state, desk.files()["a.png"]) == (JobState.DONE, b"second")


def test_a_result_that_stays_held_fails_alone_in_the_end(
    mount: Callable[[str], Share], make: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The earlier version stays unchanged, and nothing stays staged."""
    monkeypatch.setattr(failures, "HELD_TRIES", 3)
    share = mount("windows")
    desk = make(output=str(share.mount / "out"))
    desk.deliver("a.jpg", b"first")
    share.fail(13, "rename", only="/out/a.png")
    job = desk.begin("a.jpg", JPEG * 2)
    desk.delivery.deliver(job, desk.cut(job, b"second", source=JPEG * 2))
    for _ in range(4):
        desk.settle()
        desk.clock.advance(11)
        desk.poke()
    desk.settle()
    assert (desk.job(job).state, desk.job(job).detail["failure"]["code"]) == (JobState.FAILED, "TargetHeld")
    assert (desk.files(), desk.staged()) == ({"a.png": b"first"}, [])


def test_good_results_of_a_sub_folder_called_review_are_not_among_the_doubtful_ones(
    make: Callable[..., Desk],
) -> None:
    """Nor those of one named `failed` among the records; a new journal recognises them."""
    desk = make()
    desk.deliver("review/a.jpg", NEW)
    desk.deliver("a.jpg", NEW, review=True)
    desk.deliver("review/b.jpg", NEW, review=True)
    desk.deliver("Failed/c.jpg", NEW)
    assert set(desk.files()) == {"review_/a.png", "review/a.png", "review/review/b.png", "Failed_/c.png"}
    records = Records(
        FolderIdentity(NAME),
        output=desk.folder.output,
        sidecar_dir=None,
        renditions=desk.folder.recipe().renditions,
    )
    assert {one.path: one.review for one in records} == {
        "review/a.jpg": False,
        "a.jpg": True,
        "review/b.jpg": True,
        "Failed/c.jpg": False,
    }


def test_originals_whose_names_are_refused_are_moved_away_under_a_safe_form(
    mount: Callable[[str], Share], make: Callable[..., Desk], tmp_path: Path
) -> None:
    """One for which no form works stays, and those behind it do not wait."""
    kept = mount("windows").mount / "kept"
    desk = make(originals="move", originals_dir=str(kept))
    (kept / "closed").write_bytes(b"theirs")
    for name in ["10:30/a?.jpg", "closed/b.jpg", "c.jpg", "d|.jpg"]:
        desk.deliver(name, NEW, source=JPEG + name.encode())
    put_away = {path.relative_to(kept).as_posix() for path in kept.rglob("*.jpg")}
    assert put_away == {"10_30/a_.jpg", "c.jpg", "d_.jpg"}
    left = {path.relative_to(tmp_path / "in").as_posix() for path in (tmp_path / "in").rglob("*.jpg")}
    assert left == {"closed/b.jpg"}
    assert [job.path for job in desk.journal.queue.cleanup_pending(NAME)] == ["closed/b.jpg"]
