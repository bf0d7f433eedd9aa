"""Answers to requests, kept under the names that whoever asked chose, so that a request that is sent again is carried out once.

An answer can get lost on its way; whoever asked then sends the request again, and is told what it was told the first time. This
module must not know what is asked for, nor what an answer means.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errors import UsageError
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    from cutoutd.journal.store import Store

KEPT_US: Final = 7 * 86_400_000_000
"""How long answers are kept: a laptop may sleep with a request that had none."""


class RequestNameTakenError(UsageError):
    """A request has the name of an earlier one that asked for something else."""

    title = "The request has a name that is taken"
    advice = "Give each request a name of its own; only one that is sent again has its former one."


class AnsweredRequests:
    """The answered requests in a journal."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def answer(self, request: str, kind: str) -> Any | None:  # noqa: ANN401 -- JSON
        """Return the answer that a request got; None if it got none, or has no name.

        Args:
            request: name of the request; empty: it has none.
            kind: what it asks for.

        Raises:
            RequestNameTakenError: the name is that of a request of another kind.
        """
        row = self._store.row(SQL.answer_to_request, request=request) if request else None
        if row is None:
            return None
        kept = json.loads(row["answer"])
        first, answer = kept if isinstance(kept, list) else (kind, kept)  # an earlier version kept no kind
        if first != kind:
            raise RequestNameTakenError(
                f"{request} is the name of a request of the kind {first!r}, not {kind!r}"
            )
        return answer

    def keep(self, request: str, kind: str, answer: object, now_us: int) -> None:
        """Keep an answer, in the transaction that carries the request out; old ones are forgotten.

        Args:
            request: name of the request; empty: it has none, and nothing is kept.
            kind: what it asks for.
            answer: as JSON has it; not null.
            now_us: UTC microseconds.
        """
        if request:
            kept = json.dumps([kind, answer])
            self._store.write(SQL.keep_answer, request=request, answer=kept, now_us=now_us)
            self._store.write(SQL.forget_answers, before_us=now_us - KEPT_US)
