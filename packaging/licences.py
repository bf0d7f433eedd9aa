"""Prints what a set of installed packages is licensed under, as a Markdown table: ``python licences.py SITE_PACKAGES``.

It reads what the packages say of themselves (PEP 639, else the classifiers), and the licence files that they bring.
Ends with 1 if one says nothing, or names a licence that is not in the list of those that allow passing it on.
"""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, distributions

_ALLOWED = (
    "MIT", "BSD", "Apache", "ISC", "PSF", "Python Software Foundation", "MPL", "Mozilla", "HPND", "LGPL", "Zlib", "CC0",
    "0BSD", "Unlicense",
)  # fmt: skip
"""Words in names of licences. The LGPL's and the MPL's parts are loaded as shared objects, and may be replaced."""


def licence_of(one: Distribution) -> str:
    """The licence as a package states it; empty: it does not."""
    meta = one.metadata
    if stated := meta.get("License-Expression"):
        return stated
    classified = [
        line.rpartition(" :: ")[2]
        for line in meta.get_all("Classifier") or []
        if line.startswith("License ::") and not line.endswith("OSI Approved")
    ]
    first = (meta.get("License") or "").strip().partition("\n")[0]
    return ", ".join(classified) or first[:60]


def main(place: str) -> int:
    """Print the table; 1: not all may be passed on."""
    doubtful = 0
    print("| package | version | licence | files |\n| --- | --- | --- | --- |")
    for one in sorted(distributions(path=[place]), key=lambda one: one.metadata["Name"].lower()):
        licence = licence_of(one)
        files = [
            str(file)
            for file in one.files or []
            if file.name.lower().startswith(("license", "licence", "copying", "notice", "thirdparty"))
        ]
        if not any(word in licence for word in _ALLOWED):
            print(f"{one.metadata['Name']}: no licence that is known here: {licence!r}", file=sys.stderr)
            doubtful = 1
        print(f"| {one.metadata['Name']} | {one.version} | {licence} | {len(files)} |")
    return doubtful


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
