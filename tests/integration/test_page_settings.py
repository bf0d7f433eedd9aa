"""A folder's settings through the page: shown with explanations, and written without changing the rest of the file."""

from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.page.backend import folder_settings, folders, places, reloading, session
from cutoutd.settings import loader
from cutoutd.settings.schema import Folder
from cutoutd.webserver.backend.method import RefusedError
from tests.unit.page_backend import CONFIGURATION, backend_at, told

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINTS = {**folder_settings.ENDPOINTS, **folders.ENDPOINTS, **places.ENDPOINTS}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a configuration in a home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("shoot", "catalogue"):
        (tmp_path / name).mkdir()
    return tmp_path / "cutoutd.toml"


def settings_on_page(backend: Any, folder: str = "shoot") -> dict[str, Any]:  # noqa: ANN401 -- a backend
    """Return the settings that the page gets."""
    data: dict[str, Any] = ENDPOINTS["folder_settings"].run(backend, {"folder": folder}).data
    return data


def change(backend: Any, folder: str = "shoot", digest: str | None = None, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 -- any values
    """Change settings as the page does; ``__`` stands for a dot."""
    named = {key.replace("__", "."): value for key, value in changes.items()}
    asked = {"folder": folder, "digest": digest or settings_on_page(backend)["digest"], "changes": named}
    data: dict[str, Any] = ENDPOINTS["change_settings"].run(backend, asked).data
    return data


def test_every_field_has_its_value_its_bounds_and_the_references_text(path: Path) -> None:
    """Each field is of a kind that a form can show."""
    answer = settings_on_page(backend_at(path))
    fields = {one["key"]: one for one in answer["fields"]}
    assert answer["locked"] is None
    assert (fields["review_below"]["value"], fields["review_below"]["default"]) == (0.1, 0.2)
    assert (fields["review_below"]["min"], fields["review_below"]["max"]) == (0, 1)
    assert fields["recursive"]["explanation"].startswith("true: folders inside the input")
    assert (fields["settle_s"]["kind"], fields["settle_s"]["value"], fields["settle_s"]["unit"]) == (
        "text",
        "auto",
        "s",
    )
    assert fields["include"]["value"] == "*"
    assert fields["rendition.bits"]["choices"] == ["8", "16"]
    assert "overwrite" not in fields["on_conflict"]["choices"]
    assert not {"route", "output", "hooks.on_done", "model", "mode"} & set(fields)
    for one in fields.values():
        assert one["explanation"]
        assert one["kind"] in ("bool", "int", "float", "text", "choice")
        assert one["kind"] != "choice" or one["value"] in one["choices"]


def test_several_renditions_are_numbered_as_in_the_file(path: Path) -> None:
    """One table with two presets is one; its presets can be changed only with an editor."""
    keys = {one["key"] for one in settings_on_page(backend_at(path), "catalogue")["fields"]}
    assert {"rendition.1.format", "rendition.2.format", "rendition.1.preset"} <= keys
    assert "rendition.2.preset" not in keys
    assert "rendition.3.format" not in keys


def test_a_change_keeps_comments_order_and_mode_and_leaves_a_backup(path: Path) -> None:
    """The backup is the file as it was before."""
    backend = backend_at(path)
    path.chmod(0o640)
    change(
        backend,
        recursive=False,
        review_below=0.3,
        include="*.jpg, *.png",
        settle_s="2.5",
        matte__refine=False,
    )
    expected = CONFIGURATION.replace(
        "review_below = 0.1\n",
        "review_below = 0.3\nrecursive = false\n"
        'include = ["*.jpg", "*.png"]\nsettle_s = 2.5\n\n[folder.matte]\nrefine = false\n',
    )
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line]
    assert sorted(lines) == sorted(line for line in expected.splitlines() if line)
    assert lines.index("# ---- what goes to the service ----") == lines.index('name = "catalogue"') - 2
    backup = path.with_name("cutoutd.toml.bak")
    assert backup.read_text(encoding="utf-8") == CONFIGURATION
    assert {stat.S_IMODE(one.stat().st_mode) for one in (path, backup)} == {0o640}
    folder = loader.load(path, {}).folder[0]
    assert (folder.recursive, folder.include, folder.settle_s) == (False, ("*.jpg", "*.png"), 2.5)
    assert backend.settings is not None
    assert backend.settings.folder[0] == folder
    assert ("settings", {}) in told(backend)
    assert {one.name for one in path.parent.iterdir() if one.is_file()} == {path.name, backup.name}


def test_a_rendition_is_made_and_changed(path: Path) -> None:
    """In a folder without a written one, and in one with several."""
    backend = backend_at(path)
    change(backend, rendition__format="jpeg", rendition__background="white", rendition__bits="8")
    change(backend, "catalogue", rendition__1__quality="80", rendition__2__shadow=20)
    shoot, catalogue = loader.load(path, {}).folder
    assert (shoot.rendition[0].format, shoot.rendition[0].background.value) == ("jpeg", (255, 255, 255))
    assert catalogue.rendition[0].quality == 80
    assert [one.shadow for one in catalogue.rendition] == [0, 20, 20]


def test_a_file_that_changed_meanwhile_is_not_overwritten(path: Path) -> None:
    """The page is told, and shows the new content."""
    backend = backend_at(path)
    digest = settings_on_page(backend)["digest"]
    mine = CONFIGURATION.replace("review_below = 0.1", "review_below = 0.4")
    path.write_text(mine, encoding="utf-8")
    with pytest.raises(RefusedError, match="changed meanwhile") as refused:
        change(backend, digest=digest, recursive=False)
    assert refused.value.status == 409
    assert path.read_text(encoding="utf-8") == mine


def test_a_change_that_is_sent_again_is_no_conflict(path: Path) -> None:
    """Its answer was lost; the file is not written again. Once somebody else changed it, it is one."""
    backend = backend_at(path)
    digest = settings_on_page(backend)["digest"]
    first = change(backend, digest=digest, recursive=False, review_below=0.3)
    before = path.stat()
    assert change(backend, digest=digest, recursive=False, review_below=0.3) == first
    assert path.stat().st_ino == before.st_ino
    with pytest.raises(RefusedError, match="changed meanwhile"):
        change(backend, digest=digest, recursive=False, review_below=0.2)
    change(backend, recursive=True)
    with pytest.raises(RefusedError, match="changed meanwhile"):
        change(backend, digest=digest, recursive=False, review_below=0.3)


def test_a_folder_whose_adding_is_sent_again_is_there_once(path: Path) -> None:
    """The second answer is the first one's; with another form or name it is another folder, in the same place."""
    backend = backend_at(path)
    asked = {
        "input": "~/fresh",
        "output": "~/fresh-out",
        "form": "shop-white",
        "existing": "skip",
        "create": True,
    }
    first = ENDPOINTS["add_folder"].run(backend, asked).data
    assert ENDPOINTS["add_folder"].run(backend, asked).data == first
    assert len(loader.load(path, {}).folder) == 3
    for other in ({"form": "transparent"}, {"existing": "cut"}, {"name": "mine"}):
        with pytest.raises(RefusedError, match="cut twice"):
            ENDPOINTS["add_folder"].run(backend, {**asked, **other})


@pytest.mark.parametrize(
    ("changes", "status", "key"),
    [
        ({"review_below": 7}, 422, "review_below"),
        ({"review_below": float("nan")}, 422, "review_below"),
        ({"settle_s": 10**400}, 422, "settle_s"),
        ({"settle_s": float("inf")}, 422, "settle_s"),
        ({"recursive": "yes"}, 422, "recursive"),
        ({"include": ""}, 422, "include"),
        ({"rendition.background": "/etc/passwd"}, 403, ""),
        ({"rendition.suffix": "a/b"}, 422, "rendition.suffix"),
        ({"route": "hosted"}, 403, "route"),
        ({"hooks.on_done": ["sh"]}, 403, "hooks.on_done"),
        ({"none_such": 1}, 422, "none_such"),
        ({"on_conflict": "overwrite"}, 403, ""),
        ({"originals": "delete"}, 403, ""),
        ({"rendition.directory": "elsewhere"}, 403, "rendition.directory"),
    ],
)
def test_a_change_that_the_loader_or_the_list_refuses_changes_nothing(
    path: Path, changes: dict[str, Any], status: int, key: str
) -> None:
    """The page can show the reason at the field."""
    backend = backend_at(path)
    with pytest.raises(RefusedError) as refused:
        change(backend, **{name.replace(".", "__"): value for name, value in changes.items()})
    assert refused.value.status == status
    assert not key or refused.value.named["key"] == key
    assert path.read_text(encoding="utf-8") == CONFIGURATION
    assert not path.with_name("cutoutd.toml.bak").exists()


def test_a_link_is_not_followed(path: Path) -> None:
    """A program that manages the configuration would undo the change, and the target may belong to somebody else."""
    real = path.with_name("managed.toml")
    backend = backend_at(path)
    path.rename(real)
    path.symlink_to(real)
    assert settings_on_page(backend)["locked"]["code"] == "config_link"
    with pytest.raises(RefusedError, match=r"is a link to .*managed\.toml"):
        change(backend, recursive=False)
    assert real.read_text(encoding="utf-8") == CONFIGURATION
    assert path.is_symlink()


def test_a_read_only_configuration_is_refused_with_the_reason(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere, so the system's answer is simulated."""
    backend = backend_at(path)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert settings_on_page(backend)["locked"]["code"] == "config_readonly"
    with pytest.raises(RefusedError, match="is read-only"):
        change(backend, recursive=False)


def test_folders_of_the_command_line_have_no_configuration(path: Path) -> None:
    """The page says how to create one."""
    backend = backend_at(path)
    backend.config = None
    with pytest.raises(RefusedError, match="--input and --output"):
        settings_on_page(backend)
    assert not session.ENDPOINTS["session"].run(backend, {}).data["changeable"]


def test_a_full_disk_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No draft is left."""
    backend = backend_at(path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RefusedError, match="cannot be written") as refused:
        change(backend, recursive=False)
    assert refused.value.status == 503
    assert path.read_text(encoding="utf-8") == CONFIGURATION
    assert [one.name for one in path.parent.iterdir() if one.is_file()] == [path.name]


def test_a_daemon_that_cannot_be_notified_is_not_announced_to_reload(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as when the journal's disk is full; the file is written all the same."""
    backend = backend_at(path)
    monkeypatch.setattr(reloading, "running", lambda _: object())  # and there is no directory for a journal
    answer = change(backend, recursive=False)
    assert answer["taken_over"] == "refused"
    assert "journal" in answer["why"]
    assert loader.load(path, {}).folder[0].recursive is False


def test_a_configuration_on_one_line_is_left_to_an_editor(path: Path) -> None:
    """TOML that would have to be rewritten is not changed."""
    text = 'folder = [{ name = "a", input = "/in", output = "/out" }]\n'
    backend = backend_at(path, text)
    with pytest.raises(RefusedError, match="editor"):
        change(
            backend,
            "a",
            digest=ENDPOINTS["folder_settings"].run(backend, {"folder": "a"}).data["digest"],
            matte__refine=False,
        )
    assert path.read_text(encoding="utf-8") == text


def test_the_first_folder_makes_the_configuration(path: Path, tmp_path: Path) -> None:
    """In a new directory; the output is created as well, and the rendition is that of the chosen form."""
    path = tmp_path / "config" / "deeper" / "cutoutd.toml"
    backend = backend_at(path, None)
    asked = {
        "input": str(tmp_path / "shoot"),
        "output": str(tmp_path / "new" / "cutouts"),
        "form": "shop-white",
    }
    with pytest.raises(RefusedError, match="no folder"):
        ENDPOINTS["add_folder"].run(backend, asked)
    assert not path.exists()
    answer = ENDPOINTS["add_folder"].run(backend, {**asked, "create": True, "existing": "skip"}).data
    assert (answer["name"], answer["taken_over"]) == ("shoot", "at_start")
    (folder,) = loader.load(path, {}).folder
    assert folder == Folder.model_validate(
        {
            "name": "shoot",
            "input": str(tmp_path / "shoot"),
            "output": str(tmp_path / "new" / "cutouts"),
            "existing": "skip",
            "rendition": [
                {
                    "format": "jpeg",
                    "background": "white",
                    "canvas": "2000x2000",
                    "scale": "85%",
                    "profile": "srgb",
                }
            ],
        }
    )
    assert (tmp_path / "new" / "cutouts").is_dir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "other").mkdir()
    second = {**asked, "input": str(tmp_path / "other"), "output": str(tmp_path / "b"), "create": True}
    assert ENDPOINTS["add_folder"].run(backend, second).data["name"] == "other"
    third = {**second, "input": str(tmp_path / "deep" / "shoot"), "output": str(tmp_path / "c")}
    assert ENDPOINTS["add_folder"].run(backend, third).data["name"] == "shoot-2"
    assert len(loader.load(path, {}).folder) == 3


@pytest.mark.parametrize("becomes", ["nothing", "another directory"])
@pytest.mark.parametrize("makes", [False, True])
def test_a_chosen_folder_that_is_gone_is_not_made_anew(path: Path, *, becomes: str, makes: bool) -> None:
    """Nor one in a directory that is gone: its share may be away, and another directory be in its place."""
    backend = backend_at(path)
    chosen = path.parent / "share"
    chosen.mkdir()
    seen = ENDPOINTS["places"].run(backend, {"path": str(chosen)}).data["identity"]
    chosen.rename(path.parent / "away")
    if becomes == "another directory":
        chosen.mkdir()
    asked = {
        "input": str(chosen / "new" if makes else chosen),
        "output": str(chosen / "out"),
        "form": "transparent",
        "create": makes,
        "seen": seen,
    }
    with pytest.raises(RefusedError) as refused:
        ENDPOINTS["add_folder"].run(backend, asked)
    assert (refused.value.status, refused.value.code) == (409, "place_gone")
    assert refused.value.named == {"path": str(chosen)}
    assert path.read_text(encoding="utf-8") == CONFIGURATION
    assert chosen.exists() == (becomes == "another directory")
    assert not chosen.exists() or list(chosen.iterdir()) == []
    if chosen.exists():
        chosen.rmdir()
    (path.parent / "away").rename(chosen)
    added = ENDPOINTS["add_folder"].run(backend, {**asked, "output": str(path.parent / "out")}).data
    assert added["name"] == ("new" if makes else "share")


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"input": "/etc"}, 403),
        ({"input": "~/../.."}, 403),
        ({"input": "~/.ssh"}, 403),
        ({"output": "~/shoot/.hidden/out"}, 403),
        ({"input": "~/link"}, 422),
        ({"output": "~/catalogue"}, 422),
        ({"output": "~/shoot"}, 422),
        ({"form": "none-such"}, 422),
        ({"existing": "delete"}, 422),
        ({"input": "~/a\0b"}, 404),
    ],
)
def test_a_folder_that_must_not_be_is_not_added(path: Path, given: dict[str, str], status: int) -> None:
    """Outside of the roots, hidden, behind a link, or overlapping another one; nothing is written."""
    backend = backend_at(path)
    (path.parent / "link").symlink_to("/usr")
    asked = {"input": "~/fresh", "output": "~/fresh-out", "form": "transparent", "create": True, **given}
    with pytest.raises(RefusedError) as refused:
        ENDPOINTS["add_folder"].run(backend, asked)
    assert refused.value.status == status
    assert path.read_text(encoding="utf-8") == CONFIGURATION


def test_the_forms_come_with_descriptions(path: Path) -> None:
    """There are four forms."""
    offered = ENDPOINTS["forms"].run(backend_at(path), {}).data
    assert [one["name"] for one in offered] == ["transparent", "shop-white", "marketplace", "designer"]


def test_two_browsers_that_add_a_folder_at_once_both_have_it(path: Path, tmp_path: Path) -> None:
    """The configuration is created once, and neither overwrites the other's folder."""
    path = tmp_path / "config" / "cutoutd.toml"
    backend = backend_at(path, None)

    def add(name: str) -> str:
        asked = {"input": f"~/{name}", "output": f"~/{name}-out", "form": "transparent", "create": True}
        return str(ENDPOINTS["add_folder"].run(backend, asked).data["name"])

    with ThreadPoolExecutor(2) as browsers:
        assert set(browsers.map(add, ("one", "two"))) == {"one", "two"}
    assert {folder.name for folder in loader.load(path, {}).folder} == {"one", "two"}


def test_a_configuration_that_was_moved_away_is_not_created_again(path: Path) -> None:
    """Otherwise its other folders and settings would be lost when it is read again."""
    backend = backend_at(path)
    away = path.rename(path.with_name("away.toml"))
    asked = {"input": "~/one", "output": "~/one-out", "form": "transparent", "create": True}
    with pytest.raises(RefusedError) as refused:
        ENDPOINTS["add_folder"].run(backend, asked)
    assert refused.value.code == "config_missing"
    assert not path.exists()
    away.rename(path)
    ENDPOINTS["add_folder"].run(backend, asked)
    assert [one.name for one in loader.load(path, {}).folder] == ["shoot", "catalogue", "one"]


def test_a_change_by_hand_reaches_the_methods(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers are notified; an invalid text changes nothing."""
    monkeypatch.setattr(reloading, "_CHANGES_S", 0.01)
    backend = backend_at(path)
    heard = threading.Event()
    backend.tell = lambda event, _: heard.set() if event == "settings" else None
    reloading.follow(backend)
    backend.watched.set()
    path.write_text("[[folder", encoding="utf-8")
    draft = path.with_name("draft")
    draft.write_text(CONFIGURATION.replace("review_below = 0.1", "review_below = 0.4"), encoding="utf-8")
    draft.replace(path)
    assert heard.wait(30)
    assert backend.settings is not None
    assert backend.settings.folder[0].review_below == 0.4
