"""A service that charges more than expected, with several pictures at once and a limit of credits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cutoutd.exchange.spool import UploadOutcome
from tests.hosted_server import HostedServer
from tests.integration.uploading import PATIENCE_S, UploaderSetup, picture

if TYPE_CHECKING:
    from pathlib import Path


def test_a_higher_price_than_expected_is_paid_once(tmp_path: Path) -> None:
    """Budget 1.0, expected 0.25, charged 1.0, four at once: one credit is spent, and the folder's status gives the price."""
    hosted = {"max_credits_per_day": "1.0", "concurrency": "4", "timeout_s": "30.0"}
    with (
        HostedServer(delay_s=0.3) as server,
        UploaderSetup(tmp_path, server.url, hosted=hosted) as uploader_setup,
    ):
        server.price = 1.0
        requests = [uploader_setup.request(picture(number)) for number in range(6)]
        uploader_setup.start()
        end_s = time.monotonic() + PATIENCE_S
        while "this takes 1" not in uploader_setup.status()["folders"]["tagged"]["why"]:
            assert time.monotonic() < end_s, uploader_setup.status()
            time.sleep(0.05)
        assert server.charged == 1.0
        assert sum(not uploader_setup.is_waiting(one) for one in requests) == 1


def test_a_price_that_is_known_from_an_earlier_run_is_counted_on(tmp_path: Path) -> None:
    """The ledger has the price of similar pictures: two of three fit, and are sent at once."""
    hosted = {"max_credits_per_day": "3.0", "concurrency": "4", "timeout_s": "30.0"}
    with (
        HostedServer(delay_s=0.5) as server,
        UploaderSetup(tmp_path, server.url, hosted=hosted) as uploader_setup,
    ):
        server.price = 1.0
        first = uploader_setup.request(picture(1))
        uploader_setup.start()
        assert uploader_setup.reply(first).outcome is UploadOutcome.OK
        assert uploader_setup.stop() == 0
        others = [uploader_setup.request(picture(number)) for number in (2, 3, 4)]
        uploader_setup.start()
        end_s = time.monotonic() + PATIENCE_S
        while sum(not uploader_setup.is_waiting(one) for one in others) < 2:
            assert time.monotonic() < end_s, uploader_setup.status()
            time.sleep(0.05)
        uploader_setup.wait_for_counts(waiting=1, in_flight=0)
        assert (server.charged, len(server.seen), server.most_at_once) == (3.0, 3, 2)
