"""Settings: their sources, the priority of the sources, and the resulting values."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cutoutd.errors import ConfigurationError
from cutoutd.recipe import Format, Metadata, Recipe, Rendition
from cutoutd.settings import loader, places
from cutoutd.settings.digest import settings_sha256
from cutoutd.settings.document import as_toml
from cutoutd.settings.environment import variables
from cutoutd.settings.loader import assemble
from cutoutd.settings.renditions import RenditionSettings
from cutoutd.settings.schema import Folder, MatteSettings, Service, Settings
from cutoutd.settings.types import Existing, LogFormat, LogLevel, Order, Originals, PictureFormat

FOLDER = '[[folder]]\nname = "to-cut"\ninput = "/pictures/in"\noutput = "/pictures/out"\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of the test's own, without a system-wide configuration."""
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("HOME", str(directory))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(places, "SYSTEM_FILE", tmp_path / "etc" / "cutoutd.toml")
    return directory


def written(directory: Path, text: str) -> Path:
    """Write a configuration file with this text; return its path."""
    path = directory / "cutoutd.toml"
    path.write_text(text, encoding="utf-8")
    return path


def folder(**given: Any) -> Folder:  # noqa: ANN401 -- any key of a folder
    """Return a hot folder."""
    return Folder.model_validate({"name": "a", "input": "/in", "output": "/out", **given})


def test_a_folder_needs_only_its_name_input_and_output(tmp_path: Path) -> None:
    """All else has its default."""
    settings = loader.load(written(tmp_path, FOLDER), {})
    assert settings == Settings(
        folder=(Folder(name="to-cut", input=Path("/pictures/in"), output=Path("/pictures/out")),)
    )
    assert settings.service.state_dir == places.state_dir()
    assert settings.folder[0].settle_s is None
    assert settings.folder[0].rendition == (RenditionSettings(format=Format.PNG, suffix=""),)


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    """Words, numbers, truth values, lists, paths and tables in tables."""
    more = """
        existing = "skip"
        settle_s = 2
        recursive = false
        exclude = ["drafts/", "*_old.*"]
        originals = "move"
        originals_dir = "/pictures/done"
        metadata = "none"
        mode = "0664"
        matte.refine = false
        [[folder.rendition]]
        suffix = "_cut"
        [[folder.rendition]]
    """
    only = loader.load(written(tmp_path, FOLDER + more), {}).folder[0]
    assert (only.existing, only.settle_s, only.recursive) == (Existing.SKIP, 2.0, False)
    assert (only.exclude, only.include) == (("drafts/", "*_old.*"), ("*",))
    assert (only.originals, only.originals_dir) == (Originals.MOVE, Path("/pictures/done"))
    assert (only.file_mode, only.matte) == (0o664, MatteSettings(refine=False, decontaminate=True))
    assert only.recipe() == Recipe(
        renditions=(
            Rendition(format=Format.PNG, suffix="_cut"),
            Rendition(format=Format.PNG, suffix=""),
        ),
        refine=False,
        decontaminate=True,
        metadata=Metadata.NONE,
        review_below=0.2,
        second_below=0.6,
    )


def test_paths_start_from_home_or_from_the_files_directory(tmp_path: Path, home: Path) -> None:
    """The paths are absolute, without dots and without a slash at the end."""
    text = """
        [service]
        state_dir = "state"
        [[folder]]
        name = "a"
        input = "~/to-cut/"
        output = "../other/./cutouts"
        sidecar_dir = "//sidecars"
    """
    settings = loader.load(written(tmp_path, text), {})
    only = settings.folder[0]
    assert settings.service.state_dir == tmp_path / "state"
    assert (only.input, only.output) == (home / "to-cut", tmp_path.parent / "other" / "cutouts")
    assert str(only.sidecar_dir) == "/sidecars"


def test_auto_and_empty_are_as_if_left_out(tmp_path: Path) -> None:
    """The reference file's default values mean the defaults."""
    explicit = (
        'settle_s = "auto"\nsidecar_dir = ""\noriginals_dir = ""\nmode = ""\n[service]\nstate_dir = ""\n'
    )
    with_them = loader.load(written(tmp_path, FOLDER + explicit), {})
    assert with_them == loader.load(written(tmp_path, FOLDER), {})


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """Some editors write the mark."""
    path = tmp_path / "cutoutd.toml"
    path.write_bytes(b"\xef\xbb\xbf" + FOLDER.encode())
    assert loader.load(path, {}).folder[0].name == "to-cut"


def test_a_variable_takes_precedence_over_the_file(tmp_path: Path) -> None:
    """A wrong value in the file does not matter then."""
    path = written(tmp_path, '[pool]\nworkers = "many"\nnice = 7\n' + FOLDER)
    environ = {
        "CUTOUTD_POOL__WORKERS": "2",
        "CUTOUTD_POOL__JOB_TIMEOUT_S": "1.5",
        "CUTOUTD_SERVICE__LOG_LEVEL": "debug",
        "CUTOUTD_SERVICE__STATE_DIR": "~/state",
        "PATH": "/bin",
    }
    settings = loader.load(path, environ)
    assert (settings.pool.workers, settings.pool.job_timeout_s, settings.pool.nice) == (2, 1.5, 7)
    assert settings.service.log_level is LogLevel.DEBUG
    assert settings.service.state_dir == Path.home() / "state"


@pytest.mark.parametrize("name", sorted(variables()))
def test_every_plain_key_has_its_variable(name: str, tmp_path: Path) -> None:
    """A variable that gives the default changes nothing."""
    table, key, _ = variables()[name]
    path = written(tmp_path, FOLDER)
    plain = loader.load(path, {})
    default = getattr(getattr(plain, table), key)
    value = str(default).lower() if isinstance(default, bool) else str(default)
    assert loader.load(path, {name: value}) == plain


def test_no_variable_reaches_a_folder() -> None:
    """No variable reaches the tables below it either."""
    assert {name.split("__")[0] for name in variables()} == {
        "CUTOUTD_SERVICE",
        "CUTOUTD_POOL",
        "CUTOUTD_MODEL",
        "CUTOUTD_HOSTED",
        "CUTOUTD_PAGE",
        "CUTOUTD_SERVE",
        "CUTOUTD_HOOKS",
    }


def test_no_variable_sets_a_command(tmp_path: Path) -> None:
    """Setting one must not allow to run programs as another user."""
    assert {name for name in variables() if "HOOKS" in name} == {
        "CUTOUTD_HOOKS__NOTIFY",  # whether, and never what
        "CUTOUTD_HOOKS__TIMEOUT_S",
        "CUTOUTD_HOOKS__AT_ONCE",
    }
    with pytest.raises(ConfigurationError, match="a command cannot be set by an environment variable"):
        loader.load(written(tmp_path, FOLDER), {"CUTOUTD_HOOKS__ON_DONE": "rm"})


def test_a_command_is_a_list_and_its_program_a_path_or_a_name(tmp_path: Path) -> None:
    """A relative path starts from the file's directory; a bare name is searched in PATH."""
    text = '[hooks]\non_done = ["bin/tell", "a b", "~"]\non_failed = ["notify-send"]\n' + FOLDER
    hooks = loader.load(written(tmp_path, text), {}).hooks
    assert hooks.on_done == (str(tmp_path / "bin/tell"), "a b", "~")
    assert list(hooks.commands()) == [("on_done", hooks.on_done), ("on_failed", ("notify-send",))]
    for wrong, said in (('"tell --loud"', "a command is a list"), ('[""]', "names no program"), ("[1]", "1")):
        with pytest.raises(ConfigurationError, match=said):
            loader.load(written(tmp_path, f"[hooks]\non_done = {wrong}\n{FOLDER}"), {})


def test_the_configuration_is_found_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By option, by variable, the user's, the system's."""
    user, system = places.configuration_files()
    assert loader.find(None, {}) is None
    for path in (system, user):
        path.parent.mkdir(parents=True)
        path.write_text("")
        assert loader.find(None, {}) == path
    one, other = written(tmp_path, ""), tmp_path / "other.toml"
    other.write_text("")
    environ = {"CUTOUTD_CONFIG": str(one)}
    assert loader.find(None, environ) == one
    monkeypatch.chdir(tmp_path)
    assert loader.find(Path("other.toml"), environ) == other
    assert loader.find(None, {"CUTOUTD_CONFIG": ""}) == user


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    """No other file is used instead."""
    missing = tmp_path / "missing.toml"
    with pytest.raises(
        ConfigurationError, match=r"missing\.toml: there is no such file, which --config names"
    ):
        loader.find(missing, {})
    with pytest.raises(ConfigurationError, match=r"which \$CUTOUTD_CONFIG names"):
        loader.find(None, {"CUTOUTD_CONFIG": str(missing)})


def test_the_searched_places_are_listed() -> None:
    """All four places are listed."""
    message = str(loader.nothing_found())
    for place in ("--config", "$CUTOUTD_CONFIG", *map(str, places.configuration_files())):
        assert place in message


def test_the_defaults_need_no_file_and_no_folder() -> None:
    """The environment still has priority over them."""
    assert loader.defaults({}) == Settings()
    assert loader.defaults({"CUTOUTD_POOL__WORKERS": "3"}).pool.workers == 3
    with pytest.raises(ConfigurationError, match="CUTOUTD_POOL__WORKER: there is no such variable"):
        loader.defaults({"CUTOUTD_POOL__WORKER": "3"})


def test_a_pair_of_folders_needs_no_file(tmp_path: Path) -> None:
    """The state directory depends on both paths; all else is the default."""
    settings = loader.for_pair(tmp_path / "in", tmp_path / "out", {"CUTOUTD_POOL__WORKERS": "1"})
    state_dir = settings.service.state_dir
    assert settings.folder == (Folder(name="in", input=tmp_path / "in", output=tmp_path / "out"),)
    assert settings.pool.workers == 1
    assert state_dir.parent == places.state_dir() / "pairs"
    assert len(state_dir.name) == 16


def test_a_pair_has_one_state_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And another pair has another state directory."""

    def state_dir(watched: Path, results: Path) -> Path:
        return loader.for_pair(watched, results, {}).service.state_dir

    monkeypatch.chdir(tmp_path)
    first = state_dir(tmp_path / "in", tmp_path / "out")
    assert state_dir(Path("in"), Path("x/../out/.")) == first
    assert state_dir(tmp_path / "in", tmp_path / "out2") != first
    assert state_dir(tmp_path / "out", tmp_path / "in") != first


@pytest.mark.parametrize(
    ("directory", "name"),
    [("a b", "a b"), ("line\nbreak", "line_break"), (" x ", "x"), ("x" * 100, "x" * 64), ("\udcff", "_")],
)
def test_a_pair_is_named_after_its_input(directory: str, name: str) -> None:
    """In a form that is valid for every folder's name."""
    assert loader.for_pair(Path("/in") / directory, Path("/out"), {}).folder[0].name == name


def test_an_output_inside_its_own_input_is_never_a_source() -> None:
    """Such an output is allowed, and intake excludes it."""
    assert folder(output="/in/cut/outs").subtrees == ("cut/outs",)
    assert folder().subtrees == ()
    assert folder(output="/in2").subtrees == ()


def test_values_are_frozen() -> None:
    """Checked settings cannot change."""
    with pytest.raises(ValidationError):
        folder().name = "other"


@pytest.mark.parametrize("order", [Order.OLDEST, Order.NEWEST])
def test_settings_written_out_load_again(order: Order, tmp_path: Path) -> None:
    """Every key, with several folders and renditions."""
    settings = Settings(
        service=Service(state_dir=tmp_path / "state", log_format=LogFormat.JSON),
        folder=(
            folder(order=order, settle_s=0.5, include=["*.jpg", 'a"b\\c'], mode="0640", group="staff"),
            folder(
                name='qu"ote',
                input="/in2",
                output="/in2/new\nline",
                originals_dir="/done",
                rendition=[{}, {"suffix": "_ü"}],
                matte={"refine": False},
            ),
        ),
    )
    assert loader.load(written(tmp_path, as_toml(settings)), {}) == settings


_PARTS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20).filter(
    lambda part: part not in {".", ".."}
)


@given(watched=_PARTS, results=_PARTS, pattern=_PARTS)
def test_any_path_survives_being_written_out(watched: str, results: str, pattern: str) -> None:
    """Quotes, backslashes, control characters, and letters of any script."""
    only = folder(input=f"/in/{watched}", output=f"/out/{results}", exclude=[pattern])
    settings = Settings(service=Service(state_dir=Path("/state")), folder=(only,))
    document = tomllib.loads(as_toml(settings))
    assert assemble(document, {}, origin="", base=None) == settings


def test_a_path_that_is_not_utf8_can_be_written_out() -> None:
    """TOML cannot contain its odd bytes, so they are replaced."""
    settings = loader.for_pair(Path("/in\udcff"), Path("/out"), {})
    assert tomllib.loads(as_toml(settings))["folder"][0]["input"] == "/in\ufffd"


def test_the_digest_is_the_same_in_every_version() -> None:
    """Sidecars of old versions stay comparable: the digest of these settings must never change."""
    expected = "33205233fbfe4b56927d39036305d265670cda5278875a72aedbac5f0e0f2163"
    assert settings_sha256(folder(review_below=0.0), "u2net-int8") == expected


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": "keep"},
        {"review_below": 0.5},
        {"matte": {"refine": False}},
        {"matte": {"decontaminate": False}},
        {"rendition": [{"suffix": "_cut"}]},
    ],
)
def test_the_digest_tells_what_changes_a_cutout(change: dict[str, Any]) -> None:
    """Every setting of the recipe counts."""
    assert settings_sha256(folder(**change), "u2net-int8") != settings_sha256(folder(), "u2net-int8")


def test_the_digest_counts_the_model_and_nothing_else() -> None:
    """A folder's place and way of watching do not change its cutouts."""
    assert settings_sha256(folder(), "other") != settings_sha256(folder(), "u2net-int8")
    moved = folder(name="b", input="/elsewhere", settle_s=9, order="newest", originals="delete")
    assert settings_sha256(moved, "u2net-int8") == settings_sha256(folder(), "u2net-int8")


def test_reading_settings_brings_no_network_library() -> None:
    """One reason to do without pydantic-settings: docs/decisions/0014."""
    code = (
        "import sys, cutoutd.settings.loader, cutoutd.settings.document, cutoutd.settings.digest\n"
        "sys.exit(', '.join({'ssl', 'asyncio', 'http.client', 'urllib.request'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_reads_no_settings() -> None:
    """Importing pydantic would cost each worker a tenth of a second and some memory."""
    code = (
        "import sys\n"
        "from cutoutd.pool import worker\n"
        "worker._load_libraries()\n"
        "loaded = {'pydantic', 'pydantic_core', 'cutoutd.settings.schema', 'cutoutd.settings.types'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(loaded)) or None)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_formats_can_be_switched_off(tmp_path: Path) -> None:
    """By leaving them out of the list; each counts once."""
    assert Settings().pool.formats == tuple(PictureFormat)
    text = '[pool]\nformats = ["jpeg", "raw", "jpeg"]\n'
    settings = loader.load(written(tmp_path, text + FOLDER), {})
    assert settings.pool.formats == (PictureFormat.JPEG, PictureFormat.RAW)
    assert 'formats = ["jpeg", "raw"]' in as_toml(settings)
