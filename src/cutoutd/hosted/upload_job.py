"""The course of one request: admitted or not, paid for before or not, sent as often as it takes, and answered.

Nothing is sent again that may have been billed. It must not decode what comes back.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from cutoutd import spool
from cutoutd.hosted.attempt import PostponedError, Sending, TryAgainError
from cutoutd.hosted.body import AlteredError, Cargo
from cutoutd.hosted.budget import Start
from cutoutd.hosted.cancellation import Reason, StoppedError
from cutoutd.hosted.client import Courier
from cutoutd.hosted.context import NOT_TAGGED, UNTOUCHED, inadmissible
from cutoutd.hosted.known import known_reply
from cutoutd.hosted.provider import upload_of
from cutoutd.spool import Outcome, Reply

if TYPE_CHECKING:
    from cutoutd.hosted.cancellation import Leave
    from cutoutd.hosted.context import Office
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
    if not isinstance(error, TryAgainError):
        return 0.0
    if error.retry_after_s is not None:
        return error.retry_after_s + random.uniform(0, 0.5)  # noqa: S311 -- so that not all come back at once
    return float((_offline_backoff if error.is_offline else _backoff)(state))


@dataclass(kw_only=True, slots=True)
class Course:
    """A request's course.

    Attributes:
        office: what all share.
        request: whose.
    """

    office: Office
    request: Request
    _faults: int = field(default=0, init=False)
    _successes: int = field(default=0, init=False)
    _charged: float = field(default=0.0, init=False)

    def run(self) -> bool:
        """Take the request as far as it goes now; False if it stays in the outbox for later.

        Raises:
            OSError, LedgerError: the disk refuses.
        """
        self.office.in_hand.take(self.request.id)
        try:
            reply = self._settled() or self._paid()
        except PostponedError:
            return False
        except StoppedError as stop:
            return stop.reason is Reason.WITHDRAWN
        finally:
            self.office.in_hand.let_go(self.request.id)
        spool.put(self.office.places.inbox, reply)
        spool.take_away(self.office.places.outbox, self.request.id)
        return True

    def _settled(self) -> Reply | None:
        """The reply to a request that is not sent: it may not be, or it was before."""
        if self.office.is_later(self.request):
            raise PostponedError
        why = inadmissible(self.request, self.office.settings)
        if why:
            self.office.log("upload.inadmissible", self.request, why=why)
            return self.office.reply(self.request, Outcome.FAILED, cause=why, advice=NOT_TAGGED)
        question = self.office.provider.question(upload_of(self.request), Courier.boundary())
        return known_reply(self.office, self.request, question.options)

    def _paid(self) -> Reply:
        """Send it, with its credits set aside."""
        office, request = self.office, self.request
        cost = office.price(request)
        if office.budget.reserve(request.folder, cost):
            raise PostponedError
        try:
            return replace(self._tried(), counted=self._charged)
        finally:
            office.budget.release(request.folder, cost, self._charged)

    def _tried(self) -> Reply:
        """Send it until there is a reply."""
        leave = self.office.leave(self.request)
        leave.check()
        try:
            cargo = Cargo(self.office.places.outbox / self.request.file, self.request)
        except AlteredError as error:
            leave.check()  # a withdrawn one loses its file as well
            return self.office.reply(self.request, Outcome.FAILED, cause=str(error), advice=UNTOUCHED)
        self.office.in_hand.let_go(self.request.id)  # it may wait from here on, and then the ledger knows it
        self._successes = self.office.route.successes
        attempts = Retrying(
            retry=retry_if_exception_type(TryAgainError),
            wait=wait_s,
            stop=self._is_to_blame,
            before_sleep=self._tell_route,
            sleep=leave.nap,
            reraise=True,
        )
        try:
            return attempts(self._once, cargo, leave)
        except TryAgainError as error:
            self.office.route.left()
            cause = f"{error} ({self._faults} times over this picture)"
            return self.office.reply(self.request, Outcome.FAILED, cause=cause, advice=UNTOUCHED)
        finally:
            cargo.close()

    def _once(self, cargo: Cargo, leave: Leave) -> Reply:
        cost = self._begun(leave)
        price: float | None = None
        try:
            sending = self._slotted(cargo, leave)
            try:
                return self._sent(sending, leave)
            finally:
                sending.slot.give_back()
                self._charged += sending.charged
                price = sending.price
        finally:
            self.office.budget.ended(cost, price)

    def _begun(self, leave: Leave) -> float:
        """Wait until it may be sent as far as prices are known; returns the credits it is expected to cost.

        Raises:
            PostponedError: pictures cost more than was expected, and what was set aside for this one does not suffice.
        """
        cost = self.office.price(self.request)
        while (start := self.office.budget.begin(self.request.folder, cost)) is not Start.NOW:
            if start is Start.NOT:
                raise PostponedError
            leave.nap(_PRICE_S)
        return cost

    def _slotted(self, cargo: Cargo, leave: Leave) -> Sending:
        while (slot := self.office.route.slot()) is None:
            leave.check()
        return Sending(office=self.office, request=self.request, cargo=cargo, leave=leave, slot=slot)

    def _sent(self, sending: Sending, leave: Leave) -> Reply:
        megapixels = upload_of(self.request).pixels / 1e6
        try:
            while pause_s := self.office.route.enter(megapixels):
                leave.nap(pause_s)
            return sending.run()
        except TryAgainError as error:
            self.office.route.failed(str(error))
            self._faults += error.is_fault
            if error.is_offline:
                self.office.route.refund(megapixels)
            raise

    def _is_to_blame(self, _: RetryCallState) -> bool:
        return self._faults >= (FAULTS if self._others_are_cut else MAX_FAULTS)

    @property
    def _others_are_cut(self) -> bool:
        return self.office.route.successes > self._successes

    def _tell_route(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, TryAgainError):
            if error.is_fault and self._others_are_cut:
                self.office.route.left()  # this one waits, and nobody for it
            else:
                self.office.route.troubled(str(error), state.upcoming_sleep, offline=error.is_offline)
            self.office.log(
                "upload.put_off", self.request, why=str(error), seconds=round(state.upcoming_sleep, 1)
            )
