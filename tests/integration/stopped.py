"""A program that waits for others, each within seconds, and is stopped meanwhile; run as a module.

It prints what became of each. What it waits for comes once a file exists, after it was stopped for longer
than any of its deadlines.
"""

# ruff: noqa: T201 -- it is a program, and speaks to the test by its output

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from cutoutd.clock import RunningClock
from cutoutd.hooks.runner import HookCommand, run
from cutoutd.pool import slot
from cutoutd.pool.local import LocalPool
from cutoutd.process import probe
from cutoutd.protocols import Finished, Step
from tests.integration.parts import give
from tests.integration.test_pool import OBEDIENT, setup, task

LIMIT_S = 3.0
WAIT = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)\n"


def cut(pool: LocalPool) -> bool:
    """Wait for a worker without progress: two deadlines at once. Returns whether its job finished."""
    while not (events := pool.poll(60.0)):
        pass
    return isinstance(events[0], Finished)


def hook(file: str) -> bool:
    """Wait for a hook with a time limit. Returns whether the hook succeeded."""
    command = (sys.executable, "-c", WAIT, file)
    return not run(HookCommand(event="on_done", command=command, facts={}, timeout_s=LIMIT_S))


def question(file: str) -> bool:
    """Wait for a probe that may hang. Returns whether the probe ended."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return probe.run("tests.integration.stopped", [file], timeout_s=LIMIT_S, environment=environment).ended


def main(file: str) -> None:
    """Wait for all of them at the same time."""
    slot.STALL_S[Step.READ] = LIMIT_S
    found: dict[str, bool] = {}
    threads = [
        threading.Thread(target=lambda one=one: found.__setitem__(one.__name__, one(file)))
        for one in (hook, question)
    ]
    clock = RunningClock()
    pool = LocalPool(size=1, setup=setup, job_timeout_s=LIMIT_S, clock=clock, command=OBEDIENT)
    with clock.ticking():
        while not pool.idle:
            pool.poll(1.0)
        for thread in threads:
            thread.start()
        give(pool, task(1, f"wait:{file}"))
        time.sleep(0.5)  # all are under way by now
        print("given", flush=True)
        found["cut"] = cut(pool)
    pool.close()
    for thread in threads:
        thread.join()
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        while not Path(sys.argv[1]).exists():
            time.sleep(0.01)
    else:
        main(sys.argv[2])
