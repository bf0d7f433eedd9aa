"""The providers' contracts: requests, costs, and the meaning of answers."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.exchange.spool import Body
from cutoutd.hosted import response
from cutoutd.hosted.key import Key
from cutoutd.hosted.provider import Upload, one_line
from cutoutd.hosted.providers import Rembg, RemoveBg, WithoutBg, provider_of
from cutoutd.hosted.response import HttpResponse, Meaning
from cutoutd.settings.hosted import HostedSettings, parse
from cutoutd.settings.types import HostedProvider

if TYPE_CHECKING:
    from cutoutd.hosted.provider import Provider

KEY = Key("s3cret")
NOW_US = 1_700_000_000_000_000
REMOVEBG = RemoveBg(key=KEY, full_price=1.0)
REMBG = Rembg(full_price=0.0)
CLOUD = WithoutBg(key=KEY, is_cloud=True, full_price=1.0)
OWN = WithoutBg(key=None, is_cloud=False, full_price=0.0)


def upload(width: int, height: int = 1) -> Upload:
    """Return a picture of this size."""
    return Upload(name="0a.jpg", bytes=10, width=width, height=height)


def http_response(status: int, content: bytes = b"", **headers: str) -> HttpResponse:
    """Return an answer; in the names of headers, _ stands for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status=status, headers=named, content=content, bytes=len(content))


@pytest.mark.parametrize(
    ("pixels", "options", "price", "body"),
    [
        (1, "size=preview format=png", 0.25, Body.CUTOUT),
        (250_000, "size=preview format=png", 0.25, Body.CUTOUT),
        (250_001, "size=full format=png", 1.0, Body.CUTOUT),
        (10_000_000, "size=full format=png", 1.0, Body.CUTOUT),
        (10_000_001, "size=full format=zip", 1.0, Body.PARTS),
        (25_000_001, "size=50MP format=zip", 1.0, Body.PARTS),
    ],
)
def test_remove_bg_is_asked_for_a_size_by_pixels(pixels: int, options: str, price: float, body: Body) -> None:
    """Always in full size, as a PNG within its size limit, and at the lowest price."""
    http_request = REMOVEBG.http_request(upload(pixels), "b")
    assert (http_request.options, http_request.body, REMOVEBG.price(upload(pixels))) == (options, body, price)
    assert http_request.path == "/v1.0/removebg"


@pytest.mark.parametrize("provider", [REMOVEBG, REMBG, CLOUD, OWN], ids=lambda one: type(one).__name__)
@given(size=st.integers(1, 10_000))
def test_the_length_is_known_before_anything_is_sent(provider: Provider, size: int) -> None:
    """To the byte, including the form's parts around the picture."""
    http_request = provider.http_request(upload(4, 4), "boundary")
    content = b"x" * size
    middle = base64.b64encode(content) if http_request.is_base64 else content
    assert http_request.length(size) == len(http_request.head + middle + http_request.tail)


@pytest.mark.parametrize("provider", [REMOVEBG, CLOUD], ids=lambda one: type(one).__name__)
def test_a_request_does_not_show_the_key(provider: Provider) -> None:
    """In any printed form."""
    http_request = provider.http_request(upload(4, 4), "boundary")
    assert "s3cret" in http_request.headers.values()
    assert "s3cret" not in repr(http_request)
    assert "s3cret" not in repr(provider)


def test_the_cloud_of_withoutbg_speaks_base64() -> None:
    """Both ways; the matte is extracted from the JSON and not decoded."""
    http_request = CLOUD.http_request(upload(4, 4), "boundary")
    body = http_request.head + base64.b64encode(b"jpeg") + http_request.tail
    assert json.loads(body) == {"image_base64": base64.b64encode(b"jpeg").decode()}
    assert http_request.unwrap is not None
    text = base64.b64encode(b"matte").decode()
    assert http_request.unwrap(json.dumps({"alpha_base64": text}).encode()) == b"matte"
    assert (
        http_request.unwrap(json.dumps({"alpha_base64": f"data:image/png;base64,{text}"}).encode())
        == b"matte"
    )


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"alpha_base64": 7}', b'{"alpha_base64": "*"}', b"[" * 9999]
)
def test_json_without_a_matte_is_none(content: bytes) -> None:
    """Whatever JSON it is."""
    unwrap = CLOUD.http_request(upload(4, 4), "b").unwrap
    assert unwrap is not None
    with pytest.raises(ValueError, match="alpha_base64"):
        unwrap(content)


@pytest.mark.parametrize(
    ("provider", "content", "expected"),
    [
        (REMOVEBG, b'{"errors": [{"title": "No", "detail": "why"}]}', "No: why"),
        (REMOVEBG, b'{"errors": [{"title": "No", "code": "x"}]}', "No"),
        (REMOVEBG, b'{"errors": "no"}', ""),
        (REMBG, b'{"detail": [{"msg": "field required"}]}', "field required"),
        (REMBG, b'{"error": "bad"}', "bad"),
        (OWN, b'{"detail": "not ready"}', "not ready"),
        (OWN, b"<html>", ""),
    ],
)
def test_an_error_is_reported_in_the_providers_words(
    provider: Provider, content: bytes, expected: str
) -> None:
    """Each provider has its own form of errors."""
    assert provider.error_text(content) == expected


@given(st.binary(max_size=200))
def test_no_error_text_breaks_a_line(content: bytes) -> None:
    """A service is not trusted, and its messages are logged."""
    for provider in (REMOVEBG, REMBG, OWN):
        found = response.judge(http_response(400, content), provider, NOW_US)
        assert found.cause.isprintable()
        assert len(found.cause) < 400
    assert one_line("a\n\x1b[2Jb").isprintable()


@pytest.mark.parametrize(
    ("status", "meaning", "is_fault"),
    [
        (200, Meaning.PICTURE, False),
        (101, Meaning.UNCLEAR, False),
        (201, Meaning.PICTURE, False),
        (204, Meaning.PICTURE, False),
        (206, Meaning.PICTURE, False),
        (301, Meaning.CLOSED, False),
        (304, Meaning.CLOSED, False),
        (400, Meaning.REFUSED, False),
        (401, Meaning.CLOSED, False),
        (402, Meaning.CLOSED, False),
        (403, Meaning.CLOSED, False),
        (404, Meaning.CLOSED, False),
        (408, Meaning.LATER, False),
        (413, Meaning.REFUSED, False),
        (422, Meaning.REFUSED, False),
        (429, Meaning.LATER, False),
        (500, Meaning.LATER, True),
        (502, Meaning.LATER, True),
        (503, Meaning.LATER, True),
        (504, Meaning.UNCLEAR, False),
    ],
)
def test_each_status_has_its_meaning(status: int, meaning: Meaning, is_fault: bool) -> None:  # noqa: FBT001 -- cases
    """The picture's fault, the account's, a temporary one, or unknown."""
    found = response.judge(http_response(status), REMOVEBG, NOW_US)
    assert (found.meaning, found.is_fault) == (meaning, is_fault)
    assert bool(found.cause) is (meaning is not Meaning.PICTURE) or meaning is Meaning.PICTURE


@pytest.mark.parametrize("status", [302, 400, 402, 429, 500, 504])
def test_an_answer_that_reports_a_charge_may_have_been_billed(status: int) -> None:
    """Whatever the status; a charge of 0 counts as none."""
    charged = response.judge(http_response(status, x_credits_charged="1"), REMOVEBG, NOW_US)
    assert charged.may_be_billed
    assert "charged 1 credits" in charged.cause
    free = response.judge(http_response(status, x_credits_charged="0"), REMOVEBG, NOW_US)
    assert free.may_be_billed is (status == 504)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ""),
        (b"GIF89a\x01\x02", ""),
        (b"no room left\r\n", ": no room left"),
        (b"<html><title>\x01\x02\xff</title></html>", ": a web page"),
    ],
)
def test_a_body_is_quoted_only_if_it_is_short_text(content: bytes, expected: str) -> None:
    """No bytes of a picture may appear in a log, a status or the ledger."""
    assert (
        response.judge(http_response(400, content), REMOVEBG, NOW_US).cause == f"removebg says 400{expected}"
    )


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("99999999", 3600.0),
        ("inf", 3600.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Mon, 01 Jan 1990 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_in_both_forms(written: str, seconds: float | None) -> None:
    """Seconds or a date, bounded; an invalid value counts as absent."""
    assert response.retry_after_s(http_response(429, retry_after=written).headers, NOW_US) == seconds


@pytest.mark.parametrize(
    ("written", "credits_"),
    [("1", 1.0), ("0.25", 0.25), ("-1", None), ("nan", None), ("1e99", None), ("x", None)],
)
def test_credits_are_read_from_a_plausible_header(written: str, credits_: float | None) -> None:
    """A negative charge would increase the budget."""
    assert response.credits_of(http_response(200, x_credits_charged=written)) == credits_


def test_the_services_own_rate_limit_is_respected() -> None:
    """If fewer calls remain than needed, the upload waits; a wrong clock does no harm."""

    def held(remaining: str, reset: str) -> float:
        return response.exhausted_s(
            http_response(200, x_ratelimit_remaining=remaining, x_ratelimit_reset=reset), 10.0, NOW_US
        )

    assert held("5", str(NOW_US // 1_000_000 + 30)) == 30.0
    assert held("50", str(NOW_US // 1_000_000 + 30)) == 0.0
    assert held("5", str(NOW_US // 1_000_000 - 30)) == 0.0
    assert held("x", "y") == 0.0
    assert response.exhausted_s(http_response(200), 10.0, NOW_US) == 0.0


def test_the_provider_is_the_one_that_is_configured() -> None:
    """The address decides between withoutBG's two contracts."""
    names = {one: provider_of(HostedSettings(provider=one), None).name for one in HostedProvider}
    assert names == {one: one.value for one in HostedProvider}
    cloud = provider_of(HostedSettings(provider=HostedProvider.WITHOUTBG), KEY)
    own = provider_of(
        HostedSettings(provider=HostedProvider.WITHOUTBG, base_url=parse("http://127.0.0.1:8000")), None
    )
    assert isinstance(cloud, WithoutBg)
    assert isinstance(own, WithoutBg)
    assert (cloud.is_cloud, own.is_cloud) == (True, False)


@pytest.mark.parametrize("status", [200, 201, 204, 206])
def test_every_success_concerns_the_picture_and_its_body_is_checked(status: int) -> None:
    """A 2xx of any kind closes no route, so no other picture waits for it."""
    assert response.judge(http_response(status), REMBG, NOW_US).meaning is Meaning.PICTURE


def test_no_message_contains_bytes_of_a_picture() -> None:
    """For an error that is not text the message has the status alone."""
    judgement = response.judge(http_response(302, b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" * 20), REMBG, NOW_US)
    assert judgement.cause == "rembg says 302"
