"""A download from a faulty server: no wrong file is kept, and an interrupted download is resumed."""

from __future__ import annotations

import errno
import os
import ssl
from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import Clock
from cutoutd.errors import ModelError
from cutoutd.hosted import download, partial
from cutoutd.hosted.download import BrokenOffError, Download, DownloadTarget, FetchError
from cutoutd.hosted.partial import PartialFile
from tests.integration.publisher import Publisher, make_papers, redirected, stalled, truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.publisher import Handler, Papers

CONTENT = bytes(range(256)) * 1200


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """A certificate for localhost."""
    return make_papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture
def publisher(papers: Papers) -> Iterator[Publisher]:
    """A server for one test."""
    with Publisher(CONTENT, papers) as server:
        yield server


@pytest.fixture
def get(
    publisher: Publisher, papers: Papers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Download]:
    """A function that downloads the file into the test's directory."""

    def fetch(
        size: int = len(CONTENT),
        url: str = "",
        *,
        seen: list[Download] | None = None,
        tell: Callable[..., object] = lambda *_: None,
        name: str = "it.part",
        most: int | None = None,
    ) -> Download:
        if most is not None:
            monkeypatch.setattr(download, "MAX_BYTES", most)
        context = ssl.create_default_context(cafile=papers[0])
        wanted = DownloadTarget(url=url or publisher.url, hosts=(publisher.host,), bytes=size)
        with PartialFile(tmp_path / name, wanted.url) as begun:
            one = Download(wanted, begun, clock=Clock(), on_progress=tell, context=context)
            if seen is not None:
                seen.append(one)
            one.fetch()
        return one

    return fetch


def here(tmp_path: Path) -> bytes:
    """Return the bytes that were downloaded so far."""
    path = tmp_path / "it.part"
    return path.read_bytes() if path.exists() else b""


def test_a_file_is_downloaded_unchanged(
    get: Callable[..., Download], publisher: Publisher, tmp_path: Path
) -> None:
    """With one request; and the contacted hosts are recorded."""
    done = get()
    assert here(tmp_path) == CONTENT
    assert [(one.host, one.answer) for one in done.contacts] == [(publisher.host, "sent 0.3 MB")]
    assert publisher.asked == [("/it.onnx", "", "")]


def test_an_interrupted_download_is_resumed(
    get: Callable[..., Download], publisher: Publisher, tmp_path: Path
) -> None:
    """At once, from where it ended; and by the next command, if nothing more arrives."""
    publisher.script = [truncated(100_000), truncated(200_000), truncated(200_000)]
    with pytest.raises(BrokenOffError, match="the connection broke"):
        get()
    assert here(tmp_path) == CONTENT[:200_000]
    assert [asked[1:] for asked in publisher.asked[1:]] == [
        ("bytes=100000-", '"one"'),
        ("bytes=200000-", '"one"'),
    ]
    get()
    assert here(tmp_path) == CONTENT
    assert publisher.asked[-1][1] == "bytes=200000-"


def test_a_file_that_was_changed_meanwhile_is_downloaded_from_the_start(
    get: Callable[..., Download], publisher: Publisher, tmp_path: Path
) -> None:
    """No file is ever made of two versions; it also restarts if the server cannot send parts."""
    publisher.script = [truncated(100_000), lambda handler: handler.status(404)]
    with pytest.raises(FetchError):
        get()
    publisher.content, publisher.etag = CONTENT[::-1], '"two"'
    get()
    assert publisher.asked[-1][2] == '"one"'
    assert here(tmp_path) == CONTENT[::-1]
    publisher.script = [truncated(100_000)]
    (tmp_path / "it.part").unlink()
    publisher.takes_ranges = False
    get()
    assert here(tmp_path) == CONTENT[::-1]


def test_a_version_without_an_etag_is_not_resumed(
    get: Callable[..., Download], publisher: Publisher, tmp_path: Path
) -> None:
    """The first part and the rest could be of two different files."""
    publisher.etag = ""
    publisher.script = [truncated(100_000)]
    with pytest.raises(BrokenOffError):
        get()
    get()
    assert publisher.asked[-1][1] == ""
    assert here(tmp_path) == CONTENT


def test_another_part_than_the_requested_one_is_not_joined(
    get: Callable[..., Download], publisher: Publisher, tmp_path: Path
) -> None:
    """A cache answers with another part, or the file is shorter now: the download starts again."""

    def wrong_part(handler: Handler) -> None:
        handler.head(5)
        handler.wfile.write(CONTENT[5:])

    publisher.script = [truncated(100_000), wrong_part]
    get()
    assert here(tmp_path) == CONTENT
    (tmp_path / "it.part").unlink()
    publisher.script = [truncated(100_000), lambda handler: handler.status(416)]
    get()
    assert here(tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("https://example.org/x", "redirects to example.org, which is none of the hosts"),
        ("http://{host}/x", "without encryption"),
        ("https://localhost/x", "redirects to localhost, which is none"),
        ("https://{host}@example.org/x", "redirects to example.org"),
        ("//example.org/x", "not an address|without encryption"),
        ("ftp://{host}/x", "without encryption"),
        ("https:///x", "not an address"),
        ("x.onnx", "not an address"),
    ],
)
def test_nothing_is_requested_from_other_hosts(
    get: Callable[..., Download], publisher: Publisher, tmp_path: Path, location: str, message: str
) -> None:
    """Neither from other hosts nor unencrypted; the error names the target of the redirect."""
    publisher.script = [redirected(location.format(host=publisher.host))]
    with pytest.raises(FetchError, match=message):
        get()
    assert len(publisher.asked) == 1
    assert not here(tmp_path)


def test_redirects_within_the_hosts_are_followed_but_not_in_a_circle(
    get: Callable[..., Download], publisher: Publisher, tmp_path: Path
) -> None:
    """As release files are published: one address leads to another."""
    publisher.script = [redirected("/there?signed=1"), redirected(f"https://{publisher.host}/at-last")]
    done = get()
    assert here(tmp_path) == CONTENT
    assert [path for path, _, _ in publisher.asked] == ["/it.onnx", "/there?signed=1", "/at-last"]
    assert [one.answer for one in done.contacts] == ["redirected", "redirected", "sent 0.3 MB"]
    publisher.asked.clear()
    publisher.script = [redirected("/it.onnx")] * 20
    with pytest.raises(FetchError, match="more than 5 times"):
        get()
    assert len(publisher.asked) == 6


@pytest.mark.parametrize("sent", ["", "some"])
def test_a_server_that_falls_silent_is_given_up(
    get: Callable[..., Download],
    publisher: Publisher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sent: str,
) -> None:
    """Before its headers or in the middle of the file; what has arrived is kept."""
    monkeypatch.setattr(download, "STALL_S", 0.4)

    def silent(handler: Handler) -> None:
        handler.publisher.closing.wait(60)

    publisher.script = [stalled(100_000), silent] if sent else [silent]
    with pytest.raises(BrokenOffError, match="nothing came"):
        get()
    assert here(tmp_path) == (CONTENT[:100_000] if sent else b"")


def test_a_server_that_trickles_is_given_up(
    get: Callable[..., Download], publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then is no progress."""
    monkeypatch.setattr(download, "STALL_S", 0.5)

    def trickle(handler: Handler) -> None:
        handler.head()
        while not handler.publisher.closing.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    publisher.script = [trickle]
    publisher.etag = ""
    with pytest.raises(BrokenOffError, match="nothing came"):
        get()


def test_a_file_of_another_size_is_refused_before_it_arrives(
    get: Callable[..., Download], publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its Content-Length; without one, as soon as more arrives."""

    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        while True:
            handler.wfile.write(CONTENT)

    with pytest.raises(FetchError, match="307,200 bytes, and not 1,000"):
        get(size=1000)
    publisher.script = [endless]
    with pytest.raises(FetchError, match="more than 1,000 bytes"):
        get(size=1000)
    monkeypatch.setattr(download, "MAX_BYTES", 400_000)
    publisher.script = [endless]
    with pytest.raises(FetchError, match="more than 400,000 bytes"):
        get(size=0)
    publisher.script = [lambda handler: handler.head(length=500_000)]
    with pytest.raises(FetchError, match="not a model that is known"):
        get(size=0)
    assert not here(tmp_path)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda handler: handler.status(404), r"does not have it there \(HTTP 404\)"),
        (lambda handler: handler.status(503, Retry_After="30"), r"cannot give it now for 30 s \(HTTP 503\)"),
        (lambda handler: handler.status(302), "HTTP 302"),
        (lambda handler: handler.head(Content_Encoding="gzip"), "compressed"),
    ],
    ids=["404", "503", "nowhere", "gzip"],
)
def test_an_answer_without_the_file_is_reported(
    get: Callable[..., Download],
    publisher: Publisher,
    tmp_path: Path,
    act: Callable[[Handler], None],
    message: str,
) -> None:
    """Not found, not now, or in another encoding."""
    publisher.script = [act]
    with pytest.raises(FetchError, match=message):
        get()
    assert not here(tmp_path)


def test_a_server_without_a_trusted_certificate_gets_no_request(publisher: Publisher, tmp_path: Path) -> None:
    """Its certificate is of no authority that the client knows."""
    wanted = DownloadTarget(url=publisher.url, hosts=(publisher.host,), bytes=0)
    with PartialFile(tmp_path / "it.part", wanted.url) as partial:
        one = Download(wanted, partial, clock=Clock(), on_progress=lambda *_: None)
        with pytest.raises(BrokenOffError, match="cannot prove"):
            one.fetch()
    assert publisher.asked == []


def test_one_command_at_a_time_writes_a_file(tmp_path: Path) -> None:
    """Two would overwrite each other; and a link in its place is not followed."""
    with PartialFile(tmp_path / "it.part", "x"), pytest.raises(ModelError, match="another command"):
        PartialFile(tmp_path / "it.part", "x")
    (tmp_path / "target").write_bytes(b"of somebody's")
    (tmp_path / "link.part").symlink_to(tmp_path / "target")
    with pytest.raises(ModelError, match="cannot be written"):
        PartialFile(tmp_path / "link.part", "x")
    assert (tmp_path / "target").read_bytes() == b"of somebody's"


@pytest.mark.parametrize("what", ["ftruncate", "note"])
def test_a_disk_that_is_full_at_the_beginning_is_reported(
    get: Callable[..., Download],
    publisher: Publisher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    """When the file is created and when it is written; the contacted hosts are recorded all the same."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if what == "note":
        monkeypatch.setattr(partial, "atomic_write", full)
    else:
        monkeypatch.setattr(os, "ftruncate", full)
    seen: list[Download] = []
    with pytest.raises(FetchError, match="No space left on device") as caught:
        get(seen=seen)
    assert caught.value.path == tmp_path / "it.part"
    assert [one.host for one in seen[0].contacts] == [publisher.host]


def test_each_contacted_server_is_reported(get: Callable[..., Download], publisher: Publisher) -> None:
    """Also one that sent too much, or another part, or from which the command was reading when it was ended."""
    seen: list[Download] = []
    publisher.script = [truncated(100_000), lambda handler: handler.status(416)]
    get(seen=seen)
    assert [one.answer for one in seen[0].contacts][1:] == ["does not have the missing part", "sent 0.3 MB"]

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    publisher.content = CONTENT[::-1]
    with pytest.raises(KeyboardInterrupt):
        get(seen=seen, tell=interrupted, name="other.part")
    assert [one.answer for one in seen[1].contacts] == ["was asked; its answer was not read to the end"]
    publisher.etag = '"two"'
    with pytest.raises(FetchError):
        get(0, seen=seen, name="third.part", most=1000)
    assert seen[2].contacts[-1].answer.startswith(("sent more", "has "))
