"""Adds a model of one's own to a catalog beside the package's: its file first, then its entry, so that both are whole.

It must not load the model: whether it works is tried before, on the copy that `Addition` makes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cutoutd.errors import ModelError, UsageError
from cutoutd.fs.durable import make_directory, sync, sync_directory
from cutoutd.models import catalog

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from cutoutd.protocols import ModelSpec

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_CHUNK_BYTES: Final = 1 << 20
_MAX_BYTES: Final = 4 << 30


class Addition:
    """A model on its way into a catalog; a context manager, which leaves nothing of one that was not kept.

    Args:
        file: the ONNX file.
        described: the model, but for file, size and hash.
        directory: of the catalog; it is made if it is not there.

    Raises:
        UsageError: the name is taken, or is none; or the file cannot be read.
        ModelError: the directory cannot be written.

    Attributes:
        model: as it is to be tried, with the copy as its file.
    """

    def __init__(self, file: Path, described: ModelSpec, directory: Path) -> None:
        if not _NAME.fullmatch(described.name):
            raise UsageError(
                f"{described.name!r} is no name for a model",
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
        """Give it its name and its entry.

        Args:
            memory_mb: address space that it was seen to take; 0: not known.

        Raises:
            ModelError: the directory cannot be written.
        """
        model = replace(self.model, file=self._target, memory_mb=memory_mb)
        path = self._directory / catalog.CATALOG
        try:
            written = path.read_text(encoding="utf-8") if catalog.is_there(path) else _HEADING
            written += _entry(model)
            tomllib.loads(written)  # one that nobody can read would stop every command
            draft = path.with_name(f".{catalog.CATALOG}.new")
            with draft.open("w", encoding="utf-8") as file:
                file.write(written)
                file.flush()
                sync(file.fileno())
            self._copy.replace(self._target)
            draft.replace(path)
            sync_directory(self._directory)
        except ValueError as error:
            raise ModelError(f"it cannot be added ({error})", path=path, advice="Mend that file.") from error
        except OSError as error:
            raise ModelError(f"it cannot be added ({error.strerror})", path=path, advice="") from error
        return model

    def _copied(self, file: Path) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with file.open("rb") as source, self._copy.open("wb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > _MAX_BYTES:
                    raise UsageError(f"{file} has more than 4 GiB, and is no model that could be run here")
                digest.update(chunk)
                target.write(chunk)
            target.flush()
            sync(target.fileno())
        return digest.hexdigest(), size


_HEADING: Final = (
    "# Models of your own, written by `cutoutd models add`. `cutoutd models remove` takes one away.\n"
)


def _entry(model: ModelSpec) -> str:
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
    lines = [f"{key} = {_written(value)}" for key, value in values.items()]
    return "\n".join(("", "[[model]]", *lines, ""))


def _written(value: object) -> str:
    """As TOML has it: as JSON, but for a letter that JSON would write as two halves, and half a one, which TOML refuses."""
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return text.encode("utf-8", "replace").decode("utf-8")
