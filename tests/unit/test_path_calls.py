"""Modules that walk places in which others can write reach every file by a descriptor of its directory.

A path is resolved anew at every call, by whatever links lie on it at that moment. So each call that takes a path is
refused there, unless it is listed below with the reason why nobody can turn it.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import cutoutd

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE: Final = Path(cutoutd.__file__).parent
WALKERS: Final = (
    "publish",
    "intake",
    "daemon",
    "folder",
    "delivery",
    "offload",
    "lease",
    "hooks",
    "fs/tree.py",
    "doctor/places.py",
    "doctor/trial.py",
)

RELATIVE: Final = {"dir_fd", "src_dir_fd"}
"""Parameters that state which directory a name is in."""

OF_OS: Final = frozenset(
    [
        "open",
        "rename",
        "replace",
        "unlink",
        "remove",
        "rmdir",
        "removedirs",
        "mkdir",
        "makedirs",
        "link",
        "symlink",
        "readlink",
        "stat",
        "lstat",
        "access",
        "chmod",
        "lchmod",
        "chown",
        "lchown",
        "utime",
        "truncate",
        "mkfifo",
        "mknod",
        "listdir",
        "scandir",
        "walk",
        "statvfs",
        "getxattr",
        "setxattr",
        "listxattr",
        "removexattr",
    ]
)

OF_OS_PATH: Final = frozenset(
    {"exists", "lexists", "isfile", "isdir", "islink", "realpath", "getsize", "samefile"}
)

OF_PATH: Final = frozenset(
    [
        "read_text",
        "read_bytes",
        "write_text",
        "write_bytes",
        "iterdir",
        "glob",
        "rglob",
        "walk",
        "touch",
        "mkdir",
        "rmdir",
        "rename",
        "symlink_to",
        "hardlink_to",
        "is_file",
        "is_dir",
        "is_symlink",
        "is_mount",
        "samefile",
        "resolve",
    ]
)
"""Methods that in these modules only a Path has."""

OF_BOTH: Final = frozenset({"open", "unlink", "exists", "lstat", "stat", "chmod", "replace", "readlink"})
"""Methods of a Path that an `Entry` or a text has as well: the value's type decides."""

ROOT: Final = "the root itself, which its owner named, and which may be reached by a link"
DESCRIPTOR: Final = "of a descriptor"
PRIVATE: Final = "in the state directory, which is this user's alone: see `cutoutd.fs.private_directory`"
SYSTEM: Final = "a file of the system's"
QUESTION: Final = "a question whose answer lets nobody touch anything"

OWN: Final = "in a directory that it has just made for itself alone"

ALONE: Final = {
    "offload/spool_files.py": PRIVATE,
    "offload/cluster_route.py": PRIVATE,
    "offload/outbox.py": PRIVATE,
    "daemon/status_file.py": PRIVATE,
    "doctor/trial.py": OWN,
}
"""Modules that use private places only, with the reason."""

ALLOWED: Final = {
    "daemon/alarm.py:_current_concerns:os.path.exists": PRIVATE,
    "delivery/originals.py:_confirm:os.path.lexists": QUESTION,
    "delivery/originals.py:_confirm:Path.stat": ROOT,
    "delivery/originals.py:_output_now:Path.stat": ROOT,
    "folder/arrivals.py:_hold_up:Path.stat": ROOT,
    "folder/arrivals.py:_look_at:Path.touch": "no path: a tracker's",
    "daemon/assembly.py:check_backgrounds:Path.is_file": "a picture that the configuration names",
    "offload/webhook_handover.py:expects_more:os.path.lexists": PRIVATE,
    "folder/prerequisites.py:missing_background:os.stat": "a picture that the configuration names",
    "folder/prerequisites.py:missing_room:shutil.disk_usage": ROOT,
    "folder/health.py:check:os.stat": QUESTION,
    "folder/recognition.py:why_marked:os.lstat": QUESTION,
    "delivery/former_paths.py:_is_one:Path.is_dir": ROOT,
    "delivery/known_pictures.py:present:Path.stat": ROOT,
    "folder/source_changes.py:_sha256:os.stat": ROOT,
    "folder/submissions.py:_isolated:Path.stat": ROOT,
    "fs/tree.py:open_directory:os.open": ROOT,
    "doctor/places.py:_census:os.scandir": DESCRIPTOR,
    "doctor/places.py:_census:Path.is_dir": "an entry of an open directory",
    "doctor/places.py:_clear_away:os.listdir": DESCRIPTOR,
    "doctor/places.py:_input:os.access": ROOT,
    "doctor/places.py:_input:os.scandir": ROOT,
    "doctor/places.py:_input:os.stat": ROOT,
    "doctor/places.py:_target:os.access": QUESTION,
    "doctor/places.py:_target:Path.exists": ROOT,
    "doctor/places.py:_target:Path.stat": ROOT,
    "doctor/places.py:_target:shutil.disk_usage": ROOT,
    "intake/filesystems.py:mount_number:Path.read_text": SYSTEM,
    "intake/filesystems.py:mounts:Path.read_bytes": SYSTEM,
    "intake/filesystems.py:watch_mode:os.path.realpath": ROOT,
    "intake/filesystems.py:watch_mode:Path.read_bytes": SYSTEM,
    "intake/inotify.py:_is_readable:os.access": QUESTION,
    "intake/location.py:_identity:os.lstat": QUESTION,
    "intake/location.py:_mount_number:os.open": QUESTION,
    "intake/location.py:_resolve:os.lstat": QUESTION,
    "intake/location.py:_resolve:os.readlink": QUESTION,
    "intake/location.py:locate:os.path.lexists": QUESTION,
    "intake/mounts.py:locate_on_mounts:os.open": QUESTION,
    "intake/mounts.py:locate_on_mounts:os.path.realpath": ROOT,
    "lease/marker.py:_give_name:os.listdir": DESCRIPTOR,
    "lease/marker.py:find:os.scandir": DESCRIPTOR,
    "lease/marker.py:opened:os.open": ROOT,
    "lease/marker.py:tidy:os.listdir": DESCRIPTOR,
    "intake/scan.py:_list:os.scandir": DESCRIPTOR,
    "intake/scan.py:_visit:Path.is_dir": "an entry of an open directory",
    "intake/scan.py:_visit:Path.is_symlink": "an entry of an open directory",
    "lease/epochs.py:all_claims:os.listdir": DESCRIPTOR,
    "lease/epochs.py:end_before:os.listdir": DESCRIPTOR,
    "intake/watch.py:_arm:os.path.realpath": "watches alone: a scan decides what is there",
    "intake/watch.py:_arm:Path.is_dir": "watches alone: a scan decides what is there",
    "intake/watch.py:_identity:Path.stat": ROOT,
    "publish/access.py:_attribute:os.getxattr": DESCRIPTOR,
    "publish/access.py:_give:os.removexattr": DESCRIPTOR,
    "publish/access.py:_give:os.setxattr": DESCRIPTOR,
    "publish/access.py:_made_beside:os.open": "only of an `Entry` without a directory, which no place of a folder has",
    "publish/access.py:_umask:Path.read_text": SYSTEM,
    "publish/originals.py:_copy_extended:os.getxattr": DESCRIPTOR,
    "publish/originals.py:_copy_extended:os.listxattr": DESCRIPTOR,
    "publish/originals.py:_copy_extended:os.setxattr": DESCRIPTOR,
    "publish/originals.py:copy_attributes:os.utime": DESCRIPTOR,
    "publish/failures.py:_records_below:Path.is_dir": ROOT,
    "publish/original_file.py:inside:Path.is_dir": ROOT,
    "publish/records.py:kept:Path.is_dir": ROOT,
    "publish/writing.py:_permit_what_works:os.setxattr": DESCRIPTOR,
    "publish/targets.py:claim_on:os.path.realpath": "a text for comparison",
    "fs/tree.py:find:Path.is_dir": ROOT,
    "fs/tree.py:list:os.scandir": DESCRIPTOR,
    "fs/tree.py:list:Path.is_dir": "an entry of an open directory",
    "fs/tree.py:sync_directory:os.open": "only of an `Entry` without a directory, which no place of a folder has",
}
"""Reasons for the allowed calls, by module, function and call."""


def _calls(module: Path) -> Iterator[tuple[str, str, int]]:
    """Yield function, call and line of each call that takes a path."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for function in [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]:
        paths = _paths(function)
        for call in [one for one in ast.walk(function) if isinstance(one, ast.Call)]:
            if word := _taking_a_path(call, paths):
                yield function.name, word, call.lineno


def _paths(function: ast.FunctionDef) -> set[str]:
    """Return the names that are paths in a function, by annotation or assigned value."""
    arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    found = {
        one.arg for one in arguments if one.annotation is not None and "Path" in ast.unparse(one.annotation)
    }
    for one in ast.walk(function):
        if isinstance(one, ast.Assign) and _is_path(one.value, found):
            found |= {target.id for target in one.targets if isinstance(target, ast.Name)}
        elif (
            isinstance(one, ast.For)
            and isinstance(one.target, ast.Name)
            and "iterdir" in ast.unparse(one.iter)
        ):
            found.add(one.target.id)
    return found


def _is_path(value: ast.expr, known: set[str]) -> bool:
    """Return whether an expression is a path."""
    match value:
        case ast.Name(id=name):
            return name in known
        case ast.BinOp(op=ast.Div()) | ast.Call(func=ast.Name(id="Path")):
            return True
        case ast.Attribute(attr=name):
            return name in ("path", "root", "parent", "directory", "_path", "_root", "_directory") or (
                name.endswith(("_dir", "output", "input"))
            )
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in ("with_suffix", "with_name", "absolute", "expanduser")
    return False


def _taking_a_path(call: ast.Call, paths: set[str]) -> str:
    """Return the name of a call that takes a path; empty for other calls."""
    found = ""
    match call.func:
        case ast.Name(id="open"):
            found = "open"
        case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in OF_OS:
            found = f"os.{name}"
        case ast.Attribute(value=ast.Attribute(value=ast.Name(id="os"), attr="path"), attr=name):
            found = f"os.path.{name}" if name in OF_OS_PATH else ""
        case ast.Attribute(value=ast.Name(id="shutil"), attr=name):
            found = f"shutil.{name}"
        case ast.Attribute(attr=name) if name in OF_PATH:
            found = f"Path.{name}"
        case ast.Attribute(value=value, attr=name) if name in OF_BOTH and _is_path(value, paths):
            found = f"Path.{name}"
    return "" if RELATIVE & {keyword.arg for keyword in call.keywords} else found


def _modules() -> Iterator[Path]:
    """Yield the modules that are checked."""
    for name in WALKERS:
        place = SOURCE / name
        for module in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            if os.fspath(module.relative_to(SOURCE)) not in ALONE:
                yield module


def test_every_call_that_takes_a_path_has_its_reason() -> None:
    """A new call fails here: use a `Tree`, or list why no link can redirect the path."""
    found = {
        f"{module.relative_to(SOURCE)}:{function}:{call}": line
        for module in _modules()
        for function, call, line in _calls(module)
    }
    new = {f"{where} (line {line})" for where, line in found.items() if where not in ALLOWED}
    assert not new, "\n".join(sorted(new))
    assert not (gone := set(ALLOWED) - set(found)), f"no longer needed: {sorted(gone)}"


@pytest.mark.parametrize(
    "code",
    [
        "os.unlink(name)",
        "os.rename(a, b)",
        "shutil.rmtree(place)",
        "shutil.copyfile(a, b)",
        "open(place)",
        "(self._output / name).unlink()",
        "Path(name).open()",
        "where.write_bytes(b'')",
        "folder.output.exists()",
        "os.path.realpath(name)",
    ],
)
def test_forbidden_calls_are_found(code: str, tmp_path: Path) -> None:
    """The check finds each of these forms."""
    module = tmp_path / "module.py"
    module.write_text(f"def act(name: str, where: Path) -> None:\n    {code}\n")
    assert list(_calls(module))


@pytest.mark.parametrize(
    "code", ["os.unlink(name, dir_fd=here)", "entry.unlink()", "text.replace('a', 'b')", "tree.open('')"]
)
def test_calls_by_a_descriptor_are_not_reported(code: str, tmp_path: Path) -> None:
    """Nor are calls of an `Entry` or a `Tree`."""
    module = tmp_path / "module.py"
    module.write_text(f"def act(name: str, here: int) -> None:\n    {code}\n")
    assert not list(_calls(module))
