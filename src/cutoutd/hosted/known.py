"""Answers that need no sending: what was paid for already, and what may have been billed.

It must not send anything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cutoutd.clock import rfc3339
from cutoutd.hosted.context import UNKNOWN, UNTOUCHED
from cutoutd.hosted.entries import AttemptOutcome
from cutoutd.hosted.response_cache import content_key
from cutoutd.spool import UploadOutcome

if TYPE_CHECKING:
    from cutoutd.hosted.context import UploadContext
    from cutoutd.hosted.entries import PastAttempt
    from cutoutd.spool import Reply, Request


def known_reply(context: UploadContext, request: Request, options: str) -> Reply | None:
    """The reply to a request that was sent before; None if it is to be sent.

    Its own upload may be over though no reply is there: a run was killed in between. Otherwise another upload of the
    same bytes counts, unless a person asked for it again.

    Args:
        context: with ledger and replies.
        request: whose.
        options: what would be asked.

    Raises:
        OSError, LedgerError: the disk refuses.
    """
    own = context.ledger.last_of_request(request.id)
    if own is not None and own.end in (AttemptOutcome.OK, AttemptOutcome.UNKNOWN, AttemptOutcome.FAILED):
        reply = _reply(context, request, own, options)
        if reply is not None:
            counted = context.price(request) if own.credits is None else own.credits
            return reply if own.end is AttemptOutcome.FAILED else replace(reply, counted=counted)
    if request.again:
        return None
    past = context.ledger.last_of_content(
        sha256=request.sha256, provider=context.provider.name, host=context.host, options=options
    )
    return None if past is None else _reply(context, request, past, options)


def key_of(context: UploadContext, request: Request, options: str) -> str:
    """Under what a request's reply is kept."""
    return content_key(
        sha256=request.sha256, provider=context.provider.name, host=context.host, options=options
    )


def _reply(context: UploadContext, request: Request, past: PastAttempt, options: str) -> Reply | None:
    is_own = past.request == request.id
    at, sent = (rfc3339(past.began_us), past.sent) if is_own else ("", 0)
    if past.end is AttemptOutcome.UNKNOWN:
        cause = (
            past.cause if is_own else f"the same picture was sent on {rfc3339(past.began_us)}: {past.cause}"
        )
        return context.reply(
            request,
            UploadOutcome.UNKNOWN,
            cause=cause,
            advice=UNKNOWN,
            at=at,
            sent=sent,
            charged=past.credits,
        )
    if past.end is AttemptOutcome.FAILED:
        return context.reply(
            request, UploadOutcome.FAILED, cause=past.cause, advice=UNTOUCHED, at=at, sent=sent
        )
    if not context.response_cache.give(key_of(context, request, options), request.id, past.reply_sha256):
        return None
    context.log("upload.repeated", request, paid_at=rfc3339(past.began_us))
    return context.reply(
        request,
        UploadOutcome.OK,
        body=past.body,
        at=at,
        sent=sent,
        charged=past.credits if is_own else 0.0,
        repeated=not is_own,
    )
