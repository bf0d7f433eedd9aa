"""A folder with its publisher, and results to publish, made without cutting anything."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from cutoutd.errors import FailureCode
from cutoutd.jobs import Failure, Published, Quality, SourceFacts, Staged
from cutoutd.publish.failures import FailureFacts
from cutoutd.publish.places import Places
from cutoutd.publish.plan import Publication
from cutoutd.publish.publisher import Publisher
from cutoutd.publish.sidecar import ModelFacts, RuntimeFacts, SidecarFacts
from cutoutd.publish.staging import STAGING_NAME, result_name, sweep
from cutoutd.recipe import Format, Rendition
from cutoutd.settings.types import OnConflict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cutoutd.publish.plan import Plan

FOLDER = "shop"
NOW_US = 1_700_000_000_000_000


class Ledger:
    """Claims over all sources, as the journal keeps them."""

    def __init__(self) -> None:
        self.owners: dict[bytes, str] = {}

    def of(self, source: str) -> Claimant:
        """Return the claims of one source."""
        return Claimant(self, source)


class Claimant:
    """The claims of one source."""

    def __init__(self, ledger: Ledger, source: str) -> None:
        self._ledger = ledger
        self._source = source

    def reserve(self, keys: Sequence[bytes]) -> bool:
        """Reserve all names or none."""
        owners = self._ledger.owners
        if any(owners.get(key, self._source) != self._source for key in keys):
            return False
        owners.update(dict.fromkeys(keys, self._source))
        return True


class OutputFolder:
    """An output folder with what is published in it."""

    def __init__(
        self,
        root: Path,
        *,
        on_conflict: OnConflict = OnConflict.SUFFIX,
        sidecars: bool = False,
        run: str = "run-1",
        **more: Any,  # noqa: ANN401 - whatever else Places.of takes
    ) -> None:
        self.output = root / "out"
        self.output.mkdir(exist_ok=True, parents=True)
        self.sidecars = root / "sidecars" if sidecars else self.output
        self.sidecars.mkdir(exist_ok=True)
        places = Places.of(FOLDER, self.output, self.sidecars if sidecars else None, run, **more)
        self.publisher = Publisher(places, on_conflict=on_conflict)
        self.publisher.open()
        self.ledger = Ledger()
        self.published: dict[str, tuple[Published, ...]] = {}

    def results(
        self,
        source: str,
        contents: Sequence[bytes],
        *,
        job: int = 1,
        review: bool = False,
        overlay: bool = False,
    ) -> Publication:
        """Stage results as a worker does, one for each content; with ``overlay`` the last one is an overlay."""
        staged = []
        for number, content in enumerate(contents):
            name = result_name(job, number, "png")
            written = self.publisher.staging.write(name, content)
            is_overlay = overlay and number == len(contents) - 1
            staged.append(
                Staged(
                    name=name,
                    rendition=-1 if is_overlay else number,
                    bytes=written.bytes,
                    sha256=written.sha256,
                    width=4,
                    height=3,
                    format=Format.PNG,
                )
            )
        suffixes = ["", *(f"_{number}" for number in range(1, len(contents)))]
        return Publication(
            facts=facts(source, job),
            staged=tuple(staged),
            renditions=tuple(Rendition(format=Format.PNG, suffix=suffix) for suffix in suffixes),
            review=review,
            earlier=self.published.get(source, ()),
        )

    def plan(self, publication: Publication) -> Plan:
        """Plan a publication."""
        claims = self.ledger.of(publication.facts.path)
        return self.publisher.plan(publication, claims, now_us=NOW_US)

    def publish(self, source: str, *contents: bytes, job: int = 1, review: bool = False) -> tuple[str, ...]:
        """Publish all the way. Returns the paths of the outputs."""
        plan = self.plan(self.results(source, contents, job=job, review=review))
        self.publisher.carry_out(plan)
        self.published[source] = plan.published
        return tuple(one.path for one in plan.published)

    def files(self) -> dict[str, bytes]:
        """Return all files that a user sees in output and sidecar folder, without sidecars."""
        return {name: data for name, data in self.everything().items() if not self.is_sidecar(name)}

    def everything(self) -> dict[str, bytes]:
        """Return all files that a user sees in output and sidecar folder."""
        return {
            str(path.relative_to(root)): path.read_bytes()
            for root in {self.output, self.sidecars}
            for path in root.rglob("*")
            if path.is_file() and STAGING_NAME not in path.parts
        }

    def staged(self) -> list[str]:
        """Return the names of all files in staging directories."""
        roots = {self.output, self.sidecars}
        return sorted(path.name for root in roots for path in root.glob(f"{STAGING_NAME}/*/*"))

    def sidecar(self, output: str) -> dict[str, Any]:
        """Return the sidecar of an output."""
        document: dict[str, Any] = json.loads((self.sidecars / f"{output}.json").read_bytes())
        return document

    def is_sidecar(self, name: str) -> bool:
        """Return whether a file is a sidecar of cutoutd."""
        path = self.sidecars / name
        return name.endswith(".png.json") and b"cutoutd.sidecar/1" in path.read_bytes()

    def sweep(self) -> None:
        """Sweep as the next start does once no plan is open."""
        for root in {self.output, self.sidecars}:
            sweep(root, is_dead=lambda _: True)


def facts(source: str, job: int = 1) -> SidecarFacts:
    """Return the facts of an artificial cutout."""
    return SidecarFacts(
        job=job,
        folder=FOLDER,
        route="local",
        path=source,
        mtime_ns=NOW_US * 1000,
        source=SourceFacts(bytes=5, sha256="aa", width=4, height=3, format="jpeg", orientation=1),
        model=ModelFacts(name="model", sha256="bb", provider="cpu"),
        settings_sha256="cc",
        runtime=RuntimeFacts(cutoutd="0", onnxruntime="0", python="3"),
        sandbox=(),
        quality=Quality(score=1.0, reasons=()),
        timings_ms={"decode": 1.0},
        attempts=1,
        warnings=(),
        accepted_us=NOW_US,
    )


def digest(data: bytes) -> str:
    """Return a SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def failure(source: str, cause: str = "cut short") -> FailureFacts:
    """Return the failure of a picture that could not be cut."""
    return FailureFacts(
        job=3,
        folder=FOLDER,
        path=source,
        bytes=1,
        mtime_ns=1,
        sha256=None,
        failure=Failure(code=FailureCode.PICTURE, title="t", cause=cause, advice="a", permanent=True),
        attempts=1,
        at_us=0,
    )
