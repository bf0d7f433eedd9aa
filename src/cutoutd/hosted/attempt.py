"""One sending of one picture: from the row in the ledger, over the answer, to the row's end.

It must not try twice; what may be tried again is raised as that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.clock import rfc3339
from cutoutd.fault_isolation import is_expected, report, told
from cutoutd.hosted import response
from cutoutd.hosted.body import AlteredError
from cutoutd.hosted.cancellation import Reason, StoppedError
from cutoutd.hosted.client import Courier, UnansweredError, UnsentError, UntrustedError
from cutoutd.hosted.context import UNKNOWN, UNTOUCHED
from cutoutd.hosted.entries import Closing, End, Entry
from cutoutd.hosted.known import key_of
from cutoutd.hosted.ledger import LedgerDamagedError, LedgerError
from cutoutd.hosted.provider import upload_of
from cutoutd.hosted.reply_signature import flaw_of
from cutoutd.hosted.response import Meaning, Verdict
from cutoutd.spool import Body, Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.hosted.body import Cargo
    from cutoutd.hosted.cancellation import Leave
    from cutoutd.hosted.client import Answer
    from cutoutd.hosted.context import Office
    from cutoutd.hosted.provider import Question
    from cutoutd.hosted.route import Slot
    from cutoutd.spool import Reply, Request

_DISK_WAIT_S: Final = 5.0
_CLOSE_AGAIN_S: Final = 1.0
_BYTES_A_PIXEL: Final = 8
_OTHER_BYTES: Final = 4 << 20
"""An answer's most: an uncompressed picture of 16 bits a colour, and what stands around it."""


class TryAgainError(Exception):
    """Not now; nothing was charged.

    Args:
        cause: in words.
        retry_after_s: as the service asked; None if it did not.
        is_offline: it could not be reached.
        is_fault: perhaps the picture is to blame.
    """

    def __init__(
        self,
        cause: str,
        *,
        retry_after_s: float | None = None,
        is_offline: bool = False,
        is_fault: bool = False,
    ) -> None:
        super().__init__(cause)
        self.retry_after_s = retry_after_s
        self.is_offline = is_offline
        self.is_fault = is_fault


class PostponedError(Exception):
    """The request stays in the outbox; the route, or the ledger, says why."""


@dataclass(kw_only=True, slots=True)
class Sending:
    """One sending.

    Attributes:
        office: what all share.
        request: whose picture.
        cargo: the picture.
        leave: to go on.
        slot: held until the answer is there.
        row: in the ledger; None before anything leaves.
        charged: credits that it counts, once it is over.
        price: what a picture of its kind costs, as far as this one has shown; None if it has not.
    """

    office: Office
    request: Request
    cargo: Cargo
    leave: Leave
    slot: Slot
    row: int | None = None
    charged: float = 0.0
    price: float | None = None
    _is_closed: bool = False
    _began_us: int = 0
    _began_s: float = 0.0

    def run(self) -> Reply:
        """Send it, and deal with what comes of it.

        Raises:
            TryAgainError, PostponedError, StoppedError: there is no reply yet.
            OSError: the disk refuses.
        """
        office, cargo = self.office, self.cargo
        question = office.provider.question(upload_of(self.request), Courier.boundary())
        draft = office.replies.draft(self.request.id)
        try:
            answer = office.courier.ask(
                question,
                cargo,
                announced=self.request.bytes,
                into=draft,
                at_most=upload_of(self.request).pixels * _BYTES_A_PIXEL + _OTHER_BYTES,
                begin=lambda: self._begin(question),
                may_go_on=self.leave.check,
            )
            self.slot.give_back()
            return self._answered(answer, question, draft)
        except UnsentError as error:
            self._close(Closing(end=End.REFUSED, sent=cargo.sent, cause=str(error)))
            raise TryAgainError(
                str(error), is_offline=error.is_offline, is_fault=not error.is_offline
            ) from error
        except UnansweredError as error:
            office.route.left()
            office.route.failed(str(error))
            return self._unknown(str(error), Closing(end=End.UNKNOWN, sent=cargo.sent))
        except UntrustedError as error:
            office.route.close(str(error))
            office.route.failed(str(error))
            raise PostponedError from error
        except LedgerError as error:
            office.route.troubled(str(error), _DISK_WAIT_S)
            raise PostponedError from error
        except OSError as error:
            office.route.left()
            return self._unkept(error)
        except (StoppedError, AlteredError) as stop:
            office.route.left()
            return self._stopped(stop)
        except Exception as error:  # noqa: BLE001 -- all else is passed on there
            return self._unforeseen(error)
        finally:
            draft.unlink(missing_ok=True)

    def _begin(self, question: Question) -> None:
        office, request = self.office, self.request
        self.leave.check()
        self._began_us, self._began_s = office.clock.now_us(), office.clock.monotonic_s()
        self.row = office.ledger.begin(
            Entry(
                request=request,
                provider=office.provider.name,
                host=office.host,
                options=question.options,
                expected=office.price(request),
                began_us=self._began_us,
            )
        )
        office.log(
            "upload.begun",
            request,
            host=office.host,
            bytes=request.bytes,
            sha256=request.sha256,
            why=request.why,
        )

    def _close(self, closing: Closing) -> None:
        """Write the end down, if there was a beginning.

        As long as the disk refuses, nothing else is done with the request: it would be sent a second time.

        Raises:
            LedgerError: it refused until the uploader was to end; the next start takes it for unknown.
        """
        if self.row is None:
            return
        while True:
            try:
                self.office.ledger.check()
                self.office.ledger.close(self.row, closing)
                break
            except LedgerDamagedError as error:
                # What came goes on to the journal all the same: it knows more then than any later ledger.
                logs.get(folder=self.request.folder, job=self.request.job).error(
                    "hosted.unwritten", why=str(error)
                )
                break
            except LedgerError as error:
                self.office.route.troubled(str(error), _DISK_WAIT_S)
                if self.office.ending.is_set():
                    raise
                self.office.ending.wait(_CLOSE_AGAIN_S)
        self._is_closed = True
        self.office.log(
            "upload.ended",
            self.request,
            end=closing.end.value,
            status=closing.status,
            bytes=closing.sent,
            credits=closing.credits,
            ms=closing.took_ms,
            why=closing.cause,
        )

    def _unkept(self, error: OSError) -> Reply:
        """The disk refused: if the picture was sent, what came of it is lost, and may have been billed."""
        cause = f"the disk refused: {error.strerror or error}"
        if self.row is None or self._is_closed:
            raise error
        if self.cargo.is_complete:
            return self._unknown(
                f"the picture was sent, but {cause}", Closing(end=End.UNKNOWN, sent=self.cargo.sent)
            )
        self._close(Closing(end=End.REFUSED, sent=self.cargo.sent, cause=cause))
        raise error

    def _unforeseen(self, error: Exception) -> Reply:
        """A fault of ours: it is not to be sent again by itself if it left whole."""
        if is_expected(error) or isinstance(error, TryAgainError | PostponedError):
            raise error
        self.office.route.left()
        if self.row is None or self._is_closed or not self.cargo.is_complete:
            self._close(Closing(end=End.REFUSED, sent=self.cargo.sent, cause=told(error)))
            raise error
        report(logs.get(), error, over="an upload", job=self.request.job, folder=self.request.folder)
        cause = f"the picture was sent, and then cutoutd had a fault of its own ({told(error)})"
        return self._unknown(cause, Closing(end=End.UNKNOWN, sent=self.cargo.sent))

    def _stopped(self, stop: StoppedError | AlteredError) -> Reply:
        self._close(Closing(end=End.WITHDRAWN, sent=self.cargo.sent, cause=str(stop)))
        at = rfc3339(self._began_us) if self.row is not None else ""
        if isinstance(stop, AlteredError):
            return self.office.reply(
                self.request, Outcome.FAILED, cause=str(stop), advice=UNTOUCHED, at=at, sent=self.cargo.sent
            )
        if stop.reason is Reason.WITHDRAWN and self.row is not None:
            return self.office.reply(
                self.request, Outcome.WITHDRAWN, cause=str(stop), at=at, sent=self.cargo.sent
            )
        raise stop

    def _answered(self, answer: Answer, question: Question, draft: Path) -> Reply:
        office = self.office
        found = response.judge(answer, office.provider, office.clock.now_us())
        cause = office.scrubbed(found.cause)
        if found.may_be_billed:
            self._tell_route(found, cause)
            return self._unknown(cause, self._closing(End.UNKNOWN, answer))
        match found.meaning:
            case Meaning.PICTURE:
                office.route.succeeded()
                megapixels = upload_of(self.request).pixels / 1e6
                if wait_s := response.exhausted_s(answer, megapixels, office.clock.now_us()):
                    office.route.hold(wait_s)
                return self._picture(answer, question, draft)
            case Meaning.REFUSED:
                office.route.succeeded()
                closing = self._closing(End.FAILED, answer, cause)
                self._close(closing)
                return office.reply(
                    self.request,
                    Outcome.FAILED,
                    cause=cause,
                    advice=found.advice,
                    at=rfc3339(self._began_us),
                    sent=self.request.bytes,
                    charged=closing.credits,
                )
            case Meaning.CLOSED:
                self._close(self._closing(End.REFUSED, answer, cause))
                office.route.close(f"{cause}. {found.advice}")
                office.route.failed(cause)
                raise PostponedError
            case _:
                self._close(self._closing(End.REFUSED, answer, cause))
                raise _again(cause, found)

    def _tell_route(self, found: Verdict, cause: str) -> None:
        """What follows for other pictures from an answer after which this one may have been billed."""
        route = self.office.route
        if found.meaning is Meaning.REFUSED:
            route.succeeded()
            return
        route.left()
        route.failed(cause)
        if found.meaning is Meaning.CLOSED:
            route.close(f"{cause}. {found.advice}")
        elif found.retry_after_s is not None:
            route.troubled(cause, found.retry_after_s)

    def _picture(self, answer: Answer, question: Question, draft: Path) -> Reply:
        office, request = self.office, self.request
        flaw = answer.flaw or flaw_of(question, draft)
        if flaw:
            cause = f"{office.provider.name} says that it cut the picture, but {flaw}"
            return self._unknown(cause, self._closing(End.UNKNOWN, answer))
        sha256, size = office.replies.settled(draft)
        closing = self._closing(End.OK, answer, body=question.body, reply_sha256=sha256, reply_bytes=size)
        if closing.credits is None:
            self.charged = office.price(request)
        self.price = self.charged
        is_kept = bool(self.charged) and office.replies.keeps
        key = key_of(office, request, question.options)
        if is_kept:
            office.replies.keep(draft, key)
        self._close(closing)
        if is_kept:
            office.replies.pass_on(key, request.id)
        else:
            office.replies.hand_over(draft, request.id)
        return office.reply(
            request,
            Outcome.OK,
            body=question.body,
            at=rfc3339(self._began_us),
            sent=request.bytes,
            charged=closing.credits,
        )

    def _unknown(self, cause: str, closing: Closing) -> Reply:
        """It has the picture, and we have no whole answer: only a person may send it again."""
        if closing.credits is None:
            self.charged = self.office.budget.price(self.office.price(self.request))
        self._close(
            Closing(
                end=End.UNKNOWN,
                status=closing.status,
                sent=closing.sent,
                credits=closing.credits,
                took_ms=closing.took_ms,
                cause=cause,
            )
        )
        return self.office.reply(
            self.request,
            Outcome.UNKNOWN,
            cause=cause,
            advice=UNKNOWN,
            at=rfc3339(self._began_us),
            sent=self.request.bytes,
            charged=closing.credits,
        )

    def _closing(
        self,
        end: End,
        answer: Answer,
        cause: str = "",
        *,
        body: Body | None = None,
        reply_sha256: str | None = None,
        reply_bytes: int | None = None,
    ) -> Closing:
        """The end by an answer; what it charged counts from now on."""
        charged = response.credits_of(answer)
        self.charged = charged or 0.0
        self.price = charged or None  # nothing charged for what was not cut says nothing
        return Closing(
            end=end,
            status=answer.status,
            sent=self.cargo.sent,
            credits=charged,
            took_ms=round((self.office.clock.monotonic_s() - self._began_s) * 1000),
            body=body,
            reply_sha256=reply_sha256,
            reply_bytes=reply_bytes,
            cause=cause,
        )


def _again(cause: str, found: Verdict) -> TryAgainError:
    return TryAgainError(cause, retry_after_s=found.retry_after_s, is_fault=found.is_fault)
