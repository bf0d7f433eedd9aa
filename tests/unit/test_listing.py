"""Lists of pictures: their contents and order, including records that an earlier version wrote."""

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


class ListedJournal:
    """A journal in memory and its lists."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.journal = Journal(None, session="r", clock=clock)
        self.listing = Listing(self.journal.store)

    def job(self, path: str, state: JobState = JobState.DONE, *, folder: str = "f", **detail: Any) -> int:  # noqa: ANN401 -- JSON
        """Add a picture that ended in this state, a second after the previous one; return its number."""
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
        """Return the total and the numbers of one page over all kinds."""
        counts = self.listing.kinds()
        selection = Selection(kinds=tuple(counts), **narrow)
        return self.listing.page(selection, sort, counts=counts, offset=offset, limit=limit)


@pytest.fixture
def listed(clock: FakeClock) -> Iterator[ListedJournal]:
    """An empty journal and its lists."""
    opened = ListedJournal(clock)
    yield opened
    opened.journal.close()


def test_each_kind_is_counted(listed: ListedJournal) -> None:
    """Held back and possibly wrong published cutouts are doubtful; rejected ones do not count as failed."""
    listed.job("a.jpg")
    listed.job("b.jpg", doubtful=True, score=0.4)
    listed.job("c.jpg", JobState.REVIEW)
    listed.job("d.jpg", JobState.FAILED, failure={"code": "Unreadable"})
    listed.job("e.jpg", JobState.FAILED, failure={"code": "Rejected"})
    listed.job("f.jpg", JobState.QUEUED, folder="g")
    assert {(kind.folder, kind.state, kind.mark): n for kind, n in listed.listing.kinds().items()} == {
        ("f", JobState.DONE, PLAIN): 1,
        ("f", JobState.DONE, DOUBTFUL): 1,
        ("f", JobState.REVIEW, DOUBTFUL): 1,
        ("f", JobState.FAILED, PLAIN): 1,
        ("f", JobState.FAILED, REJECTED): 1,
        ("g", JobState.QUEUED, PLAIN): 1,
    }


def test_every_order_holds_over_all_kinds(listed: ListedJournal) -> None:
    """Also where the list merges several kinds."""
    a = listed.job("c.jpg", score=0.9)
    b = listed.job("a.jpg", JobState.REVIEW, score=0.5)
    c = listed.job("b.jpg", doubtful=True, score=0.4)
    d = listed.job("d.jpg", JobState.FAILED)
    e = listed.job("e.jpg", score=0.7)
    assert listed.page(Sort.NEWEST) == (5, [e, d, c, b, a])
    assert listed.page(Sort.OLDEST) == (5, [a, b, c, d, e])
    assert listed.page(Sort.SCORE) == (5, [c, b, e, a, d])
    assert listed.page(Sort.DOUBT) == (5, [c, b, e, a, d])
    assert listed.page(Sort.NAME) == (5, [b, c, a, d, e])


@pytest.mark.parametrize("sort", list(Sort))
def test_pages_together_are_the_list(
    listed: ListedJournal, sort: Sort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No picture is missing between two pages or shown on both, whichever statement reads them."""
    states = [JobState.DONE, JobState.REVIEW, JobState.FAILED]
    for number in range(23):
        listed.job(
            f"{number * 7 % 23:02}.jpg", states[number % 3], folder="fg"[number % 2], score=number % 5 / 5
        )
    whole = listed.page(sort)
    for many in (5, 5_000):
        monkeypatch.setattr("cutoutd.journal.listing.MANY", many)
        pages = [listed.page(sort, offset=offset, limit=5) for offset in range(0, 30, 5)]
        assert {total for total, _ in pages} == {23}
        assert [number for _, page in pages for number in page] == whole[1]
    assert listed.page(sort, score_below=2.0) == whole


def test_a_list_is_narrowed_by_score_name_and_reason(listed: ListedJournal) -> None:
    """Each alone and all together; wildcards in a name are literal."""
    a = listed.job("one/IMG_1.jpg", doubtful=True, score=0.4, reasons=[Reason.MISSING, Reason.SMALL])
    b = listed.job("two/img-2.jpg", JobState.REVIEW, score=0.6, reasons=[Reason.SMALL])
    c = listed.job("two/100%.jpg", score=0.9)
    assert listed.page(Sort.OLDEST, name="img") == (2, [a, b])
    assert listed.page(Sort.OLDEST, name="g_1") == (1, [a])
    assert listed.page(Sort.OLDEST, name="%") == (1, [c])
    assert listed.page(Sort.OLDEST, score_below=0.6) == (1, [a])
    assert listed.page(Sort.OLDEST, reason=Reason.SMALL) == (2, [a, b])
    assert listed.page(Sort.OLDEST, reason=Reason.SMALL, name="two", score_below=0.7) == (1, [b])


def test_reasons_of_earlier_versions_are_found_in_their_sentences(listed: ListedJournal) -> None:
    """Earlier versions recorded only the sentence."""
    a = listed.job("a.jpg", doubtful=True, why=f"doubtful, score 0.40; {Reason.MISSING}; {Reason.UNSURE}")
    b = listed.job("b.jpg", JobState.REVIEW, why=str(Reason.MISSING))
    assert listed.page(Sort.OLDEST, reason=Reason.MISSING) == (2, [a, b])
    assert listed.page(Sort.OLDEST, reason=Reason.UNSURE) == (1, [a])


def test_an_invalid_score_counts_as_missing(listed: ListedJournal) -> None:
    """People edit journals, so invalid scores occur."""
    a = listed.job("a.jpg", score="high")
    b = listed.job("b.jpg", score=1)
    assert listed.page(Sort.SCORE) == (2, [b, a])
    assert listed.page(Sort.SCORE, score_below=2.0) == (1, [b])


def test_the_shown_version_is_identified_by_its_first_result(listed: ListedJournal) -> None:
    """The file in review while it exists, the published one afterwards; an overlay does not count."""
    number = listed.job("a.jpg", JobState.QUEUED)
    job = listed.journal.queue.next_in("f", newest_first=False)
    assert job is not None
    held = [
        Published(rendition=-1, path="review/a-overlay.png", sha256="o", review=True),
        Published(rendition=0, path="review/a.png", sha256="x", review=True),
        Published(rendition=1, path="review/a_2.png", sha256="y", review=True),
    ]
    listed.journal.finish_publishing(job, JobState.REVIEW, sha256="s", published=held, detail={})
    assert listed.listing.first_results([number, 77]) == {number: "x"}
    assert [one.target for one in listed.listing.outputs([number])[number]] == [
        b"review/a.png",
        b"review/a_2.png",
    ]
    done = [Published(rendition=0, path="a.png", sha256="z", review=False)]
    listed.journal.finish_publishing(job, JobState.DONE, sha256="s", published=done, detail={})
    assert listed.listing.first_results([number]) == {number: "z"}


def test_minutes_are_those_in_which_pictures_were_cut(listed: ListedJournal) -> None:
    """Failed pictures are counted separately."""
    since_us = listed.clock.now_us()
    listed.job("a.jpg")
    listed.job("b.jpg", JobState.REVIEW)
    listed.clock.advance(120.0)
    listed.job("c.jpg")
    listed.job("d.jpg", JobState.FAILED)
    assert listed.listing.minutes("f", since_us, failed=False) == {0: 2, 2: 1}
    assert listed.listing.minutes("f", since_us, failed=True) == {2: 1}
