"""Answers that need no sending: what was paid for already, and what may have been billed.

It must not send anything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cutoutd.clock import rfc3339
from cutoutd.hosted.context import UNKNOWN, UNTOUCHED
from cutoutd.hosted.entries import End
from cutoutd.hosted.response_cache import content_key
from cutoutd.spool import Outcome

if TYPE_CHECKING:
    from cutoutd.hosted.context import Office
    from cutoutd.hosted.entries import Past
    from cutoutd.spool import Reply, Request


def known_reply(office: Office, request: Request, options: str) -> Reply | None:
    """The reply to a request that was sent before; None if it is to be sent.

    Its own upload may be over though no reply is there: a run was killed in between. Otherwise another upload of the
    same bytes counts, unless a person asked for it again.

    Args:
        office: with ledger and replies.
        request: whose.
        options: what would be asked.

    Raises:
        OSError, LedgerError: the disk refuses.
    """
    own = office.ledger.last_of_request(request.id)
    if own is not None and own.end in (End.OK, End.UNKNOWN, End.FAILED):
        reply = _reply(office, request, own, options)
        if reply is not None:
            counted = office.price(request) if own.credits is None else own.credits
            return reply if own.end is End.FAILED else replace(reply, counted=counted)
    if request.again:
        return None
    past = office.ledger.last_of_content(
        sha256=request.sha256, provider=office.provider.name, host=office.host, options=options
    )
    return None if past is None else _reply(office, request, past, options)


def key_of(office: Office, request: Request, options: str) -> str:
    """Under what a request's reply is kept."""
    return content_key(
        sha256=request.sha256, provider=office.provider.name, host=office.host, options=options
    )


def _reply(office: Office, request: Request, past: Past, options: str) -> Reply | None:
    is_own = past.request == request.id
    at, sent = (rfc3339(past.began_us), past.sent) if is_own else ("", 0)
    if past.end is End.UNKNOWN:
        cause = (
            past.cause if is_own else f"the same picture was sent on {rfc3339(past.began_us)}: {past.cause}"
        )
        return office.reply(
            request, Outcome.UNKNOWN, cause=cause, advice=UNKNOWN, at=at, sent=sent, charged=past.credits
        )
    if past.end is End.FAILED:
        return office.reply(request, Outcome.FAILED, cause=past.cause, advice=UNTOUCHED, at=at, sent=sent)
    if not office.replies.give(key_of(office, request, options), request.id, past.reply_sha256):
        return None
    office.log("upload.repeated", request, paid_at=rfc3339(past.began_us))
    return office.reply(
        request,
        Outcome.OK,
        body=past.body,
        at=at,
        sent=sent,
        charged=past.credits if is_own else 0.0,
        repeated=not is_own,
    )
