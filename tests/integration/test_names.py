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
from tests.integration.delivery_run import FAILURE, NEW, DeliveryRun
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


def sidecar_of(delivery_run: DeliveryRun, source: str) -> dict[str, Any]:
    """Return the sidecar of a source."""
    for path in delivery_run.folder.output.rglob("*.json"):
        document: dict[str, Any] = json.loads(path.read_bytes())
        if document.get("source", {}).get("path") == source:
            return document
    raise AssertionError(source)


def test_names_that_windows_refuses_are_published_in_a_portable_form(
    mount: Callable[[str], Share], make: Callable[..., DeliveryRun]
) -> None:
    """Twenty of them before ten good ones: none waits, and each sidecar has the intended name."""
    delivery_run = make(output=str(mount("windows").mount / "out"))
    bad = [delivery_run.deliver(name, NEW + name.encode()) for name in BAD]
    bad += [delivery_run.deliver(f"12:{number}.jpg", NEW) for number in range(12)]
    good = [delivery_run.deliver(f"good {number}.jpg", NEW) for number in range(10)]
    assert {delivery_run.job(job).state for job in (*bad, *good)} == {JobState.DONE}
    assert delivery_run.delivery.breaker.why == ""
    assert {"a 10_30.png", "what_.png", "CON_.png", "com1_.tar.png", "_b_.png", "back_slash.png"} <= set(
        delivery_run.files()
    )
    document = sidecar_of(delivery_run, "a 10:30.jpg")
    assert document["outputs"][0]["path"] == "a 10_30.png"
    assert any("a 10:30.png" in warning for warning in document["warnings"])
    assert sidecar_of(delivery_run, "good 1.jpg")["warnings"] == []
    assert delivery_run.staged() == []


def test_sources_whose_portable_names_meet_get_a_result_each(
    mount: Callable[[str], Share], make: Callable[..., DeliveryRun]
) -> None:
    """By case, by a replaced character, by the end of a directory's name: none replaces another."""
    delivery_run = make(output=str(mount("windows").mount / "out"))
    sources = ["a:b.jpg", "a?b.jpg", "A_B.jpg", "d:/x.jpg", "d?/x.jpg", "D_/X.jpg", "e./x.jpg", "e/x.jpg"]
    jobs = [delivery_run.deliver(source, NEW + source.encode()) for source in sources]
    assert {delivery_run.job(job).state for job in jobs} == {JobState.DONE}
    assert sorted(delivery_run.files().values()) == sorted(NEW + source.encode() for source in sources)


def test_a_later_version_replaces_the_result_that_has_a_portable_name(
    mount: Callable[[str], Share], make: Callable[..., DeliveryRun]
) -> None:
    """The result keeps its name, also in the mirrored directory."""
    delivery_run = make(output=str(mount("windows").mount / "out"))
    delivery_run.deliver("10:30/a?.jpg", b"first")
    delivery_run.deliver("10:30/a?.jpg", b"second", source=JPEG * 2)
    assert delivery_run.files() == {"10_30/a_.png": b"second"}


@pytest.mark.parametrize("rule", ["ascii", "short"])
def test_a_name_that_a_disk_refuses_in_its_portable_form_gets_a_safe_one(
    mount: Callable[[str], Share], make: Callable[..., DeliveryRun], rule: str
) -> None:
    """Old character sets and disks with short names: letters and digits, with a hash if some were lost."""
    delivery_run = make(output=str(mount(rule).mount / "out"))
    sources = {
        "ascii": [f"\u65e5\u672c/{letter}.jpg" for letter in "\u00e9\u65e5\u672c"],
        "short": [f"{'d' * 150}/{letter * 150}.jpg" for letter in "ab"],
    }[rule]
    jobs = [delivery_run.deliver(source, NEW + source.encode()) for source in sources]
    assert {delivery_run.job(job).state for job in jobs} == {JobState.DONE}
    assert sorted(delivery_run.files().values()) == sorted(NEW + source.encode() for source in sources)


def test_portable_names_are_used_wherever_the_output_is(make: Callable[..., DeliveryRun]) -> None:
    """`names = "portable"`: on any disk, also for directories, for results, review and failures."""
    delivery_run = make(names="portable")
    delivery_run.deliver("aux/a 10:30.jpg", NEW)
    delivery_run.deliver("end. /b?.jpg", NEW, review=True)
    job = delivery_run.begin("aux/c|.jpg")
    delivery_run.delivery.fail(job, FAILURE)
    delivery_run.settle()
    assert set(delivery_run.files()) == {"aux_/a 10_30.png", "review/end__/b_.png"}
    (record,) = (delivery_run.folder.output / "failed").rglob("*.json")
    assert record.relative_to(delivery_run.folder.output).as_posix().startswith("failed/aux_/c_.jpg~")
    assert "a 10:30" in sidecar_of(delivery_run, "aux/a 10:30.jpg")["warnings"][0]


def test_a_result_published_under_another_form_is_adopted(
    mount: Callable[[str], Share], make: Callable[..., DeliveryRun]
) -> None:
    """A new journal recognises it by its sidecar, and nothing is cut twice."""
    delivery_run = make(output=str(mount("windows").mount / "out"))
    delivery_run.deliver("10:30/a?.jpg", NEW)
    records = Records(
        FolderIdentity(NAME),
        output=delivery_run.folder.output,
        sidecar_dir=None,
        renditions=delivery_run.folder.recipe().renditions,
    )
    assert [(one.path, [result.path for result in one.published]) for one in records] == [
        ("10:30/a?.jpg", ["10_30/a_.png"])
    ]


def test_a_failures_record_whose_name_is_refused_is_left_under_another(
    mount: Callable[[str], Share], make: Callable[..., DeliveryRun]
) -> None:
    """The record is removed when the picture is cut at last."""
    delivery_run = make(output=str(mount("windows").mount / "out"))
    job = delivery_run.begin("10:30/a?.jpg")
    delivery_run.delivery.fail(job, FAILURE)
    delivery_run.settle()
    (record,) = (delivery_run.folder.output / "failed").rglob("*.json")
    assert json.loads(record.read_bytes())["source"]["path"] == "10:30/a?.jpg"
    assert delivery_run.folder.output / delivery_run.results[-1].record == record  # as a hook is told
    assert delivery_run.journal.queue.cleanup_pending(NAME) == []
    delivery_run.deliver("10:30/a?.jpg", NEW, source=JPEG * 2)
    assert not record.exists()


def test_a_doubtful_result_with_a_refused_name_is_reviewed_and_accepted(
    mount: Callable[[str], Share], make: Callable[..., DeliveryRun]
) -> None:
    """Its name in `review/` and its name afterwards are both safe."""
    delivery_run = make(output=str(mount("windows").mount / "out"))
    job = delivery_run.deliver("10:30/a?.jpg", NEW, review=True)
    assert set(delivery_run.files()) == {"review/10_30/a_.png"}
    decided = delivery_run.journal.review_decisions.decide(job.id, ReviewDecision.ACCEPT)
    assert decided is not None
    delivery_run.delivery.carry_out_decision(decided)
    delivery_run.settle()
    assert set(delivery_run.files()) == {"10_30/a_.png"}


@pytest.mark.parametrize("in_the_way", ["file", "broken-link", "link-in-a-ring"])
def test_a_file_in_place_of_a_mirrored_directory_affects_its_pictures_alone(
    make: Callable[..., DeliveryRun], in_the_way: str
) -> None:
    """Those pictures fail with the reason; the folder is not paused."""
    delivery_run = make()
    place = delivery_run.folder.output / "shoot"
    if in_the_way == "file":
        place.write_bytes(b"theirs")
    else:
        place.symlink_to(place if in_the_way == "link-in-a-ring" else "nowhere")
    refused = [delivery_run.deliver(f"shoot/{number}.jpg", NEW) for number in range(3)]
    good = delivery_run.deliver("good.jpg", NEW)
    assert {delivery_run.job(job).state for job in refused} == {JobState.FAILED}
    assert (delivery_run.job(good).state, delivery_run.delivery.breaker.why) == (JobState.DONE, "")
    assert {job.detail["failure"]["code"] for job in map(delivery_run.job, refused)} == {"NameRefused"}


@pytest.mark.parametrize("reserved", ["review", "failed"])
def test_a_file_in_the_place_of_review_or_failed_affects_only_its_own_files(
    make: Callable[..., DeliveryRun], reserved: str
) -> None:
    """Doubtful pictures fail; a failure whose record has no place is in the journal."""
    delivery_run = make()
    (delivery_run.folder.output / reserved).write_bytes(b"theirs")
    job = (
        delivery_run.deliver("a.jpg", NEW, review=True)
        if reserved == "review"
        else delivery_run.begin("a.jpg")
    )
    if reserved == "failed":
        delivery_run.delivery.fail(job, FAILURE)
        delivery_run.settle()
    good = delivery_run.deliver("good.jpg", NEW)
    assert delivery_run.job(job).state is JobState.FAILED
    assert (delivery_run.job(good).state, delivery_run.delivery.breaker.why) == (JobState.DONE, "")


def test_a_path_that_is_too_long_on_the_output_side_is_shortened_or_fails_alone(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """4,096 bytes including the output: shortened where that helps; a record is written where there is room for it."""
    deep = tmp_path / "o" / "/".join(["o" * 200] * 8)
    deep.mkdir(parents=True)
    delivery_run = make(output=str(deep / "out"))
    shortened = _deliver_unseen(delivery_run, "/".join(["i" * 200] * 12) + "/a.jpg")
    refused = _deliver_unseen(delivery_run, "/".join(["i" * 60] * 40) + "/a.jpg")
    good = delivery_run.deliver("good.jpg", NEW)
    assert [delivery_run.job(job).state for job in (shortened, refused, good)] == [
        JobState.DONE,
        JobState.FAILED,
        JobState.DONE,
    ]
    assert delivery_run.delivery.breaker.why == ""
    assert len(list((delivery_run.folder.output / "failed").glob("picture~*.json"))) == 1


def _deliver_unseen(delivery_run: DeliveryRun, source: str) -> Job:
    """Deliver a picture that is not on the disk any more."""
    delivery_run.journal.sources.accept(NAME, [Version(path=source, size=len(JPEG), mtime_ns=1)])
    job = next(job for job in Reader(delivery_run.journal.store).jobs() if job.path == source)
    delivery_run.journal.queue.claim(job)
    delivery_run.delivery.deliver(job, delivery_run.cut(job, NEW))
    delivery_run.settle()
    return job


def test_a_directory_that_may_not_be_written_affects_its_pictures_alone(
    make: Callable[..., DeliveryRun],
) -> None:
    """An inode flag forbids it, also to root, while plain names work beside it."""
    need("chattr")
    delivery_run = make()
    closed = delivery_run.folder.output / "closed"
    closed.mkdir()
    if subprocess.run(["chattr", "+i", closed], check=False, capture_output=True).returncode:
        pytest.skip("this file system has no such attribute")
    try:
        refused = delivery_run.deliver("closed/a.jpg", NEW)
        good = delivery_run.deliver("good.jpg", NEW)
    finally:
        subprocess.run(["chattr", "-i", closed], check=True)
    assert delivery_run.job(refused).state is JobState.FAILED
    assert (delivery_run.job(good).state, delivery_run.delivery.breaker.why) == (JobState.DONE, "")


def test_a_disk_that_refuses_plain_names_too_is_no_fault_of_a_name(
    mount: Callable[[str], Share], make: Callable[..., DeliveryRun]
) -> None:
    """The folder is paused, and the result gets its name when the disk works again."""
    share = mount("windows")
    delivery_run = make(output=str(share.mount / "out"))
    job = delivery_run.begin("a:.jpg")
    cut = delivery_run.cut(job, NEW)
    share.fail(22, "create,rename,mkdir")
    delivery_run.delivery.deliver(job, cut)
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.RETRY
    assert delivery_run.delivery.breaker.why != ""
    share.heal()
    delivery_run.clock.advance(60)
    delivery_run.journal.queue.queue_due()
    again = delivery_run.deliver("a:.jpg", NEW)
    assert (delivery_run.job(again).state, set(delivery_run.files())) == (JobState.DONE, {"a_.png"})


def test_a_retried_plan_does_not_lengthen_a_folders_pause(make: Callable[..., DeliveryRun]) -> None:
    """A plan that is refused again and again: the folder was paused once for it, and goes on after that."""
    delivery_run = make(faults=[StorageError("it does not answer") for _ in range(40)])
    delivery_run.deliver("a.jpg", NEW)
    for _ in range(20):
        delivery_run.clock.advance(StorageError.delay_s + 1)
        delivery_run.poke()
        delivery_run.settle()
    assert not delivery_run.delivery.breaker.is_open


def test_a_result_that_another_program_holds_waits_alone(
    mount: Callable[[str], Share], make: Callable[..., DeliveryRun]
) -> None:
    """An image editor on a Windows share keeps it open: EACCES for that file only; the others are published."""
    share = mount("windows")
    delivery_run = make(output=str(share.mount / "out"))
    delivery_run.deliver("a.jpg", b"first")
    share.fail(13, "rename", only="/out/a.png")
    job = delivery_run.begin("a.jpg", JPEG * 2)
    delivery_run.delivery.deliver(job, delivery_run.cut(job, b"second", source=JPEG * 2))
    delivery_run.settle()
    good = delivery_run.deliver("good.jpg", NEW)
    assert (delivery_run.job(job).state, delivery_run.job(good).state) == (JobState.PUBLISHING, JobState.DONE)
    assert delivery_run.delivery.breaker.why == ""
    share.heal()
    delivery_run.clock.advance(11)
    delivery_run.poke()
    delivery_run.settle()
    assert (delivery_run.job(job).state, delivery_run.files()["a.png"]) == (JobState.DONE, b"second")


def test_a_result_that_stays_held_fails_alone_in_the_end(
    mount: Callable[[str], Share], make: Callable[..., DeliveryRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The earlier version stays unchanged, and nothing stays staged."""
    monkeypatch.setattr(failures, "HELD_TRIES", 3)
    share = mount("windows")
    delivery_run = make(output=str(share.mount / "out"))
    delivery_run.deliver("a.jpg", b"first")
    share.fail(13, "rename", only="/out/a.png")
    job = delivery_run.begin("a.jpg", JPEG * 2)
    delivery_run.delivery.deliver(job, delivery_run.cut(job, b"second", source=JPEG * 2))
    for _ in range(4):
        delivery_run.settle()
        delivery_run.clock.advance(11)
        delivery_run.poke()
    delivery_run.settle()
    assert (delivery_run.job(job).state, delivery_run.job(job).detail["failure"]["code"]) == (
        JobState.FAILED,
        "TargetHeld",
    )
    assert (delivery_run.files(), delivery_run.staged()) == ({"a.png": b"first"}, [])


def test_good_results_of_a_sub_folder_called_review_are_not_among_the_doubtful_ones(
    make: Callable[..., DeliveryRun],
) -> None:
    """Nor those of one named `failed` among the records; a new journal recognises them."""
    delivery_run = make()
    delivery_run.deliver("review/a.jpg", NEW)
    delivery_run.deliver("a.jpg", NEW, review=True)
    delivery_run.deliver("review/b.jpg", NEW, review=True)
    delivery_run.deliver("Failed/c.jpg", NEW)
    assert set(delivery_run.files()) == {
        "review_/a.png",
        "review/a.png",
        "review/review/b.png",
        "Failed_/c.png",
    }
    records = Records(
        FolderIdentity(NAME),
        output=delivery_run.folder.output,
        sidecar_dir=None,
        renditions=delivery_run.folder.recipe().renditions,
    )
    assert {one.path: one.review for one in records} == {
        "review/a.jpg": False,
        "a.jpg": True,
        "review/b.jpg": True,
        "Failed/c.jpg": False,
    }


def test_originals_whose_names_are_refused_are_moved_away_under_a_safe_form(
    mount: Callable[[str], Share], make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """One for which no form works stays, and those behind it do not wait."""
    kept = mount("windows").mount / "kept"
    delivery_run = make(originals="move", originals_dir=str(kept))
    (kept / "closed").write_bytes(b"theirs")
    for name in ["10:30/a?.jpg", "closed/b.jpg", "c.jpg", "d|.jpg"]:
        delivery_run.deliver(name, NEW, source=JPEG + name.encode())
    put_away = {path.relative_to(kept).as_posix() for path in kept.rglob("*.jpg")}
    assert put_away == {"10_30/a_.jpg", "c.jpg", "d_.jpg"}
    left = {path.relative_to(tmp_path / "in").as_posix() for path in (tmp_path / "in").rglob("*.jpg")}
    assert left == {"closed/b.jpg"}
    assert [job.path for job in delivery_run.journal.queue.cleanup_pending(NAME)] == ["closed/b.jpg"]
