"""The course of one request: admitted or not, paid for before or not, sent as often as it takes, and answered.

Nothing is sent again that may have been billed. It must not decode what comes back.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from cutoutd import spool
from cutoutd.hosted.attempt import Attempt, PostponedError, RetryLaterError
from cutoutd.hosted.body import AlteredError, RequestBody
from cutoutd.hosted.cancellation import CancelledError, CancelReason
from cutoutd.hosted.client import ServiceClient
from cutoutd.hosted.context import NOT_TAGGED, UNTOUCHED, inadmissible
from cutoutd.hosted.known import known_reply
from cutoutd.hosted.provider import upload_of
from cutoutd.hosted.queue import Admission
from cutoutd.spool import Reply, UploadOutcome

if TYPE_CHECKING:
    from cutoutd.hosted.cancellation import Cancellation
    from cutoutd.hosted.context import UploadContext
    from cutoutd.spool import Request

FAULTS: Final = 5
"""Faults of the service over one picture, while it cut others, after which the picture is to blame."""

MAX_FAULTS: Final = 20
"""And after so many, whatever it did with others: more than an hour, and each costs an upload."""

_PRICE_S: Final = 0.1

_backoff = wait_random_exponential(multiplier=1, max=300, min=0.25)
_offline_backoff = wait_random_exponential(multiplier=0.5, max=30, min=0.25)  # a cable is plugged in again


def wait_s(state: RetryCallState) -> float:
    """Seconds until the next attempt: longer and longer, by chance, and never less than the service asked for."""
    error = state.outcome.exception() if state.outcome is not None else None
    if not isinstance(error, RetryLaterError):
        return 0.0
    if error.retry_after_s is not None:
        return error.retry_after_s + random.uniform(0, 0.5)  # noqa: S311 -- so that not all come back at once
    return float((_offline_backoff if error.is_offline else _backoff)(state))


@dataclass(kw_only=True, slots=True)
class UploadJob:
    """A request's course.

    Attributes:
        context: what all share.
        request: whose.
    """

    context: UploadContext
    request: Request
    _faults: int = field(default=0, init=False)
    _successes: int = field(default=0, init=False)
    _charged: float = field(default=0.0, init=False)

    def run(self) -> bool:
        """Take the request as far as it goes now; False if it stays in the outbox for later.

        Raises:
            OSError, LedgerError: the disk refuses.
        """
        self.context.crash_marks.take(self.request.id)
        try:
            reply = self._settled() or self._paid()
        except PostponedError:
            return False
        except CancelledError as stop:
            return stop.reason is CancelReason.WITHDRAWN
        finally:
            self.context.crash_marks.release(self.request.id)
        spool.write_message(self.context.paths.inbox, reply)
        spool.remove_message(self.context.paths.outbox, self.request.id)
        return True

    def _settled(self) -> Reply | None:
        """The reply to a request that is not sent: it may not be, or it was before."""
        if self.context.is_deferred(self.request):
            raise PostponedError
        why = inadmissible(self.request, self.context.settings)
        if why:
            self.context.log("upload.inadmissible", self.request, why=why)
            return self.context.reply(self.request, UploadOutcome.FAILED, cause=why, advice=NOT_TAGGED)
        http_request = self.context.provider.http_request(upload_of(self.request), ServiceClient.boundary())
        return known_reply(self.context, self.request, http_request.options)

    def _paid(self) -> Reply:
        """Send it, with its credits set aside."""
        context, request = self.context, self.request
        cost = context.price(request)
        if context.budget.reserve(request.folder, cost):
            raise PostponedError
        try:
            return replace(self._tried(), counted=self._charged)
        finally:
            context.budget.release(request.folder, cost, self._charged)

    def _tried(self) -> Reply:
        """Send it until there is a reply."""
        cancellation = self.context.cancellation(self.request)
        cancellation.check()
        try:
            request_body = RequestBody(self.context.paths.outbox / self.request.file, self.request)
        except AlteredError as error:
            cancellation.check()  # a withdrawn one loses its file as well
            return self.context.reply(self.request, UploadOutcome.FAILED, cause=str(error), advice=UNTOUCHED)
        self.context.crash_marks.release(
            self.request.id
        )  # it may wait from here on, and then the ledger knows it
        self._successes = self.context.route.successes
        attempts = Retrying(
            retry=retry_if_exception_type(RetryLaterError),
            wait=wait_s,
            stop=self._is_to_blame,
            before_sleep=self._tell_route,
            sleep=cancellation.sleep,
            reraise=True,
        )
        try:
            return attempts(self._once, request_body, cancellation)
        except RetryLaterError as error:
            self.context.route.abandoned()
            cause = f"{error} ({self._faults} times over this picture)"
            return self.context.reply(self.request, UploadOutcome.FAILED, cause=cause, advice=UNTOUCHED)
        finally:
            request_body.close()

    def _once(self, request_body: RequestBody, cancellation: Cancellation) -> Reply:
        cost = self._begun(cancellation)
        price: float | None = None
        try:
            sending = self._slotted(request_body, cancellation)
            try:
                return self._sent(sending, cancellation)
            finally:
                sending.slot.give_back()
                self._charged += sending.charged
                price = sending.price
        finally:
            self.context.budget.ended(cost, price)

    def _begun(self, cancellation: Cancellation) -> float:
        """Wait until it may be sent as far as prices are known; returns the credits it is expected to cost.

        Raises:
            PostponedError: pictures cost more than was expected, and what was set aside for this one does not suffice.
        """
        cost = self.context.price(self.request)
        while (start := self.context.budget.begin(self.request.folder, cost)) is not Admission.NOW:
            if start is Admission.NOT:
                raise PostponedError
            cancellation.sleep(_PRICE_S)
        return cost

    def _slotted(self, request_body: RequestBody, cancellation: Cancellation) -> Attempt:
        while (slot := self.context.route.slot()) is None:
            cancellation.check()
        return Attempt(
            context=self.context,
            request=self.request,
            request_body=request_body,
            cancellation=cancellation,
            slot=slot,
        )

    def _sent(self, sending: Attempt, cancellation: Cancellation) -> Reply:
        megapixels = upload_of(self.request).pixels / 1e6
        try:
            while pause_s := self.context.route.admit(megapixels):
                cancellation.sleep(pause_s)
            return sending.run()
        except RetryLaterError as error:
            self.context.route.failed(str(error))
            self._faults += error.is_fault
            if error.is_offline:
                self.context.route.refund(megapixels)
            raise

    def _is_to_blame(self, _: RetryCallState) -> bool:
        return self._faults >= (FAULTS if self._others_are_cut else MAX_FAULTS)

    @property
    def _others_are_cut(self) -> bool:
        return self.context.route.successes > self._successes

    def _tell_route(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, RetryLaterError):
            if error.is_fault and self._others_are_cut:
                self.context.route.abandoned()  # this one waits, and nobody for it
            else:
                self.context.route.back_off(str(error), state.upcoming_sleep, offline=error.is_offline)
            self.context.log(
                "upload.put_off", self.request, why=str(error), seconds=round(state.upcoming_sleep, 1)
            )
