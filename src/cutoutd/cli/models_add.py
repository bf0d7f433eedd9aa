"""`cutoutd models add`: adds a model of your own. A well-known one is recognised by its checksum; options describe others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cutoutd.cli.printing import say
from cutoutd.errors import UsageError
from cutoutd.models import known
from cutoutd.protocols import ModelSpec, Scale
from cutoutd.settings import places
from cutoutd.settings.schema import PoolSettings

if TYPE_CHECKING:
    from cutoutd.pool.model_trial import ModelTrial

_AGREES: Final = 0.5
"""Intersection over union with the subject of the test picture below which the description of a model is probably wrong."""

_IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Family(StrEnum):
    """Families of models with known preprocessing."""

    U2NET = "u2net"  # U2-Net and its small and portrait versions
    ISNET = "isnet"  # IS-Net, "dis"
    BIREFNET = "birefnet"  # BiRefNet, and RMBG-2


@dataclass(frozen=True, kw_only=True, slots=True)
class _Usual:
    """The preprocessing of a family."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: Scale
    logits: bool
    min_max: bool
    letterbox: bool = False


def _usual_of(spec: ModelSpec) -> _Usual:
    return _Usual(
        size=spec.input_size,
        mean=spec.mean,
        std=spec.std,
        scale=spec.scale,
        logits=spec.logits,
        min_max=spec.min_max,
        letterbox=spec.letterbox,
    )


_USUAL: Final = {
    Family.U2NET: _Usual(
        size=320, mean=_IMAGENET[0], std=_IMAGENET[1], scale=Scale.MAXIMUM, logits=False, min_max=True
    ),
    Family.ISNET: _Usual(
        size=1024,
        mean=(0.5, 0.5, 0.5),
        std=(1.0, 1.0, 1.0),
        scale=Scale.BYTE,
        logits=False,
        min_max=True,
    ),
    Family.BIREFNET: _Usual(
        size=1024, mean=_IMAGENET[0], std=_IMAGENET[1], scale=Scale.BYTE, logits=True, min_max=False
    ),
}

ProviderOption = Annotated[str, typer.Option(help="What the model runs on: auto, cpu, cuda, ...")]
MemoryOption = Annotated[
    int, typer.Option(min=512, help="Memory that the model may use, like the setting worker_memory_mb.")
]
SystemOption = Annotated[bool, typer.Option(help="Keep it in /var/lib/cutoutd, for a system service.")]
AnywayOption = Annotated[
    bool, typer.Option(help="Add it even if it fails to find the subject of the test picture.")
]
ScaleOption = Annotated[
    Scale | None, typer.Option(help="What the input is divided by: the picture's own maximum, or 255.")
]
LetterboxOption = Annotated[
    bool | None, typer.Option(help="Whether the picture keeps its proportions, on a black square.")
]
MEMORY_MB: Final = int(PoolSettings.model_fields["worker_memory_mb"].default)


def add(  # noqa: PLR0913 -- each option of a command is an argument to Typer
    *,
    file: Annotated[
        Path, typer.Argument(help="The model, an ONNX file; it is copied.", exists=True, dir_okay=False)
    ],
    name: Annotated[str, typer.Option(help="Name of the model; by default, that of the file.")] = "",
    family: Annotated[
        Family | None,
        typer.Option(
            help="Family whose values hold for all options below that are not given; by default known by checksum, else u2net."
        ),
    ] = None,
    size: Annotated[int | None, typer.Option(min=32, max=4096, help="Side of the square input.")] = None,
    mean: Annotated[str, typer.Option(help="Mean of red, green and blue, such as 0.485,0.456,0.406.")] = "",
    std: Annotated[str, typer.Option(help="Deviation of red, green and blue.")] = "",
    scale: ScaleOption = None,
    logits: Annotated[bool | None, typer.Option(help="Whether the output goes through a sigmoid.")] = None,
    min_max: Annotated[
        bool | None, typer.Option(help="Whether the matte is stretched to the range 0 to 1.")
    ] = None,
    letterbox: LetterboxOption = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="Value of an input other than the picture; may be given several times."),
    ] = None,
    output_number: Annotated[
        int | None,
        typer.Option("--output", min=0, help="Which output is the matte; by default the first one, 0."),
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the model.")] = "",
    source: Annotated[str, typer.Option(help="Where the model comes from.")] = "",
    system: SystemOption = False,
    anyway: AnywayOption = False,
    provider: ProviderOption = "auto",
    memory_mb: MemoryOption = MEMORY_MB,
) -> None:
    """Add a model of your own: it is tried on a test picture in a sandbox, then copied beside the others."""
    sums = _sums(file)
    found = known.read().recognised(sums) if family is None else None
    usual = _USUAL[family or Family.U2NET] if found is None else _usual_of(found.spec)
    described = ModelSpec(
        name=name or (file.stem.lower() if found is None else found.name),
        file=file,
        sha256=sums.sha256,
        bytes=0,
        input_size=size or usual.size,
        mean=_parse_triple(mean, "--mean") or usual.mean,
        std=_parse_triple(std, "--std") or usual.std,
        licence=licence or ("unknown" if found is None else found.spec.licence),
        source=source or (file.name if found is None else found.spec.source),
        scale=scale or usual.scale,
        output=output_number or 0,
        logits=usual.logits if logits is None else logits,
        min_max=usual.min_max if min_max is None else min_max,
        letterbox=usual.letterbox if letterbox is None else letterbox,
        inputs=tuple(map(_parse_input, inputs or ())),
    )
    if found is not None:
        say(f"This is {found.name}, by its {found.proof}: {found.spec.licence}, {found.use}.")
    take(file, described, system=system, anyway=anyway, provider=provider, memory_mb=memory_mb)


def take(
    file: Path, described: ModelSpec, *, system: bool, anyway: bool, provider: str, memory_mb: int
) -> None:
    """Try a model, add it, and print how to use it.

    Args:
        file: the ONNX file.
        described: the model, with the SHA-256 that the file must have.
        system: whether to add it for a system service.
        anyway: whether to add it even if it misses the subject of the test picture.
        provider: execution provider of the trial.
        memory_mb: limit of its address space, in MiB.
    """
    user, machine = places.model_dirs()
    added, trial = _try_and_add(
        file, described, machine if system else user, anyway=anyway, provider=provider, memory_mb=memory_mb
    )
    say(
        f"{added.name}: {added.bytes / 1e6:.1f} MB, {trial.seconds:.2f} s a run on {trial.provider}, "
        f"{trial.overlap:.0%} agreement on the trial picture"
    )
    say(f'To use it, set name = "{added.name}" in [model], and restart;')
    say(f'or, for one folder, model = "{added.name}" in its [[folder]], and reload.')


def _sums(file: Path) -> known.Checksums:
    try:
        return known.checksums(file)
    except OSError as error:
        raise UsageError(
            f"it cannot be read ({error.strerror})", path=file, advice="Name one that you may read."
        ) from error


def _try_and_add(
    file: Path, described: ModelSpec, directory: Path, *, anyway: bool, provider: str, memory_mb: int
) -> tuple[ModelSpec, ModelTrial]:
    """Run a model, and add it if it finds the subject."""
    from cutoutd.models.own import Addition  # noqa: PLC0415 -- 0.1 s that only this needs
    from cutoutd.pool.model_trial import UnusableModelError, try_model  # noqa: PLC0415

    with Addition(file, described, directory) as addition:
        if addition.model.sha256 != described.sha256:
            raise UsageError("it was written to while it was read", path=file, advice="Try again.")
        try:
            trial = try_model(addition.model, provider=provider, memory_mb=memory_mb)
        except UnusableModelError as error:  # its path is that of the temporary copy
            raise UnusableModelError(error.cause, path=file, advice=error.advice) from error
        if trial.overlap < _AGREES and not anyway:
            raise UnusableModelError(
                f"it runs, but its matte of the trial picture agrees with the right one by only {trial.overlap:.0%}",
                path=file,
                advice="Check --family, --size, --mean, --std, --scale, --logits and --output; or add it --anyway.",
            )
        return addition.keep(memory_mb=int(trial.memory_mb)), trial


def _parse_input(written: str) -> tuple[str, float]:
    name, _, number = written.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not name or not math.isfinite(value):
        raise UsageError(
            f"--input {written!r} is not possible",
            advice="It takes a name and a number, such as downsample_ratio=0.25.",
        )
    return name, value


def _parse_triple(written: str, option: str) -> tuple[float, float, float] | None:
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
