"""A page for other machines: with names, a password, and TLS or a proxy."""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import ConfigurationError
from cutoutd.page.backend.password import read_password
from cutoutd.settings.page import PageSettings
from cutoutd.webserver.backend import listener
from tests.integration.confined import needs_seccomp
from tests.integration.served import served
from tests.integration.tools import need

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "correct horse battery"  # noqa: S105 -- the test's own
NAME = "studio.example.net"


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    """The password's file."""
    file = tmp_path / "word"
    file.write_text(f"{PASSWORD}\n", encoding="utf-8")
    file.chmod(0o600)
    return file


def configured(directory: Path, text: str) -> Path:
    """Write a configuration with a page."""
    folder = f'[[folder]]\nname = "a"\ninput = "{directory}/in"\noutput = "{directory}/out"\n'
    file = directory / "cutoutd.toml"
    file.write_text(f'[page]\nhosts = ["{NAME}"]\n{text}\n{folder}', encoding="utf-8")
    return file


def paired(
    connection: http.client.HTTPConnection, origin: str, code: str, name: str = NAME
) -> tuple[int, str]:
    """Pair a browser. Returns the status and the cookie."""
    headers = {"Host": name, "Origin": origin, "Content-Type": "application/json"}
    connection.request("POST", "/pair", json.dumps({"code": code}), headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("set-cookie", "")


def test_by_tls_a_browser_is_paired_by_the_password(tmp_path: Path, password_file: Path) -> None:
    """Its cookie is for encrypted connections only, and plain HTTP gets nothing."""
    need("openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ("-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}")
    created = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    files = ("-keyout", str(key), "-out", str(certificate))
    subprocess.run(["openssl", "req", "-x509", *created, *subject, *files], check=True, capture_output=True)
    text = f'password_file = "{password_file}"\ntls_cert = "{certificate}"\ntls_key = "{key}"'
    with served(tmp_path / "home", "--config", str(configured(tmp_path, text))) as page:
        context = ssl.create_default_context(cafile=str(certificate))
        context.check_hostname = False
        browser = http.client.HTTPSConnection("127.0.0.1", page.port, context=context, timeout=30)
        assert paired(browser, f"http://{NAME}", PASSWORD)[0] == 403
        browser.close()
        assert paired(browser, f"https://{NAME}", "wrong horse battery")[0] == 403
        status, cookie = paired(browser, f"https://{NAME}", PASSWORD)
        assert status == 200
        assert "Secure" in cookie
        browser.request("GET", "/api/session", headers={"Host": NAME, "Cookie": cookie.partition(";")[0]})
        assert browser.getresponse().status == 200
        browser.close()
        plain = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            paired(plain, f"https://{NAME}", PASSWORD)
        plain.close()
        assert PASSWORD not in page.log


def test_behind_a_proxy_nobody_else_is_answered(tmp_path: Path, password_file: Path) -> None:
    """The proxy encrypts, so origins are https."""
    text = f'password_file = "{password_file}"\nproxy = "127.0.0.9"'
    with served(tmp_path / "home", "--config", str(configured(tmp_path, text))) as page:
        while '"page.ready"' not in page.log:
            time.sleep(0.02)
        port = int(re.findall(r'"listening": "127\.0\.0\.1:(\d+)"', page.log)[0])
        for source, status in (("127.0.0.1", 403), ("127.0.0.9", 200)):
            one = http.client.HTTPConnection("127.0.0.1", port, timeout=30, source_address=(source, 0))
            found, cookie = paired(one, f"https://{NAME}", PASSWORD)
            assert (found, "Secure" in cookie) == (status, status == 200)
            one.close()


def test_a_port_that_is_published_on_loopback_answers_by_loopbacks_names_alone(
    tmp_path: Path, password_file: Path
) -> None:
    """Inside a container it listens everywhere, without TLS; if its port is published wider by mistake, other names get nothing."""
    file = configured(
        tmp_path, f'address = "0.0.0.0:7979"\npublished_on_loopback = true\npassword_file = "{password_file}"'
    )
    file.write_text(file.read_text(encoding="utf-8").replace(f'hosts = ["{NAME}"]\n', ""), encoding="utf-8")
    with served(tmp_path / "home", "--config", str(file)) as page:
        while '"page.ready"' not in page.log:
            time.sleep(0.02)
        port = page.port
        for name, status in ((f"127.0.0.1:{port}", 200), (f"localhost:{port}", 200), (f"nas:{port}", 421)):
            one = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            found, cookie = paired(one, f"http://{name}", PASSWORD, name)
            assert (found, bool(cookie)) == (status, status == 200), name
            one.close()
        assert f'"listening": "0.0.0.0:{port}"' in page.log


def test_a_password_that_others_may_read_or_guess_is_refused(password_file: Path) -> None:
    """Before anything listens."""
    page = PageSettings(password_file=password_file)
    assert read_password(page) == PASSWORD
    password_file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="others may read this file"):
        read_password(page)
    password_file.chmod(0o600)
    password_file.write_text("short\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="fewer than 12 characters"):
        read_password(page)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_password(PageSettings(password_file=password_file.with_name("none")))


def test_an_invalid_certificate_is_reported_before_it_is_used(password_file: Path) -> None:
    """The process that reads it later could not report the error."""
    with pytest.raises(ConfigurationError, match="no certificate and its key"):
        listener.check_certificate(PageSettings(tls_cert=password_file, tls_key=password_file))


@needs_seccomp
def test_without_a_network_advice_is_given(tmp_path: Path) -> None:
    """As under a unit of an earlier version without a page: once, and the daemon goes on."""
    script = (
        "from cutoutd.sandbox.confinement import confine_supervisor; confine_supervisor()\n"
        "import sys; sys.argv = ['cutoutd', 'page', '--serve-only', '--first-run']\n"
        "from cutoutd.__main__ import main; main()"
    )
    places = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **places})
    assert ended.returncode == 2
    assert "cutoutd service install" in " ".join(ended.stderr.split())
