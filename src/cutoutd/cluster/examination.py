"""Examines the cluster for `cutoutd cluster status`: its machines, why one gets no pictures, and whether a test picture comes back.

The process is confined like the gateway, since it unpickles what machines send; it has no exchange directory.
"""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any, Final

from cutoutd.cluster import run as gateway_run
from cutoutd.errors import CutoutdError
from cutoutd.models import catalog
from cutoutd.process import installed_versions

if TYPE_CHECKING:
    from cutoutd.cluster.connection import Connection
    from cutoutd.settings.schema import Settings

TRIAL_S: Final = 120.0
_SIDE: Final = 64


class ClusterAwayError(CutoutdError):
    """The scheduler cannot be reached."""

    title = "The cluster cannot be reached"
    advice = "Check that the scheduler runs, that its port is open, and that the certificates are of one authority."


def examine(settings: Settings, *, trial: bool) -> dict[str, Any]:
    """Ask the scheduler for its machines.

    Args:
        settings: configuration whose [cluster] names the scheduler.
        trial: whether to have a test picture cut as well.

    Returns:
        A document for JSON with ``machines`` and, if it was asked for, ``trial``.

    Raises:
        ConfigurationError: the certificates cannot be used.
        ClusterAwayError: the scheduler does not answer.
    """
    gateway_run.check_certificates(settings.cluster)
    model, second = (
        catalog.find(name).sha256 if name else "" for name in (settings.models[0], settings.model.second)
    )
    picture = _picture() if trial else b""
    loop = asyncio.new_event_loop()
    gateway_run.confine(settings, None)
    try:
        return loop.run_until_complete(_examine(settings, model, second, picture))
    finally:
        loop.close()


async def _examine(settings: Settings, model: str, second: str, picture: bytes) -> dict[str, Any]:
    from cutoutd.cluster import fingerprint  # noqa: PLC0415 -- as below
    from cutoutd.cluster.connection import Connection, LostSchedulerError  # noqa: PLC0415 -- it starts a thread, so only once confined

    resource = fingerprint.resource(installed_versions.versions(), model, second)
    try:
        async with Connection(settings.cluster) as connection:
            machines = await connection.machines()
            found = [
                {
                    "address": one.address,
                    "slots": one.slots,
                    "versions": dict(one.versions),
                    "models": dict(one.models),
                    "second": dict(one.second),
                    "layers": list(one.layers),
                    "provider": one.provider,
                    "done": one.done,
                    "per_minute": one.per_minute,
                    "why_not": one.why_not(resource, connection.versions, model),
                }
                for one in machines
            ]
            tried = await _run_trial(settings, connection, resource, picture) if picture else None
    except LostSchedulerError as error:
        raise ClusterAwayError(str(error)) from error
    return {"schema": "cutoutd.cluster-status/1", "machines": found} | ({"trial": tried} if tried else {})


async def _run_trial(
    settings: Settings, connection: Connection, resource: str, picture: bytes
) -> dict[str, Any]:
    """Have a generated picture cut, and return the outcome."""
    from cutoutd.cluster import packing  # noqa: PLC0415 -- as above
    from cutoutd.jobs import Cut, Task  # noqa: PLC0415 -- likewise
    from cutoutd.pool import wire  # noqa: PLC0415 -- likewise
    from cutoutd.protocols import Files  # noqa: PLC0415 -- likewise
    from cutoutd.recipe import Format, Metadata, Recipe, Rendition  # noqa: PLC0415 -- likewise

    recipe = Recipe(
        renditions=(Rendition(format=Format.PNG, suffix=""),),
        refine=True,
        decontaminate=True,
        metadata=Metadata.NONE,
        review_below=0.0,
    )
    task = Task(
        job=1,
        source="trial.jpg",
        size=len(picture),
        mtime_ns=0,
        staging="",
        published_sha256=None,
        recipe=recipe,
    )
    head = json.dumps({"max_result_bytes": settings.cluster.max_result_mb << 20}).encode("ascii")
    line = wire.encode_task(task, Files(source=0, results=(1, 2)))
    outcome = await connection.carry_out(packing.pack([head, line, picture]), resource, TRIAL_S)
    if outcome.why is not None:
        return {"ok": False, "why": outcome.why}
    try:
        said, *parts = packing.unpack(outcome.result)
        answer = json.loads(bytes(said))
        message = wire.decode_message(bytes(parts[0])) if parts else None
    except (ValueError, TypeError) as error:
        return {"ok": False, "why": f"{outcome.host} sent back something that is no result: {error}"}
    is_cut = isinstance(message, tuple) and isinstance(message[1], Cut)
    return {
        "ok": is_cut,
        "why": f"by {outcome.host}" if is_cut else str(answer.get("why") or "it failed there"),
    }


def _picture() -> bytes:
    """Return a dark disc on a light background, as a JPEG."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 -- needed for a trial only

    image = Image.new("RGB", (_SIDE, _SIDE), (220, 220, 220))
    ImageDraw.Draw(image).ellipse((12, 12, 52, 52), fill=(60, 60, 60))
    data = io.BytesIO()
    image.save(data, format="JPEG")
    return data.getvalue()
