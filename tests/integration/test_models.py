"""A user's own models, small real ones: tried inside the sandbox, described, kept."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cutoutd.cli import app
from cutoutd.cli.registry import Invocation, registered
from cutoutd.engine.matting.matte_model import AUTO, PROVIDERS, MatteModel
from cutoutd.errors import ModelError, UsageError
from cutoutd.models import catalog
from cutoutd.models.own import Addition, remove
from cutoutd.pool import model_trial
from cutoutd.protocols import ModelSpec, Scale
from cutoutd.settings import places
from cutoutd.settings.types import ExecutionProvider
from tests.integration import small_models

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

MEMORY_MB = 3072
SPEC = ModelSpec(
    name="redness",
    file=Path("/nowhere"),
    sha256="",
    bytes=0,
    input_size=small_models.SIDE,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    licence="MIT",
    source="here",
    scale=Scale.BYTE,
    min_max=False,
)


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for a user's models."""
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "cutoutd" / "models"


def red_and_grey() -> np.ndarray:
    """Return a picture that is half red, half grey; uint8 (80, 100, 3)."""
    rgb = np.full((80, 100, 3), 128, np.uint8)
    rgb[:, :50] = (200, 30, 20)
    return rgb


FORMS: list[tuple[dict[str, bool | int], dict[str, bool | int]]] = [
    ({}, {}),
    ({"half": True}, {}),
    ({"dynamic": True}, {"input_size": 96}),
    ({"logits": True}, {"logits": True}),
    ({"outputs": 3}, {"output": 2}),
    (
        {"half": True, "dynamic": True, "logits": True, "outputs": 2},
        {"logits": True, "output": 1, "input_size": 48},
    ),
]


@pytest.mark.parametrize(("form", "described"), FORMS)
def test_a_model_in_any_form_finds_what_is_red(
    tmp_path: Path, form: dict[str, bool], described: dict[str, int]
) -> None:
    """16 or 32 bits, of fixed or any size, with or without a sigmoid, and whichever output is the matte."""
    file = small_models.save(tmp_path / "m.onnx", **form)
    model = MatteModel(replace(SPEC, file=file, **described), provider="cpu")  # type: ignore[arg-type]
    matte = model.predict(red_and_grey())
    side = described.get("input_size", small_models.SIDE)
    assert matte.shape == (side, side)
    assert matte.dtype == np.dtype(np.float32)
    assert matte[:, : side // 2 - 3].min() > 0.95
    assert matte[:, side // 2 + 3 :].max() < 0.2


def test_further_inputs_are_filled_with_the_described_values(tmp_path: Path) -> None:
    """In video models they carry the state of earlier frames; a single picture has none."""
    file = small_models.save_with_inputs(tmp_path / "m.onnx")
    plain = MatteModel(replace(SPEC, file=small_models.save(tmp_path / "p.onnx")), provider="cpu")
    inputs = (("state", 0.25), ("ratio", 0.5), ("frame", -1.0))
    model = MatteModel(replace(SPEC, file=file, inputs=inputs), provider="cpu")
    assert np.allclose(model.output(red_and_grey()), plain.output(red_and_grey()) - 0.25)


@pytest.mark.parametrize("is_tall", [False, True])
def test_a_letterboxed_model_sees_the_picture_in_its_own_proportions(tmp_path: Path, is_tall: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """At the top left of a black square; only the part of its matte that shows the picture is used."""
    file = small_models.save(tmp_path / "m.onnx", dark=True)  # black counts as subject: the canvas must not
    model = MatteModel(replace(SPEC, file=file, letterbox=True), provider="cpu")
    rgb = np.full((50, 100, 3), 255, np.uint8)
    rgb[:, :50] = 0
    matte = model.predict(rgb.transpose(1, 0, 2).copy() if is_tall else rgb)
    side = small_models.SIDE
    assert matte.shape == ((side, side // 2) if is_tall else (side // 2, side))
    matte = matte.T if is_tall else matte
    assert matte[:, : side // 2 - 3].min() > 0.95
    assert matte[:, side // 2 + 3 :].max() < 0.05


@pytest.mark.parametrize(("form", "described"), FORMS[::5])
def test_a_model_is_tried_behind_the_sandbox(
    tmp_path: Path, form: dict[str, bool], described: dict[str, int]
) -> None:
    """The model finds the ball of the trial picture, and its time is measured."""
    file = small_models.save(tmp_path / "m.onnx", **form)
    found = model_trial.try_model(
        replace(SPEC, file=file, **described),  # type: ignore[arg-type]
        provider="auto",
        memory_mb=MEMORY_MB,
    )
    assert found.overlap > 0.9
    assert found.provider == "cpu"
    assert 0 < found.seconds < 10
    assert 0 <= found.low < found.high <= 1


@pytest.mark.parametrize(
    ("make", "described", "message"),
    [
        (lambda file: file.write_bytes(b"no model"), {}, "does not load"),
        (lambda file: small_models.save(file, logits=True), {}, "its output goes from -"),
        (small_models.save, {"output": 1}, "it has 1 outputs, and none of number 1"),
        (
            small_models.save,
            {"input_size": 320},
            "it takes pictures 1, colours 3, rows 64",
        ),
        (
            lambda file: small_models.save(file, logits=True, poisoned=float("nan")),
            {"logits": True},
            "values that are not numbers",
        ),
        (lambda file: small_models.save_reaching_out(file, "/etc/passwd"), {}, "weights in another file"),
        (lambda file: small_models.save_reaching_out(file, "../weights"), {}, "weights in another file"),
        (lambda file: small_models.save_reaching_out(file, "beside"), {}, "weights in another file"),
        (small_models.save_with_inputs, {}, "it does not take one picture in float32"),
        (
            small_models.save_with_inputs,
            {"inputs": (("state", 0), ("ratio", 0), ("frame", 0), ("none", 1.0))},
            "it has no input 'none'",
        ),
        (small_models.save_ravenous, {}, "does not"),
    ],
    ids=[
        "text",
        "logits",
        "outputs",
        "size",
        "nan",
        "passwd",
        "parent",
        "beside",
        "inputs",
        "other",
        "ravenous",
    ],
)
def test_a_model_that_is_none_or_wrongly_described_is_refused_with_a_reason(
    tmp_path: Path, make: Callable[[Path], object], described: dict[str, int], message: str
) -> None:
    """Damaged, hostile, or of another kind than described; none of them harms this process."""
    file = tmp_path / "m.onnx"
    make(file)
    (tmp_path.parent / "weights").write_bytes(bytes(12))
    (tmp_path / "beside").write_bytes(bytes(12))
    with pytest.raises(ModelError, match=message):
        model_trial.try_model(replace(SPEC, file=file, **described), provider="cpu", memory_mb=MEMORY_MB)  # type: ignore[arg-type]


def test_a_model_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or takes too long for a trial."""
    monkeypatch.setattr(model_trial, "TIMEOUT_S", 0.01)
    with pytest.raises(ModelError, match="longer than"):
        model_trial.try_model(
            replace(SPEC, file=small_models.save(tmp_path / "m.onnx")), provider="cpu", memory_mb=MEMORY_MB
        )


def test_a_named_provider_that_is_not_there_stops_with_advice(tmp_path: Path) -> None:
    """There is never a silent fallback."""
    file = small_models.save(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="rocm") as caught:
        MatteModel(replace(SPEC, file=file), provider="rocm")
    assert "Set [model] provider to one of: auto, cpu" in caught.value.advice


def test_a_model_that_is_kept_is_found_by_its_name(tmp_path: Path, own: Path) -> None:
    """As described, complete, after those of the package; nothing else is left behind."""
    file = small_models.save(tmp_path / "m.onnx", logits=True)
    described = replace(SPEC, logits=True, licence='of "mine"\n', source="a \u00e9 b")
    with Addition(file, described, own) as addition:
        assert addition.model.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        kept = addition.keep()
    assert catalog.find("redness") == kept
    assert kept == replace(
        described, file=own / "redness.onnx", sha256=addition.model.sha256, bytes=file.stat().st_size
    )
    catalog.verify(kept)
    assert sorted(path.name for path in own.iterdir()) == ["catalog.toml", "redness.onnx"]
    with Addition(file, replace(SPEC, name="other"), own) as addition:
        addition.keep()
    assert [model.name for model in catalog.read()] == ["u2net-int8", "redness", "other"]


def test_a_model_that_is_not_kept_leaves_nothing(tmp_path: Path, own: Path) -> None:
    """Neither a file nor an entry."""
    file = small_models.save(tmp_path / "m.onnx")
    with pytest.raises(ModelError), Addition(file, SPEC, own):
        raise ModelError("it was no good")
    assert list(own.iterdir()) == []


@pytest.mark.parametrize("name", ["u2net-int8", "", "A b", "../up", "a/b", ".hidden"])
def test_a_name_that_is_taken_or_none_is_refused(tmp_path: Path, own: Path, name: str) -> None:
    """The package's model cannot be replaced, and a name is not a path."""
    file = small_models.save(tmp_path / "m.onnx")
    with pytest.raises(UsageError):
        Addition(file, replace(SPEC, name=name), own)
    assert not own.exists()


def test_a_name_of_the_packages_in_ones_own_catalog_means_the_packages(tmp_path: Path, own: Path) -> None:
    """Anybody who can write there cannot change the default model."""
    own.mkdir(parents=True)
    entry = (catalog.home() / "catalog.toml").read_text(encoding="utf-8")
    (own / "catalog.toml").write_text(entry, encoding="utf-8")
    assert os.fspath(catalog.find("u2net-int8").file).startswith(os.fspath(catalog.home()))
    assert tmp_path in own.parents


def test_an_own_catalog_that_cannot_be_read_is_named(own: Path) -> None:
    """The catalog is not ignored: a folder's model may be in it."""
    own.mkdir(parents=True)
    (own / "catalog.toml").write_text("[[model]\n", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be read") as caught:
        catalog.read()
    assert caught.value.path == own / "catalog.toml"


def test_a_model_is_removed_with_its_file_and_nothing_else_changes(tmp_path: Path, own: Path) -> None:
    """A comment of the user stays; the last removal also removes the catalog, and a model can be added again."""
    file = small_models.save(tmp_path / "m.onnx")
    for name in ("redness", "other"):
        with Addition(file, replace(SPEC, name=name), own) as addition:
            addition.keep()
    path = own / "catalog.toml"
    path.write_text("# mine\n" + path.read_text(encoding="utf-8") + "# to the end\n", encoding="utf-8")
    assert remove("redness") == own / "redness.onnx"
    assert [model.name for model in catalog.read()] == ["u2net-int8", "other"]
    assert path.read_text(encoding="utf-8").startswith("# mine\n")
    assert path.read_text(encoding="utf-8").endswith("# to the end\n")
    assert sorted(one.name for one in own.iterdir()) == ["catalog.toml", "other.onnx"]
    remove("other")
    assert list(own.iterdir()) == []
    with Addition(file, SPEC, own) as addition:
        addition.keep()
    assert catalog.find("redness").file == own / "redness.onnx"


def test_only_models_of_ones_own_can_be_removed(tmp_path: Path, own: Path) -> None:
    """Neither the packaged one, nor a missing one, nor a file elsewhere that an entry names."""
    for name in ("u2net-int8", "nowhere"):
        with pytest.raises((UsageError, ModelError)):
            remove(name)
    with Addition(small_models.save(tmp_path / "m.onnx"), SPEC, own) as addition:
        addition.keep()
    path = own / "catalog.toml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("redness.onnx", "../../../m.onnx"), encoding="utf-8"
    )
    with pytest.raises(UsageError):
        remove("redness")
    assert (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("named", ['model = "redness"', '[model]\nsecond = "redness"'])
def test_a_model_that_the_configuration_names_stays(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], named: str
) -> None:
    """For a folder, for all, or as the second one; otherwise the next start would fail."""
    with Addition(small_models.save(tmp_path / "m.onnx"), SPEC, own) as addition:
        addition.keep()
    config = tmp_path / "c.toml"
    config.write_text(
        f'[[folder]]\nname = "a"\ninput = "{tmp_path}/in"\noutput = "{tmp_path}/out"\n{named}\n'
    )
    monkeypatch.setattr("sys.argv", ["cutoutd", "models", "remove", "redness", "--config", str(config)])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == app.EXIT_USAGE
    assert "is named in the configuration" in capsys.readouterr().err
    assert catalog.find("redness").name == "redness"


@pytest.mark.parametrize(
    ("source", "shown"),
    [("a \U0001f600", "a \U0001f600"), ("mod-\udcff.onnx", "mod-?.onnx"), ("\x7f\x1b", "\x7f\x1b")],
)
def test_an_entry_can_be_read_whatever_its_file_is_called(
    tmp_path: Path, own: Path, source: str, shown: str
) -> None:
    """Letters beyond the first 65536, names that are not UTF-8, and control characters: the catalog stays readable."""
    with Addition(small_models.save(tmp_path / "m.onnx"), replace(SPEC, source=source), own) as addition:
        addition.keep()
    assert catalog.find("redness").source == shown


def answering(monkeypatch: pytest.MonkeyPatch, **output: object) -> None:
    """Let the process of the trial print something, as a hostile model could."""
    figures = {"seconds": 0.1, "low": 0.0, "high": 1.0, "overlap": 1.0, "memory_mb": 1.0, "provider": "cpu"}

    def run(*_: object, stdout: BinaryIO, **__: object) -> subprocess.CompletedProcess[bytes]:
        stdout.write(json.dumps(figures | output).encode())
        return subprocess.CompletedProcess([], 0)

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.parametrize(
    "printed",
    [
        {"provider": "\x1b]0;owned\x07"},
        {"provider": ["cpu"]},
        {"memory_mb": 1e30},
        {"memory_mb": -3000},
        {"memory_mb": MEMORY_MB + 1},
        {"seconds": -1},
    ],
)
def test_output_that_no_honest_trial_prints_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: dict[str, object]
) -> None:
    """The model may control the process: its output must not reach the terminal or a worker's memory limit."""
    answering(monkeypatch, **printed)
    with pytest.raises(ModelError, match="gave no result"):
        model_trial.try_model(replace(SPEC, file=tmp_path / "m"), provider="cpu", memory_mb=MEMORY_MB)


def test_nothing_of_a_catalog_reaches_the_terminal_but_as_letters(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anybody may have written licence and source; the whole line is escaped."""
    described = replace(SPEC, source="\x1b]0;owned\x07", licence="\x1b[31m")
    with Addition(small_models.save(tmp_path / "m.onnx"), described, own) as addition:
        addition.keep()
    monkeypatch.setattr("sys.argv", ["cutoutd", "models", "list", "--no-time"])
    with pytest.raises(SystemExit):
        app.main()
    output = capsys.readouterr().out
    assert "\\x1b]0;owned" in output
    assert "\x1b" not in output


def test_a_model_of_a_daemon_that_runs_stays(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even if that was started with another configuration than the one of this command."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Addition(small_models.save(tmp_path / "m.onnx"), SPEC, own) as addition:
        addition.keep()
    config = tmp_path / "other.toml"
    config.write_text(
        f'[[folder]]\nname = "a"\ninput = "{tmp_path}/in"\noutput = "{tmp_path}/out"\nmodel = "redness"\n'
    )
    monkeypatch.setattr("sys.argv", ["cutoutd", "models", "remove", "redness"])
    origin = Invocation(config=config)
    with (
        registered(places.registry(), tmp_path / "s", origin, now_us=1),
        pytest.raises(SystemExit) as ended,
    ):
        app.main()
    assert ended.value.code == app.EXIT_USAGE
    assert "other.toml" in capsys.readouterr().err
    assert catalog.find("redness").name == "redness"


def test_every_provider_can_be_configured() -> None:
    """And each that can be configured is known to the engine."""
    assert {AUTO, *PROVIDERS} == set(ExecutionProvider)
