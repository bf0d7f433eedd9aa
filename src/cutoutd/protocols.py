"""What the layers agree on without knowing each other: the model's description, the pool's Protocol, the clock.

Protocols and values only; nothing here does anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from cutoutd.jobs import Report, Task


class Scale(StrEnum):
    """What a model's input is divided by, before mean and deviation."""

    MAXIMUM = "max"  # the largest value of the reduced picture itself, as U2-Net and IS-Net were trained
    BYTE = "255"  # the largest value there can be


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """A model as the catalog describes it.

    Attributes:
        name: as in ``[model] name``.
        file: the ONNX file.
        sha256: of the file, hex.
        bytes: size of the file.
        input_size: side of the square the model sees, pixels.
        mean, std: per channel (R, G, B), applied after scaling to 0..1.
        licence, source: where the weights come from and under which terms.
        scale: what its input is divided by.
        output: which of its outputs is the matte.
        logits: its output is no share yet, and goes through a sigmoid.
        min_max: a matte with a subject is stretched to the whole of 0..1.
        more_sizes: sides at which it may look again, where the first look leaves doubt.
        letterbox: it sees the picture in its own proportions, at the top left of a black square, and not stretched to it.
        inputs: what further inputs are filled with: name and number.
        memory_mb: address space that it takes, as far as it was seen, MiB; 0: not known.
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
    letterbox: bool = False
    memory_mb: int = 0
    inputs: tuple[tuple[str, float], ...] = ()

    @property
    def room_mb(self) -> int:
        """Address space to leave for it, MiB: what it was seen to take, or an estimate by its file and input."""
        # U2-Net took 965 MiB for a file of 168; its file as a whole comes on top while it is loaded.
        guessed = 6 * self.bytes + 1200 * self.input_size**2
        return (self.memory_mb or (guessed >> 20) + 1) + (self.bytes >> 20)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerFacts:
    """What a worker says of itself once it is ready."""

    layers: tuple[str, ...]  # active layers of the sandbox
    provider: str  # what the model really runs on
    onnxruntime: str  # version


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A task came back with its report."""

    job: int
    report: Report


class Step(StrEnum):
    """Where a worker stands in a task, as it says itself; all but one wait for a disk or share."""

    READ = "read"  # the source; said again while there is progress
    CUT = "cut"  # all that is computed
    WRITE = "write"  # the results; said again while there is progress
    SYNC = "sync"  # sees one of them onto the disk, of which no progress can be told


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """The worker died over a task.

    Attributes:
        job: the task's job.
        why: how the process ended.
        timed_out: it was killed at its deadline.
        stuck: it outlives even that, as happens on a share that hangs; it may not be the picture's fault.
        stalled: the step in which it was killed because the disk or share did not answer; not the picture's fault.
    """

    job: int
    why: str
    timed_out: bool
    stuck: bool
    stalled: Step | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdrawn:
    """The task was not begun, and will not be: there are no workers for its kind of folder any more."""

    job: int


PoolEvent = Finished | Lost | Withdrawn


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """The files of one task, opened for its worker, which can open none of them by itself: descriptors.

    Attributes:
        source: the picture, to be read.
        results: to be written: one for each rendition, in their order, and the last for a doubtful result's overlay. Empty
            for an export.
        backgrounds: to be read, in the order of the recipe's ``backgrounds``.
        copy: to be written, for an export.
        reply: to be read, where the matte comes from a hosted service.
    """

    source: int
    results: tuple[int, ...] = ()
    backgrounds: tuple[int, ...] = ()
    copy: int | None = None
    reply: int | None = None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them."""
        single = (one for one in (self.copy, self.reply) if one is not None)
        return (self.source, *self.results, *self.backgrounds, *single)


class Workers(Protocol):
    """Where tasks are carried out: worker slots on this machine, one day a cluster."""

    @property
    def size(self) -> int:
        """How many tasks can run at the same time."""

    @property
    def busy(self) -> int:
        """How many tasks are running."""

    @property
    def facts(self) -> WorkerFacts | None:
        """What the workers say of themselves; None until the first is ready."""

    @property
    def is_sound(self) -> bool:
        """Whether it can be relied on: no worker has died since one last showed that it can work."""

    @property
    def waiting(self) -> Collection[int]:
        """Jobs whose workers wait for a disk or share, and have for a while."""

    @property
    def left_behind(self) -> Collection[int]:
        """Jobs over which workers got stuck that have not ended to this day."""

    def poll(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Wait for events, ``wake`` or the time-out, whichever is first.

        Raises:
            ModelError: the model does not load in any worker.
            SandboxError: a layer of the sandbox is missing, and all are required.
            CutoutdError: no worker can be started at all.
        """

    def wake(self) -> None:
        """End a ``poll`` early; safe from any thread and from signal handlers."""

    def recycle(self) -> None:
        """Replace every worker by a fresh one, the busy ones once they are idle."""

    def close(self) -> None:
        """End all workers at once; never waits for a stuck one."""


class Pool(Workers, Protocol):
    """Workers as they are: whoever gives them a task has opened its files."""

    def room(self, *, tagged: bool) -> int:
        """How many tasks of folders of this kind could be started now without waiting."""

    def serves(self, *, tagged: bool) -> bool:
        """Whether there are workers for folders of this kind at all."""

    def submit(self, task: Task, files: Files, sent: Callable[[], object]) -> None:
        """Start a task; only while there is room for one of its kind.

        Args:
            task: the task.
            files: opened for it.
            sent: called once they need not be open here any longer, even if they never got to a worker.
        """
