"""The hosted route end to end: the real daemon, the real uploader, and a service on loopback that really answers."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.acceptance.conftest import picture
from tests.acceptance.hosted_setup import KEY, opened
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


def half_a_ball() -> Image.Image:
    """Return a picture whose subject is cut off by its edge."""
    whole = picture(width=720, height=270)
    return whole.crop((360, 0, 720, 270))


def test_a_tagged_folder_is_cut_by_the_service_and_no_other_leaves(hosted_setup: HostedSetup) -> None:
    """Only its pixels are sent, the result has the pixels of the original, and sidecar and ledger agree."""
    hosted_setup.configure("hosted")
    hosted_setup.drop("shop", "a.jpg", picture(1))
    hosted_setup.drop("private", "b.jpg", picture(2))
    assert hosted_setup.once() == 0
    (seen,) = hosted_setup.server.seen
    assert b"at home" not in seen.picture
    assert seen.file_name != "a.jpg"
    sidecar = hosted_setup.sidecar("shop", "a.png")
    assert (sidecar["route"], sidecar["model"]["name"]) == ("hosted", "removebg")
    assert sidecar["egress"]["bytes"] == len(seen.picture)
    assert "route" in sidecar["egress"]["why"]
    assert hosted_setup.sidecar("private", "b.png")["egress"] is None
    # The server cuts an ellipse: its matte is in the result, with the original's colours under it.
    cut = np.asarray(Image.open(hosted_setup.bench.root / "shop-out/a.png"))
    original = np.asarray(Image.open(hosted_setup.bench.root / "shop/a.jpg"))
    opaque = cut[..., 3] == 255
    assert 0.2 < opaque.mean() < 0.6
    assert np.array_equal(cut[opaque][:, :3], original[opaque])
    audit = hosted_setup.bench.call("audit", "--config", hosted_setup.config)
    assert audit.stdout.count("shop  job") == 1
    assert KEY not in audit.stdout + (hosted_setup.bench.root / "shop-out/a.png.json").read_text("utf-8")
    assert not list((hosted_setup.bench.root / "own-state/hosted/outbox").iterdir())
    assert not list((hosted_setup.bench.root / "own-state/hosted/inbox").iterdir())


def test_a_doubtful_cutout_is_made_again_by_the_service_with_the_reason(hosted_setup: HostedSetup) -> None:
    """A cutout that is good enough is not sent."""
    hosted_setup.configure("local-then-hosted", "escalate_below = 1")
    hosted_setup.drop("shop", "doubtful.jpg", half_a_ball())
    assert hosted_setup.once() == 0
    assert len(hosted_setup.server.seen) == 1
    doubtful = hosted_setup.sidecar("shop", "doubtful.png")
    assert doubtful["route"] == "hosted"
    assert "quality score" in doubtful["egress"]["why"]
    hosted_setup.configure("local-then-hosted", "escalate_below = 0.5")
    hosted_setup.drop("shop", "good.jpg", picture(1))
    assert hosted_setup.once() == 0
    assert len(hosted_setup.server.seen) == 1
    assert hosted_setup.sidecar("shop", "good.png")["egress"] is None


@pytest.mark.parametrize("fault", [Behaviour.BAD_PICTURE, Behaviour.PAGE_200, Behaviour.NO_CREDITS])
def test_an_outage_costs_quality_and_never_a_file(hosted_setup: HostedSetup, fault: Behaviour) -> None:
    """With local-then-hosted, the local cutout is published in the end, and says what went wrong."""
    hosted_setup.configure("local-then-hosted", "escalate_below = 1")
    hosted_setup.drop("shop", "doubtful.jpg", half_a_ball())
    hosted_setup.server.next(*[fault] * 3)
    assert hosted_setup.once() == 0
    sidecar = hosted_setup.sidecar("shop", "doubtful.png")
    assert sidecar["route"] in ("local", "local-then-hosted")
    assert sidecar["model"]["name"] == "darkness"
    assert any("instead of by the hosted service" in warning for warning in sidecar["warnings"])


def test_a_service_without_credits_stops_its_own_folder_alone(hosted_setup: HostedSetup) -> None:
    """Its waiting pictures are listed, and continue once there are credits again."""
    hosted_setup.configure("hosted")
    hosted_setup.drop("shop", "a.jpg", picture(1))
    hosted_setup.drop("private", "b.jpg", picture(2))
    hosted_setup.server.next(Behaviour.NO_CREDITS)
    assert hosted_setup.once() == 1
    assert hosted_setup.states() == {"a.jpg": "uploading", "b.jpg": "done"}
    assert hosted_setup.once() == 0
    assert hosted_setup.states() == {"a.jpg": "done", "b.jpg": "done"}


def test_a_service_that_asks_for_a_little_time_gets_it(hosted_setup: HostedSetup) -> None:
    """`--once` does not end at a 429 that says when to try again."""
    hosted_setup.server.retry_after = "3"
    hosted_setup.configure("hosted")
    hosted_setup.drop("shop", "a.jpg", picture(1))
    hosted_setup.server.next(Behaviour.TOO_MANY)
    assert hosted_setup.once() == 0
    assert [seen.status for seen in hosted_setup.server.seen] == [429, 200]


def test_an_upload_that_may_have_been_billed_waits_for_a_person(
    hosted_setup: HostedSetup, start: Callable[..., Daemon]
) -> None:
    """The daemon is killed while the service works on the picture: its outcome is unknown, and only `retry` sends it again."""
    hosted_setup.configure("hosted")
    hosted_setup.drop("shop", "a.jpg", picture(1))
    hosted_setup.server.next(Behaviour.SILENCE)
    daemon = start("--config", hosted_setup.config)
    hosted_setup.server.wait_for(1, timeout_s=60)
    hosted_setup.bench.wait_for(lambda: hosted_setup.server.seen[0].is_whole, "the whole upload")
    hosted_setup.kill_all(daemon)
    assert hosted_setup.once() == 1
    assert hosted_setup.states() == {"a.jpg": "unknown"}
    assert hosted_setup.once() == 1
    assert len(hosted_setup.server.seen) == 1
    hosted_setup.bench.call("retry", "1", "--config", hosted_setup.config)
    assert hosted_setup.once() == 0
    assert len(hosted_setup.server.seen) == 2


def test_a_killed_daemon_pays_once(hosted_setup: HostedSetup, start: Callable[..., Daemon]) -> None:
    """The reply has arrived, the result is not published: the paid reply is used."""
    hosted_setup.configure("hosted")
    hosted_setup.drop("shop", "a.jpg", picture(1))
    daemon = start("--config", hosted_setup.config)
    inbox = hosted_setup.bench.root / "own-state/hosted/inbox"
    hosted_setup.bench.wait_for(lambda: inbox.is_dir() and any(inbox.glob("*.body")), "a reply")
    hosted_setup.kill_all(daemon)
    assert hosted_setup.once() == 0
    assert hosted_setup.states() == {"a.jpg": "done"}
    assert len(hosted_setup.server.seen) == 1


def test_a_pause_of_the_hosted_route_holds_nothing_else_up(
    hosted_setup: HostedSetup, start: Callable[..., Daemon]
) -> None:
    """Nothing is sent meanwhile; the other folder goes on; `resume --hosted` ends the pause."""
    hosted_setup.configure("hosted")
    daemon = start("--config", hosted_setup.config)
    hosted_setup.bench.wait_for(
        (hosted_setup.bench.root / "own-state/hosted/status.json").exists, "the uploader"
    )
    assert hosted_setup.bench.call("pause", "--hosted", "--config", hosted_setup.config).returncode == 0
    hosted_setup.drop("shop", "a.jpg", picture(1))
    hosted_setup.drop("private", "b.jpg", picture(2))
    hosted_setup.bench.wait_for(
        (hosted_setup.bench.root / "private-out/b.png.json").exists, "the local cutout"
    )
    assert not hosted_setup.server.seen
    assert hosted_setup.bench.call("resume", "--hosted", "--config", hosted_setup.config).returncode == 0
    hosted_setup.bench.wait_for((hosted_setup.bench.root / "shop-out/a.png.json").exists, "the hosted cutout")
    assert daemon.end() == 0


def test_a_tag_that_is_removed_stops_an_upload_before_its_next_byte(
    hosted_setup: HostedSetup, start: Callable[..., Daemon]
) -> None:
    """The picture is then cut on this machine."""
    hosted_setup.configure("hosted")
    rng = np.random.default_rng(3)
    grain = rng.integers(-60, 60, (1200, 1600, 3))
    large = np.clip(np.asarray(picture(1, width=1600, height=1200), np.int16) + grain, 0, 255)
    hosted_setup.drop("shop", "a.jpg", Image.fromarray(large.astype(np.uint8)))
    hosted_setup.server.next(Behaviour.SLOW_TO_TAKE)
    daemon = start("--config", hosted_setup.config)
    hosted_setup.server.wait_for(1, timeout_s=60)
    hosted_setup.configure("local")
    daemon.process.send_signal(signal.SIGHUP)
    hosted_setup.bench.wait_for((hosted_setup.bench.root / "shop-out/a.png.json").exists, "the local cutout")
    assert daemon.end() == 0
    assert not hosted_setup.server.seen[0].is_whole
    assert len(hosted_setup.server.seen) == 1
    sidecar = hosted_setup.sidecar("shop", "a.png")
    assert sidecar["model"]["name"] == "darkness"
    assert sidecar["egress"]["withdrawn"]  # some bytes had left, and that is said


def test_a_folder_that_a_reload_tags_is_uploaded_from(
    hosted_setup: HostedSetup, start: Callable[..., Daemon]
) -> None:
    """The uploader reads the configuration again as well; until then it refuses requests of that folder."""
    hosted_setup.configure("hosted")
    daemon = start("--config", hosted_setup.config)
    hosted_setup.bench.wait_for(
        (hosted_setup.bench.root / "own-state/hosted/status.json").exists, "the uploader"
    )
    text = hosted_setup.config.read_text("utf-8")
    hosted_setup.config.write_text(text.replace('route = "local"', 'route = "hosted"'), encoding="utf-8")
    daemon.process.send_signal(signal.SIGHUP)
    hosted_setup.bench.wait_for(
        lambda: b"hosted.begins-anew" in (hosted_setup.bench.root / "log").read_bytes(), "the reload"
    )
    hosted_setup.drop("private", "b.jpg", picture(2))
    hosted_setup.bench.wait_for(
        (hosted_setup.bench.root / "private-out/b.png.json").exists, "the hosted cutout"
    )
    assert hosted_setup.sidecar("private", "b.png")["route"] == "hosted"
    assert daemon.end() == 0


def test_with_local_only_nothing_leaves(hosted_setup: HostedSetup) -> None:
    """A folder with another route uses that; a folder without one is refused, with the reason."""
    hosted_setup.configure("local-then-hosted", "escalate_below = 1")
    hosted_setup.drop("shop", "doubtful.jpg", half_a_ball())
    assert hosted_setup.once("--local-only") == 0
    assert hosted_setup.sidecar("shop", "doubtful.png")["egress"] is None
    hosted_setup.configure("hosted")
    refused = hosted_setup.bench.call("run", "--config", hosted_setup.config, "--once", "--local-only")
    assert refused.returncode == 2
    assert '"shop"' in refused.stderr
    assert not hosted_setup.server.seen


def test_without_a_tag_there_is_no_uploader(hosted_setup: HostedSetup) -> None:
    """Not even its directories exist; and enabling the service alone sends nothing."""
    hosted_setup.configure("local")
    hosted_setup.drop("shop", "a.jpg", picture(1))
    assert hosted_setup.once() == 0
    assert not (hosted_setup.bench.root / "own-state/hosted").exists()
    assert not hosted_setup.server.seen
