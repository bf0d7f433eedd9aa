"""A journal that does not know the results in a folder's output adopts them, so no picture is cut again."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.clock import Clock
from cutoutd.corrections import Corrected, Correction
from cutoutd.daemon.assembly import publisher_of
from cutoutd.errors import FailureCode, JournalError
from cutoutd.folder import adoption
from cutoutd.folder.adoption import Adoption
from cutoutd.folder.status import FolderState
from cutoutd.fs.tree import Tree
from cutoutd.intake.rules import rules_of
from cutoutd.jobs import Failure, Job, JobState, Version
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.publish.naming import claim_key
from cutoutd.publish.plan import Publication
from cutoutd.publish.rename import rename_new
from cutoutd.publish.verified import PRIVATE, private
from cutoutd.settings.types import Existing
from cutoutd.strokes import Stroke, StrokeKind
from tests.integration.parts import JPEG, NAME, cut_of, digest, folder_in, sidecar_factory, states
from tests.integration.test_folder_monitor import MonitoredFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cutoutd.delivery.sidecar_factory import SidecarFactory
    from cutoutd.settings.schema import Folder

AN_HOUR_S = 3600.0


class Anyone:
    """Claims without competitors."""

    def reserve(self, keys: Sequence[bytes]) -> bool:
        """Reserve any name."""
        return bool(keys)


class EarlierInstallation:
    """A folder with results of an earlier installation, and a journal that does not know them."""

    def __init__(self, root: Path, **given: Any) -> None:  # noqa: ANN401 -- any key of a folder
        self.folder: Folder = folder_in(root, **given)
        for place in (self.folder.output, self.folder.sidecar_dir):
            if place is not None:
                place.mkdir(exist_ok=True)
        self.publisher = publisher_of(self.folder, name=NAME, run="earlier")
        self.publisher.open()
        self.sidecar_factory: SidecarFactory = sidecar_factory(Clock())
        self.clock = Clock()
        self.jobs = 0
        self.journal = Journal(None, session="run-1", clock=self.clock)

    def put(self, name: str, content: bytes = JPEG) -> Job:
        """Add a source, as an earlier journal had it."""
        path = self.folder.input / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        seen = path.stat()
        self.jobs += 1
        return Job(
            id=self.jobs,
            folder=NAME,
            path=name,
            size=seen.st_size,
            mtime_ns=seen.st_mtime_ns,
            state=JobState.WORKING,
            forced=False,
            attempts=0,
            interrupted=0,
            tries=0,
            alone=False,
            accepted_us=self.clock.now_us(),
            not_before_us=0,
            finished_us=None,
            sha256=None,
        )

    def cut(
        self,
        name: str,
        content: bytes = JPEG,
        *,
        review: bool = False,
        age_s: float = 0,
        image_sha256: str | None = None,
        correction: Correction | None = None,
    ) -> Job:
        """Add a source whose results are published."""
        job = self.put(name, content)
        results = [content + str(number).encode() for number in range(len(self.folder.rendition))]
        cut = cut_of(job.id, self.publisher.staging.directory, content, *results, review=review)
        cut = replace(cut, source=replace(cut.source, image_sha256=image_sha256))
        if correction is not None:
            cut = replace(cut, corrected=Corrected(number=correction.number, version=1, changed=True))
        publication = Publication(
            facts=self.sidecar_factory.sidecar_facts(job, cut, correction),
            staged=cut.staged,
            renditions=self.folder.recipe().renditions,
            review=review,
            earlier=(),
        )
        plan = self.publisher.plan(publication, Anyone(), now_us=self.clock.now_us() - int(age_s * 1_000_000))
        self.publisher.carry_out(plan)
        return job

    def fail(self, name: str, code: FailureCode = FailureCode.PICTURE, sha256: str | None = None) -> Job:
        """Add a source that could not be cut, or of which a record claims that."""
        job = replace(self.put(name, b"broken"), sha256=sha256)
        failure = Failure(code=code, title="t", cause="cut short", advice="a", permanent=True)
        self.publisher.failures.publish(self.sidecar_factory.failure_facts(job, failure))
        return job

    def adopt(self, proceeding: Callable[[], bool] = lambda: True) -> None:
        """Adopt the results, as at a folder's first start."""
        taking_over = Adoption(self.folder, rules=rules_of(self.folder), sources=self.journal.sources)
        taking_over.carry_out(proceeding)

    def knows(self, job: Job) -> bool:
        """Return whether this version would not be cut again."""
        return self.journal.sources.is_known(NAME, job.version)

    def row(self, name: str) -> Job:
        """Return the newest version of a source, as the journal has it."""
        return next(job for job in reversed(list(Reader(self.journal.store).jobs())) if job.path == name)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., EarlierInstallation]]:
    """A function that makes shops."""
    created: list[EarlierInstallation] = []

    def build(**given: Any) -> EarlierInstallation:  # noqa: ANN401 -- as of Shop
        created.append(EarlierInstallation(tmp_path, **given))
        return created[-1]

    yield build
    for installation in created:
        installation.journal.close()


@pytest.fixture
def installation(make: Callable[..., EarlierInstallation]) -> EarlierInstallation:
    """A shop whose pictures have one transparent PNG each."""
    return make()


def test_a_picture_with_a_sidecar_is_done_and_owns_its_names(installation: EarlierInstallation) -> None:
    """Results, names and the published hash are as if this journal had recorded them."""
    job = installation.cut("sub/a.jpg")
    installation.adopt()
    assert installation.knows(job)
    row = installation.row("sub/a.jpg")
    assert (row.state, row.sha256, row.detail["outputs"]) == (
        JobState.DONE,
        digest(JPEG),
        [str(installation.folder.output / "sub/a.png")],
    )
    names = installation.journal.reservations
    assert names.published_sha256(NAME, "sub/a.jpg") == digest(JPEG)
    (result,) = names.earlier(NAME, "sub/a.jpg")
    assert (result.path, result.sha256, result.rendition, result.review) == (
        "sub/a.png",
        digest(JPEG + b"0"),
        0,
        False,
    )
    for taken in ("sub/a.png", "sub/a.png.json"):
        key = claim_key(os.path.join(os.path.realpath(installation.folder.output), taken))  # noqa: PTH118 -- a name
        assert not names.reserve(NAME, "sub/another.jpg", [key])
        assert names.reserve(NAME, "sub/a.jpg", [key])


def test_strokes_over_a_cutout_are_adopted_with_it(installation: EarlierInstallation) -> None:
    """It can be undone, and a later cut follows it; what this journal has recorded itself takes precedence."""
    stroke = Stroke(kind=StrokeKind.KEEP, points=((1.0, 2.0), (3.5, 4.0)), radius=5.0)
    drawn = Correction(number=3, sha256=digest(JPEG), strokes=(stroke,), suggestion=1)
    installation.cut("a.jpg", correction=drawn)
    installation.adopt()
    assert installation.journal.corrections.of(installation.row("a.jpg")) == drawn
    installation.adopt()
    assert installation.journal.store.number("SELECT COUNT(*) AS n FROM correction") == 1


def test_every_kind_of_end_is_taken_over(make: Callable[..., EarlierInstallation]) -> None:
    """Done in two renditions, doubtful, rejected; with the sidecars in another folder."""
    installation = make(
        rendition=[{}, {"suffix": "_2"}], sidecar_dir=str(Path(folder_root(make)) / "sidecars")
    )
    jobs = [
        installation.cut("a.jpg"),
        installation.cut("b.jpg", b"\xff\xd8\xffdoubt", review=True),
        installation.fail("c.jpg", FailureCode.REJECTED, digest(b"broken")),
    ]
    installation.adopt()
    assert all(installation.knows(job) for job in jobs)
    assert states(installation.journal) == {
        "a.jpg": JobState.DONE,
        "b.jpg": JobState.REVIEW,
        "c.jpg": JobState.FAILED,
    }
    assert installation.row("c.jpg").detail["failure"]["cause"] == "cut short"
    assert [one.path for one in installation.journal.reservations.earlier(NAME, "a.jpg")] == [
        "a.png",
        "a_2.png",
    ]
    assert [one.review for one in installation.journal.reservations.earlier(NAME, "b.jpg")] == [True, True]
    assert installation.row("c.jpg").sha256 == digest(
        b"broken"
    )  # by which it would be followed to another name
    assert installation.journal.reservations.published_sha256(NAME, "c.jpg") is None


@pytest.mark.parametrize(
    ("code", "sha256"),
    [
        (FailureCode.PICTURE, digest(b"broken")),
        (FailureCode.FAULT, None),
        (FailureCode.REJECTED, None),
        (FailureCode.REJECTED, digest(b"another")),
    ],
)
def test_a_failure_that_this_journal_knows_nothing_of_stops_no_picture(
    installation: EarlierInstallation, code: FailureCode, sha256: str | None
) -> None:
    """Anybody who can write in the output can claim that a picture failed; it is tried once more, and then known."""
    job = installation.fail("a.jpg", code, sha256)
    installation.adopt()
    assert states(installation.journal) == {}
    assert not installation.knows(job)
    assert installation.journal.sources.accept(NAME, [job.version]) == [1]


def test_no_more_is_read_for_records_than_a_bounded_amount(
    installation: EarlierInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand records of large pictures would delay the start; beyond the limit they count as doubtful."""
    monkeypatch.setattr(adoption, "MAX_COMPARED_BYTES", 9)
    for name in ("a.jpg", "b.jpg"):  # of six bytes each
        installation.fail(name, FailureCode.REJECTED, digest(b"broken"))
    installation.adopt()
    assert states(installation.journal) == {"a.jpg": JobState.FAILED}


def folder_root(make: Callable[..., EarlierInstallation]) -> Path:
    """Return the directory of a shop's folders."""
    return make().folder.input.parent


def test_another_version_is_cut_but_the_published_result_is_known(installation: EarlierInstallation) -> None:
    """So a touched file is recognised as unchanged, and a new version replaces the old result."""
    installation.cut("a.jpg")
    path = installation.folder.input / "a.jpg"
    os.utime(path, ns=(1, 1))
    installation.adopt()
    assert states(installation.journal) == {}
    assert not installation.journal.sources.is_known(NAME, Version(path="a.jpg", size=len(JPEG), mtime_ns=1))
    assert installation.journal.reservations.published_sha256(NAME, "a.jpg") == digest(JPEG)
    assert [one.path for one in installation.journal.reservations.earlier(NAME, "a.jpg")] == ["a.png"]


def test_a_source_that_is_gone_keeps_its_name(installation: EarlierInstallation) -> None:
    """As with `originals = "delete"`: if it returns, its result is replaced and not duplicated."""
    installation.cut("a.jpg")
    (installation.folder.input / "a.jpg").unlink()
    installation.adopt()
    assert states(installation.journal) == {}
    assert [one.path for one in installation.journal.reservations.earlier(NAME, "a.jpg")] == ["a.png"]


def test_a_deleted_result_stays_deleted_and_a_retouched_one_a_strangers(
    installation: EarlierInstallation,
) -> None:
    """Only the sidecar counts; the file beside it belongs to its owner."""
    jobs = [installation.cut("a.jpg"), installation.cut("b.jpg")]
    (installation.folder.output / "a.png").unlink()
    (installation.folder.output / "b.png").write_bytes(b"retouched")
    installation.adopt()
    assert all(installation.knows(job) for job in jobs)
    (of_b,) = installation.journal.reservations.earlier(NAME, "b.jpg")
    assert of_b.sha256 != digest(b"retouched")


def test_waiting_jobs_become_done_except_requested_ones_and_those_in_work(
    installation: EarlierInstallation,
) -> None:
    """After a take-over, since the other machine cut it meanwhile."""
    jobs = [installation.cut(f"{n}.jpg") for n in range(4)]
    ids = installation.journal.sources.accept(NAME, [job.version for job in jobs])
    installation.journal.queue.delay(ids[1], 60.0, detail={})
    installation.journal.queue.claim(installation.row("2.jpg"))
    installation.journal.queue.finish(ids[3], JobState.FAILED, detail={})
    assert installation.journal.queue.retry(None) == 1
    installation.adopt()
    assert list(states(installation.journal).values()) == [
        JobState.DONE,
        JobState.DONE,
        JobState.WORKING,
        JobState.QUEUED,
    ]
    assert len(list(Reader(installation.journal.store).jobs())) == 4


def test_an_older_version_that_waits_here_is_gone(installation: EarlierInstallation) -> None:
    """The other machine has cut the newer one."""
    job = installation.cut("a.jpg")
    (old,) = installation.journal.sources.accept(NAME, [replace(job.version, mtime_ns=1)])
    installation.adopt()
    assert [(one.id, one.state) for one in Reader(installation.journal.store).jobs()] == [
        (old, JobState.GONE),
        (old + 1, JobState.DONE),
    ]


def test_a_later_end_in_the_journal_takes_precedence(installation: EarlierInstallation) -> None:
    """A sidecar that somebody copied counts less than the journal."""
    job = installation.cut("a.jpg", age_s=AN_HOUR_S)
    (known,) = installation.journal.sources.accept(NAME, [job.version])
    installation.journal.finish_publishing(
        installation.row("a.jpg"), JobState.DONE, sha256="f" * 64, published=[], detail={}
    )
    installation.adopt()
    assert [one.id for one in Reader(installation.journal.store).jobs()] == [known]
    assert installation.journal.reservations.published_sha256(NAME, "a.jpg") == "f" * 64


@pytest.mark.parametrize("later", ["done", "review"])
def test_of_two_records_the_later_counts(installation: EarlierInstallation, later: str) -> None:
    """Doubtful first and good after a `retry`, or the other way round, in any order of reading."""
    installation.cut("a.jpg", age_s=0 if later == "done" else AN_HOUR_S)
    installation.jobs += 1
    source = (installation.folder.input / "a.jpg").stat().st_mtime_ns
    job = installation.cut("a.jpg", review=True, age_s=0 if later == "review" else AN_HOUR_S)
    os.utime(installation.folder.input / "a.jpg", ns=(source, source))
    # Both speak of the version that is there.
    beside = installation.folder.output / "review/a.png.json"
    document = json.loads(beside.read_text())
    document["source"]["mtime"] = json.loads((installation.folder.output / "a.png.json").read_text())[
        "source"
    ]["mtime"]
    beside.write_text(json.dumps(document))
    installation.adopt()
    assert states(installation.journal) == {"a.jpg": JobState(later)}
    assert not installation.knows(job)
    assert len(installation.journal.reservations.earlier(NAME, "a.jpg")) == 2


def test_adoption_can_be_repeated_and_broken_off(installation: EarlierInstallation) -> None:
    """A share that goes away during the adoption, and a stop."""
    for n in range(3):
        installation.cut(f"{n}.jpg")
    installation.adopt(lambda: False)
    before = list(Reader(installation.journal.store).jobs())
    installation.adopt()
    assert list(Reader(installation.journal.store).jobs()) == before


HOSTILE: dict[str, Any] = {
    "traversal": {"source.path": "../a.jpg"},
    "absolute": {"source.path": "/etc/passwd"},
    "nul": {"source.path": "a\0.jpg"},
    "half a character": {"source.path": "\ud800.jpg"},
    "another folder": {"folder": "another"},
    "another schema": {"schema": "cutoutd.sidecar/2"},
    "no outputs": {"outputs": []},
    "outputs of another kind": {"outputs": {"path": "a.png"}},
    "thousands of outputs": {"outputs": [{"path": f"{n}.png", "sha256": "a" * 64} for n in range(5000)]},
    "no hash": {"source.sha256": "x"},
    "huge size": {"source.bytes": 10**400},
    "infinite size": {"source.bytes": float("inf")},
    "time of another kind": {"source.mtime": 5},
    "source of another kind": {"source": ["a.jpg"]},
}


@pytest.mark.parametrize("lie", HOSTILE)
def test_an_absurd_sidecar_counts_for_nothing(installation: EarlierInstallation, lie: str) -> None:
    """Anybody who can write in the output can write any sidecar; the picture is cut all the same."""
    job = installation.cut("a.jpg")
    path = installation.folder.output / "a.png.json"
    document = json.loads(path.read_text())
    for where, value in HOSTILE[lie].items():
        table, _, key = where.rpartition(".")
        (document[table] if table else document)[key] = value
    path.write_text(json.dumps(document))
    installation.cut("b.jpg")
    installation.adopt()
    assert not installation.knows(job)
    assert states(installation.journal) == {"b.jpg": JobState.DONE}


@pytest.mark.parametrize(
    ("path", "sha256"), [("../../elsewhere.png", "a" * 64), ("b.png", "a" * 64), ("a.png", "A")]
)
def test_a_sidecar_speaks_only_of_names_its_source_could_have(
    installation: EarlierInstallation, path: str, sha256: str
) -> None:
    """Otherwise it could have the result of another picture replaced."""
    job = installation.cut("a.jpg")
    sidecar = installation.folder.output / "a.png.json"
    document = json.loads(sidecar.read_text())
    document["outputs"][0] |= {"path": path, "sha256": sha256}
    sidecar.write_text(json.dumps(document))
    installation.adopt()
    assert installation.knows(job)
    assert installation.journal.reservations.earlier(NAME, "a.jpg") == ()
    assert installation.journal.store.rows("SELECT * FROM reservation") == []


def test_things_that_are_no_sidecars_do_no_harm(installation: EarlierInstallation) -> None:
    """Huge and nested files, a FIFO, a link out of the folder, a directory, an unreadable file."""
    out = installation.folder.output
    job = installation.cut("a.jpg")
    (out / "huge.json").write_bytes(b" " * (2 << 20))
    (out / "deep.json").write_bytes(b"[" * 100_000)
    os.mkfifo(out / "fifo.json")
    (out / "link.json").symlink_to("a.png.json")
    (out / "loop").symlink_to(out)
    (out / "dir.json").mkdir()
    (out / "secret.json").write_bytes(b"{}")
    (out / "secret.json").chmod(0)
    installation.adopt()
    assert installation.knows(job)
    assert states(installation.journal) == {"a.jpg": JobState.DONE}


def test_a_share_that_fails_meanwhile_ends_it_loudly(
    installation: EarlierInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After half an adoption the other half would be cut again: the folder stands by and starts over."""
    installation.cut("a.jpg")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("cutoutd.publish.records.read_sidecar", fail)
    with pytest.raises(OSError, match="Input/output"):
        installation.adopt()


def test_a_monitor_adopts_before_it_accepts(tmp_path: Path) -> None:
    """At the first start of a folder; pictures without a sidecar are accepted as usual."""
    installation = EarlierInstallation(tmp_path)
    installation.cut("a.jpg")
    installation.put("b.jpg")
    watched = MonitoredFolder(tmp_path)
    watched.begin()
    watched.accepts("b.jpg")
    assert states(watched.journal) == {"a.jpg": JobState.DONE, "b.jpg": JobState.QUEUED}
    watched.monitor.stop()
    watched.monitor.thread.join(20.0)
    watched.journal.close()
    installation.journal.close()


def test_an_adoption_that_the_journal_refused_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise pictures that were cut before would be cut again."""
    installation = EarlierInstallation(tmp_path)
    installation.cut("a.jpg")
    installation.put("b.jpg")
    watched = MonitoredFolder(tmp_path, poll_interval_s=0.2)
    real, refusals = watched.journal.sources.adopt, [JournalError("full")]

    def adopt(*given: Any) -> int:  # noqa: ANN401 -- as the journal's own
        if refusals:
            raise refusals.pop()
        return real(*given)

    monkeypatch.setattr(watched.journal.sources, "adopt", adopt)
    watched.begin()
    assert watched.watching is FolderState.PAUSED
    watched.accepts("b.jpg")
    assert states(watched.journal) == {"a.jpg": JobState.DONE, "b.jpg": JobState.QUEUED}
    watched.monitor.stop()
    watched.monitor.thread.join(20.0)
    watched.journal.close()
    installation.journal.close()


def test_after_a_lost_journal_waiting_pictures_do_not_count_as_skipped(tmp_path: Path) -> None:
    """With existing = "skip", the first run of the folder is when the lost journal says, and not now."""
    for name in ("old.jpg", "waiting.jpg"):
        folder_in(tmp_path).input.joinpath(name).write_bytes(JPEG)
    began_us = (tmp_path / "in/old.jpg").stat().st_ctime_ns // 1000 + 1
    os.utime(tmp_path / "in/waiting.jpg", ns=((began_us + 10**6) * 1000,) * 2)
    os.utime(tmp_path / "in/old.jpg", ns=(1, 1))
    began_us = max(began_us, (tmp_path / "in/old.jpg").stat().st_ctime_ns // 1000 + 1)
    watched = MonitoredFolder(tmp_path, existing=Existing.SKIP.value)
    with watched.journal.store.transaction():
        watched.journal.store.write("INSERT INTO fact VALUES (?, ?)", (f"first-run/{NAME}", str(began_us)))
    watched.health.first_run_us = watched.journal.folders.first_run_us(NAME)
    watched.begin()
    watched.accepts("waiting.jpg")
    assert states(watched.journal) == {"old.jpg": JobState.SKIPPED, "waiting.jpg": JobState.QUEUED}
    assert watched.journal.folders.first_run_us(NAME) is None
    row = watched.journal.store.row("SELECT first_run_us FROM folder")
    assert row is not None
    assert row[0] == began_us
    watched.monitor.stop()
    watched.monitor.thread.join(20.0)
    watched.journal.close()


def test_an_original_whose_removal_no_journal_knows_gets_its_name_back(tmp_path: Path) -> None:
    """The machine stopped during the removal, and the journal was lost; another file under that name stays."""
    installation = EarlierInstallation(tmp_path)
    long = "long " * 46 + "name.jpg"
    for name in ("year/a.jpg", "b.jpg", long):
        installation.put(name)
        with Tree(installation.folder.input).entry(name) as entry:
            rename_new(entry, private(entry))
    (installation.folder.input / "b.jpg").write_bytes(b"another")
    adoption = Adoption(
        installation.folder, rules=rules_of(installation.folder), sources=installation.journal.sources
    )
    adoption.carry_out(lambda: True, is_first_start=True)
    found = {
        path.relative_to(installation.folder.input).as_posix(): path.read_bytes()
        for path in installation.folder.input.rglob("*.jpg")
    }
    assert len(found) == 4
    assert found["year/a.jpg"] == found["b-2.jpg"] == JPEG
    assert found["b.jpg"] == b"another"
    assert not [path for path in installation.folder.input.rglob("*") if path.name.startswith(PRIVATE)]


def test_a_picture_that_got_a_rating_before_its_journal_was_lost_is_known_by_its_data(
    installation: EarlierInstallation,
) -> None:
    """Its sidecar has the hash of the former bytes; a worker compares the image data, and does not cut it."""
    image = digest(b"the data alone")
    installation.cut("a.jpg", image_sha256=image)
    rated = installation.put("a.jpg", JPEG + b"rated")
    installation.adopt()
    assert not installation.knows(rated)
    installation.journal.sources.accept(NAME, [rated.version])
    known = installation.journal.reservations.last_published(NAME, "a.jpg")
    assert known is not None
    assert (known.sha256, known.image_sha256) == (digest(JPEG), image)
