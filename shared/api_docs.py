"""One OpenAPI document and one page of interactive documentation for all services; no internet needed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from shared import answers

# What the page loads, below docs/assets/.
ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js")

_START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null})'
_START_HASH = base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()

# In the page itself, so that it holds wherever the page is served from: nothing but our own files and this one script.
_POLICY = (
    f"default-src 'none'; script-src 'self' 'sha256-{_START_HASH}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)

PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>Login2FA API</title>
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script>{_START}</script>
</body>
</html>
"""

_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people"},
        "code": {"type": "string", "description": "For programs: stable"},
        "errors": {"type": "array", "items": {"type": "object"}, "description": "422: each field at fault"},
        "error": {"type": "string", "description": "RFC 6749 section 5.2, at the token endpoints"},
        "error_description": {"type": "string"},
    },
}


def installed_version() -> str:
    try:
        return metadata.version("login2fa")
    except metadata.PackageNotFoundError:  # run from a checkout
        return "development"


def document(apps: Sequence[FastAPI], version: str) -> dict[str, Any]:
    """The OpenAPI document of `apps` together; raises ValueError when two of them name different things alike."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Problem": _PROBLEM_SCHEMA}
    security: dict[str, Any] = {}
    for app in apps:
        own = app.openapi()
        components = own.get("components", {})
        paths |= own["paths"]
        security |= components.get("securitySchemes", {})
        for name, schema in components.get("schemas", {}).items():
            if schemas.setdefault(name, schema) != schema:
                raise ValueError(f"two services have a schema {name}")
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for operation in (operation for path in paths.values() for operation in path.values()):
        operation["responses"] = answers.completed(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Login2FA", "version": version},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": security},
    }


def routes(openapi: dict[str, Any]) -> list[BaseRoute]:
    """`/docs` and `/openapi.json`."""

    async def page(_request: Request) -> Response:
        return HTMLResponse(PAGE)

    async def schema(_request: Request) -> Response:
        return JSONResponse(openapi)

    return [
        Route("/openapi.json", schema),
        Mount("/docs/assets", StaticFiles(directory=assets())),
        Route("/docs", page),
    ]


def assets() -> Path:
    """The folder of ASSETS: Swagger UI as the package `fastapi-offline` carries it; found without importing it."""
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise RuntimeError("fastapi-offline is not installed: install requirements/runtime.txt")
    return Path(spec.origin).parent / "static"
