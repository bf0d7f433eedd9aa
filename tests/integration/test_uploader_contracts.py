"""Complete exchanges by each contract, against a service that checks requests and really cuts."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cutoutd.exchange.spool import Body, UploadOutcome
from cutoutd.hosted.key import Key
from cutoutd.hosted.providers import WithoutBg
from tests.hosted_server import Behaviour, HostedServer, engine_cut
from tests.integration.uploader_parts import answer, close, context, request
from tests.integration.uploading import HEIGHT, KEY, WIDTH, picture

if TYPE_CHECKING:
    from pathlib import Path


def ball(width: int, height: int) -> bytes:
    """Return a red ball on a pale background."""
    image = Image.new("RGB", (width, height), (214, 220, 216))
    inset = width // 4, height // 4
    ImageDraw.Draw(image).ellipse((*inset, width - inset[0], height - inset[1]), fill=(180, 40, 30))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return file.getvalue()


def test_a_picture_is_really_cut(tmp_path: Path) -> None:
    """The service uses cutoutd's own engine: the ball is opaque, and the background is not."""
    with HostedServer(cut=engine_cut()) as server:
        shared = context(tmp_path, server)
        reply = answer(shared, request(shared.paths, ball(640, 480), width=640, height=480))
        assert (reply.outcome, reply.body, reply.credits) == (UploadOutcome.OK, Body.CUTOUT, 1.0)
        with Image.open(shared.paths.inbox / reply.file) as cutout:
            alpha = np.asarray(cutout)[..., 3]
        assert (alpha[240, 320], alpha[5, 5], alpha[475, 635]) == (255, 0, 0)
        close(shared)


def test_above_ten_megapixels_a_picture_is_requested_in_two_parts(tmp_path: Path) -> None:
    """A transparent PNG would be reduced."""
    with HostedServer() as server:
        shared = context(tmp_path, server)
        width, height = 4000, 2501
        content = picture(1, width=width, height=height)
        reply = answer(shared, request(shared.paths, content, width=width, height=height))
        assert (reply.outcome, reply.body) == (UploadOutcome.OK, Body.PARTS)
        assert server.seen[0].fields["format"] == "zip"
        with zipfile.ZipFile(shared.paths.inbox / reply.file) as parts:
            assert sorted(parts.namelist()) == ["alpha.png", "color.jpg"]
        close(shared)


def test_a_service_that_charges_nothing_needs_no_budget(tmp_path: Path) -> None:
    """The contract of rembg: only the matte, without a key, and nothing is cached, since nothing was paid."""
    with HostedServer() as server:
        shared = context(tmp_path, server, provider="rembg", max_credits_per_day=0)
        reply = answer(shared, request(shared.paths))
        assert (reply.outcome, reply.body, reply.credits) == (UploadOutcome.OK, Body.ALPHA, None)
        with Image.open(shared.paths.inbox / reply.file) as matte:
            assert (matte.mode, matte.size) == ("L", (WIDTH, HEIGHT))
        assert server.seen[0].path == "/api/remove"
        assert set(server.seen[0].fields) == {"om", "file:file"}
        assert "x-api-key" not in server.seen[0].headers
        assert list((shared.paths.root / "replies").iterdir()) == []
        server.next(Behaviour.BAD_PICTURE)
        assert "Could not identify" in answer(shared, request(shared.paths, picture(2))).cause
        close(shared)


def test_a_rembg_server_gets_the_configured_model(tmp_path: Path) -> None:
    """With the further fields that `rembg s` accepts; all of them are part of the cache key in the ledger."""
    with HostedServer() as server:
        fields = {"a": True, "af": 240, "extras": '{"x": 1}'}
        shared = context(tmp_path, server, provider="rembg", model="isnet-general-use", fields=fields)
        assert answer(shared, request(shared.paths)).outcome is UploadOutcome.OK
        sent = {name: value for name, value in server.seen[0].fields.items() if name != "file:file"}
        expected = {
            "om": "true",
            "model": "isnet-general-use",
            "a": "true",
            "af": "240",
            "extras": '{"x": 1}',
        }
        assert sent == expected
        (row,) = list(shared.ledger.all())
        assert row["options"] == 'om=true model=isnet-general-use a=true af=240 extras={"x": 1}'
        close(shared)


def test_withoutbg_of_ones_own(tmp_path: Path) -> None:
    """The picture's bytes are sent, and the matte is returned; the answer is awaited until it is ready."""
    with HostedServer() as server:
        shared = context(tmp_path, server, provider="withoutbg", max_credits_per_day=0)
        content = picture(1)
        server.next(Behaviour.PAGE_503)
        reply = answer(shared, request(shared.paths, content))
        assert (reply.outcome, reply.body) == (UploadOutcome.OK, Body.ALPHA)
        assert server.seen[1].path == "/v1/remove-background?output=matte"
        assert server.seen[1].picture == content
        close(shared)


def test_the_cloud_of_withoutbg(tmp_path: Path) -> None:
    """Base64 in JSON in both directions; the reply contains the matte itself."""
    with HostedServer(key=KEY) as server:
        provider = WithoutBg(key=Key(KEY), is_cloud=True, full_price=1.0)
        shared = context(tmp_path, server, contract=provider)
        content = picture(1)
        reply = answer(shared, request(shared.paths, content))
        assert (reply.outcome, reply.body, server.seen[0].picture) == (UploadOutcome.OK, Body.ALPHA, content)
        with Image.open(shared.paths.inbox / reply.file) as matte:
            assert (matte.mode, matte.size) == ("L", (WIDTH, HEIGHT))
        server.next(Behaviour.BAD_PICTURE)
        assert "400: Could not identify" in answer(shared, request(shared.paths, picture(2))).cause
        server.next(Behaviour.PAGE_200)
        reply = answer(shared, request(shared.paths, picture(3)))
        assert (reply.outcome, "it has no alpha_base64" in reply.cause) == (
            UploadOutcome.UNKNOWN,
            True,
        )
        close(shared)


@pytest.mark.parametrize("behaviour", [Behaviour.OTHER_PICTURE, Behaviour.OPAQUE, Behaviour.BOMB])
def test_the_uploader_does_not_decode_pictures(tmp_path: Path, behaviour: Behaviour) -> None:
    """The uploader passes on the bytes of a wrong, opaque or huge picture without decoding them."""
    with HostedServer() as server:
        shared = context(tmp_path, server)
        server.next(behaviour)
        reply = answer(shared, request(shared.paths))
        assert reply.outcome is UploadOutcome.OK
        assert (shared.paths.inbox / reply.file).read_bytes().startswith(b"\x89PNG")
        close(shared)
