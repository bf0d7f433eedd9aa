"""The container's first program: the user that it switches to, and the files that the first start creates."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

CONTAINER = Path(__file__).parents[2] / "packaging" / "container"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program as a module, with volumes of the test's own."""
    spec = importlib.util.spec_from_file_location("container_start", CONTAINER / "start.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("STATE", "CONFIG"):
        place = tmp_path / name.lower()
        place.mkdir()
        monkeypatch.setattr(module, name, place)
    default = tmp_path / "default.toml"
    text = (CONTAINER / "cutoutd.toml").read_text(encoding="utf-8")
    default.write_text(text.replace("/config/", f"{tmp_path}/config/"), encoding="utf-8")
    monkeypatch.setattr(module, "DEFAULT", default)
    return module


@pytest.fixture
def requested_ids(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The values that the program passes to the kernel when it is started as root."""
    asked: dict[str, Any] = {}
    for name in ("setgroups", "setgid", "setuid", "umask"):
        monkeypatch.setattr(os, name, lambda what, name=name: asked.__setitem__(name, what))
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(os, "getgid", lambda: 0)
    monkeypatch.setattr(os, "getgroups", lambda: [0, 44])
    monkeypatch.setattr(os, "chown", lambda *_: None)
    return asked


def test_as_root_it_becomes_the_user_that_is_named(start: ModuleType, requested_ids: dict[str, Any]) -> None:
    """1000:1000 by default, and never root; added groups stay, except root's."""
    start.become({"PUID": "1026", "PGID": "100"})
    assert requested_ids == {"setgroups": [44], "setgid": 100, "setuid": 1026}
    start.become({})
    assert (requested_ids["setgid"], requested_ids["setuid"]) == (1000, 1000)
    for wrong in ({"PUID": "0"}, {"PGID": "0"}, {"PUID": "ann"}, {"PUID": "-1"}):
        requested_ids.clear()
        with pytest.raises(ValueError, match="PUID"):
            start.become(wrong)
        assert not requested_ids


def test_a_container_started_as_a_user_stays_that_user(
    start: ModuleType, requested_ids: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message says how to start the container where another user is configured."""
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(os, "getgid", lambda: 1000)
    start.become({})
    start.become({"PUID": "1000"})
    with pytest.raises(ValueError, match="--user 99:1000"):
        start.become({"PUID": "99"})
    assert not requested_ids


def test_a_umask_is_octal(start: ModuleType) -> None:
    """As is usual."""
    assert start.number({"UMASK": "002"}, "UMASK", 0o022, 8) == 0o002
    assert start.number({}, "UMASK", 0o022, 8) == 0o022
    for wrong in ("9", "1777", "rw", "-1"):
        with pytest.raises(ValueError, match="an octal number"):
            start.number({"UMASK": wrong}, "UMASK", 0o022, 8)


def test_the_first_start_makes_a_configuration_and_later_ones_leave_it(
    start: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """So it is with the page's password, if there is a page; its place is printed, its text is not."""
    environment = {"CUTOUTD_CONFIG": str(start.CONFIG / "cutoutd.toml")}
    start.prepare(environment)
    assert sorted(os.listdir(start.CONFIG)) == ["cutoutd.toml"]  # noqa: PTH208 -- names
    start.prepare(environment | {"CUTOUTD_PAGE__ENABLED": "true"})
    word = start.CONFIG / "page-password"
    password = word.read_text(encoding="utf-8").strip()
    assert (word.stat().st_mode & 0o777, len(password) >= 24) == (0o600, True)
    output = capsys.readouterr().out
    assert f"{word} was made" in output
    assert password not in output
    (start.CONFIG / "cutoutd.toml").write_text("[page]\nenabled = false\n", encoding="utf-8")
    start.prepare(environment | {"CUTOUTD_PAGE__ENABLED": "true"})
    assert (start.CONFIG / "cutoutd.toml").read_text(encoding="utf-8") == "[page]\nenabled = false\n"
    assert word.read_text(encoding="utf-8").strip() == password
    assert capsys.readouterr().out == ""


def test_a_configuration_that_cannot_be_written_is_the_built_in_one(
    start: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as where /config is mounted read-only."""
    ran: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *given: ran.append(given))
    monkeypatch.setattr(start, "become", lambda _: None)
    environment = {"CUTOUTD_CONFIG": str(start.CONFIG / "gone" / "cutoutd.toml")}
    start.main(["run"], environment)
    ((_, arguments, variables),) = ran
    assert arguments[-1] == "run"
    assert variables["CUTOUTD_CONFIG"] == str(start.DEFAULT)
    assert "could not be made: No such file" in capsys.readouterr().err


def test_an_unwritable_directory_for_the_journal_is_reported_with_advice(
    start: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most common fault of a first start."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="chown"):
        start.prepare({"CUTOUTD_CONFIG": "/nowhere"})


def test_the_configuration_that_it_makes_is_right() -> None:
    """`cutoutd check` accepts it."""
    from cutoutd.settings import loader  # noqa: PLC0415 -- this test alone

    created = loader.load(CONTAINER / "cutoutd.toml", {})
    assert (created.page.enabled, created.folder[0].input, created.folder[0].output) == (
        False,
        Path("/in"),
        Path("/out"),
    )
