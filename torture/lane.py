"""A site on which a scenario runs again and again, from the same beginning, under strace.

It judges nothing; the campaigns do.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.outputs import published
from tests.webhook_receiver import WebhookReceiver

from torture import webhooks
from torture.site import PIXELS, Layout, Running, Site, digest, family
from torture.trace import CALLS, Call, Strike, calls

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torture.scenarios import Drops, Renames, Scenario

REACH_S = 20.0
"""Time for a daemon under strace to come to its end."""

AFTERMATH_S = 0.7
"""Time for the last calls of a job that has ended already."""

_STRACE = ("strace", "-f", "-qq", "-y")


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A call at which to kill or fail.

    Attributes:
        role: role of its thread.
        thread: place of the thread among the daemon's threads, by age; for ``by = "thread"``.
        label: description for people.
    """

    role: str
    strike: Strike
    thread: int
    label: str


@dataclass(slots=True)
class Lane:
    """A site that is reset before each point; lanes run in parallel."""

    scenario: Scenario
    root: Path
    elsewhere: Path
    site: Site = field(init=False)
    receiver: WebhookReceiver | None = field(init=False, default=None)
    _times: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for place in (self.root, self.elsewhere):
            shutil.rmtree(place, ignore_errors=True)
            shutil.rmtree(_saved(place), ignore_errors=True)
        if self.scenario.has_webhook:
            self.receiver = WebhookReceiver()
        self.site = self._make()
        self._run_before()
        self._crash()
        for place in (self.root, self.elsewhere):
            if place.exists():
                shutil.copytree(place, _saved(place), symlinks=True, ignore=_pipes)

    def _crash(self) -> None:
        if self.scenario.crash is None:
            return
        self._arrive()
        log = self.root / "strace"
        running = self.site.start("--once", prefix=[*_STRACE, "-o", str(log), *self.scenario.crash.options()])
        running.wait()
        running.kill()

    def _make(self) -> Site:
        places = {"": None, "near": self.root / "originals", "elsewhere": self.elsewhere}
        return Site(
            Layout(
                root=self.root,
                options=self.scenario.options,
                tables=(
                    *self.scenario.tables,
                    *(webhooks.tables(self.receiver, self.root) if self.receiver is not None else ()),
                ),
                service=webhooks.ENABLED if self.scenario.has_webhook else (),
                pool=("workers = 1", f"max_pixels = {PIXELS}"),
                originals_dir=places[self.scenario.originals],
                sidecar_dir=self.root / "sidecars" if self.scenario.sidecars else None,
            )
        )

    def _run_before(self) -> None:
        for drops in self.scenario.before:
            self._drop(drops)
            self.site.settle()
        if self.scenario.earlier_renames:
            self._rename(self.scenario.earlier_renames)
            self.site.settle()
        self._times = self._looked_at()

    def missing_webhooks(self) -> list[str]:
        """Return the jobs about whose end there was no message, or messages with several ids."""
        if self.receiver is None:
            return []
        return webhooks.missing(self.receiver, [row for row in self.site.journal() if row["newest"]])

    def cut_again(self) -> list[str]:
        """Return the results of earlier runs that have changed although only names did."""
        if not self.scenario.renames:
            return []
        now = self._looked_at()
        return [f"cut again: {sha256}" for sha256, ms in self._times.items() if now.get(sha256) != ms]

    def _looked_at(self) -> dict[str, float]:
        """Return the duration of inference for each picture, which differs if it runs again."""
        documents = [json.loads(path.read_bytes()) for path in published(self.site.sidecars, "*.png.json")]
        return {one["source"]["sha256"]: one["timings_ms"]["infer"] for one in documents}

    def _rename(self, pairs: Renames) -> None:
        for before, after in pairs:
            (self.site.input / before).rename(self.site.input / after)

    def _arrive(self) -> None:
        """Give the daemon its work, unless that was done by a command."""
        if self.scenario.hands_in:
            for name, source in self.scenario.arrivals:
                self.site.hand_in(name, source.content, source.options)
        elif not self.scenario.asks:
            self._drop(self.scenario.arrivals)
            self._rename(self.scenario.renames)

    def _ask(self) -> None:
        """Send the commands that the daemon is to carry out at its start."""
        for words in self.scenario.asks:
            subprocess.run(
                self.site.command(*words), env=self.site.environment(), check=True, capture_output=True
            )

    def _drop(self, drops: Drops) -> None:
        for name, source in drops:
            self.site.drop(name, source.content)

    def reset(self) -> None:
        """Reset the site."""
        if self.receiver is not None:
            self.receiver.seen.clear()
        for place in (self.root, self.elsewhere):
            shutil.rmtree(place, ignore_errors=True)
        if self.scenario.before and (self.scenario.crash is None or self.scenario.renames):
            # A copy is another file than the one that was cut, and overwriting with it would make another picture.
            self.site = self._make()
            self._run_before()
            self._crash()
            self._ask()
            return
        for place in (self.root, self.elsewhere):
            if _saved(place).exists():
                shutil.copytree(_saved(place), place, symlinks=True)

    def straight_line(self) -> tuple[list[Call], list[int]]:
        """Return all calls of one undisturbed run, and the threads of a running daemon."""
        self.reset()
        log = self.root / "strace"
        command = [*_STRACE, "-o", str(log), "-e", f"trace={CALLS}", *self.scenario.faults]
        if self.scenario.by == "start":
            if self.scenario.crash is None:
                self._arrive()
            self.site.start("--once", prefix=command).wait()
            return calls(log, str(self.root), str(self.elsewhere)), []
        running = self.site.start()
        try:
            threads = _threads_when_ready(self.site, running)
            tracer = _attach(running, command, threads)
            self._arrive()
            _wait(lambda: _is_over(self.site, self.scenario), "the end of the straight line")
            time.sleep(0.5)
            running.stop()
            tracer.wait()
        finally:
            running.kill()
        return calls(log, str(self.root), str(self.elsewhere)), threads

    def _here(self, strike: Strike) -> Strike:
        """Translate a point of another lane to the paths of this one."""
        for here in (self.root, self.elsewhere):
            if strike.only.startswith(f"{here.parent}/"):
                beneath = Path(strike.only).relative_to(here.parent).parts[1:]
                return replace(strike, only=os.fspath(here.joinpath(*beneath)))
        return strike

    def refuse(self, point: Point, fault: str, seen: str) -> Path:
        """Run to the end while one call fails. Returns strace's log of the traced calls."""
        self.reset()
        log = self.root / "strace"
        options = self._here(point.strike).options(fault)
        self._arrive()
        running = self.site.start(
            "--once", prefix=[*_STRACE, "-o", str(log), "-e", f"trace={seen},{point.strike.call}", *options]
        )
        try:
            running.wait()
        finally:
            running.kill()
        return log

    def strike(self, point: Point) -> bool:
        """Run until the daemon is killed at a point. Returns whether it was."""
        self.reset()
        log = self.root / "strace"
        command = [
            *_STRACE,
            "-o",
            str(log),
            "-e",
            f"trace={point.strike.call},renameat2,?link,linkat",  # only traced calls can be made to fail
            *self.scenario.faults,
            *self._here(point.strike).options(),
        ]
        if self.scenario.by == "start":
            if self.scenario.crash is None:
                self._arrive()
            running = self.site.start("--once", prefix=command)
            code = running.wait()
            running.kill()
            # The uploader is another process, and what keeps it running starts the next one.
            return code not in (0, 1) or "+++ killed by SIGKILL" in log.read_text(
                encoding="utf-8", errors="replace"
            )
        running = self.site.start()
        try:
            threads = _threads_when_ready(self.site, running)
            tracer = _attach(running, command, threads[point.thread : point.thread + 1])
            self._arrive()
            victim = Path(f"/proc/{threads[point.thread]}")

            def is_struck() -> bool:
                return running.process.poll() is not None or not victim.exists()

            _wait(lambda: is_struck() or _is_over(self.site, self.scenario), point.label)
            struck = _holds_within(is_struck, AFTERMATH_S)
            if not struck:
                running.process.terminate()  # the last calls of the undisturbed run tidy up
                struck = running.wait(REACH_S) < 0
        finally:
            running.kill()
        tracer.wait()
        return struck


def _pipes(directory: str, names: list[str]) -> list[str]:
    """Return names that cannot be copied: a pipe that wakes the daemon, which makes it again."""
    return [name for name in names if Path(directory, name).is_fifo()]


def _saved(place: Path) -> Path:
    return place.with_name(f"{place.name}.saved")


def _threads_when_ready(site: Site, running: Running) -> list[int]:
    """Return the daemon's threads, the oldest first, and its worker at the end."""

    def is_ready() -> bool:
        try:
            said = json.loads((site.state / "status.json").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return False
        scanned = all(folder["scanned"] for folder in said["folders"].values())
        return said["pid"] == running.pid and said["worker"] is not None and scanned

    _wait(is_ready, "the daemon to be ready")
    tasks = sorted(int(entry.name) for entry in Path(f"/proc/{running.pid}/task").iterdir())
    return [*tasks, *sorted(pid for pid in family(running.pid) if pid != running.pid)]


def _attach(running: Running, command: Sequence[str], threads: Sequence[int]) -> Running:
    """Attach strace to threads of a running daemon."""
    chosen = [word for thread in threads for word in ("-p", str(thread))]
    without_children = [word for word in command if word != "-f"]
    tracer = Running([*without_children, *chosen], environment=os.environ, log=running.log)

    def is_attached() -> bool:
        states = [Path(f"/proc/{thread}/status").read_text(encoding="latin-1") for thread in threads]
        return all("TracerPid:\t0\n" not in state for state in states)

    _wait(is_attached, "strace to attach, which needs the right to")
    return tracer


def _holds_within(condition: Callable[[], bool], limit_s: float) -> bool:
    end = time.monotonic() + limit_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def _is_over(site: Site, scenario: Scenario) -> bool:
    """Whether every arrival has ended, by the journal, which is read so briefly that commits are not held up."""
    try:
        rows = site.journal()
    except sqlite3.Error:
        return False
    newest = {row["path"].decode(): row for row in rows if row["newest"]}
    return all(
        name in newest
        and newest[name]["state"] in ("done", "review", "failed")
        and newest[name]["size"] == len(source.content)
        and newest[name]["sha256"] in (None, digest(source.content))
        and not newest[name]["cleanup_pending"]
        for name, source in scenario.awaited.items()
    )


def _wait(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.02)
