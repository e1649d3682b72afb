"""The body of `POST /auth/token`: a form, as RFC 6749 has it, or JSON."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from services.auth.schemas import Credentials

_MOST_FIELDS = 10
_JSON = Credentials.model_json_schema()
# A form has no null, and no field twice.
_FORM = _JSON | {
    "properties": _JSON["properties"] | {"grant_type": {"type": "string", "enum": ["password"]}},
    "additionalProperties": {"type": "string"},
    "maxProperties": _MOST_FIELDS,
}

OPENAPI = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {"schema": _FORM},
            "application/json": {"schema": _JSON},
        },
    }
}


async def credentials(request: Request) -> Credentials:
    """Raises RequestValidationError, which is answered 422."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    fields = await _json(request) if media_type == "application/json" else await _form(request)
    try:
        return Credentials.model_validate(fields)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_context=False)
        raise RequestValidationError([{**problem, "loc": ("body", *problem["loc"])} for problem in problems]) from None


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise _malformed("The body is not JSON") from None


async def _form(request: Request) -> dict[str, str]:
    async with request.form(max_files=0, max_fields=_MOST_FIELDS) as form:
        fields = form.multi_items()
    if len({name for name, _ in fields}) < len(fields):
        raise _malformed("A field is given twice")  # RFC 6749 section 3.2
    return {name: value for name, value in fields if isinstance(value, str)}


def _malformed(message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body",), "msg": message, "type": "value_error"}])
