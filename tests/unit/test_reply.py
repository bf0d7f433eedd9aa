"""A hosted service's answer is verified before it is used."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from cutoutd.engine.formats import reply
from cutoutd.errors import ReplyError
from cutoutd.exchange.spool import Body

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT = 64, 48
ALPHA = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))


def saved(image: Image.Image, kind: str = "PNG") -> bytes:
    """Return the picture as a file."""
    draft = io.BytesIO()
    image.save(draft, format=kind)
    return draft.getvalue()


def cutout(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Return a picture with a ramp as its alpha."""
    alpha = Image.fromarray(ALPHA).resize((width, height))
    image = Image.new("RGB", (width, height), (9, 99, 199))
    image.putalpha(alpha)
    return saved(image)


def archive(name: str = "alpha.png", content: bytes | None = None) -> bytes:
    """Return a zip as remove.bg makes it."""
    draft = io.BytesIO()
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("color.jpg", b"not looked at")
        file.writestr(name, saved(Image.fromarray(ALPHA)) if content is None else content)
    return draft.getvalue()


def matte_of(
    data: bytes, body: Body, *, max_pixels: int = 10_000
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the matte of a reply to an upload of WIDTH x HEIGHT."""
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
    """Each value is exact."""
    assert np.array_equal(np.round(matte_of(data, body) * 255).astype(np.uint8), ALPHA)


def test_a_cutout_that_a_documented_limit_has_reduced_will_do() -> None:
    """remove.bg reduces pictures above a size; the edge is refined here anyway."""
    data = cutout(1000, 666)
    matte = reply.matte(data, Body.CUTOUT, width=4001, height=2667, max_pixels=1_000_000)
    assert matte.shape == (666, 1000)


@pytest.mark.parametrize(
    ("width", "height", "columns", "rows"),
    [
        (320, 240, 1, 1),
        (320, 240, 167, 480),
        (320, 240, 240, 320),
        (320, 240, 160, 120),
        (320, 240, 321, 240),
        (320, 240, 640, 480),
        (1200, 900, 1000, 748),
        (1200, 900, 10, 7),
        (0, 0, 320, 240),
        (320, 0, 320, 240),
        (0, 240, 320, 240),
        (-320, -240, 320, 240),
    ],
)
@pytest.mark.parametrize("body", [Body.CUTOUT, Body.ALPHA])
def test_a_reply_of_another_shape_than_the_copy_is_refused(
    width: int, height: int, columns: int, rows: int, body: Body
) -> None:
    """Neither 0, nor one pixel, nor nearly the right shape is accepted."""
    data = cutout(columns, rows)
    with pytest.raises(ReplyError, match=r"came back for one of|size of what was uploaded is not known"):
        reply.matte(data, body, width=width, height=height, max_pixels=1_000_000)


def test_a_matte_has_the_size_of_the_copy_to_the_pixel() -> None:
    """No service that answers with a matte documents a reduction."""
    with pytest.raises(ReplyError, match="1000 x 750"):
        reply.matte(cutout(1000, 750), Body.ALPHA, width=2000, height=1500, max_pixels=1_000_000)


def turned() -> bytes:
    """Return a cutout of the right size with an EXIF orientation of 180 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 3
    draft = io.BytesIO()
    Image.open(io.BytesIO(cutout())).save(draft, format="PNG", exif=exif)
    return draft.getvalue()


def animation() -> bytes:
    """Return two frames of the right size."""
    frames = [Image.new("RGBA", (WIDTH, HEIGHT), (9, 9, 9, value)) for value in (0, 255)]
    draft = io.BytesIO()
    frames[0].save(draft, format="PNG", save_all=True, append_images=frames[1:])
    return draft.getvalue()


def in_webp() -> bytes:
    """Return a cutout of the right size in another format."""
    draft = io.BytesIO()
    Image.open(io.BytesIO(cutout())).save(draft, format="WEBP", lossless=True)
    return draft.getvalue()


def bomb() -> bytes:
    """Return a PNG whose header claims an excessive number of pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


WRONG: dict[str, tuple[Callable[[], bytes], Body, str]] = {
    "an error page": (lambda: b"<html><body>502 Bad Gateway</body></html>", Body.CUTOUT, "not a picture"),
    "nothing": (lambda: b"", Body.CUTOUT, "not a picture"),
    "half a picture": (lambda: cutout()[: len(cutout()) // 2], Body.CUTOUT, "not a picture"),
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
    "turned": (turned, Body.CUTOUT, "marked as turned"),
    "an animation": (animation, Body.CUTOUT, "an animation"),
    "another format": (in_webp, Body.CUTOUT, "WebP file"),
    "not an archive": (cutout, Body.PARTS, "not an archive"),
    "an archive without the part": (lambda: archive("beta.png"), Body.PARTS, "not an archive"),
    "a broken part": (lambda: archive(content=b"x"), Body.PARTS, "not a picture"),
    "too many pixels": (bomb, Body.CUTOUT, "not a picture"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_answer_without_a_matte_of_the_upload_is_refused(what: str) -> None:
    """The message describes what was received."""
    make, body, words = WRONG[what]
    with pytest.raises(ReplyError, match=words):
        matte_of(make(), body)


def test_an_archive_cannot_unpack_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes may expand to gigabytes."""
    monkeypatch.setattr(reply, "_MAX_ALPHA_BYTES", 1000)
    with pytest.raises(ReplyError, match="unreasonably large"):
        matte_of(archive(content=b"\0" * 100_000), Body.PARTS)
