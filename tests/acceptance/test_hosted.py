"""The hosted route end to end: the real daemon, the real uploader, and a service on loopback that really answers."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.acceptance.conftest import picture
from tests.acceptance.shop import KEY, opened
from tests.hosted_server import Behaviour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.acceptance.conftest import Bench, Daemon
    from tests.acceptance.shop import Shop

pytestmark = pytest.mark.small_model


@pytest.fixture
def shop(bench: Bench) -> Iterator[Shop]:
    """A shop with its folders and its key."""
    yield from opened(bench)


def half_a_ball() -> Image.Image:
    """Return a picture whose subject is cut off by its edge."""
    whole = picture(width=720, height=270)
    return whole.crop((360, 0, 720, 270))


def test_a_tagged_folder_is_cut_by_the_service_and_no_other_leaves(shop: Shop) -> None:
    """Only its pixels are sent, the result has the pixels of the original, and sidecar and ledger agree."""
    shop.configure("hosted")
    shop.drop("shop", "a.jpg", picture(1))
    shop.drop("private", "b.jpg", picture(2))
    assert shop.once() == 0
    (seen,) = shop.server.seen
    assert b"at home" not in seen.picture
    assert seen.file_name != "a.jpg"
    sidecar = shop.sidecar("shop", "a.png")
    assert (sidecar["route"], sidecar["model"]["name"]) == ("hosted", "removebg")
    assert sidecar["egress"]["bytes"] == len(seen.picture)
    assert "route" in sidecar["egress"]["why"]
    assert shop.sidecar("private", "b.png")["egress"] is None
    # The server cuts an ellipse: its matte is in the result, with the original's colours under it.
    cut = np.asarray(Image.open(shop.bench.root / "shop-out/a.png"))
    original = np.asarray(Image.open(shop.bench.root / "shop/a.jpg"))
    opaque = cut[..., 3] == 255
    assert 0.2 < opaque.mean() < 0.6
    assert np.array_equal(cut[opaque][:, :3], original[opaque])
    audit = shop.bench.call("audit", "--config", shop.config)
    assert audit.stdout.count("shop  job") == 1
    assert KEY not in audit.stdout + (shop.bench.root / "shop-out/a.png.json").read_text("utf-8")
    assert not list((shop.bench.root / "own-state/hosted/outbox").iterdir())
    assert not list((shop.bench.root / "own-state/hosted/inbox").iterdir())


def test_a_doubtful_cutout_is_made_again_by_the_service_with_the_reason(shop: Shop) -> None:
    """A cutout that is good enough is not sent."""
    shop.configure("local-then-hosted", "escalate_below = 1")
    shop.drop("shop", "doubtful.jpg", half_a_ball())
    assert shop.once() == 0
    assert len(shop.server.seen) == 1
    doubtful = shop.sidecar("shop", "doubtful.png")
    assert doubtful["route"] == "hosted"
    assert "quality score" in doubtful["egress"]["why"]
    shop.configure("local-then-hosted", "escalate_below = 0.5")
    shop.drop("shop", "good.jpg", picture(1))
    assert shop.once() == 0
    assert len(shop.server.seen) == 1
    assert shop.sidecar("shop", "good.png")["egress"] is None


@pytest.mark.parametrize("fault", [Behaviour.BAD_PICTURE, Behaviour.PAGE_200, Behaviour.NO_CREDITS])
def test_an_outage_costs_quality_and_never_a_file(shop: Shop, fault: Behaviour) -> None:
    """With local-then-hosted, the local cutout is published in the end, and says what went wrong."""
    shop.configure("local-then-hosted", "escalate_below = 1")
    shop.drop("shop", "doubtful.jpg", half_a_ball())
    shop.server.next(*[fault] * 3)
    assert shop.once() == 0
    sidecar = shop.sidecar("shop", "doubtful.png")
    assert sidecar["route"] in ("local", "local-then-hosted")
    assert sidecar["model"]["name"] == "darkness"
    assert any("instead of by the hosted service" in warning for warning in sidecar["warnings"])


def test_a_service_without_credits_stops_its_own_folder_alone(shop: Shop) -> None:
    """Its waiting pictures are listed, and continue once there are credits again."""
    shop.configure("hosted")
    shop.drop("shop", "a.jpg", picture(1))
    shop.drop("private", "b.jpg", picture(2))
    shop.server.next(Behaviour.NO_CREDITS)
    assert shop.once() == 1
    assert shop.states() == {"a.jpg": "uploading", "b.jpg": "done"}
    assert shop.once() == 0
    assert shop.states() == {"a.jpg": "done", "b.jpg": "done"}


def test_a_service_that_asks_for_a_little_time_gets_it(shop: Shop) -> None:
    """`--once` does not end at a 429 that says when to try again."""
    shop.server.retry_after = "3"
    shop.configure("hosted")
    shop.drop("shop", "a.jpg", picture(1))
    shop.server.next(Behaviour.TOO_MANY)
    assert shop.once() == 0
    assert [seen.status for seen in shop.server.seen] == [429, 200]


def test_an_upload_that_may_have_been_billed_waits_for_a_person(
    shop: Shop, start: Callable[..., Daemon]
) -> None:
    """The daemon is killed while the service works on the picture: its outcome is unknown, and only `retry` sends it again."""
    shop.configure("hosted")
    shop.drop("shop", "a.jpg", picture(1))
    shop.server.next(Behaviour.SILENCE)
    daemon = start("--config", shop.config)
    shop.server.wait_for(1, timeout_s=60)
    shop.bench.wait_for(lambda: shop.server.seen[0].is_whole, "the whole upload")
    shop.kill_all(daemon)
    assert shop.once() == 1
    assert shop.states() == {"a.jpg": "unknown"}
    assert shop.once() == 1
    assert len(shop.server.seen) == 1
    shop.bench.call("retry", "1", "--config", shop.config)
    assert shop.once() == 0
    assert len(shop.server.seen) == 2


def test_a_killed_daemon_pays_once(shop: Shop, start: Callable[..., Daemon]) -> None:
    """The reply has arrived, the result is not published: the paid reply is used."""
    shop.configure("hosted")
    shop.drop("shop", "a.jpg", picture(1))
    daemon = start("--config", shop.config)
    inbox = shop.bench.root / "own-state/hosted/inbox"
    shop.bench.wait_for(lambda: inbox.is_dir() and any(inbox.glob("*.body")), "a reply")
    shop.kill_all(daemon)
    assert shop.once() == 0
    assert shop.states() == {"a.jpg": "done"}
    assert len(shop.server.seen) == 1


def test_a_pause_of_the_hosted_route_holds_nothing_else_up(shop: Shop, start: Callable[..., Daemon]) -> None:
    """Nothing is sent meanwhile; the other folder goes on; `resume --hosted` ends the pause."""
    shop.configure("hosted")
    daemon = start("--config", shop.config)
    shop.bench.wait_for((shop.bench.root / "own-state/hosted/status.json").exists, "the uploader")
    assert shop.bench.call("pause", "--hosted", "--config", shop.config).returncode == 0
    shop.drop("shop", "a.jpg", picture(1))
    shop.drop("private", "b.jpg", picture(2))
    shop.bench.wait_for((shop.bench.root / "private-out/b.png.json").exists, "the local cutout")
    assert not shop.server.seen
    assert shop.bench.call("resume", "--hosted", "--config", shop.config).returncode == 0
    shop.bench.wait_for((shop.bench.root / "shop-out/a.png.json").exists, "the hosted cutout")
    assert daemon.end() == 0


def test_a_tag_that_is_removed_stops_an_upload_before_its_next_byte(
    shop: Shop, start: Callable[..., Daemon]
) -> None:
    """The picture is then cut on this machine."""
    shop.configure("hosted")
    rng = np.random.default_rng(3)
    grain = rng.integers(-60, 60, (1200, 1600, 3))
    large = np.clip(np.asarray(picture(1, width=1600, height=1200), np.int16) + grain, 0, 255)
    shop.drop("shop", "a.jpg", Image.fromarray(large.astype(np.uint8)))
    shop.server.next(Behaviour.SLOW_TO_TAKE)
    daemon = start("--config", shop.config)
    shop.server.wait_for(1, timeout_s=60)
    shop.configure("local")
    daemon.process.send_signal(signal.SIGHUP)
    shop.bench.wait_for((shop.bench.root / "shop-out/a.png.json").exists, "the local cutout")
    assert daemon.end() == 0
    assert not shop.server.seen[0].is_whole
    assert len(shop.server.seen) == 1
    sidecar = shop.sidecar("shop", "a.png")
    assert sidecar["model"]["name"] == "darkness"
    assert sidecar["egress"]["withdrawn"]  # some bytes had left, and that is said


def test_a_folder_that_a_reload_tags_is_uploaded_from(shop: Shop, start: Callable[..., Daemon]) -> None:
    """The uploader reads the configuration again as well; until then it refuses requests of that folder."""
    shop.configure("hosted")
    daemon = start("--config", shop.config)
    shop.bench.wait_for((shop.bench.root / "own-state/hosted/status.json").exists, "the uploader")
    text = shop.config.read_text("utf-8")
    shop.config.write_text(text.replace('route = "local"', 'route = "hosted"'), encoding="utf-8")
    daemon.process.send_signal(signal.SIGHUP)
    shop.bench.wait_for(lambda: b"hosted.begins-anew" in (shop.bench.root / "log").read_bytes(), "the reload")
    shop.drop("private", "b.jpg", picture(2))
    shop.bench.wait_for((shop.bench.root / "private-out/b.png.json").exists, "the hosted cutout")
    assert shop.sidecar("private", "b.png")["route"] == "hosted"
    assert daemon.end() == 0


def test_with_local_only_nothing_leaves(shop: Shop) -> None:
    """A folder with another route uses that; a folder without one is refused, with the reason."""
    shop.configure("local-then-hosted", "escalate_below = 1")
    shop.drop("shop", "doubtful.jpg", half_a_ball())
    assert shop.once("--local-only") == 0
    assert shop.sidecar("shop", "doubtful.png")["egress"] is None
    shop.configure("hosted")
    refused = shop.bench.call("run", "--config", shop.config, "--once", "--local-only")
    assert refused.returncode == 2
    assert '"shop"' in refused.stderr
    assert not shop.server.seen


def test_without_a_tag_there_is_no_uploader(shop: Shop) -> None:
    """Not even its directories exist; and enabling the service alone sends nothing."""
    shop.configure("local")
    shop.drop("shop", "a.jpg", picture(1))
    assert shop.once() == 0
    assert not (shop.bench.root / "own-state/hosted").exists()
    assert not shop.server.seen
