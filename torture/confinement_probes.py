"""Attempts from inside compromised processes: workers, those that speak to the network, the page's, a hook; each also without any layer.

The attempts are those of the tests, `tests.integration.sandbox_attempts`. Workers are those of a running daemon, of an untagged
and of a tagged folder, and one on the first Landlock version. For the keeper, the attempts that succeed are only counted: it is
not confined, since it has to start an uploader with a network, and reads nothing but the log lines of the uploader.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from tests.integration.sandbox_expected import DONE_BY_UPLOADER, STILL_WORKS
from tests.integration.test_cluster_sandbox import DONE_BY_GATEWAY, DONE_BY_PROXY
from tests.integration.test_page_sandbox import DONE_BY_WEB

from torture import confinement_inside

_ROOT: Final = Path(__file__).parent.parent
_ATTEMPTS: Final = "tests.integration.sandbox_attempts"
_REFUSED: Final = frozenset({"EPERM", "EACCES"})
_SLACK: Final = frozenset({"rename between directories of staging"})
_NETWORK: Final = frozenset(
    {
        "inet",
        "inet6",
        "packet",
        "vsock",
        "inet by raw call",
        "inet by raw call, dirty upper half",
        "io_uring",
        "tcp bind",
        "inet in a program",
    }
)

# A hook is a program that the supervisor starts, so it runs behind the supervisor's filter. The same holds for the process
# behind the page.
_BEHIND: Final = {
    kind: f"import os, sys; from cutoutd.sandbox.confinement import {confine}; {confine}();"
    f" os.execv(sys.executable, [sys.executable, '-m', '{_ATTEMPTS}', 'bare', sys.argv[1]])"
    for kind, confine in (("hook", "confine_supervisor"), ("page", "confine_page"))
}
_ALLOWED: Final = {
    "uploader": DONE_BY_UPLOADER,
    "gateway": DONE_BY_GATEWAY,
    "proxy": DONE_BY_PROXY,
    "web": DONE_BY_WEB,
}


def probe(place: Path) -> tuple[Counter[str], list[str]]:
    """Make all attempts in each kind of process. Returns counts, and what was reached that must not be."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    bare = _outcomes(place / "bare", "bare")
    works = {name for name, how in bare.items() if how not in _REFUSED}
    alone = ("worker over Landlock 1", "uploader", "gateway", "proxy", "keeper", "web", *_BEHIND)
    for kind, told in (
        *confinement_inside.outcomes(place / "daemon"),
        *((kind, _outcomes(place / kind.replace(" ", "-"), kind)) for kind in alone),
    ):
        done = {name for name, how in told.items() if how == "done"}
        counts[f"{kind}: probes"] = len(told)
        counts[f"{kind}: of which work without a layer"] = len(told.keys() & works)
        counts[f"{kind}: done"] = len(done)
        if kind in _BEHIND:
            reached = done & _NETWORK
            counts[f"{kind}: to a network"] = len(told.keys() & _NETWORK)
        elif kind == "keeper":
            reached = done - works  # it can do nothing that other programs of its user cannot
        else:
            reached = done - set(_ALLOWED.get(kind, STILL_WORKS)) - _SLACK
        wrong += [f"{kind}: {name} works" for name in sorted(reached)]
    return counts, wrong


def _outcomes(directory: Path, kind: str) -> dict[str, str]:
    for name in ("input", "staging", "outside"):
        (directory / name).mkdir(parents=True)
    (directory / "input/photo.jpg").write_bytes(b"photo")
    (directory / "outside/secret").write_bytes(b"secret")
    how = ["-c", _BEHIND[kind]] if kind in _BEHIND else ["-m", _ATTEMPTS, kind]
    done = subprocess.run(
        [sys.executable, *how, str(directory)],
        cwd=_ROOT,
        env=os.environ | {"SERVICE_PORT": "443"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"{kind}: {done.stderr}")
    outcomes: dict[str, str] = json.loads(done.stdout)["outcomes"]
    return outcomes
