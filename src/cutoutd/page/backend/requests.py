"""The parameters of requests: those that each method takes, and the name under which a change may be sent again.

It must not know what a method does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from cutoutd.journal.requests import RequestNameTakenError
from cutoutd.webserver.backend.method import RefusedError
from cutoutd.webserver.backend.parameters import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.page.backend.method import Backend, Method
    from cutoutd.webserver.backend.method import Parameters, Reply

REQUEST: Final = "request"
"""Of every method that changes something: the name of the request. One that is sent again under its name is carried out once."""

_NAME: Final = re.compile(r"[0-9a-f]{32}|", re.ASCII)


def name_of(params: Parameters) -> str:
    """Return the name of a request; empty if it has none.

    Raises:
        RefusedError: 400; it cannot be a name.
    """
    name = text(params, REQUEST, "")
    if not _NAME.fullmatch(name):
        right = "be 32 hexadecimal digits"
        raise RefusedError(
            400, "parameter", f"The parameter {REQUEST} must {right}.", name=REQUEST, right=right
        )
    return name


def strict(method: Method, known: frozenset[str]) -> Method:
    """Return a method that refuses parameters which it does not know: one that is misspelt must not count as left out.

    Nor does it take the name of a request that asked for something else.
    """

    def called(backend: Backend, params: Mapping[str, Any]) -> Reply:
        if unknown := sorted(params.keys() - known):
            name = unknown[0][:64]
            raise RefusedError(400, "unknown_parameter", f"There is no parameter {name!r}.", name=name)
        try:
            return method(backend, params)
        except RequestNameTakenError as error:
            raise RefusedError(409, "request_name", f"{error.title}. {error.advice}") from error

    return called
