"""The real worker: it reports why it cannot work, and it has no open files of its supervisor."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import Clock
from cutoutd.errors import ModelError, SandboxError
from cutoutd.models import catalog
from cutoutd.pool import start_policy, wire
from cutoutd.pool.local import WORKER, LocalPool
from cutoutd.pool.start_policy import WorkersFailError
from cutoutd.sandbox import survey
from tests.integration.parts import until
from tests.integration.tools import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE = Path(__file__).parent
SETUP = wire.Setup(
    parent=os.getpid(),
    models=(catalog.find("u2net-int8"),),
    provider="auto",
    memory_mb=3072,
    nice=0,
    max_pixels=1_000_000,
    max_file_bytes=1_000_000,
)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LocalPool]]:
    """A function that starts a pool of one worker, and waits until the worker is ready."""
    monkeypatch.setattr(start_policy, "MAX_PAUSE_S", 0.01)
    pools: list[LocalPool] = []

    def begin(setup: wire.Setup = SETUP, command: Sequence[str] = WORKER) -> LocalPool:
        pool = LocalPool(size=1, setup=lambda: setup, job_timeout_s=20.0, clock=Clock(), command=command)
        pools.append(pool)
        until(lambda: pool.poll(0.05) == [] and pool.idle, "a worker")
        return pool

    yield begin
    for pool in pools:
        pool.close()


@pytest.mark.skipif(bool(survey.gaps()), reason="this system lacks a layer by itself")
def test_a_worker_that_finds_a_required_layer_missing_does_not_work(start: Callable[..., LocalPool]) -> None:
    """Its check is the last one: the supervisor's may have been on another kernel, or before a change."""
    command = (sys.executable, str(HERE / "older_kernel.py"), "landlock", *WORKER)
    with pytest.raises(SandboxError, match="lacks landlock"):
        start(replace(SETUP, sandbox_required=True), command)


def test_a_model_that_was_changed_meanwhile_is_refused(
    start: Callable[..., LocalPool], tmp_path: Path
) -> None:
    """Each worker checks the model, however late it is started."""
    other = tmp_path / "model.onnx"
    other.write_bytes(b"another model")
    with pytest.raises(ModelError, match=r"model\.onnx.*not the one of the catalog"):
        start(replace(SETUP, models=(replace(SETUP.models[0], file=other),)))


def test_too_little_memory_for_the_model_is_reported_in_the_worker_s_own_words(
    start: Callable[..., LocalPool],
) -> None:
    """With a limit from outside, such as a service's: four starts, one after the other, and no more."""
    need("prlimit")
    limited = ("prlimit", f"--as={300 << 20}", *WORKER)
    with pytest.raises(WorkersFailError, match="4 starts in a row failed") as failed:
        start(command=limited)
    assert "ended with code" not in failed.value.cause, failed.value.cause


def test_a_worker_that_replaces_a_dead_one_has_cut_a_picture_before_it_is_ready(
    start: Callable[..., LocalPool],
) -> None:
    """Inside its whole sandbox."""
    pool = start(replace(SETUP, self_test=True))
    assert pool.facts is not None
    assert "rlimits" in pool.facts.layers


@pytest.mark.new_interpreters  # in proc(5) forked ones have the environment of their template
@pytest.mark.skipif(sys.platform != "linux", reason="it takes /proc")
def test_a_worker_does_not_learn_where_its_supervisor_would_load_plug_ins_from(
    start: Callable[..., LocalPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a variable that would remove libheif's own limits."""
    for name in ("LIBHEIF_PLUGIN_PATH", "LIBHEIF_SECURITY_LIMITS", "CUTOUTD_POOL__WORKERS"):
        monkeypatch.setenv(name, "off")
    pool = start()
    (pid,) = pool.pids
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        pytest.skip("its memory is closed to this user, and so is its environment")
    assert b"OMP_NUM_THREADS=1" in environment
    assert b"LIBHEIF" not in environment
    assert b"CUTOUTD" not in environment


@pytest.mark.skipif(sys.platform != "linux", reason="it takes /proc")
def test_a_worker_has_no_descriptor_but_its_channel_and_its_pipe(
    start: Callable[..., LocalPool], tmp_path: Path
) -> None:
    """Not even an inheritable one of its supervisor; and the model's file, which is no secret."""
    secret = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        pool = start()
        (pid,) = pool.pids
        try:
            held = {entry.name: str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        except PermissionError:
            pytest.skip("its memory is closed to this user, and so are its descriptors")
    finally:
        os.close(secret)
    foreign = {
        name: where
        for name, where in held.items()
        if name not in ("1", "2") and not where.startswith("pipe:") and where != os.devnull
        if not where.endswith(".onnx")  # the program's own model, which corrections read again
    }
    assert [where.partition(":")[0] for where in foreign.values()] == ["socket"]
