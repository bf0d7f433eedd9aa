"""An error of the tree as a value that can be sent, stored and shown.

It must not decide what becomes of a job; `cutoutd.faults.retry` does.
"""

from __future__ import annotations

from cutoutd.errors import CutoutdError, PermanentError, TemporaryError
from cutoutd.jobs import Failure


def failure_of(error: CutoutdError) -> Failure:
    """Turn an error into the failure of a job."""
    return Failure(
        code=error.code,
        title=error.title,
        cause=to_valid_utf8(error.cause),
        advice=to_valid_utf8(error.advice),
        permanent=isinstance(error, PermanentError),
        delay_s=error.delay_s if isinstance(error, TemporaryError) else 0.0,
        trouble=error.trouble,
    )


def to_valid_utf8(said: str) -> str:
    """Return a text without the lone surrogates of a file name that is not UTF-8."""
    return said.encode("utf-8", "backslashreplace").decode()
