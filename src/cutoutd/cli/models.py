"""`cutoutd models`: which models there are, where they lie, whether they are what they should be; and one of one's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cutoutd.cli.printing import printable
from cutoutd.cli.where import ConfigOption
from cutoutd.errors import ModelError, UsageError
from cutoutd.models import catalog
from cutoutd.ports import ModelSpec, Scale
from cutoutd.settings import load, places
from cutoutd.settings.schema import PoolSettings

if TYPE_CHECKING:
    from cutoutd.pool.trial import Trial

_AGREES: Final = 0.5
"""Intersection over union with our picture's subject below which a model was most likely described wrongly."""

_IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Family(StrEnum):
    """Kinds of models whose preprocessing is known."""

    U2NET = "u2net"  # U2-Net and its small and portrait versions
    ISNET = "isnet"  # IS-Net, "dis"
    BIREFNET = "birefnet"  # BiRefNet, and RMBG-2


@dataclass(frozen=True, kw_only=True, slots=True)
class _Usual:
    """What a family expects."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: Scale
    logits: bool
    min_max: bool


_USUAL: Final = {
    Family.U2NET: _Usual(
        size=320, mean=_IMAGENET[0], std=_IMAGENET[1], scale=Scale.MAXIMUM, logits=False, min_max=True
    ),
    Family.ISNET: _Usual(
        size=1024,
        mean=(0.5, 0.5, 0.5),
        std=(1.0, 1.0, 1.0),
        scale=Scale.MAXIMUM,
        logits=False,
        min_max=True,
    ),
    Family.BIREFNET: _Usual(
        size=1024, mean=_IMAGENET[0], std=_IMAGENET[1], scale=Scale.BYTE, logits=True, min_max=False
    ),
}

ProviderOption = Annotated[str, typer.Option(help="What it runs on: auto, cpu, cuda, ...")]
MemoryOption = Annotated[int, typer.Option(min=512, help="MiB it may take, as [pool] worker_memory_mb.")]
_MEMORY_MB: Final = int(PoolSettings.model_fields["worker_memory_mb"].default)


def build() -> typer.Typer:
    """The sub-commands of `cutoutd models`."""
    app = typer.Typer(
        help="The models: one comes with the package, others are your own; none is ever fetched.",
        no_args_is_help=True,
    )
    app.command("list")(list_models)
    app.command("add")(add)
    app.command("remove")(remove)
    app.command("verify")(verify)
    app.command("path")(path)
    return app


def list_models(
    *,
    time: Annotated[
        bool, typer.Option(help="Run each model twice, to say how long one look takes it here.")
    ] = True,
    provider: ProviderOption = "auto",
    memory_mb: MemoryOption = _MEMORY_MB,
) -> None:
    """List the models: size, licence, how long one look takes on this machine, and where they come from."""
    for model in catalog.read():
        took = f"{_seconds(model, provider, memory_mb):>14}  " if time else ""
        print(
            f"{model.name:<16} {model.bytes / 1e6:>6.1f} MB  {took}{printable(model.licence):<12} {printable(model.source)}"
        )


def _seconds(model: ModelSpec, provider: str, memory_mb: int) -> str:
    from cutoutd.pool.trial import try_model  # noqa: PLC0415 -- 0.1 s that only these commands need

    try:
        trial = try_model(model, provider=provider, memory_mb=memory_mb)
    except ModelError:
        return "does not run"
    return f"{trial.seconds:.2f} s on {trial.provider}"


def add(  # noqa: PLR0913 -- each option of a command is an argument to Typer
    *,
    file: Annotated[
        Path, typer.Argument(help="The model, in ONNX; it is copied.", exists=True, dir_okay=False)
    ],
    name: Annotated[str, typer.Option(help="What it is to be called; by default, as the file.")] = "",
    family: Annotated[
        Family, typer.Option(help="What is not said otherwise is as usual in this family.")
    ] = Family.U2NET,
    size: Annotated[
        int | None, typer.Option(min=32, max=4096, help="Side of its square input, pixels.")
    ] = None,
    mean: Annotated[str, typer.Option(help="Of red, green and blue, such as 0.485,0.456,0.406.")] = "",
    std: Annotated[str, typer.Option(help="Likewise, their deviation.")] = "",
    scale: Annotated[
        Scale | None, typer.Option(help="Input divided by the picture's own maximum, or by 255.")
    ] = None,
    logits: Annotated[bool | None, typer.Option(help="Its output goes through a sigmoid.")] = None,
    min_max: Annotated[bool | None, typer.Option(help="A matte is stretched to the whole of 0 to 1.")] = None,
    output: Annotated[int, typer.Option(min=0, help="Which of its outputs is the matte.")] = 0,
    licence: Annotated[str, typer.Option(help="Under which terms you have it.")] = "unknown",
    source: Annotated[str, typer.Option(help="Where it comes from.")] = "",
    system: Annotated[bool, typer.Option(help="For a system service: into /var/lib/cutoutd.")] = False,
    anyway: Annotated[
        bool, typer.Option(help="Also if it does not see the subject of the trial picture.")
    ] = False,
    provider: ProviderOption = "auto",
    memory_mb: MemoryOption = _MEMORY_MB,
) -> None:
    """Add a model of your own: it is run on a picture, locked in, and then copied beside the others."""
    usual = _USUAL[family]
    described = ModelSpec(
        name=name or file.stem.lower(),
        file=file,
        sha256="",
        bytes=0,
        input_size=size or usual.size,
        mean=_three(mean, "--mean") or usual.mean,
        std=_three(std, "--std") or usual.std,
        licence=licence,
        source=source or file.name,
        scale=scale or usual.scale,
        output=output,
        logits=usual.logits if logits is None else logits,
        min_max=usual.min_max if min_max is None else min_max,
    )
    user, machine = places.model_dirs()
    added, trial = _tried(
        file, described, machine if system else user, anyway=anyway, provider=provider, memory_mb=memory_mb
    )
    print(
        f"{added.name}: {added.bytes / 1e6:.1f} MB, {trial.seconds:.2f} s a look on {trial.provider}, "
        f"{trial.overlap:.0%} agreement on the trial picture"
    )
    print(f'To use it, set name = "{added.name}" in [model], and restart;')
    print(f'or, for one folder, model = "{added.name}" in its [[folder]], and reload.')


def _tried(
    file: Path, described: ModelSpec, directory: Path, *, anyway: bool, provider: str, memory_mb: int
) -> tuple[ModelSpec, Trial]:
    """Run a model, and keep it if it does what it should."""
    from cutoutd.models.addition import Addition  # noqa: PLC0415 -- see `_seconds`
    from cutoutd.pool.trial import UnusableModelError, try_model  # noqa: PLC0415

    with Addition(file, described, directory) as addition:
        try:
            trial = try_model(addition.model, provider=provider, memory_mb=memory_mb)
        except UnusableModelError as error:  # of the copy, which nobody knows
            raise UnusableModelError(error.cause, path=file, advice=error.advice) from error
        if trial.overlap < _AGREES and not anyway:
            raise UnusableModelError(
                f"it runs, but what it takes for the subject of the trial picture is {trial.overlap:.0%} of what it should be",
                path=file,
                advice="Check --family, --size, --mean, --std, --scale, --logits and --output; or add it --anyway.",
            )
        return addition.keep(), trial


def remove(
    name: Annotated[str, typer.Argument(help="The model, as `cutoutd models list` names it.")],
    *,
    config: ConfigOption = None,
) -> None:
    """Remove a model of your own: its entry, and its file. One that the configuration names stays."""
    from cutoutd.models.removal import remove as take_away  # noqa: PLC0415 -- see `_seconds`

    path = load.find(config, os.environ)
    if path is not None and name in load.load(path, os.environ).models:
        raise UsageError(
            f"the model {name!r} is named in the configuration",
            path=path,
            advice="Name another one in [model] and in each [[folder]] first.",
        )
    gone = take_away(name)
    print(f"{printable(name)}: removed ({printable(str(gone))})")


def _three(written: str, option: str) -> tuple[float, float, float] | None:
    if not written:
        return None
    try:
        red, green, blue = (float(one) for one in written.split(","))
    except ValueError:
        raise UsageError(
            f"{option} {written!r} is not possible", advice="It takes three numbers, such as 0.5,0.5,0.5."
        ) from None
    if option == "--std" and not all((red, green, blue)):
        raise UsageError(
            f"{option} {written!r} is not possible", advice="It is divided by, so none may be 0."
        )
    return red, green, blue


def verify() -> None:
    """Compare each model's file with its checksum; exit code 4 if one is missing or altered."""
    for model in catalog.read():
        catalog.verify(model)
        print(f"{model.name}: whole (SHA-256 {model.sha256})")


def path(name: Annotated[str | None, typer.Argument(help="The model; all if none is named.")] = None) -> None:
    """Print where a model's file is."""
    for model in [catalog.find(name)] if name is not None else catalog.read():
        print(model.file)
