"""Odd files, records, markers, commands and configurations, drawn by Hypothesis and put before a running daemon.

Whatever it meets may be refused, fail or be held up, each with its reason; the daemon goes on, cuts the good pictures
that come after, ends in order, and starts again, also without its journal. `torture.oddities` draws thousands, and the suite some.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.integration import small_models

from torture.odd_cases import (
    SECOND_NS,
    Case,
    Json,
    OddCommand,
    OddConfiguration,
    OddFile,
    OddMarker,
    OddRecord,
    edited,
)
from torture.site import PIXELS, Layout, Site, empty_scene, jpeg, named, too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torture.site import Running

PATIENCE_S: Final = 120.0
CANARIES: Final = 3
_RED: Final = 0  # the hue that the small model takes for a subject
SMALL_MODEL: Final = "redness"
_COMMAND: Final = (sys.executable, "-P", "-m", "cutoutd")
_DESCRIBED: Final = [
    "--size",
    "64",
    "--mean",
    "0,0,0",
    "--std",
    "1,1,1",
    "--scale",
    "255",
    "--logits",
    "--no-min-max",
]
_HUGE_BYTES: Final = 1 << 40


@dataclass(slots=True)
class Outcome:
    """What a batch came to.

    Attributes:
        cases: how many were put before the daemon, by kind.
        faults: exceptions that nobody foresaw, each with its traceback: contained, and ours to mend.
        violations: promises that were broken.
    """

    cases: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


class BrokenPromiseError(Exception):
    """The daemon did what it must not do."""


class Batch:
    """One place with three folders: ``hot`` must go on; ``marked`` has odd markers, ``tuned`` odd settings."""

    def __init__(self, root: Path, cases: Sequence[Case], number: int) -> None:
        self.root = root
        self.cases = cases
        self.chance = random.Random(number)
        self.outcome = Outcome()
        self._stock: list[Path] = []
        self._dropped = 0
        for name in ("marked", "tuned"):
            (root / name / "in").mkdir(parents=True)
        self.site = Site(
            Layout(
                root=root,
                pool=(
                    "workers = 1",
                    "nice = 0",
                    f"max_pixels = {PIXELS}",
                    "[model]",
                    f'name = "{SMALL_MODEL}"',
                ),
                service=('log_format = "json"',),
                options=("review_below = 0.0",),
                tables=(self._table("marked"), self._table("tuned")),
            )
        )
        self._config = self.site.config.read_text(encoding="utf-8")
        self._deeds: dict[type, Callable[[Any], None]] = {
            OddFile: self._put,
            OddRecord: self._edit_record,
            OddMarker: self._edit_marker,
            OddCommand: self._post,
            OddConfiguration: self._reload,
        }
        self._daemon: Running

    def run(self) -> Outcome:
        """Put all before a daemon, then start once more without its journal."""
        for present in (True, False):
            if not present:
                for path in self.site.state.glob("journal.sqlite*"):
                    path.unlink()
            self._start()
            try:
                if present:
                    self._prepare()
                    for case in self.cases:
                        self._deal(case)
                self._check_canaries()
                self._end()
            except BrokenPromiseError as error:
                self.outcome.violations.append(str(error))
            finally:
                self._daemon.kill()
        self._read_log()
        return self.outcome

    def _table(self, name: str) -> str:
        places = f'input = "{self.root}/{name}/in"\noutput = "{self.root}/{name}/out"'
        return f'[[folder]]\nname = "{name}"\n{places}\nsettle_s = 0.1\npoll_interval_s = 0.5'

    def _start(self) -> None:
        self.site.config.write_text(self._config, encoding="utf-8")
        self._daemon = self.site.start()

    def _prepare(self) -> None:
        """Pictures whose records are going to be edited: good, doubtful and failed ones."""
        needed = sum(isinstance(case, OddRecord) for case in self.cases)
        for number in range(needed):
            content = (jpeg(_RED, 80), empty_scene(), too_large())[(0, 0, 1, 2)[number % 4]]
            path = self.site.input / f"stock-{number:04d}.jpg"
            self._write(path, content)
        self._wait((self.root / "tuned" / "in" / ".cutoutd-folder").exists, "the start")
        self._wait(lambda: len(self._records()) >= needed, f"{needed} pictures to be cut")
        self._stock = self._records()
        self.chance.shuffle(self._stock)
        for name in ("marked", "tuned"):
            self._write(self.root / name / "in" / "a.jpg", jpeg(_RED))

    def _records(self) -> list[Path]:
        return named(self.site.output, "stock-*.json")

    def _deal(self, case: Case) -> None:
        kind = type(case).__name__
        self.outcome.cases[kind] = self.outcome.cases.get(kind, 0) + 1
        with suppress(OSError, ValueError):  # what the file system itself refuses is no case
            self._deeds[type(case)](case)
        if (code := self._daemon.process.poll()) is not None:
            raise BrokenPromiseError(f"the daemon ended with {code} at {case}")

    def _write(self, path: Path, content: bytes) -> None:
        draft = self.root / "draft"
        draft.write_bytes(content)
        os.utime(draft, (time.time() - 1000,) * 2)
        draft.rename(path)

    def _put(self, case: OddFile) -> None:
        path = self.site.input / os.fsdecode(case.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        match case.kind:
            case "directory":
                path.mkdir()
            case "link":
                path.symlink_to(os.fsdecode(case.name[::-1]))
            case "fifo":
                os.mkfifo(path)
            case "socket":
                with socket.socket(socket.AF_UNIX) as made:
                    made.bind(os.fsencode(path))
            case "hard link":
                path.hardlink_to(self.site.input / "stock-0000.jpg")
            case _:
                self._fill(path, case)
        moment_ns = case.mtime_s * SECOND_NS + case.mtime_ns
        os.utime(path, ns=(moment_ns, moment_ns), follow_symlinks=False)
        if case.kind != "link":
            path.chmod(case.mode)

    def _fill(self, path: Path, case: OddFile) -> None:
        self._dropped += 1
        content = {
            "picture": jpeg(_RED, 50 + self._dropped % 45),
            "scene": empty_scene(),
            "large": too_large(),
            "cut short": jpeg(0)[:300],
            "text": b"no picture",
        }.get(case.content, b"")
        with path.open("xb") as file:
            file.write(content)
            if case.content == "sparse":
                file.truncate(_HUGE_BYTES)

    def _edit_record(self, case: OddRecord) -> None:
        if not self._stock:
            return
        record = self._stock.pop()
        self._edit(record, case.at, case.edit, case.value)
        number = record.name[len("stock-") : len("stock-") + 4]
        source = self.site.input / f"stock-{number}.jpg"
        if case.trigger == "new version":
            self._write(source, jpeg(_RED, 60))
        elif case.trigger != "none":
            for row in self.site.journal():
                if os.fsdecode(row["path"]) == source.name:
                    self._command(case.trigger, str(row["id"]))

    def _edit_marker(self, case: OddMarker) -> None:
        self._edit(self.root / "marked" / "in" / case.name, case.at, case.edit, case.value)

    def _edit(self, path: Path, at: float, edit: str, value: Json) -> None:
        with contextlib.suppress(IsADirectoryError):
            if edit == "kind":
                path.unlink(missing_ok=True)
                self.chance.choice(
                    (path.mkdir, lambda: path.symlink_to(path.name), lambda: os.mkfifo(path))
                )()
                return
            if path.is_symlink() or (path.exists() and not path.is_file()):
                path.unlink()  # a case made a pipe or a link of it, which is not written to
            if edit == "bytes" or not path.is_file():
                path.write_bytes(repr(value).encode("utf-8", "surrogatepass")[:2000])
                return
        try:
            document = json.loads(path.read_bytes())
        except ValueError:
            document = {}
        path.write_bytes(json.dumps(edited(document, at, edit, value)).encode("utf-8", "surrogatepass"))

    def _post(self, case: OddCommand) -> None:
        if case.verb == "pause":
            return  # nothing would be cut, as asked
        self._command(case.verb, case.argument)

    def _command(self, verb: str, argument: str) -> None:
        text = tuple(part.encode("utf-8", "replace").decode() for part in (verb, argument))
        with (
            closing(sqlite3.connect(self.site.state / "journal.sqlite", timeout=20)) as connection,
            connection,
        ):
            connection.execute("INSERT INTO command (verb, argument, posted_us) VALUES (?, ?, 0)", text)

    def _reload(self, case: OddConfiguration) -> None:
        head, _, tail = self._config.rpartition("[[folder]]")
        lines = dict(line.split(" = ", 1) for line in tail.strip().splitlines() if " = " in line)
        lines |= {key: _toml(value) for key, value in case.keys.items()}
        lines |= {key: json.dumps(str(self.root / "tuned" / where)) for key, where in case.places.items()}
        text = head + "[[folder]]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())
        draft = self.root / "config.new"
        draft.write_bytes(text.encode("utf-8", "replace") + case.raw)
        draft.rename(self.site.config)
        self._daemon.process.send_signal(signal.SIGHUP)

    def _check_canaries(self) -> None:
        """Good pictures that come after it all are cut, and no command waits."""
        names = [f"canary-{self.chance.randrange(1 << 40):010x}" for _ in range(CANARIES)]
        for number, name in enumerate(names):
            self._write(self.site.input / f"{name}.jpg", jpeg(_RED, 70 + number))
        self._wait(
            lambda: all((self.site.output / f"{name}.png.json").exists() for name in names),
            "good pictures to be cut",
        )
        with closing(sqlite3.connect(self.site.state / "journal.sqlite", timeout=20)) as connection:
            pending = "SELECT COUNT(*) FROM command WHERE refused IS NULL"
            self._wait(lambda: connection.execute(pending).fetchone() == (0,), "the commands to be answered")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            code = self._daemon.process.poll()
            if code is not None or time.monotonic() > end_s:
                ended = "" if code is None else f": the daemon ended with {code}"
                raise BrokenPromiseError(f"waited in vain for {what}{ended}")
            time.sleep(0.05)

    def _end(self) -> None:
        code = self._daemon.stop()
        if code != 0:
            raise BrokenPromiseError(f"the daemon ended with {code}, and was to end in order")

    def _read_log(self) -> None:
        """Every line is one of ours; a fault is contained, and yet one to mend."""
        for line in self._running_log().splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                self.outcome.violations.append(f"the log has a line that is none: {line[:300]}")
                continue
            if said["event"] == "fault":
                trace = str(said.get("exception", ""))[-1500:]
                self.outcome.faults.append(f"{said['over']}: {said['why']}\n{trace}")

    def _running_log(self) -> str:
        return (self.root / "log").read_text(encoding="utf-8")


def _toml(value: Json) -> str:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=True)


def add_small_model(root: Path) -> None:
    """A real model that takes milliseconds, for all daemons that are started from here on."""
    os.environ["XDG_DATA_HOME"] = os.fspath(root / "data")
    file = small_models.save(root / "redness.onnx", logits=True)
    subprocess.run(
        [*_COMMAND, "models", "add", str(file), "--name", SMALL_MODEL, *_DESCRIBED],
        check=True,
        stdout=subprocess.DEVNULL,
    )
