"""Machines of a cluster that cut nothing: each sends back a prepared result after a while, so that the rest can be measured.

    python -m bench.cluster_workers SCHEDULER CERTS --count 15 --port 8790 --seconds 1.0 --result-bytes 4700000

They are Dask workers in one process, on 127.0.0.1, 127.0.0.2 and so on; what they offer and send back is as of real ones.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.cluster import fingerprint, remote, tls
from cutoutd.cluster.dask_settings import be_sparing
from cutoutd.cluster.machines import METRIC
from cutoutd.cluster.no_http import QuietWorker
from cutoutd.jobs import Cut, Quality, SourceFacts, Staged
from cutoutd.models import catalog
from cutoutd.process import installed_versions
from cutoutd.process.heap import keep_freed_memory
from cutoutd.protocols import WorkerFacts
from cutoutd.publish.staging import result_name
from cutoutd.recipe import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutoutd.jobs import Report, Task

_SIDE: Final = 64


class PreparedHost:
    """Stands for `cutoutd.cluster.slot_host.SlotHost`.

    Args:
        seconds: it takes for a picture.
        result: it sends back.
    """

    def __init__(self, seconds: float, result: bytes) -> None:
        self._seconds = seconds
        self._result = result
        self._sha256 = hashlib.sha256(result).hexdigest()
        self.facts = WorkerFacts(layers=(), provider="none", onnxruntime="none")

    def carry_out(
        self,
        task: Task,
        picture: bytes | memoryview,
        _: Sequence[bytes | memoryview],
        *,
        max_result_bytes: int,
        key: str = "",
    ) -> tuple[Report, list[bytes]]:
        """The prepared result, as if it were the picture's."""
        del max_result_bytes, key
        time.sleep(self._seconds)
        staged = Staged(
            name=result_name(task.job, 0, Format.PNG.extension),
            rendition=0,
            bytes=len(self._result),
            sha256=self._sha256,
            width=_SIDE,
            height=_SIDE,
            format=Format.PNG,
        )
        source = SourceFacts(
            bytes=len(picture),
            sha256=hashlib.sha256(picture).hexdigest(),
            width=_SIDE,
            height=_SIDE,
            format="JPEG",
            orientation=1,
        )
        quality = Quality(score=0.99, reasons=())
        cut = Cut(
            source=source,
            staged=(staged,),
            quality=quality,
            review=False,
            timings_ms={"total": 0.0},
            warnings=(),
        )
        return cut, [self._result]

    def withdraw(self, key: str) -> None:
        """It cannot be ended."""


async def _serve(chosen: argparse.Namespace) -> None:
    model = catalog.find(chosen.model)
    resources = fingerprint.resources([model.sha256], "", 1)
    said = {
        "versions": installed_versions.versions(),
        "models": {model.name: model.sha256},
        "slots": 1,
        "provider": "none",
    }
    certs = chosen.certs
    security = tls.security(tls.Certificates(certs / "ca.pem", certs / "worker.pem", certs / "worker.key"))

    def described(_: Any) -> dict[str, Any]:  # noqa: ANN401 -- a worker of Dask's
        return said

    workers = [
        QuietWorker(
            chosen.scheduler,
            nthreads=1,
            security=security,
            protocol="tls",
            host=f"127.0.0.{number + 1}",
            port=chosen.port,
            memory_limit=0,
            resources=resources,
            metrics={METRIC: described},
            name=f"light-{number}",
        )
        for number in range(chosen.count)
    ]
    await asyncio.gather(*workers)
    print("joined", flush=True)
    await asyncio.gather(*(worker.finished() for worker in workers))  # type: ignore[no-untyped-call]


def main() -> None:
    """Take part until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scheduler")
    parser.add_argument("certs", type=Path)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--port", type=int, default=8790)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--result-bytes", type=int, default=4_700_000)
    parser.add_argument("--model", default=catalog.PACKAGED)
    chosen = parser.parse_args()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    be_sparing()
    keep_freed_memory()
    remote.install(PreparedHost(chosen.seconds, os.urandom(chosen.result_bytes)))  # type: ignore[arg-type]
    asyncio.run(_serve(chosen))


if __name__ == "__main__":
    main()
