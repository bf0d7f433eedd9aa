"""Removes or replaces one file of a folder as the daemon does, in its own process: strace slows it down or kills it.

Actions: ``delete`` and ``move`` an original, ``replace`` a result, remove the ``record`` of a failure, end a ``review``.
After a kill it can be run again, and then finishes the action.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from cutoutd.fs.tree import Tree
from cutoutd.jobs import Published
from cutoutd.publish.faults import ResultLostError, TargetTakenError
from cutoutd.publish.original_file import delete_original
from cutoutd.publish.originals import OriginalsFolder
from cutoutd.publish.plan import Plan
from tests.integration.publishing import OutputFolder, digest, failure

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

CUT, SAVED, NEW = b"what was cut", b"saved by another program", b"new cutout"
_PR_SET_PTRACER = 0x59616D61  # of prctl(2)
_ANY = 2**64 - 1
SOURCE = "shoot/a.jpg"
TARGETS = {
    "delete": f"in/{SOURCE}",
    "move": f"in/{SOURCE}",
    "replace": "out/shoot/a.png",
    "record": f"out/failed/{SOURCE}.error.json",
    "review": "out/review/shoot/a.png",
}
"""By action, the file that another program saves at the wrong moment."""


def prepare(action: str, root: Path) -> None:
    """Make what exists before the action."""
    for place in ("in/shoot", "kept"):
        (root / place).mkdir(parents=True)
    (root / "in" / SOURCE).write_bytes(CUT)
    output_folder = OutputFolder(root, run="run-0")
    match action:
        case "replace":
            output_folder.publish(SOURCE, CUT)
        case "record":
            output_folder.publisher.failures.publish(failure(SOURCE))
        case "review":
            output_folder.publish(SOURCE, CUT, review=True)
    output_folder.publisher.close()


def carry_out_when_told(caller: Connection, action: str, root: Path) -> None:
    """Carry out the action once the caller has answered, which may attach strace first."""
    # Yama lets strangers attach only then; without Yama it is refused, and not needed.
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(_ANY))
    caller.send(None)
    caller.recv()
    carry_out(action, root)


def carry_out(action: str, root: Path) -> None:
    """Carry out the action, or finish it."""
    inputs = Tree(root / "in")
    match action:
        case "delete":
            delete_original(inputs, SOURCE, digest(CUT))
        case "move":
            OriginalsFolder(root / "kept", "run-1").move(inputs, SOURCE, digest(CUT), job=1)
        case "replace":
            _replace(root)
        case "record":
            records = OutputFolder(root).publisher.failures
            try:
                records.publish(failure(SOURCE, "again"))
            except TargetTakenError:
                records.publish(failure(SOURCE, "again"))
        case "review":
            path = "review/shoot/a.png"
            shown = [Published(rendition=0, path=path, sha256=digest(CUT), review=True)]
            OutputFolder(root).publisher.reviews.clear(SOURCE, shown)


def _replace(root: Path) -> None:
    """Replace a result as a delivery does, with a file in place of a journal."""
    output_folder, plan_file = OutputFolder(root), root / "plan.json"
    output_folder.published[SOURCE] = (
        Published(rendition=0, path="shoot/a.png", sha256=digest(CUT), review=False),
    )
    if plan_file.exists():
        plan = Plan.from_json(plan_file.read_text())
        if output_folder.publisher.recover(plan).is_finished:
            return
    while True:
        plan = output_folder.plan(output_folder.results(SOURCE, [NEW], job=2))
        draft = root / "draft"
        draft.write_text(plan.to_json())
        draft.rename(plan_file)
        try:
            output_folder.publisher.carry_out(plan)
        except (TargetTakenError, ResultLostError):
            output_folder.publisher.abandon(plan)
        else:
            return
