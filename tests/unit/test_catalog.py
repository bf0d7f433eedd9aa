"""The catalog of models: missing, altered and broken files are reported by name."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import ModelError
from cutoutd.models import catalog
from cutoutd.settings.schema import ModelSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WEIGHTS = b"weights"
ENTRY = {
    "name": '"one"',
    "file": '"one.onnx"',
    "sha256": f'"{hashlib.sha256(WEIGHTS).hexdigest()}"',
    "bytes": "7",
    "input_size": "320",
    "mean": "[0.1, 0.2, 0.3]",
    "std": "[1.0, 1.0, 1.0]",
    "licence": '"MIT"',
    "source": '"here"',
}


def entry(**other: str) -> str:
    """Return a model's table in TOML."""
    return "[[model]]\n" + "\n".join(f"{key} = {value}" for key, value in {**ENTRY, **other}.items()) + "\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A function that makes a directory of models with this catalog and one model's weights."""

    def make(text: str) -> Path:
        (tmp_path / "catalog.toml").write_text(text, encoding="utf-8")
        (tmp_path / "one.onnx").write_bytes(WEIGHTS)
        return tmp_path

    monkeypatch.setattr(catalog, "_HOMES", (tmp_path / "not-here", tmp_path))
    return make


def test_the_models_of_the_package_are_there_and_whole() -> None:
    """Above all the default model, for which nothing is downloaded."""
    models = catalog.read()
    assert ModelSettings().name in {model.name for model in models}
    for model in models:
        catalog.verify(model)
        assert model.file.stat().st_size == model.bytes
        assert (len(model.mean), len(model.std)) == (3, 3)


def test_a_model_is_found_by_its_name(home: Callable[[str], Path]) -> None:
    """With its file beside the catalog."""
    directory = home(entry() + entry(name='"two"', input_size="512"))
    model = catalog.find("two")
    assert (model.name, model.input_size, model.mean) == ("two", 512, (0.1, 0.2, 0.3))
    assert model.file == directory / "one.onnx"
    catalog.verify(model)


def test_an_unknown_model_is_refused_with_the_known_ones(home: Callable[[str], Path]) -> None:
    """So that the setting can be corrected."""
    home(entry() + entry(name='"two"'))
    with pytest.raises(ModelError, match=r"no model called 'three'.*There are: one, two"):
        catalog.find("three")


def test_altered_weights_are_refused(home: Callable[[str], Path]) -> None:
    """One bit is enough; the message has the file and both hashes."""
    directory = home(entry())
    model = catalog.find("one")
    altered = bytes([WEIGHTS[0] ^ 1]) + WEIGHTS[1:]
    (directory / "one.onnx").write_bytes(altered)
    with pytest.raises(ModelError) as raised:
        catalog.verify(model)
    assert raised.value.path == model.file
    assert hashlib.sha256(altered).hexdigest()[:16] in raised.value.cause
    assert model.sha256[:16] in raised.value.cause


def test_weights_that_are_missing_are_refused(home: Callable[[str], Path]) -> None:
    """The message has the file's name and the system's reason."""
    directory = home(entry())
    (directory / "one.onnx").unlink()
    with pytest.raises(ModelError, match=r"one\.onnx.*No such file"):
        catalog.verify(catalog.find("one"))


def test_a_directory_in_the_place_of_weights_is_refused(home: Callable[[str], Path]) -> None:
    """It cannot be read as a file."""
    directory = home(entry())
    (directory / "one.onnx").unlink()
    (directory / "one.onnx").mkdir()
    with pytest.raises(ModelError, match=r"one\.onnx"):
        catalog.verify(catalog.find("one"))


def test_without_a_catalog_the_place_it_should_be_in_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a package was installed in part."""
    monkeypatch.setattr(catalog, "_HOMES", (tmp_path / "weights", tmp_path / "models"))
    with pytest.raises(ModelError, match=r"weights/catalog\.toml.*not there"):
        catalog.read()


@pytest.mark.parametrize(
    "text",
    [
        "[[model]\n",
        "",
        "model = 3\n",
        'model = "one"\n',
        "model = [1, 2]\n",
        '[model]\nname = "one"\n',
        "[[model]]\nname = 'one'\n",
        entry(mean="3"),
        entry(file="7"),
        entry(file="[]"),
        entry().replace("sha256", "sha512"),
    ],
)
def test_a_broken_catalog_is_refused_by_name(home: Callable[[str], Path], text: str) -> None:
    """Whether it is invalid TOML or has wrong entries."""
    directory = home(text)
    with pytest.raises(ModelError, match="cannot be read") as raised:
        catalog.read()
    assert raised.value.path == directory / "catalog.toml"


def test_a_catalog_that_is_not_utf8_is_refused_by_name(home: Callable[[str], Path]) -> None:
    """As after a disk's fault."""
    directory = home(entry())
    (directory / "catalog.toml").write_bytes(b"\xff\xfe\x00[[model]]")
    with pytest.raises(ModelError, match="cannot be read"):
        catalog.read()
