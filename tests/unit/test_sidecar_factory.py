"""The origin of a result, as recorded in sidecars and failure records."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.delivery.sidecar_factory import SidecarFactory
from cutoutd.errors import FailureCode
from cutoutd.jobs import Cut, Failure, Job, JobState, Quality, SourceFacts
from cutoutd.protocols import ModelSpec, WorkerFacts

if TYPE_CHECKING:
    from tests.conftest import FakeClock

MODEL = ModelSpec(
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
CUT = Cut(
    source=SourceFacts(bytes=9, sha256="a" * 64, width=4, height=3, format="JPEG", orientation=6),
    staged=(),
    quality=Quality(score=0.5, reasons=("undecided matte",)),
    review=True,
    timings_ms={"total": 3.0},
    warnings=("one",),
)
FAILURE = Failure(code=FailureCode.PICTURE, title="t", cause="c", advice="a", permanent=True)


def job(*, attempts: int = 0, interrupted: int = 0, tries: int = 0, sha256: str | None = None) -> Job:
    """Return a job in work."""
    return Job(
        id=7,
        folder="f",
        path="sub/a.jpg",
        size=9,
        mtime_ns=123_456_789,
        state=JobState.WORKING,
        forced=False,
        attempts=attempts,
        interrupted=interrupted,
        tries=tries,
        alone=False,
        accepted_us=1_000,
        not_before_us=0,
        finished_us=None,
        sha256=sha256,
    )


def sidecar_factory(clock: FakeClock, worker: WorkerFacts | None = None) -> SidecarFactory:
    """Return a factory for two folders."""
    return SidecarFactory(
        model=MODEL, settings_sha256={"f": "s" * 64, "g": "t" * 64}, worker=lambda: worker, clock=clock
    )


def test_a_cutout_is_traced_to_source_model_settings_and_machine(clock: FakeClock) -> None:
    """Each value in its field."""
    worker = WorkerFacts(layers=("rlimits", "seccomp"), provider="cuda", onnxruntime="1.20")
    facts = sidecar_factory(clock, worker).sidecar_facts(job(), CUT)
    assert (facts.job, facts.folder, facts.route) == (7, "f", "local")
    assert (facts.path, facts.mtime_ns, facts.accepted_us) == ("sub/a.jpg", 123_456_789, 1_000)
    assert (facts.source, facts.quality, facts.timings_ms) == (CUT.source, CUT.quality, CUT.timings_ms)
    assert facts.warnings == ("one",)
    assert (facts.model.name, facts.model.sha256, facts.model.provider) == ("m", "b" * 64, "cuda")
    assert facts.settings_sha256 == "s" * 64
    assert facts.sandbox == ("rlimits", "seccomp")
    assert facts.runtime.cutoutd == version("cutoutd")
    assert facts.runtime.onnxruntime == "1.20"
    assert facts.runtime.python == platform.python_version()


def test_the_workers_facts_are_read_again_for_each_result(clock: FakeClock) -> None:
    """Workers may have been replaced by others with another runtime."""
    facts = [WorkerFacts(layers=(), provider=name, onnxruntime="1") for name in ("cpu", "cuda")]
    traced = SidecarFactory(model=MODEL, settings_sha256={"f": ""}, worker=lambda: facts.pop(0), clock=clock)
    providers = [traced.sidecar_facts(job(), CUT).model.provider for _ in range(2)]
    assert providers == ["cpu", "cuda"]


def test_without_a_worker_nothing_is_invented(clock: FakeClock) -> None:
    """As for a repair before the first worker is ready."""
    facts = sidecar_factory(clock).sidecar_facts(job(), CUT)
    assert (facts.model.provider, facts.runtime.onnxruntime, facts.sandbox) == ("", "", ())


def test_every_beginning_counts_as_an_attempt(clock: FakeClock) -> None:
    """Deaths of workers and of the daemon, files that were not whole yet and other faults that pass, and the present attempt."""
    traced = sidecar_factory(clock)
    assert traced.sidecar_facts(job(), CUT).attempts == 1
    assert traced.sidecar_facts(job(attempts=1, interrupted=2), CUT).attempts == 4
    assert traced.failure_facts(job(attempts=1, interrupted=2), FAILURE).attempts == 4
    assert traced.failure_facts(job(tries=9), FAILURE).attempts == 10
    assert traced.sidecar_facts(job(tries=2), CUT).attempts == 3


def test_a_failure_is_dated_when_it_is_given_up(clock: FakeClock) -> None:
    """With the hash if the source was readable."""
    clock.advance(5)
    facts = sidecar_factory(clock).failure_facts(job(), FAILURE)
    assert (facts.job, facts.folder, facts.path, facts.failure) == (7, "f", "sub/a.jpg", FAILURE)
    assert facts.at_us == clock.now_us()
    assert facts.sha256 is None
    assert sidecar_factory(clock).failure_facts(job(sha256="c" * 64), FAILURE).sha256 == "c" * 64
