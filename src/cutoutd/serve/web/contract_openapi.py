"""The contracts of others as OpenAPI 3.1 describes them, and the same as a page without any script."""

from __future__ import annotations

from html import escape
from typing import Any, Final

_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}
_FILE: Final = {"type": "string", "format": "binary"}

REMOVEBG_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "image_file": _FILE,
    "image_file_b64": _TEXT,
    "size": {
        "enum": ["preview", "small", "regular", "medium", "hd", "full", "4k", "50MP", "auto"],
        "default": "preview",
    },
    "format": {"enum": ["auto", "png", "jpg", "webp", "zip"], "default": "auto"},
    "channels": {"enum": ["rgba", "alpha"]},
    "crop": _FLAG,
    "crop_margin": _TEXT,
    "scale": _TEXT,
    "position": _TEXT,
    "bg_color": _TEXT,
    "bg_image_file": _FILE,
    "bg_image_file_b64": _TEXT,
    "roi": _TEXT,
    "add_shadow": _FLAG,
    "shadow_type": {"enum": ["none", "auto", "drop", "car", "3D"]},
    "shadow_opacity": {"type": "integer", "minimum": 0, "maximum": 100},
    "semitransparency": _FLAG,
    "type": _TEXT,
    "type_level": {"enum": ["none", "1", "2", "latest"]},
}

REMBG_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "file": _FILE,
    "model": {**_TEXT, "default": "u2net"},
    "a": {**_FLAG, "default": False},
    "af": {"type": "integer", "minimum": 0, "maximum": 255, "default": 240},
    "ab": {"type": "integer", "minimum": 0, "maximum": 255, "default": 10},
    "ae": {"type": "integer", "minimum": 0, "default": 10},
    "om": {**_FLAG, "default": False},
    "ppm": {**_FLAG, "default": False},
}

_QUERY: Final = [
    {"name": name, "in": "query", "required": False, "schema": _TEXT} for name in ("bgc", "extras")
]


def _form(fields: dict[str, dict[str, Any]], *kinds: str, required: tuple[str, ...] = ()) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": fields}
    if required:
        schema["required"] = list(required)
    return {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}


def _answer(text: str, *kinds: str) -> dict[str, Any]:
    return {"description": text, "content": {kind: {} for kind in kinds}}


def _refused(**fields: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": list(fields), "properties": fields}
    return {
        "description": "It is refused; the body says why.",
        "content": {"application/json": {"schema": schema}},
    }


_ERROR: Final = {
    "type": "object",
    "required": ["title", "code"],
    "properties": dict.fromkeys(("title", "code", "detail"), _TEXT),
}
_REFUSED: Final = _refused(errors={"type": "array", "minItems": 1, "items": _ERROR})
_DETAILED: Final = _refused(detail={"type": ["string", "array"]})

DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "cutoutd: APIs of other services that it serves",
        "version": "1",
        "description": "`cutoutd docs serve` says of each field whether it is supported, ignored or refused. /v1/openapi.json describes "
        "cutoutd's own API.",
    },
    "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}}},
    "security": [{"key": []}],
    "paths": {
        "/v1.0/removebg": {
            "post": {
                "operationId": "removebg",
                "summary": "Cut a picture; request and response are those of remove.bg.",
                "requestBody": _form(
                    REMOVEBG_FIELDS,
                    "multipart/form-data",
                    "application/x-www-form-urlencoded",
                    "application/json",
                ),
                "responses": {
                    "200": _answer("The result.", "image/*", "application/zip", "application/json"),
                    **dict.fromkeys(("400", "403", "408", "409", "429", "500", "503"), _REFUSED),
                },
            }
        },
        "/v1.0/account": {
            "get": {
                "operationId": "account",
                "summary": "There are no credits to buy.",
                "responses": {
                    "200": _answer("The account.", "application/json"),
                    "403": _REFUSED,
                    "503": _REFUSED,
                },
            }
        },
        "/api/remove": {
            "post": {
                "operationId": "rembg",
                "summary": "Cut a picture; request and response are those of a rembg server.",
                "parameters": _QUERY,
                "requestBody": _form(REMBG_FIELDS, "multipart/form-data", required=("file",)),
                "responses": {
                    "200": _answer("The cutout.", "image/png"),
                    **dict.fromkeys(
                        ("400", "401", "408", "409", "413", "422", "429", "500", "503", "507"), _DETAILED
                    ),
                },
            },
            "get": {
                "operationId": "rembgFetch",
                "summary": "Refused: nothing is fetched from anywhere.",
                "parameters": [{"name": "url", "in": "query", "required": True, "schema": _TEXT}, *_QUERY],
                "responses": dict.fromkeys(("400", "401", "422", "503"), _DETAILED),
            },
        },
    },
}


def _rows(fields: dict[str, dict[str, Any]]) -> str:
    return "".join(f"<li><code>{escape(name)}</code></li>" for name in fields)


PAGE: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>cutoutd: API</title><h1>cutoutd: API</h1>'
    '<p>As OpenAPI: <a href="/openapi.json">the APIs of other services</a>, <a href="/v1/openapi.json">the API of cutoutd</a>. '
    "Each request has a key, as <code>X-Api-Key</code> or <code>Authorization: Bearer</code>.</p>"
    f"<h2>POST /v1.0/removebg</h2><ul>{_rows(REMOVEBG_FIELDS)}</ul>"
    "<h2>GET /v1.0/account</h2>"
    f"<h2>POST /api/remove</h2><ul>{_rows(REMBG_FIELDS)}</ul><p>In the address: <code>bgc</code>, <code>extras</code>.</p></html>"
)
