"""Writes what an installed cutoutd consists of, as CycloneDX: ``python sbom.py PYTHON OUTPUT``.

PYTHON is the interpreter of an environment that holds cutoutd and nothing else. cyclonedx-bom lists its packages; to these come the
model, and the C libraries that wheels carry inside, of which no package's metadata tells.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

_LIBRARIES: Final = ("-P", "-m", "cutoutd.engine.formats.versions")
_MODEL: Final = (
    "-P", "-c", "from importlib.resources import files; print(files('cutoutd') / 'weights' / 'u2net-int8.onnx')",
)  # fmt: skip


def main(python: str, output: str) -> None:
    """Write the list of parts to ``output``."""
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
    for package, libraries in sorted(json.loads(_said(python, *_LIBRARIES)).items()):
        for name, version in sorted(libraries.items()):
            if name == package:
                continue
            parts.append({
                "type": "library", "name": name, "version": version, "bom-ref": f"{package}/{name}",
                "description": f"carried by the wheel of {package}",
            })  # fmt: skip
    model = Path(_said(python, *_MODEL).strip())
    parts.append({
        "type": "machine-learning-model", "name": "u2net-int8", "bom-ref": "u2net-int8",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(model.read_bytes()).hexdigest()}],
    })  # fmt: skip
    Path(output).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")
    print(f"{output}: {len(parts)} parts")


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 -- fixed commands


if __name__ == "__main__":
    main(*sys.argv[1:])
