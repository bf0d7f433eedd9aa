"""When a pool whose workers do not come up tries no longer.

Numbers and an error only: it must not start or end anything.
"""

from __future__ import annotations

from typing import Final

from cutoutd.errors import CutoutdError

MAX_FAILED_STARTS: Final = 4
"""So many starts in a row without any success before, and it would never work."""

MAX_FAILED_RESTARTS: Final = 9
"""So many, once workers did work: with the pauses in between, two minutes for an upgrade to come to its end."""

MAX_PAUSE_S: Final = 60.0
"""Between two starts that fail, each pause is twice the one before, but no longer than this."""


class WorkersFailError(CutoutdError):
    """No worker comes up."""

    title = "No worker can be started"
    ends_daemon = True
    advice = (
        "Nothing is lost: what waits stays queued. See the lines above in the log; memory may be short, or "
        "the installation incomplete: `cutoutd models verify` checks the model."
    )
