"""The cost of the page: its backend's answers, figures in a browser, and how much cutting slows down.

    python -m bench.page [--jobs 100000] [--keep DIRECTORY] [--only answers browser cutting] [--pairs 2]

All of it takes about five minutes on an otherwise idle machine, which times require; browser and cutting need Chromium and the
group `test`.

Answers: the journal is generated, and no process is started: what is measured is what a method does between its frames. Medians
of seven answers after a commit of another connection, as while the daemon works, since cached counts are invalid then. Beside
the wall time it prints CPU time, which is more reliable on a busy machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench import page_browser, page_cutting
from bench.page_journal import FOLDERS, build
from cutoutd.clock import Clock
from cutoutd.journal.store import FILE_NAME, Store
from cutoutd.page.backend import decisions, jobs, overview
from cutoutd.page.backend.method import Backend
from cutoutd.settings.schema import Folder, Service, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: Final = ("answers", "browser", "cutting")
ROUNDS: Final = 7


def backend_on(directory: Path) -> Backend:
    """Return the backend, with a connection like its own."""
    store = Store(directory / FILE_NAME)
    return Backend(
        settings=Settings(
            service=Service(state_dir=directory),
            folder=tuple(
                Folder(name=one, input=directory / one, output=directory / f"{one}-out") for one in FOLDERS
            ),
        ),
        config=None,
        open_store=lambda: store,
        clock=Clock(),
        cache=directory,
        tell=lambda _event, _data: None,
    )


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--keep", type=Path, help="a directory in which the journal is made, and stays")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--pairs", type=int, default=2, help="of runs with and without a tab")
    chosen = parser.parse_args()
    if "answers" in chosen.only:
        answers(chosen.keep, chosen.jobs)
    print("\n| figure | measured | asked for |\n| --- | --- | --- |")
    if "browser" in chosen.only:
        page_browser.measure(_say, chosen.jobs)
    if "cutting" in chosen.only:
        page_cutting.measure(_say, chosen.pairs)


def _say(what: str, measured: str, asked: str) -> None:
    print(f"| {what} | {measured} | {asked} |", flush=True)


def answers(keep: Path | None, jobs: int) -> None:
    """Measure the backend alone."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = keep or Path(temporary)
        if not (directory / FILE_NAME).exists():
            build(directory / FILE_NAME, jobs)
        measure(directory)


def measure(directory: Path) -> None:
    """Print the duration of each answer, in milliseconds."""
    backend, writer = backend_on(directory), Store(directory / FILE_NAME)
    endpoints = {**jobs.ENDPOINTS, **overview.ENDPOINTS, **decisions.ENDPOINTS}

    def answered(method: str, **params: Any) -> Callable[[], Any]:  # noqa: ANN401 -- JSON
        return lambda: endpoints[method].run(backend, params).data

    doubtful = {"state": ["review", "doubtful"], "sort": "doubt"}
    print("| answer | ms | ms of CPU |\n| --- | --- | --- |")
    for name, ask in {
        "overview": answered("overview"),
        "throughput": answered("throughput"),
        "jobs: what is doubtful, the worst first": answered("jobs", **doubtful, limit=200),
        "jobs: all, the newest first": answered("jobs", limit=200),
        "jobs: all by name": answered("jobs", sort="name", limit=200),
        "jobs: all by score": answered("jobs", sort="score", limit=200),
        "jobs: at 20,000 of one folder": answered("jobs", folder="shop", offset=20_000, limit=200),
        "jobs: with a reason": answered("jobs", **doubtful, reason="missing", limit=200),
        "jobs: with `0001` in the name": answered("jobs", q="0001", limit=200),
        "jobs: with `img` in the name, which all have": answered("jobs", q="img", limit=200),
        "job_ids: of one folder": answered("job_ids", folder="shop"),
    }.items():
        took = [_timed(writer, ask) for _ in range(ROUNDS)]
        wall, cpu = (statistics.median(one) for one in zip(*took, strict=True))
        print(f"| {name} | {wall:.1f} | {cpu:.1f} |")
    held = answered("job_ids", state="review")()
    items = list(map(list, zip(held["ids"][:1000], held["seen"][:1000], strict=True)))
    for method, params in (("decide", {"verb": "accept", "items": items}), ("undo", {"batch": 1})):
        said: list[Any] = []
        wall, cpu = _took(lambda: said.append(endpoints[method].run(backend, params).data))  # noqa: B023 -- called at once
        print(f"| {method}: {said[0]['done']} | {wall:.1f} | {cpu:.1f} |")


def _timed(writer: Store, ask: Callable[[], Any]) -> tuple[float, float]:
    with writer.transaction():
        writer.set_fact("bench", str(time.perf_counter()))
    return _took(ask)


def _took(ask: Callable[[], Any]) -> tuple[float, float]:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    ask()
    return 1000 * (time.perf_counter() - wall_s), 1000 * (time.process_time() - cpu_s)


if __name__ == "__main__":
    main()
