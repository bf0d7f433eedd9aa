"""The models of a run: each found in the catalog and compared with it once, before anything relies on it.

It must not load a model, nor know which folder wants which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.models import catalog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cutoutd.protocols import ModelSpec


class Shelf:
    """Models by name; ``stock`` may be called by another thread than the others."""

    def __init__(self) -> None:
        self._specs: dict[str, ModelSpec] = {}

    def stock(self, names: Iterable[str]) -> None:
        """Find and verify those that are not here yet.

        Raises:
            ModelError: one is not in the catalog, or its file is missing or altered.
        """
        for name in names:
            if name not in self._specs:
                model = catalog.find(name)
                catalog.verify(model)
                self._specs[name] = model

    def get(self, name: str) -> ModelSpec:
        """One that was stocked."""
        return self._specs[name]

    def get_if(self, name: str) -> ModelSpec | None:
        """One that was stocked, or None for an empty name."""
        return self._specs[name] if name else None
