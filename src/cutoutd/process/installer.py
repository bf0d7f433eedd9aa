"""What installed this program, and how an extra is added to such an installation. For advice alone: nothing is installed here."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Final

_CARRIED: Final = ("hosted",)
"""Extras that each of our packages brings."""


class Installer(StrEnum):
    """Who installed it: what stands in ``INSTALLER`` beside the metadata, if no file of a tool's own says more."""

    PIP = "pip"
    UV = "uv"  # its environments have no pip
    PIPX = "pipx"
    UV_TOOL = "uv tool"
    DEB = "deb"  # from here on packages of ours, whose builders leave these words: packaging/trim
    ARCH = "arch"
    CONTAINER = "container"
    BUNDLE = "bundle"


_PACKAGES: Final = {
    Installer.DEB: "Debian package",
    Installer.ARCH: "Arch package",
    Installer.CONTAINER: "container image",
    Installer.BUNDLE: "one-file bundle",
}


def installer() -> Installer:
    """Return who installed this program; pip, if nobody has left a word."""
    prefix = Path(sys.prefix)
    if (prefix / "pipx_metadata.json").exists():
        return Installer.PIPX
    if (prefix / "uv-receipt.toml").exists():
        return Installer.UV_TOOL
    try:
        return Installer((metadata.distribution("cutoutd").read_text("INSTALLER") or "").strip())
    except (metadata.PackageNotFoundError, ValueError):
        return Installer.PIP


def how_to_add(extra: str, packages: tuple[str, ...]) -> str:
    """Return how to add an extra to this installation, as the beginning of a sentence.

    Args:
        extra: name of the extra, such as ``cluster``.
        packages: what it consists of.
    """
    python, wanted = shlex.quote(sys.executable), f'"cutoutd[{extra}]"'
    match found := installer():
        case Installer.PIP:
            return f"Install it with `{python} -m pip install {wanted}`"
        case Installer.UV:
            return f"Install it with `uv pip install --python {python} {wanted}`"
        case Installer.PIPX:
            return f"Install it with `pipx inject cutoutd {' '.join(packages)}`"
        case Installer.UV_TOOL:
            return f"Install it with `uv tool install {wanted}`"
    package = _PACKAGES[found]
    if extra in _CARRIED:
        return f"The {package} brings it: install that again"
    return f"The {package} does not bring it: install cutoutd with `pipx install {wanted}` instead"


def how_to_repair() -> str:
    """Return how to install this program again, as a sentence."""
    package = _PACKAGES.get(installer())
    return (
        "Install cutoutd again, into an environment of its own (pipx)."
        if package is None
        else f"Install the {package} again."
    )
