"""Checks this machine and installation: Python, packages, SQLite, clock, limits of inotify, telemetry.

Each function takes what it judges, so that a test can pass faulty values. It must not access a folder.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import sqlite3
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import moment
from cutoutd.doctor.finding import Finding, Question, note, ok, problem
from cutoutd.process.installer import how_to_repair
from cutoutd.sandbox.kernel import call, is_linux

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cutoutd.doctor.finding import Finding
    from cutoutd.settings.schema import Folder

_NEEDED_PYTHON: Final = (3, 11)
_SERIALIZED: Final = 3  # sqlite3.threadsafety, after PEP 249
_NOT_SYNCHRONISED: Final = 5  # TIME_ERROR of adjtimex(2)
_TIMEX_BYTES: Final = 512
_NEWEST_YEAR: Final = 2100
_OLDEST_YEAR: Final = 2026  # when this program was written
_DAY_US: Final = 24 * 3600 * 1_000_000
_ENOUGH: Final = 0.8

_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)\s*(?:[^;]*?>=\s*([0-9.]+))?[^;]*(;.*)?")


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Check the interpreter.

    Args:
        version: its version.
    """
    text = ".".join(map(str, version))
    library = " ".join(filter(None, platform.libc_ver()))
    seen = f"Python {text} at {sys.executable} ({' '.join(filter(None, (platform.machine(), library)))})"
    if version < _NEEDED_PYTHON:
        return problem("python", seen, "cutoutd takes Python 3.11 or newer: install it with that one.")
    return ok("python", seen)


def packages(
    requirements: Iterable[str], version_of: Callable[[str], str] = metadata.version
) -> Iterator[Finding]:
    """Check that all required packages are installed, and new enough.

    Args:
        requirements: requirements, as in the metadata of the package.
        version_of: returns the version of a package, or raises PackageNotFoundError.
    """
    found: list[str] = []
    wrong: list[str] = []
    for requirement in requirements:
        name, least, condition = _requirement(requirement)
        if "extra ==" in condition:
            continue
        try:
            version = version_of(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        found.append(f"{name} {version}")
        if least and _numbers(version) < _numbers(least):
            wrong.append(f"{name} is {version}, and {least} is needed")
    if wrong:
        yield problem("packages", "; ".join(wrong), how_to_repair())
    else:
        yield ok("packages", ", ".join(found))
    with suppress(metadata.PackageNotFoundError):
        version_of("opencv-python")
        yield note(
            "packages",
            "opencv-python is installed beside opencv-python-headless",
            "Both write the same files, and only the one installed last works: uninstall opencv-python, then install the other again.",
        )


def requirements() -> list[str]:
    """Return the requirements of this installation."""
    try:
        return metadata.requires("cutoutd") or []
    except metadata.PackageNotFoundError:
        return []


def _requirement(text: str) -> tuple[str, str, str]:
    match = _REQUIREMENT.fullmatch(text.strip())
    if match is None:
        return text, "", ""
    return match[1], match[2] or "", match[3] or ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def sqlite(
    connect: Callable[[str], sqlite3.Connection] = sqlite3.connect, threadsafety: int = sqlite3.threadsafety
) -> Finding:
    """Check SQLite, which the journal uses.

    Args:
        connect: opens a database.
        threadsafety: thread safety of the library, as ``sqlite3.threadsafety``.
    """
    seen = f"SQLite {sqlite3.sqlite_version}"
    try:
        with closing(connect(":memory:")) as connection:
            connection.execute("SELECT json_valid('{}')").close()
    except sqlite3.OperationalError as error:
        return problem(
            "sqlite",
            f"{seen} lacks what the journal needs: {error}",
            "Use a Python whose SQLite is 3.38 or newer.",
        )
    if threadsafety < _SERIALIZED:
        return problem(
            "sqlite",
            f"{seen} was built without locks between threads",
            "Use another Python; those of python.org and of distributions have them.",
        )
    return ok("sqlite", f"{seen}; the journal is a rollback journal, synced at each step")


def clock(now_us: int, newest_us: int | None, *, synchronised: bool | None) -> Finding:
    """Check that the time is plausible.

    Args:
        now_us: UTC microseconds.
        newest_us: latest time in the journal; None: it has none.
        synchronised: whether the kernel reports that the clock is synchronised; None: it reports nothing.
    """
    now = moment(now_us)
    seen = f"it is {now:%Y-%m-%d %H:%M:%S} UTC"
    advice = "Set the clock (`timedatectl set-ntp true`). Nothing is lost by a wrong one, but sidecars tell wrong times."
    if not _OLDEST_YEAR <= now.year < _NEWEST_YEAR:
        return problem("clock", f"{seen}, which cannot be", advice)
    if newest_us is not None and newest_us > now_us + _DAY_US:
        last = moment(newest_us)
        return problem("clock", f"{seen}, and the journal has an entry from {last:%Y-%m-%d %H:%M:%S}", advice)
    if synchronised is False:
        return note("clock", f"{seen}; the kernel says that the clock is not synchronised", advice)
    return ok("clock", f"{seen}{', synchronised with a time server' if synchronised else ''}")


def synchronised() -> bool | None:
    """Whether the kernel reports that the clock is synchronised (adjtimex(2), without changing anything)."""
    if not is_linux():
        return None
    result = call("adjtimex", ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if result < 0 else result != _NOT_SYNCHRONISED


@dataclass(frozen=True, kw_only=True, slots=True)
class Inotify:
    """Numbers of watches and instances of inotify, as limits or as used."""

    watches: int
    instances: int


def inotify_limits(proc: Path = Path("/proc")) -> Inotify | None:
    """Return the limits of this user; None where there is no inotify."""
    watches = [
        _number(proc / name) for name in ("sys/fs/inotify/max_user_watches", "sys/user/max_inotify_watches")
    ]
    instances = [
        _number(proc / name)
        for name in ("sys/fs/inotify/max_user_instances", "sys/user/max_inotify_instances")
    ]
    if watches[0] is None or instances[0] is None:
        return None
    return Inotify(
        watches=min(one for one in watches if one is not None),
        instances=min(one for one in instances if one is not None),
    )


def inotify_used(proc: Path = Path("/proc")) -> Inotify:
    """Return what other programs of this user use, as far as they can be examined; the daemon itself cannot."""
    watches = instances = 0
    for directory in proc.glob("[0-9]*"):
        with suppress(OSError):
            if directory.stat().st_uid != os.geteuid():
                continue
            for link in (directory / "fd").iterdir():
                if os.readlink(link) != "anon_inode:inotify":  # noqa: PTH115 -- it leads nowhere
                    continue
                instances += 1
                watches += (directory / "fdinfo" / link.name).read_text(encoding="ascii").count("inotify wd:")
    return Inotify(watches=watches, instances=instances)


def inotify(limits: Inotify | None, used: Inotify, need: Inotify) -> Iterator[Finding]:
    """Check that the limits are sufficient.

    Args:
        limits: limits of the user.
        used: used by other programs.
        need: needed by the folders that are watched natively.
    """
    if limits is None:
        return
    for what in ("watches", "instances"):
        limit, taken, wanted = (getattr(one, what) for one in (limits, used, need))
        seen = f"the folders take {wanted} of {limit} inotify {what}; other programs of yours have {taken}"
        advice = (
            f"As root: `sysctl fs.inotify.max_user_{what}={max(2 * (taken + wanted), 8192 if what == 'watches' else 512)}`, "
            "and the same line in /etc/sysctl.d/cutoutd.conf. Until then folders are scanned every few seconds instead."
        )
        if taken + wanted > limit:
            yield problem("inotify", seen, advice)
        elif taken + wanted > _ENOUGH * limit:
            yield note("inotify", seen, advice)
        else:
            yield ok("inotify", seen)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def telemetry(environment: Mapping[str, str], *, works: bool) -> Finding:
    """Check that onnxruntime sends no telemetry.

    Args:
        environment: environment of every worker.
        works: whether a worker came up, which it does only with telemetry off.
    """
    if environment.get("ORT_DISABLE_TELEMETRY") != "1":
        return problem(
            "telemetry",
            "workers are not started with ORT_DISABLE_TELEMETRY=1",
            "Please report this; the kernel still refuses every worker a socket.",
            question=Question.OFFLINE,
        )
    tried = ", and does not load it otherwise (tried)" if works else ""
    return ok(
        "telemetry",
        f"onnxruntime's telemetry is off: every worker gets ORT_DISABLE_TELEMETRY=1 before it loads that library{tried}; "
        "cutoutd itself has none",
        question=Question.OFFLINE,
    )


def memory(workers: int, physical_mb: int, worker_memory_mb: int) -> Finding:
    """Check that the workers fit in the memory.

    Args:
        workers: number of workers.
        physical_mb: memory of the machine, MiB.
        worker_memory_mb: limit of each worker, MiB.
    """
    seen = f"{workers} workers, of at most {worker_memory_mb} MiB each; the machine has {physical_mb} MiB"
    if workers * 600 > physical_mb:
        return problem(
            "memory", seen, "Set [pool] workers lower: each takes 600 MiB even for small pictures."
        )
    return ok("memory", seen)


PLATFORM: Final = "darwin"

_GUARDED: Final = ("Desktop", "Documents", "Downloads", "Pictures/Photos Library.photoslibrary")
_CLOUD: Final = "Library/Mobile Documents"
_CONSENT: Final = (
    "macOS keeps programs out of this place until you allow it: System Settings, Privacy & Security, Full Disk Access, and "
    "there the Python that runs cutoutd (the first path that `cutoutd service show` prints); then restart the service."
)


def guarded(path: Path, home: Path) -> str:
    """Return why macOS asks before a program reads a place; empty if it does not."""
    for name in _GUARDED:
        if path.is_relative_to(home / name):
            return f"it lies in {name}"
    if path.is_relative_to(home / _CLOUD):
        return "it lies in iCloud Drive"
    if path.is_relative_to("/Volumes"):
        return "it lies on a removable disk or network volume"
    return ""


def consent(path: Path, number: int, platform: str) -> str:
    """Return what to do about a refusal that is probably by macOS; empty where it is not."""
    refused = number in (errno.EPERM, errno.EACCES)
    return _CONSENT if platform == PLATFORM and refused and guarded(path, Path.home()) else ""


def about(folder: Folder, found: Mapping[str, Any], platform: str) -> Iterator[Finding]:
    """Report facts about a readable folder that matter on macOS.

    Args:
        folder: settings of the folder.
        found: what was seen of its input.
        platform: platform, as in ``sys.platform``.
    """
    if platform != PLATFORM:
        return
    if why := guarded(folder.input, Path.home()):
        yield note(
            "privacy",
            f"macOS asks before a program reads the input: {why}. You may read it; a service may not yet.",
            _CONSENT,
            subject=folder.name,
        )
    if found.get("decomposed"):
        yield note(
            "names",
            f"{found['decomposed']} names are written in decomposed form (an e and an accent for é)",
            "They are kept as they are. On other systems they look the same and are another name.",
            subject=folder.name,
        )
    if found.get("placeholders"):
        yield note(
            "icloud",
            f"{found['placeholders']} files are in iCloud and not on this disk",
            'They are not cut until they are here: choose "Keep Downloaded" for the folder in the Finder.',
            subject=folder.name,
        )
