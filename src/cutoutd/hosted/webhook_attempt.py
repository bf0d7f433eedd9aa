"""One request to a webhook: its row in the ledger, its signature, and the answer.

This module must not retry, or decide whether the message is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.hosted.body import AlteredError, RequestBody
from cutoutd.hosted.client import UnansweredError, UnsentError, UntrustedError
from cutoutd.hosted.context import CancelledError
from cutoutd.hosted.webhook_schedule import WebhookAttemptResult, WebhookOutcome, judge
from cutoutd.hosted.webhook_signature import sign

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.exchange.webhooks import WebhookMessage
    from cutoutd.hosted.context import Cancellation
    from cutoutd.hosted.ledger import Ledger
    from cutoutd.hosted.webhook_client import WebhookClient
    from cutoutd.hosted.webhook_signature import WebhookSecret
    from cutoutd.settings.webhooks import FolderWebhook

_PIECE: Final = 1 << 20


@dataclass(kw_only=True, slots=True)
class WebhookAttempt:
    """One attempt to deliver a message.

    Attributes:
        message: message to send.
        webhook: receiver of the message.
        secrets: secrets that sign the request.
        client: client of this webhook.
        ledger: records the request before its first byte is sent.
        clock: wall-clock and monotonic time.
        cancellation: checked before each chunk.
        row: row of the ledger; None before anything is sent.
    """

    message: WebhookMessage
    webhook: FolderWebhook
    secrets: Sequence[WebhookSecret]
    client: WebhookClient
    ledger: Ledger
    clock: Clock
    cancellation: Cancellation
    row: int | None = None

    def run(self, file: Path) -> WebhookAttemptResult:
        """Send the request.

        Args:
            file: file with the body.

        Raises:
            AlteredError: the body is not what the message announces.
            CancelledError: the request was cancelled.
            LedgerError: the ledger cannot be written; nothing was sent, or the next start records the outcome as unknown.
        """
        body = RequestBody(file, self.message)
        started_s = self.clock.monotonic_s()
        result = WebhookAttemptResult(outcome=WebhookOutcome.UNKNOWN, cause="cutoutd had an internal error")
        try:
            self.cancellation.check()
            result = self._post(body, file)
        except (CancelledError, AlteredError) as error:
            result = WebhookAttemptResult(outcome=WebhookOutcome.WITHDRAWN, cause=str(error))
            raise
        finally:
            body.close()
            if self.row is not None:
                took_ms = round(1000 * (self.clock.monotonic_s() - started_s))
                self.ledger.close_webhook(
                    self.row,
                    result.outcome,
                    status=result.status,
                    sent=body.sent,
                    took_ms=took_ms,
                    cause=result.cause,
                )
        return result

    def _post(self, body: RequestBody, file: Path) -> WebhookAttemptResult:
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
        return judge(answer.status, answer.headers, self.clock.now_us())

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
