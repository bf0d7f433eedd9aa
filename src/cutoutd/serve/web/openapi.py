"""The API as OpenAPI 3.1 describes it, which is served; a test asks the API whatever this says that can be asked."""

from __future__ import annotations

from typing import Any, Final

from cutoutd.serve.web.openapi_schemas import SCHEMAS

_PROBLEM: Final[dict[str, Any]] = {
    "description": "It is refused; `code` is stable, `title` says what to do.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_RETRY: Final[dict[str, Any]] = {
    **_PROBLEM,
    "headers": {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds."}},
}
_COMMON: Final[dict[str, Any]] = {"400": _PROBLEM, "401": _PROBLEM, "404": _PROBLEM, "503": _RETRY}
_JOB: Final = {"application/json": {"schema": {"$ref": "#/components/schemas/Job"}}}
_OPTIONS: Final = {
    "type": "string",
    "maxLength": 4096,
    "description": "Options for this picture, as JSON; they override the folder's settings (docs/serve.md).",
}


def _header(text: str) -> dict[str, Any]:
    return {"schema": {"type": "string"}, "description": text}


_AT: Final = {"Location": _header("The path of the job: `/v1/jobs/` and its id.")}
_RESUMABLE: Final = {"Tus-Resumable": _header("1.0.0")}
_PROGRESS: Final = {
    "Upload-Offset": _header("Bytes that have arrived."),
    "Upload-Job": {
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "description": "Once the picture is complete: the id of its job, for `/v1/jobs/{job}`.",
    },
}


def _each(statuses: str, answer: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(statuses.split(), answer)


def _path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _optional(place: str, name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "schema": schema, "description": text}


_FOLDER: Final = _path("folder", {"type": "string", "minLength": 1, "maxLength": 255})
_NUMBER: Final = _path("job", {"type": "string", "pattern": "^[0-9a-f]{32}$"})
_PREFER: Final = _optional(
    "header",
    "Prefer",
    {"type": "string", "pattern": "^wait=[0-9]{1,3}$"},
    "wait=N: answer when the job is over, or after N seconds (RFC 7240).",
)
_IDEMPOTENCY: Final = _optional(
    "header",
    "Idempotency-Key",
    {"type": "string", "pattern": "^[0-9A-Za-z._-]{1,255}$"},
    "A second request with the same key within a day returns the same job.",
)

_ADD: Final = {
    "operationId": "addPicture",
    "summary": "Hand a picture in. Once this is answered, it is not lost.",
    "parameters": [
        _FOLDER,
        _optional("query", "name", {"type": "string", "maxLength": 200}, "The file's name."),
        _optional("query", "options", _OPTIONS, str(_OPTIONS["description"])),
        _PREFER,
        _IDEMPOTENCY,
    ],
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "name": {"type": "string", "maxLength": 200},
                        "options": _OPTIONS,
                    },
                }
            },
        },
    },
    "responses": {
        "200": {"description": "The job is over.", "content": _JOB, "headers": _AT},
        "202": {"description": "It is accepted.", "content": _JOB, "headers": _AT},
        **_COMMON,
        "403": _PROBLEM,
        "408": _PROBLEM,
        "409": _RETRY,
        "413": _PROBLEM,
        "415": _PROBLEM,
        "422": _PROBLEM,
        "429": _RETRY,
        "507": _RETRY,
    },
}

_TUS: Final = {
    "name": "Tus-Resumable",
    "in": "header",
    "required": True,
    "schema": {"enum": ["1.0.0"]},
}
_UPLOAD: Final = _path("upload", {"type": "string", "pattern": "^[0-9a-f]{32}$"})
_OF_UPLOAD: Final[dict[str, Any]] = {**_COMMON, "409": _RETRY, "412": _PROBLEM}


def _count(name: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
    return {"name": name, "in": "header", "required": True, "schema": schema}


_RESUMED_PATHS: Final[dict[str, Any]] = {
    "/v1/folders/{folder}/uploads": {
        "post": {
            "operationId": "beginUpload",
            "summary": "Begin an upload that can be resumed (tus 1.0.0, https://tus.io).",
            "parameters": [
                _FOLDER,
                _TUS,
                _count("Upload-Length"),
                _optional(
                    "header",
                    "Upload-Metadata",
                    {"type": "string", "pattern": "^[a-z]{1,9} ([A-Za-z0-9+/]{4}){0,9}$"},
                    "`filename` and `options`, in base64.",
                ),
                _IDEMPOTENCY,
            ],
            "responses": {
                "201": {
                    "description": "It is begun.",
                    "headers": {
                        "Location": _header("Its path, for `HEAD`, `PATCH` and `DELETE`."),
                        **_RESUMABLE,
                    },
                },
                **_OF_UPLOAD,
                **_each("403 413 422", _PROBLEM),
                **_each("429 507", _RETRY),
            },
        },
        "options": {
            "operationId": "getUploadLimits",
            "summary": "The parts of tus that are supported.",
            "parameters": [_FOLDER],
            "responses": {"204": {"description": "By headers."}, **_COMMON, "403": _PROBLEM, "409": _PROBLEM},
        },
    },
    "/v1/uploads/{upload}": {
        "head": {
            "operationId": "getUpload",
            "summary": "Its offset: how many bytes have arrived.",
            "parameters": [_UPLOAD, _TUS],
            "responses": {
                "200": {
                    "description": "By headers.",
                    "headers": {**_PROGRESS, "Upload-Length": _header("Bytes of the whole."), **_RESUMABLE},
                },
                **_OF_UPLOAD,
            },
        },
        "patch": {
            "operationId": "resumeUpload",
            "summary": "The next part; the answer to the last one has the job's id in `Upload-Job`.",
            "parameters": [_UPLOAD, _TUS, _count("Upload-Offset")],
            "requestBody": {
                "required": True,
                "content": {
                    "application/offset+octet-stream": {"schema": {"type": "string", "format": "binary"}}
                },
            },
            "responses": {
                "204": {"description": "By headers.", "headers": {**_PROGRESS, **_RESUMABLE}},
                **_OF_UPLOAD,
                **_each("408 413 415 422", _PROBLEM),
                "507": _RETRY,
            },
        },
        "delete": {
            "operationId": "endUpload",
            "summary": "Remove the upload.",
            "parameters": [_UPLOAD, _TUS],
            "responses": {"204": {"description": "It is removed."}, **_OF_UPLOAD},
        },
    },
}

_PATHS: Final = {
    **_RESUMED_PATHS,
    "/v1/key": {
        "get": {
            "operationId": "getKey",
            "summary": "What the key may do.",
            "responses": {
                "200": {
                    "description": "Folder, rate and size.",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Key"}}},
                },
                "401": _PROBLEM,
                "409": _PROBLEM,
                "503": _RETRY,
            },
        }
    },
    "/v1/folders/{folder}/pictures": {"post": _ADD},
    "/v1/jobs/{job}": {
        "get": {
            "operationId": "getJob",
            "summary": "The state of a job; kept for a day.",
            "parameters": [_NUMBER, _PREFER],
            "responses": {"200": {"description": "The job.", "content": _JOB}, **_COMMON},
        },
        "delete": {
            "operationId": "removeJob",
            "summary": "Remove the picture and what was made of it, as far as nobody has changed it since.",
            "parameters": [_NUMBER],
            "responses": {"204": {"description": "It is removed."}, **_COMMON, "409": _RETRY},
        },
    },
    "/v1/jobs/{job}/outputs/{output}": {
        "get": {
            "operationId": "getOutput",
            "summary": "A result, as a file.",
            "parameters": [
                _NUMBER,
                _path("output", {"type": "integer", "minimum": 0, "maximum": 1000}),
                _optional(
                    "header",
                    "Range",
                    {"type": "string", "pattern": "^bytes=[0-9]{1,9}-$"},
                    "One range of bytes.",
                ),
            ],
            "responses": {
                "200": {
                    "description": "The file.",
                    "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
                },
                "206": {
                    "description": "The range.",
                    "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
                },
                "304": {"description": "It is the one that If-None-Match names."},
                **_COMMON,
                "409": _PROBLEM,
                "416": _PROBLEM,
            },
        }
    },
    "/v1/events": {
        "get": {
            "operationId": "events",
            "summary": "Changes of this key's jobs from now on: server-sent events named `job`, with a job each.",
            "parameters": [
                _optional(
                    "header",
                    "Last-Event-ID",
                    {"type": "string", "maxLength": 64},
                    "The event that was heard last: those after it come first. An event `missed` says that they are not known "
                    "any more, and that jobs are to be asked for.",
                )
            ],
            "responses": {
                "200": {
                    "description": "A stream without an end.",
                    "content": {"text/event-stream": {"schema": {"type": "string"}}},
                },
                "401": _PROBLEM,
                "409": _PROBLEM,
                "503": _RETRY,
            },
        }
    },
    "/v1/openapi.json": {
        "get": {
            "operationId": "getDescription",
            "summary": "This description.",
            "security": [],
            "responses": {
                "200": {
                    "description": "OpenAPI 3.1.",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                }
            },
        }
    },
}

DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "cutoutd",
        "version": "1",
        "summary": "Hand pictures in, fetch cutouts. Nothing leaves the machine that this runs on.",
    },
    "security": [{"apiKey": []}, {"bearer": []}],
    "paths": _PATHS,
    "components": {
        "securitySchemes": {
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        },
        "schemas": SCHEMAS,
    },
}
