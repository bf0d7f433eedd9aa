"""Known models: the checksum of each file, its terms, its properties, and where it is published.

A second catalog, of facts alone: none of these files is in the package. It must not fetch anything. A name proves nothing:
a file is recognised by its SHA-256, or by its MD5 where nothing better is published.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errors import ModelError, UsageError
from cutoutd.models import catalog

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.protocols import ModelSpec

FILE: Final = "known.toml"
_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Checksums:
    """Checksums of one file, hex."""

    sha256: str
    md5: str


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModel:
    """A model, as its publishers describe it.

    Attributes:
        spec: properties of the model, without the file, its size and its digest.
        file: name under which it is published.
        bytes: size in bytes; 0: not published.
        sums: checksums as published; empty where they are not.
        commercial: whether its terms allow a business to use it as it is.
        terms: summary of the terms, where the name of the licence is not enough.
        url: where it is published; empty: there is no address to fetch from.
        quality: what to expect of it.
    """

    spec: ModelSpec
    file: str
    bytes: int
    sums: Checksums
    commercial: bool
    terms: str
    url: str
    quality: str

    @property
    def name(self) -> str:
        """Name for `models fetch`, and of the added model."""
        return self.spec.name

    @property
    def proof(self) -> str:
        """Name of the checksum that identifies the file; empty if there is none."""
        return "SHA-256" if self.sums.sha256 else "MD5" if self.sums.md5 else ""

    @property
    def use(self) -> str:
        """What its terms allow, in words."""
        return self.terms or ("commercial use allowed" if self.commercial else "not for commercial use")

    def is_file(self, found: Checksums) -> bool:
        """Whether a file with these checksums is this model's."""
        if self.sums.sha256:
            return found.sha256 == self.sums.sha256
        return bool(self.sums.md5) and found.md5 == self.sums.md5


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModels:
    """All known models.

    Attributes:
        models: the models, in the order of the file.
        hosts: hosts that a fetch may be redirected to, with the port if it is not 443.
    """

    models: tuple[KnownModel, ...]
    hosts: tuple[str, ...]

    def find(self, name: str) -> KnownModel:
        """Return a model by its name.

        Raises:
            UsageError: there is none.
        """
        for model in self.models:
            if model.name == name:
                return model
        raise UsageError(
            f"no model called {name!r} is known",
            advice="`cutoutd models available` lists those that are; any other can be added from its file.",
        )

    def recognised(self, found: Checksums) -> KnownModel | None:
        """Return the model whose file has these checksums, or None."""
        return next((model for model in self.models if model.is_file(found)), None)


def read() -> KnownModels:
    """Read the facts in the package.

    Raises:
        ModelError: they are missing or cannot be read.
    """
    path = catalog.home() / FILE
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
        return KnownModels(models=tuple(map(_model, written["model"])), hosts=tuple(written["hosts"]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the list of known models cannot be read ({error})", path=path) from error


def checksums(file: Path) -> Checksums:
    """Return both checksums of a file, which is read once.

    Raises:
        OSError: it cannot be read.
    """
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with file.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            sha256.update(chunk)
            md5.update(chunk)
    return Checksums(sha256=sha256.hexdigest(), md5=md5.hexdigest())


def _model(entry: dict[str, Any]) -> KnownModel:
    return KnownModel(
        spec=catalog.spec_of(entry, sha256="", size=0),
        file=entry["file"],
        bytes=entry["bytes"],
        sums=Checksums(sha256=entry.get("sha256", ""), md5=entry.get("md5", "")),
        commercial=entry["commercial"],
        terms=entry.get("terms", ""),
        url=entry.get("url", ""),
        quality=entry["quality"],
    )
