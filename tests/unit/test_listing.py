"""Lists of pictures: what is in them, in which order, and that what an earlier version wrote down is in them too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.jobs import JobState, Published, Reason, Version
from cutoutd.journal.journal import Journal
from cutoutd.journal.listing import Listing, Mark, Selection, Sort

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import FakeClock

PLAIN, DOUBTFUL, REJECTED = Mark.PLAIN, Mark.DOUBTFUL, Mark.REJECTED


class Shelf:
    """A journal in memory and its lists."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.journal = Journal(None, session="r", clock=clock)
        self.listing = Listing(self.journal.store)

    def job(self, path: str, state: JobState = JobState.DONE, *, folder: str = "f", **detail: Any) -> int:  # noqa: ANN401 -- JSON
        """A picture that ended so, a second after the one before."""
        self.clock.advance(1.0)
        (number,) = self.journal.sources.accept(folder, [Version(path=path, size=1, mtime_ns=1)])
        if state is not JobState.QUEUED:
            self.journal.queue.finish(number, state, detail=detail)
        return number

    def page(
        self,
        sort: Sort,
        *,
        offset: int = 0,
        limit: int = 100,
        **narrow: Any,  # noqa: ANN401 -- of `Selection`
    ) -> tuple[int, list[int]]:
        """Of all there is."""
        counts = self.listing.kinds()
        selection = Selection(kinds=tuple(counts), **narrow)
        return self.listing.page(selection, sort, counts=counts, offset=offset, limit=limit)


@pytest.fixture
def shelf(clock: FakeClock) -> Iterator[Shelf]:
    """An empty one."""
    opened = Shelf(clock)
    yield opened
    opened.journal.close()


def test_each_kind_is_counted(shelf: Shelf) -> None:
    """What is held back, and what is published and may be wrong, is doubtful; what a person rejected has not simply failed."""
    shelf.job("a.jpg")
    shelf.job("b.jpg", doubtful=True, score=0.4)
    shelf.job("c.jpg", JobState.REVIEW)
    shelf.job("d.jpg", JobState.FAILED, failure={"code": "Unreadable"})
    shelf.job("e.jpg", JobState.FAILED, failure={"code": "Rejected"})
    shelf.job("f.jpg", JobState.QUEUED, folder="g")
    assert {(kind.folder, kind.state, kind.mark): n for kind, n in shelf.listing.kinds().items()} == {
        ("f", JobState.DONE, PLAIN): 1,
        ("f", JobState.DONE, DOUBTFUL): 1,
        ("f", JobState.REVIEW, DOUBTFUL): 1,
        ("f", JobState.FAILED, PLAIN): 1,
        ("f", JobState.FAILED, REJECTED): 1,
        ("g", JobState.QUEUED, PLAIN): 1,
    }


def test_every_order_holds_over_all_kinds(shelf: Shelf) -> None:
    """Also where the list is put together of several."""
    a = shelf.job("c.jpg", score=0.9)
    b = shelf.job("a.jpg", JobState.REVIEW, score=0.5)
    c = shelf.job("b.jpg", doubtful=True, score=0.4)
    d = shelf.job("d.jpg", JobState.FAILED)
    e = shelf.job("e.jpg", score=0.7)
    assert shelf.page(Sort.NEWEST) == (5, [e, d, c, b, a])
    assert shelf.page(Sort.OLDEST) == (5, [a, b, c, d, e])
    assert shelf.page(Sort.SCORE) == (5, [c, b, e, a, d])
    assert shelf.page(Sort.DOUBT) == (5, [c, b, e, a, d])
    assert shelf.page(Sort.NAME) == (5, [b, c, a, d, e])


@pytest.mark.parametrize("sort", list(Sort))
def test_pages_together_are_the_list(shelf: Shelf, sort: Sort, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left out between two pages or shown on both, whichever statement reads them."""
    states = [JobState.DONE, JobState.REVIEW, JobState.FAILED]
    for number in range(23):
        shelf.job(
            f"{number * 7 % 23:02}.jpg", states[number % 3], folder="fg"[number % 2], score=number % 5 / 5
        )
    whole = shelf.page(sort)
    for many in (5, 5_000):
        monkeypatch.setattr("cutoutd.journal.listing.MANY", many)
        pages = [shelf.page(sort, offset=offset, limit=5) for offset in range(0, 30, 5)]
        assert {total for total, _ in pages} == {23}
        assert [number for _, page in pages for number in page] == whole[1]
    assert shelf.page(sort, score_below=2.0) == whole


def test_it_is_narrowed_by_score_name_and_reason(shelf: Shelf) -> None:
    """Each alone and all together; a name's special signs stand for themselves."""
    a = shelf.job("one/IMG_1.jpg", doubtful=True, score=0.4, reasons=[Reason.MISSING, Reason.SMALL])
    b = shelf.job("two/img-2.jpg", JobState.REVIEW, score=0.6, reasons=[Reason.SMALL])
    c = shelf.job("two/100%.jpg", score=0.9)
    assert shelf.page(Sort.OLDEST, name="img") == (2, [a, b])
    assert shelf.page(Sort.OLDEST, name="g_1") == (1, [a])
    assert shelf.page(Sort.OLDEST, name="%") == (1, [c])
    assert shelf.page(Sort.OLDEST, score_below=0.6) == (1, [a])
    assert shelf.page(Sort.OLDEST, reason=Reason.SMALL) == (2, [a, b])
    assert shelf.page(Sort.OLDEST, reason=Reason.SMALL, name="two", score_below=0.7) == (1, [b])


def test_reasons_of_earlier_versions_are_found_in_their_words(shelf: Shelf) -> None:
    """They were in the sentence alone."""
    a = shelf.job("a.jpg", doubtful=True, why=f"doubtful, score 0.40; {Reason.MISSING}; {Reason.UNSURE}")
    b = shelf.job("b.jpg", JobState.REVIEW, why=str(Reason.MISSING))
    assert shelf.page(Sort.OLDEST, reason=Reason.MISSING) == (2, [a, b])
    assert shelf.page(Sort.OLDEST, reason=Reason.UNSURE) == (1, [a])


def test_a_score_that_is_none_is_no_score(shelf: Shelf) -> None:
    """People edit journals."""
    a = shelf.job("a.jpg", score="high")
    b = shelf.job("b.jpg", score=1)
    assert shelf.page(Sort.SCORE) == (2, [b, a])
    assert shelf.page(Sort.SCORE, score_below=2.0) == (1, [b])


def test_what_a_person_saw_is_known_by_its_first_result(shelf: Shelf) -> None:
    """The one in review while it is there, the published one afterwards; an overlay is none."""
    number = shelf.job("a.jpg", JobState.QUEUED)
    job = shelf.journal.queue.next_in("f", newest_first=False)
    assert job is not None
    held = [
        Published(rendition=-1, path="review/a-overlay.png", sha256="o", review=True),
        Published(rendition=0, path="review/a.png", sha256="x", review=True),
        Published(rendition=1, path="review/a_2.png", sha256="y", review=True),
    ]
    shelf.journal.finish_publishing(job, JobState.REVIEW, sha256="s", published=held, detail={})
    assert shelf.listing.first_results([number, 77]) == {number: "x"}
    assert [one.target for one in shelf.listing.outputs([number])[number]] == [
        b"review/a.png",
        b"review/a_2.png",
    ]
    done = [Published(rendition=0, path="a.png", sha256="z", review=False)]
    shelf.journal.finish_publishing(job, JobState.DONE, sha256="s", published=done, detail={})
    assert shelf.listing.first_results([number]) == {number: "z"}


def test_minutes_are_those_in_which_pictures_were_cut(shelf: Shelf) -> None:
    """And failed ones apart."""
    since_us = shelf.clock.now_us()
    shelf.job("a.jpg")
    shelf.job("b.jpg", JobState.REVIEW)
    shelf.clock.advance(120.0)
    shelf.job("c.jpg")
    shelf.job("d.jpg", JobState.FAILED)
    assert shelf.listing.minutes("f", since_us, failed=False) == {0: 2, 2: 1}
    assert shelf.listing.minutes("f", since_us, failed=True) == {2: 1}
