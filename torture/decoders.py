"""The C decoders of pictures, built with clang's sanitizers, under a coverage-guided fuzzer.

python -m torture.decoders [--minutes M] [--build DIRECTORY] [--keep DIRECTORY] [--seeds DIRECTORY]... [DECODER...]

Each decoder is fuzzed for M minutes. Its source is the newest in Debian (rawpy's own for LibRaw), which need not be the version
in the wheels: the table shows both. So crashing inputs, and a selection of the others, are also run in real workers with the
libraries of the wheels. A build of an earlier call in DIRECTORY is used again; files in SEEDS are added to the tests' own as
seeds.

It needs apt, clang with the runtime of its sanitizers, CMake, Ninja, patch, and the headers of zlib; for TIFF those of xz and
Zstandard too. PNG is left out, which Pillow reads with zlib only, and AVIF, whose decoder takes longest to build.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from torture import decoders_build
from torture.decoders_build import HARNESSES
from torture.decoders_list import DECODERS
from torture.decoders_sources import BuildError
from torture.figures import Figures, note, report

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from torture.decoders_build import Built

MINUTES: Final = 20.0
ONE_INPUT_S: Final = 25
MEMORY_MB: Final = 3072
LONGEST: Final = 1 << 16
_LONGEST_SEED: Final = 1 << 15  # of other files: a fuzzer learns slowly from long ones
MOST_ENDINGS: Final = 40
"""Crashes after which a decoder is left: it finds the same ones again."""

_TO_WORKERS: Final = 1500
_SANITIZERS: Final = {
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=0",
}


@dataclass(slots=True)
class Found:
    """The outcome for one decoder.

    Attributes:
        inputs: number of inputs that were run.
        edges: edges of its control flow that were reached.
        cpu_s: processor time, in seconds.
        endings: first file of each kind of crash, by the sanitizer's name.
        undefined: places with arithmetic that is undefined in C.
    """

    inputs: int = 0
    edges: int = 0
    cpu_s: float = 0.0
    endings: dict[str, Path] = field(default_factory=dict)
    undefined: set[str] = field(default_factory=set)


def fuzz(name: str, built: Built, corpus: Path, keep: Path, minutes: float) -> Found:
    """Run a harness until its time is over, and restart it after each crash.

    Args:
        name: name of the decoder.
        built: its harness.
        corpus: directory of inputs, old and new.
        keep: directory for crashing files, each with a text beside it.
        minutes: duration.
    """
    found = Found()
    started_s = time.monotonic()
    for _ in range(MOST_ENDINGS):
        left_s = round(minutes * 60 - (time.monotonic() - started_s))
        if left_s <= 0:
            break
        with _counted(found):
            said, code = _one_run(name, built, corpus, keep, left_s)
        found.inputs += _last(r"stat::number_of_executed_units:\s*(\d+)", said)
        found.edges = max(found.edges, _last(r"cov: (\d+)", said))
        found.undefined |= set(re.findall(r"(\S+:\d+:\d+): runtime error", said))
        if code == 0:
            break
        _keep(name, said, keep, found)
    (keep / f"{name}-undefined.txt").write_text("\n".join(sorted(found.undefined)) + "\n", encoding="utf-8")
    return found


def _one_run(name: str, built: Built, corpus: Path, keep: Path, seconds: int) -> tuple[str, int]:
    command = [
        os.fspath(built.program),
        f"-max_total_time={seconds}",
        f"-timeout={ONE_INPUT_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-max_len={LONGEST}",
        f"-artifact_prefix={keep}/{name}-",
        "-print_final_stats=1",
        *(f"-dict={words}" for words in HARNESSES.glob(f"{name}.dict")),
        os.fspath(corpus),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env=os.environ | _SANITIZERS
    )
    return done.stderr, done.returncode


@contextmanager
def _counted(found: Found) -> Iterator[None]:
    """Measure the processor time of its child processes."""

    def used_s() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before_s = used_s()
    yield
    found.cpu_s += used_s() - before_s


def _keep(name: str, said: str, keep: Path, found: Found) -> None:
    """Keep the first file of each kind of crash, and the sanitizer's report."""
    artifact = re.search(r"Test unit written to (\S+)", said)
    if artifact is None:
        found.endings[f"ended without a word: {said[-200:]}"] = keep
        return
    file = Path(artifact[1])
    summary = re.search(r"SUMMARY: (.*)", said)
    kind = re.sub(r"\(.*?\)|/\S*/", "", summary[1] if summary is not None else "no summary").strip()
    if kind in found.endings:
        file.unlink(missing_ok=True)
        return
    found.endings[kind] = file = file.rename(file.with_suffix(DECODERS[name].suffixes[0]))
    begin = said.find("=================================================================")
    text = f"{kind}\nTell: {DECODERS[name].tell}, after it was seen with the version that is bundled.\n\n{said[max(begin, 0) :]}"
    file.with_suffix(".txt").write_text(text, encoding="utf-8")
    note(f"decoders: {name}: {kind}: {file.name}")


def _last(pattern: str, text: str) -> int:
    matches = re.findall(pattern, text)
    return int(matches[-1]) if matches else 0


def in_workers(name: str, corpus: Path, found: Found, place: Path) -> tuple[Counter[str], list[str]]:
    """Run inputs of a fuzzer in workers with the libraries of the wheels.

    Args:
        name: name of the decoder.
        corpus: its inputs, of which the newest are taken.
        found: the fuzzer's outcome; each crashing input is taken.
        place: an empty directory.

    Returns:
        The number of each verdict; and in words each wrong verdict, and each crash with its own.
    """
    from tests.integration import fuzzing  # noqa: PLC0415 -- it loads decoders, which the process of the harnesses does not need

    suffix = DECODERS[name].suffixes[0]
    wrong = []
    for number, (kind, file) in enumerate(found.endings.items()):
        data = file.read_bytes() if file.is_file() else b""
        outcome = fuzzing.run(_made(place / f"crash-{number}"), iter([(f"crash{suffix}", data)]))
        words = ", ".join([*outcome.verdicts, *(why for _, why in outcome.lost)])
        wrong.append(f"{name}: {kind}: {file}; a worker with the bundled libraries says: {words}")
    inputs = sorted(
        (path for path in corpus.iterdir() if path.is_file()),
        key=lambda path: path.stat().st_mtime_ns,
        reverse=True,
    )[:_TO_WORKERS]
    files = ((f"{number:05}{suffix}", path.read_bytes()) for number, path in enumerate(inputs))
    outcome = fuzzing.run(_made(place / "inputs"), files)
    for called, why in (*outcome.lost, *outcome.unexplained):
        wrong.append(
            f"{name}: a worker with the bundled libraries, over {inputs[int(Path(called).stem)]}: {why}"
        )
    return outcome.verdicts, wrong


def _made(place: Path) -> Path:
    place.mkdir(parents=True)
    return place


def _seed(corpus: Path, name: str, seeds: dict[str, bytes], more: list[Path]) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    suffixes = DECODERS[name].suffixes
    for called, data in seeds.items():
        if Path(called).suffix in suffixes:
            (corpus / called).write_bytes(data)
    for path in (found for place in more for found in sorted(place.rglob("*"))):
        if path.suffix.lower() in suffixes and path.stat().st_size <= _LONGEST_SEED:
            (corpus / path.name).write_bytes(path.read_bytes())


def _bundled(name: str) -> str:
    from cutoutd.engine.formats import versions  # noqa: PLC0415 -- it loads the decoders

    inside = versions.bundled().get(DECODERS[name].wheel, {})
    return ", ".join(
        f"{library.name} {inside.get(library.name) or '?'}" for library in DECODERS[name].libraries
    )


def _campaign(arguments: argparse.Namespace, root: Path, keep: Path) -> tuple[dict[str, Any], list[str]]:
    from tests.integration import fuzzing  # noqa: PLC0415 -- see `in_workers`

    counts: dict[str, Any] = {"minutes each": arguments.minutes}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="cutoutd-decoders-") as place:
        seeds = fuzzing.seeds(Path(place))
        for name in arguments.decoders or DECODERS:
            try:
                built = decoders_build.build(name, root)
            except BuildError as error:
                note(f"decoders: {name}: {error}")
                counts[name] = f"not built: {str(error).splitlines()[0]}"
                continue
            corpus = root / "corpus" / name
            _seed(corpus, name, seeds, arguments.seeds)
            found = fuzz(name, built, corpus, keep, arguments.minutes)
            verdicts, lost = in_workers(name, corpus, found, Path(place, name))
            counts[name] = _line(name, built, found, verdicts)
            note(f"decoders: {name}: {counts[name]}")
            wrong += lost
    return counts, wrong


def _line(name: str, built: Built, found: Found, verdicts: Counter[str]) -> str:
    versions = ", ".join(f"{library} {version}" for library, version in built.versions.items())
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    return (
        f"{found.inputs} inputs in {found.cpu_s / 60:.1f} minutes of a core, {found.edges} edges, {len(found.endings)} kinds of crash, "
        f"{len(found.undefined)} places of undefined arithmetic (built: {versions}; bundled: {_bundled(name)}; "
        f"workers: {said})"
    )


def main() -> int:
    """Run all decoders, or the named ones."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for each decoder")
    parser.add_argument("--build", type=Path, help="where builds and inputs stay for a next call")
    parser.add_argument("--keep", type=Path, help="where crashing files are kept")
    parser.add_argument(
        "--seeds", type=Path, action="append", default=[], help="a directory of more files to begin with"
    )
    parser.add_argument("decoders", nargs="*", metavar="DECODER", help=", ".join(DECODERS))
    arguments = parser.parse_args()
    if unknown := set(arguments.decoders) - set(DECODERS):
        parser.error(f"there is no decoder {', '.join(sorted(unknown))}")
    if lacking := decoders_build.missing():
        note(f"decoders: not there: {', '.join(lacking)}")
        return report(Figures(campaign="decoders", promise=f"not run: {', '.join(lacking)} not there"))
    keep = arguments.keep or Path(tempfile.gettempdir(), "torture-decoders")
    keep.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cutoutd-decoders-build-") as place:
        root = (arguments.build or Path(place)).resolve()
        root.mkdir(parents=True, exist_ok=True)
        counts, wrong = _campaign(arguments, root, keep.resolve())
    return report(
        Figures(
            campaign="decoders",
            promise="no decoder writes or reads beyond its memory; where one does, it costs a worker at most",
            counts=counts | {"minutes": round((time.monotonic() - started_s) / 60, 1)},
            violations=tuple(wrong),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
