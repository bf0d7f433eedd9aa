"""An error of remove.bg's contract."""

from __future__ import annotations

from typing import Any

from cutoutd.serve.contract.refusals import ContractRefusalError


class RemoveBgError(ContractRefusalError):
    """A request that the contract refuses.

    Args:
        code: error code of remove.bg, where it has one.
        title: message for a person.
        status: HTTP status.
        detail: further explanation.
    """

    def __init__(self, code: str, title: str, *, status: int = 400, detail: str = "") -> None:
        super().__init__(title, status=status)
        self.code = code
        self.title = title
        self.detail = detail

    @property
    def body(self) -> dict[str, Any]:
        """The response body in the form of the contract."""
        return {
            "errors": [
                {"title": self.title, "code": self.code, **({"detail": self.detail} if self.detail else {})}
            ]
        }
