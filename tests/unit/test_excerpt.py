"""Excerpts of an untrusted stream: whole lines, bounded, escaped; the rest is counted."""

from __future__ import annotations

from cutoutd.process.excerpt import Bounds, Excerpt, Line

BOUNDS = Bounds(line_bytes=10, burst_bytes=100, bytes_per_s=10.0, overhead_bytes=10)


def line(text: str, left_out_bytes: int = 0) -> Line:
    """Return a line of the excerpt."""
    return Line(text=text, left_out_bytes=left_out_bytes)


def test_lines_are_kept_whole_however_they_arrive() -> None:
    """A pipe delivers pieces of lines."""
    excerpt = Excerpt(BOUNDS, 0.0)
    assert excerpt.feed(b"on", 0.0) == []
    assert excerpt.feed(b"e\ntwo\n\nth", 0.0) == [line("one"), line("two")]
    assert excerpt.end(0.0) == [line("th")]


def test_a_long_line_is_shortened_and_the_rest_counted() -> None:
    """Also a line without an end."""
    excerpt = Excerpt(BOUNDS, 0.0)
    assert excerpt.feed(b"0123456789abc\n", 0.0) == [line("0123456789", 3)]
    for _ in range(1000):
        assert excerpt.feed(b"x" * 1000, 0.0) == []
    assert excerpt.end(0.0) == [line("x" * 10, 1_000_000 - 10)]


def test_more_than_the_rate_is_counted_and_not_kept() -> None:
    """A burst at once, then as much as the rate allows; the overhead of each line counts."""
    excerpt = Excerpt(BOUNDS, 0.0)
    kept = excerpt.feed(b"0123456789\n" * 1000, 0.0)
    assert len(kept) == 5  # of 100 bytes, 20 each
    assert excerpt.feed(b"again\n", 1.0) == []
    assert excerpt.feed(b"again\n", 1.5) == [line("again", 995 * 11 + 6)]
    assert len(excerpt.feed(b"0123456789\n" * 1000, 1000.0)) == 5


def test_nothing_in_a_line_moves_a_cursor_or_ends_it() -> None:
    """Control characters, C1, line separators and undecodable bytes are escaped."""
    excerpt = Excerpt(Bounds(line_bytes=100, burst_bytes=1000, bytes_per_s=0.0), 0.0)
    text = "\x1b[2J\a\r\x9b\u2028ü".encode() + b"\xff\n"
    assert excerpt.feed(text, 0.0) == [line("\\x1b[2J\\x07\\r\\x9b\\u2028ü\\xff")]
