"""Sidecars are input from outside: replay always answers with a message, and prints nothing unescaped."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cutoutd import replay as module
from cutoutd.cli.replay import replay as command
from cutoutd.errors import CutoutdError
from cutoutd.jobs import Cut, Quality, SourceFacts
from cutoutd.models import catalog
from cutoutd.publish.sidecar import SCHEMA
from cutoutd.settings.digest import settings_sha256
from cutoutd.settings.schema import Folder, Settings
from tests.integration.parts import digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JPEG = b"\xff\xd8\xff a picture"
NASTY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["\x1b[2J", "\a", "../../etc/passwd", "/etc/passwd", "a\0b", "\ud800", "x" * 5000, "a//b"]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a picture whose cut is replaced by a fixed result."""
    created = tmp_path_factory.mktemp("replay")
    (created / "in").mkdir()
    (created / "in" / "a.jpg").write_bytes(JPEG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "confine", lambda _: ())
        patch.setattr(module, "_cut", lambda *_, **__: (_nothing(), None))
        yield created


def _nothing() -> Cut:
    """Return a cut without results."""
    return Cut(
        source=SourceFacts(bytes=1, sha256="", width=1, height=1, format="JPEG", orientation=1),
        staged=(),
        quality=Quality(score=1.0, reasons=()),
        review=False,
        timings_ms={},
        warnings=(),
    )


def configuration(root: Path) -> Settings:
    """Return settings with the one folder."""
    return Settings(folder=(Folder(name="shop", input=root / "in", output=root / "out"),))


def sidecar(root: Path) -> dict[str, Any]:
    """Return a sidecar as the daemon writes it."""
    chosen = configuration(root)
    model = catalog.find(chosen.model.name)
    return {
        "schema": SCHEMA,
        "folder": "shop",
        "source": {"path": "a.jpg", "sha256": digest(JPEG)},
        "outputs": [{"path": "a.png", "sha256": "0" * 64}],
        "model": {"name": model.name, "sha256": model.sha256, "provider": "cpu"},
        "settings_sha256": settings_sha256(chosen.folder[0], model.name),
        "runtime": {"cutoutd": "0", "onnxruntime": "0", "python": "0"},
        "egress": None,
    }


def places(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 -- JSON
    """Yield the path of every value in a document."""
    if above:
        yield above
    items = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for key, value in items:
        yield from places(value, (*above, key))


def answer(root: Path, document: object) -> str:
    """Run the command; return its output after checking that it is no traceback."""
    path = root / "x.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr("cutoutd.cli.replay.find_settings", lambda *_: configuration(root))
        try:
            command(path)
        except typer.Exit as end:
            assert end.exit_code in (0, 1)  # noqa: PT017 -- the exit is the command's usual end
        except CutoutdError as error:
            return f"{error.title}: {error}"
    return out.getvalue()


def test_a_sidecar_of_ours_is_understood(root: Path) -> None:
    """Otherwise the fuzzing would prove nothing."""
    output = answer(root, sidecar(root))
    assert "a.png: DIFFERENT" in output
    assert "onnxruntime was 0" in output


@given(data=st.data())
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_sidecar_contains_is_answered_with_a_message(root: Path, data: st.DataObject) -> None:
    """One to three of its values are replaced by anything."""
    document = sidecar(root)
    for _ in range(data.draw(st.integers(1, 3))):
        *above, last = data.draw(st.sampled_from(list(places(document))))
        there: Any = document
        for key in above:
            there = there[key]
        if data.draw(st.booleans()) or not isinstance(there, dict):
            there[last] = data.draw(NASTY)
        else:
            del there[last]
    answer(root, document)


def test_nothing_is_printed_raw(root: Path) -> None:
    """A name or a version may contain control characters."""
    document = sidecar(root)
    document["outputs"] = [{"path": "\x1b[2J\a.png", "sha256": "0" * 64}]
    document["runtime"]["python"] = "\x1b]0;owned\a"
    output = answer(root, document)
    assert "\x1b" not in output
    assert "\a" not in output
    assert "\\x1b[2J" in output
