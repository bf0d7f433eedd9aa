"""Publishes again and again, and is killed by strace before each of its system calls in turn.

strace counts the uses of a system call in each process separately, and kills at the ``KILL_AT``-th. A child that
first makes ``KILL_AT - k`` calls without effect is therefore killed before its k-th real one. For each call, k grows until the
child survives. Prints, as JSON, how often it was killed at each call.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.fs.tree import Entry
from cutoutd.publish import moves
from cutoutd.publish.access import Access
from cutoutd.publish.plan import Plan
from cutoutd.publish.rename import rename_new
from tests.integration.publishing import OutputFolder

if TYPE_CHECKING:
    from collections.abc import Callable

KILL_AT = 24
SOURCE = "sub/a.jpg"
OLD = (b"old cutout", b"old second", b"old third")
NEW = (b"new cutout", b"new second", b"new third")
PLAN, DONE = "plan.json", "done"
NOWHERE = Path("/nonexistent/file")
ROOT = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
NO_FILE = 1_000_000  # no descriptor is as large

EMPTY_CALLS: dict[str, Callable[[], object]] = {
    "mkdir": lambda: os.mkdir("nonexistent", dir_fd=ROOT),
    "write": lambda: os.write(NO_FILE, b""),
    "fsync": lambda: os.fsync(NO_FILE),
    "rename": lambda: NOWHERE.rename(NOWHERE),
    "rename_new": lambda: rename_new(Entry.at(NOWHERE), Entry.at(NOWHERE)),
    "link": lambda: os.link(NOWHERE, NOWHERE, follow_symlinks=False),
    "unlink or rmdir": lambda: os.unlink("nonexistent", dir_fd=ROOT),
}


def prepare(root: Path, scenario: str) -> None:
    """Make what exists before the run that is killed."""
    output_folder = OutputFolder(root, run="run-0", sidecars=scenario == "sidecar folder")
    if scenario == "replace":
        output_folder.publish(SOURCE, *OLD)
        (root / "earlier.json").write_text(plan_text(output_folder))
    if scenario == "recover":
        plan = output_folder.plan(output_folder.results(SOURCE, NEW))
        (root / PLAN).write_text(plan.to_json())
        output_folder.publisher.discard(99)
        first = plan.moves[0]
        (output_folder.output / "sub").mkdir()
        moves.carry_out(first, Access())


def plan_text(output_folder: OutputFolder) -> str:
    """Return what the journal knows as published."""
    plan = Plan(moves=(), unused=(), published=output_folder.published[SOURCE], claims=(), warnings=())
    return plan.to_json()


def work(root: Path, scenario: str) -> None:
    """Publish as the daemon does, with files in place of a journal; this run is killed."""
    output_folder = OutputFolder(root, sidecars=scenario == "sidecar folder")
    remember(output_folder, root)
    if scenario == "recover":
        output_folder.publisher.recover(Plan.from_json((root / PLAN).read_text()))
    else:
        plan = output_folder.plan(output_folder.results(SOURCE, NEW, job=2))
        draft = root / "draft"
        draft.write_text(plan.to_json())
        draft.rename(root / PLAN)
        output_folder.publisher.carry_out(plan)
    (root / DONE).touch()
    output_folder.sweep()


def remember(output_folder: OutputFolder, root: Path) -> None:
    """Load what the journal knows as published."""
    earlier = root / "earlier.json"
    if earlier.exists():
        output_folder.published[SOURCE] = Plan.from_json(earlier.read_text()).published


def _in_child(deed: Callable[[], None]) -> int:
    """Run a function in a forked process; return its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            deed()
        except BaseException as error:  # noqa: BLE001 - the parent must not go on twice
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(base: Path, scenario: str, *spared: str) -> None:
    """Try all system calls but those that are left out."""
    kills: dict[str, int] = {}
    for call, empty_call in EMPTY_CALLS.items():
        if call in spared:
            continue
        for nth in range(1, KILL_AT):
            root = base / f"{call}-{nth}"

            def killed(
                root: Path = root, nth: int = nth, empty_call: Callable[[], object] = empty_call
            ) -> None:
                for _ in range(KILL_AT - nth):
                    with suppress(OSError):
                        empty_call()
                work(root, scenario)

            if _in_child(lambda root=root: prepare(root, scenario)) != 0:  # type: ignore[misc]
                sys.exit("the preparation failed")
            status = _in_child(killed)
            if status > 0:
                sys.exit("the work failed")
            if status == 0:
                break
            kills[call] = nth
        else:
            sys.exit(f"KILL_AT is too small to reach every {call}")
    sys.stdout.write(json.dumps(kills))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
