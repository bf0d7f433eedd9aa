"""Added models, in a separate catalog. A file is added before its entry, and an entry removed before its file.

Other entries of the catalog are kept as they are written, and the models of the package are not touched. It must not load
the model: it is tried before, on the copy that `Addition` makes.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import tomlkit
from tomlkit.items import AoT

from cutoutd.errors import ModelError, UsageError
from cutoutd.fs.atomic_write import atomic_write, hidden_draft
from cutoutd.fs.durable import make_directory, sync, sync_directory
from cutoutd.models import catalog
from cutoutd.settings import places

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from tomlkit import TOMLDocument
    from tomlkit.items import Table

    from cutoutd.protocols import ModelSpec

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_CHUNK_BYTES: Final = 1 << 20
_MAX_BYTES: Final = 4 << 30
_MODE: Final = 0o644


class Addition:
    """A model that is being added; a context manager, which removes the copy unless it was kept.

    Args:
        file: the ONNX file.
        described: the model, without file, size and digest.
        directory: directory of the catalog, created if it is missing.

    Raises:
        UsageError: the name is taken or invalid, or the file cannot be read.
        ModelError: the directory cannot be written.

    Attributes:
        model: the model to try, with the copy as its file.
    """

    def __init__(self, file: Path, described: ModelSpec, directory: Path) -> None:
        if not _NAME.fullmatch(described.name):
            raise UsageError(
                f"{described.name!r} is not a name for a model",
                advice="Give one with --name: small letters, digits, dots, dashes and underlines, at most 64.",
            )
        if any(model.name == described.name for model in catalog.read()):
            raise UsageError(
                f"there is a model called {described.name!r} already", advice="Give another name with --name."
            )
        self._directory = directory
        self._target = directory / f"{described.name}.onnx"
        self._copy = directory / f".{described.name}.onnx.new"
        try:
            make_directory(directory, parents=True)
            sha256, size = self._copied(file)
        except OSError as error:
            where = file if error.filename == os.fspath(file) else directory
            raise ModelError(f"it cannot be copied ({error.strerror})", path=where, advice="") from error
        self.model = replace(described, file=self._copy, sha256=sha256, bytes=size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._copy.unlink(missing_ok=True)

    def keep(self, *, memory_mb: int = 0) -> ModelSpec:
        """Give the file its final name and add the entry.

        Args:
            memory_mb: address space that the model took in the trial, MiB; 0: unknown.

        Raises:
            ModelError: the directory cannot be written.
        """
        model = replace(self.model, file=self._target, memory_mb=memory_mb)
        path = self._directory / catalog.CATALOG
        try:
            written = tomlkit.parse(path.read_text("utf-8") if catalog.is_there(path) else _HEADING)
            written.setdefault("model", tomlkit.aot()).append(_entry(model))
            self._copy.replace(self._target)
            _write(path, written)
        except ValueError as error:
            raise ModelError(
                f"it cannot be added ({error})", path=path, advice="Correct that file."
            ) from error
        except OSError as error:
            raise ModelError(f"it cannot be added ({error.strerror})", path=path, advice="") from error
        return model

    def _copied(self, file: Path) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with file.open("rb") as source, self._copy.open("wb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > _MAX_BYTES:
                    raise UsageError(f"{file} has more than 4 GiB, and is not a model that could be run here")
                digest.update(chunk)
                target.write(chunk)
            target.flush()
            sync(target.fileno())
        return digest.hexdigest(), size


_HEADING: Final = (
    "# Models of your own, written by `cutoutd models add`. `cutoutd models remove` takes one away.\n"
)


def _entry(model: ModelSpec) -> Table:
    """Return the table of a model; lone surrogates, which TOML refuses, become question marks."""
    values = {
        "name": model.name,
        "file": model.file.name,
        "sha256": model.sha256,
        "bytes": model.bytes,
        "input_size": model.input_size,
        "mean": list(model.mean),
        "std": list(model.std),
        "scale": model.scale.value,
        "output": model.output,
        "logits": model.logits,
        "min_max": model.min_max,
        "letterbox": model.letterbox,
        "memory_mb": model.memory_mb,
        "inputs": [list(one) for one in model.inputs],
        "licence": model.licence,
        "source": model.source,
    }
    table = tomlkit.table()
    for key, value in values.items():
        table.add(key, value.encode("utf-8", "replace").decode() if isinstance(value, str) else value)
    return table


def _write(path: Path, written: TOMLDocument) -> None:
    """Write the catalog, synced and readable for all users.

    Raises:
        ValueError: the text would not be valid TOML.
        OSError: the disk refuses.
    """
    text = tomlkit.dumps(written)
    tomllib.loads(text)  # an invalid catalog would make every command fail
    atomic_write(path, [text.encode()], synced=True, mode=_MODE, draft=hidden_draft(path))


def remove(name: str) -> Path:
    """Remove an added model.

    Args:
        name: name of the model.

    Returns:
        The path of its file, which is removed if no other entry uses it.

    Raises:
        UsageError: there is no such model, or it is not an added one.
        ModelError: the catalog cannot be read or written, or the entry is ambiguous.
    """
    model = catalog.find(name)
    directory = next((one for one in places.model_dirs() if model.file.parent == one), None)
    if directory is None:
        raise UsageError(
            f"the model {name!r} was not added by `cutoutd models add`",
            path=model.file,
            advice="Only models of your own can be removed.",
        )
    path = directory / catalog.CATALOG
    try:
        written = tomlkit.parse(path.read_text("utf-8"))
        entries = written["model"]
        assert isinstance(entries, AoT)  # noqa: S101 -- the catalog was read above
        entries.remove(next(one for one in entries if one["name"] == name))
        if entries:
            _write(path, written)
        else:
            path.unlink()
        sync_directory(directory)
        if not any(one["file"] == model.file.name for one in entries):
            model.file.unlink(missing_ok=True)
            sync_directory(directory)
    except ValueError as error:
        raise ModelError(f"it cannot be removed ({error})", path=path, advice="Correct that file.") from error
    except OSError as error:
        raise ModelError(f"it cannot be removed ({error.strerror})", path=path, advice="") from error
    return model.file
