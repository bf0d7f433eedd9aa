"""The sandboxes of the page's two processes against real attempts to leave them; each attempt works without a sandbox."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cutoutd.sandbox import survey
from tests.integration.confined import ROOT, attempts, needs_landlock, needs_seccomp
from tests.integration.namespaces import in_namespace
from tests.integration.tools import need

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.new_interpreters,
    pytest.mark.skipif(sys.platform != "linux", reason="these layers are Linux's"),
]

ANSWERS = {
    "take a connection",
    "read from it",
    "answer it",
    "answer it in parts",
    "ask who it is",
    "close it",
    "send small parts at once",
}
CALLS_OUT = {"connect with the listening socket", "send with an address", "send parts with an address"}
REFUSED_WITHOUT = {
    "connect with it as it is": "EISCONN",
    "send with a flag": "EISCONN",
    "send parts with a flag": "EISCONN",
    "bind": "EINVAL",
    "a name of another machine": "no name",
}
REFUSED_TO_THE_PAGE = {
    *CALLS_OUT,
    "connect with it as it is",
    "send with a flag",
    "send parts with a flag",
    "send many",
    "a new socket",
}
DONE_BY_WEB = {
    "some memory",
    "signal itself",
    "signal itself by thread",
    "processors of its own",
    "read a limit",
    "name of a thread",
    "start a thread",
    "read what was given",
    "empty what was given",
    "sync what was given",
    "which processors it has",
    "its own clock",
}
"""What a web process can do: run, and use what was open before."""


def tried(how: str, target: socket.socket) -> dict[str, str]:
    """Return how each attempt ended, by name."""
    host, port = target.getsockname()
    command = [sys.executable, "-m", "tests.integration.page_attempts", how, host, str(port)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    document: dict[str, str] = json.loads(ended.stdout)
    return document


@needs_seccomp
def test_a_process_that_answers_browsers_cannot_connect_anywhere() -> None:
    """Not with the listening socket either, nor with a socket that is passed to it."""
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        bare = tried("bare", somebody)
        assert {name: code for name, code in bare.items() if code != "done"} == REFUSED_WITHOUT
        somebody.settimeout(5)
        for _ in CALLS_OUT:
            somebody.accept()[0].close()
        web = tried("web", somebody)
        assert {name for name, code in web.items() if code == "done"} == ANSWERS
        assert {code for name, code in web.items() if name not in ANSWERS} == {"EPERM", "no name"}
        page = tried("page", somebody)
        assert {name for name, code in page.items() if code == "EPERM"} == REFUSED_TO_THE_PAGE
        somebody.setblocking(False)
        with pytest.raises(BlockingIOError):
            somebody.accept()


@needs_landlock
@needs_seccomp
def test_a_process_that_answers_browsers_reaches_no_file_and_no_other_process(tmp_path: Path) -> None:
    """With all the attempts that are made for workers."""
    report = attempts("web", tmp_path)
    assert survey.gaps_between(survey.WEB, report["layers"]) == ()
    assert {name for name, code in report["outcomes"].items() if code == "done"} == DONE_BY_WEB


@needs_seccomp
def test_no_packet_leaves_under_load_but_answers(tmp_path: Path) -> None:
    """In its own network, where a packet of another process is seen."""
    need("ip")
    document = json.loads(
        in_namespace("-rn", sys.executable, "-m", "tests.integration.page_namespace", str(tmp_path / "home"))
    )
    assert document["packets"] == ["send 53"]
    assert document["statuses"] == [200]
    assert document["seen"] > 500
