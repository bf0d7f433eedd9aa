"""The settings that a page may change: every key of the schema is decided, and no other key changes."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cutoutd.page.backend import admission, folder_settings, folders
from cutoutd.settings import forms, loader
from cutoutd.settings.schema import Folder, Hooks, Settings
from cutoutd.settings.types import Originals, Route
from cutoutd.webserver.backend.method import RefusedError
from tests.unit.page_backend import CONFIGURATION, backend_at

if TYPE_CHECKING:
    from cutoutd.page.backend.method import Backend

OUTSIDE = ("service", "pool", "model", "hosted", "cluster", "hooks", "page")


def test_every_key_of_the_schema_is_decided() -> None:
    """A new key is refused until it is listed as harmless, and this test enforces a decision."""
    for key in admission.schema_keys():
        assert admission.is_admitted(key) != bool(admission.why_refused(key)), key


def test_admitted_keys_exist() -> None:
    """Neither table lists a removed key; `page` has its own table."""
    keys = set(admission.schema_keys())
    assert set(admission.ADMITTED) <= keys
    for name in set(admission.REFUSED) - {"page"}:
        assert any(key == name or key.startswith(f"{name}.") for key in keys), name


@pytest.mark.parametrize(
    "key",
    [
        "folder.route",
        "folder.hooks.on_done",
        "folder.output",
        "folder.originals_dir",
        "folder.model",
        "service.state_dir",
        "service.allow_root",
        "pool.sandbox",
        "hosted.enabled",
        "hosted.api_key_file",
        "hosted.base_url",
        "hooks.on_failed",
        "page.roots",
        "page.address",
        "webhooks.url",
    ],
)
def test_harmful_keys_are_not_admitted(key: str) -> None:
    """Nor is an unknown key."""
    assert not admission.is_admitted(key)


def changed(**given: object) -> list[str]:
    """Return the forbidden changes for a folder that was changed in this way."""
    before = Folder(name="a", input=Path("/a"), output=Path("/b"))
    after = Folder.model_validate({"name": "a", "input": "/a", "output": "/b", **given})
    return list(admission.forbidden_changes(Settings(folder=(before,)), Settings(folder=(after,))))


@pytest.mark.parametrize(
    ("given", "beyond"),
    [
        ({"recursive": False, "metadata": "none", "matte": {"refine": False}}, []),
        ({"originals": "keep", "on_conflict": "skip"}, []),
        ({"originals": "delete"}, ["folder.originals"]),
        ({"on_conflict": "overwrite"}, ["folder.on_conflict"]),
        ({"route": "hosted"}, ["folder.route"]),
        ({"hooks": {"on_done": ["rm"]}}, ["folder.hooks"]),
        ({"mode": "0666"}, ["folder.mode"]),
        ({"rendition": [{"background": "#fff"}]}, []),
        ({"rendition": [{"background": "/etc/passwd"}]}, ["folder.rendition.background"]),
        ({"rendition": [{"directory": "elsewhere"}]}, ["folder.rendition.directory"]),
        ({"rendition": [{"preset": "amazon"}]}, []),
        ({"rendition": [{}, {"suffix": "-2"}]}, ["folder.rendition"]),
    ],
)
def test_differences_are_judged_by_the_meaning_of_the_configuration(
    given: dict[str, Any], beyond: list[str]
) -> None:
    """However the file is written."""
    assert changed(**given) == beyond


def test_a_folder_that_is_gone_or_new_with_more_than_its_places_is_a_trespass() -> None:
    """An added folder may have only the keys that a page may set."""
    one, two = (Folder(name=name, input=Path(f"/{name}"), output=Path(f"/{name}-out")) for name in "ab")
    tagged = two.model_copy(update={"route": Route.HOSTED})
    moving = two.model_copy(update={"originals": Originals.DELETE})
    before = Settings(folder=(one,))
    assert list(admission.forbidden_changes(before, Settings(folder=(one, two)))) == []
    assert list(admission.forbidden_changes(before, Settings())) == ["folder.name"]
    assert list(admission.forbidden_changes(Settings(folder=(one, two)), Settings(folder=(two, one))))
    assert list(admission.forbidden_changes(before, Settings(folder=(one, tagged)))) == ["folder.route"]
    assert list(admission.forbidden_changes(Settings(), Settings(folder=(moving,)))) == ["folder.originals"]


TRICKS = st.sampled_from(
    [
        '"\nroute = "hosted"\n#',
        "'''\n[folder.hooks]\non_done = ['sh']\n'''",
        '"""\n[hosted]\nenabled = true\n"""',
        "white\r\nroute = 'hosted'",
        "\\u0022\\nroute",
        "\x00",
        "\ud800",
        "\u2028[[folder]]",
        "\x85route = 'hosted'",
        "/etc/passwd",
        "../../key",
        "hosted",
        "local-then-hosted",
        "overwrite",
        "delete",
        "]]\n[page]\naddress = '0.0.0.0:80'\n",
    ]
)
TEXTS = st.one_of(
    TRICKS, st.text(max_size=30), st.sampled_from(["jpeg", "png", "white", "auto", "amazon", "skip", "50%"])
)
VALUES = st.one_of(
    st.booleans(),
    st.integers(min_value=-(10**20), max_value=10**20),
    st.floats(),
    TEXTS,
    st.lists(TEXTS, max_size=3),
    st.dictionaries(TEXTS, TEXTS, max_size=2),
    st.none(),
)
ALL_KEYS = [
    "route",
    "hooks.on_done",
    "hooks",
    "rendition",
    "rendition.directory",
    "output",
    "name",
    "mode",
    "model",
    "folder.route",
    "hosted.enabled",
    "rendition.1.format",
    "rendition.1.background",
    "rendition.2.background",
    "rendition.2.preset",
    "rendition.3.format",
    "rendition.0.format",
    *(one.removeprefix("folder.") for one in admission.ADMITTED),
]
KEYS = st.one_of(st.sampled_from(ALL_KEYS), TEXTS)
HARMFUL: list[tuple[str, Any]] = [
    ("route", "hosted"),
    ("hooks.on_done", ["sh"]),
    ("originals", "delete"),
    ("on_conflict", "overwrite"),
    ("mode", "0666"),
    ("model", "mine"),
    ("output", "/elsewhere"),
    ("rendition.background", "/etc/passwd"),
    ("rendition.1.background", "/etc/passwd"),
    ("rendition.directory", "elsewhere"),
    ("include", ['"]\nroute = "hosted"\n#']),
    ("rendition.suffix", '"\n[hosted]\n'),
]
"""Keys with values that the loader accepts, or could accept."""

HARM = st.sampled_from(HARMFUL)

HARMLESS = st.sampled_from(
    [
        ("recursive", False),
        ("order", "newest"),
        ("rendition.format", "webp"),
        ("rendition.preset", "amazon"),
        ("settle_s", "3"),
    ]
)
CHANGES = st.tuples(
    st.just("change"),
    st.sampled_from(["shoot", "shoot", "catalogue", "new", "nobody"]),
    st.one_of(
        HARM.map(lambda one: dict([one])),
        HARM.map(lambda one: dict([one])),
        st.lists(st.one_of(HARMLESS, HARM), min_size=1, max_size=2).map(dict),
        st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=2).map(dict),
    ),
)
ADDITIONS = st.tuples(
    st.just("add"),
    st.fixed_dictionaries(
        {
            "input": st.one_of(TEXTS, st.sampled_from(["new-1", "new-2", "catalogue", "shoot/in"])),
            "output": st.one_of(TEXTS, st.sampled_from(["out-1", "out-2", "catalogue", "cutouts"])),
            "form": st.one_of(TEXTS, st.sampled_from([one.name for one in forms.every()])),
        },
        optional={"name": TEXTS, "existing": TEXTS, "create": VALUES, "route": TEXTS, "hooks": VALUES},
    ),
)


def harmful(path: Path) -> dict[str, Any]:
    """Return all of a configuration that a page must not change, as the loader and as TOML read it."""
    loaded = loader.load(path, {})
    written = tomllib.loads(path.read_text(encoding="utf-8"))
    known = loaded.folder[:2]
    return {
        "tables": [getattr(loaded, name) for name in OUTSIDE if hasattr(loaded, name)],
        "written": {name: written.get(name) for name in written if name != "folder"},
        "tagged": [one.name for one in loaded.folder if one.is_tagged],
        "hooks": [(one.name, one.hooks) for one in loaded.folder if one.hooks != Hooks()],
        "places": [(one.name, one.places, one.mode, one.group, one.model) for one in known],
        "deletes": [one.name for one in loaded.folder if one.originals is not Originals.KEEP],
        "overwrites": [one.name for one in loaded.folder if one.on_conflict == "overwrite"],
        "backgrounds": [picture for one in loaded.folder for picture in one.backgrounds],
        "directories": [
            two.directory
            for one in loaded.folder
            for two in one.rendition
            if two.directory not in ("", two.preset)
        ],
        "unusual": [
            key
            for one in loaded.folder[2:]
            for key in one.model_fields_set
            if f"folder.{key}" not in admission.ADMITTED
            and key not in ("name", "input", "output", "rendition", "matte")
        ],
    }


def carry_out(backend: Backend, deed: tuple[Any, ...], root: Path) -> None:
    """Send a request of a page, which may have been taken over."""
    if deed[0] == "change":
        shown = folder_settings.ENDPOINTS["folder_settings"].run(backend, {"folder": "shoot"}).data
        asked = {"folder": deed[1], "digest": shown["digest"], "changes": deed[2]}
        folder_settings.ENDPOINTS["change_settings"].run(backend, asked)
        return
    asked = dict(deed[1])
    for key in ("input", "output"):
        asked[key] = f"{root}/{asked[key]}"
    folders.ENDPOINTS["add_folder"].run(backend, asked)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=st.lists(st.one_of(CHANGES, ADDITIONS), min_size=1, max_size=4))
@example(deeds=[("change", folder, dict([one])) for folder in ("shoot", "catalogue") for one in HARMFUL])
def test_no_sequence_of_requests_tags_a_folder_or_names_a_command(
    deeds: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever values and names the web process sends; allowed settings are set, and the file loads."""
    monkeypatch.setattr(folders, "inspect", lambda _, **__: {"readable": True, "writable": True})
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory).resolve()
        monkeypatch.setenv("HOME", str(root))
        path = root / "cutoutd.toml"
        backend = backend_at(path, CONFIGURATION)
        before = harmful(path)
        for deed in deeds:
            was = path.read_bytes()
            try:
                carry_out(backend, deed, root)
            except RefusedError:
                assert path.read_bytes() == was
        assert harmful(path) == before


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=st.lists(ADDITIONS, min_size=1, max_size=3))
def test_a_first_configuration_has_nothing_but_its_folders(
    deeds: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other table, no route, no command."""
    monkeypatch.setattr(folders, "inspect", lambda _, **__: {"readable": True, "writable": True})
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory).resolve()
        monkeypatch.setenv("HOME", str(root))
        path = root / "new" / "cutoutd.toml"
        backend = backend_at(path, None)
        for deed in deeds:
            try:
                carry_out(backend, deed, root)
            except RefusedError:
                continue
        if path.exists():
            assert set(tomllib.loads(path.read_text(encoding="utf-8"))) == {"folder"}
            plain = harmful(path)
            del plain["tables"], plain["places"]
            assert not any(plain.values())
