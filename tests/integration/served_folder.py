"""A folder with cutouts, and the page's backend over it, as its methods see them."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from cutoutd.clock import Clock
from cutoutd.jobs import JobState, Published, Version
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.page.backend import fixing, picture_methods, shown_files
from cutoutd.page.backend.method import Backend
from cutoutd.settings.schema import Folder, PoolSettings, Service, Settings
from cutoutd.webserver.backend.method import RefusedError
from cutoutd.webserver.backend.shared_state import SharedState

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.webserver.backend.method import Reply

ENDPOINTS = {**picture_methods.ENDPOINTS, **fixing.ENDPOINTS}


class ServedFolder:
    """A folder with its journal, and a backend over them."""

    def __init__(self, root: Path, **folder: Any) -> None:  # noqa: ANN401 -- as a Folder's fields
        self.root = root
        for name in ("in", "out", "state", "cache"):
            (root / name).mkdir(mode=0o700, exist_ok=True)
        self.folders = [Folder(name="shop", input=root / "in", output=root / "out", **folder)]
        self.journal = Journal(root / "state", session="r", clock=Clock())
        self.backend = Backend(
            settings=self._settings(),
            config=None,
            open_store=lambda: self.journal.store,
            clock=Clock(),
            cache=root / "cache",
            tell=lambda _name, _data: None,
        )

    def _settings(self) -> Settings:
        """Return settings with the present folders."""
        service = Service(state_dir=self.root / "state")
        return Settings(folder=tuple(self.folders), pool=PoolSettings(), service=service)

    def also(self, name: str, root: Path) -> None:
        """Add a second folder."""
        for one in ("in", "out"):
            (root / one).mkdir(exist_ok=True)
        self.folders.append(Folder(name=name, input=root / "in", output=root / "out"))
        self.backend.settings = self._settings()

    def cut(
        self,
        name: str,
        source: bytes,
        cutout: bytes | None = None,
        *,
        state: JobState = JobState.DONE,
        folder: str = "shop",
        far: Path | None = None,
        model: str = "",
    ) -> int:
        """Record a picture that was cut. Returns its job."""
        place = next(one for one in self.folders if one.name == folder)
        (far / "in" if far else place.input).joinpath(name).write_bytes(source)
        (number,) = self.journal.sources.accept(
            folder, [Version(path=name, size=len(source), mtime_ns=len(source))]
        )
        job = Reader(self.journal.store).job(number)
        assert job is not None
        published = []
        if cutout is not None:
            kind = "png" if cutout.startswith(b"\x89PNG") else "jpg"
            path = f"{'review/' if state is JobState.REVIEW else ''}{name}.{kind}"
            file = (far / "out" if far else place.output) / path
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(cutout)
            digest = hashlib.sha256(cutout).hexdigest()
            held_back = state is JobState.REVIEW
            published.append(Published(rendition=0, path=path, sha256=digest, review=held_back))
        self.journal.finish_publishing(
            job,
            state,
            sha256=hashlib.sha256(source).hexdigest(),
            published=tuple(published),
            detail={"model": model},
        )
        return number

    def ask(self, method: str, job: object, kind: str, **params: object) -> Any:  # noqa: ANN401 -- as a Reply's data
        """Return the answer of a method."""
        return ENDPOINTS[method].run(self.backend, {"job": job, "kind": kind, **params})

    def write(self, method: str, **params: object) -> Reply:
        """Return the answer of a method that takes no kind."""
        return ENDPOINTS[method].run(self.backend, params)

    def refused_write(self, method: str, **params: object) -> RefusedError:
        """Call a method that takes no kind; return its refusal."""
        with pytest.raises(RefusedError) as caught:
            self.write(method, **params)
        return caught.value

    def seen(self, number: int) -> str:
        """Return the SHA-256 of a job's first result."""
        job = Reader(self.journal.store).job(number)
        assert job is not None
        output = shown_files.first_output(self.journal.store, job)
        assert output is not None
        return output.sha256

    def waiting(self, name: str) -> list[int]:
        """Record a picture that waits. Returns its job."""
        return self.journal.sources.accept("shop", [Version(path=name, size=1, mtime_ns=1)])

    def refused(self, method: str, job: object, kind: str, **params: object) -> RefusedError:
        """Call a method; return its refusal."""
        with pytest.raises(RefusedError) as caught:
            self.ask(method, job, kind, **params)
        return caught.value

    def close(self) -> None:
        """End the backend's processes."""
        self.backend.shared.close()
        self.journal.close()

    def restart(self) -> None:
        """End the backend's processes, and forget what it keeps, as a new one."""
        self.backend.shared.close()
        self.backend.shared = SharedState()


def jpeg(width: int = 2400, height: int = 1600, colour: str = "orange") -> bytes:
    """Return a picture."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "JPEG", quality=95)
    return file.getvalue()


def png(width: int = 2400, height: int = 1600) -> bytes:
    """Return the picture's cutout: its middle."""
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    image.paste((10, 200, 30, 255), (width // 4, height // 4, width * 3 // 4, height * 3 // 4))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
