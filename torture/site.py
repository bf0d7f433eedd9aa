"""A site for campaigns: hot folder, output, configuration and state in one directory, and the real command.

It judges nothing; `torture.checks` does.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from tests.acceptance.conftest import picture

from cutoutd.clock import Clock
from cutoutd.intake import incoming
from cutoutd.journal.store import FILE_NAME, Store
from cutoutd.journal.submissions import Submission
from cutoutd.submitting import submit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cutoutd.job_options import JobOptions

FOLDER = "hot"
PATIENCE_S = 120.0
PIXELS = 10_000
"""A limit between the size of our pictures and that of those to be refused."""

_OLD_S = 1_000.0
_WIDTH, _HEIGHT = 64, 48
_SHADE = (120, 120, 120)


@cache
def jpeg(hue: int, quality: int = 90) -> bytes:
    """Return a small picture of a ball; each quality is another version of it."""
    draft = io.BytesIO()
    picture(hue, width=_WIDTH, height=_HEIGHT).save(draft, format="JPEG", quality=quality)
    return draft.getvalue()


@cache
def empty_scene() -> bytes:
    """Return a picture without a subject, which goes to review."""
    draft = io.BytesIO()
    Image.new("RGB", (_WIDTH, _HEIGHT), _SHADE).save(draft, format="PNG")
    return draft.getvalue()


@cache
def too_large() -> bytes:
    """Return a picture that is refused at once, where ``max_pixels`` is ``PIXELS``."""
    draft = io.BytesIO()
    picture(0, width=2 * _WIDTH, height=2 * _HEIGHT).save(draft, format="JPEG")
    return draft.getvalue()


def broken() -> bytes:
    """Return a broken JPEG; a running daemon waits minutes for it to become complete."""
    return jpeg(0)[:200]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The configuration of the folder, and the places of its parts.

    Attributes:
        root: directory of everything that is not elsewhere.
        options: lines of TOML for the folder.
        state: state directory; None: under the root.
        input, output: likewise.
        originals_dir, sidecar_dir: directories; None: not configured.
        tables: lines of TOML after the folder's, such as a rendition's.
        pool, service: lines of TOML of these tables.
    """

    root: Path
    options: tuple[str, ...] = ()
    state: Path | None = None
    input: Path | None = None
    output: Path | None = None
    originals_dir: Path | None = None
    sidecar_dir: Path | None = None
    tables: tuple[str, ...] = ()
    pool: tuple[str, ...] = ("workers = 1",)
    service: tuple[str, ...] = ()


class Site:
    """Folders, configuration, and the command.

    Attributes:
        input, output, state: directories.
        sidecars: directory of the sidecars.
        originals: where originals are moved to, or None.
        config: the configuration file.
    """

    def __init__(self, layout: Layout) -> None:
        self.root = layout.root
        self.root.mkdir(parents=True, exist_ok=True)
        self.input = layout.input or self.root / "in"
        self.output = layout.output or self.root / "out"
        self.state = layout.state or self.root / "state"
        self.sidecars = layout.sidecar_dir or self.output
        self.originals = layout.originals_dir
        self.config = self.root / "cutoutd.toml"
        for place in (self.input, self.output, layout.sidecar_dir, layout.originals_dir):
            if place is not None:
                place.mkdir(parents=True, exist_ok=True)
        self.config.write_text(self._toml(layout), encoding="utf-8")

    def _toml(self, layout: Layout) -> str:
        places = {"input": self.input, "output": self.output}
        places |= {"sidecar_dir": layout.sidecar_dir} if layout.sidecar_dir else {}
        places |= {"originals_dir": layout.originals_dir} if layout.originals_dir else {}
        return "\n".join(
            [
                "[service]",
                f"state_dir = {json.dumps(str(self.state))}",
                "min_free_disk_mb = 0",
                *layout.service,
                "[pool]",
                *layout.pool,
                "[[folder]]",
                f'name = "{FOLDER}"',
                "settle_s = 0.1",
                "poll_interval_s = 0.3",
                "rescan_interval_s = 2",
                "doubtful_below = 0.0",  # the original of a doubtful cutout is never deleted
                *(f"{name} = {json.dumps(str(path))}" for name, path in places.items()),
                *layout.options,
                *layout.tables,
                "",
            ]
        )

    def drop(self, name: str, content: bytes, *, age_s: float = _OLD_S) -> None:
        """Put a file into the hot folder, complete at once, with a time of its own.

        An existing file is overwritten in place, and so is a later version of the same picture, whether a daemon runs or not:
        a file that replaces it while none runs is another picture.
        """
        path = self.input / name
        path.parent.mkdir(parents=True, exist_ok=True)
        then_ns = time.time_ns() - int(age_s * 1e9)
        if path.exists():
            path.write_bytes(content)
            os.utime(path, ns=(then_ns, then_ns))
            return
        draft = self.root / f".draft-{os.getpid()}"
        if draft.parent.stat().st_dev != path.parent.stat().st_dev:
            draft = path.parent / f".draft-{os.getpid()}"
        draft.write_bytes(content)
        os.utime(draft, ns=(then_ns, then_ns))
        draft.rename(path)

    def hand_in(self, name: str, content: bytes, options: JobOptions) -> None:
        """Submit a file, as programs beside the daemon do; the journal must exist."""
        store = Store(self.state / FILE_NAME)
        try:
            with incoming.new_file(self.input) as file:
                os.write(file.descriptor, content)
                wanted = Submission(key=name, folder=FOLDER, spool=file.name, name=name, options=options)
                submit(store, Clock(), self.input, file, wanted)
        finally:
            store.close()

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of ours."""
        return [sys.executable, "-P", "-B", "-m", "cutoutd", *arguments, "--config", os.fspath(self.config)]

    def environment(self) -> dict[str, str]:
        """Return the environment without variables that affect the command."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("CUTOUTD_")}
        places = {"HOME": os.fspath(self.root), "XDG_STATE_HOME": os.fspath(self.root / "xdg")}
        return kept | places | {"CUTOUTD_PAGE__ENABLED": "false"}

    def start(self, *arguments: str, prefix: Sequence[str] = (), log: Path | None = None) -> Running:
        """Start the daemon in a session of its own, with its log in a file."""
        return Running(
            [*prefix, *self.command("run", *arguments)],
            environment=self.environment(),
            log=log or self.root / "log",
        )

    def settle(self, *, timeout_s: float = PATIENCE_S) -> int:
        """Run to the end of all work, undisturbed. Returns the exit code.

        Raises:
            TimeoutError: it did not end, and was killed.
        """
        running = self.start("--once")
        try:
            return running.wait(timeout_s)
        finally:
            running.kill()

    def journal(self) -> list[dict[str, Any]]:
        """Return the rows of all jobs."""
        with closing(
            sqlite3.connect(f"file:{self.state / 'journal.sqlite'}?mode=ro", uri=True)
        ) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM job ORDER BY id")]

    def remains(self) -> list[dict[str, Any]]:
        """Return the rows of all jobs after a crash, from a copy: the journal itself stays as the crash left it.

        Raises:
            sqlite3.Error: it is damaged.
        """
        with tempfile.TemporaryDirectory() as directory:
            for name in ("journal.sqlite", "journal.sqlite-journal"):
                if (self.state / name).exists():
                    shutil.copyfile(self.state / name, Path(directory, name))
            with closing(sqlite3.connect(Path(directory, "journal.sqlite"))) as connection:
                connection.row_factory = sqlite3.Row
                (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
                if verdict != "ok":
                    raise sqlite3.DatabaseError(verdict)
                if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'job'").fetchone():
                    return []
                return [dict(row) for row in connection.execute("SELECT * FROM job ORDER BY id")]


@dataclass(slots=True)
class Running:
    """A daemon that was started, and its child processes."""

    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Leader of the session: the daemon, or the program that it runs under."""
        return self.process.pid

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for the end.

        Raises:
            TimeoutError: it did not end.
        """
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"it did not end within {timeout_s} s") from None

    def stop(self) -> int:
        """Ask it to end, and wait."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Kill all its processes at once, and check that none is left."""
        for _ in range(200):
            members = family(self.pid)
            if not members and self.process.poll() is not None:
                return
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.process.poll()
            time.sleep(0.005)
        raise TimeoutError(f"what {self.pid} started outlives SIGKILL")


def family(leader: int) -> list[int]:
    """Return the living processes of a session, and all below its leader, which may have sessions of their own."""
    found: dict[int, tuple[int, int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text(encoding="latin-1")
        except OSError:
            continue
        state, parent, _, sid = text.rpartition(")")[2].split()[:4]
        if state != "Z":
            found[int(entry.name)] = int(parent), int(sid)
    members = [pid for pid, (_, sid) in found.items() if sid == leader]
    for member in members:  # the list grows meanwhile
        members += [pid for pid, (parent, _) in found.items() if parent == member and pid not in members]
    return members


def digest(content: bytes) -> str:
    """Return the SHA-256, hex."""
    return hashlib.sha256(content).hexdigest()
