"""The catalog of models: the file of each, its properties, and whether the file is intact.

The package has one catalog, and added models have another, which `cutoutd.models.own` writes. It must not load a model;
`cutoutd.engine` does.
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
# In an installed package the weights are beside the code; in a checkout, in the directory that makes them.
_HOMES = (_PACKAGE / "weights", _PACKAGE.parents[1] / "models")

PACKAGED: Final = "u2net-int8"
"""Name of the model in the package."""


def home() -> Path:
    """Return the directory that holds the catalog and the weights.

    Raises:
        ModelError: there is none.
    """
    for directory in _HOMES:
        if (directory / CATALOG).is_file():
            return directory
    raise ModelError("the catalog of models is not there", path=_HOMES[0] / CATALOG)


def read() -> tuple[ModelSpec, ...]:
    """Return all models: those of the package, then added ones.

    Raises:
        ModelError: a catalog is missing or cannot be read.
    """
    packaged = _read(home())
    known = {model.name for model in packaged}
    own = [
        model
        for directory in places.model_dirs()
        if is_there(directory / CATALOG)
        for model in _read(directory)
    ]
    # Names of the package cannot be replaced by added models, nor those of the user by those of the machine.
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
    """Return the model that an entry of a catalog describes.

    Args:
        entry: table of the entry.
        sha256: digest of the file, hex.
        size: size of the file, bytes.
        directory: directory of the file.

    Raises:
        KeyError, TypeError, ValueError: a key is missing, or a value is invalid.
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
        check_size=entry.get("check_size", 0),
        letterbox=entry.get("letterbox", False),
        memory_mb=entry.get("memory_mb", 0),
        inputs=tuple((str(name), float(number)) for name, number in entry.get("inputs", ())),
    )


def is_there(path: Path) -> bool:
    """Whether a file exists, as far as this user may see."""
    return os.path.exists(path)  # noqa: PTH110 -- Path.exists raises where a directory may not be entered


def find(name: str) -> ModelSpec:
    """Return a model of the catalog.

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
    """Read the file of a model and compare its digest with the catalog.

    Raises:
        ModelError: it is missing or altered.
    """
    opened(model).close()


def opened(model: ModelSpec) -> BufferedReader:
    """Open the file of a model and compare its digest with the catalog.

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
    """Open the file of a model without a check; the reader compares it with the catalog.

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
    """The models of a run, each found and verified once. ``add`` may be called from another thread than the other methods."""

    def __init__(self) -> None:
        self._specs: dict[str, ModelSpec] = {}

    def add(self, names: Iterable[str]) -> None:
        """Find and verify the models that were not added yet.

        Raises:
            ModelError: a model is not in the catalog, or its file is missing or altered.
        """
        for name in names:
            if name not in self._specs:
                model = find(name)
                verify(model)
                self._specs[name] = model

    def get(self, name: str) -> ModelSpec:
        """Return a model that was added."""
        return self._specs[name]

    def get_if(self, name: str) -> ModelSpec | None:
        """Return a model that was added, or None for an empty name."""
        return self._specs[name] if name else None
