"""Clients made for remove.bg and for a rembg server, used with a real daemon."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import zipfile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from PIL import Image

from cutoutd.intake import incoming
from tests.integration.serving import Serving, picture, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

REMOVEBG = "/v1.0/removebg"
REMBG = "/api/remove"
BOUNDARY = "xx"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One API for all tests of this module, since the daemon takes some seconds to start."""
    with serving(tmp_path_factory.mktemp("contracts") / "home", "[serve]\nmax_file_mb = 1") as one:
        yield one


def form(fields: Mapping[str, str], files: Sequence[tuple[str, bytes]] = ()) -> bytes:
    """Return a form's body."""
    lines = b""
    for name, text in fields.items():
        lines += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
    for name, content in files:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="shoe.jpg"\r\n'
        lines += f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + content + b"\r\n"
    return lines + f"--{BOUNDARY}--\r\n".encode()


def ask(
    api: Serving,
    path: str = REMOVEBG,
    content: bytes | None = None,
    accept: str = "",
    key: str | None = None,
    files: Sequence[tuple[str, bytes]] = (),
    **fields: str,
) -> tuple[int, Any, Mapping[str, str]]:
    """Send a form with a picture; return the answer."""
    field = "image_file" if path == REMOVEBG else "file"
    body = form(fields, [(field, picture() if content is None else content), *files])
    sent = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Accept": accept}
    return api.ask("POST", path, body, sent, key=key)


def opened(content: bytes) -> Image.Image:
    """Open a picture in an answer."""
    return Image.open(io.BytesIO(content))


def code(answer: Mapping[str, Any]) -> str:
    """Return the code in remove.bg's refusal."""
    return str(answer["errors"][0]["code"])


def test_a_cutout_comes_with_its_headers(api: Serving) -> None:
    """A PNG; no charge, and the subject's position in headers."""
    status, content, headers = ask(api, content=picture(1), size="auto")
    assert (status, headers["content-type"]) == (200, "image/png"), content
    assert opened(content).size == (96, 96)
    assert opened(content).mode == "RGBA"
    assert (headers["x-width"], headers["x-height"], headers["x-credits-charged"]) == ("96", "96", "0")
    assert headers["x-type"] == "other"
    left, width = int(headers["x-foreground-left"]), int(headers["x-foreground-width"])
    assert (15 < left < 25, 50 < width < 65) == (True, True)
    assert "x-cutoutd-note" not in headers
    assert {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} <= set(headers)
    (kept,) = api.input.glob("shoe*.jpg")
    assert kept.read_bytes() == picture(1)


def test_a_missing_size_gives_a_preview_with_a_warning(api: Serving) -> None:
    """By a header and, once, by the log."""
    status, content, headers = ask(api, content=picture(2, side=800))
    assert (status, opened(content).size) == (200, (500, 500))
    assert "size was not sent" in headers["x-cutoutd-note"]
    until(lambda: "serve.preview" in api.log, "a word in the log")


def test_the_same_by_json_and_by_a_form_of_texts(api: Serving) -> None:
    """As JSON, with and without escapes, and urlencoded; also with a data URL."""
    text = base64.b64encode(picture(3)).decode()
    bodies = [
        (json.dumps({"image_file_b64": text, "size": "auto", "crop": True}), "application/json"),
        (
            json.dumps({"size": "auto", "crop": True, "image_file_b64": f"data:image/jpeg;base64,{text}"})
            .replace("/", "\\/"),
            "application/json; charset=utf-8",
        ),
        (urlencode({"image_file_b64": text, "size": "auto", "crop": "true"}), "application/x-www-form-urlencoded"),
    ]  # fmt: skip
    created = []
    for body, kind in bodies:
        status, content, _ = api.ask("POST", REMOVEBG, body.encode(), {"Content-Type": kind})
        assert status == 200, content
        created.append(content)
    assert created[0] == created[1] == created[2]
    assert opened(created[0]).width < 70


def test_json_is_answered_to_those_who_want_it_alone(api: Serving) -> None:
    """A library whose Accept names JSON first and then anything wants the picture."""
    status, answer, headers = ask(api, content=picture(4), accept="application/json", size="auto")
    assert (status, headers["content-type"]) == (200, "application/json")
    data = answer["data"]
    assert opened(base64.b64decode(data["result_b64"], validate=True)).size == (96, 96)
    assert {"foreground_top", "foreground_left", "foreground_width", "foreground_height"} < set(data)
    usual = ask(api, content=picture(4), accept="application/json, text/plain, */*", size="auto")
    assert usual[2]["content-type"] == "image/png"


def test_an_archive_has_colours_and_matte(api: Serving) -> None:
    """Together they are the cutout."""
    status, content, headers = ask(api, content=picture(5), size="full", format="zip")
    assert (status, headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["color.jpg", "alpha.png"]
        colours, matte = (opened(archive.read(name)) for name in archive.namelist())
    assert (colours.mode, matte.mode, colours.size, matte.size) == ("RGB", "L", (96, 96), (96, 96))


def test_requested_options_are_applied(api: Serving) -> None:
    """A colour, a background picture, the matte alone."""
    status, content, headers = ask(api, content=picture(6), size="auto", bg_color="red")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    red, green, _ = opened(content).convert("RGB").getpixel((2, 2))  # type: ignore[misc]
    assert (red > 240, green < 20) == (True, True)
    draft = io.BytesIO()
    Image.new("RGB", (40, 40), (0, 0, 250)).save(draft, "PNG")
    behind = [("bg_image_file", draft.getvalue())]
    status, content, _ = ask(api, content=picture(6), files=behind, size="auto", format="png")
    assert status == 200, content
    assert opened(content).convert("RGB").getpixel((2, 2)) == (0, 0, 250)
    _, content, _ = ask(api, content=picture(6), size="auto", channels="alpha")
    assert opened(content).mode == "L"
    assert not [path for path in (api.home / "state" / "backgrounds").iterdir() if "draft" in path.name]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"size": "huge"}, "invalid_size"),
        ({"bg_image_url": "http://x/y"}, "invalid_bg_image_url"),
        ({"image_url": "http://x/y"}, "multiple_sources"),
        ({"roi": "1"}, "invalid_roi"),
    ],
)
def test_refusals_are_json_and_leave_nothing(api: Serving, fields: dict[str, Any], expected: str) -> None:
    """With the codes that clients know; no job is created."""
    status, answer, headers = ask(api, content=picture(7), **fields)
    assert (status, code(answer), headers["x-credits-charged"]) == (400, expected, "0")
    until(lambda: not list((api.input / incoming.DIRECTORY).iterdir()), "nothing is left of it")


def test_bad_sources_are_refused_with_remove_bgs_codes(api: Serving) -> None:
    """A missing picture, a URL, a file that is no picture, one that is too large, one without a subject."""
    multipart = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    assert code(api.ask("POST", REMOVEBG, form({}), multipart)[1]) == "missing_source"
    url = api.ask("POST", REMOVEBG, form({"image_url": "http://127.0.0.1/x"}), multipart)
    assert (url[0], code(url[1])) == (400, "invalid_image_url")
    assert "nothing is fetched" in url[1]["errors"][0]["title"]
    assert code(api.ask("POST", REMOVEBG, b"x", {"Content-Type": "text/plain"})[1]) == "missing_source"
    assert ask(api, content=b"<html>" * 20)[:1] == (400,)
    assert code(ask(api, content=b"<html>" * 20)[1]) == "invalid_file_type"
    assert code(ask(api, content=b"\xff" * 1_200_000)[1]) == "file_too_large"
    twice = ask(api, files=[("image_file", picture())])
    assert (twice[0], code(twice[1])) == (400, "multiple_sources")
    plain = io.BytesIO()
    Image.new("RGB", (64, 64), (250, 250, 250)).save(plain, "PNG")
    nothing = ask(api, content=plain.getvalue(), size="auto")
    assert (nothing[0], code(nothing[1])) == (400, "unknown_foreground")


def test_a_background_that_is_no_picture_fails_its_own_request_alone(api: Serving) -> None:
    """The next request succeeds."""
    status, answer, _ = ask(api, content=picture(8), files=[("bg_image_file", b"no picture")], size="auto")
    assert (status, code(answer)) == (400, "limit_exceeded")
    assert "background" in answer["errors"][0]["title"]
    assert ask(api, content=picture(9), size="auto")[0] == 200


def test_keys_are_checked_and_the_account_is_described(api: Serving) -> None:
    """A wrong key gives 403 by remove.bg's contract, and 401 in a rembg server's words."""
    for key in ("", "wrong"):
        status, answer, _ = ask(api, key=key)
        assert (status, code(answer)) == (403, "auth_failed")
        assert api.ask("GET", "/v1.0/account", key=key)[0] == 403
        assert ask(api, REMBG, key=key)[0] == 401
    status, answer, _ = api.ask("GET", "/v1.0/account")
    assert (status, answer["data"]["attributes"]["credits"]["total"]) == (200, 0)
    status, answer, _ = api.ask("POST", "/v1.0/improve", b"")
    assert (status, code(answer)) == (501, "not_implemented")


def test_a_rembg_client_is_served(api: Serving) -> None:
    """A PNG of the picture's size; the matte alone; a background colour, which is in the query."""
    status, content, headers = ask(api, REMBG, picture(10), model="isnet-general-use", a="true")
    assert (status, headers["content-type"]) == (200, "image/png"), content
    assert (opened(content).mode, opened(content).size) == ("RGBA", (96, 96))
    assert "isnet-general-use" in headers["x-cutoutd-model"]
    status, content, _ = ask(api, REMBG, picture(10), om="true")
    assert (status, opened(content).mode) == (200, "L")
    status, content, _ = api.ask(
        "POST",
        f"{REMBG}?bgc=0,0,255,255",
        form({}, [("file", picture(10))]),
        {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
    )
    assert opened(content).convert("RGB").getpixel((1, 1)) == (0, 0, 255)


def test_requests_are_refused_in_a_rembg_servers_words(api: Serving) -> None:
    """422 with a list, as FastAPI words it; a URL is refused."""
    status, answer, _ = ask(api, REMBG, picture(11), af="900")
    assert (status, answer["detail"][0]["loc"]) == (422, ["body", "af"])
    status, answer, _ = api.ask("GET", f"{REMBG}?url=http://127.0.0.1/x")
    assert (status, "Nothing is fetched" in answer["detail"]) == (400, True)
    assert api.ask("GET", REMBG)[0] == 422
    assert api.ask("POST", REMBG, b"", {"Content-Type": "text/plain"})[0] == 422


def test_the_contracts_are_described(api: Serving) -> None:
    """As OpenAPI and as a page, both public."""
    status, answer, _ = api.ask("GET", "/openapi.json", key="")
    assert (status, answer["openapi"]) == (200, "3.1.0")
    assert {"/v1.0/removebg", "/v1.0/account", "/api/remove"} == set(answer["paths"])
    status, page, headers = api.ask("GET", "/api", key="")
    assert (status, b"crop_margin" in page, "<script" in page.decode()) == (200, True, False)
    assert headers["content-type"].startswith("text/html")


def test_curl_as_its_documentation_has_it(api: Serving, tmp_path: Path) -> None:
    """With another address only."""
    (tmp_path / "a.jpg").write_bytes(picture(12))
    called = subprocess.run(
        [
            "curl", "-sS", "-H", f"X-Api-Key: {api.key}", "-F", "image_file=@a.jpg", "-F", "size=auto",
            "-f", f"http://127.0.0.1:{api.port}{REMOVEBG}", "-o", "no-bg.png",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert called.returncode == 0, called.stderr
    assert opened((tmp_path / "no-bg.png").read_bytes()).mode == "RGBA"
