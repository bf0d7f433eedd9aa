"""The objects in the bodies of the API, as its OpenAPI document has them."""

from __future__ import annotations

from typing import Any, Final

from cutoutd import sha256

_TEXT: Final = {"type": "string"}
_TROUBLE: Final = {
    "type": "string",
    "description": "Why nothing is cut just now, and what to do: the folder stands by or is paused, or the state directory's disk "
    "cannot be written. Empty: nothing is known of that.",
}
_TIME: Final = {"type": "string", "format": "date-time"}

SCHEMAS: Final[dict[str, Any]] = {
    "Problem": {
        "type": "object",
        "required": ["type", "status", "code", "title"],
        "properties": {"type": _TEXT, "status": {"type": "integer"}, "code": _TEXT, "title": _TEXT},
    },
    "Key": {
        "type": "object",
        "required": ["id", "name", "folder", "per_minute", "max_bytes", "running"],
        "properties": {
            "id": _TEXT,
            "name": _TEXT,
            "folder": _TEXT,
            "per_minute": {"type": "integer"},
            "max_bytes": {"type": "integer"},
            "running": {"type": "boolean", "description": "Whether cutoutd runs."},
            "trouble": _TROUBLE,
        },
    },
    "Output": {
        "type": "object",
        "required": ["number", "url", "name", "media_type", "sha256"],
        "properties": {
            "number": {"type": "integer"},
            "url": _TEXT,
            "name": _TEXT,
            "media_type": _TEXT,
            "sha256": {"type": "string", "pattern": f"^{sha256.PATTERN}$"},
        },
    },
    "Job": {
        "type": "object",
        "required": [
            "id",
            "folder",
            "name",
            "accepted_at",
            "state",
            "over",
            "why",
            "advice",
            "code",
            "outputs",
        ],
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "folder": _TEXT,
            "name": _TEXT,
            "path": {"type": "string", "description": "The name that it got in the folder."},
            "accepted_at": _TIME,
            "finished_at": {"oneOf": [_TIME, {"type": "null"}]},
            "state": {
                "type": "string",
                "description": "accepted, refused, or as docs/architecture.md has them: queued, working, done, review, ...",
            },
            "over": {"type": "boolean", "description": "Nothing will change by itself."},
            "why": {
                "type": "string",
                "description": "Why it is in this state; never empty if it is over without a result.",
            },
            "advice": {
                "type": "string",
                "description": "What to do; never empty if it is over without a result.",
            },
            "code": {"type": ["string", "null"], "description": "Of a failure or a refusal; stable."},
            "score": {"type": ["number", "null"], "description": "Probability that the cutout is right."},
            "doubtful": {"type": "boolean"},
            "reasons": {"type": "array", "items": _TEXT},
            "width": {"type": ["integer", "null"]},
            "height": {"type": ["integer", "null"]},
            "seconds": {"type": ["number", "null"]},
            "running": {"type": "boolean", "description": "Whether cutoutd runs."},
            "trouble": _TROUBLE,
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/Output"}},
        },
    },
}
