"""Writes what an installed cutoutd consists of, as CycloneDX: ``python sbom.py PYTHON REQUIRED OUTPUT``.

PYTHON is the interpreter of an environment that holds cutoutd with its extras and nothing else; REQUIRED is a file with the names of
the packages that are there without any extra: the others are marked as optional. cyclonedx-bom lists the packages; to these come
the model, and the C libraries that wheels carry inside, of which no package's metadata tells.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

_LIBRARIES: Final = ("-P", "-m", "cutoutd.engine.formats.versions")
_MODEL: Final = (
    "-P", "-c", "from importlib.resources import files; print(files('cutoutd') / 'weights' / 'u2net-int8.onnx')",
)  # fmt: skip


def main(python: str, required: str, output: str) -> None:
    """Write the list of parts to ``output``."""
    names = set(map(_normalised, Path(required).read_text("utf-8").split()))
    if "cutoutd" not in names:
        sys.exit(f"{required} does not have the names of what is always installed")
    document: dict[str, Any] = json.loads(
        _said(
            sys.executable,
            "-m",
            "cyclonedx_py",
            "environment",
            "--output-reproducible",
            "--of",
            "JSON",
            python,
        )
    )
    parts = document.setdefault("components", [])
    for part in parts:
        part["scope"] = "required" if _normalised(part["name"]) in names else "optional"
    for package, libraries in sorted(json.loads(_said(python, *_LIBRARIES)).items()):
        for name, version in sorted(libraries.items()):
            if name == package:
                continue
            scope = "required" if _normalised(package) in names else "optional"
            parts.append({
                "type": "library", "name": name, "scope": scope, "version": version, "bom-ref": f"{package}/{name}",
                "description": f"carried by the wheel of {package}",
            })  # fmt: skip
    model = Path(_said(python, *_MODEL).strip())
    parts.append({
        "type": "machine-learning-model", "name": "u2net-int8", "scope": "required", "bom-ref": "u2net-int8",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(model.read_bytes()).hexdigest()}],
    })  # fmt: skip
    Path(output).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")
    optional = sum(part["scope"] == "optional" for part in parts)
    print(f"{output}: {len(parts)} parts, of which {optional} come with extras")


def _normalised(name: str) -> str:
    """The name of a package as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 -- fixed commands


if __name__ == "__main__":
    main(*sys.argv[1:])
