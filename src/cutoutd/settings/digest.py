"""Digests of settings: of those that decide what a cutout looks like, for sidecars, and of those for uploads."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from cutoutd.recipe import Rendition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cutoutd.settings.schema import Folder, Settings
    from cutoutd.settings.webhooks import FolderWebhook

_ALWAYS = frozenset({"format", "suffix"})
_OF_REQUESTS = ("roi", "is_solid", "locates_subject")  # no setting gives them; a sidecar has them apart
_NEVER = frozenset({"directory"})  # moves results, and changes none
_DEFAULTS = {field.name: field.default for field in fields(Rendition) if field.name not in _ALWAYS}


def settings_sha256(folder: Folder, model: str, second: str = "") -> str:
    """Return the SHA-256 (hex) of a folder's recipe and the model's name.

    Neither the order of keys nor settings that do not change the look count. Equal settings must give the
    same digest in every version: a setting that a later version adds to the recipe is left out while
    its value means the earlier behaviour.

    Where a background picture lies does not count, but what it shows does: see `with_backgrounds`.

    Args:
        folder: folder with the recipe.
        model: name of the model.
        second: name of the model that runs where the first leaves doubt; empty: none.
    """
    recipe = folder.recipe()
    decisive = asdict(recipe) | {
        "renditions": [_decisive(one) for one in recipe.renditions],
        "model": model,
    }
    below = decisive.pop("second_below")
    if second:
        decisive["second"] = [second, below]
    for name in _OF_REQUESTS:
        del decisive[name]
    if not recipe.derived_from:
        del decisive["derived_from"]  # as it was before there was such a setting
    return _sha256(json.dumps(decisive, sort_keys=True, separators=(",", ":")))


def with_backgrounds(settings: str, backgrounds: Iterable[str | None]) -> str:
    """Return the digest of settings together with the pictures that they name.

    Args:
        settings: from `settings_sha256`.
        backgrounds: SHA-256 of each rendition's background picture as it was used, in the recipe's order; None for
            those without one.
    """
    used = list(backgrounds)
    return _sha256(json.dumps([settings, used])) if any(used) else settings


def uploads_sha256(settings: Settings) -> str:
    """Return the SHA-256 (hex) of all settings of the uploader: two processes with equal digests admit the same requests."""
    folders = sorted([folder.name, folder.max_credits_per_day] for folder in settings.tagged)
    hosted = settings.hosted.model_dump(mode="json")
    admitted: list[Any] = [hosted, folders]
    if settings.with_webhooks:  # as it was before there were any
        told = [
            [one.name, *(_webhook_fields(webhook) for webhook in one.webhook)]
            for one in settings.with_webhooks
        ]
        admitted += [settings.webhooks.model_dump(mode="json"), sorted(told)]
    return _sha256(json.dumps(admitted, sort_keys=True, separators=(",", ":")))


def cluster_sha256(settings: Settings) -> str:
    """SHA-256 (hex) over all that the gateway to the cluster goes by: with the same number it admits the same requests."""
    folders = sorted(folder.name for folder in settings.clustered)
    admitted = [settings.cluster.digested(), folders]
    return _sha256(json.dumps(admitted, sort_keys=True, separators=(",", ":")))


def _webhook_fields(webhook: FolderWebhook) -> list[object]:
    return [
        str(webhook.url),
        str(webhook.secret_file),
        webhook.events,
        webhook.include,
        webhook.allow_private,
    ]


def _decisive(rendition: Rendition) -> dict[str, Any]:
    chosen = {
        name: value
        for name, value in asdict(rendition).items()
        if name in _ALWAYS or (name not in _NEVER and getattr(rendition, name) != _DEFAULTS[name])
    }
    return chosen | ({"picture": True} if rendition.picture is not None else {})


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
