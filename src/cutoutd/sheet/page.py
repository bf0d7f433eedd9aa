"""The page of a contact sheet: one self-contained HTML file, generated picture by picture, so that memory stays constant.

Names are not trusted: everything is escaped, and a content security policy forbids anything that could be loaded or run.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEAD: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --paper: #fff; --ink: #222; --faint: #777; --line: #ddd; --bad: #b3261e; --doubt: #8a5a00; }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #1b1b1b; --ink: #eee; --faint: #999; --line: #444; --bad: #ff8a80; --doubt: #ffc46b; }} }}
body {{ margin: 1.5rem; background: var(--paper); color: var(--ink); font: 14px/1.4 system-ui, sans-serif; }}
h1 {{ font-size: 1.3rem; margin: 0 0 .2rem; }}
p {{ color: var(--faint); margin: 0 0 1.2rem; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 1rem; }}
figure {{ margin: 0; border: 1px solid var(--line); border-radius: 6px; overflow: hidden; break-inside: avoid; }}
.pair {{ display: grid; grid-template-columns: 1fr 1fr; }}
.pair div {{ aspect-ratio: 1; min-width: 0; min-height: 0; display: flex; align-items: center; justify-content: center; overflow: hidden; }}
.after {{ background: repeating-conic-gradient(#c8c8c8 0 25%, #f4f4f4 0 50%) 0 0 / 18px 18px; }}
img {{ width: 100%; height: 100%; object-fit: scale-down; display: block; }}
.none {{ color: #666; font-size: 12px; padding: .5rem; text-align: center; }}
figcaption {{ padding: .4rem .6rem; border-top: 1px solid var(--line); overflow-wrap: anywhere; }}
figcaption span {{ color: var(--faint); }}
.failed {{ color: var(--bad) !important; }}
.review, .doubtful {{ color: var(--doubt) !important; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{subtitle}</p>
<main>
"""
_TAIL: Final = "</main>\n</body>\n</html>\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class SheetEntry:
    """One picture of the shoot.

    Attributes:
        name: name of the source.
        state: state of the job.
        note: reason, or duration.
        before, after: small pictures, WebP; empty if there is none.
        before_note, after_note: why there is none.
        score: probability that the cutout is right; None: it has none.
    """

    name: str
    state: str
    note: str
    before: bytes
    after: bytes
    before_note: str = ""
    after_note: str = ""
    score: float | None = None


def render(title: str, subtitle: str, entries: Iterable[SheetEntry]) -> Iterator[str]:
    """Yield the page in pieces, in order."""
    yield _HEAD.format(title=escape(title), subtitle=escape(subtitle))
    for entry in entries:
        yield _figure(entry)
    yield _TAIL


def _figure(entry: SheetEntry) -> str:
    kind = f' class="{entry.state}"' if entry.state in ("failed", "review", "doubtful") else ""
    score = "" if entry.score is None else f", score {entry.score:.2f}"
    said = f"{entry.state}{score}{f': {entry.note}' if entry.note else ''}"
    return (
        '<figure><div class="pair">'
        f'<div class="before">{_picture(entry.before, entry.before_note, "before")}</div>'
        f'<div class="after">{_picture(entry.after, entry.after_note, "after")}</div></div>'
        f"<figcaption>{escape(entry.name)}<br><span{kind}>{escape(said)}</span></figcaption></figure>\n"
    )


def _picture(webp: bytes, why: str, alt: str) -> str:
    if not webp:
        return f'<span class="none">{escape(why or "no picture")}</span>'
    data = base64.b64encode(webp).decode("ascii")
    return f'<img alt="{alt}" loading="lazy" src="data:image/webp;base64,{data}">'
