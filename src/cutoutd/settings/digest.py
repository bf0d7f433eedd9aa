"""A number for the settings that decide what a cutout looks like, as sidecars carry it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cutoutd.settings.schema import Folder


def settings_sha256(folder: Folder, model: str) -> str:
    """SHA-256 (hex) over a folder's recipe and the model's name.

    Neither the order of keys nor settings that do not change the look count. Equal settings must give the
    same number in every version: a setting that a later version adds to the recipe is left out here while
    it has the value that stands for how it was before.

    Args:
        folder: whose recipe it is.
        model: name of the model.
    """
    decisive = asdict(folder.recipe()) | {"model": model}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
