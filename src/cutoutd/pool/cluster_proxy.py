"""A proxy of a worker on another machine: to the pool it is a worker, and it passes pictures on by the exchange directory of the cluster.

Started by `cutoutd.pool.slot` as ``python -P -m cutoutd.pool.cluster_proxy STATE/cluster``. So a slot of a cluster is a slot
of this machine, with its deadlines, its end and its checks. What comes back is checked as a worker's words are, and its
bytes against the report, before one of them is written to where results are staged. It must not touch the network, decode
a picture, or open a file outside of the exchange directory; from `confine_proxy` on, the kernel sees to that.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError, FailureCode, from_os_error
from cutoutd.exchange import cluster_spool, messages
from cutoutd.exchange.cluster_spool import PROVIDER, ClusterPaths, ClusterReply, ClusterRequest, ReplyKind
from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.failure import failure_of
from cutoutd.jobs import Cut, Failure, Moved, NeedsRoom, Unchanged, answers
from cutoutd.pipeline import source_file
from cutoutd.pool import wire
from cutoutd.pool.report_checks import AssignedTask
from cutoutd.process import channel
from cutoutd.protocols import Files, Step, WorkerFacts
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.writing import write_opened
from cutoutd.sandbox.confinement import confine_proxy
from cutoutd.sandbox.limits import die_with_parent
from cutoutd.task_route import RemoteFacts, Returned

if TYPE_CHECKING:
    from typing import BinaryIO

    from cutoutd.jobs import Report, Task

LOOK_S: Final = 0.04
"""Between two looks for a reply: a picture takes ten times as long at least, and many proxies wait at the same time."""

FILE_BYTES: Final = 8 << 30
"""The greatest size of a file in the exchange directory."""

TITLE: Final = "The cluster did not cut it"
ADVICE: Final = 'The original is untouched. `cutoutd cluster status` says how the machines are; route = "cluster-then-local" cuts here what they cannot.'
_DELAY_S: Final = 30.0


class UnusableReplyError(ValueError):
    """What came back cannot be true."""


class LostElsewhereError(Exception):
    """The worker on the other machine died over the picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proxy:
    """One proxy, locked in.

    Attributes:
        paths: the exchange directory.
        owner: whose requests it makes.
        setup: as the supervisor told it.
        reports: where it tells of a task.
    """

    paths: ClusterPaths
    owner: str
    setup: wire.Setup
    reports: BinaryIO

    def carry_out(self, task: Task, files: Files) -> Report:
        """Have another machine carry out a task.

        Raises:
            LostElsewhereError: its worker there died over it.
        """
        try:
            return self._carry_out(task, files)
        except CutoutdError as error:
            return failure_of(error)
        except UnusableReplyError as error:
            return _failed(f"what came back cannot be used: {error}", permanent=False)
        except OSError as error:
            return failure_of(from_os_error(error, None))

    def _carry_out(self, task: Task, files: Files) -> Report:
        started_s = time.monotonic()
        assert task.cluster is not None  # noqa: S101 -- the pool gives proxies no others
        data = source_file.read(
            task, files.source, self.setup.max_file_bytes, lambda step: self.tell(task, step)
        )
        sha256 = hashlib.sha256(data).hexdigest()
        # What needs no cutting need not leave this machine.
        if sha256 == task.published_sha256:
            return Unchanged(sha256=sha256)
        if task.asks_sha256 or sha256 in task.moved_sha256s:
            return Moved(sha256=sha256)
        self.tell(task, Step.CUT)
        request = self._ask(task, files, data, sha256)
        reply = self._answer(request, falls_back=task.cluster.falls_back)
        if reply is None:
            return Returned(why="the cluster has been away for too long")
        try:
            return self._accept_reply(task, files, request, reply, started_s)
        finally:
            cluster_spool.remove_message(self.paths.inbox, request.id)

    def _ask(self, task: Task, files: Files, data: bytes, sha256: str) -> ClusterRequest:
        """Put a picture into the outbox, with all that its worker takes."""
        models = {model.name: model.sha256 for model in self.setup.models}
        # Where it lies here is nobody's business there.
        sent = replace(
            task, source=Path(task.source).name, staging="", cluster=None, tagged=False, mtime_ns=0
        )
        numbered = Files(
            source=0,
            results=tuple(range(1, 1 + len(files.results))),
            backgrounds=tuple(range(100, 100 + len(files.backgrounds))),
        )
        parts = [wire.encode_task(sent, numbered), data, *map(_whole, files.backgrounds)]
        request = ClusterRequest(
            id=messages.new_id(),
            owner=self.owner,
            folder=task.cluster.folder if task.cluster is not None else "",
            job=task.job,
            sizes=tuple(map(len, parts)),
            sha256=sha256,
            model=models.get(task.model) or self.setup.models[0].sha256,
            second="" if self.setup.second is None else self.setup.second.sha256,
        )
        cluster_spool.write(self.paths.outbox, request, parts)
        return request

    def _answer(self, request: ClusterRequest, *, falls_back: bool) -> ClusterReply | None:
        """Wait for the reply, however long it takes: the gateway has deadlines. None: it is not waited for any longer."""
        path = self.paths.inbox / f"{request.id}.json"
        # As text: a path object would cost as much again with each look.
        reply, away = str(path), str(self.paths.away)
        while not os.access(reply, os.F_OK):
            if falls_back and os.access(away, os.F_OK):
                cluster_spool.remove_message(self.paths.outbox, request.id)
                return None
            time.sleep(LOOK_S)
        cluster_spool.remove_message(self.paths.outbox, request.id)
        try:
            return cluster_spool.read_reply(path)
        except InvalidMessageError as error:
            cluster_spool.remove_message(self.paths.inbox, request.id)
            raise UnusableReplyError(str(error)) from error

    def _accept_reply(
        self, task: Task, files: Files, request: ClusterRequest, reply: ClusterReply, started_s: float
    ) -> Report:
        """What a reply comes to.

        Raises:
            UnusableReplyError: it cannot be true.
            LostElsewhereError: the worker there died.
        """
        match reply.kind:
            case ReplyKind.RETURNED:
                return Returned(why=reply.why[:300])
            case ReplyKind.FAILED:
                return _failed(reply.why, permanent=reply.permanent)
            case ReplyKind.LOST:
                raise LostElsewhereError(reply.why)
            case ReplyKind.REPORT:
                pass
        try:
            report, results = self._check(task, request, reply, started_s)
        except (InvalidMessageError, wire.WireError) as error:
            raise UnusableReplyError(str(error)) from error
        if isinstance(report, Cut):
            self._write(task, files, report, results)
        return report

    def _check(
        self, task: Task, request: ClusterRequest, reply: ClusterReply, started_s: float
    ) -> tuple[Report, list[bytes]]:
        """The report and the results of a reply, as far as they can be true.

        Raises:
            UnusableReplyError, InvalidMessageError, WireError: they cannot.
        """
        line, *results = cluster_spool.read_parts(self.paths.inbox, reply.id, reply.sizes)
        message = wire.decode_message(line)
        if not isinstance(message, tuple) or message[0] != task.job:
            raise UnusableReplyError("it is a report of something else")
        report = message[1]
        if not answers(task, report) or isinstance(report, Returned | NeedsRoom):
            raise UnusableReplyError("it is a report that its task cannot come to")
        if isinstance(report, Cut):
            report = replace(report, remote=_remote(request, reply))
            if report.source.sha256 != request.sha256:
                raise UnusableReplyError("it is a report of another picture")
        since_ms = (time.monotonic() - started_s) * 1000
        wire.check(report, AssignedTask(task=task, max_pixels=self.setup.max_pixels, since_ms=since_ms))
        return report, results

    def _write(self, task: Task, files: Files, cut: Cut, results: list[bytes]) -> None:
        """Write the results to where they are staged.

        Raises:
            UnusableReplyError: they are not what the report says.
        """
        if len(results) != len(cut.staged):
            raise UnusableReplyError("there are not as many results as it reports")
        for staged, content in zip(cut.staged, results, strict=True):
            if len(content) != staged.bytes or hashlib.sha256(content).hexdigest() != staged.sha256:
                raise UnusableReplyError("a result is not the one that it reports")
        for staged, content in zip(cut.staged, results, strict=True):
            self.tell(task, Step.WRITE)
            with storage_faults(Path(task.staging)):
                write_opened(files.results[task.file_of(staged.rendition)], content, sha256=staged.sha256)

    def tell(self, task: Task, step: Step) -> None:
        """Say where a task stands."""
        _say(self.reports, wire.encode_progress(task.job, step))


def _remote(request: ClusterRequest, reply: ClusterReply) -> RemoteFacts:
    return RemoteFacts(
        host=reply.host,
        at=reply.at,
        bytes=reply.sent_bytes,
        sha256=request.sha256,
        cutoutd=reply.cutoutd,
        onnxruntime=reply.onnxruntime,
        python=reply.python,
        provider=reply.provider,
        layers=reply.layers,
    )


def _failed(why: str, *, permanent: bool) -> Failure:
    return Failure(
        code=FailureCode.CLUSTER, title=TITLE, cause=why, advice=ADVICE, permanent=permanent, delay_s=_DELAY_S
    )


def _whole(descriptor: int) -> bytes:
    """A background picture's file."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0) if size else b""


def main() -> int:
    """Serve until the channel ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the supervisor's to answer
    paths = ClusterPaths(Path(sys.argv[1]))
    tasks, reports = channel.worker_ends()
    line, _ = tasks.receive()
    if not line:
        return 0
    setup = wire.decode_setup(line)
    die_with_parent(setup.parent)
    owner = messages.new_id()
    try:
        _held = cluster_spool.hold_owner(paths, owner)
        layers = confine_proxy(
            exchange=paths.root, tasks=tasks.fileno(), file_bytes=FILE_BYTES, required=setup.sandbox_required
        )
    except Exception as error:  # noqa: BLE001 -- told to the supervisor, which cannot see it otherwise
        known = error if isinstance(error, CutoutdError) else CutoutdError(f"{type(error).__name__}: {error}")
        _say(reports, wire.encode_unusable(replace(failure_of(known), permanent=True)))
        return 1
    _say(reports, wire.encode_ready(WorkerFacts(layers=layers, provider=PROVIDER, onnxruntime="")))
    proxy = Proxy(paths=paths, owner=owner, setup=setup, reports=reports)
    while True:
        line, descriptors = tasks.receive()
        if not line:
            return 0
        task, files = wire.decode_task(line), wire.decode_files(line, descriptors)
        try:
            report = proxy.carry_out(task, files)
        except LostElsewhereError as error:
            sys.stderr.write(f"{error}\n")
            return 1  # as the worker there: the pool counts it against the picture, and starts another
        channel.close(descriptors)
        _say(reports, wire.encode_report(task.job, report))


def _say(reports: BinaryIO, line: bytes) -> None:
    with suppress(BrokenPipeError):
        reports.write(line)
        reports.flush()


if __name__ == "__main__":
    sys.exit(main())
