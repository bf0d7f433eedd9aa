"""`cutoutd models`: which models there are, where they lie, and whether they are what they should be."""

from __future__ import annotations

from typing import Annotated

import typer

from cutoutd.models import catalog


def build() -> typer.Typer:
    """The sub-commands of `cutoutd models`."""
    app = typer.Typer(
        help="The models: all come with the package, none is ever fetched.", no_args_is_help=True
    )
    app.command("list")(list_models)
    app.command("verify")(verify)
    app.command("path")(path)
    return app


def list_models() -> None:
    """List the models, their licence and size."""
    for model in catalog.read():
        print(f"{model.name:<16} {model.bytes / 1e6:>6.1f} MB  {model.licence:<12} {model.source}")


def verify() -> None:
    """Compare each model's file with its checksum; exit code 4 if one is missing or altered."""
    for model in catalog.read():
        catalog.verify(model)
        print(f"{model.name}: whole (SHA-256 {model.sha256})")


def path(name: Annotated[str | None, typer.Argument(help="The model; all if none is named.")] = None) -> None:
    """Print where a model's file is."""
    for model in [catalog.find(name)] if name is not None else catalog.read():
        print(model.file)
