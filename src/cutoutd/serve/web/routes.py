"""Routes whose every refusal has the form of the contract that is spoken there, also where the fault is ours or we are ending."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeAlias

from starlette.routing import Route

from cutoutd.serve.contract.refusals import ContractRefusalError
from cutoutd.serve.web.answers import RefusalError
from cutoutd.webserver.web.backend_channel import BackendGoneError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response

RefusalFormat: TypeAlias = "Callable[[RefusalError | ContractRefusalError], Response]"
"""Returns a refusal in the form of a contract."""

GONE: Final = "cutoutd does not answer just now. Try again in a moment."
_FAULT: Final = "Internal error. The log says more; please report it."


def own_format(refused: RefusalError | ContractRefusalError) -> Response:
    """Return a refusal in the form of cutoutd's own API."""
    assert isinstance(refused, RefusalError)  # noqa: S101 -- no other contract is spoken there
    return refused.response()


def route(
    path: str,
    answer: Callable[[Request], Coroutine[Any, Any, Response]],
    *methods: str,
    refusal_format: RefusalFormat = own_format,
) -> Route:
    """Return a route.

    Args:
        path: with parameters, as Starlette has it.
        answer: to a request.
        methods: of HTTP; none: GET.
        refusal_format: returns a refusal in the form of the contract.
    """

    async def answered(request: Request) -> Response:
        try:
            return await answer(request)
        except (RefusalError, ContractRefusalError) as refused:
            return refusal_format(refused)
        except (
            BackendGoneError,
            asyncio.CancelledError,
        ):  # only the end of this process cancels a request here
            return refusal_format(RefusalError(503, "backend", GONE))
        except Exception:
            logging.getLogger(__name__).exception("A request could not be answered.")
            return refusal_format(RefusalError(500, "fault", _FAULT))

    return Route(path, answered, methods=list(methods) or ["GET"])
