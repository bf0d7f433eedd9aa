"""Injects faults into the system calls of a process with strace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(
    script: str, *arguments: str, trace: Sequence[str], inject: Sequence[str], log: str = os.devnull
) -> subprocess.CompletedProcess[str]:
    """Run a module of the tests in Python under strace.

    Args:
        script: dotted name of the module.
        arguments: its arguments.
        trace: system calls that are traced; ``?`` before a name allows machines without it.
        inject: faults, in the syntax of strace's ``-e inject=``.
        log: file for the trace.
    """
    program = shutil.which("strace")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("strace is not installed")
        pytest.skip("strace is not installed")
    faults = [word for fault in inject for word in ("-e", f"inject={fault}")]
    return subprocess.run(
        [
            *(program, "-f", "-qq", "-o", log, "-e", f"trace={','.join(trace)}", *faults),
            *(sys.executable, "-B", "-m", script, *arguments),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
