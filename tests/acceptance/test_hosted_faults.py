"""Faults of a hosted service, seen from the folders: none is published, and no run waits for ever."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import picture
from tests.acceptance.hosted_setup import opened
from tests.hosted_server import Behaviour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.acceptance.conftest import Bench, Daemon
    from tests.acceptance.hosted_setup import HostedSetup

pytestmark = pytest.mark.small_model


@pytest.fixture
def hosted_setup(bench: Bench) -> Iterator[HostedSetup]:
    """A shop with its folders and its key."""
    yield from opened(bench)


def test_a_reply_of_another_shape_is_not_published(hosted_setup: HostedSetup) -> None:
    """The size of the copy is kept until its answer is read; the picture fails with the reason, and the next one is cut."""
    hosted_setup.configure("hosted")
    hosted_setup.server.next(Behaviour.OTHER_PICTURE)
    hosted_setup.drop("shop", "a.jpg", picture(1))
    assert hosted_setup.once() == 1
    hosted_setup.drop("shop", "b.jpg", picture(2))
    assert hosted_setup.once() == 0
    assert hosted_setup.states() == {"a.jpg": "failed", "b.jpg": "done"}
    output = hosted_setup.bench.root / "shop-out"
    assert not (output / "a.png").exists()
    error = json.loads((output / "failed/a.jpg.error.json").read_text("utf-8"))
    assert "a picture of 360 x 135 came back for one of 360 x 270" in error["cause"]


@pytest.mark.parametrize(
    "fault",
    [Behaviour.FAULT, Behaviour.TOO_MANY, Behaviour.NO_CREDITS, Behaviour.RESET_EARLY, Behaviour.SILENCE],
)
def test_a_run_with_once_ends_though_the_service_always_fails(
    hosted_setup: HostedSetup, fault: Behaviour
) -> None:
    """With exit code 1, in time, and with what remains and why; only a daemon waits for a service without end."""
    hosted_setup.configure("hosted")
    text = hosted_setup.config.read_text("utf-8").replace("enabled = true", "enabled = true\ntimeout_s = 1")
    hosted_setup.config.write_text(text, encoding="utf-8")
    hosted_setup.server.always = fault
    for number in range(3):
        hosted_setup.drop("shop", f"{number}.jpg", picture(number))
    hosted_setup.drop("private", "b.jpg", picture(2))
    ended = hosted_setup.bench.call("run", "--config", hosted_setup.config, "--once")
    assert ended.returncode == 1, ended.stderr
    remains = [line for line in ended.stdout.splitlines() if line.startswith("remains: shop/")]
    assert len(remains) == 3
    assert all(" (uploading: " in line or " (unknown: " in line for line in remains), remains
    assert (hosted_setup.bench.root / "private-out/b.png").exists()


def test_a_run_with_once_ends_though_the_address_is_unreachable(hosted_setup: HostedSetup) -> None:
    """Connections are refused: the run says that the service cannot be reached."""
    hosted_setup.configure("hosted")
    text = hosted_setup.config.read_text("utf-8").replace(hosted_setup.server.url, "http://127.0.0.1:9")
    hosted_setup.config.write_text(text, encoding="utf-8")
    hosted_setup.drop("shop", "a.jpg", picture(1))
    ended = hosted_setup.bench.call("run", "--config", hosted_setup.config, "--once")
    assert ended.returncode == 1
    assert "remains: shop/a.jpg (uploading: " in ended.stdout
    assert "cannot be reached" in ended.stdout


def test_an_edit_without_a_reload_and_then_a_storm_of_reloads_fails_nothing(
    hosted_setup: HostedSetup, start: Callable[..., Daemon]
) -> None:
    """First the uploader reads a newer configuration than the daemon, then the daemon reads two in turn, many times."""
    hosted_setup.configure("hosted")
    text = hosted_setup.config.read_text("utf-8")
    both = text.replace('route = "local"', 'route = "hosted"')
    daemon = start("--config", hosted_setup.config)
    status = hosted_setup.bench.root / "own-state/hosted/status.json"
    hosted_setup.bench.wait_for(status.exists, "the uploader")
    # Only the uploader reads this one, in which no folder that the daemon uploads from is tagged.
    hosted_setup.config.write_text(both.replace('name = "shop"', 'name = "else"'), encoding="utf-8")
    before = json.loads(status.read_text("ascii"))["pid"]
    os.kill(before, signal.SIGTERM)
    hosted_setup.bench.wait_for(
        lambda: json.loads(status.read_text("ascii"))["pid"] not in (None, before), "another uploader"
    )
    for number in range(6):
        hosted_setup.drop("shop", f"{number}.jpg", picture(number))
    outbox = hosted_setup.bench.root / "own-state/hosted/outbox"
    hosted_setup.bench.wait_for(lambda: len(list(outbox.glob("*.json"))) == 6, "six requests")
    for number in range(4):
        hosted_setup.config.write_text(text if number % 2 else both, encoding="utf-8")
        daemon.process.send_signal(signal.SIGHUP)
        hosted_setup.bench.wait_for(
            lambda: (hosted_setup.bench.root / "log").read_bytes().count(b"reload.done") > number,  # noqa: B023 -- called at once
            "a reload",
        )
    hosted_setup.bench.wait_for(lambda: set(hosted_setup.states().values()) == {"done"}, "all cutouts")
    assert daemon.end() == 0
