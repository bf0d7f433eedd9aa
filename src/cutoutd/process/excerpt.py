"""A bounded excerpt of the output of another process: whole lines, shortened, at a bounded rate; the rest is counted.

For the standard error of processes that read hostile bytes and may print without end. It must not read or write anything
itself.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How much of a stream is kept.

    Attributes:
        line_bytes: length of one line.
        burst_bytes: amount at once.
        bytes_per_s: rate over time.
        overhead_bytes: cost of each line beside its text, for what is written around it.
    """

    line_bytes: int
    burst_bytes: int
    bytes_per_s: float
    overhead_bytes: int = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of an excerpt.

    Attributes:
        text: the line without its end and without control characters; empty if there is only a number to report.
        left_out_bytes: bytes that were left out since the previous line.
    """

    text: str
    left_out_bytes: int


class Excerpt:
    """Turns a stream into an excerpt, piece by piece.

    Args:
        bounds: how much is kept.
        now_s: monotonic seconds.
    """

    def __init__(self, bounds: Bounds, now_s: float) -> None:
        self._bounds = bounds
        self._now_s = now_s
        self._allowance = float(bounds.burst_bytes)
        self._begun = b""
        self._left_out = 0

    def feed(self, data: bytes, now_s: float) -> list[Line]:
        """Return the lines that this piece completes, as far as they are kept.

        Args:
            data: the next piece.
            now_s: monotonic seconds.
        """
        self._refill(now_s)
        kept: list[Line] = []
        *whole, rest = data.split(b"\n")
        for line in whole:
            self._extend(line)
            kept += self._keep(self._begun)
            self._begun = b""
        self._extend(rest)
        return kept

    def end(self, now_s: float) -> list[Line]:
        """Return the rest of a line without an end, and the number of bytes that were left out before it."""
        self._refill(now_s)
        kept = self._keep(self._begun)
        self._begun = b""
        if self._left_out:
            kept.append(Line(text="", left_out_bytes=self._left_out))
            self._left_out = 0
        return kept

    def _refill(self, now_s: float) -> None:
        gained = max(0.0, now_s - self._now_s) * self._bounds.bytes_per_s
        self._allowance = min(float(self._bounds.burst_bytes), self._allowance + gained)
        self._now_s = now_s

    def _extend(self, piece: bytes) -> None:
        room = self._bounds.line_bytes - len(self._begun)
        self._begun += piece[:room]
        self._left_out += max(0, len(piece) - room)

    def _keep(self, line: bytes) -> list[Line]:
        if not line.strip():
            return []
        cost = len(line) + self._bounds.overhead_bytes
        if cost > self._allowance:
            self._left_out += len(line) + 1
            return []
        self._allowance -= cost
        kept = Line(text=_printable(line), left_out_bytes=self._left_out)
        self._left_out = 0
        return [kept]


def _printable(line: bytes) -> str:
    """Decode a line; bytes that are not text, and control characters, are escaped."""
    text = line.decode("utf-8", "backslashreplace").rstrip("\r")
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
