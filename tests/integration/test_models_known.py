"""Well-known models: recognised by checksum, and downloaded by one command; small models stand in for the large ones."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import ssl
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.cli import app, models_fetch
from cutoutd.models import catalog, known
from cutoutd.models.known import Checksums, KnownModel, KnownModels
from cutoutd.process import installer
from cutoutd.protocols import ModelSpec, Scale
from tests.integration import small_models
from tests.integration.publisher import Publisher, make_papers, redirected, truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.publisher import Papers

SPEC = ModelSpec(
    name="redness",
    file=Path("redness.onnx"),
    sha256="",
    bytes=0,
    input_size=small_models.SIDE,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    licence="MIT",
    source="a small model",
    scale=Scale.BYTE,
    logits=True,
    min_max=False,
)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """A certificate for localhost."""
    return make_papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Restores the environment after each test, since the command changes this process's own."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model that takes red things for the subject."""
    return small_models.save(tmp_path / "m.onnx", logits=True)


@pytest.fixture
def publisher(file: Path, papers: Papers) -> Iterator[Publisher]:
    """A server that offers that model."""
    with Publisher(file.read_bytes(), papers) as server:
        yield server


@pytest.fixture
def own(
    tmp_path: Path,
    file: Path,
    publisher: Publisher,
    papers: Papers,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The directory for models, with this one model known by its SHA-256."""
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(models_fetch, "CONTEXT", ssl.create_default_context(cafile=papers[0]))
    facts = of(file, publisher)
    monkeypatch.setattr(known, "read", lambda: facts)
    return tmp_path / "data" / "cutoutd" / "models"


def of(file: Path, publisher: Publisher, *, md5_alone: bool = False, commercial: bool = True) -> KnownModels:
    """Return the facts about the model."""
    content = file.read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    model = KnownModel(
        spec=SPEC,
        file="redness.onnx",
        bytes=0 if md5_alone else len(content),
        sums=Checksums(sha256="" if md5_alone else hashlib.sha256(content).hexdigest(), md5=md5),
        commercial=commercial,
        terms="" if commercial else "not for business",
        url=publisher.url,
        quality="sees what is red",
    )
    return KnownModels(models=(model,), hosts=(publisher.host,))


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """A function that runs the command, and returns exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["cutoutd", "models", *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def test_every_known_model_has_a_description_and_a_checksum(
    call: Callable[..., tuple[int, str, str]],
) -> None:
    """Licence, preprocessing, quality; and only models that can be checked have an address."""
    facts = known.read()
    names = [model.name for model in facts.models]
    assert len(set(names)) == len(names) >= 15
    _, listed, _ = call("available")
    for model in facts.models:
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", model.name)
        assert re.fullmatch(r"|[0-9a-f]{64}", model.sums.sha256)
        assert re.fullmatch(r"|[0-9a-f]{32}", model.sums.md5)
        assert not model.url or (model.proof and model.url.startswith("https://github.com/"))
        assert model.spec.licence in listed
        assert model.use in listed
        assert model.quality in listed
    assert re.search(r"bria-rmbg .*non-commercial use only", listed)
    assert re.search(r"birefnet-cod .*\n.*\n.*known by its MD5 alone", listed)


def test_a_known_model_is_added_without_any_option(
    own: Path, file: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    """Whatever the name of its file; an option still takes precedence."""
    odd = file.rename(file.with_name("Downloaded (1).onnx"))
    code, output, _ = call("add", str(odd))
    assert code == 0
    assert "This is redness, by its SHA-256: MIT, commercial use allowed." in output
    kept = catalog.find("redness")
    assert kept == replace(
        SPEC,
        file=own / "redness.onnx",
        sha256=hashlib.sha256(odd.read_bytes()).hexdigest(),
        bytes=odd.stat().st_size,
        memory_mb=kept.memory_mb,
    )
    assert kept.memory_mb > 0 or sys.platform != "linux"
    code, _, error = call("add", str(odd), "--name", "again", "--no-logits")
    assert code == 4
    assert "--logits" in error


def test_a_model_of_a_published_md5_is_known_by_that_alone(
    own: Path,
    file: Path,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[..., tuple[int, str, str]],
) -> None:
    """And never if a published SHA-256 differs: a file with the same MD5 can be made on purpose."""
    facts = of(file, publisher, md5_alone=True)
    monkeypatch.setattr(known, "read", lambda: facts)
    code, output, _ = call("add", str(file))
    assert code == 0
    assert "This is redness, by its MD5: MIT" in output
    assert own.is_dir()
    sums = known.checksums(file)
    forged = replace(facts.models[0], sums=Checksums(sha256="0" * 64, md5=sums.md5))
    assert replace(facts, models=(forged,)).recognised(sums) is None


def test_a_model_is_fetched_checked_tried_and_added(
    own: Path, publisher: Publisher, call: Callable[..., tuple[int, str, str]]
) -> None:
    """With one command, which names the contacted hosts; nothing else is left behind."""
    publisher.script = [redirected("/elsewhere?signed=1"), truncated(200)]
    code, output, error = call("fetch", "redness")
    assert code == 0, error
    assert "MB, 9" in error  # it breaks off only a little before the end
    assert f"from {publisher.url}" in output
    assert f"contacted {publisher.host}: redirected" in output
    assert "its SHA-256 is as published" in output
    assert "agreement on the trial picture" in output
    assert sorted(one.name for one in own.iterdir()) == ["catalog.toml", "redness.onnx"]
    catalog.verify(catalog.find("redness"))
    publisher.asked.clear()
    code, _, error = call("fetch", "redness")
    assert (code, publisher.asked) == (2, [])
    assert "is here already" in error


def test_an_altered_file_is_thrown_away_before_anything_loads_it(
    own: Path,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[..., tuple[int, str, str]],
) -> None:
    """One byte is enough."""
    monkeypatch.setattr(models_fetch, "take", lambda *_, **__: pytest.fail("it was tried"))
    publisher.content = publisher.content[:-1] + b"!"
    code, _, error = call("fetch", "redness")
    assert code == 4
    assert "what came is another file" in error
    assert list(own.iterdir()) == []


def test_terms_that_forbid_commercial_use_are_accepted_before_any_request(
    own: Path,
    file: Path,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[..., tuple[int, str, str]],
) -> None:
    """With an option, if there is no terminal."""
    facts = of(file, publisher, commercial=False)
    monkeypatch.setattr(known, "read", lambda: facts)
    code, output, error = call("fetch", "redness")
    assert code == 2
    assert "redness is under MIT: not for business." in output
    assert "--accept-licence" in error
    assert (publisher.asked, own.exists()) == ([], False)
    code, _, _ = call("fetch", "redness", "--accept-licence")
    assert code == 0


def test_without_a_network_the_manual_steps_are_printed(
    own: Path, publisher: Publisher, call: Callable[..., tuple[int, str, str]]
) -> None:
    """The steps say what to download where, and how to add the file."""
    publisher.__exit__(None, None, None)
    code, output, error = call("fetch", "redness")
    assert code == 4
    assert "cannot be reached" in error
    assert f"download {publisher.url} where there is a network" in error
    assert "cutoutd models add redness.onnx (it is known by its SHA-256)" in error
    assert f"contacted {publisher.host}: it cannot be reached" in output
    assert list(own.iterdir()) == []


def test_without_the_extra_the_install_command_is_printed(
    own: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., tuple[int, str, str]]
) -> None:
    """Or how to do without it."""
    monkeypatch.setattr(models_fetch, "find_spec", lambda name: None if name == "httpcore" else name)
    monkeypatch.setattr(installer, "installer", lambda: installer.Installer.PIP)
    code, _, error = call("fetch", "redness")
    assert code == 2
    assert 'pip install "cutoutd[hosted]"' in error
    assert "cutoutd models add redness.onnx" in error
    assert not own.exists()


def test_a_model_that_cannot_be_verified_is_not_downloaded(call: Callable[..., tuple[int, str, str]]) -> None:
    """A model without a checksum or address, and an unknown one."""
    for name, message in (
        ("ben2", "no checksum of it is published"),
        ("withoutbg-open", "no address of it is known"),
        ("nothing", "no model called 'nothing' is known"),
    ):
        code, _, error = call("fetch", name)
        assert code == 2
        assert message in error


@pytest.mark.parametrize("name", ["ben2", "modnet", "rmbg-1.4"])
def test_a_model_without_a_checksum_is_added_by_the_options_that_are_printed(
    call: Callable[..., tuple[int, str, str]], name: str
) -> None:
    """`add` cannot recognise such a file, and would use the preprocessing of U2-Net."""
    spec = next(model.spec for model in known.read().models if model.name == name)
    code, _, error = call("fetch", name)
    assert code == 2
    command = error.partition("cutoutd models add ")[2]
    for option in (f"--size {spec.input_size}", f"--mean {spec.mean[0]},", f"--scale {spec.scale.value}"):
        assert option in command
    _, listed, _ = call("available")
    assert f"--name {name} --size {spec.input_size}" in listed


def test_the_verified_file_is_the_added_one(
    own: Path, call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is swapped in after the comparison is refused, and not added under the model's name."""
    fetched = models_fetch._fetch_checked  # noqa: SLF001 -- the moment that is meant lies behind it

    def swapped(model: KnownModel, facts: KnownModels, directory: Path) -> tuple[Path, Checksums]:
        path, sums = fetched(model, facts, directory)
        path.write_bytes(b"another model")
        return path, sums

    monkeypatch.setattr(models_fetch, "_fetch_checked", swapped)
    code, _, error = call("fetch", "redness")
    assert code == 2
    assert "it was written to while it was read" in error
    assert not (own / "redness.onnx").exists()


def test_a_checksum_that_cannot_be_computed_is_no_internal_error(
    own: Path, call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the failing disk and the file."""

    def failing(_: Path) -> Checksums:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(known, "checksums", failing)
    code, _, error = call("fetch", "redness")
    assert code == 4
    assert "it cannot be read (Input/output error)" in " ".join(error.split())
    assert own.exists()
