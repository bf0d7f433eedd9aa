"""`cutoutd presets`: the shops whose rules a rendition can keep by name, and where each rule was read."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cutoutd.cli.queue import JsonOption
from cutoutd.errors import UsageError
from cutoutd.settings import presets as known

if TYPE_CHECKING:
    from cutoutd.settings.presets import Preset, Source


def presets(
    name: Annotated[str | None, typer.Argument(help="One of them, with its rules and their sources.")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List the shops that a rendition can be made for by name: preset = "amazon" and the like."""
    meant = [_find(name)] if name is not None else [_find(one) for one in known.names()]
    if as_json:
        document = {"schema": "cutoutd.presets/1", "presets": [_as_json(one) for one in meant]}
        print(json.dumps(document, indent=2))
    elif name is not None:
        _show(meant[0])
    else:
        for one in meant:
            settings = one.settings
            print(
                f"{one.name:<16} {settings['canvas']:>10}  {settings['background']:<6} {settings['format']:<5} {one.title}"
            )
        print("\n`cutoutd presets NAME` shows the rules, and where and when they were read.")


def _find(name: str) -> Preset:
    preset = known.find(name)
    if preset is None:
        raise UsageError(f"there is no preset {name!r}", advice=f"There are: {', '.join(known.names())}.")
    return preset


def _as_json(preset: Preset) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(json.dumps(asdict(preset), default=str))
    return fields


def _show(preset: Preset) -> None:
    print(f"{preset.name}: {preset.title}\n")
    print("[[folder.rendition]]")
    print(f'preset = "{preset.name}"')
    for key, value in preset.settings.items():
        why = "  # our choice" if key in preset.ours else ""
        print(f"# {key} = {json.dumps(value)}{why}")
    print("\nYou can set each of these beside the preset; your value then counts. Where the rules were read:")
    for source in preset.sources:
        print(f"\n{source.url}\n  {_describe_source(source)}")
        for rule in source.rules:
            print(f"  - {rule}")


def _describe_source(source: Source) -> str:
    by = f"second-hand, by {source.by}; " if source.by else ""
    dated = f"of {source.dated}, " if source.dated is not None else ""
    return f"{by}{dated}read {source.read}"
