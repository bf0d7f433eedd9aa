"""Writes the units of the Debian package, made from the templates that `cutoutd service install` uses.

    python units.py DIRECTORY SYSTEMD_VERSION

A package knows neither users nor folders: a user's unit is left without namespaces, which not every system allows to
users, and the system's is a template whose instance is the folders' owner. `cutoutd service install` writes stricter ones.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from cutoutd.service import systemd
from cutoutd.service.unit import NAME, PAGE, SERVE, Scope, ServerUnit, Unit
from cutoutd.settings import places

_PROGRAM: Final = ("/opt/cutoutd/bin/python", "-P", "-m", "cutoutd")
_INSTANCE: Final = "INSTANCE"  # a % would be escaped
_CONFIG: Final = "CONFIGURATION"
_PLACES: Final = tuple(map(Path, ("/home", "/srv", "/mnt", "/media", "/run/media", "/etc/cutoutd")))

_SYSTEM_HEAD: Final = """\
# Part of the package cutoutd. The instance is the user who owns the folders, and its configuration bears that name:
#   systemctl enable --now NAME@ann     reads /etc/cutoutd/ann.toml
# Changes belong into a drop-in: systemctl edit NAME@ann. Folders elsewhere than below /home, /srv, /mnt, /media and
# /run/media need a line ReadWritePaths= there.
"""
_USER_HEAD: Final = """\
# Part of the package cutoutd. Each user enables it: systemctl --user enable --now NAME
# `cutoutd service install` writes a stricter one in its stead where the system allows it.
"""


def _unit(scope: Scope) -> Unit:
    config = ("--config", _CONFIG)
    return Unit(
        scope=scope,
        command=(*_PROGRAM, "run", *config, "--page-apart", "--serve-apart"),
        owner=_INSTANCE,
        home=Path("/home"),
        state_dir=places.SYSTEM_STATE,
        read=(),
        write=_PLACES[:-1],
        environment={},
        page=ServerUnit(
            command=(*_PROGRAM, "page", "--serve-only", *config),
            write=(*_PLACES, places.SYSTEM_STATE),
            is_loopback=False,  # the configuration decides, and is not known here
        ),
        serve=ServerUnit(
            command=(*_PROGRAM, "serve", "--serve-only", *config),
            write=(*_PLACES[:-1], places.SYSTEM_STATE),
            is_loopback=False,  # likewise
        ),
    )


def _finished(text: str, scope: Scope, name: str) -> str:
    head, config = _SYSTEM_HEAD, "/etc/cutoutd/%i.toml"
    if scope is Scope.USER:
        head, config = _USER_HEAD, "%E/cutoutd/cutoutd.toml"
    body = text[text.index("[Unit]") :]
    body = body.replace(
        "StartLimitIntervalSec=0", f"ConditionPathExists={config}\nStartLimitIntervalSec=0", 1
    )
    body = body.replace("StateDirectory=cutoutd\n", "StateDirectory=cutoutd/%i\n")
    return head.replace("NAME", name) + body.replace(_CONFIG, config).replace(_INSTANCE, "%i")


def main(directory: Path, version: int) -> None:
    """Write all units below the directory, as below ``/usr/lib/systemd``."""
    for scope, place, mark in ((Scope.USER, "user", ""), (Scope.SYSTEM, "system", "@")):
        manager = systemd.SystemdManager(version=version, namespaces=False)
        unit = _unit(scope)
        (directory / place).mkdir(parents=True, exist_ok=True)
        for name, text in (
            (NAME, systemd.render(unit, manager)),
            (PAGE, systemd.render_page(unit, manager)),
            (SERVE, systemd.render_serve(unit, manager)),
        ):
            file = directory / place / f"{name}{mark}.service"
            file.write_text(_finished(text, scope, name), encoding="utf-8")
            file.chmod(0o644)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
