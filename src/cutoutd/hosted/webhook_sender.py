"""Sends queued messages to webhooks: one thread per receiver, so that a slow or unreachable one does not delay the others.

Each request stands in the ledger before its first byte leaves. It must not look at anything but the directories that it shares
with the supervisor, and sends nothing to whom this process's own reading of the configuration does not name.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cutoutd import logs
from cutoutd.clock import rfc3339
from cutoutd.exchange.webhooks import TEST, MessageState, WebhookPaths
from cutoutd.faults.backoff import Backoff
from cutoutd.faults.isolation import describe, report
from cutoutd.hosted.body import AlteredError
from cutoutd.hosted.context import Cancellation, CancelledError
from cutoutd.hosted.ledger import LedgerDamagedError, LedgerError
from cutoutd.hosted.webhook_attempt import WebhookAttempt
from cutoutd.hosted.webhook_client import WebhookClient
from cutoutd.hosted.webhook_queue import EarlyRetry, WebhookQueue
from cutoutd.hosted.webhook_schedule import GIVEN_UP_S, WebhookOutcome, is_ahead, pause_after
from cutoutd.hosted.webhook_signature import read_secrets
from cutoutd.settings.webhooks import WebhookContent, webhook_id

if TYPE_CHECKING:
    from cutoutd.clock import Clock
    from cutoutd.exchange.spool import SpoolPaths
    from cutoutd.exchange.webhooks import WebhookMessage
    from cutoutd.hosted.ledger import Ledger
    from cutoutd.hosted.webhook_schedule import WebhookAttemptResult
    from cutoutd.hosted.webhook_signature import WebhookSecret
    from cutoutd.process.stop_flag import StopFlag
    from cutoutd.settings.schema import Settings
    from cutoutd.settings.webhooks import FolderWebhook, WebhookSettings

LOOK_S: Final = 0.5
TRIM_S: Final = 600.0
_NAP_S: Final = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookRecipient:
    """A webhook as this process has read it from the configuration.

    Attributes:
        id: id that messages name.
        folder: folder whose results are sent.
        webhook: address, events and content.
        secrets: secrets that sign requests.
    """

    id: str
    folder: str
    webhook: FolderWebhook
    secrets: tuple[WebhookSecret, ...]

    def refuses(self, message: WebhookMessage) -> str:
        """Return why a message may not be sent, by this process's own configuration; empty if it may."""
        if message.folder != self.folder:
            return "it is about another folder"
        if message.what == WebhookContent.RESULT and self.webhook.include is not WebhookContent.RESULT:
            return 'it holds published files, and include = "sidecar" does not let them leave'
        return ""


def receivers(settings: Settings) -> tuple[WebhookRecipient, ...]:
    """Return all webhooks of a configuration, with their secrets; call this before the process is confined.

    Raises:
        ConfigurationError: a secret is not usable.
    """
    return tuple(
        WebhookRecipient(
            id=webhook_id(folder.name, webhook),
            folder=folder.name,
            webhook=webhook,
            secrets=read_secrets(webhook.secret_file),
        )
        for folder in settings.with_webhooks
        for webhook in folder.webhook
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _ReceiverState:
    """The state of one receiver.

    Attributes:
        receiver: the receiver.
        client: client of the receiver.
        backoff: back-off after failures that any message would have met.
    """

    receiver: WebhookRecipient
    client: WebhookClient
    backoff: Backoff


class WebhookSender:
    """All receivers and their threads.

    Args:
        receivers: receivers of the configuration.
        settings: the table ``[webhooks]``.
        paths: directories of the queue.
        ledger: ledger that records each request.
        clock: wall and steady time.
        stopping: set when the process is to end.

    Attributes:
        fault: exception that ended a thread; None while all run.
    """

    def __init__(
        self,
        receivers: tuple[WebhookRecipient, ...],
        *,
        settings: WebhookSettings,
        paths: SpoolPaths,
        ledger: Ledger,
        clock: Clock,
        stopping: StopFlag,
    ) -> None:
        self._spool = paths
        self._paths = WebhookPaths(paths.root)
        self._queue = WebhookQueue(self._paths)
        self._ledger = ledger
        self._clock = clock
        self._stopping = stopping
        self._is_paused = True
        self._next_look_s = self._next_trim_s = 0.0
        # The other half is for what waits.
        self._max_dead_bytes = settings.max_waiting_mb << 19
        self._receivers = [
            _ReceiverState(
                receiver=one,
                client=WebhookClient(one.webhook, timeout_s=settings.timeout_s, clock=clock),
                backoff=Backoff(),
            )
            for one in receivers
        ]
        self._threads = [
            threading.Thread(target=self._serve, args=(state,), name=f"webhook-{number}", daemon=True)
            for number, state in enumerate(self._receivers)
        ]
        self.fault: BaseException | None = None

    def start(self) -> None:
        """Start the threads; nothing is sent before the first `poll`."""
        for thread in self._threads:
            thread.start()

    def join(self, deadline_s: float) -> None:
        """Wait for the threads to end, at most until a time of the monotonic clock."""
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - self._clock.monotonic_s()))

    def poll(self, *, paused: bool) -> None:
        """Read the queue and trim it, where either is due.

        Raises:
            OSError: the directory cannot be read.
        """
        self._is_paused = paused
        now_s = self._clock.monotonic_s()
        if self._receivers and now_s >= self._next_look_s:
            self._next_look_s = now_s + LOOK_S
            self._queue.poll()
            if now_s >= self._next_trim_s:
                self._next_trim_s = now_s + TRIM_S
                if count := self._queue.trim(self._clock.now_us(), self._max_dead_bytes):
                    logs.get().warning("webhook.forgotten", messages=count)

    def pause(self) -> None:
        """Send nothing until the next `poll`."""
        self._is_paused = True

    def status(self) -> list[dict[str, Any]]:
        """Return the state of each receiver for `cutoutd status`; without full addresses, which may hold a secret."""
        messages = self._queue.messages()
        waiting = Counter(one.webhook for one in messages if not one.is_dead)
        dead = Counter(one.webhook for one in messages if one.is_dead)
        causes = {one.webhook: one.cause for one in messages if one.cause}
        return [
            {
                "id": one.receiver.id,
                "folder": one.receiver.folder,
                "host": one.receiver.webhook.url.authority,
                "include": one.receiver.webhook.include.value,
                "waiting": waiting[one.receiver.id],
                "dead": dead[one.receiver.id],
                "off": self._ledger.has_unsubscribed(one.receiver.id),
                "failures": one.backoff.failures,
                "why": causes.get(one.receiver.id, ""),
            }
            for one in self._receivers
        ]

    def _serve(self, state: _ReceiverState) -> None:
        """Send the messages of one receiver, one after the other: the body of its thread."""
        try:
            while not self._stopping.is_set():
                message = self._next(state)
                if message is None:
                    self._stopping.wait(_NAP_S)
                    continue
                try:
                    self._process(state, message)
                except (OSError, LedgerError) as error:
                    logs.get().warning("webhook.disk", why=str(error))
                    state.backoff.failed(self._clock.monotonic_s())
                    self._keep(message)
        except BaseException as error:  # noqa: BLE001 -- the loop of the process ends it loudly
            self.fault = error
            self._stopping.set()
        finally:
            state.client.close()

    def _next(self, state: _ReceiverState) -> WebhookMessage | None:
        if self._is_paused:
            return None
        rests = self._clock.monotonic_s() < state.backoff.until_s
        return self._queue.take(state.receiver.id, self._clock.now_us(), by_hand=rests)

    def _process(self, state: _ReceiverState, message: WebhookMessage) -> None:
        """Send one message; an internal error gives up this message only."""
        receiver = state.receiver
        if why := receiver.refuses(message):
            self._give_up(message, why)
        elif not message.by_hand and self._ledger.has_unsubscribed(receiver.id):
            self._give_up(message, "the receiver has answered 410; `cutoutd webhook retry` asks it again")
        else:
            is_early = is_ahead(message.not_before_us, self._clock.now_us())
            try:
                self._judge(state, message, self._attempt(state, message), is_early=is_early)
            except (OSError, LedgerError, LedgerDamagedError):
                raise
            except AlteredError as error:
                self._give_up(message, str(error))
            except CancelledError:
                self._queue.keep(message)  # it waits, unless it was taken away
            except Exception as error:  # noqa: BLE001 -- as above
                report(logs.get(), error, over="a webhook's message", folder=message.folder, job=message.job)
                self._give_up(message, f"cutoutd had an internal error ({describe(error)})")

    def _attempt(self, state: _ReceiverState, message: WebhookMessage) -> WebhookAttemptResult:
        receiver = state.receiver
        return WebhookAttempt(
            message=message,
            webhook=receiver.webhook,
            secrets=receiver.secrets,
            client=state.client,
            ledger=self._ledger,
            clock=self._clock,
            cancellation=Cancellation(
                paused=self._spool.paused, file=self._paths.message(message.id), stopping=self._stopping
            ),
        ).run(self._paths.body(message.id))

    def _judge(
        self, state: _ReceiverState, message: WebhookMessage, result: WebhookAttemptResult, *, is_early: bool
    ) -> None:
        if result.outcome is WebhookOutcome.OK:
            self._queue.done(message)
            if state.backoff.failures:
                state.backoff.worked()
                self._queue.retry_early(state.receiver.id)
            logs.get(folder=message.folder, job=message.job).info(
                "webhook.told", message=message.id, host=state.receiver.webhook.url.authority
            )
        elif result.outcome is WebhookOutcome.GONE:
            self._give_up(message, result.cause)
        else:
            if result.meets_all:
                state.backoff.failed(self._clock.monotonic_s())
            if is_early:
                # No attempt of the schedule: how often others succeed does not shorten the three days.
                early_retry = EarlyRetry.NONE if result.is_unreachable else EarlyRetry.USED
                self._wait(message, result, early_retry, until_us=message.not_before_us)
            else:
                self._fail(replace(message, attempts=message.attempts + 1), result)

    def _fail(self, message: WebhookMessage, result: WebhookAttemptResult) -> None:
        """Schedule the next attempt, or give the message up after the last."""
        pause_us = int(pause_after(message.id, message.attempts) * 1e6)
        if message.waited_us + pause_us > GIVEN_UP_S * 1e6 or message.type == TEST:
            self._give_up(message, result.cause)
        else:
            self._wait(message, result, EarlyRetry.NONE, until_us=self._clock.now_us() + pause_us)

    def _wait(
        self, message: WebhookMessage, result: WebhookAttemptResult, early_retry: EarlyRetry, *, until_us: int
    ) -> None:
        """Delay a message until a time, or as long as the receiver requested, whichever is later."""
        now_us = self._clock.now_us()
        later_us = max(until_us, now_us + int(result.wait_s * 1e6))
        due_us = message.not_before_us if is_ahead(message.not_before_us, now_us) else now_us
        waited_us = message.waited_us + later_us - due_us
        self._keep(
            replace(message, not_before_us=later_us, waited_us=waited_us, cause=result.cause), early_retry
        )
        logs.get(folder=message.folder, job=message.job).warning(
            "webhook.failed",
            message=message.id,
            attempts=message.attempts,
            why=result.cause,
            again_at=rfc3339(later_us),
        )

    def _give_up(self, message: WebhookMessage, cause: str) -> None:
        now_us = self._clock.now_us()
        self._keep(replace(message, state=MessageState.DEAD, cause=cause, given_up_us=now_us, by_hand=False))
        logs.get(folder=message.folder, job=message.job).error(
            "webhook.given-up", message=message.id, why=cause, advice="`cutoutd webhook retry` sends it again"
        )

    def _keep(self, message: WebhookMessage, early_retry: EarlyRetry | None = None) -> None:
        try:
            self._queue.keep(message, early_retry)
        except OSError as error:  # as long as this process lives, it stands so all the same
            logs.get().warning("webhook.disk", why=str(error))
