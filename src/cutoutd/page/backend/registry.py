"""All methods of the page by name, and what the web process has to know of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.page.backend import (
    decisions,
    fixing,
    folder_settings,
    folders,
    jobs,
    models,
    overview,
    picture_methods,
    places,
    privacy,
    session,
)
from cutoutd.page.backend.requests import strict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.page.backend.method import Endpoint, Method

ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    **session.ENDPOINTS,
    **overview.ENDPOINTS,
    **jobs.ENDPOINTS,
    **decisions.ENDPOINTS,
    **models.ENDPOINTS,
    **privacy.ENDPOINTS,
    **folder_settings.ENDPOINTS,
    **places.ENDPOINTS,
    **folders.ENDPOINTS,
    **picture_methods.ENDPOINTS,
    **fixing.ENDPOINTS,
}

METHODS: Final[Mapping[str, Method]] = {
    name: strict(one.run, one.parameters) for name, one in ENDPOINTS.items()
}
READS: Final = frozenset(name for name, one in ENDPOINTS.items() if not one.is_change)
"""Methods that change nothing: a cookie is enough for them. All others need a token as well."""

SLOW: Final = frozenset(name for name, one in ENDPOINTS.items() if one.is_slow)
MAX_BODIES: Final = {name: one.max_body for name, one in ENDPOINTS.items()}
