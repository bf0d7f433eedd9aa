"""Models that people know: what each file is, by its checksum; its terms, what it expects, and where it is published.

A second catalog, of facts alone: none of these files comes with the package. It must not fetch anything, and a name is no
proof: a file is known by its SHA-256, or by its MD5 where nothing better is published.
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
    """Of one file, hex."""

    sha256: str
    md5: str


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModel:
    """One model, as its publishers describe it.

    Attributes:
        spec: what it expects; without the file, its size and its hash.
        file: name under which it is published.
        bytes: its size; 0: not published.
        sums: as they are published; empty where they are not.
        commercial: its terms let a business use it as it is.
        terms: what they say, where that needs more words than the licence's name.
        url: where it is published; empty: no address that could be fetched from.
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
        """As `models fetch` takes it, and what it is called once it is here."""
        return self.spec.name

    @property
    def proof(self) -> str:
        """By what a file is known to be this one, in words; empty if by nothing."""
        return "SHA-256" if self.sums.sha256 else "MD5" if self.sums.md5 else ""

    @property
    def use(self) -> str:
        """What its terms allow, in words."""
        return self.terms or ("commercial use allowed" if self.commercial else "not for commercial use")

    def is_file(self, found: Checksums) -> bool:
        """Whether a file of these sums is this model's."""
        if self.sums.sha256:
            return found.sha256 == self.sums.sha256
        return bool(self.sums.md5) and found.md5 == self.sums.md5


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModels:
    """All of them.

    Attributes:
        models: in the order of the file.
        hosts: where a fetch may be sent on to: host, and port if it is not 443.
    """

    models: tuple[KnownModel, ...]
    hosts: tuple[str, ...]

    def find(self, name: str) -> KnownModel:
        """One by its name.

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
        """The model whose file has these sums."""
        return next((model for model in self.models if model.is_file(found)), None)


def read() -> KnownModels:
    """Read the facts that come with the package.

    Raises:
        ModelError: they are not there or not readable.
    """
    path = catalog.home() / FILE
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
        return KnownModels(models=tuple(map(_model, written["model"])), hosts=tuple(written["hosts"]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the list of known models cannot be read ({error})", path=path) from error


def checksums(file: Path) -> Checksums:
    """Both sums of a file, which is read once.

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
