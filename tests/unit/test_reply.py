"""What a hosted service sends back is checked before it is believed."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from cutoutd.egress import Body
from cutoutd.engine import reply
from cutoutd.errors import ReplyError

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT = 64, 48
ALPHA = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))


def saved(image: Image.Image, kind: str = "PNG") -> bytes:
    """As a file."""
    draft = io.BytesIO()
    image.save(draft, format=kind)
    return draft.getvalue()


def cutout(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """A picture with a ramp for its transparency."""
    alpha = Image.fromarray(ALPHA).resize((width, height))
    image = Image.new("RGB", (width, height), (9, 99, 199))
    image.putalpha(alpha)
    return saved(image)


def archive(name: str = "alpha.png", content: bytes | None = None) -> bytes:
    """A zip as remove.bg makes it."""
    draft = io.BytesIO()
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("color.jpg", b"not looked at")
        file.writestr(name, saved(Image.fromarray(ALPHA)) if content is None else content)
    return draft.getvalue()


def taken(
    data: bytes, body: Body, *, max_pixels: int = 10_000
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The matte of a reply to an upload of WIDTH x HEIGHT."""
    return reply.matte(data, body, width=WIDTH, height=HEIGHT, max_pixels=max_pixels)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (cutout(), Body.CUTOUT),
        (saved(Image.fromarray(ALPHA)), Body.ALPHA),
        (archive(), Body.PARTS),
        (saved(Image.merge("RGB", [Image.fromarray(ALPHA)] * 3)), Body.ALPHA),
    ],
    ids=["cutout", "alpha", "parts", "grey in colour"],
)
def test_the_matte_is_taken_out_of_every_form(data: bytes, body: Body) -> None:
    """To the last value."""
    assert np.array_equal(np.round(taken(data, body) * 255).astype(np.uint8), ALPHA)


def test_another_size_of_the_same_shape_will_do() -> None:
    """Services cap what they give back; the edge is refined here anyway."""
    assert taken(cutout(32, 24), Body.CUTOUT).shape == (24, 32)


def bomb() -> bytes:
    """A PNG whose header promises more pixels than anybody has."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


WRONG: dict[str, tuple[Callable[[], bytes], Body, str]] = {
    "an error page": (lambda: b"<html><body>502 Bad Gateway</body></html>", Body.CUTOUT, "no picture"),
    "nothing": (lambda: b"", Body.CUTOUT, "no picture"),
    "half a picture": (lambda: cutout()[: len(cutout()) // 2], Body.CUTOUT, "no picture"),
    "no transparency": (
        lambda: saved(Image.new("RGB", (WIDTH, HEIGHT))),
        Body.CUTOUT,
        "without transparency",
    ),
    "another shape": (lambda: cutout(48, 64), Body.CUTOUT, "48 x 64"),
    "a photo for a matte": (
        lambda: saved(Image.effect_noise((WIDTH, HEIGHT), 80).convert("HSV").convert("RGB").rotate(0)),
        Body.CUTOUT,
        "without transparency",
    ),
    "colours for a matte": (
        lambda: saved(Image.new("RGB", (WIDTH, HEIGHT), (200, 10, 10))),
        Body.ALPHA,
        "colour picture",
    ),
    "no archive": (cutout, Body.PARTS, "no archive"),
    "an archive without the part": (lambda: archive("beta.png"), Body.PARTS, "no archive"),
    "a broken part": (lambda: archive(content=b"x"), Body.PARTS, "no picture"),
    "too many pixels": (bomb, Body.CUTOUT, "no picture"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_matte_of_the_upload_is_refused(what: str) -> None:
    """With words that say what came instead."""
    make, body, words = WRONG[what]
    with pytest.raises(ReplyError, match=words):
        taken(make(), body)


def test_an_archive_cannot_unpack_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes may stand for gigabytes."""
    monkeypatch.setattr(reply, "_MAX_ALPHA_BYTES", 1000)
    with pytest.raises(ReplyError, match="unreasonably large"):
        taken(archive(content=b"\0" * 100_000), Body.PARTS)
