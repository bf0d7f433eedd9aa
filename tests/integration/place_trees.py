"""Random trees of directories, links and bind mounts with random configurations, and what must hold in all of them.

Run as a module in its own mount namespace, ``python -m tests.integration.place_trees SEED CASES``, it tries some cases
and prints figures as one line of JSON. The daemon is the real one with its monitors, deliveries and journal; its
workers copy instead of cutting, and record what they would have handed to the uploader.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import Clock
from cutoutd.daemon import daemon, worker_pools
from cutoutd.errors import ConfigurationError, FailureCode
from cutoutd.folder import skipped_entries
from cutoutd.jobs import Failure
from cutoutd.protocols import Finished, WorkerFacts
from cutoutd.settings.loader import load
from tests.integration.parts import JPEG, Heard, cut_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cutoutd.jobs import Task
    from cutoutd.protocols import Files, PoolEvent
    from cutoutd.settings.schema import Settings
    from cutoutd.task_route import WorkerKind

TIMEOUT_S: Final = 8.0
_RUNS: Final = 3
"""Number of runs over one tree: a result that is accepted as a picture would be accepted in the second."""

_MS_BIND, _MNT_DETACH = 4096, 2
_PICTURE: Final = re.compile(rb"picture [0-9]+ ")
_RESULT: Final = b"result of "
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(kw_only=True)
class Case:
    """One tree and its configuration, and what was observed.

    Attributes:
        root: root of the tree.
        seed: random seed of the tree.
        directories, links, mounts: contents of the tree, relative to the root.
        folders: tables of its folders.
        contents: contents of all pictures.
        cut: contents that workers have read, with the input of the folder for which they did.
        exported: contents that would have left this machine.
    """

    root: Path
    seed: int
    directories: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    mounts: list[tuple[str, str]] = field(default_factory=list)
    folders: list[dict[str, Any]] = field(default_factory=list)
    contents: set[bytes] = field(default_factory=set)
    cut: list[tuple[str, bytes]] = field(default_factory=list)
    exported: list[bytes] = field(default_factory=list)

    def __str__(self) -> str:
        """Return all that is needed to make the tree again."""
        document = {"seed": self.seed, "links": self.links, "mounts": self.mounts, "folders": self.folders}
        return json.dumps(document)


class Copying:
    """Workers that copy their pictures, as a `cutoutd.protocols.Pool`; no sandbox confines them."""

    size = 2
    is_sound = True
    workers = 2
    busy = 0
    facts = WorkerFacts(layers=(), provider="cpu", onnxruntime="1")
    waiting: tuple[int, ...] = ()
    left_behind: tuple[int, ...] = ()
    blocked_on_io: tuple[int, ...] = ()

    def __init__(self, case: Case) -> None:
        self._case = case
        self._events: list[PoolEvent] = []

    def room(self, *, kind: WorkerKind) -> int:  # noqa: ARG002 -- as the protocol has it
        """Return that there is always room."""
        return self.size

    def serves(self, *, kind: WorkerKind) -> bool:  # noqa: ARG002 -- as the protocol has it
        """Return that folders of every kind are served."""
        return True

    def submit(self, task: Task, files: Files, sent: Callable[[], object]) -> None:
        """Read the opened picture, and copy it."""
        with os.fdopen(files.source, "rb", closefd=False) as file:
            content = file.read()
        sent()
        self._case.cut.append((self._input_of(task), content))
        if task.export is not None:
            self._case.exported.append(content)
            self._events.append(Finished(job=task.job, report=_failure("that is as far as it goes here")))
            return
        results = [_RESULT + bytes([65 + number]) + content for number in range(len(task.recipe.renditions))]
        report = cut_of(task.job, Path(task.staging), content, *results)
        self._events.append(Finished(job=task.job, report=report))

    def _input_of(self, task: Task) -> str:
        """Return the input of the folder of a task."""
        root: Path = self._case.root
        return next(
            os.fspath(Path(root, one["input"]))
            for one in self._case.folders
            if Path(task.source).is_relative_to(root / one["input"])
            and Path(task.staging).is_relative_to(root / one["output"])
        )

    def poll(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Return the events of finished tasks."""
        if not self._events:
            time.sleep(min(timeout_s, 0.01))
        events, self._events = self._events, []
        return events

    def wake(self) -> None:
        """Do nothing, since no poll waits for long."""

    def recycle(self) -> None:
        """Do nothing, since no process runs."""

    def close(self) -> None:
        """Do nothing, since no process runs."""


def _failure(why: str) -> Failure:
    """Return a permanent failure with this cause."""
    return Failure(code=FailureCode.FAULT, title="A trial", cause=why, advice="None.", permanent=True)


def make(root: Path, seed: int) -> Case:
    """Make a tree and a configuration that the loader accepts."""
    rng = random.Random(seed)  # noqa: S311 -- to be repeated, not to be secret
    case = Case(root=root, seed=seed)
    case.directories = ["a", "b", "c"]
    for number in range(rng.randint(2, 5)):
        case.directories.append(f"{rng.choice(case.directories)}/d{number}")
    for directory in case.directories:
        (root / directory).mkdir()
    names = list(case.directories)
    for number in range(rng.randint(0, 3)):
        target, where = rng.choice(names), rng.choice(["", *case.directories])
        link = f"{where}/l{number}".lstrip("/")
        absolute = rng.random() < 0.5
        text = os.fspath(root / target) if absolute else os.path.relpath(root / target, (root / link).parent)
        (root / link).symlink_to(text)
        case.links.append((link, text))
        names.append(link)
    for number, directory in enumerate(case.directories):
        if rng.random() < 0.8:
            content = JPEG + b" picture %d " % number + bytes(100)
            (root / directory / f"p{number}.jpg").write_bytes(content)
            os.utime(root / directory / f"p{number}.jpg", (time.time() - 60,) * 2)
            case.contents.add(_PICTURE.findall(content)[0])
    for number in range(rng.randint(0, 3)):
        source, where = rng.choice(case.directories), rng.choice(["", *case.directories])
        point = f"{where}/m{number}".lstrip("/")
        (root / point).mkdir(exist_ok=True)
        _mount(root / source, root / point)
        case.mounts.append((source, point))
        names.append(point)
    # What lies below a link or a mount, by that name: the places that text does not know.
    for alias, target in [
        *((link, names_of(root, link)) for link, _ in case.links),
        *map(reversed, case.mounts),
    ]:
        names += [
            f"{alias}/{one[len(target) + 1 :]}" for one in case.directories if one.startswith(f"{target}/")
        ]
    _configure(case, rng, names)
    return case


def _configure(case: Case, rng: random.Random, names: Sequence[str]) -> None:
    """Give the case folders that the loader accepts. Where there are few places, several may not fit beside each other: then one."""
    for count in (rng.choice([1, 2, 2, 3]), 1):
        for _ in range(1000):
            case.folders = [_folder(rng, names, number) for number in range(count)]
            if configured(case) is not None:
                return
    raise LookupError(f"no configuration for seed {case.seed}")


def names_of(root: Path, link: str) -> str:
    """Return where a link leads, relative to the root."""
    return os.path.relpath(os.path.realpath(root / link), os.path.realpath(root))


def _folder(rng: random.Random, names: Sequence[str], number: int) -> dict[str, Any]:
    """Return a random folder's table."""

    def place(new: str) -> str:
        name = rng.choice(names)
        return rng.choice(
            [name, f"{name}/{new}", f"{name}/{rng.choice(['d0', 'd1', 'd2', 'd3', 'm0', 'l0'])}"]
        )

    folder: dict[str, Any] = {
        "name": f"f{number}",
        "input": place("new") if rng.random() < 0.05 else rng.choice(names),
        "output": place(f"out{number}"),
        "route": rng.choice(["local", "hosted"]),
        "on_conflict": rng.choice(["suffix", "overwrite"]),
    }
    if rng.random() < 0.3:
        folder |= {"originals": "move", "originals_dir": place(f"done{number}")}
    if rng.random() < 0.2:
        folder["sidecar_dir"] = place(f"side{number}")
    return folder


def configured(case: Case) -> Settings | None:
    """Return the settings; None if the loader refuses them."""
    lines = [
        f'[service]\nstate_dir = "{case.root}/state"\nmin_free_disk_mb = 0\n',
        '[hosted]\nenabled = true\nbase_url = "http://127.0.0.1:9"\nmax_credits_per_day = 1000\n',
    ]
    for folder in case.folders:
        lines.append("[[folder]]\nsettle_s = 0.1\npoll_interval_s = 0.1\n")
        for key, value in folder.items():
            is_place = key in ("input", "output", "originals_dir", "sidecar_dir")
            lines.append(f'{key} = "{case.root / value if is_place else value}"\n')
    path = case.root / "cutoutd.toml"
    path.write_text("".join(lines), encoding="utf-8")
    try:
        return load(path, {})
    except ConfigurationError:
        return None


def _mount(source: Path, point: Path) -> None:
    """Add a bind mount."""
    if _LIBC.mount(os.fsencode(source), os.fsencode(point), None, _MS_BIND, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), os.fspath(point))


def take_apart(case: Case) -> None:
    """Unmount and remove the tree."""
    for _, point in reversed(case.mounts):
        _LIBC.umount2(os.fsencode(case.root / point), _MNT_DETACH)
    shutil.rmtree(case.root, ignore_errors=True)


def work(case: Case) -> dict[str, tuple[str, str]]:
    """Let the daemon work on the tree. Returns the final state of its folders: why they were closed, and their notes."""
    settings = configured(case)
    assert settings is not None
    stood: dict[str, tuple[str, str]] = {}
    for _ in range(_RUNS):
        options = daemon.RunOptions(once=True, timeout_s=TIMEOUT_S, uploads=True)
        outcome = daemon.run(settings, options, clock=Clock(), emit=Heard())
        document = json.loads((case.root / "state/status.json").read_text(encoding="ascii"))["folders"]
        stood = {name: (outcome.closed.get(name, ""), one["note"]) for name, one in document.items()}
    return stood


def pictures_under(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Yield relative path and number of each original below a directory, without following links."""
    for here, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if not name.startswith(".")]
        for name in files:
            path = Path(here, name)
            content = path.read_bytes() if name.endswith(".jpg") and not path.is_symlink() else b""
            if content.startswith(JPEG):
                yield path.relative_to(directory).as_posix(), _PICTURE.findall(content)[0]


def judge(
    case: Case, stood: dict[str, tuple[str, str]], before: dict[str, list[tuple[str, bytes]]]
) -> Iterator[str]:
    """Yield the violated properties.

    Args:
        case: the case after the runs.
        stood: why each folder was closed, and its note.
        before: pictures that each folder's input contained before the runs.
    """
    yield from _judge_what_was_read(case, before)
    cut = {_PICTURE.findall(content)[0] for _, content in case.cut}
    for folder in case.folders:
        why, note = stood.get(folder["name"], ("", ""))
        apart = re.findall(r"(?:: |, )([^ ]+) \(", note)
        for path, number in before[folder["name"]] if not why else ():
            is_excused = any(path == one or path.startswith(f"{one}/") for one in apart)
            if number not in cut and not is_excused and not _is_own(case, folder, path):
                yield f"{folder['name']} is open, and nothing is said of {path}"
    there = {number for _, number in pictures_under(case.root)}
    yield from (f"{number!r} is destroyed" for number in case.contents - there)


def _judge_what_was_read(case: Case, before: dict[str, list[tuple[str, bytes]]]) -> Iterator[str]:
    """Yield pictures that left, were cut for two folders, or were results of our own."""
    private = {number for one in case.folders if one["route"] == "local" for _, number in before[one["name"]]}
    for content in case.exported:
        if leaked := private.intersection(_PICTURE.findall(content)):
            yield f"an untagged picture was to leave: {leaked}"
    owners: dict[bytes, set[str]] = {}
    for owner, content in case.cut:
        owners.setdefault(_PICTURE.findall(content)[0], set()).add(owner)
        if content.startswith(_RESULT):
            yield f"an own result was taken in: {_PICTURE.findall(content)}"
    for number, inputs in owners.items():
        if len(inputs) > 1:
            yield f"{number!r} was cut for several folders: {sorted(inputs)}"


def _is_own(case: Case, folder: dict[str, Any], path: str) -> bool:
    """Return whether a path is in the folder's own output, by its text, since such paths are never read."""
    place = case.root / folder["input"] / path
    return bool(place.is_relative_to(case.root / folder["output"]))


def patched() -> None:
    """Replace the real workers by the copying ones, and keep this process unconfined."""

    def pool(self: object, spare: object) -> Copying:  # noqa: ARG001 -- a method of `WorkerPools`
        assert _current is not None
        return Copying(_current)

    @contextmanager
    def no_spares(_: object) -> Iterator[list[object]]:
        yield []

    replacements: dict[tuple[object, str], Callable[..., object]] = {
        (daemon, "confine"): lambda _: (),
        (worker_pools.WorkerPools, "pool"): pool,
        (worker_pools, "spares"): no_spares,
    }
    for (where, name), replacement in replacements.items():
        setattr(where, name, replacement)
    skipped_entries.NAMED = 1000  # type: ignore[misc]  # all are to be judged


_current: Case | None = None


def main(seed: int, cases: int) -> int:
    """Try some cases."""
    global _current  # noqa: PLW0603 -- the pool is made deep inside the daemon
    patched()
    counts: Counter[str] = Counter()
    violations: list[str] = []
    started_s = time.monotonic()
    for number in range(seed, seed + cases):
        root = Path(tempfile.mkdtemp(prefix="places-"))
        _current = Case(root=root, seed=number)
        try:
            _current = case = make(root, number)
            before = {one["name"]: list(pictures_under(root / one["input"])) for one in case.folders}
            stood = work(case)
            wrong = list(judge(case, stood, before))
        finally:
            take_apart(_current)
        counts["cases"] += 1
        counts["folders"] += len(case.folders)
        counts["folders that stood by"] += sum(bool(why) for why, _ in stood.values())
        counts["pictures cut"] += len(case.cut)
        counts["pictures handed to the uploader"] += len(case.exported)
        counts["links"] += len(case.links)
        counts["mounts"] += len(case.mounts)
        violations += [f"{one}; {case}; {stood}" for one in wrong]
    counts["seconds"] = round(time.monotonic() - started_s)
    print(json.dumps({"counts": counts, "violations": violations}))  # noqa: T201 -- that is what it is for
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
