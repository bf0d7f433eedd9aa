"""Which decoders are installed, down to the C libraries inside the packages, and whether they have known vulnerabilities.

A separate process reads the versions. This module must not load a decoder.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from cutoutd.doctor.finding import Finding, note, ok, problem
from cutoutd.process import probe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TIMEOUT_S: Final = 60.0

_CLOSED_IN: Final = {
    "libheif": "1.23.5",  # CVE-2026-84383 (1.23.2), GHSA-x8r2-mggj-j6wr (1.23.3), GHSA-v8qw-hwjv-44hw (1.23.5)
    "libde265": "1.1.2",  # CVE-2026-54240, CVE-2026-54241 (1.1.1), GHSA-xp3h-6f5r-8cxp, GHSA-mm7m-v26f-wf8x (1.1.2)
    "LibRaw": "0.22.2",  # TALOS-2026-2330 to -2364 (0.22.1); writes beyond buffers in the readers of X3F and Phase One
    "libtiff": "4.7.2",  # CVE-2025-9900 (4.7.1), CVE-2026-4775, CVE-2026-12912, CVE-2026-36849
    "libwebp": "1.3.2",  # CVE-2023-4863
    "libavif": "1.3.0",  # CVE-2025-48174, CVE-2025-48175
    "dav1d": "1.4.0",  # CVE-2024-1580
    "OpenJPEG": "2.5.4",  # CVE-2025-54874
    "libjpeg-turbo": "3.0.0",  # CVE-2023-2804
}
"""First version of each library without the vulnerabilities that we know. Public advisories were last read in October 2026; this
list is not a substitute for a scanner."""

_OPENCV: Final = "opencv-python-headless"
_GIVEN: Final = "OpenJPEG"
"""The only decoder of OpenCV's that gets files: JPEG 2000 with more than 8 bits, after Pillow's copy of the same library has read
them without an error. So only vulnerabilities that this copy has too can matter."""


def collect() -> probe.ProbeResult:
    """Read the versions in a separate process."""
    return probe.run("cutoutd.engine.formats.versions", (), timeout_s=_TIMEOUT_S)


def judge(answer: probe.ProbeResult, formats: Sequence[str]) -> Iterator[Finding]:
    """Judge the versions of the decoders.

    Args:
        answer: result of `collect`.
        formats: enabled formats.
    """
    found = answer.merged.get("decoders")
    if not answer.ended or not isinstance(found, dict):
        why = answer.why or "they gave no answer"
        yield problem("decoders", f"their versions are not known: {why}", "Install cutoutd again.")
        return
    listed = [_listed(package, libraries) for package, libraries in found.items()]
    yield ok("decoders", f"{'; '.join(listed)}. Formats that are read: {', '.join(map(str, formats))}")
    for package, libraries in found.items():
        if package != _OPENCV:
            yield from _old(package, libraries)


def _listed(package: str, libraries: Mapping[str, Any]) -> str:
    inside = [f"{name} {version or '?'}" for name, version in libraries.items() if name != package]
    given = (
        f" (cutoutd uses only {_GIVEN} of these, on files that Pillow has read before)"
        if package == _OPENCV
        else ""
    )
    return f"{package} {libraries.get(package, '?')} with {', '.join(inside) or 'nothing of its own'}{given}"


def _old(package: str, libraries: Mapping[str, Any]) -> Iterator[Finding]:
    for library, least in _CLOSED_IN.items():
        version = str(libraries.get(library, ""))
        if version and _numbers(version) < _numbers(least):
            yield note(
                "decoders",
                f"{package} brings {library} {version}, which has known vulnerabilities that {least} fixes",
                f"Install a newer {package}, or leave the formats it reads out of [pool] formats. A distribution may have "
                "fixed them under the old number.",
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
