"""`cutoutd models`: lists the models, verifies their files, and removes models of your own."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cutoutd.cli.instance import ConfigOption
from cutoutd.cli.models_add import MEMORY_MB, MemoryOption, ProviderOption, add
from cutoutd.cli.models_fetch import available, fetch
from cutoutd.cli.printing import printable, say
from cutoutd.cli.registry import entries
from cutoutd.errors import ModelError, UsageError
from cutoutd.models import catalog
from cutoutd.settings import loader, places

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.protocols import ModelSpec


def build() -> typer.Typer:
    """Make the sub-commands of `cutoutd models`."""
    app = typer.Typer(
        help="List, add, fetch and remove models. One is in the package; only `models fetch` downloads any.",
        no_args_is_help=True,
    )
    app.command("list")(list_models)
    app.command("available")(available)
    app.command("add")(add)
    app.command("fetch")(fetch)
    app.command("remove")(remove)
    app.command("verify")(verify)
    app.command("path")(path)
    return app


def list_models(
    *,
    time: Annotated[
        bool, typer.Option(help="Run each model twice, to measure how long one picture takes.")
    ] = True,
    provider: ProviderOption = "auto",
    memory_mb: MemoryOption = MEMORY_MB,
) -> None:
    """List the models: size, seconds for one picture on this machine, licence and source."""
    for model in catalog.read():
        took = f"{_seconds(model, provider, memory_mb):>14}  " if time else ""
        say(f"{model.name:<21} {model.bytes / 1e6:>6.1f} MB  {took}{model.licence:<12} {model.source}")


def _seconds(model: ModelSpec, provider: str, memory_mb: int) -> str:
    from cutoutd.pool.model_trial import try_model  # noqa: PLC0415 -- 0.1 s that only these commands need

    try:
        trial = try_model(model, provider=provider, memory_mb=memory_mb)
    except ModelError:
        return "does not run"
    return f"{trial.seconds:.2f} s on {trial.provider}"


def remove(
    name: Annotated[str, typer.Argument(help="The model, as `cutoutd models list` names it.")],
    *,
    config: ConfigOption = None,
) -> None:
    """Remove a model that you added, with its file. One that the configuration names stays."""
    from cutoutd.models.own import remove as take_away  # noqa: PLC0415 -- see `_seconds`

    for path in _configurations(loader.find(config, os.environ)):
        if name in loader.load(path, os.environ).needed_models:
            raise UsageError(
                f"the model {name!r} is named in the configuration",
                path=path,
                advice="Name another one in [model] and in each [[folder]] first.",
            )
    gone = take_away(name)
    say(f"{name}: removed ({gone})")


def _configurations(found: Path | None) -> list[Path]:
    """Return the configuration of the command, and those of this user's running daemons, which may need the model."""
    running = [one.origin.config for one in entries(places.registry()) if one.is_running]
    return list(dict.fromkeys(one for one in (found, *running) if one is not None and os.path.isfile(one)))  # noqa: PTH113 -- Path.is_file raises where access is refused


def verify() -> None:
    """Compare each model's file with its checksum; exit code 4 if one is missing or altered."""
    for model in catalog.read():
        catalog.verify(model)
        say(f"{model.name}: whole (SHA-256 {model.sha256})")


def path(name: Annotated[str | None, typer.Argument(help="The model; all if none is named.")] = None) -> None:
    """Print where a model's file is."""
    for model in [catalog.find(name)] if name is not None else catalog.read():
        place = os.fspath(model.file)
        print(printable(place) if sys.stdout.isatty() else place)  # a script needs the exact name
