"""The catalog of models: where each one's file is, what it expects, and whether it is the one it should be.

The package brings one, and models of one's own have another, which `cutoutd.models.own` writes. It must not load a
model; `cutoutd.engine` does.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errors import ModelError
from cutoutd.protocols import ModelSpec, Scale
from cutoutd.settings import places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from io import BufferedReader

CATALOG = "catalog.toml"
_PACKAGE = Path(__file__).resolve().parents[1]
# In an installed package the weights lie beside the code; in a checkout, where they are made.
_HOMES = (_PACKAGE / "weights", _PACKAGE.parents[1] / "models")

PACKAGED: Final = "u2net-int8"
"""Name of the model that is in the package."""


def home() -> Path:
    """The directory that holds the catalog and the weights.

    Raises:
        ModelError: there is none.
    """
    for directory in _HOMES:
        if (directory / CATALOG).is_file():
            return directory
    raise ModelError("the catalog of models is not there", path=_HOMES[0] / CATALOG)


def read() -> tuple[ModelSpec, ...]:
    """All models: the package's, then one's own.

    Raises:
        ModelError: a catalog is not there or not readable.
    """
    packaged = _read(home())
    known = {model.name for model in packaged}
    own = [
        model
        for directory in places.model_dirs()
        if is_there(directory / CATALOG)
        for model in _read(directory)
    ]
    # A name means the same to everybody: what the package brings cannot be replaced, nor the user's by the machine's.
    return (*packaged, *_new(own, known))


def _new(models: list[ModelSpec], known: set[str]) -> Iterator[ModelSpec]:
    for model in models:
        if model.name not in known:
            known.add(model.name)
            yield model


def _read(directory: Path) -> tuple[ModelSpec, ...]:
    path = directory / CATALOG
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["model"]
        return tuple(
            spec_of(entry, sha256=entry["sha256"], size=entry["bytes"], directory=directory)
            for entry in entries
        )
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:  # no UTF-8, no TOML or no such scale are ValueErrors
        raise ModelError(f"the catalog of models cannot be read ({error})", path=path) from error


def spec_of(entry: Mapping[str, Any], *, sha256: str, size: int, directory: Path = Path()) -> ModelSpec:
    """What an entry of a catalog says of a model.

    Args:
        entry: its table.
        sha256: of the file, hex.
        size: of the file, bytes.
        directory: where the file lies.

    Raises:
        KeyError, TypeError, ValueError: a key is missing, or no such value is possible.
    """
    return ModelSpec(
        name=entry["name"],
        file=directory / entry["file"],
        sha256=sha256,
        bytes=size,
        input_size=entry["input_size"],
        mean=tuple(entry["mean"]),
        std=tuple(entry["std"]),
        licence=entry["licence"],
        source=entry["source"],
        scale=Scale(entry.get("scale", Scale.MAXIMUM)),
        output=entry.get("output", 0),
        logits=entry.get("logits", False),
        min_max=entry.get("min_max", True),
        more_sizes=tuple(entry.get("more_sizes", ())),
        letterbox=entry.get("letterbox", False),
        memory_mb=entry.get("memory_mb", 0),
        inputs=tuple((str(name), float(number)) for name, number in entry.get("inputs", ())),
    )


def is_there(path: Path) -> bool:
    """Whether a file is there, as far as this user may see."""
    return os.path.exists(path)  # noqa: PTH110 -- Path.exists raises where a directory may not be entered


def find(name: str) -> ModelSpec:
    """One model of the catalog.

    Raises:
        ModelError: there is none of that name.
    """
    models = read()
    for model in models:
        if model.name == name:
            return model
    known = ", ".join(model.name for model in models)
    raise ModelError(
        f"there is no model called {name!r}",
        advice=f"There are: {known}. Name one of these, or add one of your own with `cutoutd models add FILE.onnx`.",
    )


def verify(model: ModelSpec) -> None:
    """Read the model's file and compare it with the catalog.

    Raises:
        ModelError: it is missing or altered.
    """
    opened(model).close()


def opened(model: ModelSpec) -> BufferedReader:
    """The model's file, opened, read, and found to be the one of the catalog.

    Raises:
        ModelError: it is missing or altered.
    """
    file = unverified(model)
    try:
        _compare(model, file)
    except BaseException:
        file.close()
        raise
    return file


def unverified(model: ModelSpec) -> BufferedReader:
    """The model's file, opened; whoever reads it compares it with the catalog.

    Raises:
        ModelError: it is missing.
    """
    try:
        return model.file.open("rb")
    except OSError as error:
        raise _unreadable(model, error) from error


def _unreadable(model: ModelSpec, error: OSError) -> ModelError:
    return ModelError(f"the model's file cannot be read ({error.strerror})", path=model.file)


def _compare(model: ModelSpec, file: BufferedReader) -> None:
    try:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(model, error) from error
    if digest != model.sha256:
        raise ModelError(
            f"the model's file is not the one of the catalog (SHA-256 {digest[:16]}…, expected {model.sha256[:16]}…)",
            path=model.file,
        )


class VerifiedModels:
    """The models of a run, each found and compared with its entry once; ``add`` may be called by another thread than the others."""

    def __init__(self) -> None:
        self._specs: dict[str, ModelSpec] = {}

    def add(self, names: Iterable[str]) -> None:
        """Find and verify those that are not here yet.

        Raises:
            ModelError: one is not in the catalog, or its file is missing or altered.
        """
        for name in names:
            if name not in self._specs:
                model = find(name)
                verify(model)
                self._specs[name] = model

    def get(self, name: str) -> ModelSpec:
        """One that was added."""
        return self._specs[name]

    def get_if(self, name: str) -> ModelSpec | None:
        """One that was added, or None for an empty name."""
        return self._specs[name] if name else None
