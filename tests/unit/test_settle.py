"""When a file has been unchanged long enough."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cutoutd.intake.settle import ASK_AGAIN_S, MAX_HOLD_S, SettleTracker


def test_a_file_settles_after_its_quiet_period() -> None:
    """Not at first sight, and not before the period is over."""
    tracker = SettleTracker(1.0)
    assert not tracker.observe("a", 10, 1, now_s=0.0)
    assert tracker.next_due() == 1.0
    assert tracker.due(0.9) == []
    assert tracker.due(1.0) == ["a"]
    assert tracker.observe("a", 10, 1, now_s=1.0)


def test_a_growing_file_waits() -> None:
    """Every change of size restarts the period."""
    tracker = SettleTracker(1.0)
    for second in range(10):
        assert not tracker.observe("a", second, 1, now_s=second * 0.9)
    assert tracker.next_due() == 9 * 0.9 + 1.0


def test_a_change_of_time_alone_restarts_the_period() -> None:
    """A rewrite may keep the size, and set the time back."""
    tracker = SettleTracker(1.0)
    tracker.observe("a", 10, 5, now_s=0.0)
    assert not tracker.observe("a", 10, 4, now_s=1.0)


def test_an_event_restarts_the_period() -> None:
    """Each event of a writer that opens and closes the file often."""
    tracker = SettleTracker(1.0)
    tracker.observe("a", 10, 1, now_s=0.0)
    tracker.touch("a", 0.8)
    assert tracker.due(1.0) == []
    assert not tracker.observe("a", 10, 1, now_s=1.7)
    assert tracker.due(1.8) == ["a"]


def test_an_old_file_can_be_taken_at_once() -> None:
    """With --once there is no wait for files that are days old."""
    tracker = SettleTracker(1.0)
    assert tracker.observe("old", 10, 1, now_s=0.0, quiet_s=86_400.0)
    assert not tracker.observe("from the future", 10, 1, now_s=0.0, quiet_s=-5.0)
    assert not tracker.observe("old", 11, 1, now_s=0.0, quiet_s=86_400.0)


def test_a_held_file_is_checked_more_and_more_rarely() -> None:
    """A writer that never closes costs little, and is never given up."""
    tracker = SettleTracker(1.0)
    tracker.observe("a", 10, 1, now_s=0.0)
    now_s, gaps = 1.0, []
    for _ in range(8):
        assert tracker.due(now_s) == ["a"]
        tracker.hold("a", now_s)
        next_s = tracker.next_due()
        assert next_s is not None
        gaps.append(next_s - now_s)
        now_s = next_s
    assert gaps == [1.0, 2.0, 4.0, 8.0, 16.0, MAX_HOLD_S, MAX_HOLD_S, MAX_HOLD_S]


def test_closing_a_held_file_brings_it_forward() -> None:
    """The close event overrides the delay of the next check."""
    tracker = SettleTracker(1.0)
    tracker.observe("a", 10, 1, now_s=0.0)
    for _ in range(6):
        tracker.hold("a", 1.0)
    tracker.touch("a", 2.0)
    assert tracker.due(3.0) == ["a"]
    assert not tracker.waiting(3.0)[0].held


def test_a_due_file_without_an_outcome_is_due_again() -> None:
    """A check that failed with EIO must not strand the file."""
    tracker = SettleTracker(0.0)
    tracker.observe("a", 10, 1, now_s=0.0)
    assert tracker.due(0.0) == ["a"]
    assert tracker.due(0.0) == []
    assert tracker.due(ASK_AGAIN_S) == ["a"]


def test_a_forgotten_file_starts_again() -> None:
    """An accepted or missing file is not tracked; if seen again, its whole period starts."""
    tracker = SettleTracker(1.0)
    tracker.observe("a", 10, 1, now_s=0.0)
    tracker.forget("a")
    assert tracker.next_due() is None
    assert not tracker.observe("a", 10, 1, now_s=5.0)
    assert len(tracker) == 1


def test_status_shows_what_is_waited_for() -> None:
    """For how long, and whether a process has the file open."""
    tracker = SettleTracker(1.0)
    tracker.observe("first", 10, 1, now_s=0.0)
    tracker.observe("second", 10, 1, now_s=1.0)
    tracker.observe("first", 20, 2, now_s=2.0)
    tracker.hold("second", 2.0)
    first, second = tracker.waiting(5.0)
    assert (first.path, first.waited_s, first.held) == ("first", 5.0, False)
    assert (second.path, second.held) == ("second", True)
    assert [waiting.path for waiting in tracker.waiting(5.0, limit=1)] == ["first"]


def test_many_due_files_come_in_portions() -> None:
    """A burst that settles at once must not become one long call."""
    tracker = SettleTracker(1.0)
    for n in range(2500):
        tracker.observe(str(n), 1, 1, now_s=0.0)
    portions = [tracker.due(1.0) for _ in range(4)]
    assert [len(portion) for portion in portions] == [1000, 1000, 500, 0]
    assert len({path for portion in portions for path in portion}) == 2500


@dataclass
class _Expected:
    """The state that a file must have in the tracker."""

    size: int
    mtime_ns: int
    quiet_at_s: float
    next_s: float
    holds: int = 0


class Model(RuleBasedStateMachine):
    """The tracker, compared with a plain dictionary that is searched linearly."""

    paths = st.sampled_from("abcdef")

    def __init__(self) -> None:
        super().__init__()
        self.settle_s = 2.0
        self.tracker = SettleTracker(self.settle_s)
        self.expected: dict[str, _Expected] = {}
        self.now_s = 100.0

    @rule(
        path=paths,
        size=st.integers(0, 2),
        mtime_ns=st.integers(0, 1),
        quiet_s=st.sampled_from([0.0, 1.0, 9.0]),
    )
    def observe(self, path: str, size: int, mtime_ns: int, quiet_s: float) -> None:
        """Observe a file."""
        file = self.expected.get(path)
        if file is None:
            quiet_at_s = self.now_s - quiet_s + self.settle_s
            file = _Expected(size, mtime_ns, quiet_at_s, max(self.now_s, quiet_at_s))
            self.expected[path] = file
        elif (file.size, file.mtime_ns) != (size, mtime_ns):
            file.size, file.mtime_ns = size, mtime_ns
            self._restart(file)
        settled = self.tracker.observe(path, size, mtime_ns, self.now_s, quiet_s=quiet_s)
        assert settled == (self.now_s >= file.quiet_at_s)

    @rule(path=paths)
    def touch(self, path: str) -> None:
        """Report an event for a file."""
        if path in self.expected:
            self._restart(self.expected[path])
        self.tracker.touch(path, self.now_s)

    @rule(path=paths)
    def hold(self, path: str) -> None:
        """Report that a writer has the file open."""
        file = self.expected.get(path)
        if file is not None:
            file.holds += 1
            file.quiet_at_s = file.next_s = self.now_s + min(
                MAX_HOLD_S, self.settle_s * 2.0 ** (file.holds - 1)
            )
        self.tracker.hold(path, self.now_s)

    @rule(path=paths)
    def forget(self, path: str) -> None:
        """Forget a file that was accepted or is gone."""
        self.expected.pop(path, None)
        self.tracker.forget(path)

    @rule(by_s=st.sampled_from([0.5, 1.0, 2.0, 40.0]))
    def advance(self, by_s: float) -> None:
        """Advance the time."""
        self.now_s += by_s

    @precondition(lambda self: self.expected)
    @rule()
    def due(self) -> None:
        """Check that exactly the files whose time has come are due."""
        due = {path for path, file in self.expected.items() if file.next_s <= self.now_s}
        assert set(self.tracker.due(self.now_s)) == due
        for path in due:
            self.expected[path].next_s = self.now_s + self.settle_s

    @invariant()
    def next_is_the_earliest(self) -> None:
        """Check that the caller sleeps neither too long nor too short."""
        assert self.tracker.next_due() == min((file.next_s for file in self.expected.values()), default=None)
        assert len(self.tracker) == len(self.expected)

    def _restart(self, file: _Expected) -> None:
        """Restart a file's quiet period."""
        file.holds = 0
        file.quiet_at_s = file.next_s = self.now_s + self.settle_s


TestModel = Model.TestCase


def test_memory_follows_the_number_of_files_not_of_events() -> None:
    """Many events, or files that come and go, leave no entries."""
    tracker = SettleTracker(1000.0)
    for n in range(20_000):
        tracker.observe("chatty", n, n, now_s=n * 0.001)
        tracker.touch("chatty", n * 0.001)
        tracker.hold("chatty", n * 0.001)
        tracker.observe("fleeting", 1, 1, now_s=n * 0.001)
        tracker.forget("fleeting")
    assert len(tracker._queue) < 100  # noqa: SLF001 -- its size is what is promised
