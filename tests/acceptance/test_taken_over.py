"""A worker that a hostile picture has taken over reaches that picture and its results, and nothing else."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.integration.confined import landlock_version

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Bench

pytestmark = [
    pytest.mark.new_interpreters,
    pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock, or it is off"),
    pytest.mark.small_model,
]

# Loaded by every Python of the tree; in a worker it takes the place of what cuts a picture.
TAKEN_OVER = textwrap.dedent(
    """
    import sys

    if "cutoutd.pool.worker" in sys.orig_argv:
        import json
        import os

        from cutoutd.pipeline import pipeline
        from cutoutd.errors import FailureCode
        from cutoutd.jobs import Failure


        def tried(deed, *where):
            try:
                deed(*where)
            except OSError as error:
                return type(error).__name__
            return "done"


        def read(*parts):
            with open(os.path.join(*parts), "rb") as file:
                file.read(1)


        def write(*parts):
            with open(os.path.join(*parts), "wb") as file:
                file.write(b"x")


        def run(task, files, *_):
            folder = os.path.dirname(task.source)
            of_run = os.path.dirname(task.staging)
            output = os.path.dirname(os.path.dirname(of_run))
            said = {
                "read its picture": tried(os.pread, files.source, 1, 0),
                "write its result": tried(os.write, files.results[0], b"x"),
                "read its picture by its name": tried(read, task.source),
                "read a neighbour of its picture": tried(read, folder, "neighbour.jpg"),
                "read a key beside its picture": tried(read, folder, ".ssh", "id_ed25519"),
                "list the folder": tried(os.listdir, folder),
                "read a result of another's": tried(read, output, "other.png"),
                "list what is staged": tried(os.listdir, of_run),
                "list its own staging directory": tried(os.listdir, task.staging),
                "make a file in it": tried(write, task.staging, "more.png"),
                "make a file beside it": tried(write, of_run, "more.png"),
                "make a directory beside it": tried(os.mkdir, os.path.join(of_run, "8-0000")),
                "make a file in the output": tried(write, output, "made.png"),
                "remove its result": tried(os.unlink, os.path.join(task.staging, f"{task.job}-0.png")),
                "change its picture": tried(os.write, files.source, b"x"),
                "open its picture anew": tried(os.open, f"/proc/self/fd/{files.source}", os.O_RDWR),
                "open its result anew": tried(os.open, f"/proc/self/fd/{files.results[0]}", os.O_RDONLY),
            }
            return Failure(code=FailureCode.FAULT, title="t", cause=json.dumps(said), advice="a", permanent=True)


        pipeline.run = run
    """
)
MAY = {"read its picture", "write its result"}


@pytest.fixture
def home(bench: Bench) -> Path:
    """A home with a picture, a key and other files; a hostile picture controls the workers of this bench."""
    guard = bench.root / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(TAKEN_OVER, encoding="utf-8")
    bench.environment["PYTHONPATH"] = str(guard)
    bench.drop("a.jpg")
    for name in ("neighbour.jpg", ".ssh/id_ed25519"):
        (bench.input / name).parent.mkdir(exist_ok=True)
        (bench.input / name).write_bytes(b"of no concern to anybody")
    (bench.output / "other.png").write_bytes(b"a result")
    return bench.input


@pytest.mark.parametrize("command", ["cut", "run"])
def test_a_hostile_worker_reaches_neither_its_folder_nor_the_results_of_others(
    bench: Bench, home: Path, command: str
) -> None:
    """Neither in a hot folder nor where `cutoutd cut` was called, which may be a home directory with keys."""
    done = bench.call("cut", home / "a.jpg", "-o", bench.output) if command == "cut" else bench.once()
    assert done.returncode == 1, done.stderr
    document = json.loads(bench.sidecar("failed/a.jpg.error.json")["cause"])
    assert {name for name, how in document.items() if how == "done"} == MAY
    assert {how for name, how in document.items() if name not in MAY} <= {"PermissionError", "OSError"}
    assert (home / "a.jpg").stat().st_size > 1000
    assert "other.png" in bench.results()
    assert not (bench.output / ".cutoutd-staging").exists()
