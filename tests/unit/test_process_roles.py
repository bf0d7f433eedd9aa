"""The role of a process of ours, recognised by its command line, whatever its folders are called."""

from __future__ import annotations

import pytest

from cutoutd.page.backend.privacy import role_of

PYTHON = "/home/hosted/page/.venv/bin/python"


@pytest.mark.parametrize(
    ("words", "role"),
    [
        (f"{PYTHON} -P -m cutoutd run", "supervisor"),
        (f"{PYTHON} -P -m cutoutd run --input page --output hosted", "supervisor"),
        (f"{PYTHON} /home/hosted/page/bin/cutoutd run", "supervisor"),
        ("/opt/page/cutoutd run", "supervisor"),
        ("/opt/page/cutoutd -P -m cutoutd.pool.worker", "worker, which decodes and cuts pictures"),
        (f"{PYTHON} -P -m cutoutd.pool.worker", "worker, which decodes and cuts pictures"),
        (f"{PYTHON} -P -m cutoutd page --serve-only", "the page's reader of the journal"),
        (f"{PYTHON} -P -m cutoutd.page.web.process 7 3 6", "web server of the page"),
        (f"{PYTHON} -P -m cutoutd hosted", "uploader"),
        (
            f"{PYTHON} -P -m cutoutd.cli.companions 7 page {PYTHON} -P -m cutoutd page",
            "process that keeps the uploader, the gateway, the page or the API running",
        ),
        (f"{PYTHON} -P -m cutoutd.previews.picture_worker", "short-lived helper process"),
        ("", "supervisor"),
    ],
)
def test_a_process_is_named_by_what_it_runs(words: str, role: str) -> None:
    """A home directory named like a command changes no role."""
    assert role_of(words.split(" ")) == role
