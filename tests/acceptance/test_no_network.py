"""Nothing leaves this machine: no HTTP library is imported, no socket is opened, and the kernel enforces it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.traced import run_once

if TYPE_CHECKING:
    from tests.acceptance.conftest import Bench

pytestmark = [pytest.mark.new_interpreters, pytest.mark.about_workers]

# Loaded by every Python of the tree, workers included, before any code of ours.
GUARD = textwrap.dedent(
    """
    import sys

    FORBIDDEN = ("http.client", "urllib.request", "httpcore", "httpx", "requests", "urllib3", "aiohttp")
    AF_UNIX = 1


    class Refuse:
        def find_spec(self, name, path=None, target=None):
            if name in FORBIDDEN:
                raise ImportError(f"the local path imported {name}")
            return None


    def hook(event, arguments):
        if event == "socket.__new__" and arguments[1] != AF_UNIX:
            raise RuntimeError(f"the local path opened a socket of family {arguments[1]}")


    sys.meta_path.insert(0, Refuse())
    sys.addaudithook(hook)
    """
)


# A library that calls home, in every Python of the tree.
LEAK = textwrap.dedent(
    """
    import socket
    import sys

    family = socket.AF_INET if "cutoutd.pool.worker" in sys.orig_argv else socket.AF_INET6
    try:
        socket.socket(family, socket.SOCK_DGRAM).close()
    except OSError:
        pass
    """
)


def test_a_whole_local_cut_imports_no_http_library_and_opens_no_network_socket(bench: Bench) -> None:
    """Importing one, or opening any but an AF_UNIX socket, raises here."""
    guard = bench.root / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    bench.environment["PYTHONPATH"] = str(guard)
    bench.drop("a.jpg")
    done = bench.once()
    assert done.returncode == 0, done.stderr
    assert "a.png" in bench.results()


def test_the_guard_of_the_test_above_does_trip(bench: Bench) -> None:
    """A check that never fails would prove nothing."""
    guard = bench.root / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD + "import http.client\n", encoding="utf-8")
    bench.environment["PYTHONPATH"] = str(guard)
    refused = bench.call("--version")
    assert "the local path imported http.client" in refused.stderr


@pytest.mark.small_model
def test_with_telemetry_left_on_by_the_environment_no_process_opens_a_socket(bench: Bench) -> None:
    """Seen by the kernel, without a network: only AF_UNIX sockets, and in the workers not even an attempt."""
    for number in range(2):
        bench.drop(f"{number}.jpg", number)
    traced = run_once(bench, timeout_s=200)
    assert traced.code == 0, traced.log
    assert len(bench.results()) == 4
    assert traced.workers
    assert traced.by_workers == ()
    assert traced.foreign == ()


@pytest.mark.small_model
def test_the_trace_of_the_test_above_does_see_sockets(bench: Bench) -> None:
    """In a worker, where it is refused, and in the supervisor; the trace distinguishes them."""
    guard = bench.root / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(LEAK, encoding="utf-8")
    bench.environment["PYTHONPATH"] = str(guard)
    bench.drop("a.jpg")
    traced = run_once(bench, timeout_s=200)
    assert any("AF_INET," in call for call in traced.by_workers)
    assert any("AF_INET6" in call for call in traced.foreign)
