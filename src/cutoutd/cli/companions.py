"""Keeps the uploader, or the page, running beside the supervisor, which cannot start it: processes that it starts have no network.

Started as ``python -P -m cutoutd.cli.companions PARENT NAME COMMAND...`` before the supervisor gives the network up. The service's
key comes by a pipe, its standard input, and goes on to each uploader in the same way: it is in no environment. What the
companion logs comes by a pipe and is passed on line by line, bounded and marked as its own: it reads what a server answers, or
what browsers send, and has neither the user's terminal nor the log file. It must import nothing but the standard library and what
binds it to its parent's life, and must not read any configuration.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from cutoutd.faults.backoff import pause_s
from cutoutd.process.excerpt import Bounds, Excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cutoutd.daemon.companion_watch import CompanionWatch
    from cutoutd.process.excerpt import Line


LASTED_S: Final = 60.0
"""One that has run for longer did not fail at its start: the next pause is short again."""

END_S: Final = 5.0
"""How long one that was asked to end may take; what an uploader was sending is told to be unknown."""

LOGGED: Final = Bounds(line_bytes=16_384, burst_bytes=1 << 20, bytes_per_s=8192.0, overhead_bytes=0)
"""Of an uploader's log: fifteen pictures a second for as long as one likes, and 700 MB a day at most of one that never
stops."""

READ_BYTES: Final = 65_536

PAUSE_S: Final = 0.02
"""Between two reads: one that never stops is held up by its own full pipe."""

_HOPELESS: Final = frozenset({2})
"""Exit codes of a first start that no other start would change: wrong configuration. That one runs already passes: an
earlier run's uploader waits for a last answer. Once an uploader has worked, a configuration that is being edited passes
too."""


@contextmanager
def kept(command: Sequence[str], watch: CompanionWatch, *, name: str, key: str = "") -> Iterator[None]:
    """Keep a companion running while the body runs.

    Args:
        command: the companion; it is told by ``--parent`` whose end is its own, and gets the key as its standard input.
        watch: notices that what keeps it running has ended itself.
        name: marks what it logs.
        key: of the hosted service, where it is in no file; empty for none.
    """
    from cutoutd.process.child_environment import for_uploader  # noqa: PLC0415 -- the keeper itself is to stay small

    me = [sys.executable, "-P", "-m", "cutoutd.cli.companions", str(os.getpid()), name, *command]
    # A session of its own: a Ctrl-C in the terminal is for the supervisor, which ends it when it has ended.
    keeper = subprocess.Popen(me, stdin=subprocess.PIPE, start_new_session=True, env=for_uploader(os.environ))  # noqa: S603 -- our own program
    _hand_over(keeper, key.encode())
    watch.add(name, keeper)
    try:
        yield
    finally:
        watch.discard(name)
        keeper.terminate()
        try:
            keeper.wait(END_S + 1)
        except subprocess.TimeoutExpired:
            keeper.kill()


def main() -> int:
    """Start the command again and again, until asked to end."""
    parent, name, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    from cutoutd.sandbox import limits  # noqa: PLC0415 -- see above: small until here
    from cutoutd.sandbox.limits import die_with_parent, hide_memory  # noqa: PLC0415 -- likewise

    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # our parent had it wait for its own handler
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda _, __: asked.set())
    die_with_parent(parent)
    hide_memory()
    key = sys.stdin.buffer.read()
    limits.keep_terminal_for_writing()
    failures = 0
    has_worked = False
    while not asked.is_set():
        begun_s = time.monotonic()
        code = _run(command, name, asked, key)
        if code in _HOPELESS and not has_worked:
            return code
        # It ends by itself, and well, to read another configuration.
        if code == 0 or time.monotonic() - begun_s > LASTED_S:
            has_worked = True
            failures = 0
        asked.wait(pause_s(failures))
        failures += 1
    return 0


def _run(command: Sequence[str], name: str, asked: threading.Event, key: bytes) -> int:
    """Run one companion until it ends; ask it to end when this process is asked to."""
    bound = [
        *command,
        "--parent",
        str(os.getpid()),
        *(["--console"] if _at_terminal() else []),
    ]
    child = subprocess.Popen(  # noqa: S603 -- as we were told by our parent
        bound,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
    )
    assert child.stdout is not None  # noqa: S101 -- PIPE was asked for
    log = threading.Thread(target=_pass_on, args=(child.stdout.fileno(), name), daemon=True)
    log.start()
    _hand_over(child, key)
    try:
        return _ended(child, asked)
    finally:
        log.join(END_S)
        if not log.is_alive():
            child.stdout.close()


def _ended(child: subprocess.Popen[bytes], asked: threading.Event) -> int:
    while not asked.is_set():
        with suppress(subprocess.TimeoutExpired):
            return child.wait(0.2)
    child.terminate()
    try:
        return child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _at_terminal() -> bool:
    """Whether the log goes to a terminal; the uploader cannot see that itself."""
    try:
        return os.isatty(2)
    except OSError:
        return False


def _pass_on(log: int, name: str) -> None:
    """Pass on what a companion logs, until it has ended."""
    excerpt = Excerpt(LOGGED, time.monotonic())
    while data := os.read(log, READ_BYTES):
        _write(excerpt.feed(data, time.monotonic()), name)
        time.sleep(PAUSE_S)
    _write(excerpt.end(time.monotonic()), name)


def _write(lines: Sequence[Line], name: str) -> None:
    text = "".join(f"{_marked(line, name)}\n" for line in lines)
    if text and _at_terminal():
        text = f"\r\x1b[K{text}"  # in place of the line that the supervisor draws, and draws again
    rest = text.encode("utf-8", "backslashreplace")
    with suppress(OSError):  # a log that is full or gone stops nothing
        while rest:
            rest = rest[os.write(2, rest) :]


def _marked(line: Line, name: str) -> str:
    """A log line marked as the companion's, whatever its text claims."""
    try:
        said = json.loads(line.text)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        counted = {"left_out_bytes": line.left_out_bytes} if line.left_out_bytes else {}
        return json.dumps(said | counted | {"process": name})
    left_out = f" ({line.left_out_bytes} bytes were left out before)" if line.left_out_bytes else ""
    return f"{name}: {line.text}{left_out}"


def _hand_over(process: subprocess.Popen[bytes], key: bytes) -> None:
    """Write the key into a process's standard input; the pipe's buffer is larger than any key."""
    assert process.stdin is not None  # noqa: S101 -- PIPE was asked for
    with suppress(OSError), process.stdin as pipe:  # one that has ended already is seen by its exit code
        pipe.write(key)


if __name__ == "__main__":
    sys.exit(main())
