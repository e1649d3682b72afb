"""The OpenAPI document of all services and its interactive page; they need no internet access."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from shared.web import openapi_responses, openapi_schemas
from shared.web.api_introduction import INTRODUCTION

# Loaded by PAGE from docs/assets/.
ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js")

_START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null})'
_START_HASH = base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()

# The CSP is in the page, so it applies behind every gateway: only our own files and this one script.
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

# Tags and their operations, in the order in which a client needs them.
ORDER: dict[str, tuple[str, tuple[str, ...]]] = {
    "account": (
        "Register, and one's own account",
        (
            *("registration_rules", "registration", "confirm_registration"),
            *("me", "change_own_account", "change_password", "delete_own_account"),
        ),
    ),
    "login": (
        "Log in with a password and a second factor where the account has one, or with a passkey alone; stay logged in",
        (
            *("token", "challenge", "verify_otp", "send_code", "resend_otp", "verify_totp", "verify_recovery"),
            *("ask_for_second_step", "verify_passkey", "ask_to_log_in", "log_in_with_passkey"),
            *("refresh_token", "begin_cookie", "cookie_access", "logout"),
        ),
    ),
    "step-up": ("Authenticate again in the same session", ("step_up", "verify_password")),
    "second factors": (
        "One's authenticator app, passkeys and recovery codes, and the devices that are not asked for them",
        (
            *("list_factors", "enrol_app", "confirm_app", "remove_app"),
            *("ask_for_passkey", "add_passkey", "rename_passkey", "remove_passkey", "make_recovery_codes"),
            *("list_devices", "end_device", "end_devices"),
        ),
    ),
    "address": (
        "Prove by a mailed code that one reads one's address, or the new one",
        ("send_address_code", "address_proof", "verify_email", "forget_pending_email"),
    ),
    "forgotten password": (
        "A new password with a mailed code",
        ("request_password_reset", "confirm_password_reset"),
    ),
    "sessions": ("Where one is logged in", ("list_own_sessions", "end_own_session")),
    "checks": (
        "For services and gateways: is a token good, and whose is it?",
        ("verify_token", "forward", "forward_demands", "jwks"),
    ),
    "administration": (
        "Accounts of others: for administrators",
        (
            *("list_accounts", "create_account", "invite", "read_account", "change_account", "delete_account"),
            *("vouch_for_address", "start_password_reset", "reset_factors", "unlock_account"),
            *("list_account_sessions", "end_account_sessions", "end_account_session"),
        ),
    ),
}
_TAGS = {name: tag for tag, (_, names) in ORDER.items() for name in names}
_RANKS = {name: rank for rank, name in enumerate(_TAGS)}

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


def document(apps: Sequence[FastAPI], version: str) -> dict[str, Any]:
    """Merge the documents of `apps`. Raises ValueError if different schemas or two operations share a name."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Problem": _PROBLEM_SCHEMA}
    security: dict[str, Any] = {}
    for app in apps:
        own = deepcopy(app.openapi())  # the application keeps its document, which is changed below
        components = own.get("components", {})
        _name(own["paths"], app)
        paths |= own["paths"]
        security |= components.get("securitySchemes", {})
        for name, schema in components.get("schemas", {}).items():
            if schemas.setdefault(name, schema) != schema:
                raise ValueError(f"two services have a schema {name}")
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    operations = [operation for path in paths.values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    if twice := {each for each in ids if ids.count(each) > 1}:
        raise ValueError(f"two operations have the id {', '.join(sorted(twice))}")
    schemas |= openapi_schemas.name_bodies(operations)
    for operation in operations:
        operation.setdefault("security", [])  # open to everybody
        operation["responses"] = openapi_responses.completed(operation)
        schemas |= openapi_responses.refusals(operation)
    openapi_schemas.exclude(operations, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Login2FA", "version": version, "description": INTRODUCTION},
        "servers": [{"url": "/", "description": "The address of this document"}],
        "tags": [{"name": tag, "description": description} for tag, (description, _) in ORDER.items()],
        "paths": _in_order(paths),
        "components": {"schemas": schemas, "headers": openapi_responses.HEADERS, "securitySchemes": security},
    }


def _name(paths: dict[str, Any], app: FastAPI) -> None:
    for context in iter_route_contexts(app.routes):
        for method in context.methods or ():
            operation = paths[str(context.path_format)][method.lower()]
            operation["operationId"] = name = str(context.name)  # generated clients use this name
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    content.get("schema", {}).pop("title", None)  # such as "Response Token Api V1 Auth Token Post"
            if name in _TAGS:
                operation["tags"] = [_TAGS[name]]


def _in_order(paths: dict[str, Any]) -> dict[str, Any]:
    def rank(operation: dict[str, Any]) -> int:
        return _RANKS.get(operation["operationId"], len(_RANKS))

    each = {path: dict(sorted(methods.items(), key=lambda item: rank(item[1]))) for path, methods in paths.items()}
    return dict(sorted(each.items(), key=lambda item: min(map(rank, item[1].values()))))


def routes(openapi: dict[str, Any]) -> list[BaseRoute]:
    answers = {"/openapi.json": JSONResponse(openapi), "/docs": HTMLResponse(PAGE)}
    pages = [Route(path, answer, methods=["GET"]) for path, answer in answers.items()]
    return [*pages, Mount("/docs/assets", StaticFiles(directory=assets()))]


def assets() -> Path:
    """The folder of ASSETS in the package `fastapi-offline`, found without an import. Raises RuntimeError."""
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise RuntimeError("fastapi-offline is not installed: install requirements/runtime.txt")
    return Path(spec.origin).parent / "static"
