"""Writes what an installed cutoutd consists of, as CycloneDX: ``python sbom.py PYTHON REQUIRED OUTPUT``.

PYTHON is the interpreter of an environment that holds cutoutd with its extras and nothing else; REQUIRED is a file with the names of
the packages that are there without any extra: the others are marked as optional. cyclonedx-bom lists the packages; to these come
the model, and the C libraries that wheels carry inside, of which no package's metadata tells.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

# What PYTHONPATH names is for cyclonedx-bom alone: the Python that it asks would count it as installed.
_LIST: Final = "import os, runpy; os.environ.pop('PYTHONPATH', None); runpy.run_module('cyclonedx_py', run_name='__main__', alter_sys=True)"
_INSTALLED: Final = (
    "from importlib.metadata import distributions; print(*(one.name for one in distributions()))"
)
_LIBRARIES: Final = ("-P", "-m", "cutoutd.engine.formats.versions")
_MODEL: Final = (
    "-P", "-c", "from importlib.resources import files; print(files('cutoutd') / 'weights' / 'u2net-int8.onnx')",
)  # fmt: skip


def main(python: str, required: str, output: str) -> None:
    """Write the list of parts to ``output``."""
    listing = (sys.executable, "-c", _LIST, "environment", "--output-reproducible", "--of", "JSON", python)
    document: dict[str, Any] = json.loads(_said(*listing, path=os.environ.get("PYTHONPATH")))
    always = _names(Path(required).read_text("utf-8"))
    parts = document.setdefault("components", [])
    found = {
        _normalised(part["name"]) for part in (*parts, document["metadata"].get("component", {"name": ""}))
    }
    if _names(_said(python, "-P", "-c", _INSTALLED)) != found - {""} or "cutoutd" not in always:
        sys.exit(f"{python} has other packages than cyclonedx-bom lists, or {required} lacks cutoutd")
    parts += carried(json.loads(_said(python, *_LIBRARIES)))
    for part in parts:
        package = part["bom-ref"].partition("/")[0] if "/" in part["bom-ref"] else part["name"]
        part["scope"] = "required" if _normalised(package) in always else "optional"
    model = Path(_said(python, *_MODEL).strip())
    parts.append({
        "type": "machine-learning-model", "name": "u2net-int8", "scope": "required", "bom-ref": "u2net-int8",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(model.read_bytes()).hexdigest()}],
    })  # fmt: skip
    Path(output).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")
    optional = sum(part["scope"] == "optional" for part in parts)
    print(f"{output}: {len(parts)} parts, of which {optional} come with extras")


def carried(versions: dict[str, dict[str, dict[str, str]]]) -> list[dict[str, str]]:
    """The C libraries that wheels have inside, as parts.

    Args:
        versions: what cutoutd.engine.formats.versions writes: for each package its version, and those of its libraries; an empty one
            is not known.
    """
    return [
        {
            "type": "library", "name": name, "bom-ref": f"{package}/{name}", "description": f"carried by the wheel of {package}",
            **({"version": version} if version else {}),
        }
        for package, libraries in sorted(versions["decoders"].items())
        for name, version in sorted(libraries.items())
        if name != package
    ]  # fmt: skip


def _names(text: str) -> set[str]:
    return set(map(_normalised, text.split()))


def _normalised(name: str) -> str:
    """The name of a package as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _said(*command: str, path: str | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = path
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603 -- fixed commands
    return ran.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
