"""Answers to requests, kept under the names that whoever asked chose, so that a request that is sent again is carried out once.

An answer can get lost on its way; whoever asked then sends the request again, and is told what it was told the first time. This
module must not know what is asked for, nor what an answer means.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    from cutoutd.journal.store import Store

KEPT_US: Final = 7 * 86_400_000_000
"""How long answers are kept: a laptop may sleep with a request that had none."""


class AnsweredRequests:
    """The answered requests in a journal."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def answer(self, request: str) -> Any | None:  # noqa: ANN401 -- JSON
        """Return the answer that a request got; None if it got none, or has no name."""
        row = self._store.row(SQL.answer_to_request, request=request) if request else None
        return None if row is None else json.loads(row["answer"])

    def keep(self, request: str, answer: object, now_us: int) -> None:
        """Keep an answer, in the transaction that carries the request out; old ones are forgotten.

        Args:
            request: name of the request; empty: it has none, and nothing is kept.
            answer: as JSON has it; not null.
            now_us: UTC microseconds.
        """
        if request:
            self._store.write(SQL.keep_answer, request=request, answer=json.dumps(answer), now_us=now_us)
            self._store.write(SQL.forget_answers, before_us=now_us - KEPT_US)
