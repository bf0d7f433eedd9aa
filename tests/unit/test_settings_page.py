"""The keys of ``[page]``, and who can reach the page by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import ConfigurationError
from cutoutd.settings import loader
from cutoutd.settings.environment import variables

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.settings.page import PageSettings

OPEN = 'address = "192.168.1.5:443"\nhosts = ["studio.example.net"]\npassword_file = "/etc/word"\n'


def read(directory: Path, text: str) -> PageSettings:
    """Return the settings of a page."""
    file = directory / "cutoutd.toml"
    file.write_text(
        f'[page]\n{text}\n[[folder]]\nname = "a"\ninput = "/a"\noutput = "/b"\n', encoding="utf-8"
    )
    return loader.load(file, {}).page


def test_an_address_is_an_ip_address_and_a_port(tmp_path: Path) -> None:
    """Of both families; the default is reachable from this machine alone."""
    assert str(read(tmp_path, "").address) == "127.0.0.1:7979"
    assert read(tmp_path, "").address.is_loopback
    six = read(tmp_path, 'address = "[::1]:80"').address
    assert (six.host, six.port, str(six), six.is_loopback) == ("::1", 80, "[::1]:80", True)
    for wrong in ("localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "::1:80", "1.2.3.4.5:80"):
        with pytest.raises(ConfigurationError, match="it takes an IP address of this machine and a port"):
            read(tmp_path, f'address = "{wrong}"')


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (OPEN, "tls_cert: is missing"),
        (OPEN.replace("hosts", "roots").replace("studio.example.net", "/a"), "hosts: is missing"),
        (OPEN.replace("password_file", "tls_cert"), "password_file: is missing"),
        ('tls_cert = "/cert"', "tls_key: is missing; tls_cert and tls_key go together"),
    ],
)
def test_other_machines_need_a_password_host_names_and_encryption(
    tmp_path: Path, text: str, missing: str
) -> None:
    """The error names each missing one."""
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, text)
    assert missing in str(refused.value)


@pytest.mark.parametrize("how", ['tls_cert = "/c"\ntls_key = "/k"', 'proxy = "192.168.1.9"'])
def test_a_certificate_or_a_named_proxy_encrypts(tmp_path: Path, how: str) -> None:
    """One of the two is enough."""
    assert not read(tmp_path, OPEN + how).address.is_loopback


def test_a_container_published_on_its_machines_loopback_takes_a_password_alone(tmp_path: Path) -> None:
    """Only the machine's own users reach it, so that encryption is not needed."""
    inside = 'address = "0.0.0.0:7979"\npublished_on_loopback = true\n'
    page = read(tmp_path, inside + 'password_file = "/config/word"')
    assert (page.published_on_loopback, page.hosts, page.tls_cert) == (True, (), None)
    with pytest.raises(ConfigurationError, match="password_file: is missing"):
        read(tmp_path, inside)


def test_a_host_is_a_name_without_a_port(tmp_path: Path) -> None:
    """In lower case, as browsers send it."""
    assert read(tmp_path, 'hosts = ["Studio.Example.net"]').hosts == ("studio.example.net",)
    for wrong in ("studio:80", "*.example.net", "", "https://studio"):
        with pytest.raises(ConfigurationError, match="it takes a name without a port"):
            read(tmp_path, f'hosts = ["{wrong}"]')


def test_from_outside_the_page_can_be_switched_off_and_nothing_else() -> None:
    """A variable must not open the page to others."""
    assert {name for name in variables() if "PAGE" in name} == {"CUTOUTD_PAGE__ENABLED"}
