"""The upload of one request from start to end: checks, earlier replies, budget, attempts, and the answer.

A picture that may have been billed is not sent again. It must not decode a reply.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from cutoutd.clock import rfc3339
from cutoutd.exchange import spool
from cutoutd.exchange.spool import UploadOutcome
from cutoutd.faults import backoff
from cutoutd.hosted.attempt import Attempt, PostponedError, RetryLaterError
from cutoutd.hosted.body import AlteredError, RequestBody
from cutoutd.hosted.client import ServiceClient
from cutoutd.hosted.context import NOT_TAGGED, UNKNOWN, UNTOUCHED, CancelledError, CancelReason, why_not_sent
from cutoutd.hosted.entries import AttemptOutcome
from cutoutd.hosted.provider import upload_of
from cutoutd.hosted.queue import Admission

if TYPE_CHECKING:
    from cutoutd.exchange.spool import Request, UploadReply
    from cutoutd.hosted.context import Cancellation, UploadContext
    from cutoutd.hosted.entries import PastAttempt

FAULTS: Final = 5
"""Faults of the service over one picture, while it cut others, after which the picture fails."""

MAX_FAULTS: Final = 20
"""Faults after which the picture fails in any case: more than an hour, and each costs an upload."""

_PRICE_S: Final = 0.1
_SHORTEST_S: Final = 0.25


def retry_pause_s(error: RetryLaterError, failures: int) -> float:
    """Return the seconds until the next attempt: a random back-off, at least as long as the service asked for.

    Args:
        error: reason of the last failure.
        failures: number of earlier failures in a row.
    """
    if error.retry_after_s is not None:
        return error.retry_after_s + random.uniform(0, 0.5)  # noqa: S311 -- spreads the attempts
    # A connection may come back at any moment.
    first_s, longest_s = (0.5, 30.0) if error.is_offline else (1.0, 300.0)
    most_s = backoff.pause_s(failures, first_s=first_s, longest_s=longest_s)
    return max(_SHORTEST_S, random.uniform(0, most_s))  # noqa: S311 -- as above


@dataclass(kw_only=True, slots=True)
class UploadJob:
    """The upload of one request.

    Attributes:
        context: what all uploads share.
        request: the request.
    """

    context: UploadContext
    request: Request
    _faults: int = field(default=0, init=False)
    _successes: int = field(default=0, init=False)
    _charged: float = field(default=0.0, init=False)

    def run(self) -> bool:
        """Process the request as far as possible now. Returns False if it stays in the outbox.

        Raises:
            OSError, LedgerError: the disk refuses.
        """
        self.context.crash_marks.take(self.request.id)
        try:
            reply = self._without_sending() or self._within_budget()
        except PostponedError:
            return False
        except CancelledError as stop:
            return stop.reason is CancelReason.WITHDRAWN
        finally:
            self.context.crash_marks.release(self.request.id)
        spool.write_message(self.context.paths.inbox, reply)
        spool.remove_message(self.context.paths.outbox, self.request.id)
        return True

    def _without_sending(self) -> UploadReply | None:
        """Return the reply to a request that is not sent: it is not allowed, or was sent before. None: it is to be sent."""
        if self.context.is_deferred(self.request):
            raise PostponedError
        why = why_not_sent(self.request, self.context.settings)
        if why:
            self.context.log("upload.why_not_sent", self.request, why=why)
            return self.context.reply(self.request, UploadOutcome.FAILED, cause=why, advice=NOT_TAGGED)
        http_request = self.context.provider.http_request(upload_of(self.request), ServiceClient.boundary())
        return earlier_reply(self.context, self.request, http_request.options)

    def _within_budget(self) -> UploadReply:
        """Send the picture, with its credits reserved."""
        context, request = self.context, self.request
        cost = context.price(request)
        if context.budget.reserve(request.folder, cost):
            raise PostponedError
        try:
            return replace(self._until_answered(), counted=self._charged)
        finally:
            context.budget.release(request.folder, cost, self._charged)

    def _until_answered(self) -> UploadReply:
        """Send the picture until there is a reply, or it has failed too often."""
        context, request = self.context, self.request
        cancellation = context.cancellation(request)
        cancellation.check()
        try:
            request_body = RequestBody(context.paths.outbox / request.file, request)
        except AlteredError as error:
            cancellation.check()  # a withdrawn request loses its file as well
            return context.reply(request, UploadOutcome.FAILED, cause=str(error), advice=UNTOUCHED)
        # From here on the request may wait, and the ledger knows it.
        context.crash_marks.release(request.id)
        self._successes = context.route.successes
        failures = 0
        try:
            while True:
                try:
                    return self._attempt(request_body, cancellation)
                except RetryLaterError as error:
                    if self._faults >= (FAULTS if self._others_are_cut else MAX_FAULTS):
                        context.route.abandoned()
                        cause = f"{error} ({self._faults} times with this picture)"
                        return context.reply(request, UploadOutcome.FAILED, cause=cause, advice=UNTOUCHED)
                    pause_s = retry_pause_s(error, failures)
                    self._put_off(error, pause_s)
                failures += 1
                cancellation.sleep(pause_s)
        finally:
            request_body.close()

    def _attempt(self, request_body: RequestBody, cancellation: Cancellation) -> UploadReply:
        cost = self._begin_at_known_price(cancellation)
        price: float | None = None
        try:
            while (slot := self.context.route.slot()) is None:
                cancellation.check()
            attempt = Attempt(
                context=self.context,
                request=self.request,
                request_body=request_body,
                cancellation=cancellation,
                slot=slot,
            )
            try:
                return self._send(attempt, cancellation)
            finally:
                slot.give_back()
                self._charged += attempt.charged
                price = attempt.price
        finally:
            self.context.budget.ended(cost, price)

    def _begin_at_known_price(self, cancellation: Cancellation) -> float:
        """Wait until the picture may be sent as far as prices are known. Returns the credits that it is expected to cost.

        Raises:
            PostponedError: pictures cost more than expected, and the reserved credits do not suffice.
        """
        cost = self.context.price(self.request)
        while (admission := self.context.budget.begin(self.request.folder, cost)) is not Admission.NOW:
            if admission is Admission.NOT:
                raise PostponedError
            cancellation.sleep(_PRICE_S)
        return cost

    def _send(self, attempt: Attempt, cancellation: Cancellation) -> UploadReply:
        megapixels = upload_of(self.request).pixels / 1e6
        try:
            while pause_s := self.context.route.admit(megapixels):
                cancellation.sleep(pause_s)
            return attempt.run()
        except RetryLaterError as error:
            self.context.route.failed(str(error))
            self._faults += error.is_fault
            if error.is_offline:
                self.context.route.refund(megapixels)
            raise

    @property
    def _others_are_cut(self) -> bool:
        return self.context.route.successes > self._successes

    def _put_off(self, error: RetryLaterError, pause_s: float) -> None:
        if error.is_fault and self._others_are_cut:
            self.context.route.abandoned()  # this request waits, and others go on
        else:
            self.context.route.back_off(str(error), pause_s, offline=error.is_offline)
        self.context.log("upload.put_off", self.request, why=str(error), seconds=round(pause_s, 1))


def earlier_reply(context: UploadContext, request: Request, options: str) -> UploadReply | None:
    """Return the reply to a request that was sent before; None if it is to be sent.

    Its own upload may be over without a reply, if a run was killed in between. Otherwise another upload of the same bytes
    counts, unless a person asked for a new one.

    Args:
        context: ledger and replies.
        request: the request.
        options: options of the HTTP request.

    Raises:
        OSError, LedgerError: the disk refuses.
    """
    own = context.ledger.last_of_request(request.id)
    if own is not None and own.end in (AttemptOutcome.OK, AttemptOutcome.UNKNOWN, AttemptOutcome.FAILED):
        reply = _reply_to_past(context, request, own, options)
        if reply is not None:
            counted = context.price(request) if own.credits is None else own.credits
            return reply if own.end is AttemptOutcome.FAILED else replace(reply, counted=counted)
    if request.again:
        return None
    past = context.ledger.last_of_content(
        sha256=request.sha256, provider=context.provider.name, host=context.host, options=options
    )
    return None if past is None else _reply_to_past(context, request, past, options)


def _reply_to_past(
    context: UploadContext, request: Request, past: PastAttempt, options: str
) -> UploadReply | None:
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
    if not context.response_cache.reuse(context.cache_key(request, options), request.id, past.reply_sha256):
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
