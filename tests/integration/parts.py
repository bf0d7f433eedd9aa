"""Parts of a daemon for tests that combine some real ones: a folder, a sink of events, artificial results."""

from __future__ import annotations

import hashlib
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.delivery.sidecar_factory import SidecarFactory
from cutoutd.events import Accepted, FolderChanged, JobEnded
from cutoutd.fs.tree import Entry
from cutoutd.jobs import Cut, Quality, SourceFacts, Staged
from cutoutd.journal.reader import Reader
from cutoutd.protocols import Files, ModelSpec
from cutoutd.publish.staging import result_name
from cutoutd.publish.writing import write_whole
from cutoutd.recipe import Format
from cutoutd.settings.schema import Folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.clock import Clock
    from cutoutd.events import Event
    from cutoutd.jobs import JobState, Task
    from cutoutd.journal.journal import Journal
    from cutoutd.pool.local import LocalPool

PATIENCE_S: Final = 60.0
JPEG: Final = b"\xff\xd8\xff\xe0 begins like a picture"
NAME: Final = "to-cut"
MODEL: Final = ModelSpec(
    name="m",
    file=Path("/m.onnx"),
    sha256="b" * 64,
    bytes=1,
    input_size=320,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    licence="MIT",
    source="here",
)


class Heard:
    """Records events."""

    def __init__(self) -> None:
        self.count = 0
        self.results: list[JobEnded] = []
        self.messages: list[str] = []

    def __call__(self, event: Event) -> None:
        """Record an event."""
        match event:
            case Accepted():
                self.count += event.count
            case JobEnded():
                self.results.append(event)
            case FolderChanged():
                self.messages.append(f"{event.folder}: {event.message}")


def folder_in(root: Path, **given: Any) -> Folder:  # noqa: ANN401 -- any key of a folder
    """Return a hot folder ``in`` with its output ``out``, with short waiting times unless given."""
    (root / "in").mkdir(exist_ok=True)
    quick = {"settle_s": 0.1, "poll_interval_s": 0.1}
    places = {"input": str(root / "in"), "output": str(root / "out")}
    return Folder.model_validate({"name": NAME, **places, **quick, **given})


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds, with a limit."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.005)


def states(journal: Journal) -> dict[str, JobState]:
    """Return the state of each source's newest version."""
    return {job.path: job.state for job in Reader(journal.store).jobs()}


def digest(content: bytes) -> str:
    """Return a SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sidecar_factory(clock: Clock, name: str = NAME) -> SidecarFactory:
    """Return a factory for the sidecars of artificial results."""
    return SidecarFactory(model=MODEL, settings_sha256={name: "s" * 64}, worker=lambda: None, clock=clock)


def give(pool: LocalPool, task: Task) -> None:
    """Start a task whose worker does not read its picture."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    pool.submit(task, Files(source=nothing), partial(os.close, nothing))


def cut_of(
    job: int, staging: Path, source: bytes, *contents: bytes, review: bool = False, rendition: int = 0
) -> Cut:
    """Stage results as a worker does, and return the report.

    Args:
        job: id in the journal.
        staging: staging directory; it is created if it is missing.
        source: bytes of the picture.
        contents: contents of the results.
        review: whether they are doubtful.
        rendition: number of the first rendition.
    """
    staged = []
    staging.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(contents):
        name = result_name(job, number, Format.PNG)
        written = write_whole(Entry.at(staging / name), content)
        staged.append(
            Staged(
                name=name,
                rendition=rendition + number,
                bytes=written.bytes,
                sha256=written.sha256,
                width=4,
                height=3,
                format=Format.PNG,
            )
        )
    return Cut(
        source=SourceFacts(
            bytes=len(source), sha256=digest(source), width=4, height=3, format="JPEG", orientation=1
        ),
        staged=tuple(staged),
        quality=Quality(score=0.0, reasons=("no subject",)) if review else Quality(score=1.0, reasons=()),
        review=review,
        timings_ms={"total": 5.0},
        warnings=(),
    )
