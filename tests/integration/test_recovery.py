"""Killed before every single system call of publishing: there is always one complete result, and nothing left over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cutoutd.errors import StorageError
from cutoutd.publish.plan import Plan
from tests.integration import strace
from tests.integration.publishing import OutputFolder, digest
from tests.integration.publishing_killed import DONE, KILL_AT, NEW, OLD, PLAN, SOURCE, remember

# Python uses one or the other of each pair, by platform.
_RENAME = ("?rename", "?renameat")
_OTHERS = ("?mkdir", "?mkdirat", "write", "fsync", "?link", "linkat", "?unlink", "unlinkat", "?rmdir")
_KILL = f"signal=SIGKILL:when={KILL_AT}"
NAMES = ("a.png", "a_1.png", "a_2.png")
WANTED = {f"sub/{name}": content for name, content in zip(NAMES, NEW, strict=True)}


@pytest.mark.parametrize(
    ("scenario", "no_renameat2", "least"),
    [
        ("replace", False, 20),
        ("sidecar folder", False, 20),
        ("new", True, 24),
        ("recover", True, 12),
    ],
)
def test_a_kill_before_any_system_call_is_repaired(
    tmp_path: Path, scenario: str, *, no_renameat2: bool, least: int
) -> None:
    """Once with the rename that never replaces, once on a file system that has only hard links."""
    calls = (*_RENAME, *_OTHERS)
    inject = [f"{','.join(calls)}:{_KILL}", f"renameat2:{'error=EINVAL' if no_renameat2 else _KILL}"]
    done = strace.run(
        "tests.integration.publishing_killed",
        str(tmp_path),
        scenario,
        *(["rename_new"] if no_renameat2 else []),
        trace=(*calls, "renameat2"),
        inject=inject,
    )
    assert done.returncode == 0, done.stderr
    kills: dict[str, int] = json.loads(done.stdout)
    assert sum(kills.values()) >= least, kills
    for call, count in kills.items():
        for nth in range(1, count + 1):
            _check(tmp_path / f"{call}-{nth}", scenario)


def _check(root: Path, scenario: str) -> None:
    """Repair as the next start does, and check what it leaves."""
    output_folder = OutputFolder(root, sidecars=scenario == "sidecar folder", run="run-2")
    remember(output_folder, root)
    if (root / PLAN).exists():
        plan = Plan.from_json((root / PLAN).read_text())
        for _ in range(2):  # the repair itself may have been repeated
            assert output_folder.publisher.recover(plan).is_finished, root
        assert output_folder.staged() == [], root
    else:
        before = {f"sub/{name}": content for name, content in zip(NAMES, OLD, strict=True)}
        before = before if scenario == "replace" else {}
        assert output_folder.files() == before, root
        output_folder.publish(SOURCE, *NEW, job=3)
    assert output_folder.files() == WANTED, root
    outputs = {output["path"]: output["sha256"] for output in output_folder.sidecar("sub/a.png")["outputs"]}
    assert outputs == {name: digest(data) for name, data in WANTED.items()}, root
    assert len(output_folder.everything()) == len(NEW) + 1, root
    output_folder.sweep()
    assert not any(path.name.startswith(".") for path in root.rglob("*")), root
    assert (root / DONE).exists() <= (root / PLAN).exists(), root


def _interrupted(output_folder: OutputFolder, *, old: tuple[bytes, ...] = ()) -> Plan:
    """Return a recorded plan with its first move made."""
    if old:
        output_folder.publish("a.jpg", *old)
    plan = output_folder.plan(output_folder.results("a.jpg", NEW, job=2))
    (output_folder.output / "a.png").unlink(missing_ok=True)
    Path(plan.moves[0].staged).rename(output_folder.output / "a.png")
    return plan


def test_a_result_that_is_gone_is_computed_again_and_published_once(tmp_path: Path) -> None:
    """Results that have their names are reported, so that they count as published although the journal never recorded that."""
    output_folder = OutputFolder(tmp_path)
    plan = _interrupted(output_folder)
    Path(plan.moves[1].staged).unlink()
    recovery = output_folder.publisher.recover(plan)
    assert not recovery.is_finished
    assert [one.path for one in recovery.published] == ["a.png"]
    assert output_folder.staged() == []
    output_folder.published["a.jpg"] = recovery.published
    assert output_folder.publish("a.jpg", b"computed otherwise", *NEW[1:], job=3) == NAMES
    assert output_folder.files() == {"a.png": b"computed otherwise", "a_1.png": NEW[1], "a_2.png": NEW[2]}


@pytest.mark.parametrize("old", [(), OLD])
def test_a_torn_staged_file_never_gets_a_name(tmp_path: Path, old: tuple[bytes, ...]) -> None:
    """A crash of the machine may leave less than was written."""
    output_folder = OutputFolder(tmp_path)
    plan = _interrupted(output_folder, old=old)
    Path(plan.moves[1].staged).write_bytes(NEW[1][:3])
    assert not output_folder.publisher.recover(plan).is_finished
    assert output_folder.files() == {"a.png": NEW[0]} | (
        {"a_1.png": OLD[1], "a_2.png": OLD[2]} if old else {}
    )


@pytest.mark.parametrize("old", [(), OLD])
def test_a_file_that_came_while_we_were_down_is_not_replaced(tmp_path: Path, old: tuple[bytes, ...]) -> None:
    """The results are computed again and get other names; the existing one is not duplicated."""
    output_folder = OutputFolder(tmp_path)
    plan = _interrupted(output_folder, old=old)
    (output_folder.output / "a_1.png").write_bytes(b"theirs")
    recovery = output_folder.publisher.recover(plan)
    assert not recovery.is_finished
    assert output_folder.publish("a.jpg", *NEW, job=3) == ("a.png", "a-jpg_1.png", "a_2.png")
    assert output_folder.files() == {
        "a.png": NEW[0],
        "a_1.png": b"theirs",
        "a-jpg_1.png": NEW[1],
        "a_2.png": NEW[2],
    }
    output_folder.sweep()
    assert len(output_folder.everything()) == 5


def test_a_share_that_is_away_has_lost_nothing(tmp_path: Path) -> None:
    """The plan waits until it is back."""
    output_folder = OutputFolder(tmp_path)
    plan = _interrupted(output_folder)
    away = output_folder.output.rename(tmp_path / "away")
    with pytest.raises(StorageError):
        output_folder.publisher.recover(plan)
    away.rename(output_folder.output)
    assert output_folder.publisher.recover(plan).is_finished
    assert output_folder.files() == dict(zip(NAMES, NEW, strict=True))
