"""The uploader talks only to the service, and only if that proves its identity, whatever the environment says."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import Clock
from cutoutd.exchange.spool import UploadOutcome
from cutoutd.hosted.body import RequestBody
from cutoutd.hosted.client import ServiceClient, UntrustedError
from cutoutd.hosted.provider import Upload
from cutoutd.hosted.providers import RemoveBg
from cutoutd.settings.hosted import HostedSettings, parse
from tests.hosted_server import HostedServer
from tests.integration.tools import give_up, need
from tests.integration.uploader_parts import answer, close, context, request
from tests.integration.uploading import UploaderSetup, picture

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for this machine that no authority has signed, and its key."""
    need("openssl")
    directory = tmp_path_factory.mktemp("papers")
    certificate, key = str(directory / "cert.pem"), str(directory / "key.pem")
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    command = ["openssl", *options.split(), "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def test_a_service_that_cannot_prove_who_it_is_gets_nothing(tmp_path: Path, papers: tuple[str, str]) -> None:
    """Not even the headers of the request; and a person is told."""
    with HostedServer(tls=papers) as server, UploaderSetup(tmp_path, server.url) as uploader_setup:
        environ = {"SSL_CERT_FILE": papers[0]}  # what others would believe
        waiting = uploader_setup.start(environ=environ).request(picture(1))
        assert "cannot prove that it is who it says" in uploader_setup.wait_for_route("paused")["why"]
        assert uploader_setup.is_waiting(waiting)
        assert uploader_setup.rows() == []
        assert server.seen == []


def test_a_service_that_can_is_talked_to_encrypted(tmp_path: Path, papers: tuple[str, str]) -> None:
    """From inside the sandbox; the test gives the client another list of authorities."""
    patch = tmp_path / "patch"
    patch.mkdir()
    shutil.copy(papers[0], patch / "authorities.pem")  # Python's own path is what it may read
    code = f"import certifi\ncertifi.where = lambda: {str(patch / 'authorities.pem')!r}\n"
    (patch / "sitecustomize.py").write_text(code)
    with (
        HostedServer(tls=papers) as server,
        UploaderSetup(tmp_path / "station", server.url) as uploader_setup,
    ):
        environ = {"PYTHONPATH": str(patch)}
        sent = uploader_setup.start(environ=environ).request(picture(1))
        assert uploader_setup.reply(sent).outcome is UploadOutcome.OK
        assert server.seen[0].is_whole


def test_no_proxy_and_no_password_is_picked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment or the home directory; a picture would go where no configuration says."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password s3cret\n")
    (tmp_path / ".netrc").chmod(0o600)
    with HostedServer() as proxy, HostedServer() as server:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        shared = context(tmp_path, server)
        assert answer(shared, request(shared.paths)).outcome is UploadOutcome.OK
        assert (proxy.connections, len(server.seen)) == (0, 1)
        assert "authorization" not in server.seen[0].headers
        close(shared)


def test_a_name_for_this_machine_is_connected_by_its_address(tmp_path: Path) -> None:
    """Without encryption the name is looked up first; the request still contains the name."""
    with HostedServer() as server:
        shared = context(tmp_path, server, base_url=f"http://localhost:{server.port}")
        assert answer(shared, request(shared.paths)).outcome is UploadOutcome.OK
        assert server.seen[0].headers["host"] == f"localhost:{server.port}"
        close(shared)


@pytest.mark.parametrize(
    ("number", "is_private_allowed"),
    [("198.41.0.4", True), ("10.1.2.3", False), ("2001:503:ba3e::2:30", True)],
)
def test_a_name_that_leads_away_gets_nothing_unencrypted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: str,
    is_private_allowed: bool,  # noqa: FBT001 -- cases
) -> None:
    """However local it sounds, and although one of its addresses is local."""

    def found(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (one, 80)) for one in ("127.0.0.1", number)]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    hosted = HostedSettings(base_url=parse("http://gpu-box"), allow_private_http=is_private_allowed)
    client = ServiceClient(hosted, Clock())
    http_request = RemoveBg(key=None, full_price=1.0).http_request(
        Upload(name="a", bytes=1, width=1, height=1), "b"
    )
    with pytest.raises(UntrustedError, match="where pictures may not go unencrypted"):
        client.ask(
            http_request,
            object.__new__(RequestBody),
            announced=1,
            into=tmp_path / "x",
            at_most=1,
            begin=lambda: pytest.fail("nothing may begin"),
            check_cancelled=lambda: None,
        )
    client.close()


def test_a_key_that_others_can_read_ends_it_at_once(tmp_path: Path) -> None:
    """Before anything is sent, with the file and advice."""
    key = tmp_path / "key"
    key.write_text("s3cret")
    key.chmod(0o644)
    with HostedServer() as server:
        uploader_setup = UploaderSetup(tmp_path / "station", server.url, hosted={"api_key_file": f'"{key}"'})
        ended = subprocess.run(
            uploader_setup.command("hosted"), capture_output=True, text=True, check=False, env=os.environ
        )
        assert ended.returncode == 2
        assert f"{key}: others can read the service's key (mode 0644)" in ended.stderr
        assert "s3cret" not in ended.stderr
        assert server.seen == []


def test_another_users_state_directory_is_not_touched(tmp_path: Path) -> None:
    """New files there would be unreadable for its owner."""
    if os.geteuid():
        give_up("only root can give a directory away")
    uploader_setup = UploaderSetup(tmp_path, "http://127.0.0.1:9")
    os.chown(uploader_setup.state, 65534, -1)
    ended = subprocess.run(uploader_setup.command("hosted"), capture_output=True, text=True, check=False)
    assert (ended.returncode, "belongs to user id 65534" in ended.stderr) == (2, True)
    assert not (uploader_setup.paths.root / "ledger.sqlite").exists()


def test_without_a_tagged_folder_there_is_no_uploader(tmp_path: Path) -> None:
    """The command ends with code 2, and no ledger is created."""
    uploader_setup = UploaderSetup(tmp_path, "http://127.0.0.1:9", folders={"plain": 'route = "local"'})
    ended = subprocess.run(uploader_setup.command("hosted"), capture_output=True, text=True, check=False)
    assert (ended.returncode, "no folder is tagged" in ended.stderr) == (2, True)
    assert not (uploader_setup.paths.root / "ledger.sqlite").exists()


def test_a_dry_run_reports_the_cost_and_sends_nothing(tmp_path: Path) -> None:
    """For the pictures in the folders, and the requests in the outbox."""
    with HostedServer() as server:
        uploader_setup = UploaderSetup(tmp_path, server.url)
        (tmp_path / "tagged" / "in" / "a.jpg").write_bytes(picture(1))
        uploader_setup.request(picture(2))
        ended = subprocess.run(
            uploader_setup.command("hosted", "--dry-run"), capture_output=True, text=True, check=True
        )
        assert f"PICTURES LEAVE THIS MACHINE: every picture is sent to {server.url}" in ended.stdout
        assert "tagged: 1 pictures are there; if all of them were sent: at most 1 credits" in ended.stdout
        assert "in the outbox: 1 pictures, 0.0 MB, at most 0.25 credits" in ended.stdout
        assert server.connections == 0
        checked = subprocess.run(uploader_setup.command("check"), capture_output=True, text=True, check=True)
        assert "# tagged: PICTURES LEAVE THIS MACHINE" in checked.stdout
        assert server.connections == 0
