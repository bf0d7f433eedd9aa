"""Keeps the uploader, the gateway, the page or the API running beside the supervisor, whose own child processes have no network.

It is started as ``python -P -m cutoutd.cli.companions PARENT NAME COMMAND...`` before the supervisor gives up the network. The
key of the service comes through a pipe, its standard input, and is passed to each uploader in the same way, so it is in no
environment. The log of the companion comes through a pipe and is copied line by line, bounded and marked with its name: the
companion reads what servers answer, or what browsers send, and has access to neither the terminal nor the log file. This
module must import nothing but the standard library and what binds it to its parent, and must not read any configuration.
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

from cutoutd.errors import CutoutdError
from cutoutd.faults.backoff import pause_s
from cutoutd.process.companion_exit import NOT_NEEDED
from cutoutd.process.excerpt import Bounds, Excerpt
from cutoutd.process.stop_flag import StopFlag

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cutoutd.daemon.companion_watch import CompanionWatch
    from cutoutd.process.excerpt import Line


LASTED_S: Final = 60.0
"""A companion that has run for longer did not fail at its start: the back-off begins again."""

END_S: Final = 5.0
"""Time for a companion to end; an upload under way is then recorded as unknown."""

LOGGED: Final = Bounds(line_bytes=16_384, burst_bytes=1 << 20, bytes_per_s=8192.0, overhead_bytes=0)
"""For the log of an uploader: fifteen pictures a second for any time, and at most 700 MB a day of one that never stops."""

READ_BYTES: Final = 65_536

PAUSE_S: Final = 0.02
"""Pause between two reads: a companion that never stops is held up by its full pipe."""

_HOPELESS: Final = frozenset({2})
"""Exit codes of a first start after which another one is useless: wrong configuration. Not "already running": the uploader of an
earlier run may wait for a last answer. Once an uploader has worked, a wrong configuration is tolerated as well, since it may be
in the middle of an edit."""


@contextmanager
def keep_running(
    command: Sequence[str], watch: CompanionWatch, *, name: str, key: str = ""
) -> Iterator[None]:
    """Keep a companion running while the body runs.

    Args:
        command: command of the companion; it gets ``--parent``, at whose end it stops, and the key as its standard input.
        watch: notices if the keeper process itself ends.
        name: marks the lines of its log.
        key: key of the hosted service, if it is in no file; empty for none.
    """
    from cutoutd.process.child_environment import for_uploader  # noqa: PLC0415 -- the keeper process stays small

    me = [sys.executable, "-P", "-m", "cutoutd.cli.companions", str(os.getpid()), name, *command]
    # A session of its own: a Ctrl-C in the terminal is for the supervisor, which ends the keeper at its own end.
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
    """Start the command again and again, until told to end."""
    parent, name, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    from cutoutd.sandbox import limits  # noqa: PLC0415 -- after the lines that need nothing
    from cutoutd.sandbox.limits import die_with_parent, hide_memory  # noqa: PLC0415 -- likewise

    # The parent blocks it until its own handler is there.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    asked = StopFlag()
    signal.signal(signal.SIGTERM, lambda _, __: asked.set())
    try:
        die_with_parent(parent)
    except CutoutdError:
        return NOT_NEEDED  # it has ended meanwhile
    hide_memory()
    key = sys.stdin.buffer.read()
    limits.keep_terminal_for_writing()
    failures = 0
    has_worked = False
    while not asked.is_set():
        started_s = time.monotonic()
        code = _run(command, name, asked, key)
        if code == NOT_NEEDED or (code in _HOPELESS and not has_worked):
            return code
        # Exit code 0: it ended in order to read another configuration.
        if code == 0 or time.monotonic() - started_s > LASTED_S:
            has_worked = True
            failures = 0
        asked.wait(pause_s(failures))
        failures += 1
    return 0


def _run(command: Sequence[str], name: str, asked: StopFlag, key: bytes) -> int:
    """Run the companion until it ends, or until this process is told to end."""
    bound = [
        *command,
        "--parent",
        str(os.getpid()),
        *(["--console"] if _at_terminal() else []),
    ]
    child = subprocess.Popen(  # noqa: S603 -- the command comes from our parent
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


def _ended(child: subprocess.Popen[bytes], asked: StopFlag) -> int:
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
    """Whether the log goes to a terminal; the companion cannot see that itself."""
    try:
        return os.isatty(2)
    except OSError:
        return False


def _pass_on(log: int, name: str) -> None:
    """Copy the log of a companion until it has ended."""
    excerpt = Excerpt(LOGGED, time.monotonic())
    while data := os.read(log, READ_BYTES):
        _write(excerpt.feed(data, time.monotonic()), name)
        time.sleep(PAUSE_S)
    _write(excerpt.end(time.monotonic()), name)


def _write(lines: Sequence[Line], name: str) -> None:
    text = "".join(f"{_mark(line, name)}\n" for line in lines)
    if text and _at_terminal():
        text = f"\r\x1b[K{text}"  # replaces the progress line, which the supervisor draws again
    rest = text.encode("utf-8", "backslashreplace")
    with suppress(OSError):  # a log that is full or gone must not stop anything
        while rest:
            rest = rest[os.write(2, rest) :]


def _mark(line: Line, name: str) -> str:
    """Mark a log line with the name of the companion, whatever its text claims."""
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
    """Write the key to the standard input of a process; it always fits into the buffer of the pipe."""
    assert process.stdin is not None  # noqa: S101 -- PIPE was asked for
    with (
        suppress(OSError),
        process.stdin as pipe,
    ):  # a process that has ended already is noticed by its exit code
        pipe.write(key)


if __name__ == "__main__":
    sys.exit(main())
