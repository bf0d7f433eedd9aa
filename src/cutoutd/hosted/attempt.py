"""One attempt to upload one picture: its row in the ledger, the request, the response, and the end of the row.

It must not try twice; if another attempt is possible, it raises `RetryLaterError`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.clock import rfc3339
from cutoutd.exchange.spool import Body, UploadOutcome
from cutoutd.faults.isolation import describe, is_expected, report
from cutoutd.hosted import response
from cutoutd.hosted.body import AlteredError
from cutoutd.hosted.client import ServiceClient, UnansweredError, UnsentError, UntrustedError
from cutoutd.hosted.context import UNKNOWN, UNTOUCHED, CancelledError, CancelReason
from cutoutd.hosted.entries import AttemptEnd, AttemptOutcome, AttemptStart
from cutoutd.hosted.ledger import LedgerDamagedError, LedgerError
from cutoutd.hosted.provider import upload_of
from cutoutd.hosted.response import Interpretation, Meaning

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.exchange.spool import Request, UploadReply
    from cutoutd.hosted.body import RequestBody
    from cutoutd.hosted.context import Cancellation, UploadContext
    from cutoutd.hosted.provider import HttpRequest
    from cutoutd.hosted.response import HttpResponse
    from cutoutd.hosted.route import UploadSlot

_DISK_WAIT_S: Final = 5.0
_CLOSE_AGAIN_S: Final = 1.0
_BYTES_A_PIXEL: Final = 8
_OTHER_BYTES: Final = 4 << 20
"""Limit of an answer: an uncompressed picture of 16 bits a colour, and its metadata."""


class RetryLaterError(Exception):
    """Another attempt may be made later; nothing was charged.

    Args:
        cause: reason, in words.
        retry_after_s: seconds that the service asked for; None if it did not.
        is_offline: whether the service could not be reached.
        is_fault: whether the picture may be the cause.
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
    """The request stays in the outbox; the route or the ledger has the reason."""


@dataclass(kw_only=True, slots=True)
class Attempt:
    """One attempt.

    Attributes:
        context: what all uploads share.
        request: the request.
        request_body: the picture.
        cancellation: checked before each piece.
        slot: held until the answer is there.
        row: row in the ledger; None before anything is sent.
        charged: credits that it counts, once it is over.
        price: price of such a picture, as far as this attempt has shown; None if it has not.
    """

    context: UploadContext
    request: Request
    request_body: RequestBody
    cancellation: Cancellation
    slot: UploadSlot
    row: int | None = None
    charged: float = 0.0
    price: float | None = None
    _is_closed: bool = False
    _began_us: int = 0
    _began_s: float = 0.0

    def run(self) -> UploadReply:
        """Send the picture and handle the answer.

        Raises:
            RetryLaterError, PostponedError, CancelledError: there is no reply yet.
            OSError: the disk refuses.
        """
        route = self.context.route
        http_request = self.context.provider.http_request(upload_of(self.request), ServiceClient.boundary())
        draft = self.context.response_cache.draft(self.request.id)
        try:
            return self._handle_response(self._send(http_request, draft), http_request, draft)
        except UnsentError as error:
            self._close(self._end(AttemptOutcome.REFUSED, cause=str(error)))
            raise RetryLaterError(
                str(error), is_offline=error.is_offline, is_fault=not error.is_offline
            ) from error
        except UnansweredError as error:
            route.abandoned()
            route.failed(str(error))
            return self._unknown(str(error))
        except UntrustedError as error:
            route.close(str(error))
            route.failed(str(error))
            raise PostponedError from error
        except LedgerError as error:
            route.back_off(str(error), _DISK_WAIT_S)
            raise PostponedError from error
        except OSError as error:
            route.abandoned()
            return self._refused_by_disk(error)
        except (CancelledError, AlteredError) as stop:
            route.abandoned()
            return self._reply_to_stop(stop)
        except Exception as error:  # noqa: BLE001 -- all others are raised further there
            return self._unforeseen(error)
        finally:
            draft.unlink(missing_ok=True)

    def _send(self, http_request: HttpRequest, draft: Path) -> HttpResponse:
        http_response = self.context.client.ask(
            http_request,
            self.request_body,
            announced=self.request.bytes,
            into=draft,
            at_most=upload_of(self.request).pixels * _BYTES_A_PIXEL + _OTHER_BYTES,
            begin=lambda: self._begin(http_request),
            check_cancelled=self.cancellation.check,
        )
        self.slot.give_back()
        return http_response

    def _begin(self, http_request: HttpRequest) -> None:
        context, request = self.context, self.request
        self.cancellation.check()
        self._began_us, self._began_s = context.clock.now_us(), context.clock.monotonic_s()
        self.row = context.ledger.begin(
            AttemptStart(
                request=request,
                provider=context.provider.name,
                host=context.host,
                options=http_request.options,
                expected=context.price(request),
                began_us=self._began_us,
            )
        )
        context.log(
            "upload.begun",
            request,
            host=context.host,
            bytes=request.bytes,
            sha256=request.sha256,
            why=request.why,
        )

    def _close(self, end: AttemptEnd) -> None:
        """Write the end of the attempt to the ledger, if it has a row.

        While the disk refuses, nothing else is done with the request: it would be sent a second time.

        Raises:
            LedgerError: it refused until the uploader was to stop; the next start closes the row as unknown.
        """
        if self.row is None:
            return
        while True:
            try:
                self.context.ledger.check()
                self.context.ledger.close(self.row, end)
                break
            except LedgerDamagedError as error:
                # The answer is passed on all the same: the journal then knows more than any later ledger.
                logs.get(folder=self.request.folder, job=self.request.job).error(
                    "hosted.unwritten", why=str(error)
                )
                break
            except LedgerError as error:
                self.context.route.back_off(str(error), _DISK_WAIT_S)
                if self.context.stopping.is_set():
                    raise
                self.context.stopping.wait(_CLOSE_AGAIN_S)
        self._is_closed = True
        self.context.log(
            "upload.ended",
            self.request,
            end=end.end.value,
            status=end.status,
            bytes=end.sent,
            credits=end.credits,
            ms=end.took_ms,
            why=end.cause,
        )

    def _refused_by_disk(self, error: OSError) -> UploadReply:
        """Handle a disk fault: if the picture was sent, its answer is lost, and it may have been billed."""
        cause = f"the disk refused: {error.strerror or error}"
        if self.row is None or self._is_closed:
            raise error
        if self.request_body.is_complete:
            return self._unknown(f"the picture was sent, but {cause}")
        self._close(self._end(AttemptOutcome.REFUSED, cause=cause))
        raise error

    def _unforeseen(self, error: Exception) -> UploadReply:
        """Handle an unforeseen error: a picture that was sent whole is not sent again without a person."""
        if is_expected(error) or isinstance(error, RetryLaterError | PostponedError):
            raise error
        self.context.route.abandoned()
        if self.row is None or self._is_closed or not self.request_body.is_complete:
            self._close(self._end(AttemptOutcome.REFUSED, cause=describe(error)))
            raise error
        report(logs.get(), error, over="an upload", job=self.request.job, folder=self.request.folder)
        return self._unknown(
            f"the picture was sent, and then cutoutd had an internal error ({describe(error)})"
        )

    def _reply_to_stop(self, stop: CancelledError | AlteredError) -> UploadReply:
        self._close(self._end(AttemptOutcome.WITHDRAWN, cause=str(stop)))
        sent = self.request_body.sent
        if isinstance(stop, AlteredError):
            return self._reply(UploadOutcome.FAILED, cause=str(stop), advice=UNTOUCHED, sent=sent)
        if stop.reason is CancelReason.WITHDRAWN and self.row is not None:
            return self._reply(UploadOutcome.WITHDRAWN, cause=str(stop), sent=sent)
        raise stop

    def _handle_response(
        self, http_response: HttpResponse, http_request: HttpRequest, draft: Path
    ) -> UploadReply:
        context = self.context
        found = response.judge(http_response, context.provider, context.clock.now_us())
        cause = context.scrubbed(found.cause)
        if found.may_be_billed:
            self._update_route(found, cause)
            return self._unknown(cause, http_response)
        match found.meaning:
            case Meaning.PICTURE:
                context.route.succeeded()
                megapixels = upload_of(self.request).pixels / 1e6
                if wait_s := response.exhausted_s(http_response, megapixels, context.clock.now_us()):
                    context.route.delay(wait_s)
                return self._picture(http_response, http_request, draft)
            case Meaning.REFUSED:
                context.route.succeeded()
                end = self._end(AttemptOutcome.FAILED, http_response, cause)
                self._close(end)
                return self._reply(
                    UploadOutcome.FAILED, cause=cause, advice=found.advice, charged=end.credits
                )
            case Meaning.CLOSED:
                self._close(self._end(AttemptOutcome.REFUSED, http_response, cause))
                context.route.close(f"{cause}. {found.advice}")
                context.route.failed(cause)
                raise PostponedError
            case _:
                self._close(self._end(AttemptOutcome.REFUSED, http_response, cause))
                raise RetryLaterError(cause, retry_after_s=found.retry_after_s, is_fault=found.is_fault)

    def _update_route(self, found: Interpretation, cause: str) -> None:
        """Update the route after an answer that leaves open whether this picture was billed."""
        route = self.context.route
        if found.meaning is Meaning.REFUSED:
            route.succeeded()
            return
        route.abandoned()
        route.failed(cause)
        if found.meaning is Meaning.CLOSED:
            route.close(f"{cause}. {found.advice}")
        elif found.retry_after_s is not None:
            route.back_off(cause, found.retry_after_s)

    def _picture(self, http_response: HttpResponse, http_request: HttpRequest, draft: Path) -> UploadReply:
        context, request, cache = self.context, self.request, self.context.response_cache
        flaw = http_response.flaw or response.flaw_of(http_request, draft)
        if flaw:
            cause = f"{context.provider.name} says that it cut the picture, but {flaw}"
            return self._unknown(cause, http_response)
        sha256, size = cache.settled(draft)
        end = replace(
            self._end(AttemptOutcome.OK, http_response),
            body=http_request.body,
            reply_sha256=sha256,
            reply_bytes=size,
        )
        if end.credits is None:
            self.charged = context.price(request)
        self.price = self.charged
        is_kept = bool(self.charged) and cache.keeps
        key = context.cache_key(request, http_request.options)
        # Before the ledger says that it has come: an answer that is lost after that would be paid for again.
        if is_kept:
            cache.keep(draft, key)
        else:
            cache.move_to_inbox(draft, request.id)
        self._close(end)
        if is_kept:
            cache.link_to_inbox(key, request.id)
        return self._reply(UploadOutcome.OK, body=http_request.body, charged=end.credits)

    def _unknown(self, cause: str, http_response: HttpResponse | None = None) -> UploadReply:
        """Close the attempt as unknown: the service has the picture, and only a person may have it sent again."""
        end = self._end(AttemptOutcome.UNKNOWN, http_response, cause)
        if end.credits is None:
            self.charged = self.context.budget.price(self.context.price(self.request))
        self._close(end)
        return self._reply(UploadOutcome.UNKNOWN, cause=cause, advice=UNKNOWN, charged=end.credits)

    def _end(
        self, outcome: AttemptOutcome, http_response: HttpResponse | None = None, cause: str = ""
    ) -> AttemptEnd:
        """Return the end of the attempt. Credits that an answer reports count from now on."""
        sent = self.request_body.sent
        if http_response is None:
            return AttemptEnd(end=outcome, sent=sent, cause=cause)
        charged = response.credits_of(http_response)
        self.charged = charged or 0.0
        self.price = charged or None  # no charge for a picture that was not cut is no price
        return AttemptEnd(
            end=outcome,
            status=http_response.status,
            sent=sent,
            credits=charged,
            took_ms=round((self.context.clock.monotonic_s() - self._began_s) * 1000),
            cause=cause,
        )

    def _reply(
        self,
        outcome: UploadOutcome,
        *,
        cause: str = "",
        advice: str = "",
        body: Body | None = None,
        sent: int | None = None,
        charged: float | None = None,
    ) -> UploadReply:
        """Return the reply; without ``sent``, the whole picture was sent."""
        return self.context.reply(
            self.request,
            outcome,
            cause=cause,
            advice=advice,
            body=body,
            at=rfc3339(self._began_us) if self.row is not None else "",
            sent=self.request.bytes if sent is None else sent,
            charged=charged,
        )
