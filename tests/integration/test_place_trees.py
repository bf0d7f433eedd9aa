"""A property of random trees of directories, links and mounts: no untagged picture leaves, and no own result is taken in."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.integration.tools import give_up, need

CASES = 8
"""Number of trees, of about a second each; `torture.places_tree` tries hundreds."""


def test_in_random_trees_nothing_untagged_leaves_and_no_result_is_taken_in() -> None:
    """Nor is a folder idle without a reason, a picture cut for two folders, or one destroyed."""
    need("unshare")
    command = [sys.executable, "-m", "tests.integration.place_trees", "1", str(CASES)]
    done = subprocess.run(
        ["unshare", "-m", *command], capture_output=True, text=True, check=False, timeout=240
    )
    if "unshare failed" in done.stderr:
        give_up("mount namespaces are not allowed here")
    assert done.stdout, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert not document["violations"], "\n".join(document["violations"])
    counts = document["counts"]
    assert counts["cases"] == CASES
    assert counts["mounts"]
    assert counts["pictures cut"]
    assert counts["folders that stood by"]


def test_the_property_sees_a_folder_that_ignores_where_places_are() -> None:
    """With the check for overlaps and the look for sidecars switched off, one tree shows pictures that leave and results that are taken in."""
    need("unshare")
    code = (
        "import sys; from cutoutd.folder import overlaps, own_results; "
        "overlaps.Overlaps.check = lambda self, folder, uuid=None: ''; "
        "own_results.ArrivedResults.is_one = lambda self, version: False; "
        "from tests.integration import place_trees; sys.exit(place_trees.main(14, 1))"
    )
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    if "unshare failed" in done.stderr:
        give_up("mount namespaces are not allowed here")
    assert done.stdout, done.stderr
    violations = json.loads(done.stdout.splitlines()[-1])["violations"]
    assert any("untagged picture" in one for one in violations)
    assert any("own result" in one for one in violations)
