"""What layers share without knowing each other: the model's description, and the Protocols of the pool.

Protocols and values only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from cutoutd.jobs import Report, Task
    from cutoutd.task_route import WorkerKind


class Scale(StrEnum):
    """The divisor of a model's input, before mean and deviation are applied."""

    MAXIMUM = "max"  # the largest value in the scaled picture itself, as U2-Net and IS-Net were trained
    BYTE = "255"  # the largest possible value


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """A model as the catalog describes it.

    Attributes:
        name: as in ``[model] name``.
        file: path of the ONNX file.
        sha256: SHA-256 of the file, hex.
        bytes: size of the file in bytes.
        input_size: side of the model's square input, in pixels.
        mean, std: mean and deviation per channel (R, G, B), applied after scaling to 0..1.
        licence, source: origin and terms of the weights.
        scale: divisor of its input.
        output: index of the output that is the matte.
        logits: whether the output has logits, which go through a sigmoid.
        min_max: whether a matte with a subject is stretched to 0..1.
        more_sizes: further input sizes in pixels, for pictures that are doubtful at the first.
        check_size: input size in pixels of a pass that makes no matte: the score compares the matte with it; 0: none.
        letterbox: whether the picture keeps its proportions, at the top left of a black square, instead of being stretched.
        inputs: values of further inputs: name and number.
        memory_mb: observed address space in MiB; 0: not known.
    """

    name: str
    file: Path
    sha256: str
    bytes: int
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    source: str
    scale: Scale = Scale.MAXIMUM
    output: int = 0
    logits: bool = False
    min_max: bool = True
    more_sizes: tuple[int, ...] = ()
    check_size: int = 0
    letterbox: bool = False
    memory_mb: int = 0
    inputs: tuple[tuple[str, float], ...] = ()

    @property
    def room_mb(self) -> int:
        """Address space to reserve for it in MiB: as observed, or an estimate from its file and input size."""
        # U2-Net took 965 MiB for a file of 168; the whole file is in memory as well while it is loaded.
        guessed = 6 * self.bytes + 1200 * self.input_size**2
        return (self.memory_mb or (guessed >> 20) + 1) + (self.bytes >> 20)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerFacts:
    """What a worker reports of itself once it is ready."""

    layers: tuple[str, ...]  # active layers of the sandbox
    provider: str  # execution provider that the model really uses
    onnxruntime: str  # version


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A task has ended with a report."""

    job: int
    report: Report


class Step(StrEnum):
    """A worker's progress in a task, as it reports it; all steps but one wait for a disk or share."""

    READ = "read"  # reads the source; repeated while there is progress
    CUT = "cut"  # computes
    WRITE = "write"  # writes the results; repeated while there is progress
    SYNC = "sync"  # syncs one of them to the disk, during which no progress can be reported


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """The worker of a task has died.

    Attributes:
        job: id of the task's job.
        why: how the process ended.
        timed_out: whether it was killed at its deadline.
        stuck: whether it outlived even that, as happens on a share that hangs; the picture may not be the cause.
        stalled: the step in which it was killed because a disk or share did not respond; the picture is not the cause. None: it
            was not.
    """

    job: int
    why: str
    timed_out: bool
    stuck: bool
    stalled: Step | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdrawn:
    """The task was not carried out, and is to be queued again: its workers are gone, or the cluster has given it back.

    Attributes:
        job: the task's job.
        why: the cluster has given it back; empty where its workers are gone.
    """

    job: int
    why: str = ""


PoolEvent = Finished | Lost | Withdrawn


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """The descriptors of one task's files, opened for its worker, which cannot open files itself.

    Attributes:
        source: the picture, for reading.
        results: for writing: one for each rendition, in their order, and the last for a doubtful result's overlay. Empty for an
            export.
        backgrounds: for reading, in the order of the recipe's ``backgrounds``.
        copy: for writing, for an export; None: it is none.
        reply: for reading, if the matte comes from a hosted service; None: it does not.
        preview: for writing: the preview of the first rendition; None: none is made.
        matte: for reading: the coarse matte as the page has kept it, not to be trusted; None: there is none.
    """

    source: int
    results: tuple[int, ...] = ()
    backgrounds: tuple[int, ...] = ()
    copy: int | None = None
    reply: int | None = None
    preview: int | None = None
    matte: int | None = None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All descriptors."""
        single = (one for one in (self.copy, self.reply, self.preview, self.matte) if one is not None)
        return (self.source, *self.results, *self.backgrounds, *single)


class Workers(Protocol):
    """Runs tasks: worker slots on this machine, and proxies of slots on others."""

    @property
    def size(self) -> int:
        """Number of tasks that can run at the same time."""

    @property
    def workers(self) -> int:
        """Number of workers on this machine: those that pass tasks on to other machines do not count."""

    @property
    def busy(self) -> int:
        """Number of tasks that are running on this machine; those that were passed on to others take no memory of it."""

    @property
    def facts(self) -> WorkerFacts | None:
        """What the workers report of themselves; None until the first is ready."""

    @property
    def is_sound(self) -> bool:
        """Whether no worker has died since one last showed that it works."""

    @property
    def blocked_on_io(self) -> Collection[int]:
        """Ids of jobs whose workers have been waiting for a disk or share for a while."""

    @property
    def left_behind(self) -> Collection[int]:
        """Ids of jobs whose workers are stuck and have not ended."""

    def poll(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Wait for events, ``wake`` or the timeout, whichever is first.

        Raises:
            ModelError: the model does not load in any worker.
            SandboxError: a layer of the sandbox is missing, and all are required.
            CutoutdError: no worker can be started at all.
        """

    def wake(self) -> None:
        """End a ``poll`` early; safe from any thread and from signal handlers."""

    def recycle(self) -> None:
        """Replace every worker by a new one, busy ones once they are idle."""

    def close(self) -> None:
        """End all workers at once, without waiting for a stuck one."""


class Pool(Workers, Protocol):
    """Workers whose tasks' files are opened by the caller."""

    def room(self, *, kind: WorkerKind) -> int:
        """Return how many tasks of folders of this kind could be started now without waiting."""

    def serves(self, *, kind: WorkerKind) -> bool:
        """Whether there are workers for folders of this kind at all."""

    def submit(self, task: Task, files: Files, sent: Callable[[], object]) -> None:
        """Start a task; only while there is room for one of its kind.

        Args:
            task: the task.
            files: its opened files.
            sent: called once they need not be open here any longer, even if they never reached a worker.
        """
