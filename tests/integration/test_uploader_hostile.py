"""Answers that no honest service gives, byte for byte over a socket: each is interpreted, and none is an internal error."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

import pytest
from PIL import Image

from cutoutd.engine.formats.reply import matte
from cutoutd.errors import ReplyError
from cutoutd.exchange import spool
from cutoutd.exchange.spool import Body, UploadOutcome
from cutoutd.hosted.route import RouteState
from cutoutd.hosted.upload_job import UploadJob
from tests.integration.test_uploader_exchange import take, wire
from tests.integration.uploader_parts import close, context, request
from tests.integration.uploading import HEIGHT, WIDTH, picture

if TYPE_CHECKING:
    import socket
    from pathlib import Path


def png(mode: str = "LA", size: tuple[int, int] = (WIDTH, HEIGHT), **options: object) -> bytes:
    """Return a picture."""
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG", **options)
    return file.getvalue()


def http_answer(status: str, *headers: str, body: bytes = b"", length: int | str | None = None) -> bytes:
    """Return an answer as it is transmitted."""
    lines = [f"HTTP/1.1 {status}", *headers]
    if length != "":
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


GOOD: Final = http_answer("200 OK", "Content-Type: image/png", "X-Credits-Charged: 0.25", body=png())
OK, FAILED, UNKNOWN = UploadOutcome.OK, UploadOutcome.FAILED, UploadOutcome.UNKNOWN
DEEP: Final = b'{"errors":[{"title":' + b"[" * 30_000 + b"]" * 30_000 + b"}]}"

ANSWERS: Final[dict[str, tuple[bytes, object]]] = {
    "interim answers, then a good one": (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 50 + GOOD, OK),
    "a cookie": (http_answer("200 OK", "Set-Cookie: a=b; Domain=evil.test", body=png()), OK),
    "a content type that is wrong": (http_answer("200 OK", "Content-Type: text/html", body=png()), OK),
    "no length, until the end": (http_answer("200 OK", body=png(), length=""), OK),
    "chunks": (
        http_answer("200 OK", "Transfer-Encoding: chunked", length="") + b"5\r\nabcde\r\n0\r\n\r\n",
        UNKNOWN,
    ),
    "chunks of a size that is none": (
        http_answer("200 OK", "Transfer-Encoding: chunked", length="") + b"zz\r\nx",
        UNKNOWN,
    ),
    "chunks below nothing": (
        http_answer("200 OK", "Transfer-Encoding: chunked", length="") + b"-5\r\nx",
        UNKNOWN,
    ),
    "a chunk beyond all sizes": (
        http_answer("200 OK", "Transfer-Encoding: chunked", length="") + b"f" * 30 + b"\r\nx",
        UNKNOWN,
    ),
    "packed and in chunks": (
        http_answer("200 OK", "Transfer-Encoding: gzip, chunked", length="") + b"0\r\n\r\n",
        UNKNOWN,
    ),
    "more than it says": (http_answer("200 OK", body=png() + png(), length=len(png())), OK),
    "less than it says": (http_answer("200 OK", body=png(), length=len(png()) + 9), UNKNOWN),
    "two lengths": (http_answer("200 OK", "Content-Length: 5", body=png()), UNKNOWN),
    "a length below nothing": (http_answer("200 OK", body=png(), length=-1), UNKNOWN),
    "a length that is a word": (http_answer("200 OK", body=png(), length="many"), UNKNOWN),
    "a length beyond 64 bits": (http_answer("200 OK", body=png(), length=1 << 70), UNKNOWN),
    "a header without an end": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * (1 << 20), UNKNOWN),
    "ten thousand headers": (http_answer("200 OK", *["X-A: a"] * 10_000, body=png()), OK),
    "headers of a megabyte": (http_answer("200 OK", *["X-A: a"] * 100_000, body=png()), UNKNOWN),
    "NUL in a header": (http_answer("200 OK", "X-A: \0", body=png()), UNKNOWN),
    "a header's name that is none": (http_answer("200 OK", "X\xe9 A: 1", body=png()), UNKNOWN),
    "a folded header": (http_answer("200 OK", "X-A: 1\r\n  2", body=png()), OK),
    "HTTP/0.9": (png(), UNKNOWN),
    "another protocol": (b"SSH-2.0-x\r\n\r\n", UNKNOWN),
    "HTTP/2": (b"\0\0\x12\x04" + bytes(30), UNKNOWN),
    "a status that is none": (b"HTTP/1.1 abc OK\r\n\r\n", UNKNOWN),
    "999": (http_answer("999 Enough") + b"", "later"),
    "nothing": (b"", UNKNOWN),
    "a web page": (http_answer("200 OK", body=b"<html><title>Sign in</title>"), UNKNOWN),
    "the picture in JSON": (
        http_answer("200 OK", body=json.dumps({"data": {"result_b64": "iVBOR"}}).encode()),
        UNKNOWN,
    ),
    "JSON without an end": (http_answer("400 No", body=b'{"errors":' * 6000), FAILED),
    "deep JSON": (http_answer("400 No", body=DEEP), FAILED),
    "errors that are none": (http_answer("400 No", body=b'{"errors": {"title": 1e999}}'), FAILED),
    "words that ring and colour": (
        http_answer("400 No", body=b'{"errors":[{"title":"\\u001b[31m\\u0007\\ud800 a"}]}'),
        FAILED,
    ),
    "413": (http_answer("413 Too Large"), FAILED),
    "415": (http_answer("415 No"), FAILED),
    "401": (http_answer("401 No"), "closed"),
    "402": (http_answer("402 Pay"), "closed"),
    "403": (http_answer("403 No"), "closed"),
    "407": (http_answer("407 Ask the proxy"), "closed"),
    "421": (http_answer("421 Misdirected"), "closed"),
    "426": (http_answer("426 Upgrade"), "closed"),
    "431": (http_answer("431 Headers too large"), "closed"),
    "a redirect": (http_answer("302 Found", "Location: http://evil.test/"), "closed"),
    "a redirect that keeps the method": (http_answer("307 Moved", "Location: //evil.test"), "closed"),
    "304": (b"HTTP/1.1 304 Not Modified\r\n\r\n", "closed"),
    "429, below nothing": (http_answer("429 Wait", "Retry-After: -99"), "later"),
    "429, a date that was": (http_answer("429 Wait", "Retry-After: Mon, 01 Jan 1990 00:00:00 GMT"), "later"),
    "429, nonsense": (http_answer("429 Wait", "Retry-After: 0, soon"), "later"),
    "500": (http_answer("500 Oh", body=DEEP), "later"),
    "503": (http_answer("503 Oh", "Retry-After: 0"), "later"),
    "charged without end": (http_answer("200 OK", "X-Credits-Charged: 1e999", body=png()), OK),
    "charged below nothing": (http_answer("200 OK", "X-Credits-Charged: -5", body=png()), OK),
    "charged no number": (http_answer("200 OK", "X-Credits-Charged: nan", body=png()), OK),
    "counts that are none": (
        http_answer("200 OK", "X-RateLimit-Remaining: -inf", "X-RateLimit-Reset: nan", body=png()),
        OK,
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_has_a_meaning(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """What may have been billed is not sent again automatically, and the answer is never used for a later picture."""
    content, meaning = ANSWERS[name]
    script = [content]

    def behave(connection: socket.socket) -> None:
        while True:
            take(connection)
            answer = script.pop() if script else GOOD
            connection.sendall(answer)
            if answer is not GOOD:
                return

    with wire(behave) as server:
        shared = context(tmp_path, server, timeout_s=2.0)
        created = request(shared.paths, picture(1))
        is_over = UploadJob(context=shared, request=created).run()
        if meaning == "closed":
            assert (is_over, shared.route.snapshot().state) == (False, RouteState.PAUSED)
            assert shared.route.snapshot().why
        else:
            reply = spool.read_reply(shared.paths.inbox / f"{created.id}.json")
            assert reply.outcome is (OK if meaning == "later" else meaning)
            assert all(letter.isprintable() for letter in reply.cause)
            assert sum(one["counted"] for one in shared.ledger.all()) == (0.0 if meaning is FAILED else 0.25)
        ends = [one["outcome"] for one in shared.ledger.all()]
        before = {"later": ["refused", "ok"], "closed": ["refused"]}.get(str(meaning), [str(meaning)])
        assert ends == before
        if meaning != "closed":
            after = request(shared.paths, picture(2))
            assert UploadJob(context=shared, request=after).run()
            assert spool.read_reply(shared.paths.inbox / f"{after.id}.json").outcome is OK
        close(shared)
    out = capsys.readouterr()
    assert "internal error" not in out.out + out.err


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def drawn(mode: str, *, interlace: int = 0, **size: int) -> bytes:
    """Return a PNG with 16 bits, interlaced, or of a size that its data does not have."""
    width, height = size.get("width", WIDTH), size.get("height", HEIGHT)
    bits, colour, channels = {"grey16": (16, 0, 2), "rgba16": (16, 6, 8), "grey8": (8, 0, 1)}[mode]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)
    rows = zlib.compress(b"".join(b"\0" + bytes(WIDTH * channels) for _ in range(HEIGHT)))
    return egress_png(chunk(b"IHDR", header), chunk(b"IDAT", rows))


def egress_png(*chunks: bytes) -> bytes:
    """Return a PNG of these chunks."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def inserted(data: bytes, *chunks: bytes) -> bytes:
    """Insert chunks after the header of a PNG."""
    return data[:33] + b"".join(chunks) + data[33:]


def animated() -> bytes:
    """Return an animation in WebP."""
    file = io.BytesIO()
    frames = [Image.new("RGBA", (WIDTH, HEIGHT), (n, 0, 0, n)) for n in range(3)]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    return file.getvalue()


def archive(method: int, *, spoilt: bool) -> bytes:
    """Return the two parts of a picture of more than ten megapixels."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        made.writestr("alpha.png", png("L"))
    data = bytearray(file.getvalue())
    if spoilt:
        data[60:80] = bytes(range(0xEC, 0x100))
    return bytes(data)


BODIES: Final[dict[str, tuple[bytes, Body, bool]]] = {
    "grey and alpha": (png("LA"), Body.CUTOUT, True),
    "a palette": (png("P"), Body.CUTOUT, False),
    "a palette with transparency": (png("P", transparency=0), Body.CUTOUT, True),
    "16 bits a colour": (drawn("rgba16"), Body.CUTOUT, True),
    "a matte of 16 bits": (drawn("grey16"), Body.ALPHA, True),
    "a matte of one bit": (png("1"), Body.ALPHA, True),
    "one pixel": (png("LA", (1, 1)), Body.CUTOUT, False),
    "turned": (png("LA", (HEIGHT, WIDTH)), Body.CUTOUT, False),
    "larger": (png("LA", (2 * WIDTH, 2 * HEIGHT)), Body.CUTOUT, False),
    "a bomb": (drawn("grey8", width=40_000, height=40_000), Body.ALPHA, False),
    "no size": (drawn("grey8", width=0), Body.ALPHA, False),
    "a size beyond 31 bits": (drawn("grey8", width=(1 << 32) - 1), Body.ALPHA, False),
    "words that unpack to gigabytes": (
        inserted(png("LA"), *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 24)))] * 20),
        Body.CUTOUT,
        True,
    ),
    "an animation": (inserted(png("LA"), chunk(b"acTL", struct.pack(">II", 2, 0))), Body.CUTOUT, False),
    "an animation in WebP": (animated(), Body.CUTOUT, False),
    "data that ends": (png("LA")[:-40] + png("LA")[-12:], Body.CUTOUT, False),
    "an archive that is none": (b"PK\x03\x04" + bytes(100), Body.PARTS, False),
    "an archive": (archive(zipfile.ZIP_DEFLATED, spoilt=False), Body.PARTS, True),
    "a spoilt archive": (archive(zipfile.ZIP_DEFLATED, spoilt=True), Body.PARTS, False),
    "another spoilt archive": (archive(zipfile.ZIP_LZMA, spoilt=True), Body.PARTS, False),
    "a third spoilt archive": (archive(zipfile.ZIP_BZIP2, spoilt=True), Body.PARTS, False),
    "nothing": (b"", Body.ALPHA, False),
}


@pytest.mark.parametrize("name", BODIES)
def test_every_body_is_a_matte_of_the_copy_or_none(name: str) -> None:
    """No other exception is raised."""
    data, body, is_matte = BODIES[name]
    try:
        found = matte(data, body, width=WIDTH, height=HEIGHT, max_pixels=1_000_000)
    except ReplyError:
        assert not is_matte
    else:
        assert is_matte
        assert found.shape == (HEIGHT, WIDTH)
