"""What a result depends on beside picture and settings: the versions of decoders, engine and encoders, and the bytes of the model.

A machine offers one Dask resource for each of its models, named by a hash of all these; each picture asks for one resource. So a
picture reaches only machines that would compute the same bytes, and never a machine without the model.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from cutoutd.process import installed_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DIGITS: Final = 24


def resource(of: Mapping[str, str], model: str, second: str = "") -> str:
    """Return the name of the resource that a machine offers and a picture asks for.

    Args:
        of: versions, as `cutoutd.process.installed_versions.versions` returns them.
        model: SHA-256 of the model.
        second: SHA-256 of the second model, which is run where the first is unsure; empty: there is none.
    """
    decisive = json.dumps([sorted(of.items()), model, second], separators=(",", ":"))
    return f"cutoutd-{hashlib.sha256(decisive.encode()).hexdigest()[:_DIGITS]}"


def resources(models: Iterable[str], second: str, slots: int) -> dict[str, float]:
    """Return the resources that a machine with these models offers: of each as many as it has slots."""
    mine = installed_versions.versions()
    return {resource(mine, model, second): float(slots) for model in models}


def differences(mine: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Describe the versions that differ; empty if all are equal."""
    return [
        f"{name} {theirs.get(name) or 'is missing'} there, {mine.get(name) or 'missing'} here"
        for name in sorted({*mine, *theirs})
        if mine.get(name) != theirs.get(name)
    ]
