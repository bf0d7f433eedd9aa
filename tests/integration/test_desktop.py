"""The entry "Cut out" in the menus of file managers: per user, without touching other files, for any file name."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import plistlib
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cutoutd.cli import desktop
from cutoutd.cli.desktop import path_of
from cutoutd.desktop import installation, menus
from cutoutd.desktop.menus import FileManager
from cutoutd.errors import UsageError
from tests.acceptance.conftest import picture
from tests.integration.parts import until
from tests.integration.tools import give_up, need

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

RECORDER = "import json, sys; open({to!r}, 'w').write(json.dumps(sys.argv[1:]))"
HOSTILE = (
    "plain.jpg",
    "with space.jpg",
    "-o.jpg",
    "--help.jpg",
    "it's.jpg",
    'a "b".jpg',
    "100%F %25.jpg",
    "$(touch pwned).jpg",
    "`touch pwned`.jpg",
    "a;b&c|d.jpg",
    "back\\slash.jpg",
    "new\nline.jpg",
    "\u00e4 \U0001f600.jpg",
    os.fsdecode(b"latin-\xe9.jpg"),
)
_UNRESERVED = frozenset(b"!$&'()*+,-./:=@_~abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
"""Bytes that GLib leaves unescaped in the URI of a file."""


def parsed(line: str) -> list[str]:
    """Parse a command line like GLib, and therefore like Nemo."""
    found = ctypes.util.find_library("glib-2.0")
    if found is None:
        give_up("GLib is not installed")
    glib, count, words = ctypes.CDLL(found), ctypes.c_int(), ctypes.POINTER(ctypes.c_char_p)()
    assert glib.g_shell_parse_argv(os.fsencode(line), ctypes.byref(count), ctypes.byref(words), None)
    return [os.fsdecode(words[number] or b"") for number in range(count.value)]


LINUX = tuple(one for one in FileManager if one is not FileManager.FINDER)


def uri(path: str) -> str:
    """Return a URI as GLib makes it."""
    return "file://" + "".join(chr(one) if one in _UNRESERVED else f"%{one:02X}" for one in os.fsencode(path))


def items(
    root: Path, managers: Iterable[FileManager] = LINUX, command: tuple[str, ...] = ("false",)
) -> list[menus.MenuFile]:
    """Install the entries for a user whose home has a name like those of the pictures."""
    return list(
        menus.items(
            menus.Home.of(root / "it's $HOME 100%", {}),
            command,
            tuple(managers),
            mac=FileManager.FINDER in managers,
        )
    )


def recorder(root: Path) -> tuple[tuple[str, ...], Path]:
    """Return a command that records its arguments and its working directory."""
    to = root / "arguments.json"
    return (sys.executable, "-c", RECORDER.format(to=os.fspath(to))), to


def recorded_arguments(to: Path) -> list[str]:
    """Return the recorded arguments, without the constant ones."""
    until(lambda: to.exists() and to.stat().st_size, "the menu's command")
    words: list[str] = json.loads(to.read_text(encoding="utf-8"))
    to.unlink()
    assert words[:3] == ["desktop", "cut", "--"]
    return words[3:]


def test_a_script_hands_any_name_over_as_it_is(tmp_path: Path) -> None:
    """Nautilus and Caja give names as arguments, in their folder; nothing of them is run."""
    command, to = recorder(tmp_path)
    installed = items(tmp_path, (FileManager.NAUTILUS, FileManager.CAJA), command)
    installation.install(installed)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for item in installed[1:]:
        subprocess.run([os.fspath(item.path), *HOSTILE], check=True, cwd=folder)
        assert recorded_arguments(to) == list(HOSTILE)
    assert list(folder.iterdir()) == []


def test_nemo_hands_any_name_over_as_an_address(tmp_path: Path) -> None:
    """In double quotes, which no character of an address ends; Nemo parses the line as a shell would, without one."""
    command, to = recorder(tmp_path)
    installed = items(tmp_path, (FileManager.NEMO,), command)
    installation.install(installed)
    lines = dict(line.split("=", 1) for line in installed[1].data.decode().splitlines() if "=" in line)
    assert lines["Quote"] == "double"
    line = lines["Exec"].replace("\\\\", "\\")  # as GLib's key files are read
    addresses = [uri(f"/p/{name}") for name in HOSTILE]
    assert not any(one in address for address in addresses for one in '"\\`')
    program, _, inserted = line.rpartition(" ")
    assert inserted == "%U"
    spoken = " ".join((program.replace("%%", "%"), *(f'"{one}"' for one in addresses)))
    subprocess.run(parsed(spoken), check=True)
    assert [os.fspath(path_of(one)) for one in recorded_arguments(to)] == [f"/p/{name}" for name in HOSTILE]


def test_a_desktop_entry_hands_any_name_over_as_it_is(tmp_path: Path) -> None:
    """By GLib itself, which starts such entries for most desktops."""
    need("gio")
    command, to = recorder(tmp_path)
    installed = items(tmp_path, (FileManager.OPEN_WITH,), command)
    installation.install(installed)
    paths = []
    for name in HOSTILE:
        (tmp_path / name).touch()
        paths.append(os.fspath(tmp_path / name))
    subprocess.run(
        ["gio", "launch", os.fspath(installed[1].path), *paths],
        check=True,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
    )
    assert recorded_arguments(to) == paths
    assert not (tmp_path / "pwned").exists()


def test_entries_are_valid(tmp_path: Path) -> None:
    """As freedesktop.org's own check has it; what is KDE's alone is a hint there."""
    need("desktop-file-validate")
    (entry,) = (one for one in items(tmp_path, (FileManager.OPEN_WITH,)) if one.path.suffix == ".desktop")
    installation.install([entry])
    run = subprocess.run(
        ["desktop-file-validate", "--no-hints", entry.path], check=False, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout) == (0, "")


def test_a_quick_action_is_a_whole_bundle(tmp_path: Path) -> None:
    """Its script gets the files as arguments."""
    command, to = recorder(tmp_path)
    installed = items(tmp_path, (FileManager.FINDER,), command)
    installation.install(installed)
    document = plistlib.loads(next(one.data for one in installed if one.path.name == "document.wflow"))
    (action,) = document["actions"]
    parameters = action["action"]["ActionParameters"]
    assert (parameters["inputMethod"], parameters["shell"]) == (1, "/bin/sh")
    subprocess.run(["/bin/sh", "-c", parameters["COMMAND_STRING"], "sh", *HOSTILE], check=True, cwd=tmp_path)
    assert recorded_arguments(to) == list(HOSTILE)
    information = plistlib.loads(next(one.data for one in installed if one.path.name == "Info.plist"))
    assert information["NSServices"][0]["NSMenuItem"]["default"] == "Cut out"
    assert all(one.path.is_relative_to(tmp_path) for one in installed)


def test_menu_entries_are_installed_once_and_removed_again(tmp_path: Path) -> None:
    """With nothing of ours left, and all else where it was."""
    installed = items(tmp_path)
    neighbour = installed[1].path.parent / "mine"
    neighbour.parent.mkdir(parents=True)
    neighbour.write_text("mine", encoding="utf-8")
    assert set(installation.install(installed)) == {one.path for one in installed}
    assert installation.install(installed) == ()
    assert all(one.path.read_bytes() == one.data for one in installed)
    installed[1].path.chmod(0o600)
    assert installation.install(installed) == (installed[1].path,)
    assert set(installation.remove(installed)) == {one.path for one in installed}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [neighbour]
    assert installation.remove(installed) == ()


@pytest.mark.parametrize("kind", ["file", "link", "directory", "fifo"])
def test_files_of_others_are_never_replaced_or_removed(tmp_path: Path, kind: str) -> None:
    """And then nothing at all is written; a link is not followed, even to a file of ours."""
    installed = items(tmp_path)
    place = installed[2].path
    place.parent.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(f"mine, though it says {menus.MARK}", encoding="utf-8")
    match kind:
        case "file":
            place.write_text("mine", encoding="utf-8")
        case "link":
            place.symlink_to(elsewhere)
        case "directory":
            place.mkdir()
        case _:
            os.mkfifo(place)
    with pytest.raises(UsageError, match="did not make"):
        installation.install(installed)
    assert installation.remove(installed) == ()
    assert not any(one.path.exists() for one in installed if one.path != place)
    assert elsewhere.exists()
    assert os.path.lexists(place)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a.jpg", "a.jpg"),
        ("-a.jpg", "-a.jpg"),
        ("/p/100%25.jpg", "/p/100%25.jpg"),
        ("file:///p/100%25.jpg", "/p/100%.jpg"),
        ("file://localhost/p/a%0Ab.jpg", "/p/a\nb.jpg"),
        ("FILE:///p/%E9.jpg", os.fsdecode(b"/p/\xe9.jpg")),
    ],
)
def test_a_picture_is_named_by_its_path_or_its_address(written: str, meant: str) -> None:
    """A path is never decoded."""
    assert os.fspath(path_of(written)) == meant


@pytest.mark.parametrize("written", ["smb://nas/p/a.jpg", "file://nas/p/a.jpg", "https://e/a.jpg"])
def test_a_picture_on_another_machine_is_refused_with_advice(written: str) -> None:
    """Nothing is fetched."""
    with pytest.raises(UsageError, match="not on this machine"):
        path_of(written)


def test_pictures_are_cut_beside_themselves_and_a_notice_says_so(tmp_path: Path) -> None:
    """Whatever their names are; in two folders at once."""
    pictures, programs = tmp_path / "pictures", tmp_path / "bin"
    programs.mkdir()
    notice = programs / "notify-send"
    notice.write_text(
        f"#!/bin/sh\nfor one; do printf '%s\\n' \"$one\"; done > {shlex.quote(str(tmp_path / 'notice'))}\n",
        encoding="utf-8",
    )
    notice.chmod(0o755)
    names = ("-o it's 100%.jpg", 'new\nline "b".jpg')
    paths = [pictures / names[0], pictures / "sub" / names[1]]
    (pictures / "sub").mkdir(parents=True)
    for path in paths:
        picture().save(path, format="JPEG")
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "CUTOUTD_POOL__WORKERS": "1",
    }
    command = [
        sys.executable,
        "-P",
        "-m",
        "cutoutd",
        "desktop",
        "cut",
        "--",
        names[0],
        uri(os.fspath(paths[1])),
    ]
    run = subprocess.run(
        command, cwd=pictures, env=environment, check=False, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert "2 cut; see the folder cutouts" in run.stdout
    for path in paths:
        assert (path.parent / "cutouts" / path.name).with_suffix(".png").exists()
    assert (tmp_path / "notice").read_text(encoding="utf-8").splitlines()[1:3] == ["--", "cutoutd"]


@pytest.mark.parametrize("is_mac", [False, True])
def test_remove_leaves_no_file_of_installs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_mac: bool
) -> None:
    """Whatever was installed, on Linux and on a Mac; also the script that all menus start."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(desktop, "_IS_MAC", is_mac)
    desktop.install(managers=[FileManager.FINDER, FileManager.NEMO, FileManager.OPEN_WITH])
    assert "open this and agree: open" in (output := capsys.readouterr().out)
    assert "Cut out.workflow" in output.split("open this")[1]
    desktop.remove()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
