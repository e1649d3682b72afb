"""The body of `POST /auth/token`: a form (RFC 6749) or JSON."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from services.auth.api.schemas import Credentials
from shared.web.json_depth import media_type_of, wanted

_MOST_FIELDS = 10
_FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}
_WANTED = (
    "Send username and password as a form, with the header `Content-Type: application/x-www-form-urlencoded`, "
    "or as JSON, with `Content-Type: application/json`"
)
_FORM_IN_WORDS = (
    "JSON, or the same fields as a form (`application/x-www-form-urlencoded`), as RFC 6749 has it. This document leaves"
    " the form out, as generators of clients do not cope with two kinds of body"
)

# `x-also-as`: what the document says in words alone, for the tests that hold it.
OPENAPI = {
    "requestBody": {
        "required": True,
        "description": _FORM_IN_WORDS,
        "content": {"application/json": {"schema": Credentials.model_json_schema()}},
        "x-also-as": ["application/x-www-form-urlencoded"],
    }
}


async def credentials(request: Request) -> Credentials:
    media_type = media_type_of(request)
    if media_type == "application/json":
        fields = await _json(request)
        if not isinstance(fields, dict):
            raise _malformed(f"Send {wanted(Credentials)}")
    elif media_type in _FORMS:
        fields = await _form(request)
    else:
        raise _malformed(_WANTED)
    try:
        return Credentials.model_validate(fields)
    except ValidationError as error:
        problems = error.errors(include_input=False)
        raise RequestValidationError([{**problem, "loc": ("body", *problem["loc"])} for problem in problems]) from None


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise RequestValidationError([{"loc": ("body",), "msg": "", "type": "json_invalid"}]) from None


async def _form(request: Request) -> dict[str, str]:
    async with request.form(max_files=0, max_fields=_MOST_FIELDS) as form:
        fields = form.multi_items()
    if len({name for name, _ in fields}) < len(fields):
        raise _malformed("A field is given twice")  # RFC 6749 section 3.2
    return {name: value for name, value in fields if isinstance(value, str)}


def _malformed(message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body",), "msg": message, "type": "value_error"}])
