"""Prints what a set of installed packages is licensed under, as a Markdown table.

    python licences.py SITE_PACKAGES            what pip has installed there
    python licences.py --debian ROOT [NAME...]  what dpkg has installed below ROOT, all or the packages that are named

It reads what the packages say of themselves (PEP 639, else the classifiers), and counts the licence files that are there. Ends
with 1 if one says nothing, has no list of its files, or names a licence that is not in the list of those that allow passing it on. Debian's main
section has nothing but what may be passed on: there a package is in doubt only if the file with its licences is missing.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

_ALLOWED = (
    "MIT", "BSD", "Apache", "ISC", "PSF", "Python Software Foundation", "MPL", "Mozilla", "HPND", "LGPL", "Zlib", "CC0",
    "0BSD", "Unlicense",
)  # fmt: skip
"""Words in names of licences. The LGPL's and the MPL's parts are loaded as shared objects, and may be replaced."""


_NAMES = ("license", "licence", "copying", "notice", "thirdparty")
"""What names of licence files begin with."""


def licence_of(one: Distribution) -> str:
    """The licence as a package states it; empty: it does not."""
    meta = one.metadata.json
    if stated := meta.get("license_expression"):
        return str(stated)
    classified = [
        line.rpartition(" :: ")[2]
        for line in meta.get("classifier", [])
        if line.startswith("License ::") and not line.endswith("OSI Approved")
    ]
    first = str(meta.get("license", "")).strip().partition("\n")[0]
    return ", ".join(classified) or first[:60]


def debian(root: Path, names: list[str]) -> int:
    """Print the table of Debian's packages; 1: one of them does not say what it is licensed under."""
    doubtful = 0
    print("| Debian package | version | licences, as its copyright file names them |\n| --- | --- | --- |")
    status = (root / "var/lib/dpkg/status").read_text(encoding="utf-8")
    for paragraph in sorted(status.split("\n\n")):
        said = dict(re.findall(r"^(Package|Status|Version): (.*)$", paragraph, re.MULTILINE))
        if not said.get("Status", "").endswith(" installed") or (names and said["Package"] not in names):
            continue
        file = root / "usr/share/doc" / said["Package"] / "copyright"
        text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
        found = re.findall(r"^Licen[sc]e: *(\w\S*(?: \S+){,6})$", text, re.MULTILINE)
        # Older files are prose, and name the texts that Debian keeps once for all.
        found = found or [name.rstrip(".") for name in re.findall(r"common-licenses/([\w.+-]+)", text)]
        if not text:
            print(f"{said['Package']}: there is no {file}", file=sys.stderr)
            doubtful = 1
        shown = ", ".join(sorted(set(found))) or "see its copyright file"
        print(f"| {said['Package']} | {said['Version']} | {shown.replace('|', 'or')} |")
    return doubtful


def main(place: str) -> int:
    """Print the table of pip's packages; 1: not all may be passed on."""
    doubtful = 0
    print("| package | version | licence | files |\n| --- | --- | --- | --- |")
    for one in sorted(distributions(path=[place]), key=lambda one: one.metadata["Name"].lower()):
        licence = licence_of(one)
        if one.files is None:
            print(f"{one.metadata['Name']}: without RECORD its licence files are not known", file=sys.stderr)
            doubtful = 1
        files = [
            file
            for file in one.files or []
            if file.name.lower().startswith(_NAMES) and Path(str(file.locate())).exists()
        ]
        if not any(word in licence for word in _ALLOWED):
            print(f"{one.metadata['Name']}: no licence that is known here: {licence!r}", file=sys.stderr)
            doubtful = 1
        print(f"| {one.metadata['Name']} | {one.version} | {licence} | {len(files)} |")
    return doubtful


if __name__ == "__main__":
    if sys.argv[1] == "--debian":
        sys.exit(debian(Path(sys.argv[2]), sys.argv[3:]))
    sys.exit(main(sys.argv[1]))
