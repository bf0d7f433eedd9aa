"""The catalog of models: where each one's file is, what it expects, and whether it is the one it should be.

It must not load a model; `cutoutd.engine` does.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

from cutoutd.errors import ModelError
from cutoutd.ports import ModelSpec

_CATALOG = "catalog.toml"
_PACKAGE = Path(__file__).resolve().parents[1]
# In an installed package the weights lie beside the code; in a checkout, where they are made.
_HOMES = (_PACKAGE / "weights", _PACKAGE.parents[1] / "models")


def home() -> Path:
    """The directory that holds the catalog and the weights.

    Raises:
        ModelError: there is none.
    """
    for directory in _HOMES:
        if (directory / _CATALOG).is_file():
            return directory
    raise ModelError("the catalog of models is not there", path=_HOMES[0] / _CATALOG)


def read() -> tuple[ModelSpec, ...]:
    """All models of the catalog.

    Raises:
        ModelError: the catalog is not there or not readable.
    """
    directory = home()
    path = directory / _CATALOG
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["model"]
        return tuple(
            ModelSpec(
                name=entry["name"],
                file=directory / entry["file"],
                sha256=entry["sha256"],
                bytes=entry["bytes"],
                input_size=entry["input_size"],
                mean=tuple(entry["mean"]),
                std=tuple(entry["std"]),
                licence=entry["licence"],
                source=entry["source"],
            )
            for entry in entries
        )
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ModelError(f"the catalog of models cannot be read ({error})", path=path) from error


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
    raise ModelError(f"there is no model called {name!r}", advice=f"Set [model] name to one of: {known}.")


def verify(model: ModelSpec) -> None:
    """Read the model's file and compare it with the catalog.

    Raises:
        ModelError: it is missing or altered.
    """
    try:
        with model.file.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"the model's file cannot be read ({error.strerror})", path=model.file) from error
    if digest != model.sha256:
        raise ModelError(
            f"the model's file is not the one of the catalog (SHA-256 {digest[:16]}…, expected {model.sha256[:16]}…)",
            path=model.file,
        )
