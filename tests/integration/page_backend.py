"""A state directory with a journal, two folders, and the page's backend, without a browser or a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cutoutd.jobs import JobState, Published, Version
from cutoutd.journal.journal import Journal
from cutoutd.journal.listing import Listing
from cutoutd.journal.store import FILE_NAME, Store
from cutoutd.page.backend import decisions, jobs, models, overview, privacy, session
from cutoutd.page.backend.method import Backend
from cutoutd.settings.schema import Folder, Service, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FakeClock

ENDPOINTS = {
    **session.ENDPOINTS,
    **overview.ENDPOINTS,
    **jobs.ENDPOINTS,
    **decisions.ENDPOINTS,
    **models.ENDPOINTS,
    **privacy.ENDPOINTS,
}


class PageBackend:
    """The daemon's journal, and the backend with its own connection to it."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.root, self.clock = root, clock
        self.state_dir = root / "state"
        self.state_dir.mkdir(mode=0o700)
        self.journal = Journal(self.state_dir, session="r", clock=clock)
        self.settings = Settings(
            service=Service(state_dir=self.state_dir),
            folder=(
                Folder(name="shop", input=root / "in", output=root / "out"),
                Folder(name="studio", input=root / "in2", output=root / "out2"),
            ),
        )
        self.events: list[tuple[str, Any]] = []
        self._stores: dict[int, Store] = {}
        self.backend = Backend(
            settings=self.settings,
            config=None,
            open_store=self._open,
            clock=clock,
            cache=root,
            tell=lambda event, data: self.events.append((event, data)),
        )

    def _open(self) -> Store | None:
        """Return a connection to the present journal; None if there is none."""
        path = self.state_dir / FILE_NAME
        if not path.exists():
            return None
        inode = path.stat().st_ino
        if inode not in self._stores:
            self._stores[inode] = Store(path)
        return self._stores[inode]

    def ask(self, method: str, **params: Any) -> Any:  # noqa: ANN401 -- JSON
        """Call a method; return its answer."""
        return ENDPOINTS[method].run(self.backend, params).data

    def cut(
        self,
        name: str,
        state: JobState = JobState.DONE,
        *,
        folder: str = "shop",
        sha256: str = "",
        **detail: Any,  # noqa: ANN401 -- JSON
    ) -> int:
        """Record a picture that was cut, with one result, a second after the one before."""
        self.clock.advance(1.0)
        (number,) = self.journal.sources.accept(folder, [Version(path=name, size=1, mtime_ns=1)])
        job = self.journal.queue.next_in(folder, newest_first=True)
        assert job is not None
        assert job.id == number
        is_held = state is JobState.REVIEW
        path = f"{'review/' if is_held else ''}{name}.png"
        result = Published(rendition=0, path=path, sha256=sha256 or f"{number:064x}", review=is_held)
        self.journal.finish_publishing(job, state, sha256=f"s{number}", published=[result], detail=detail)
        return number

    def end(self, name: str, state: JobState, *, folder: str = "shop", **detail: Any) -> int:  # noqa: ANN401 -- JSON
        """Record a picture that ended without a result, or that waits."""
        self.clock.advance(1.0)
        (number,) = self.journal.sources.accept(folder, [Version(path=name, size=1, mtime_ns=1)])
        if state is not JobState.QUEUED:
            self.journal.queue.finish(number, state, detail=detail)
        return number

    def seen(self, *numbers: int) -> list[list[Any]]:
        """Return the items of a decision about the results that exist now."""
        found = Listing(self.journal.store).first_results(numbers)
        return [[number, found.get(number, "")] for number in numbers]

    def asked(self) -> list[tuple[str, str]]:
        """Return the commands that wait for the daemon."""
        return [(one.verb, one.argument) for one in self.journal.commands.pending()]

    def close(self) -> None:
        """Close all connections."""
        for store in self._stores.values():
            store.close()
        self.journal.close()
