"""The decisions of the hosted route, with a real journal, outbox and inbox: where one route fails, the other may be used."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import FailureCode, OutboxError
from cutoutd.exchange import spool
from cutoutd.exchange.spool import Request, UploadOutcome, UploadReply
from cutoutd.jobs import Exported, Failure, JobState
from cutoutd.journal.uploads import uploaded
from cutoutd.offload import spool_files
from cutoutd.offload.routing import RoutePlan
from tests.integration.delivery_run import Power
from tests.integration.offloading import FACTS, coordinator_of, folder_of, folders_of, outbox_of
from tests.integration.parts import NAME, until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.daemon.offload_coordinator import Coordinator
    from cutoutd.folder.hot_folder import HotFolder
    from tests.integration.supervisor_run import SupervisorRun


def begun(
    supervisor_run: SupervisorRun, folders: Mapping[str, HotFolder] = MappingProxyType({})
) -> Coordinator:
    """Return a coordinator at work."""
    created = coordinator_of(supervisor_run, outbox_of(supervisor_run))
    created.begin(folders)
    return created


def failure(code: FailureCode) -> Failure:
    """Return a permanent failure."""
    return Failure(code=code, title="t", cause="it does not run", advice="a", permanent=True)


@pytest.mark.parametrize(
    ("route", "code", "falls_back"),
    [
        ("local-then-hosted", FailureCode.INFERENCE, True),
        ("local-then-hosted", FailureCode.PICTURE, False),
        ("hosted", FailureCode.INFERENCE, False),
        ("local", FailureCode.INFERENCE, False),
    ],
)
def test_a_model_that_does_not_run_here_sends_the_picture_on(
    supervisor_run: SupervisorRun,
    route: str,
    code: FailureCode,
    falls_back: bool,  # noqa: FBT001 -- a case
) -> None:
    """With the reason; a damaged picture is damaged everywhere, and an untagged one is not sent."""
    (number,) = supervisor_run.accept("a.jpg")
    coordinator = begun(supervisor_run)
    hot = folder_of(supervisor_run, route=route)
    assert coordinator.falls_back(supervisor_run.job(number), hot, failure(code)) is falls_back
    plan = RoutePlan.of(supervisor_run.job(number).detail)
    assert ("does not run" in plan.why) is falls_back


def test_a_reply_that_is_no_matte_leaves_the_local_result(supervisor_run: SupervisorRun) -> None:
    """The record of what was sent is kept."""
    (number,) = supervisor_run.accept("a.jpg")
    coordinator = begun(supervisor_run)
    reply = {
        "id": "0" * 32, "outcome": "ok", "body": "alpha", "file": f"{'0' * 32}.body", "bytes": 9,
        "provider": "removebg", "host": "h", "sha256": "a" * 64, "at": "", "credits": 1.0,
        "repeated": False, "cause": "", "advice": "",
    }  # fmt: skip
    supervisor_run.journal.queue.plan(number, {"reply": reply, "why": "its score"})
    hot = folder_of(supervisor_run, route="local-then-hosted")
    assert coordinator.falls_back(supervisor_run.job(number), hot, failure(FailureCode.REPLY))
    plan = RoutePlan.of(supervisor_run.job(number).detail)
    assert plan.reply is None
    assert plan.settled == "it does not run"
    assert plan.egress is not None
    assert plan.egress["bytes"] == 9


def test_an_answer_in_the_same_tick_of_the_file_system_s_clock_is_not_missed(
    supervisor_run: SupervisorRun, tmp_path: Path
) -> None:
    """The time of a directory has a resolution of some milliseconds, in which two answers may arrive."""
    first, second = supervisor_run.accept("a.jpg", "b.jpg")
    outbox = outbox_of(supervisor_run)
    ids = []
    for number in (first, second):
        ids.append(str(number) * 32)
        supervisor_run.journal.queue.upload(number, {"parcel": ids[-1]})
        spool.write_message(outbox.paths.inbox, UploadReply(id=ids[-1], outcome=UploadOutcome.WITHDRAWN))
    outbox.reconcile(supervisor_run.journal.queue.uploading(), [])
    hidden = tmp_path / "hidden"
    (outbox.paths.inbox / f"{ids[1]}.json").rename(hidden)
    now_ns = supervisor_run.clock.now_us() * 1000
    os.utime(outbox.paths.inbox, ns=(now_ns, now_ns))
    assert [job.id for job, _ in outbox.answers()] == [first]
    hidden.rename(outbox.paths.inbox / f"{ids[1]}.json")
    os.utime(outbox.paths.inbox, ns=(now_ns, now_ns))
    assert second in [job.id for job, _ in outbox.answers()]


def test_a_reply_that_causes_an_internal_error_delays_no_other(
    supervisor_run: SupervisorRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its own job fails, although it is the first one in every poll."""
    first, second = supervisor_run.accept("a.jpg", "b.jpg")
    outbox = outbox_of(supervisor_run)
    for number in (first, second):
        supervisor_run.journal.queue.upload(number, {"parcel": str(number) * 32})
        spool.write_message(
            outbox.paths.inbox, UploadReply(id=str(number) * 32, outcome=UploadOutcome.WITHDRAWN, bytes=1)
        )
    coordinator = coordinator_of(supervisor_run, outbox)
    folders = folders_of(supervisor_run)
    coordinator.begin(folders)

    def note(_: object, message: str, *_args: object, **_named: object) -> None:
        if message == str(first) * 32:
            raise ZeroDivisionError

    monkeypatch.setattr("cutoutd.daemon.offload_coordinator.note_upload", note)
    coordinator.poll(folders)
    assert supervisor_run.job(second).state is JobState.QUEUED
    until(lambda: supervisor_run.job(first).state is JobState.FAILED, "the failure")
    assert not list(outbox.paths.inbox.iterdir())


def test_an_upload_is_counted_once_though_each_run_is_killed_before_its_job_is_written_down(
    supervisor_run: SupervisorRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, replies that were read again in another order were counted twice, and the ledger seemed to lack some."""
    folders = folders_of(supervisor_run)
    numbers = supervisor_run.accept("a.jpg", "b.jpg", "c.jpg")
    ids = [str(number) * 32 for number in numbers]
    paths = spool.SpoolPaths.under(supervisor_run.root)
    paths.make()
    for number, id_ in zip(numbers, ids, strict=True):
        supervisor_run.journal.queue.upload(number, {"parcel": id_})
        # As an uploader that has not answered it yet.
        spool.write_message(paths.outbox, request_for(id_, number))

    def run(*, killed: bool) -> None:
        coordinator = begun(supervisor_run, folders)
        with monkeypatch.context() as patch:
            if killed:
                patch.setattr(type(supervisor_run.journal.queue), "plan", powerless)
            with suppress(Power):
                coordinator.poll(folders)

    for id_ in reversed(ids):  # the ids are taken in the order of their names, so each new one comes first
        spool.write_message(paths.inbox, reply_of(id_))
        run(killed=True)
    run(killed=False)
    assert [supervisor_run.job(number).state for number in numbers] == [JobState.QUEUED] * 3
    found = uploaded(supervisor_run.journal.store)
    assert found is not None
    assert (found.count, found.credits) == (3, {NAME: 3.0})


def powerless(*_: object) -> None:
    """Lose the power before the journal has the next state of the job."""
    raise Power


def request_for(id_: str, job: int) -> Request:
    """Return a request for a copy of which only the size matters."""
    digest = "0" * 64
    return Request(
        id=id_, folder=NAME, job=job, why="", file=f"{id_}.jpg", bytes=9, sha256=digest,
        width=1, height=1, source_sha256=digest,
    )  # fmt: skip


def reply_of(id_: str) -> UploadReply:
    """Return the reply to a copy that was sent, and withdrawn too late."""
    return UploadReply(
        id=id_, outcome=UploadOutcome.WITHDRAWN, bytes=9, at="2026-11-29T00:00:00.000Z", counted=1.0
    )


def test_an_obstacle_in_a_box_holds_up_no_other_picture(supervisor_run: SupervisorRun) -> None:
    """Before, a directory in the inbox kept the daemon with all its folders from starting."""
    (number,) = supervisor_run.accept("a.jpg")
    outbox = outbox_of(supervisor_run)
    supervisor_run.journal.queue.upload(number, {"parcel": "1" * 32})
    (outbox.paths.inbox / f"{'1' * 32}.json").mkdir()
    (outbox.paths.inbox / "stray" / "deep").mkdir(parents=True)
    (outbox.paths.outbox / f"{'2' * 32}.json").mkdir()
    coordinator = coordinator_of(supervisor_run, outbox)
    folders = folders_of(supervisor_run)
    coordinator.begin(folders)
    coordinator.poll(folders)
    assert supervisor_run.job(number).state is JobState.UNKNOWN
    assert not list(outbox.paths.inbox.iterdir())
    assert not list(outbox.paths.outbox.iterdir())


def test_an_endless_inbox_of_the_uploader_holds_up_no_folder(supervisor_run: SupervisorRun) -> None:
    """The awaited answer is taken, some of the rest is removed in each poll, and the route is closed meanwhile."""
    (number,) = supervisor_run.accept("a.jpg")
    outbox = outbox_of(supervisor_run)
    supervisor_run.journal.queue.upload(number, {"parcel": "f" * 32})
    spool.write_message(outbox.paths.inbox, UploadReply(id="f" * 32, outcome=UploadOutcome.WITHDRAWN))
    coordinator = coordinator_of(supervisor_run, outbox)
    folders = folders_of(supervisor_run)
    coordinator.begin(folders)
    left = 2 * spool_files.MAX_NAMES
    for stray in range(left):
        (outbox.paths.inbox / f"{stray:032x}.json").touch()
    coordinator.poll(folders)
    assert supervisor_run.job(number).state is JobState.QUEUED
    looks = 0
    while left and looks < 100:
        coordinator.poll(folders)
        still = len(list(outbox.paths.inbox.iterdir()))
        assert left - still <= 2 * spool_files.REMOVALS
        if still > spool_files.MAX_NAMES:
            assert "holds files that belong to no request" in outbox.closed
        left, looks = still, looks + 1
    assert spool_files.MAX_NAMES // spool_files.REMOVALS < looks < 100
    supervisor_run.clock.advance(60.0)
    coordinator.poll(folders)
    assert "holds files" not in outbox.closed


def test_a_run_begins_beside_an_inbox_without_end(supervisor_run: SupervisorRun) -> None:
    """The inbox is emptied in portions, and the route is closed until then."""
    (number,) = supervisor_run.accept("a.jpg")
    outbox = outbox_of(supervisor_run)
    supervisor_run.journal.queue.upload(number, {"parcel": "f" * 32})
    spool.write_message(outbox.paths.inbox, UploadReply(id="f" * 32, outcome=UploadOutcome.WITHDRAWN))
    for stray in range(spool_files.REMOVALS + 1):
        (outbox.paths.inbox / f"{stray:032x}.body").touch()
    coordinator = coordinator_of(supervisor_run, outbox)
    folders = folders_of(supervisor_run)
    with pytest.raises(OutboxError, match="being removed"):
        coordinator.begin(folders)
    coordinator.begin(folders)
    assert [path.name for path in outbox.paths.inbox.iterdir()] == [f"{'f' * 32}.json"]


def test_a_place_of_the_hosted_route_that_is_none_closes_it_and_nothing_else(
    supervisor_run: SupervisorRun,
) -> None:
    """Before, this error was taken for one of the journal, and the whole daemon waited for it, folder by folder."""
    (number,) = supervisor_run.accept("a.jpg")
    coordinator = begun(supervisor_run)
    outbox = coordinator._outbox  # noqa: SLF001 -- the one it was made with
    assert outbox is not None
    supervisor_run.journal.queue.upload(number, {"parcel": "1" * 32})
    export = outbox.export(supervisor_run.job(number))
    content = b"a copy"
    Path(export.file).write_bytes(content)
    shutil.rmtree(outbox.paths.outbox)
    outbox.paths.outbox.touch()
    copy = Exported(
        bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), width=1, height=1, source=FACTS
    )
    assert coordinator.exported(supervisor_run.job(number), copy)
    assert supervisor_run.job(number).state is JobState.QUEUED
    hot = folder_of(supervisor_run)
    coordinator.poll({})
    assert coordinator.blocked_folders({NAME: hot}) == {NAME}
    assert "outbox refuses" in outbox.closed
    with pytest.raises(OutboxError):
        coordinator.begin({})
