"""Child processes inherit an explicit list of environment variables.

All others are removed, whatever their names.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cutoutd.process import child_environment

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "1",
    "GITHUB_TOKEN": "2",
    "SSH_AUTH_SOCK": "3",
    "DATABASE_URL": "4",
    "SSLKEYLOGFILE": "/x/keys",
    "OPENSSL_CONF": "/x/conf",
    "HOSTALIASES": "/x/hosts",
    "LD_PRELOAD": "/x/x.so",
    "LIBHEIF_PLUGIN_PATH": "/x",
    "https_proxy": "http://elsewhere",
    "SSL_CERT_FILE": "/x/ca",
    "NOTIFY_SOCKET": "/run/x",
    "CUTOUTD_API_KEY": "k",
}


@pytest.mark.parametrize(
    "rule",
    [child_environment.for_worker, child_environment.for_uploader, child_environment.for_hook],
    ids=lambda one: one.__name__,
)
def test_no_secret_is_inherited(rule: object) -> None:
    """By a list of allowed names, not of known secrets."""
    environ = SECRETS | {"PATH": "/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    assert rule(environ) == {"PATH": "/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}  # type: ignore[operator]


def test_the_uploader_finds_its_configuration() -> None:
    """Settings in the environment apply to it as well; the key is not among them."""
    environ = {
        "HOME": "/h",
        "CUTOUTD_CONFIG": "/c",
        "CUTOUTD_HOSTED__CONCURRENCY": "2",
        "CUTOUTD_API_KEY": "k",
    }
    assert child_environment.for_uploader(environ) == {
        "HOME": "/h",
        "CUTOUTD_CONFIG": "/c",
        "CUTOUTD_HOSTED__CONCURRENCY": "2",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_key_that_was_taken_is_not_even_where_the_system_shows_what_was_there_at_the_start() -> None:
    """Neither in /proc/self/environ nor in a child process."""
    code = (
        "import os, subprocess, sys\n"
        "from cutoutd.process.child_environment import take_key\n"
        "key = take_key(os.environ)\n"
        "shown = open('/proc/self/environ', 'rb').read()\n"
        "child = subprocess.run(['env'], capture_output=True, check=True).stdout\n"
        "print(key == 's3cret', b's3cret' in shown, b's3cret' in child, b'PATH=' in shown)\n"
    )
    environ = os.environ | {"CUTOUTD_API_KEY": "s3cret"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True False False True\n"


def test_without_a_key_nothing_is_taken() -> None:
    """An empty key counts as none."""
    environ = {"CUTOUTD_API_KEY": "", "PATH": "/bin"}
    assert (child_environment.take_key(environ), environ) == ("", {"PATH": "/bin"})
    assert child_environment.take_key(environ) == ""
