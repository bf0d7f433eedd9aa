"""The ground of a hostile layout: a site, a foreign directory beside it, and the checks on both."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from torture import batches
from torture.confinement_layouts import Victim
from torture.site import Layout, Site, jpeg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

END_S: Final = 180.0
CANARY: Final = "zz/canary.jpg"
SOMEBODY: Final = 4711


@dataclass(slots=True)
class Found:
    """The outcome of a part of the campaign."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Ground:
    """A site, and beside it a directory of another user.

    Attributes:
        root: directory of both.
        options: lines of TOML for the folder.
    """

    root: Path
    options: tuple[str, ...] = ()
    site: Site = field(init=False)
    victim: Victim = field(init=False)
    _before: dict[str, tuple[object, ...]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)
        self.victim = Victim(self.root / "victim")
        (self.victim.root / "below").mkdir(parents=True)
        for number, name in enumerate(("private.jpg", "below/private.jpg", "linked.jpg")):
            self.victim.file(name).write_bytes(jpeg(number, 60 + number))
        for name in ("secret.json", "a.png", "a.png.json", "below/a.jpg"):
            self.victim.file(name).write_bytes(b'{"schema": "cutoutd.sidecar/1", "secret": true}')
        for path in self.victim.root.rglob("*"):
            os.chown(path, SOMEBODY, SOMEBODY)
        self.site = Site(
            Layout(
                root=self.root / "site",
                pool=("workers = 1", "job_timeout_s = 20", "[model]", f'name = "{batches.SMALL_MODEL}"'),
                service=('log_format = "json"',),
                options=self.options,
            )
        )

    def drop(self, name: str, content: bytes) -> None:
        """Put a picture into the hot folder."""
        self.site.drop(name, content)

    def begin(self) -> None:
        """Record the state of the foreign directory after everything was planted."""
        self.drop(CANARY, jpeg(3))
        self._before = _everything(self.victim.root)

    def run(
        self,
        what: str,
        found: Found,
        *,
        environment: dict[str, str] | None = None,
        at_end: Callable[[], None] = lambda: None,
        end_s: float = END_S,
    ) -> str:
        """Cut what is there, and check what does not depend on the layout. Returns the log.

        Args:
            what: the layout.
            found: collects the outcome.
            environment: additional variables.
            at_end: called once the daemon has ended, before the checks.
            end_s: timeout.
        """
        log = self.site.root / "log"
        running = self.site.start("--once", log=log, prefix=_with(environment or {}))
        try:
            code = running.wait(end_s)
        except TimeoutError:
            found.violations.append(f"{what}: it hangs")
            code = -1
        finally:
            running.kill()
            at_end()
        said = log.read_text(encoding="utf-8", errors="replace")
        if code not in (-1, 0, 1, 2, 5) or "Traceback" in said:
            found.violations.append(f"{what}: it ended with code {code}: {said[-600:]}")
        found.violations += [
            f"{what}: a fault: {line[:600]}" for line in said.splitlines() if '"event": "fault"' in line
        ]
        found.violations += [f"{what}: {one}" for one in self._harm()]
        if code in (2, 5):
            found.counts["refused to start"] += 1
            if str(self.root) not in said:
                found.violations.append(f"{what}: refused without a name: {said[-300:]}")
        elif not (self.site.output / "zz/canary.png").is_file():
            found.counts["stood by"] += 1
            if "not checked: " not in said and "remains: " not in said:
                found.violations.append(f"{what}: the canary was not cut, and nobody says why: {said[-300:]}")
        else:
            found.counts["canary cut"] += 1
        return said

    def _harm(self) -> Iterator[str]:
        after = _everything(self.victim.root)
        for name in sorted(self._before.keys() | after.keys()):
            if self._before.get(name) != after.get(name):
                yield f"somebody's {name} was {self._before.get(name)} and is {after.get(name)}"
        private = {
            hashlib.sha256(self.victim.file(name).read_bytes()).hexdigest()
            for name in ("private.jpg", "below/private.jpg", "secret.json")
        }
        for path, status in _walk(self.site.output):
            if not _is_small_file(status):
                continue
            content = path.read_bytes()
            if any(one.encode() in content for one in private) and path.suffix == ".json":
                yield f"{path} was made of somebody's picture"
            if path.suffix == ".png" and status.st_mtime_ns > self._begun_ns():
                yield from self._torn(path, content)

    def _begun_ns(self) -> int:
        return self.site.config.stat().st_mtime_ns

    def _torn(self, path: Path, content: bytes) -> Iterator[str]:
        """Yield results that are not those that their sidecar lists."""
        sidecar = path.with_name(path.name + ".json")
        with suppress(OSError, ValueError, KeyError, TypeError):
            if not sidecar.is_symlink() and sidecar.is_file():
                said = json.loads(sidecar.read_bytes()[: 1 << 20])
                (one,) = said["outputs"]
                if "job" in said and one["sha256"] != hashlib.sha256(content).hexdigest():
                    yield f"{path} is not what its sidecar says"

    def close(self) -> None:
        """Remove everything."""
        for path, status in [*_walk(self.root)]:
            if _is_directory(status):
                path.chmod(0o700)
        shutil.rmtree(self.root)


def _with(environment: dict[str, str]) -> list[str]:
    return ["env", *(f"{key}={value}" for key, value in environment.items())] if environment else []


def _walk(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    waiting = [root]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            status = path.lstat()
            yield path, status
            if _is_directory(status):
                waiting.append(path)


def _is_directory(status: os.stat_result) -> bool:
    return status.st_mode & 0o170000 == 0o040000


def _is_small_file(status: os.stat_result) -> bool:
    return status.st_mode & 0o170000 == 0o100000 and status.st_size < 1 << 24


def _everything(root: Path) -> dict[str, tuple[object, ...]]:
    return {
        path.relative_to(root).as_posix(): (
            oct(status.st_mode),
            status.st_uid,
            status.st_size,
            status.st_mtime_ns,
            status.st_nlink,
            hashlib.sha256(path.read_bytes()).hexdigest()[:12] if _is_small_file(status) else "",
        )
        for path, status in _walk(root)
    }
