"""Answers outside of any contract: each concerns one picture, and what may have been billed is not sent again automatically."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cutoutd.exchange.spool import UploadOutcome
from cutoutd.hosted.route import RouteState
from tests.hosted_server import Behaviour, HostedServer
from tests.integration.uploader_parts import answer, close, context, request
from tests.integration.uploading import UploaderSetup, picture

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("provider", ["removebg", "rembg"])
@pytest.mark.parametrize(
    ("behaviour", "status", "outcome"),
    [
        (Behaviour.CREATED, 201, UploadOutcome.OK),
        (Behaviour.TORN_CREATED, 201, UploadOutcome.UNKNOWN),
        (Behaviour.NO_CONTENT, 204, UploadOutcome.UNKNOWN),
        (Behaviour.PARTIAL, 206, UploadOutcome.OK),
    ],
)
def test_another_2xx_than_200_concerns_one_picture(
    tmp_path: Path, provider: str, behaviour: Behaviour, status: int, outcome: UploadOutcome
) -> None:
    """Before, the whole route closed for an hour, and data after a 204 was taken for the next answer."""
    with HostedServer() as server:
        shared = context(tmp_path, server, provider=provider)
        server.next(behaviour)
        reply = answer(shared, request(shared.paths, picture(1)))
        assert reply.outcome is outcome
        assert "PNG" not in reply.cause
        assert shared.route.snapshot().state is RouteState.OPEN
        (row,) = shared.ledger.all()
        assert (row["outcome"], row["status"], row["cause"]) == (outcome.value, status, reply.cause)
        assert answer(shared, request(shared.paths, picture(2))).outcome is UploadOutcome.OK
        assert len(server.seen) == 2
        close(shared)


@pytest.mark.parametrize(
    ("behaviour", "route"),
    [
        (Behaviour.TORN_CREATED, "open"),
        (Behaviour.CHARGED_FAULT, "open"),
        (Behaviour.CHARGED_REFUSAL, "paused"),
    ],
)
def test_a_charged_picture_is_not_sent_again_by_resume(
    tmp_path: Path, behaviour: Behaviour, route: str
) -> None:
    """Before, the row was `refused`, and the same bytes were sent and paid again; now only a person's retry does that."""
    with HostedServer() as server, UploaderSetup(tmp_path, server.url) as uploader_setup:
        uploader_setup.start()
        server.next(behaviour)
        content = picture(1)
        reply = uploader_setup.reply(first := uploader_setup.request(content))
        assert (reply.outcome, reply.credits) == (UploadOutcome.UNKNOWN, 0.25)
        uploader_setup.wait_for_route(route)
        uploader_setup.resume()
        repeated = uploader_setup.reply(uploader_setup.request(content))
        assert (repeated.outcome, repeated.bytes) == (UploadOutcome.UNKNOWN, 0)
        (row,) = uploader_setup.rows(first)
        assert (row["end"], row["counted"]) == ("unknown", 0.25)
        assert len(server.seen) == 1
        assert uploader_setup.reply(uploader_setup.request(content, again=True)).outcome is UploadOutcome.OK
        assert len(server.seen) == 2
