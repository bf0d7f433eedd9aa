"""What results depend on, beside picture and settings: the versions of what decodes, cuts and encodes, and the model's bytes.

A machine offers one resource of Dask's for each model that it has, named after all of these; a picture asks for one. So only
machines that would give the same bytes get it, and a machine without the model gets none, whatever is sent when.
"""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import metadata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DECISIVE: Final = (
    "cutoutd",
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "pillow",
    "pillow-heif",
    "rawpy",
    "simplejpeg",
    "isal",
)
"""Packages on whose version the bytes of a result may depend. Dask is none of them, nor is Python."""

_DIGITS: Final = 24


def versions() -> dict[str, str]:
    """Of this installation; empty where a package is not there."""
    found = {"machine": platform.machine()}
    for name in DECISIVE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


def resource(of: Mapping[str, str], model: str, second: str = "") -> str:
    """The name of the resource that a machine offers, and that a picture asks for.

    Args:
        of: versions, as from `versions`.
        model: SHA-256 of the model.
        second: SHA-256 of the one that is asked where that leaves doubt; empty: none is.
    """
    decisive = json.dumps([sorted(of.items()), model, second], separators=(",", ":"))
    return f"cutoutd-{hashlib.sha256(decisive.encode()).hexdigest()[:_DIGITS]}"


def resources(models: Iterable[str], second: str, slots: int) -> dict[str, float]:
    """What a machine with these models offers: of each as many as it has slots."""
    mine = versions()
    return {resource(mine, model, second): float(slots) for model in models}


def differences(mine: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Which versions differ, in words; empty if results cannot."""
    return [
        f"{name} {theirs.get(name) or 'is missing'} there, {mine.get(name) or 'missing'} here"
        for name in sorted({*mine, *theirs})
        if mine.get(name) != theirs.get(name)
    ]
