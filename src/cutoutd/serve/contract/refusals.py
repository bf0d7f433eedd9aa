"""What the contracts of others have in common: a request that one of them refuses, and how it words that."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class ContractRefusalError(ABC, Exception):
    """A request that a contract refuses.

    Args:
        text: for a person.
        status: as of HTTP.
    """

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status

    @property
    @abstractmethod
    def body(self) -> dict[str, Any]:
        """As the contract words it."""
