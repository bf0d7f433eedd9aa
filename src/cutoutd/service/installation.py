"""Installs and removes a service: one file, and a few calls of the service manager's tool.

Each step is printed before it is done. A file that we did not make is never touched.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError, UsageError
from cutoutd.fs.atomic_write import atomic_write, hidden_draft
from cutoutd.service.machine import InitSystem, account_named
from cutoutd.service.unit import MARK, NAME, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cutoutd.service.unit import Unit

_COMMAND_TIMEOUT_S: Final = 120


class ServiceManagerError(CutoutdError):
    """systemctl or launchctl failed."""

    title = "The service manager refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A call of the service manager's tool.

    Attributes:
        words: the command.
        may_fail: whether it may fail, as it does where there is nothing to do.
    """

    words: tuple[str, ...]
    may_fail: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """Where a service is installed, and the calls that go with it.

    Attributes:
        file: the unit or property list.
        begin: calls that start it, after the file was written.
        refresh: calls that make a changed file take effect.
        end: calls that stop it for good, before the file is removed.
        after: calls after the file was removed.
        see: command that shows its status to a person.
    """

    file: Path
    begin: tuple[Call, ...]
    refresh: tuple[Call, ...]
    end: tuple[Call, ...]
    after: tuple[Call, ...]
    see: str


def place(kind: InitSystem, scope: Scope, environ: Mapping[str, str], name: str = NAME) -> Installation:
    """Return where a service of this machine belongs.

    Args:
        kind: init system of this machine; not OTHER.
        scope: scope of the service.
        environ: environment, for the directories of a user.
        name: name of the unit.
    """
    if kind is InitSystem.LAUNCHD:
        return _launchd(scope, name)
    is_user = scope is Scope.USER
    tool = ("systemctl", "--user") if is_user else ("systemctl",)
    config = Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    unit = f"{name}.service"
    reload = Call(words=(*tool, "daemon-reload"))
    return Installation(
        file=(config / "systemd/user" if is_user else Path("/etc/systemd/system")) / unit,
        begin=(reload, Call(words=(*tool, "enable", "--now", unit))),
        refresh=(reload, Call(words=(*tool, "enable", unit)), Call(words=(*tool, "restart", unit))),
        end=(Call(words=(*tool, "disable", "--now", unit), may_fail=True),),
        after=(reload, Call(words=(*tool, "reset-failed", unit), may_fail=True)),
        see=" ".join((*tool, "status", name)),
    )


def _launchd(scope: Scope, name: str) -> Installation:
    is_user = scope is Scope.USER
    domain = f"gui/{os.getuid()}" if is_user else "system"
    target = f"{domain}/{name}"
    root = Path.home() if is_user else Path("/")
    file = root / "Library" / ("LaunchAgents" if is_user else "LaunchDaemons") / f"{name}.plist"
    out = Call(words=("launchctl", "bootout", target), may_fail=True)
    begin = (
        Call(words=("launchctl", "enable", target)),
        Call(words=("launchctl", "bootstrap", domain, os.fspath(file))),
    )
    return Installation(
        file=file, begin=begin, refresh=(out, *begin), end=(out,), after=(), see=f"launchctl print {target}"
    )


def install(unit: Unit, text: str, where: Installation, say: Callable[[str], None]) -> None:
    """Write the file unless it is up to date, and have the service run.

    Args:
        unit: the service.
        text: content of the file.
        where: where it is installed.
        say: called with a line about each step.

    Raises:
        UsageError: the file was not made by us, or cannot be written.
        ServiceManagerError: the service manager's tool failed.
    """
    before = _content(where.file)
    _check_ours(where.file, before)
    _make_state_dir(unit, say)
    if before == text:
        say(f"{where.file} is up to date.")
    else:
        say(f"Writing {where.file}")
        _write(where.file, text)
    _call(where.refresh if before not in (None, text) else where.begin, say)


def uninstall(where: Installation, say: Callable[[str], None]) -> bool:
    """Stop the service and remove its file. Returns whether there was one.

    Raises:
        UsageError: the file was not made by us.
        ServiceManagerError: the service manager's tool failed.
    """
    before = _content(where.file)
    if before is None:
        return False
    _check_ours(where.file, before)
    _call(where.end, say)
    say(f"Removing {where.file}")
    try:
        where.file.unlink()
    except OSError as error:
        raise UsageError(f"it cannot be removed ({error.strerror})", path=where.file) from error
    _call(where.after, say)
    return True


def _content(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"it cannot be read ({error.strerror})", path=file) from error


def _check_ours(file: Path, content: str | None) -> None:
    if content is not None and MARK not in content:
        raise UsageError(
            "this file was not made by `cutoutd service install`, so it is left alone",
            path=file,
            advice="Move it away first.",
        )


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, [text.encode()], synced=False, mode=0o644, draft=hidden_draft(file))
    except OSError as error:
        raise UsageError(f"it cannot be written ({error.strerror})", path=file) from error


def _make_state_dir(unit: Unit, say: Callable[[str], None]) -> None:
    """Create the state directory, private to the owner: the unit is bound to it, so it must exist."""
    wanted = [(unit.state_dir, "for the journal")]
    parts = [part for part in (unit.uploader, unit.gateway) if part is not None]
    wanted += [(unit.state_dir / part.exchange, f"which is all that {part.name} will see") for part in parts]
    for directory, what in wanted:
        if directory.is_dir():
            continue
        say(f"Making {directory}, {what}")
        directory.mkdir(parents=True, mode=0o700)
        account = account_named(unit.owner)
        if unit.scope is Scope.SYSTEM and account is not None:
            os.chown(directory, account.uid, -1)


def _call(calls: tuple[Call, ...], say: Callable[[str], None]) -> None:
    tool = calls[0].words[0] if calls else ""
    if calls and shutil.which(tool) is None:
        typed = "\n".join(f"  {shlex.join(call.words)}" for call in calls)
        say(f"There is no {tool} here. Where there is, type:\n{typed}")
        return
    for call in calls:
        say(f"Running {shlex.join(call.words)}")
        run = subprocess.run(  # noqa: S603 -- our own words
            call.words, check=False, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S
        )
        if run.returncode and not call.may_fail:
            raise ServiceManagerError(
                f"`{shlex.join(call.words)}` failed: {run.stderr.strip() or run.returncode}",
                advice="Correct that and run `cutoutd service install` again; it goes on from there.",
            )
