"""`cutoutd service`: cutoutd as a service of systemd or launchd."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutoutd.cli import registry
from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, settings
from cutoutd.cli.printing import printable
from cutoutd.errors import UsageError
from cutoutd.process import program
from cutoutd.service import installation, launchd, machine, planning, systemd
from cutoutd.service.machine import InitSystem
from cutoutd.service.unit import GATEWAY, PAGE, SERVE, UPLOADER, Scope, Unit
from cutoutd.settings import environment, loader, places

if TYPE_CHECKING:
    from collections.abc import Iterator

SystemOption = Annotated[
    bool,
    typer.Option(
        "--system/--user",
        help="For the whole machine, from boot on; or only for you, while you are logged in.",
    ),
]
RunAsOption = Annotated[
    str | None,
    typer.Option("--run-as", help="With --system: the user it runs as; by default the folders' owner."),
]


def build() -> typer.Typer:
    """Make the sub-commands of `cutoutd service`."""
    app = typer.Typer(help="Run cutoutd as a service of systemd or launchd.", no_args_is_help=True)
    app.command("install")(install)
    app.command("uninstall")(uninstall)
    app.command("show")(show)
    return app


@dataclass(frozen=True, kw_only=True, slots=True)
class _Service:
    """A service as it would be installed."""

    unit: Unit
    text: str
    notes: tuple[str, ...]
    beside: tuple[tuple[str, str | None], ...] = ()
    """Name and text of each separate service; None: there is none."""


def install(
    *,
    system: SystemOption = False,
    run_as: RunAsOption = None,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Install the service for this configuration and start it. Run it again after paths have changed."""
    scope = Scope.SYSTEM if system else Scope.USER
    kind = _kind(config, input_dir, output_dir)
    _check_privileges(scope)
    if input_dir is not None and not os.path.isdir(input_dir):  # noqa: PTH112 -- Path.is_dir raises where access is refused
        raise UsageError("this folder is not there", path=input_dir, advice="Make it, or name another one.")
    service = _service(kind, scope, run_as, config, input_dir, output_dir)
    if scope is Scope.USER:
        with suppress(OSError):  # optional; a unit is granted only the directories that exist when it starts
            registry.make(places.registry())
    where = installation.place(kind, scope, os.environ)
    for name, text in service.beside:
        # Before the daemon, which needs them at its start.
        beside = installation.place(kind, scope, os.environ, name)
        if text is None:
            installation.uninstall(beside, _say)
        else:
            installation.install(service.unit, text, beside, _say)
    installation.install(service.unit, service.text, where, _say)
    for note in service.notes:
        _say(f"Note: {note}")
    _say(f"To see its state: {where.see}")
    if kind is InitSystem.SYSTEMD and scope is Scope.USER and not machine.lingers(service.unit.owner):
        _say("It runs while you are logged in. To have it run from boot on: loginctl enable-linger")


def uninstall(*, system: SystemOption = False) -> None:
    """Stop the service and remove it; pictures, cutouts, configuration and journal stay."""
    kind = machine.kind()
    scope = Scope.SYSTEM if system else Scope.USER
    if kind is InitSystem.OTHER:
        raise UsageError(
            "there is neither systemd nor launchd here, so nothing is installed",
            advice="Stop what starts `cutoutd run` here.",
        )
    _check_privileges(scope)
    where = installation.place(kind, scope, os.environ)
    for name in (SERVE, PAGE, UPLOADER) if kind is InitSystem.SYSTEMD else (PAGE,):
        installation.uninstall(installation.place(kind, scope, os.environ, name), _say)
    if installation.uninstall(where, _say):
        _say("The service is removed. Pictures, cutouts, configuration and journal are untouched.")
    else:
        _say(f"No service is installed: there is no {where.file}.")


def show(
    *,
    system: SystemOption = False,
    run_as: RunAsOption = None,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Print what `install` would write; notes go to standard error. Nothing is changed."""
    scope = Scope.SYSTEM if system else Scope.USER
    kind = _kind(config, input_dir, output_dir)
    service = _service(kind, scope, run_as, config, input_dir, output_dir)
    print(service.text, end="")
    notes = [f"It belongs in {installation.place(kind, scope, os.environ).file}", *service.notes]
    for name, text in service.beside:
        if text is not None:
            print(f"\n{text}", end="")
            notes.append(f"{name} belongs in {installation.place(kind, scope, os.environ, name).file}")
    for note in notes:
        print(f"cutoutd: {note}", file=sys.stderr)


def _service(
    kind: InitSystem,
    scope: Scope,
    run_as: str | None,
    config: Path | None,
    input_dir: Path | None,
    output_dir: Path | None,
) -> _Service:
    chosen = settings(config, input_dir, output_dir)
    file = loader.find(config, os.environ) if input_dir is None else None
    unit = planning.unit_for(
        chosen,
        scope=scope,
        arguments=_arguments(file, input_dir, output_dir),
        config=file,
        environ=os.environ,
        run_as=run_as,
        uploader_apart=kind is InitSystem.SYSTEMD,
    )
    notes = [*planning.cautions(unit, chosen), *_ignored_variables()]
    if kind is InitSystem.LAUNCHD:
        shown = launchd.render_page(unit) if unit.page is not None else None
        return _Service(unit=unit, text=launchd.render(unit), notes=tuple(notes), beside=((PAGE, shown),))
    manager = machine.systemd()
    if not systemd.has_namespaces(unit, manager):
        why = "a folder has `group`" if unit.chowns else "this system lets users make no namespaces"
        notes.append(
            f"{why}, so the service cannot have a private view of the file system. Its network stays blocked, by "
            "cutoutd's own filter and by systemd; with --system it has that view, too"
        )
    return _Service(
        unit=unit,
        text=systemd.render(unit, manager),
        notes=tuple(notes),
        beside=(
            *(
                (name, systemd.render_uploader(unit, part, manager) if part is not None else None)
                for name, part in ((UPLOADER, unit.uploader), (GATEWAY, unit.gateway))
            ),
            (PAGE, systemd.render_page(unit, manager) if unit.page is not None else None),
            (SERVE, systemd.render_serve(unit, manager) if unit.serve is not None else None),
        ),
    )


def _arguments(file: Path | None, input_dir: Path | None, output_dir: Path | None) -> list[str]:
    if file is not None:
        return ["--config", os.fspath(file)]
    pair = (("--input", input_dir), ("--output", output_dir))
    return [
        word for option, path in pair if path is not None for word in (option, os.fspath(Path.cwd() / path))
    ]


def _kind(config: Path | None, input_dir: Path | None, output_dir: Path | None) -> InitSystem:
    kind = machine.kind()
    if kind is InitSystem.OTHER:
        file = loader.find(config, os.environ) if input_dir is None else None
        command = shlex.join([*program.command(), "run", *_arguments(file, input_dir, output_dir)])
        raise UsageError(
            "there is neither systemd nor launchd here",
            advice=f"Have whatever starts programs here start this one, and again when it ends: {command}",
        )
    return kind


def _check_privileges(scope: Scope) -> None:
    if scope is Scope.SYSTEM and os.geteuid() != 0:
        raise UsageError(
            "a service of the whole machine is root's to install",
            advice="Use sudo; or --user, for one of your own.",
        )
    if scope is Scope.USER and os.geteuid() == 0:
        raise UsageError(
            "this would be a service of root's",
            advice="Leave out sudo; or use --system, for one of the whole machine.",
        )


def _ignored_variables() -> Iterator[str]:
    for name in sorted(set(os.environ) & set(environment.variables())):
        yield f"${name} counts for this call, not for the service: write it into the configuration"


def _say(text: str) -> None:
    print(printable(text) if "\n" not in text else text)
