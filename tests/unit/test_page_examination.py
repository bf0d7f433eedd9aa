"""The findings of `cutoutd doctor` about the page: its address, who can reach it, and its sandbox."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from cutoutd.page import announcement, examination
from cutoutd.sandbox import survey
from cutoutd.settings.page import PageSettings
from cutoutd.settings.schema import PoolSettings, Service, Settings
from cutoutd.settings.types import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.doctor.finding import Finding


@pytest.fixture
def port() -> Iterator[int]:
    """A port that is in use, and whose next ports may be free."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def findings_by_level(
    root: Path, *, sandbox: Sandbox = Sandbox.AUTO, **page: object
) -> dict[str, list[Finding]]:
    """Return the findings, by level."""
    settings = Settings(
        service=Service(state_dir=root / "state"),
        page=PageSettings.model_validate(page),
        pool=PoolSettings(sandbox=sandbox),
    )
    levels: dict[str, list[Finding]] = {"ok": [], "note": [], "problem": []}
    for one in examination.judge(settings):
        levels[one.level].append(one)
    return levels


def test_a_page_that_is_switched_off_is_reported_as_such_alone(tmp_path: Path, port: int) -> None:
    """No port is tried."""
    levels = findings_by_level(tmp_path, enabled=False, address=f"127.0.0.1:{port}")
    assert [one.seen for one in levels["ok"]] == [
        "it is switched off ([page] enabled = false): no process, no port"
    ]
    assert levels["note"] == levels["problem"] == []


def test_a_port_that_is_taken_is_named_with_the_one_instead(tmp_path: Path, port: int) -> None:
    """As a note, since the page takes the next free port."""
    (taken,) = findings_by_level(tmp_path, address=f"127.0.0.1:{port}")["note"]
    assert f"the port of 127.0.0.1:{port} is in use, so it would be at http://127.0.0.1:" in taken.seen


def test_a_free_port_is_as_it_should_be(tmp_path: Path, port: int) -> None:
    """On an address of this machine that nobody else uses."""
    levels = findings_by_level(tmp_path, address=f"127.0.0.99:{port}")
    assert f"it would be at http://127.0.0.99:{port}" in levels["ok"][0].seen
    assert levels["problem"] == []


def test_an_address_that_this_machine_has_not_is_a_problem(tmp_path: Path) -> None:
    """With advice."""
    word = tmp_path / "word"
    word.write_text("a long enough password", encoding="utf-8")
    word.chmod(0o644)
    levels = findings_by_level(
        tmp_path, address="192.0.2.1:7979", hosts=["a.example"], password_file=word, proxy="192.0.2.2"
    )
    problems = [(one.seen, one.advice) for one in levels["problem"]]
    assert any("192.0.2.1:7979" in seen and "[page] address" in advice for seen, advice in problems)
    assert any("others may read this file" in seen and "chmod 600" in advice for seen, advice in problems)


def test_a_page_that_is_served_is_not_tried(tmp_path: Path, port: int) -> None:
    """Its port is in use by the page itself."""
    (tmp_path / "state").mkdir(mode=0o700)
    with announcement.held(tmp_path / "state", ending=None):
        announcement.announce(tmp_path / "state", f"http://127.0.0.1:{port}")
        levels = findings_by_level(tmp_path, address=f"127.0.0.1:{port}")
    assert f"it is served at http://127.0.0.1:{port}" in levels["ok"][0].seen
    assert levels["problem"] == []


@pytest.mark.parametrize(("sandbox", "level"), [(Sandbox.AUTO, "note"), (Sandbox.REQUIRED, "problem")])
def test_a_layer_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, level: str
) -> None:
    """Where all are required, the page would not start."""
    gap = survey.Gap(layer=survey.Layer.SECCOMP_WEB, why="it needs Linux")
    monkeypatch.setattr(survey, "page_gaps", lambda: (gap,))
    findings = [
        one.seen for one in findings_by_level(tmp_path, sandbox=sandbox)[level] if one.check == "page-sandbox"
    ]
    assert findings == ["this system lacks seccomp-web-tsync: it needs Linux"]
