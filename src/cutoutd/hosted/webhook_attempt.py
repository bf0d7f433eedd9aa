"""One request to a webhook: its row in the ledger, its signature, the answer, and how the row is closed.

It must not try twice, nor decide what becomes of the message.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.hosted.body import AlteredError, RequestBody
from cutoutd.hosted.client import UnansweredError, UnsentError, UntrustedError
from cutoutd.hosted.context import CancelledError, CancelReason
from cutoutd.hosted.webhook_schedule import WebhookAttemptResult, WebhookOutcome, judged
from cutoutd.hosted.webhook_signature import sign

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.exchange.webhooks import WebhookMessage
    from cutoutd.hosted.context import StopFlag
    from cutoutd.hosted.ledger import Ledger
    from cutoutd.hosted.webhook_client import WebhookClient
    from cutoutd.hosted.webhook_signature import WebhookSecret
    from cutoutd.settings.webhooks import FolderWebhook

_PIECE: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookCancellation:
    """Asks whether a request is to stop; read from the disk before every piece, so that it takes effect at once.

    Attributes:
        paused: the file that stops all.
        file: the message's, which is there as long as it is to be sent.
        stopping: set when the process is to end.
    """

    paused: Path
    file: Path
    stopping: StopFlag

    def check(self) -> None:
        """See that nobody wants it stopped.

        Raises:
            CancelledError: somebody does.
        """
        if self.stopping.is_set():
            raise CancelledError(CancelReason.ENDING)
        if os.path.lexists(self.paused):
            raise CancelledError(CancelReason.PAUSED)
        if not os.path.lexists(self.file):
            raise CancelledError(CancelReason.WITHDRAWN)


@dataclass(kw_only=True, slots=True)
class WebhookAttempt:
    """One attempt.

    Attributes:
        message: what is sent.
        webhook: whom it is sent to.
        secrets: that sign.
        client: for this webhook.
        ledger: knows of it before.
        clock: wall and steady time.
        cancellation: asked before each piece.
        row: in the ledger; None before anything leaves.
    """

    message: WebhookMessage
    webhook: FolderWebhook
    secrets: Sequence[WebhookSecret]
    client: WebhookClient
    ledger: Ledger
    clock: Clock
    cancellation: WebhookCancellation
    row: int | None = None

    def run(self, file: Path) -> WebhookAttemptResult:
        """Send it.

        Args:
            file: the body.

        Raises:
            AlteredError: the body is not what the message announces.
            CancelledError: somebody wants it stopped.
            LedgerError: it cannot be written down; nothing was sent, or the next start takes it for unknown.
        """
        body = RequestBody(file, self.message)
        begun_s = self.clock.monotonic_s()
        result = WebhookAttemptResult(
            outcome=WebhookOutcome.UNKNOWN, cause="cutoutd had a fault of its own over it"
        )
        try:
            self.cancellation.check()
            result = self._asked(body, file)
        except (CancelledError, AlteredError) as error:
            result = WebhookAttemptResult(outcome=WebhookOutcome.WITHDRAWN, cause=str(error))
            raise
        finally:
            body.close()
            if self.row is not None:
                took_ms = round(1000 * (self.clock.monotonic_s() - begun_s))
                self.ledger.close_webhook(
                    self.row,
                    result.outcome,
                    status=result.status,
                    sent=body.sent,
                    took_ms=took_ms,
                    cause=result.cause,
                )
        return result

    def _asked(self, body: RequestBody, file: Path) -> WebhookAttemptResult:
        try:
            answer = self.client.post(
                body,
                self._headers(file),
                size=self.message.bytes,
                begin=self._begin,
                check_cancelled=self.cancellation.check,
            )
        except (UnsentError, UntrustedError) as error:
            return WebhookAttemptResult(
                outcome=WebhookOutcome.FAILED,
                cause=str(error),
                meets_all=True,
                is_unreachable=self.row is None,
            )
        except UnansweredError as error:
            return WebhookAttemptResult(outcome=WebhookOutcome.UNKNOWN, cause=str(error), meets_all=True)
        return judged(answer.status, answer.headers)

    def _begin(self) -> None:
        self.row = self.ledger.begin_webhook(
            self.message, host=self.webhook.url.authority, now_us=self.clock.now_us()
        )

    def _headers(self, file: Path) -> list[tuple[str, str]]:
        timestamp = self.clock.now_us() // 1_000_000
        signature = sign(self.secrets, self.message.id, timestamp, _pieces(file))
        return [
            ("webhook-id", self.message.id),
            ("webhook-timestamp", str(timestamp)),
            ("webhook-signature", signature),
        ]


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece
