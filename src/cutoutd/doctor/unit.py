"""Whether cutoutd is installed as a service here, whether it runs, and whether it belongs to this configuration.

It queries the service manager and changes nothing.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.doctor.finding import Finding, note, ok, problem
from cutoutd.errors import UsageError
from cutoutd.service import installation, launchd, machine, planning, systemd
from cutoutd.service.machine import InitSystem
from cutoutd.service.unit import MARK, NAME, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cutoutd.settings.schema import Settings

_ANSWER_S: Final = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Installed:
    """An installed service.

    Attributes:
        scope: scope of the service.
        file: its unit or property list.
        text: content of the file; None: it cannot be read.
        active: whether it runs; None: the service manager does not say.
        wanted: what `cutoutd service install` would write now; None: unknown.
    """

    scope: Scope
    file: Path
    text: str | None
    active: bool | None
    wanted: str | None = None


def find(
    kind: InitSystem,
    settings: Settings | None,
    *,
    arguments: Sequence[str],
    config: Path | None,
    environ: Mapping[str, str],
) -> list[Installed]:
    """Return our services on this machine.

    Args:
        kind: init system of this machine.
        settings: the configuration; None: there is none, or it is wrong.
        arguments: arguments of ``cutoutd run`` that name the configuration.
        config: path of the configuration.
        environ: the environment.
    """
    found = []
    for scope in Scope:
        if kind is InitSystem.OTHER:
            continue
        place = installation.place(kind, scope, environ)
        try:
            there = place.file.is_file()
        except OSError:
            continue
        if there:
            found.append(
                Installed(
                    scope=scope,
                    file=place.file,
                    text=_text(place.file),
                    active=_is_active(kind, scope),
                    wanted=_wanted(kind, scope, settings, arguments, config, environ),
                )
            )
    return found


def judge(
    installed: Sequence[Installed], kind: InitSystem, *, running: bool, lingers: bool
) -> Iterator[Finding]:
    """Judge the installed services.

    Args:
        installed: the installed services.
        kind: init system of this machine.
        running: whether a daemon of this configuration runs, however it was started.
        lingers: whether this user's services run while nobody is logged in.
    """
    if kind is InitSystem.OTHER:
        seen = "there is neither systemd nor launchd here"
        yield note("unit", seen, "Have whatever starts programs here start `cutoutd run`.")
        return
    if not installed:
        yield note(
            "unit",
            f"no service is installed{', though a daemon runs' if running else ''}",
            "`cutoutd service install` has cutoutd run now and after every login. Without a configuration it takes "
            "--input and --output. To choose folders on a page instead, start cutoutd without these two options.",
        )
    for one in installed:
        yield _about(one)
        if one.scope is Scope.USER and kind is InitSystem.SYSTEMD and not lingers:
            yield note(
                "unit",
                "it runs while you are logged in",
                "To have it run from boot on: `loginctl enable-linger`.",
            )
    if len(installed) > 1:
        yield note(
            "unit",
            "it is installed both for you and for the machine",
            "Two can work beside each other only on different folders: `cutoutd service uninstall` removes one.",
        )


def _about(one: Installed) -> Finding:
    what = f"the service {one.file} ({one.scope})"
    if one.text is not None and MARK not in one.text:
        return note("unit", f"{what} was not made by `cutoutd service install`, so it is not checked")
    if one.active is False:
        return problem(
            "unit",
            f"{what} is installed and does not run",
            f"`{_see(one.scope)}` says why; `cutoutd service install` starts it again.",
        )
    if one.wanted is not None and one.text is not None and one.wanted != one.text:
        return note(
            "unit",
            f"{what} is not what this configuration would make",
            "Folders may have moved, or cutoutd was upgraded: run `cutoutd service install` again.",
        )
    if one.active is None:
        return note("unit", f"{what} is installed; the service manager does not say whether it runs")
    return ok("unit", f"{what} is installed and runs")


def _see(scope: Scope) -> str:
    return " ".join(("systemctl", *(("--user",) if scope is Scope.USER else ()), "status", NAME))


def _is_active(kind: InitSystem, scope: Scope) -> bool | None:
    if kind is InitSystem.LAUNCHD:
        said = _ask(*installation.place(kind, scope, {}).see.split())
        return None if said is None else said[0] == 0 and "state = running" in said[1]
    words = ("systemctl", *(("--user",) if scope is Scope.USER else ()), "is-active", f"{NAME}.service")
    said = _ask(*words)
    if said is None or not said[1].strip():
        return None
    return said[1].strip() in ("active", "reloading", "activating")


def _ask(*words: str) -> tuple[int, str] | None:
    tool = shutil.which(words[0])
    if tool is None:
        return None
    try:
        run = subprocess.run(  # noqa: S603 -- our own words
            (tool, *words[1:]), check=False, capture_output=True, text=True, timeout=_ANSWER_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.returncode, run.stdout


def _wanted(
    kind: InitSystem,
    scope: Scope,
    settings: Settings | None,
    arguments: Sequence[str],
    config: Path | None,
    environ: Mapping[str, str],
) -> str | None:
    """Return the text that would be written now; None for a system service, which depends on options that are unknown here."""
    if settings is None or scope is Scope.SYSTEM:
        return None
    try:
        unit = planning.unit_for(
            settings,
            scope=scope,
            arguments=arguments,
            config=config,
            environ=environ,
            uploader_apart=kind is InitSystem.SYSTEMD,
        )
    except UsageError:
        return None
    return launchd.render(unit) if kind is InitSystem.LAUNCHD else systemd.render(unit, machine.systemd())


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
