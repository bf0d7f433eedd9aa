"""The probes of `torture.confinement_probes` inside the workers of a running daemon: of an untagged and of a tagged folder.

`PROGRAM` is added to each worker as its ``sitecustomize``. It prepares all attempts before the sandbox is active, makes them
over a picture named `PROBE`, and writes their outcomes as the bytes of its cutout, which is held back: the small model finds
no subject there.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from torture import batches
from torture.site import Layout, Site, jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE: Final = "probe.jpg"
END_S: Final = 240.0
_ROOT: Final = Path(__file__).parent.parent

PROGRAM: Final = """
import sys

if "cutoutd.pool.worker" in sys.orig_argv:
    import hashlib
    import json
    import os
    import tempfile
    from dataclasses import replace
    from pathlib import Path

    sys.path.insert(0, ROOT)
    from tests.integration import sandbox_attempts as inside
    sys.path.remove(ROOT)  # Landlock is told of what is on it
    from cutoutd.pipeline import pipeline

    inside.MEMORY_MB, inside.FILE_BYTES = 3072, 2 << 30  # the limits of real workers
    ground = Path(tempfile.mkdtemp(dir=GROUND))
    for name in ("input", "staging", "outside"):
        (ground / name).mkdir()
    (ground / "input/photo.jpg").write_bytes(b"photo")
    (ground / "outside/secret").write_bytes(b"secret")
    guarded = inside.Guarded()
    attempts = inside.network_attempts() | inside.process_attempts(guarded.pid) | inside.file_attempts(ground)
    attempts |= inside.raw_attempts()
    honest = pipeline.run

    def run(task, files, engine, tell=lambda _: None):
        report = honest(task, files, engine, tell)
        if not task.source.endswith("probe.jpg"):
            return report
        told = {name: inside.outcome(attempt) for name, attempt in attempts.items()}
        content = json.dumps({"tagged": task.tagged, "outcomes": told}).encode()
        os.ftruncate(files.results[0], 0)
        os.pwrite(files.results[0], content, 0)
        os.fsync(files.results[0])
        staged = replace(report.staged[0], bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        return replace(report, staged=(staged,))

    pipeline.run = run
"""


def outcomes(place: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the outcome of each attempt from inside both kinds of worker.

    Raises:
        RuntimeError: a probe was not made, or not in a worker of its kind.
    """
    front, ground = place / "front", place / "ground"
    for directory in (front, ground, place / "tagged-in", place / "tagged-out"):
        directory.mkdir(parents=True)
    places = f"ROOT, GROUND = {os.fspath(_ROOT)!r}, {os.fspath(ground)!r}\n"
    (front / "sitecustomize.py").write_text(places + PROGRAM, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        site = Site(_layout(place, port=nobody.getsockname()[1]))
        site.drop(PROBE, jpeg(1))
        (place / "tagged-in" / PROBE).write_bytes(jpeg(2))
        log = site.root / "log"
        running = site.start("--once", log=log, prefix=["env", f"PYTHONPATH={front}"])
        try:
            running.wait(END_S)
        finally:
            running.kill()
    for kind, output in (("untagged worker", site.output), ("tagged worker", place / "tagged-out")):
        try:
            told: dict[str, Any] = json.loads((output / "review/probe.png").read_bytes())
        except (OSError, ValueError) as error:
            raise RuntimeError(f"{kind}: {error}: {log.read_text(encoding='utf-8')[-2000:]}") from error
        if told["tagged"] is not (kind == "tagged worker"):
            raise RuntimeError(f"{kind}: the probe was made in a worker of the other kind")
        yield kind, told["outcomes"]


def _layout(place: Path, *, port: int) -> Layout:
    tagged = {"name": "tagged", "route": "local-then-hosted"}
    tagged |= {"input": os.fspath(place / "tagged-in"), "output": os.fspath(place / "tagged-out")}
    return Layout(
        root=place / "site",
        service=("allow_root = true", 'log_format = "json"'),
        pool=("workers = 1", "[model]", f'name = "{batches.SMALL_MODEL}"'),
        tables=(
            "[hosted]",
            "enabled = true",
            'provider = "rembg"',
            f'base_url = "http://127.0.0.1:{port}"',
            "[[folder]]",
            *(f"{key} = {json.dumps(value)}" for key, value in tagged.items()),
            "escalate_below = 0.0",
            "settle_s = 0.1",
        ),
    )
