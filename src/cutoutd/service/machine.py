"""The init system of this machine, its abilities, and its user accounts."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

from cutoutd.service.systemd import SystemdManager

_NEWEST: Final = 999
_COMMAND_TIMEOUT_S: Final = 20

# Each may forbid the namespaces that a user's unit needs; with the value that forbids it.
_NAMESPACE_SWITCHES: Final = (
    (Path("/proc/sys/kernel/unprivileged_userns_clone"), "0"),
    (Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"), "1"),
    (Path("/proc/sys/user/max_user_namespaces"), "0"),
)


class InitSystem(Enum):
    """What starts services on this machine."""

    SYSTEMD = auto()
    LAUNCHD = auto()
    OTHER = auto()  # none that we know


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A user account."""

    uid: int
    name: str
    home: Path


def kind() -> InitSystem:
    """Return the init system of this machine."""
    if sys.platform == "darwin":
        return InitSystem.LAUNCHD
    if sys.platform == "linux" and (Path("/run/systemd/system").is_dir() or shutil.which("systemctl")):
        return InitSystem.SYSTEMD
    return InitSystem.OTHER


def systemd() -> SystemdManager:
    """Return the systemd of this machine; taken for the newest if its version is unknown."""
    return SystemdManager(
        version=_systemd_version(), namespaces=not any(map(_forbids, *zip(*_NAMESPACE_SWITCHES, strict=True)))
    )


def account_of(uid: int) -> Account:
    """Return the user with an id; without an entry, the number is the name.

    Args:
        uid: user id.
    """
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(uid=uid, name=str(uid), home=Path("/"))
    return Account(uid=uid, name=entry.pw_name, home=Path(entry.pw_dir))


def account_named(name: str) -> Account | None:
    """Return the user of this name, or None."""
    try:
        return account_of(pwd.getpwnam(name).pw_uid)
    except KeyError:
        return None


def lingers(name: str) -> bool:
    """Whether a user's services run while the user is not logged in."""
    return os.path.exists(f"/var/lib/systemd/linger/{name}")  # noqa: PTH110 -- Path.exists raises where access is refused


def _forbids(switch: Path, value: str) -> bool:
    try:
        return switch.read_text(encoding="ascii").strip() == value
    except OSError:
        return False


def _systemd_version() -> int:
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        return _NEWEST
    try:
        said = subprocess.run(  # noqa: S603 -- found on PATH, as a person's own call would be
            [systemctl, "--version"], check=False, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return _NEWEST
    found = re.match(r"systemd (\d+)", said)
    return int(found[1]) if found else _NEWEST
