"""The common base of refusals in third-party contracts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class ContractRefusalError(ABC, Exception):
    """A request that a contract refuses.

    Args:
        text: message for a person.
        status: HTTP status.
    """

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status

    @property
    @abstractmethod
    def body(self) -> dict[str, Any]:
        """The response body in the form of the contract."""
