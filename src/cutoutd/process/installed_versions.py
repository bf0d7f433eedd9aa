"""The versions of what decides which bytes a result has, beside picture, settings and model: decoders, engine and encoders."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from typing import Final

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
"""Packages on whose version the bytes of a result may depend. Neither Dask nor Python is one of them."""


def versions() -> dict[str, str]:
    """Return the versions of this installation; empty for a missing package."""
    return dict(_versions())


@cache  # needed for each picture, and searching the installation takes 5 ms
def _versions() -> dict[str, str]:
    found = {"machine": platform.machine()}
    for name in DECISIVE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found
