"""Runs commands under other limits or permissions, in namespaces of the kernel."""

from __future__ import annotations

import subprocess

from tests.integration.tools import give_up, need


def in_namespace(*arguments: str) -> str:
    """Run ``unshare`` with these arguments.

    Returns:
        What the command wrote to its standard output.
    """
    need("unshare")
    if subprocess.run(["unshare", "-Ur", "true"], check=False, capture_output=True).returncode != 0:
        give_up("user namespaces are not allowed here")
    run = subprocess.run(["unshare", *arguments], check=False, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout
