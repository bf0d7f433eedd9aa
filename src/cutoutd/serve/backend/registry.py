"""All methods by name, and the largest request body of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.serve.backend import (
    asked_backgrounds,
    jobs,
    outputs,
    removing,
    result_facts,
    upload_methods,
    watching,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.serve.backend.state import Method

MAX_BODY: Final = 0
"""Of a request's body, in bytes, unless it is in here:"""

MAX_BODIES: Final = {"upload_part": upload_methods.MAX_PART, "background_part": upload_methods.MAX_PART}

SLOW: Final = frozenset(
    {
        *upload_methods.METHODS,
        *outputs.METHODS,
        *removing.METHODS,
        *asked_backgrounds.METHODS,
        *result_facts.METHODS,
    }
    - {"key"}
)
"""Methods that touch folders: a share that hangs holds up no answer about a job."""

SLOW_THREADS: Final = 16

METHODS: Final[Mapping[str, Method]] = {
    **upload_methods.METHODS,
    **jobs.METHODS,
    **outputs.METHODS,
    **watching.METHODS,
    **removing.METHODS,
    **asked_backgrounds.METHODS,
    **result_facts.METHODS,
}
