"""Writes what an OCI runtime starts the image with, as compose.yaml asks for it: for `packaging/try-container`.

    python oci.py BUNDLE ROOT VOLUMES SECCOMP [--user UID:GID] [--netns PATH] [--env NAME=VALUE]... [--deny CALL]... -- COMMAND...

Read-only root, no capability (but to become another user, where it starts as root), no new privileges, and the system
calls that Docker and Podman allow by default. Without --netns: a network namespace of its own with nothing in it.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any, Final

NAMESPACES: Final = ("pid", "ipc", "uts", "mount", "network", "cgroup")
ROOTS: Final = ("CAP_SETUID", "CAP_SETGID", "CAP_CHOWN")
PLACES: Final = ("in", "out", "state", "config")


def seccomp(file: Path, denied: list[str]) -> dict[str, Any]:
    """Docker's list in the form of the runtime specification.

    Args:
        file: as containers/common has it; rules that need a capability are left out, since there is none.
        denied: calls that are unknown to the kernel of some systems, and so are made to fail with ENOSYS.
    """
    said = json.loads(file.read_text(encoding="utf-8"))
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    calls = []
    for rule in said["syscalls"]:
        when, unless = rule.get("includes") or {}, rule.get("excludes") or {}
        if when.get("caps") or arch not in when.get("arches", [arch]) or arch in unless.get("arches", []):
            continue
        one = {"names": [name for name in rule["names"] if name not in denied], "action": rule["action"]}
        if rule.get("errnoRet") is not None:
            one["errnoRet"] = rule["errnoRet"]
        if rule.get("args"):
            one["args"] = rule["args"]
        if one["names"]:
            calls.append(one)
    if denied:
        calls.append({"names": denied, "action": "SCMP_ACT_ERRNO", "errnoRet": 38})
    machines = [
        name
        for entry in said["archMap"]
        for name in (entry["architecture"], *(entry["subArchitectures"] or ()))
    ]
    native = f"SCMP_ARCH_{platform.machine().upper()}"
    return {
        "defaultAction": said["defaultAction"],
        "defaultErrnoRet": said.get("defaultErrnoRet", 1),
        "architectures": [native] if native in machines else machines,
        "syscalls": calls,
    }


def configuration(asked: argparse.Namespace) -> dict[str, Any]:
    """The whole of it."""
    uid, gid = map(int, asked.user.split(":"))
    rights = list(ROOTS) if uid == 0 else []
    tmpfs = {"type": "tmpfs", "source": "tmpfs"}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": uid, "gid": gid},
            "args": asked.command,
            "cwd": "/state",
            "env": [
                "PATH=/usr/local/bin:/usr/bin:/bin",
                "LANG=C.UTF-8",
                "HOME=/state",
                "CUTOUTD_CONFIG=/config/cutoutd.toml",
                "CUTOUTD_SERVICE__STATE_DIR=/state/cutoutd",
                *asked.env,
            ],
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), rights),
            "noNewPrivileges": True,
        },
        "root": {"path": str(asked.root), "readonly": True},
        "hostname": "cutoutd",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", **tmpfs, "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/shm", **tmpfs, "options": ["nosuid", "noexec", "nodev", "mode=1777"]},  # noqa: S108 -- the container's
            {"destination": "/tmp", **tmpfs, "options": ["nosuid", "nodev", "mode=1777", "size=256m"]},  # noqa: S108 -- the container's
            *(
                {
                    "destination": f"/{place}",
                    "type": "bind",
                    "source": str(asked.volumes / place),
                    "options": ["rbind", "rw"],
                }
                for place in PLACES
            ),
        ],
        "linux": {
            "namespaces": [
                {"type": kind} | ({"path": asked.netns} if kind == "network" and asked.netns else {})
                for kind in NAMESPACES
            ],
            "seccomp": seccomp(asked.seccomp, asked.deny),
            "maskedPaths": [
                "/proc/acpi",
                "/proc/kcore",
                "/proc/keys",
                "/proc/timer_list",
                "/proc/sched_debug",
                "/sys/firmware",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def main() -> None:
    """Write BUNDLE/config.json."""
    parser = argparse.ArgumentParser()
    for name in ("bundle", "root", "volumes", "seccomp"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--user", default="1000:1000")
    parser.add_argument("--netns", default="")
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--deny", action="append", default=[])
    cut = sys.argv.index("--")
    asked = parser.parse_args(sys.argv[1:cut])
    asked.command = sys.argv[cut + 1 :]
    asked.bundle.mkdir(parents=True, exist_ok=True)
    (asked.bundle / "config.json").write_text(json.dumps(configuration(asked)), encoding="utf-8")


if __name__ == "__main__":
    main()
